//! A Prometheus server that scrapes one target.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio, id},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::REMEDY;

/// How long a query may stay without an answer: a server needs a moment to start and to scrape.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. It ends, and its data are gone, when this is dropped.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Server {
    /// Starts a server that scrapes `target` each second.
    pub(crate) fn start(name: &str, target: &str, flags: &[&str]) -> Self {
        let directory =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("prometheus-{name}-{}", id()));
        fs::create_dir_all(&directory).unwrap();
        let config = directory.join("prometheus.yml");
        let scrape = format!(
            "scrape_configs:\n  - job_name: monitor\n    scrape_interval: 1s\n    \
             scrape_timeout: 1s\n    static_configs:\n      - targets: ['{target}']\n"
        );
        fs::write(&config, scrape).unwrap();
        // The port is free again for the server to take.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus does not start: {error}; {REMEDY}"));
        Self { process, address, directory }
    }

    /// The one value that a query has, once it has one.
    pub(crate) fn query(&self, query: &str) -> f64 {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let begin = Instant::now();
        loop {
            let answer = self.get(&format!("/api/v1/query?query={encoded}"));
            if let Some([series]) = answer["data"]["result"].as_array().map(Vec::as_slice) {
                return series["value"][1].as_str().unwrap().parse().unwrap();
            }
            if begin.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                panic!("no single value for {query}: {answer}\n{log}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// An answer of the API, or nothing as long as the server does not listen.
    fn get(&self, path: &str) -> Value {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return Value::Null };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // In HTTP/1.0, an answer comes in one piece.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended by itself, and then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
