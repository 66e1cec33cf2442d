//! A client that leaves while it waits: for a way to an endpoint, or for its answer.

use std::pin::pin;
use std::time::Duration;

use tokio::io::AsyncRead;

use super::Spoken;
use super::shelf::{BUFFER, Buffer};
use crate::alarm::patience::Patience;
use crate::stream::Carried;

/// Ends when the client has left, for as long as nothing of its request is sent.
///
/// The end of its stream is no reset: who only says no more waits for a way as long as for an answer then. Over HTTP/2 nothing
/// needs to be read: a stream is reset or it is not, and its window holds the rest back.
pub(super) async fn leaves(
    stream: &mut impl Carried,
    spoken: Spoken,
    buffer: &mut Buffer<'_>,
    patience: &Patience<'_>,
) {
    let heard = if spoken == Spoken::Http1 { hear_ahead(stream, buffer, || {}).await } else { Heard::Enough };
    match heard {
        Heard::Break => {}
        Heard::End => _ = patience.within(PATIENCE_AFTER_END, pin!(stream.breaks_off())).await,
        Heard::Enough => stream.breaks_off().await,
    }
}

/// Keeps for later what a client says while it waits, until no more of it can be heard; most say nothing. Tells of it as soon as there
/// is any.
pub(super) async fn hear_ahead(
    source: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer<'_>,
    there_is_some: impl Fn(),
) -> Heard {
    loop {
        if !buffer.is_empty() {
            there_is_some();
        }
        if !buffer.has_room(BUFFER) {
            return Heard::Enough;
        }
        match buffer.fill(source, BUFFER).await {
            Ok(0) => return Heard::End,
            Ok(_) => {}
            Err(_) => return Heard::Break,
        }
    }
}

/// Why no more is heard of a client that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// There is no room for more. That it breaks off shows all the same.
    Enough,
    /// It says no more, and may still hear.
    End,
    /// It has broken off.
    Break,
}

/// How long a client that has ended its own side waits for a way to an endpoint, and then for its answer to begin: long enough for
/// most answers, and far shorter than clients that are gone may hold their seats and their endpoints.
pub(super) const PATIENCE_AFTER_END: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::alarm::patience::tests::patiently;
    use crate::connection::http::shelf::Shelf;
    use crate::stream::Stream;
    use crate::stream::tcp::Tcp;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_no_more_is_given_the_time_it_has_for_its_answer() {
        let (mut client, mut stream) = duplex(64);
        client.write_all(b"more").await.unwrap();
        client.shutdown().await.unwrap();
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        let begun = Instant::now();
        patiently(async |patience| leaves(&mut stream, Spoken::Http1, &mut buffer, patience).await).await;
        assert_eq!(begun.elapsed(), PATIENCE_AFTER_END);
        assert_eq!(buffer.bytes(), b"more", "it is there for whoever asks in its name");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_more_than_there_is_room_for_has_not_left() {
        let (mut client, mut stream) = duplex(2 * BUFFER);
        client.write_all(&[b'x'; 2 * BUFFER]).await.unwrap();
        drop(client);
        let shelf = Shelf::default();
        let mut buffer = shelf.buffer();
        let left = patiently(async |patience| {
            timeout(HOUR, leaves(&mut stream, Spoken::Http1, &mut buffer, patience)).await
        });
        assert!(left.await.is_err());
        assert_eq!(buffer.bytes().len(), BUFFER);
    }

    #[tokio::test]
    async fn a_client_that_resets_has_left_whether_or_not_there_was_room_for_what_it_said() {
        for said in [0, 3 * BUFFER] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut stream = Stream::Tcp(Tcp::accepted(listener.accept().await.unwrap().0));
            client.write_all(&vec![b'x'; said]).await.unwrap();
            client.set_zero_linger().unwrap();
            let shelf = Shelf::default();
            let mut buffer = shelf.buffer();
            patiently(async |patience| {
                let resets = async {
                    tokio::task::yield_now().await;
                    drop(client);
                };
                let leaving = leaves(&mut stream, Spoken::Http1, &mut buffer, patience);
                let (left, ()) = tokio::join!(timeout(Duration::from_secs(60), leaving), resets);
                assert!(left.is_ok(), "{said} bytes");
            })
            .await;
        }
    }
}
