//! Two network namespaces with a link between them, and what the kernel's own tools say of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

use crate::command::run;

/// The two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where clients are.
    Near,
    /// Where servers are.
    Far,
}

/// Their addresses.
const IPV4: [&str; 2] = ["10.231.77.1", "10.231.77.2"];
const IPV6: [&str; 2] = ["fd31:77::1", "fd31:77::2"];

/// What the addresses of this network begin with.
const PREFIXES: [&str; 2] = ["10.231.77.", "fd31:77::"];

/// The device of either end.
const DEVICE: &str = "wire";

/// A link between two network namespaces, both removed at the end.
pub struct Network {
    names: [String; 2],
}

/// What `ss` says of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Bytes sent for the first time.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Smoothed round-trip time in nanoseconds.
    pub rtt_ns: f64,
}

impl Network {
    /// Whether an address is of this network.
    pub fn has(address: &str) -> bool {
        PREFIXES.iter().any(|prefix| address.starts_with(prefix))
    }

    /// Makes the namespaces.
    #[expect(clippy::new_without_default, reason = "it is no value, it makes namespaces")]
    pub fn new() -> Self {
        let names = ["near", "far"].map(|end| format!("mt-{}-{end}", process::id()));
        let network = Self { names };
        for name in &network.names {
            run("ip", &["netns", "add", name]);
        }
        let [near, far] = &network.names;
        let peer = ["type", "veth", "peer", "name", DEVICE, "netns", far];
        run("ip", &[&["link", "add", DEVICE, "netns", near][..], &peer].concat());
        for (place, end) in [End::Near, End::Far].into_iter().enumerate() {
            let ip = |args: &[&str]| network.run(end, "ip", args);
            ip(&["address", "add", &format!("{}/24", IPV4[place]), "dev", DEVICE]);
            ip(&["address", "add", &format!("{}/64", IPV6[place]), "dev", DEVICE, "nodad"]);
            ip(&["link", "set", DEVICE, "up"]);
            ip(&["link", "set", "lo", "up"]);
        }
        network
    }

    /// The name of the namespace.
    pub fn name(&self, end: End) -> &str {
        &self.names[end as usize]
    }

    /// The IPv4 address.
    pub fn ipv4(&self, end: End) -> &'static str {
        IPV4[end as usize]
    }

    /// The IPv6 address.
    pub fn ipv6(&self, end: End) -> &'static str {
        IPV6[end as usize]
    }

    /// Has MPTCP connections of an end use its addresses, those that are added by this too, for as many
    /// subflows as there are.
    pub fn add_subflow(&self, end: End, address: &str) {
        let ip = |args: &[&str]| self.run(end, "ip", args);
        ip(&["address", "add", &format!("{address}/24"), "dev", DEVICE]);
        ip(&["mptcp", "limits", "set", "subflows", "2", "add_addr_accepted", "2"]);
        ip(&["mptcp", "endpoint", "add", address, "dev", DEVICE, "subflow"]);
    }

    /// Slows down what an end sends.
    pub fn slow_down(&self, end: End, rate: &str) {
        let bucket = ["rate", rate, "burst", "1600", "latency", "10s"];
        let tbf = [&["qdisc", "add", "dev", DEVICE, "root", "tbf"][..], &bucket].concat();
        self.run(end, "tc", &tbf);
    }

    /// Loses what comes to an end, as a rule of nftables says.
    pub fn drop(&self, end: End, rule: &str) {
        let hook = "type filter hook input priority 0;";
        let table = format!("table inet lossy {{ chain input {{ {hook} {rule} drop; }}; }}");
        self.run(end, "nft", &[&table]);
    }

    /// Rejects what comes to a TCP port of an end, as nftables says.
    pub fn reject(&self, end: End, port: u16, with: &str) {
        let hook = "type filter hook input priority 0;";
        let rule = format!("tcp dport {port} reject with {with}");
        let table = format!("table ip reject-{port} {{ chain input {{ {hook} {rule}; }}; }}");
        self.run(end, "nft", &[&table]);
    }

    /// Sets a parameter of the kernel's.
    pub fn set(&self, end: End, parameter: &str) {
        self.run(end, "sysctl", &["-q", "-w", parameter]);
    }

    /// What `nstat` says that an end has counted.
    pub fn counter(&self, end: End, name: &str) -> u64 {
        let said = self.run(end, "nstat", &["-a", "-s", "-z", name]);
        let line = said.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("nstat does not tell {name}: {said}"))
    }

    /// The same, once that is at least so much.
    pub fn wait_for(&self, end: End, name: &str, least: u64) -> u64 {
        for _ in 0..400 {
            let count = self.counter(end, name);
            if count >= least {
                return count;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} stays below {least}");
    }

    /// Has programs that [`Network::run`] starts send DNS queries to a server, with options of the C
    /// library's resolver, and nothing else.
    pub fn resolve_by(&self, end: End, server: &str, options: &str) {
        let folder = self.configuration(end);
        let write = |name: &str, content: String| fs::write(folder.join(name), content);
        fs::create_dir_all(&folder)
            .and_then(|()| {
                write("resolv.conf", format!("nameserver {server}\noptions {options}\n"))
            })
            .and_then(|()| write("nsswitch.conf", "hosts: dns\n".to_owned()))
            .unwrap_or_else(|error| panic!("cannot write to {folder:?}: {error}"));
    }

    /// What `ip netns exec` puts in the place of files in `/etc`.
    fn configuration(&self, end: End) -> PathBuf {
        Path::new("/etc/netns").join(self.name(end))
    }

    /// Waits until no connection is open or on its way to its end, at either end. Nothing is sent any
    /// more then.
    pub fn wait_until_closed(&self) {
        let open = ["-tnH", "state", "connected", "exclude", "time-wait"];
        for _ in 0..400 {
            if [End::Near, End::Far].iter().all(|&end| self.run(end, "ss", &open).is_empty()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("connections do not close");
    }

    /// What `ss` says of the only connection of an end, if there is one.
    pub fn socket(&self, end: End) -> Option<Socket> {
        let said = self.run(end, "ss", &["-tinH", "state", "established"]);
        let value = |name: &str| {
            let mut words = said.split_whitespace();
            let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.split('/').next().unwrap_or(value).to_owned())
        };
        let number = |name: &str| value(name).map_or(0, |value| value.parse().expect("a number"));
        let rtt = value("rtt")?;
        Some(Socket {
            sent: number("bytes_sent") - number("bytes_retrans"),
            received: number("bytes_received"),
            rtt_ns: rtt.parse::<f64>().expect("a number") * 1e6,
        })
    }

    /// What a program says that must work at an end.
    pub fn run(&self, end: End, program: &str, args: &[&str]) -> String {
        run("ip", &[&["netns", "exec", self.name(end), program][..], args].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for end in [End::Near, End::Far] {
            let _ = Command::new("ip").args(["netns", "delete", self.name(end)]).status();
            let _ = fs::remove_dir_all(self.configuration(end));
        }
    }
}
