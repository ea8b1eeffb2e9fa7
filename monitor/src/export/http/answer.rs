//! What is answered to which request.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{self, Query, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
            WWW_AUTHENTICATE,
        },
    },
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{task, time};

use super::{RENDERING_WAIT, State};
use crate::{
    export::{
        CertificateStatus,
        otlp::{ExportState, ExportStatus},
    },
    view::{AuditRow, ProbeState, ProbeStatus, ProcessRow, View},
};

/// After how many intervals without a new view the tick loop counts as stuck.
const STUCK_AFTER: u32 = 10;

/// The live page may load nothing and talk to this server alone.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
                           style-src 'unsafe-inline'; frame-ancestors 'none'";

/// All that is answered.
pub(super) fn router(state: State) -> Router {
    Router::new()
        .route("/", get(live_page))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/api/v1/processes", get(processes))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(state.clone(), authorize))
        .with_state(state)
}

/// The one path that everybody may ask for, as who restarts the daemon has no secrets, and that says
/// nothing of the host.
const OPEN: &str = "/ready";

/// Answers only who is allowed to read.
async fn authorize(
    extract::State(state): extract::State<State>,
    request: extract::Request,
    next: Next,
) -> Response {
    let security = state.security.borrow().clone();
    let sent = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if request.uri().path() == OPEN || security.auth.allows(sent) {
        return next.run(request).await;
    }
    let error = "authentication required: send a bearer token, or a user and password";
    let mut response = failure(StatusCode::UNAUTHORIZED, &error);
    for challenge in security.auth.challenges() {
        let challenge = HeaderValue::from_static(challenge);
        response.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    response
}

async fn live_page() -> ([(HeaderName, &'static str); 1], Html<&'static str>) {
    ([(CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(include_str!("live.html")))
}

async fn metrics(extract::State(state): extract::State<State>, headers: HeaderMap) -> Response {
    let accept: Vec<_> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = accept.join(",");
    let turn = time::timeout(RENDERING_WAIT, state.renderings.acquire_owned());
    let Ok(Ok(permit)) = turn.await else {
        let error = "too many requests for metrics at once; ask again later";
        return failure(StatusCode::SERVICE_UNAVAILABLE, &error);
    };
    // Many series take a while, in which the daemon's other work must go on.
    let rendered = task::spawn_blocking(move || {
        let _permit = permit;
        state.prometheus.render(&accept)
    });
    match rendered.await {
        Ok(Ok((content_type, body))) => ([(CONTENT_TYPE, content_type)], body).into_response(),
        Ok(Err(error)) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

/// The health of the daemon.
#[derive(Serialize)]
struct Health<'a> {
    status: Status,
    version: &'static str,
    uptime_seconds: f64,
    tick: u64,
    tick_age_seconds: f64,
    interval_seconds: f64,
    probes: &'a [ProbeStatus],
    audit: &'a [AuditRow],
    exports: &'a [ExportStatus],
    certificates: &'a [CertificateStatus],
    problems: &'a [String],
    absent: &'a [String],
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// All that is asked for is measured and sent.
    Ok,
    /// Something is not measured, or not sent.
    Degraded,
    /// Nothing is measured any more.
    Stuck,
}

impl Status {
    fn of(view: &View, exports: &[ExportStatus], age: Duration) -> Self {
        let works =
            |probe: &ProbeStatus| matches!(probe.state, ProbeState::Active | ProbeState::Disabled);
        let fails = |export: &ExportStatus| export.state == ExportState::Failing;
        if age > view.next * STUCK_AFTER {
            Self::Stuck
        } else if view.problems.is_empty()
            && view.probes.iter().all(works)
            && !exports.iter().any(fails)
        {
            Self::Ok
        } else {
            Self::Degraded
        }
    }
}

async fn health(extract::State(state): extract::State<State>) -> Response {
    let view = latest(&state);
    let age = view.instant.elapsed();
    let exports = state.exports.statuses();
    let status = Status::of(&view, &exports, age);
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: state.started.elapsed().as_secs_f64(),
        tick: view.tick,
        tick_age_seconds: age.as_secs_f64(),
        interval_seconds: view.interval.as_secs_f64(),
        probes: &view.probes,
        audit: &view.audit,
        exports: &exports,
        certificates: &state.credentials.statuses(),
        problems: &view.problems,
        absent: &view.absent,
    };
    let code =
        if status == Status::Stuck { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(health)).into_response()
}

async fn ready(extract::State(state): extract::State<State>) -> (StatusCode, &'static str) {
    if latest(&state).tick > 0 {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the first tick has not ended\n")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default = "Wanted::default_limit")]
    limit: usize,
}

impl Wanted {
    fn default_limit() -> usize {
        50
    }
}

/// The busiest processes of the last tick.
#[derive(Serialize)]
struct Processes<'a> {
    tick: u64,
    /// When the tick ended, in seconds since 1970.
    time: f64,
    interval_seconds: f64,
    /// How many there are, whatever the limit.
    total: usize,
    processes: &'a [ProcessRow],
    /// Why there are none, where they are not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_measured: Option<String>,
}

async fn processes(
    extract::State(state): extract::State<State>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Query(wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(rejection) => {
            let cause = rejection.body_text();
            let error = format!("{cause}; ask for a whole number of processes, as in ?limit=50");
            return failure(StatusCode::BAD_REQUEST, &error);
        }
    };
    let view = latest(&state);
    let shown = wanted.limit.min(view.processes.len());
    Json(Processes {
        tick: view.tick,
        time: view.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        interval_seconds: view.interval.as_secs_f64(),
        total: view.processes.len(),
        processes: &view.processes[..shown],
        not_measured: view.no_processes(),
    })
    .into_response()
}

async fn nothing() -> Response {
    let error = "nothing here; there are /, /metrics, /health, /ready and /api/v1/processes";
    failure(StatusCode::NOT_FOUND, &error)
}

fn failure(code: StatusCode, error: &impl ToString) -> Response {
    (code, Json(json!({ "error": error.to_string() }))).into_response()
}

/// The latest view. It is cloned: a borrow would keep the next from being published.
fn latest(state: &State) -> Arc<View> {
    state.views.borrow().clone()
}
