//! What CloudWatch Logs has, as moto plays it.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use monitor_backends::{Programs, http};
use serde_json::{Value, json};

const NAMESPACE: &str = "InfrastructureHealthMonitor";
/// Where EMF documents go.
pub(crate) const METRICS: &str = "/monitor/metrics";
/// Where records go.
pub(crate) const LOGS: &str = "/monitor/logs";

/// Days for which a group is kept, if there is such a group.
pub(crate) fn retention(moto: SocketAddr, group: &str) -> Option<Value> {
    let answer = ask(moto, "DescribeLogGroups", &json!({"logGroupNamePrefix": group}))?;
    let groups = answer["logGroups"].as_array().expect("groups are listed");
    Some(groups.first()?["retentionInDays"].clone())
}

/// All documents in a group.
pub(crate) fn documents(moto: SocketAddr, group: &str) -> Vec<Value> {
    let request = json!({"logGroupName": group, "limit": 10_000});
    let Some(answer) = ask(moto, "FilterLogEvents", &request) else { return Vec::new() };
    let events = answer["events"].as_array().expect("events are listed");
    let text = |event: &Value| event["message"].as_str().expect("a message is text").to_owned();
    events.iter().map(|event| serde_json::from_str(&text(event)).expect("it is JSON")).collect()
}

/// Asserts that documents are what CloudWatch's specification says.
fn assert_valid(documents: &[Value]) {
    const CHECK: &str = "import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
for document in json.load(sys.stdin):
    jsonschema.validate(document, schema)";
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/emf-schema.json");
    let programs = Programs::find().expect("they were made");
    let mut python = Command::new(programs.python());
    let python =
        python.args(["-c", CHECK]).arg(schema).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut process = python.spawn().expect("Python is there");
    let mut stdin = process.stdin.take().expect("it is piped");
    stdin.write_all(json!(documents).to_string().as_bytes()).expect("it reads all");
    drop(stdin);
    let output = process.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What documents say of a host, as all of them have to: metrics with their units and values.
pub(crate) fn headlines<'a>(
    documents: &'a [Value],
    host: &str,
) -> Vec<(&'a str, &'a str, &'a Value)> {
    assert_valid(documents);
    let list = |value: &'a Value| value.as_array().expect("the schema says so");
    let mut headlines = Vec::new();
    for document in documents {
        for directive in list(&document["_aws"]["CloudWatchMetrics"]) {
            assert_eq!(directive["Namespace"], NAMESPACE);
            assert_eq!(directive["Dimensions"], json!([["host.id"]]));
            assert_eq!(document["host.id"], host);
            headlines.extend(list(&directive["Metrics"]).iter().map(|metric| {
                let name = metric["Name"].as_str().expect("the schema says so");
                (name, metric["Unit"].as_str().unwrap_or_default(), &document[name])
            }));
        }
    }
    headlines
}

/// The answer to a request, if it is a success.
fn ask(moto: SocketAddr, action: &str, request: &Value) -> Option<Value> {
    let target = format!("Logs_20140328.{action}");
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", &target),
        // Nobody checks it; the region and the service are read from it.
        ("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/logs/aws4_request"),
    ];
    let answer = http::post(moto, "/", &headers, request.to_string().as_bytes()).ok()?;
    Some(serde_json::from_str(&answer).expect("the answer is JSON"))
}
