//! Which form of the exposition a client wants.

/// The forms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format, 0.0.4.
    Text,
    /// `io.prometheus.client` messages, each with its length before it.
    Protobuf,
}

impl Format {
    /// What an `Accept` header asks for. Protobuf is only for who names it; text is for all others,
    /// even those who accept neither.
    pub(super) fn negotiate(accept: &str) -> Self {
        let (mut text, mut protobuf) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let quality = parameter(&parameters, "q").map_or(Some(1.0), |q| q.parse().ok());
            let quality: f32 = quality.unwrap_or(0.0);
            match media_type.as_str() {
                "application/vnd.google.protobuf"
                    if parameter(&parameters, "proto")
                        == Some("io.prometheus.client.MetricFamily")
                        && parameter(&parameters, "encoding") == Some("delimited") =>
                {
                    protobuf = quality.max(protobuf);
                }
                "text/plain" | "text/*" | "*/*" => text = quality.max(text),
                _ => {}
            }
        }
        if protobuf > 0.0 && protobuf >= text { Self::Protobuf } else { Self::Text }
    }

    /// The `Content-Type` of the form.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; \
                 proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// The value of a parameter, without the quotes it may have.
fn parameter<'a>(parameters: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let (_, value) =
        parameters.iter().find(|(other, _)| other.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Prometheus 2.42 sends with native histograms on.
    const PROMETHEUS_2: &str = "application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited,\
        application/openmetrics-text;version=1.0.0;q=0.8,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    /// What Prometheus 3 sends with native histograms off.
    const PROMETHEUS_3_TEXT: &str = "application/openmetrics-text;version=1.0.0;\
        escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[test]
    fn the_form_asked_for_is_chosen() {
        const PROTOBUF: &str = "application/vnd.google.protobuf; \
            proto=\"io.prometheus.client.MetricFamily\"; encoding=delimited";
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, application/xhtml+xml, */*;q=0.8", Format::Text),
            ("application/json", Format::Text),
            (PROMETHEUS_2, Format::Protobuf),
            (PROMETHEUS_3_TEXT, Format::Text),
            (PROTOBUF, Format::Protobuf),
            (&format!("{PROTOBUF};q=0.4, text/plain;q=0.5"), Format::Text),
            (&format!("text/plain;q=0.4, {PROTOBUF};q=0.5"), Format::Protobuf),
            (&format!("{PROTOBUF};q=0"), Format::Text),
            (&format!("{PROTOBUF};q=high"), Format::Text),
            (&PROTOBUF.replace("delimited", "text"), Format::Text),
            (&PROTOBUF.replace("MetricFamily", "Metric"), Format::Text),
            (
                "APPLICATION/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
              Encoding=delimited",
                Format::Protobuf,
            ),
            (";;=,,q=1", Format::Text),
        ] {
            assert_eq!(Format::negotiate(accept), expected, "{accept}");
        }
    }
}
