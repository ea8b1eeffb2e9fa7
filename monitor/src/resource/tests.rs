use std::time::{Duration, Instant};

use opentelemetry::Key;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
    task::JoinHandle,
};

use super::*;
use crate::host::scratch::Scratch;

fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let mut pairs = attributes.iter().filter(|pair| pair.key.as_str() == key);
    pairs.next_back().map(|pair| pair.value.to_string())
}

fn below(scratch: &Scratch) -> HostPaths {
    HostPaths { proc: scratch.path("proc"), sys: scratch.path("sys"), root: scratch.path("root") }
}

#[test]
fn a_host_is_described_by_its_own_files() {
    let scratch = Scratch::new("resource-host");
    scratch.write("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    scratch.write("root/etc/hostname", "outside\n");
    scratch
        .write("root/etc/os-release", "NAME=\"A System\"\nVERSION_ID='12'\nPRETTY_NAME=\"A 12\"\n");
    scratch.write("proc/sys/kernel/osrelease", "6.1.0-cloud\n");
    let host = of_host(&below(&scratch)).attributes;
    for (key, expected) in [
        ("host.id", "0123456789abcdef0123456789abcdef"),
        ("host.name", "outside"),
        ("os.type", "linux"),
        ("os.name", "A System"),
        ("os.version", "12"),
        ("os.description", "A 12, Linux 6.1.0-cloud"),
    ] {
        assert_eq!(value(&host, key).as_deref(), Some(expected), "{key}");
    }
    assert!(["amd64", "arm64"].contains(&value(&host, "host.arch").unwrap().as_str()));
    assert_eq!(value(&host, "cloud.provider"), None);

    let resource = resource(host);
    let of = |key: &'static str| resource.get(&Key::new(key)).map(|value| value.to_string());
    assert_eq!(of("service.name").as_deref(), Some("monitor"));
    assert_eq!(of("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(of("service.instance.id"), of("host.id"));
}

#[test]
fn what_a_host_does_not_say_is_left_out() {
    let scratch = Scratch::new("resource-empty");
    scratch.write("root/etc/machine-id", "\n");
    let host = of_host(&below(&scratch)).attributes;
    for key in ["os.name", "os.version", "os.description"] {
        assert_eq!(value(&host, key), None, "{key}");
    }
    // Then the kernel's name for it is its id.
    let name = value(&host, "host.name");
    assert!(name.is_some());
    assert_eq!(value(&host, "host.id"), name);
    let instance = resource(host).get(&Key::new("service.instance.id"));
    assert_eq!(instance.map(|id| id.to_string()), name);
}

#[test]
fn the_firmware_knows_an_instance() {
    let scratch = Scratch::new("resource-nitro");
    scratch.write("root/etc/machine-id", "0123\n");
    scratch.write("sys/devices/virtual/dmi/id/sys_vendor", "Amazon EC2\n");
    scratch.write("sys/devices/virtual/dmi/id/board_asset_tag", "i-0abc\n");
    let host = of_host(&below(&scratch)).attributes;
    assert_eq!(value(&host, "host.id").as_deref(), Some("i-0abc"));
    assert_eq!(value(&host, "cloud.platform").as_deref(), Some("aws_ec2"));
    let instance = resource(host).get(&Key::new("service.instance.id"));
    assert_eq!(instance.map(|id| id.to_string()).as_deref(), Some("i-0abc"));
}

const DOCUMENT: &str = r#"{"accountId": "123456789012", "architecture": "x86_64",
    "availabilityZone": "eu-central-1b", "billingProducts": null, "imageId": "ami-5fb8c835",
    "instanceId": "i-1234567890abcdef0", "instanceType": "m6i.large", "region": "eu-central-1"}"#;

/// A metadata service that answers as the function says.
fn service(
    runtime: &Runtime,
    answer: fn(&str) -> Option<&'static str>,
) -> (String, JoinHandle<Vec<String>>) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let heard = runtime.spawn(async move {
        let mut heard = Vec::new();
        while heard.len() < 2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let Some(body) = answer(&request) else {
                tokio::time::sleep(Duration::from_secs(60)).await;
                break;
            };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            heard.push(request);
        }
        heard
    });
    (address, heard)
}

#[test]
fn the_metadata_service_is_asked_with_a_token() {
    let runtime = Runtime::new().unwrap();
    let (address, heard) = service(&runtime, |request| match request {
        request if request.starts_with("PUT ") => Some("the-token"),
        _ => Some(DOCUMENT),
    });
    let cloud = runtime.block_on(ec2::ask(&address)).unwrap();
    for (key, expected) in [
        ("cloud.provider", "aws"),
        ("cloud.platform", "aws_ec2"),
        ("cloud.region", "eu-central-1"),
        ("cloud.availability_zone", "eu-central-1b"),
        ("cloud.account.id", "123456789012"),
        ("host.id", "i-1234567890abcdef0"),
        ("host.image.id", "ami-5fb8c835"),
        ("host.type", "m6i.large"),
    ] {
        assert_eq!(value(&cloud, key).as_deref(), Some(expected), "{key}");
    }
    let heard = runtime.block_on(heard).unwrap();
    assert!(heard[0].starts_with("PUT /latest/api/token HTTP/1.1"), "{}", heard[0]);
    assert!(heard[0].contains("x-aws-ec2-metadata-token-ttl-seconds: 60"), "{}", heard[0]);
    let asked = "GET /latest/dynamic/instance-identity/document HTTP/1.1";
    assert!(heard[1].starts_with(asked), "{}", heard[1]);
    assert!(heard[1].contains("x-aws-ec2-metadata-token: the-token"), "{}", heard[1]);
}

#[test]
fn a_metadata_service_that_does_not_answer_is_given_up() {
    let runtime = Runtime::new().unwrap();
    let (address, _heard) = service(&runtime, |_| None);
    let begin = Instant::now();
    assert!(runtime.block_on(ec2::ask(&address)).is_err());
    let took = begin.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "{took:?}");
    let (address, _heard) = service(&runtime, |_| Some("no document"));
    assert!(runtime.block_on(ec2::ask(&address)).is_err());
    assert!(runtime.block_on(ec2::ask("http://127.0.0.1:1")).is_err());
}

#[test]
fn nobody_is_asked_elsewhere() {
    let scratch = Scratch::new("resource-elsewhere");
    let cloud = Runtime::new().unwrap().block_on(ask_cloud(&below(&scratch)));
    assert_eq!(cloud.unwrap(), []);
}
