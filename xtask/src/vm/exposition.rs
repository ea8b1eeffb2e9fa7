//! Series in Prometheus' text form, as far as ours uses it.

use anyhow::{Context, Result};

/// One sample of a series.
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// All samples of a scrape.
pub(crate) struct Exposition(Vec<Sample>);

impl Exposition {
    /// Reads lines such as `name{label="value"} 1`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| sample(line).with_context(|| format!("not a sample: {line}")))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The samples of a name whose labels are among others these.
    pub(crate) fn values<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = f64> + 'a {
        let samples = self.0.iter().filter(move |sample| sample.name == name);
        samples.filter(move |sample| sample.has(labels)).map(|sample| sample.value)
    }

    /// The sum of those; none is 0.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // A sum of nothing would be -0.
        self.values(name, labels).fold(0.0, |sum, value| sum + value)
    }

    /// Each value of a label of a name, with the sample's own; without samples that have all labels of one
    /// of `except`.
    pub(crate) fn by_label<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
        except: &'a [&'a [(&'a str, &'a str)]],
    ) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        let samples = self.0.iter().filter(move |sample| {
            sample.name == name && !except.iter().any(|labels| sample.has(labels))
        });
        samples.filter_map(move |sample| {
            let (_, text) = sample.labels.iter().find(|(name, _)| name == label)?;
            Some((text.as_str(), sample.value))
        })
    }
}

impl Sample {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.iter().any(|(n, v)| n == name && v == value))
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (label, after) = inside.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            inside = after;
        }
        rest = &inside[1..];
    }
    Some(Sample { name: name.to_owned(), labels, value: rest.trim().parse().ok()? })
}

/// Text up to its closing quotation mark, and what comes after that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    #[test]
    fn samples_are_found_by_their_labels() {
        let text =
            "# HELP a what\n# TYPE a counter\na{x=\"1\",y=\"q \\\"}, \"} 2\na{x=\"2\"} 3.5\nb 4\n";
        let exposition = Exposition::parse(text).unwrap();
        assert_eq!(exposition.sum("a", &[]), 5.5);
        assert_eq!(exposition.sum("a", &[("y", "q \"}, ")]), 2.0);
        assert_eq!(exposition.sum("b", &[]), 4.0);
        assert_eq!(exposition.values("c", &[]).count(), 0);
        let by_x = |except| exposition.by_label("a", "x", except).collect::<Vec<_>>();
        assert_eq!(by_x(&[]), [("1", 2.0), ("2", 3.5)]);
        assert_eq!(by_x(&[&[("x", "2")]]), [("1", 2.0)]);
        assert!(Exposition::parse("a{x=\"1} 2").is_err());
    }
}
