//! What EC2 says of an instance: the firmware a little, the instance metadata service the rest.

use std::{env, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use opentelemetry::KeyValue;
use serde::Deserialize;
use tokio::time;

use super::line;
use crate::host::HostPaths;

/// Where the service listens on every instance.
const ADDRESS: &str = "http://169.254.169.254";

/// How long an answer may take. One that comes from farther than the instance's limit of hops, as in
/// a container with a network of its own, never comes.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How much of an answer is read.
const MAX_ANSWER: usize = 64 << 10;

/// An error of a request, which nobody handles one by one.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Why there are no attributes of the cloud.
#[derive(Debug, thiserror::Error)]
#[error(
    "no response from the EC2 instance metadata service at {address}: {source}; in a container, raise \
     its hop limit to 2"
)]
pub struct CloudError {
    address: String,
    source: Error,
}

/// The attributes that the firmware knows, on an instance of EC2.
pub(super) fn known_by_firmware(paths: &HostPaths) -> Vec<KeyValue> {
    if !is_instance(paths) {
        return Vec::new();
    }
    attributes(Identity { instance_id: instance_id(paths), ..Identity::default() })
}

/// The id that the firmware knows of an instance of EC2.
pub(super) fn instance_id(paths: &HostPaths) -> Option<String> {
    let id = line(paths, "/sys/devices/virtual/dmi/id/board_asset_tag")?;
    (is_instance(paths) && id.starts_with("i-")).then_some(id)
}

/// The attributes that the instance metadata service has; none but on EC2, or where
/// `AWS_EC2_METADATA_SERVICE_ENDPOINT` names a service. Takes two seconds at most.
pub async fn ask_cloud(paths: &HostPaths) -> Result<Vec<KeyValue>, CloudError> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let is_off = variable("AWS_EC2_METADATA_DISABLED").is_some_and(|off| off == "true");
    let address = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        .or_else(|| is_instance(paths).then(|| ADDRESS.to_owned()));
    match address {
        Some(address) if !is_off => ask(&address).await,
        _ => Ok(Vec::new()),
    }
}

/// The attributes that the service at an address has.
pub(super) async fn ask(address: &str) -> Result<Vec<KeyValue>, CloudError> {
    let identity = identity(address.trim_end_matches('/')).await;
    identity.map(attributes).map_err(|source| CloudError { address: address.to_owned(), source })
}

/// Whether the firmware says that this is an instance: by Nitro's name, or by Xen's id.
fn is_instance(paths: &HostPaths) -> bool {
    line(paths, "/sys/devices/virtual/dmi/id/sys_vendor").is_some_and(|name| name == "Amazon EC2")
        || line(paths, "/sys/hypervisor/uuid").is_some_and(|id| id.starts_with("ec2"))
}

/// The instance identity document, as far as it is needed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    account_id: Option<String>,
    availability_zone: Option<String>,
    image_id: Option<String>,
    instance_id: Option<String>,
    instance_type: Option<String>,
    region: Option<String>,
}

fn attributes(identity: Identity) -> Vec<KeyValue> {
    let known = [
        ("cloud.account.id", identity.account_id),
        ("cloud.availability_zone", identity.availability_zone),
        ("cloud.region", identity.region),
        ("host.id", identity.instance_id),
        ("host.image.id", identity.image_id),
        ("host.type", identity.instance_type),
    ];
    let fixed = [("cloud.platform", "aws_ec2"), ("cloud.provider", "aws")];
    let known = known.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value?)));
    fixed.into_iter().map(|(key, value)| KeyValue::new(key, value)).chain(known).collect()
}

/// Version 2 of the service wants a token, which has to be asked for.
async fn identity(address: &str) -> Result<Identity, Error> {
    let token = Request::builder()
        .method(Method::PUT)
        .uri(format!("{address}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = answer(token).await?;
    let document = Request::builder()
        .uri(format!("{address}/latest/dynamic/instance-identity/document"))
        .header("x-aws-ec2-metadata-token", token.as_ref());
    Ok(serde_json::from_slice(&answer(document).await?)?)
}

/// The body of an answer.
async fn answer(request: hyper::http::request::Builder) -> Result<Bytes, Error> {
    let request = request.body(Full::<Bytes>::default())?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let response = client.request(request).await?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes())
    };
    time::timeout(TIMEOUT, exchange).await.map_err(|_| "no answer within a second")?
}
