//! Our exporter, as the daemon runs it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use monitor::{
    config::{Compression, OtlpTlsConfig, Protocol, Signal, Target, Temporality},
    export::otlp::{Deltas, Otlp, Records, Route},
    view::{Series, View},
};
use tokio::sync::watch;

use super::{Export, resource};

/// How soon after an export may be the next.
const INTERVAL: Duration = Duration::from_millis(20);

/// Exports as many views at most. They are made beforehand: the exporter is given them.
pub(crate) fn start(
    sink: SocketAddr,
    compression: Compression,
    series: &[Series],
    times: usize,
) -> Result<Export> {
    let target = Target {
        endpoint: format!("http://{sink}").parse()?,
        protocol: Protocol::Grpc,
        headers: Vec::new(),
        compression,
        timeout: Duration::from_secs(10),
        interval: INTERVAL,
        temporality: Temporality::Cumulative,
        tls: OtlpTlsConfig::default(),
    };
    let route = Route::new(Signal::Metrics, target)?;
    let empty = || View::empty(Duration::from_secs(1));
    let ticks = 1..=times as u64;
    let ready: Vec<_> =
        ticks.map(|tick| Arc::new(View { tick, series: series.to_vec(), ..empty() })).collect();
    let views = watch::Sender::new(Arc::new(empty()));
    let resources = watch::channel(Some(resource())).1;
    let deltas = Arc::new(Deltas::new(SystemTime::now()));
    let otlp = Otlp::start(&[route], &resources, &views.subscribe(), &Records::new(), &deltas);
    let mut next = 0;
    Ok(Box::new(move || {
        let _runs = &otlp;
        views.send_replace(ready.get(next).context("no more views")?.clone());
        next += 1;
        Ok(())
    }))
}
