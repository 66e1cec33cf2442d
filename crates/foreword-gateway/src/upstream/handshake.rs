//! The TLS handshake with an endpoint. Whoever wanted it may leave; how it went is told of the endpoint all the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use foreword_tokio::write_together;
use tokio::task::spawn_local;
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;

use super::connect::ConnectError;
use super::connecting::Limit;
use super::endpoints::Address;
use super::witness::Witness;
use crate::policy::cluster::EndpointTls;
use crate::stream::Stream;
use crate::tls::connector;

/// A handshake that is being made for somebody who may leave at any time.
pub(super) struct Shaking<'w> {
    /// There until it is over. On the heap, since most connections have none and should not carry the room for it along.
    hands: Option<Pin<Box<dyn Future<Output = Outcome>>>>,
    witness: &'w Witness,
    limit: Limit,
}

type Outcome = Result<Box<TlsStream<Stream>>, ConnectError>;

impl<'w> Shaking<'w> {
    /// Begins the handshake on `stream`, with a header `before` it.
    pub(super) fn begin(
        mut stream: Stream,
        before: Vec<u8>,
        tls: &EndpointTls,
        witness: &'w Witness,
        limit: Limit,
    ) -> Self {
        let (tls, address) = (tls.clone(), witness.address().clone());
        let hands = Box::pin(async move {
            write_together(&mut stream, [&before])
                .await
                .map_err(|error| ConnectError::failed(&address, error))?;
            connector::connect(&tls, address.ip(), stream)
                .await
                .map_err(|error| ConnectError::Tls { address, source: Arc::new(error) })
        });
        Self { hands: Some(hands), witness, limit }
    }

    /// Sees it made. If nobody waits for it any more, it goes on by itself until it is known how it went, where that is of use.
    pub(super) async fn attended(mut self) -> Outcome {
        let (address, limit) = (self.witness.address(), self.limit);
        let outcome = match &mut self.hands {
            Some(hands) => settled(hands.as_mut(), address, limit).await,
            None => Err(late(address, limit)),
        };
        // Whoever hears of it has not left.
        self.hands = None;
        if let Err(error) = &outcome {
            self.witness.did_not_answer(error);
        }
        outcome
    }
}

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        let Some(mut hands) = self.hands.take() else { return };
        let Some(successor) = self.witness.successor() else { return };
        let limit = self.limit;
        spawn_local(async move {
            let witness = successor.witness();
            if let Err(error) = settled(hands.as_mut(), witness.address(), limit).await {
                witness.did_not_answer(&error);
            }
        });
    }
}

/// What came of it in time.
async fn settled(
    hands: Pin<&mut (impl Future<Output = Outcome> + ?Sized)>,
    address: &Address,
    limit: Limit,
) -> Outcome {
    timeout_at(limit.deadline, hands).await.unwrap_or_else(|_| Err(late(address, limit)))
}

fn late(address: &Address, limit: Limit) -> ConnectError {
    ConnectError::Timeout { address: address.clone(), after: limit.after }
}
