//! Asking a server on this machine.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer, of any status.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// What is answered to a request for `path`, if it is a success.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    success(request(address, "GET", path, &[], b"")?, address, path)
}

/// What is answered to a message that is posted to `path`, if it is a success.
pub fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<String> {
    success(request(address, "POST", path, headers, body)?, address, path)
}

/// Makes a request.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // The old version has no chunks to put together.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    // All at once: who refuses a request may close the connection before it has read the rest.
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("no answer from {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.context("an answer without a status")?, body: body.to_owned() })
}

fn success(answer: Answer, address: SocketAddr, path: &str) -> Result<String> {
    if !(200..300).contains(&answer.status) {
        bail!("http://{address}{path}: status {}: {}", answer.status, answer.body.trim_end());
    }
    Ok(answer.body)
}
