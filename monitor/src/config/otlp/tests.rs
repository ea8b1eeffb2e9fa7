use super::*;

/// The metrics' and the logs' targets under these variables.
fn targets(config: &str, variables: &[(&str, &str)]) -> Result<[Option<Target>; 2], ConfigError> {
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let config: OtlpConfig = toml::from_str(config).unwrap();
    config.validate()?;
    let target = |signal| config.target(signal, &get, &Origins::default());
    Ok([target(Signal::Metrics)?, target(Signal::Logs)?])
}

fn endpoints(config: &str, variables: &[(&str, &str)]) -> [Option<String>; 2] {
    targets(config, variables).unwrap().map(|target| Some(target?.endpoint.to_string()))
}

fn both(metrics: &str, logs: &str) -> [Option<String>; 2] {
    [metrics, logs].map(|it| Some(it.to_owned()))
}

#[test]
fn nothing_is_sent_without_an_endpoint() {
    assert_eq!(endpoints("", &[]), [None, None]);
    assert_eq!(endpoints("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), [None, None]);
    let sent = "endpoint = 'http://c:4317'";
    for (variable, value, expected) in [
        ("OTEL_SDK_DISABLED", "TRUE", [false, false]),
        ("OTEL_SDK_DISABLED", "1", [true, true]),
        ("OTEL_METRICS_EXPORTER", "none", [false, true]),
        ("OTEL_LOGS_EXPORTER", "none", [true, false]),
        ("OTEL_LOGS_EXPORTER", "otlp", [true, true]),
    ] {
        let is_sent = endpoints(sent, &[(variable, value)]).map(|it| it.is_some());
        assert_eq!(is_sent, expected, "{variable}={value}");
    }
    let logs_alone = endpoints("endpoint = 'http://c:4317'\nmetrics = false", &[]);
    assert_eq!(logs_alone.map(|it| it.is_some()), [false, true]);
}

#[test]
fn endpoints_are_what_the_specification_makes_of_them() {
    let http = "protocol = 'http/protobuf'\nendpoint = 'http://c:4318/base/'";
    assert_eq!(
        endpoints(http, &[]),
        both("http://c:4318/base/v1/metrics", "http://c:4318/base/v1/logs")
    );
    // A query stays behind the path.
    assert_eq!(
        endpoints("protocol = 'http/protobuf'\nendpoint = 'http://c:4318/base/?key=1'", &[]),
        both("http://c:4318/base/v1/metrics?key=1", "http://c:4318/base/v1/logs?key=1")
    );
    // A signal's own is taken as it is.
    let own = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://p/otlp/?key=1/")];
    assert_eq!(
        endpoints(http, &own),
        both("http://c:4318/base/v1/metrics", "https://p/otlp/?key=1/")
    );
    let own = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://p/otlp/")];
    assert_eq!(endpoints(http, &own), both("http://c:4318/base/v1/metrics", "https://p/otlp/"));
    assert_eq!(
        endpoints(http, &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://p/api/v1/otlp")]),
        both("https://p/api/v1/otlp", "http://c:4318/base/v1/logs")
    );
    assert_eq!(
        endpoints("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317")]),
        both("https://c:4317/", "https://c:4317/")
    );
    let plain =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
    assert_eq!(endpoints("", &plain), both("http://c:4317/", "http://c:4317/"));
    let plain_logs =
        [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
    assert_eq!(endpoints("", &plain_logs), [None, Some("http://c:4317/".to_owned())]);
}

#[test]
fn variables_go_before_the_file_and_those_of_a_signal_before_those_of_all() {
    let file = "endpoint = 'http://c:4317'\ntimeout = '1s'\ninterval = '20s'\n\
                headers = { a = 'file', b = 'file' }";
    let [metrics, logs] = targets(
        file,
        &[
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "3000"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "b=all, Authorization=Bearer%20x%2Cy"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "b=logs"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ],
    )
    .unwrap()
    .map(Option::unwrap);
    let seconds = |target: &Target| [target.timeout, target.interval].map(|it| it.as_secs());
    // Logs are sent as they come.
    assert_eq!((seconds(&metrics), seconds(&logs)), ([2, 5], [3, 20]));
    assert_eq!((metrics.protocol, logs.protocol), (Protocol::Grpc, Protocol::HttpProtobuf));
    assert_eq!((metrics.compression, logs.compression), (Compression::None, Compression::Gzip));
    assert_eq!(logs.tls.ca.as_deref(), Some("/ca.pem".as_ref()));
    let texts = |target: &Target| -> Vec<String> {
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            assert!(value.is_sensitive());
            format!("{name}: {}", value.to_str().unwrap())
        };
        target.headers.iter().map(text).collect()
    };
    assert_eq!(texts(&metrics), ["a: file", "authorization: Bearer x,y", "b: all"]);
    assert_eq!(texts(&logs), ["a: file", "authorization: Bearer x,y", "b: logs"]);
}

#[test]
fn temporality_preferences_are_those_of_opentelemetry() {
    for (preference, expected) in [
        ("Cumulative", Temporality::Cumulative),
        ("DELTA", Temporality::Delta),
        ("lowmemory", Temporality::LowMemory),
    ] {
        let variable = ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference);
        let [metrics, _] = targets("endpoint = 'http://c:4317'", &[variable]).unwrap();
        assert_eq!(metrics.unwrap().temporality, expected);
        let file =
            format!("endpoint = 'http://c:4317'\ntemporality = '{preference}'").to_lowercase();
        let [metrics, _] = targets(&file, &[]).unwrap();
        assert_eq!(metrics.unwrap().temporality, expected);
    }
}

