//! What metrics and logs have in common in OTLP.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};

use crate::sample::Attributes;

/// A resource as it is sent.
pub(super) fn resource(resource: &opentelemetry_sdk::Resource) -> Resource {
    let pairs = resource.iter().map(|(key, value)| KeyValue {
        key: key.to_string(),
        value: Some(value.clone().into()),
        ..KeyValue::default()
    });
    Resource { attributes: pairs.collect(), ..Resource::default() }
}

/// What our measurements are made by.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "monitor".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The attributes of a series.
pub(super) fn attributes(attributes: &Attributes) -> Vec<KeyValue> {
    attributes.iter().map(|(name, value)| pair(name, text(value))).collect()
}

/// An attribute.
pub(super) fn pair(name: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

/// Text as a value.
pub(super) fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// A list of texts as a value.
pub(super) fn texts(values: &[String]) -> Value {
    let values = values.iter().map(|value| AnyValue { value: Some(text(value)) });
    Value::ArrayValue(ArrayValue { values: values.collect() })
}

/// A number as a value. OTLP has none above that of `i64`.
pub(super) fn number(value: impl TryInto<i64>) -> Value {
    Value::IntValue(value.try_into().unwrap_or(i64::MAX))
}

/// A time in nanoseconds since 1970; 0, which means none, for one before that.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().try_into().unwrap_or(0)
}
