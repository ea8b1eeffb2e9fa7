//! Encryption and authentication, with clients that are not ours.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use monitor_tests::serial;

use super::program::{Daemon, Directory, monitor};

/// Runs a program that is not ours.
fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; install it"))
}

/// Makes a certificate of its own and the key of it. Returns where they are.
pub(crate) fn certificate(directory: &Directory, name: &str) -> [String; 2] {
    let files = ["certificate", "key"].map(|kind| {
        let path = directory.path(&format!("{name}-{kind}.pem"));
        path.to_str().expect("plain letters").to_owned()
    });
    let [certificate, key] = &files;
    let made = run(
        "openssl",
        &[
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"][..],
            &["-nodes", "-days", "1", "-subj", "/CN=monitor"],
            &["-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        ]
        .concat(),
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files
}

/// What curl gets: the status, and the body. Status 0 when there is no answer.
fn curl(args: &[&str]) -> (u16, String) {
    let output = run("curl", &[&["-sS", "-m", "10", "-w", "\n%{http_code}"], args].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("it was asked for");
    (status.parse().unwrap_or(0), body.to_owned())
}

/// Writes a file that only its owner can read.
fn secret(directory: &Directory, name: &str, text: &str) -> String {
    let path = directory.file(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    path.to_str().expect("plain letters").to_owned()
}

#[test]
fn encrypted_and_only_for_who_knows_a_secret() {
    let _serial = serial();
    let directory = Directory::new();
    let [certificate, key] = certificate(&directory, "first");
    let tokens = secret(&directory, "tokens", "the-scraper's-token\n");
    let users = secret(&directory, "users", "eve:open sesame\n");
    let files = ["--auth-tokens", &tokens, "--auth-users", &users];
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let daemon = Daemon::launch(
        super::program::clean(super::program::executable()),
        [&files[..], &tls].concat(),
    );
    let url = |path: &str| format!("https://{}{path}", daemon.address);
    let trusted = ["--cacert", &*certificate];
    let get = |path: &str, more: &[&str]| curl(&[&trusted[..], more, &[&url(path)]].concat());
    daemon.wait("the first tick", || (get("/ready", &[]).0 == 200).then_some(()));
    let log = daemon.log();
    assert!(log.contains("serving https://"), "{log}");
    assert!(!log.contains("in plain text"), "{log}");

    assert_eq!(get("/metrics", &[]).0, 401);
    assert_eq!(get("/metrics", &["--oauth2-bearer", "another"]).0, 401);
    let (status, metrics) = get("/metrics", &["--oauth2-bearer", "the-scraper's-token"]);
    assert!(status == 200 && metrics.contains("\nsystem_cpu_time_seconds_total{"), "{status}");
    let (status, health) = get("/health", &["--user", "eve:open sesame"]);
    assert!(status == 200 && health.contains("\"status\""), "{status} {health}");
    // Without the CA certificate no client trusts the server, and in plain text there is no response.
    assert_eq!(curl(&[&url("/ready")]).0, 0);
    assert_eq!(curl(&[&url("/ready").replacen("https", "http", 1)]).0, 0);
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        assert_eq!(get("/ready", &[version]).0, 200, "{version}");
    }

    let address = daemon.address.to_string();
    let top = |more: &[&str]| {
        let args = ["top", "--address", &address, "--count", "1"];
        monitor([&args[..], more].concat())
    };
    let shown = top(&["--tls-certificate", &certificate, "--auth-users", &users]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    assert!(shown.stdout.contains(&format!("https://{address}/metrics")), "{}", shown.stdout);
    let unknown = top(&["--tls-certificate", &certificate]);
    assert!(unknown.stderr.contains("--auth-tokens"), "{}", unknown.stderr);
    let clear = top(&["--auth-tokens", &tokens]);
    assert!(clear.stderr.contains("--tls-certificate"), "{}", clear.stderr);
    let [other, _] = self::certificate(&directory, "other");
    let other = top(&["--tls-certificate", &other, "--auth-tokens", &tokens]);
    assert!(other.stderr.contains("another certificate"), "{}", other.stderr);
}

#[test]
fn changed_certificates_and_secrets_are_used_without_a_signal() {
    let _serial = serial();
    let directory = Directory::new();
    let first = certificate(&directory, "first");
    let second = certificate(&directory, "second");
    let tokens = secret(&directory, "tokens", "old\n");
    let daemon = Daemon::start([]);
    let config = format!(
        "auth.tokens = {tokens:?}\n[tls]\ncertificate = {:?}\nkey = {:?}\n",
        first[0], first[1]
    );
    let log = daemon.reload(&config);
    assert!(log.contains("configuration reloaded: auth.tokens, tls.certificate, tls.key"), "{log}");
    let get = |certificate: &str, token: &str| {
        let url = format!("https://{}/health", daemon.address);
        curl(&["--cacert", certificate, "--oauth2-bearer", token, &url]).0
    };
    assert_eq!((get(&first[0], "old"), get(&first[0], "new")), (200, 401));
    // The same names, with something else in the files. Half of a pair is not used.
    let kept = directory.path("kept.pem").to_str().expect("plain letters").to_owned();
    fs::copy(&first[0], &kept).expect("the directory is ours");
    fs::copy(&second[0], &first[0]).expect("the directory is ours");
    daemon.wait("the mismatch", || daemon.log().contains("must belong together").then_some(()));
    assert_eq!((get(&kept, "old"), get(&second[0], "old")), (200, 0));
    fs::copy(&second[1], &first[1]).expect("the directory is ours");
    daemon.wait("the new certificate", || (get(&second[0], "old") == 200).then_some(()));
    secret(&directory, "tokens", "new\n");
    daemon.wait("the new token", || (get(&second[0], "new") == 200).then_some(()));
    assert_eq!(get(&second[0], "old"), 401);
    // Found by whichever looks first.
    let before = daemon.log().len();
    secret(&directory, "tokens", "# rotated\nnew\n");
    daemon.reload(&config);
    let log = daemon.log().split_off(before);
    let found = ["changed on disk and reloaded: auth.tokens", "reloaded: the file of auth.tokens"];
    assert!(found.iter().any(|found| log.contains(found)), "{log}");
    // A file that cannot be used leaves all as it was.
    secret(&directory, "tokens", "\n");
    let says = "changed on disk: auth.tokens; the previous content stays in use";
    daemon.wait("the empty file", || daemon.log().contains(says).then_some(()));
    assert!(daemon.log().contains("monitor.toml:1: auth.tokens"), "the origin: {}", daemon.log());
    assert_eq!(get(&second[0], "new"), 200);
    let log = daemon.reload(&config);
    assert!(log.contains("not reloaded") && log.contains("has no token, one a line"), "{log}");
    assert_eq!(get(&second[0], "new"), 200);
    let log = daemon.reload("");
    assert!(log.contains("configuration reloaded: "), "{log}");
    assert_eq!(daemon.get("/health").status, 200);
}

#[test]
fn expiry_is_that_of_openssl() {
    let _serial = serial();
    let directory = Directory::new();
    let [certificate, key] = certificate(&directory, "any");
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let daemon = Daemon::launch(super::program::clean(super::program::executable()), tls);
    let get = |path: &str| {
        let url = format!("https://{}{path}", daemon.address);
        curl(&["--cacert", &certificate, &url]).1
    };
    let name = "monitor_agent_certificate_time_to_expiry_seconds{";
    let seconds: f64 = daemon.wait("the metric", || {
        let metrics = get("/metrics");
        let line = metrics.lines().find(|line| line.starts_with(name))?.to_owned();
        assert!(line.contains("monitor_config_key=\"tls.certificate\""), "{line}");
        line.rsplit_once(' ')?.1.parse().ok()
    });
    let expires_in = |seconds: f64| {
        let seconds = format!("{seconds:.0}");
        let args = ["x509", "-noout", "-in", &certificate, "-checkend", &seconds];
        !run("openssl", &args).status.success()
    };
    assert!(!expires_in(seconds - 30.0) && expires_in(seconds + 30.0), "{seconds}");
    let health: serde_json::Value = serde_json::from_str(&get("/health")).expect("it is JSON");
    let expiry = &health["certificates"][0];
    assert_eq!(expiry["key"], "tls.certificate", "{expiry}");
    assert_eq!(expiry["days_until_expiry"], (seconds / 86400.0 * 10.0).floor() / 10.0, "{expiry}");
}

#[test]
fn what_cannot_be_used_is_an_error_at_the_start() {
    let directory = Directory::new();
    let [certificate, key] = certificate(&directory, "one");
    let [other, _] = self::certificate(&directory, "two");
    let start = |args: &[&str]| monitor([&["run", "--listen", "127.0.0.1:0"], args].concat());
    for (args, says) in [
        (&["--tls-key", &*key][..], "tls.key is set and tls.certificate is not"),
        (&["--tls-key", &key, "--tls-certificate", &other], "must belong together"),
        (&["--tls-key", &certificate, "--tls-certificate", &certificate], "has no private key"),
        (&["--auth-tokens", "/nonexistent"], "cannot read auth.tokens = \"/nonexistent\""),
    ] {
        let ended = start(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}");
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn an_open_door_and_open_files_are_warned_of() {
    let _serial = serial();
    let directory = Directory::new();
    let warns = |args: &[&str], says: &str| {
        // All addresses of a network of its own.
        let mut program = super::program::clean("unshare");
        let script = "ip link set lo up && exec \"$0\" \"$@\"";
        program.args(["--net", "sh", "-c", script]).arg(super::program::executable());
        let daemon = Daemon::launch(program, args.iter().copied());
        assert!(daemon.log().contains(says), "{}", daemon.log());
    };
    warns(&["--listen", "0.0.0.0:0"], "set auth.tokens or auth.users");
    let tokens = secret(&directory, "tokens", "secret\n");
    let args = ["--listen", "0.0.0.0:0", "--auth-tokens", &tokens];
    warns(&args, "in plain text; set tls.certificate and tls.key");
    let open = |path: &str| fs::set_permissions(Path::new(path), fs::Permissions::from_mode(0o644));
    open(&tokens).expect("it is ours");
    warns(&args, "every user of this host can read auth.tokens");
}
