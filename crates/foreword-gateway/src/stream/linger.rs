//! A close that lets the last words arrive.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Ends our side, for as long as that may take: TLS ends with an alert, which waits behind whatever the client does not take.
pub(crate) async fn close(stream: &mut (impl AsyncWrite + Unpin)) {
    // However it ends, the connection is over: there is nobody left to tell.
    let _over = tokio::time::timeout(LONGEST, stream.shutdown()).await;
}

/// Ends our side, then reads and throws away what still comes: so much, and not for long.
///
/// A socket that is closed with bytes unread is reset, and a reset takes the answer away from whoever has not read it yet.
pub(crate) async fn close_lingering(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), most: Most) {
    let farewell = async {
        stream.shutdown().await?;
        let mut thrown_away = vec![0; most.at_once];
        let mut left = most.bytes;
        while left > 0 {
            match stream.read(&mut thrown_away).await? {
                0 => break,
                len => left = left.saturating_sub(len),
            }
        }
        std::io::Result::Ok(())
    };
    let _over = tokio::time::timeout(LONGEST, farewell).await;
}

/// How much is read of those who are on their way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    bytes: usize,
    at_once: usize,
}

/// What is read of those who need not say anything more.
pub(crate) const LAST_WORDS: Most = Most { bytes: 64 * 1024, at_once: 4 * 1024 };
/// What is read of those whose request has its answer before it is whole: many listen only when all is said.
pub(crate) const REST_OF_A_REQUEST: Most = Most { bytes: 8 * 1024 * 1024, at_once: 16 * 1024 };

const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::io::BufWriter;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_delays_a_close_by_taking_nothing() {
        // What is buffered must be taken before the end can be told, as the records of TLS must.
        let (stream, _client_that_never_reads) = tokio::io::duplex(4);
        let mut stream = BufWriter::new(stream);
        stream.write_all(b"not taken").await.unwrap();
        let begun = Instant::now();
        close(&mut stream).await;
        assert_eq!(begun.elapsed(), LONGEST);
        close_lingering(&mut stream, LAST_WORDS).await;
        assert_eq!(begun.elapsed(), 2 * LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn so_much_is_read_of_one_who_does_not_stop_and_no_more() {
        for most in [LAST_WORDS, REST_OF_A_REQUEST] {
            let (mut stream, mut client) = tokio::io::duplex(most.at_once);
            let talking = async {
                let mut said = 0;
                while let Ok(len) = client.write(&[b'x'; 1024]).await {
                    said += len;
                }
                said
            };
            let closing = async move {
                close_lingering(&mut stream, most).await;
                drop(stream);
            };
            let (said, ()) = tokio::join!(talking, closing);
            assert!((most.bytes..=most.bytes + 2 * most.at_once).contains(&said), "{said} of {most:?}");
        }
    }
}
