//! Sending the same series by our exporter, and by the SDK alone.

mod ours;
mod sdk;
mod series;

use anyhow::{Context, Result, bail, ensure};
use monitor::config::Compression;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tokio::runtime::Runtime;

use crate::{clock::cpu_time, sink::Sink};

/// Exports that are not counted, and those that are.
const WARM_UP: usize = 3;
const EXPORTS: usize = 20;

/// Sends everything once more; what was sent has come when the receiver has it.
type Export = Box<dyn FnMut() -> Result<()>>;

/// Prints how many seconds of CPU time an export took, and how many bytes were sent.
pub(crate) fn run(exporter: &str, compression: &str) -> Result<()> {
    let compression = match compression {
        "gzip" => Compression::Gzip,
        "none" => Compression::None,
        _ => bail!("{compression} is no compression"),
    };
    let mut sink = Sink::start()?;
    let runtime = Runtime::new()?;
    let _entered = runtime.enter();
    let series = series::many();
    let wanted = series::contents(&series);
    let mut export = match exporter {
        "monitor" => ours::start(sink.address, compression, &series, WARM_UP + EXPORTS)?,
        "sdk" => sdk::start(sink.address, compression, &series)?,
        _ => bail!("{exporter} is no exporter"),
    };
    let mut once = || {
        export()?;
        let received = sink.receive(series.len())?;
        let has = (received.points, received.durations, received.buckets);
        ensure!(has == wanted, "{has:?} came instead of {wanted:?}");
        Ok(received)
    };
    for _ in 0..WARM_UP {
        once()?;
    }
    let (before, mut last) = (cpu_time(), None);
    for _ in 0..EXPORTS {
        last = Some(once()?);
    }
    let used = cpu_time() - before;
    let last = last.context("nothing was sent")?;
    println!("{} {}", used.as_secs_f64() / EXPORTS as f64, last.size);
    Ok(())
}

/// The host that the series are of.
fn resource() -> Resource {
    monitor::resource::resource(vec![
        KeyValue::new("host.id", "i-0123456789abcdef0"),
        KeyValue::new("host.name", "ip-10-0-0-1"),
    ])
}
