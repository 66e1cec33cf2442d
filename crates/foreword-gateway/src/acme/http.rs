//! How CAs are spoken to: HTTPS, believed as the operator says, in time and within bounds.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::time::timeout;

use crate::tls::connector::{self, EndpointTlsProblem};

/// A client for one CA.
#[derive(Clone)]
pub(super) struct Caller(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Caller {
    /// Believes those whose certificates are in `ca`, or else those whom the system believes.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, EndpointTlsProblem> {
        let config = connector::client_config(ca)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let connector = connector.enable_http1().enable_http2().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let address = request.uri().to_string();
        let answer = self.0.request(request);
        Box::pin(async move {
            let whole = async {
                let out_of_reach = |source| other(OutOfReach { address: address.clone(), source });
                let (parts, body) = answer.await.map_err(out_of_reach)?.into_parts();
                let body = Limited::new(body, MOST).collect().await.map_err(Error::Other)?;
                Ok(BytesResponse::from(Response::from_parts(parts, Full::new(body.to_bytes()))))
            };
            let answered = timeout(PATIENCE, whole).await;
            answered.map_err(|_| other(Late { address: address.clone() }))?
        })
    }
}

/// A CA that was not reached, or that ended the connection before it answered.
#[derive(Debug, thiserror::Error)]
#[error("expected an answer of the CA at `{address}`, found none")]
struct OutOfReach {
    address: String,
    source: hyper_util::client::legacy::Error,
}

/// An answer that did not come.
#[derive(Debug, thiserror::Error)]
#[error("expected an answer of the CA at `{address}` within {} s, found none", PATIENCE.as_secs())]
struct Late {
    address: String,
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

/// CAs answer within seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Chains of certificates are the largest, with some 10 KiB.
const MOST: usize = 1 << 20;