#[test]
fn what_cannot_be_is_named() {
    let error = |config: &str, variables: &[_]| targets(config, variables).unwrap_err().to_string();
    for (variable, value, expected) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1", "otlp.interval"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cr3t", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=%FF", "name=value"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c", "http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:s3cr3t@c/v1", "otlp.headers"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem", "otlp.tls.certificate"),
    ] {
        let error = error("endpoint = 'http://c:4317'", &[(variable, value)]);
        assert!(error.contains(expected) && error.contains(variable), "{error}");
        assert!(!error.contains("s3cr3t"), "{error}");
    }
    let of_a_signal = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
    ];
    let of_a_signal = error("", &of_a_signal);
    assert!(of_a_signal.starts_with("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT: otlp.timeout"));
    for (config, expected) in [
        ("endpoint = 'localhost'", "http://"),
        ("endpoint = 'me:s3cr3t@collector:4317'", "otlp.headers"),
        ("endpoint = 'http://c:4317?key=s3cr3t'", "otlp.protocol"),
        ("endpoint = 'c:4318?key=s3cr3t'\nprotocol = 'http/protobuf'", "http://"),
        ("headers = { 'a b' = 'x' }", "`a b`"),
        ("headers = { a = \"x\\ny\" }", "`a`"),
        ("interval = '1ms'", "otlp.interval"),
        ("tls.certificate = 'c.pem'", "otlp.tls.key"),
    ] {
        let error = error(config, &[]);
        assert!(error.contains(expected) && !error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn headers_and_queries_are_not_printed() {
    let config: OtlpConfig =
        toml::from_str("endpoint = 'http://c/?key=s3cr3t'\nheaders = { authorization = 's3cr3t' }")
            .unwrap();
    for printed in [toml::to_string(&config).unwrap(), format!("{:?}", config.headers)] {
        assert!(printed.contains("authorization") && !printed.contains("s3cr3t"), "{printed}");
    }
}

/// The standard variables that are read, with a valid value and one that cannot be used, if there is one.
const VARIABLES: [(&str, &str, &str); 14] = [
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem", ""),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "", "/c.pem"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "", "/k.pem"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "zstd"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4317", "unix:///run/otel.sock"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "a=b", "nonsense"),
    ("OTEL_EXPORTER_OTLP_INSECURE", "true", ""),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", "stateless"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "http/json"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000", "10s"),
    ("OTEL_LOGS_EXPORTER", "none", ""),
    ("OTEL_METRICS_EXPORTER", "none", ""),
    ("OTEL_METRIC_EXPORT_INTERVAL", "2000", "0"),
    ("OTEL_SDK_DISABLED", "true", ""),
];

#[test]
fn a_variable_that_cannot_be_used_matters_only_where_something_is_sent() {
    let own = |name: &str, signal: &str| {
        name.replace("OTEL_EXPORTER_OTLP_", &format!("OTEL_EXPORTER_OTLP_{signal}_"))
    };
    for (name, valid, nonsense) in VARIABLES {
        let sent = "endpoint = 'http://c:4317'";
        let is_endpoint = name.ends_with("ENDPOINT");
        for config in ["", sent] {
            let unset = targets(config, &[]).unwrap();
            assert_eq!(targets(config, &[(name, "")]).unwrap(), unset, "{name}");
            assert!(targets(config, &[(name, valid)]).is_ok(), "{name}");
            let with_nonsense = targets(config, &[(name, nonsense)]);
            if nonsense.is_empty() || (config.is_empty() && !is_endpoint) {
                assert_eq!(with_nonsense.unwrap(), unset, "{name}");
            } else {
                assert!(with_nonsense.unwrap_err().to_string().contains(name));
                let off = ("OTEL_SDK_DISABLED", "true");
                assert_eq!(targets(config, &[(name, nonsense), off]).unwrap(), [None, None]);
            }
        }
        // What is said for a signal alone overrides what is said for all, and is for that one alone.
        let [metrics, logs] = ["METRICS", "LOGS"].map(|signal| own(name, signal));
        if !nonsense.is_empty()
            && !valid.is_empty()
            && metrics != name
            && !name.ends_with("HEADERS")
            && !name.contains("_METRICS_")
        {
            let overridden = [(&*metrics, valid), (&*logs, valid), (name, nonsense)];
            assert!(targets(sent, &overridden).is_ok(), "{name}");
            let error = targets(sent, &[(&*logs, nonsense)]).unwrap_err().to_string();
            assert!(error.contains(&logs), "{error}");
        }
    }
}

#[test]
fn flags_and_variables_of_ours_override_standard_variables() {
    let config: OtlpConfig = toml::from_str("endpoint = 'http://flag:4317'").unwrap();
    let mut origins = Origins::default();
    origins.set("otlp.endpoint", crate::config::Origin::Flag("--otlp-endpoint".to_owned()));
    let environment = |name: &str| {
        let is_it = name == "OTEL_EXPORTER_OTLP_ENDPOINT";
        is_it.then(|| "unix:///not/read".to_owned())
    };
    let target = config.target(Signal::Logs, &environment, &origins).unwrap().unwrap();
    assert_eq!(target.endpoint, "http://flag:4317/");
}
