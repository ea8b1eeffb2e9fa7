//! What Loki has.

use std::net::SocketAddr;

use monitor_backends::http;
use serde_json::Value;

use super::prometheus::encoded;

/// A record: its time, its text, and labels and attributes.
pub(crate) struct Record {
    pub(crate) time_ns: u64,
    pub(crate) line: String,
    pub(crate) attributes: Value,
}

/// Records of the last hour that a query in LogQL finds.
pub(crate) fn query(loki: SocketAddr, query: &str) -> Vec<Record> {
    let path = format!("/loki/api/v1/query_range?limit=100000&query={}", encoded(query));
    let answer = http::get(loki, &path).unwrap_or_else(|error| panic!("{query}: {error:#}"));
    let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
    let streams =
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("no result: {answer}"));
    let records = streams.iter().flat_map(|stream| {
        let lines = stream["values"].as_array().expect("a stream has lines");
        lines.iter().map(|line| Record {
            time_ns: text(&line[0]).parse().expect("times are numbers"),
            line: text(&line[1]).to_owned(),
            attributes: stream["stream"].clone(),
        })
    });
    records.collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
