//! What Prometheus itself makes of `/metrics`: `promtool` and a real server, both from the package
//! `prometheus`, read a made-up view. None of it needs root.

mod server;
mod view;

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use monitor::{
    export::{http, prometheus::Prometheus},
    resource::resource,
    view::View,
};
use monitor_common::hist;
use server::Server;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

const REMEDY: &str = "install the package prometheus, as in `apt-get install prometheus`";

#[test]
fn promtool_finds_nothing() {
    let (_sender, views) = watch::channel(view::of_everything());
    let (_, text) =
        Prometheus::new(views, watch::channel(resource(Vec::new())).1).unwrap().render("").unwrap();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool does not start: {error}; {REMEDY}"));
    promtool.stdin.take().unwrap().write_all(&text).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert_eq!(said, ["", ""]);
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn both_forms_give_the_same_quantiles() {
    const NAME: &str = "monitor_sched_runqueue_latency_seconds";
    const GROUP: &str = "monitor_process_runqueue_latency_seconds{process_executable_name=\"web\"}";
    let runtime = Runtime::new().unwrap();
    let target = serve(&runtime, view::of_durations());
    let native = Server::start("native", &target, &["--enable-feature=native-histograms"]);
    let classic = Server::start("classic", &target, &[]);

    let durations = view::durations();
    for (metric, shift) in [(NAME, 0), (GROUP, hist::COARSE_SHIFT)] {
        let bucket = metric.replace("_seconds", "_seconds_bucket");
        for quantile in [0.1, 0.5, 0.9, 0.99, 0.999] {
            let truth = durations[(quantile * durations.len() as f64).ceil() as usize - 1];
            let at = format!("the {quantile}-quantile of {metric}, which is {truth} ns");

            let by_native = native.query(&format!("histogram_quantile({quantile}, {metric})"));
            let index = hist::index(truth) >> shift;
            let (lower, upper) = bounds(index, hist::SCALE - shift);
            assert!(lower < by_native && by_native <= upper, "{at}: {by_native} s by native");

            let by_classic = classic.query(&format!("histogram_quantile({quantile}, {bucket})"));
            let (lower, upper) = bounds(hist::index(truth) >> hist::SCALE, 0);
            assert!(lower < by_classic && by_classic <= upper, "{at}: {by_classic} s by classic");
        }
        let count = metric.replace("_seconds", "_seconds_count");
        let sum = metric.replace("_seconds", "_seconds_sum");
        assert_eq!(native.query(&format!("histogram_count({metric})")), durations.len() as f64);
        assert_eq!(classic.query(&count), durations.len() as f64);
        assert_eq!(native.query(&format!("histogram_sum({metric})")), classic.query(&sum));
    }
    // A histogram with nothing in it is one all the same.
    assert_eq!(native.query("histogram_count(monitor_sched_offcpu_latency_seconds)"), 0.0);
}

/// Serves a view, and says where.
fn serve(runtime: &Runtime, view: Arc<View>) -> String {
    let (sender, views) = watch::channel(view);
    let prometheus =
        Prometheus::new(views.clone(), watch::channel(resource(Vec::new())).1).unwrap();
    let state = http::State::new(
        prometheus,
        views,
        watch::channel(Arc::default()).1,
        Arc::default(),
        Arc::default(),
        Arc::default(),
    );
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move {
        let _published = sender;
        http::serve(listener, state, std::future::pending()).await;
    });
    address
}

/// Where a bucket begins and ends, in seconds.
fn bounds(index: i32, scale: u32) -> (f64, f64) {
    let bound = |index: i32| (f64::from(index) / f64::from(1 << scale)).exp2();
    // Prometheus computes with floating-point numbers, and may hit a bound from either side.
    (bound(index) * (1.0 - 1e-9), bound(index + 1) * (1.0 + 1e-9))
}
