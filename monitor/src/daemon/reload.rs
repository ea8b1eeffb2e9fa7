//! Reload of a running daemon: of the configuration when it is asked to, and of the files that the configuration names
//! when they change on disk.

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{self, MissedTickBehavior},
};

use super::{
    Plan, exports::Exports, files::NamedFiles, identity::Identity, routes, security,
    warn_of_strangers,
};
use crate::{
    config::{Config, EventsConfig, LogConfig},
    error::chain,
    export::{Credentials, Side, http::Security, otlp::Route},
};

/// What is set up once, when the daemon starts.
const FIXED: [&str; 4] = ["listen", "host", "log.bpf", "events.slow"];

/// Time between looks at the files that the configuration names.
const POLL: Duration = Duration::from_secs(1);

/// What is in force, and what it takes to change it.
pub(super) struct Reloader<'a> {
    pub(super) address: SocketAddr,
    pub(super) config: Config,
    pub(super) files: NamedFiles,
    /// To the tick loop.
    pub(super) configs: &'a std::sync::mpsc::Sender<Config>,
    /// Of HTTP connections that come from now on.
    pub(super) security: &'a watch::Sender<Arc<Security>>,
    pub(super) exports: &'a mut Exports,
    pub(super) credentials: &'a Credentials,
    pub(super) identity: &'a Identity,
}

impl Reloader<'_> {
    /// Reloads whenever it has to. Never completes.
    pub(super) async fn run(mut self, mut reloads: mpsc::Receiver<Plan>) {
        self.publish();
        let mut poll = time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(plan) = reloads.recv() => self.reload(plan).await,
                _ = poll.tick() => self.follow_files().await,
            }
        }
    }

    /// Changes to another configuration, as far as that is possible without a restart.
    async fn reload(&mut self, new: Plan) {
        self.identity.reread();
        warn_of_strangers(self.address, &new.security);
        self.exports.change(new.routes).await;
        self.security.send_replace(Arc::new(new.security));
        let replaced = new.files.changed_since(&self.files);
        self.config = settle(&self.config, new.config, &replaced);
        self.files = new.files;
        self.credentials.refuse(Side::Served, None);
        self.credentials.refuse(Side::Sent, None);
        self.publish();
        // A tick loop that has ended is noticed by its views.
        let _ = self.configs.send(self.config.clone());
    }

    /// Reads files again that changed on disk. Where they cannot be used, such as a certificate whose key is yet to be
    /// written, the previous content stays in use until they change again.
    async fn follow_files(&mut self) {
        let files = self.files.again();
        let changed = files.changed_since(&self.files);
        if changed.is_empty() {
            return;
        }
        self.files = files;
        let (sent, served): (Vec<&str>, Vec<&str>) =
            changed.iter().partition(|key| key.starts_with("otlp."));
        if !served.is_empty() {
            let read = security(&self.config).map_err(|error| chain(&error));
            let read = read.map(|security| drop(self.security.send_replace(Arc::new(security))));
            self.conclude(Side::Served, &served, read);
        }
        if !sent.is_empty() {
            let read = match self.usable_routes() {
                Ok(routes) => {
                    self.exports.change(routes).await;
                    Ok(())
                }
                Err(reason) => Err(reason),
            };
            self.conclude(Side::Sent, &sent, read);
        }
        self.publish();
    }

    /// Logs what came of files that changed, and keeps it for `/health` where they cannot be used.
    fn conclude(&self, side: Side, changed: &[&str], read: Result<(), String>) {
        let changed = changed.join(", ");
        let refused = read.err().map(|reason| {
            format!("changed on disk: {changed}; the previous content stays in use: {reason}")
        });
        match &refused {
            Some(refused) => tracing::warn!("{refused}"),
            None => tracing::info!("changed on disk and reloaded: {changed}"),
        }
        self.credentials.refuse(side, refused);
    }

    /// The routes as of now; none is lost that was in use.
    fn usable_routes(&self) -> Result<Vec<Route>, String> {
        let new = routes(&self.config).map_err(|error| chain(&error))?;
        let is_usable = |route: &&Route| route.unusable_reason().is_none();
        let lost = new.iter().find(|new| {
            let mut in_use = self.exports.routes().iter().filter(is_usable);
            !is_usable(new) && in_use.any(|old| old.signal() == new.signal())
        });
        match lost.and_then(Route::unusable_reason) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(new),
        }
    }

    /// Publishes which certificates are in use.
    fn publish(&self) {
        let served = self.security.borrow().certificate().cloned();
        let sent = self.exports.routes().iter().filter_map(|route| route.certificate().cloned());
        self.credentials.set(served.into_iter().chain(sent));
    }
}

/// The part of `new` that can be in force without a restart, beside what cannot change and stays as it is in `old`. Logs
/// which is which, and the keys of files that were replaced on disk.
fn settle(old: &Config, new: Config, replaced: &[&str]) -> Config {
    let (fixed, changed): (Vec<_>, Vec<_>) =
        changes(old, &new).into_iter().partition(|change| is_fixed(&change.key));
    for Change { key, old, new } in fixed {
        tracing::warn!("{key} = {new}: restart required; {old} stays in use until then");
    }
    let named = changed.into_iter().map(|change| change.key);
    let keys: Vec<_> =
        named.chain(replaced.iter().map(|key| format!("the file of {key}"))).collect();
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
