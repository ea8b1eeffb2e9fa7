//! The configuration file.

use std::{fs, io, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    Config, ConfigError,
    origin::{Origin, Origins},
};
use crate::renames;

/// Where the file is looked for when none is named.
const DEFAULT_PATH: &str = "/etc/monitor/monitor.toml";

/// Reads the file that was named, or the usual one if it is there.
pub(super) fn read(named: Option<&Path>) -> Result<Config, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(Config::default())
        }
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let config = toml::from_str(text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        // The end of what is wrong lies in its line; its start may be the end of the line above.
        line: text[..error.span().map_or(0, |span| span.end)].lines().count().max(1),
        message: explain(&error),
    })?;
    let mut origins = Origins::default();
    if let Ok(table) = DeTable::parse(text) {
        note(table.get_ref(), "", &mut |key, offset| {
            let line = 1 + text[..offset].matches('\n').count();
            origins.set(key, Origin::File { path: path.to_owned(), line });
        });
    }
    Ok(Config { origins, ..config })
}

/// Calls `set` with the key and the position of each value of a table.
fn note(table: &DeTable<'_>, prefix: &str, set: &mut dyn FnMut(String, usize)) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => note(table, &format!("{key}."), set),
            _ => set(key, value.span().start),
        }
    }
}

/// What is wrong, in our words where the library's are of little help.
fn explain(error: &toml::de::Error) -> String {
    let message = error.message();
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let mut names = rest.split('`').step_by(2);
        return unknown("value", names.next().unwrap_or_default(), names);
    }
    let Some(rest) = message.strip_prefix("unknown field `") else {
        let message = message.trim_end_matches('\n').replace('\n', ": ");
        return match message.rsplit_once(", expected ") {
            Some((what, expected)) => format!("{what}, expected {}", in_words(expected)),
            None => message,
        };
    };
    let mut names = rest.split('`').step_by(2);
    let key = names.next().unwrap_or_default();
    let known = rest.split('`').skip(2).step_by(2);
    unknown("key", key, known)
}

/// What a value should be: the library calls it by its type in our sources.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a map" => "a table of keys",
        expected if expected.starts_with("struct ") => "a table of keys",
        expected => expected,
    }
}

pub(super) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    if let Some(new) = renames::of_config(name).filter(|new| known.contains(new)) {
        return format!("unknown {what} `{name}`: `{name}` was renamed to `{new}`");
    }
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((likeness, candidate)) if likeness > 0.7 => {
            format!("unknown {what} `{name}`; did you mean `{candidate}`?")
        }
        _ => format!("unknown {what} `{name}`; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renames::{Named, RENAMES};

    #[test]
    fn renamed_keys_and_values_are_named() {
        let path = Path::new("monitor.toml");
        for rename in RENAMES {
            let texts = |name| match rename.named {
                Named::Probe => {
                    vec![
                        format!("probes.{name} = true\n"),
                        format!("events.slow.{name} = \"1s\"\n"),
                    ]
                }
                Named::ConfigValue => vec![format!("{} = {name:?}\n", rename.of)],
                Named::Metric | Named::AttributeValue => Vec::new(),
            };
            for (old, new) in texts(rename.old).iter().zip(texts(rename.new)) {
                let error = parse(old, path).and_then(Config::validate).unwrap_err().to_string();
                let expected = format!("`{}` was renamed to `{}`", rename.old, rename.new);
                assert!(
                    error.starts_with("monitor.toml:1: ") && error.ends_with(&expected),
                    "{error}"
                );
                assert!(parse(&new, path).and_then(Config::validate).is_ok(), "{new}");
            }
        }
    }
}
