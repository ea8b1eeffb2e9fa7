//! A new configuration for a daemon that runs: what changes, and what cannot.

use crate::config::{Config, EventsConfig, LogConfig};

/// What is set up once, when the daemon starts.
const FIXED: [&str; 4] = ["listen", "host", "log.bpf", "events.slow"];

/// The part of `new` that can be in force without a restart, beside what cannot change and stays as it
/// is in `old`. Says in the log which is which.
pub(super) fn settle(old: &Config, new: Config) -> Config {
    let (fixed, changed): (Vec<_>, Vec<_>) =
        changes(old, &new).into_iter().partition(|change| is_fixed(&change.key));
    for Change { key, old, new } in fixed {
        tracing::warn!("{key} = {new} takes a restart of monitor; until then it stays {old}");
    }
    let keys: Vec<_> = changed.into_iter().map(|change| change.key).collect();
    if keys.is_empty() {
        tracing::info!("configuration reloaded: nothing has changed");
    } else {
        tracing::info!("configuration reloaded: {}", keys.join(", "));
    }
    Config {
        listen: old.listen,
        host: old.host.clone(),
        log: LogConfig { bpf: old.log.bpf, ..new.log },
        events: EventsConfig { slow: old.events.slow.clone(), ..new.events },
        ..new
    }
}

/// Whether a key is, or is in a table, that is set up once.
fn is_fixed(key: &str) -> bool {
    FIXED.iter().any(|fixed| {
        key.strip_prefix(fixed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// A key whose value is another.
struct Change {
    key: String,
    old: String,
    new: String,
}

/// What tells two configurations apart.
fn changes(old: &Config, new: &Config) -> Vec<Change> {
    // Their values are not printed, so that they look the same.
    let secrets = (old.otlp.headers != new.otlp.headers).then(|| {
        let secret = || "secret".to_owned();
        Change { key: "otlp.headers".to_owned(), old: secret(), new: secret() }
    });
    let [old, new] = [old, new].map(|config| {
        // Every configuration can be printed: `monitor config` does.
        toml::Value::try_from(config).unwrap_or(toml::Value::Boolean(false))
    });
    let mut changes = Vec::new();
    compare(String::new(), Some(&old), Some(&new), &mut changes);
    changes.extend(secrets);
    changes
}

fn compare(
    key: String,
    old: Option<&toml::Value>,
    new: Option<&toml::Value>,
    changes: &mut Vec<Change>,
) {
    if old == new {
        return;
    }
    let tables = [old, new].map(|value| value.and_then(toml::Value::as_table));
    if let [None, None] = tables {
        let text = |value: Option<&toml::Value>| {
            value.map_or_else(|| "unset".to_owned(), toml::Value::to_string)
        };
        changes.push(Change { key, old: text(old), new: text(new) });
        return;
    }
    let [old, new] = tables.map(|table| table.cloned().unwrap_or_default());
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for name in names {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        compare(key, old.get(name), new.get(name), changes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Secret, Threshold};

    #[test]
    fn changes_are_named_by_their_keys() {
        let old = Config::default();
        let mut new = old.clone();
        assert!(changes(&old, &new).is_empty());
        new.interval = Duration::from_secs(2);
        new.groups.top = 7;
        new.probes.insert("sched".to_owned(), false);
        new.otlp.headers.insert("a".to_owned(), Secret("b".to_owned()));
        let changes = changes(&old, &new);
        let texts: Vec<_> =
            changes.iter().map(|it| format!("{} {} {}", it.key, it.old, it.new)).collect();
        assert_eq!(
            texts,
            [
                "groups.top 100 7",
                r#"interval "1s" "2s""#,
                r#"otlp.headers.a unset "***""#,
                "probes.sched true false",
                "otlp.headers secret secret",
            ]
        );
    }

    #[test]
    fn what_is_set_up_once_stays_as_it_is() {
        let old = Config::default();
        let mut new = old.clone();
        new.listen = ([127, 0, 0, 1], 1).into();
        new.host.sys = "/host/sys".into();
        new.log.level = "debug".to_owned();
        new.events.slow.insert("sched".to_owned(), Threshold(Duration::from_secs(7)));
        let fixed = changes(&old, &new).into_iter().filter(|change| is_fixed(&change.key));
        assert_eq!(fixed.count(), 3);
        let settled = settle(&old, new);
        assert_eq!((settled.listen, &settled.host.sys), (old.listen, &old.host.sys));
        assert_eq!(settled.log.level, "debug");
        assert_eq!(settled.events.slow, old.events.slow);
    }

    #[test]
    fn what_is_fixed_exists() {
        let old = toml::Value::try_from(Config::default()).unwrap();
        for key in FIXED {
            let value = key.split('.').try_fold(&old, |value, name| value.get(name));
            assert!(value.is_some(), "{key}");
        }
    }
}
