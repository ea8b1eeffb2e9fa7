//! What tests of decoders have in common.

use monitor_common::key::COMM_LEN;

use crate::sample::{Owner, Sample, Value};

/// A command name as the kernel keeps it.
pub(super) fn comm(name: &str) -> [u8; COMM_LEN] {
    let mut comm = [0; COMM_LEN];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    comm
}

/// A sample in words: metric, owner, attribute values, value.
pub(super) fn in_words(sample: &Sample<'_>) -> String {
    let owner = match sample.owner {
        Owner::Host => "host".to_owned(),
        Owner::Rest => "rest".to_owned(),
        Owner::Process(process) => format!(
            "{}:{}{}",
            process.pid,
            String::from_utf8_lossy(&process.comm).trim_end_matches('\0'),
            if process.kernel_thread { ":kernel" } else { "" }
        ),
    };
    let value = match &sample.value {
        Value::Increase(increase) => increase.to_string(),
        Value::Histogram(it) => format!("{}ns at {}: {:?}", it.sum_ns, it.shift, it.slots),
        value => format!("{value:?}"),
    };
    let attributes = sample.attributes.iter().map(|(_, value)| value);
    let words: Vec<_> =
        [sample.metric.name, &owner].into_iter().chain(attributes).chain([&*value]).collect();
    words.join(" ")
}
