//! OTLP over gRPC.

use std::{error::Error, iter};

use bytes::{Buf, BufMut, Bytes};
use hyper::http::{HeaderMap, uri::PathAndQuery};
use tonic::{
    Code, ConnectError, Request, Status,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use super::{Connector, Failure, Retry, USER_AGENT};
use crate::config::{Compression, Signal, Target};

/// A way to a receiver by gRPC.
pub(super) struct Grpc {
    client: tonic::client::Grpc<Channel>,
    path: PathAndQuery,
    headers: HeaderMap,
}

impl Grpc {
    pub(super) fn new(target: &Target, signal: Signal, connector: Connector) -> Self {
        let endpoint = Endpoint::from(target.endpoint.clone());
        let endpoint = endpoint.clone().user_agent(USER_AGENT).unwrap_or(endpoint);
        let mut client = tonic::client::Grpc::new(endpoint.connect_with_connector_lazy(connector));
        if target.compression == Compression::Gzip {
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        let path = match signal {
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        };
        let headers = target.headers.iter().cloned().collect();
        Self { client, path: PathAndQuery::from_static(path), headers }
    }

    /// Sends a request, and returns the answer.
    pub(super) async fn send(&mut self, request: Bytes) -> Result<Bytes, Failure> {
        self.client.ready().await.map_err(|error| Failure::connection(&error))?;
        let mut request = Request::new(request);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let answer = self.client.unary(request, self.path.clone(), Encoded).await;
        answer.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

/// The meaning of a status. Which ones may be tried again is the specification's.
fn failure(status: &Status) -> Failure {
    if let Some(error) = status.source() {
        // Made here, not by the receiver.
        let mut causes = iter::successors(Some(error), |&cause| cause.source());
        return match causes.any(|cause| cause.is::<ConnectError>()) {
            true => Failure::connection(error),
            false => Failure::broken(error),
        };
    }
    let retry_info = status.get_details_retry_info();
    let is_transient = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    // A receiver that is out of a resource says in this way that it will not be for ever.
    let is_recovering = status.code() == Code::ResourceExhausted && retry_info.is_some();
    let wanted = retry_info.and_then(|info| info.retry_delay).map_or(Retry::Later, Retry::After);
    let retry = (is_transient || is_recovering).then_some(wanted);
    let name = format!("{:?}", status.code());
    let reason = [name.as_str(), status.message()].join(": ");
    // They are of who waited for the receiver, such as a proxy.
    let in_doubt = matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded);
    Failure { in_doubt, ..Failure::new(name.clone(), reason.trim_end_matches(": "), retry) }
}

/// Messages that are encoded already.
#[derive(Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
