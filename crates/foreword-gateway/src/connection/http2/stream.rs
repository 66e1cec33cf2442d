//! One stream of an HTTP/2 connection, as a stream of HTTP/1.1: a request's body is read, an answer is written.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::super::http::After;
use super::LONGEST;
use super::answers::Answers;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::told::Framing;
use crate::stream::{Carried, Stream as Socket};

/// One request and its answer.
#[derive(Debug)]
pub(super) struct Stream<'c> {
    incoming: Incoming,
    outgoing: Outgoing<'c>,
    framing: Framing,
    answers: &'c Answers,
}

impl<'c> Stream<'c> {
    pub(super) fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        method: Method,
        framing: Framing,
        answers: &'c Answers,
    ) -> Self {
        // A tunnel is opened by what is GET in HTTP/1.1, and answered as such where it is not opened.
        let method = if framing == Framing::Tunnel { Method::GET } else { method };
        let outgoing = Outgoing::new(respond, method, answers);
        Self { incoming: Incoming::new(body, framing), outgoing, framing, answers }
    }

    /// The number by which the client knows it.
    pub(super) fn id(&self) -> u32 {
        self.incoming.stream_id()
    }

    /// Ends the stream as its exchange ended. A client that is still sending its request is heard out a little; that the rest
    /// is not wanted, `h2` tells when the stream is dropped, RFC 9113 §8.1.
    pub(super) async fn end(&mut self, after: After) {
        match after {
            After::NextRequest | After::Linger | After::HearOut => {
                // The answer is written, and whoever wrote it has waited for its window.
                self.say_the_end().await;
                if !self.outgoing.has_ended() {
                    self.outgoing.reset(Reason::INTERNAL_ERROR);
                } else if self.framing != Framing::Tunnel {
                    self.hear_out().await;
                }
            }
            After::Close if self.outgoing.has_ended() => {}
            After::Close => {
                // Of a tunnel that the endpoint ended, the client is told so.
                self.say_the_end().await;
                if !self.outgoing.has_ended() {
                    self.outgoing.reset(Reason::CANCEL);
                }
            }
            After::Cut => self.outgoing.reset(Reason::INTERNAL_ERROR),
        }
    }

    /// A client whose window has no room is not waited for long.
    async fn say_the_end(&mut self) {
        if !self.outgoing.has_ended() {
            let _gone = timeout(LONGEST, self.shutdown()).await;
        }
    }

    /// Lets a client that has its answer end its request, or break it off. Some, such as curl 7.88, take a stream that is reset
    /// for one that failed, even where nothing went wrong and the answer is whole: they would show no 401 and no 413.
    ///
    /// What comes is thrown away, and gives no window back: a client cannot send more than it had room for anyway.
    async fn hear_out(&mut self) {
        if self.incoming.has_come() {
            return;
        }
        let Some(_seat) = self.answers.hear_one_out() else { return };
        let incoming = &mut self.incoming;
        let _more = timeout(LONGEST, poll_fn(|cx| incoming.poll_thrown_away(cx))).await;
    }
}

impl Carried for Stream<'_> {
    /// Its bytes are between others on their socket.
    fn bare(&self) -> Option<&Socket> {
        None
    }

    fn gather(&mut self, cx: &mut Context<'_>) {
        self.incoming.gather(cx);
    }

    /// Small pieces of its body are gathered meanwhile.
    async fn breaks_off(&mut self) {
        poll_fn(|cx| {
            self.incoming.gather(cx);
            self.outgoing.poll_reset(cx).map(drop)
        })
        .await;
    }
}

impl AsyncRead for Stream<'_> {
    /// Reads the request's body. Behind its end nothing comes, and that is no reason to think that the client has left: it
    /// has when it resets the stream. A tunnel ends where its stream does.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.incoming.has_ended() && self.framing != Framing::Tunnel {
            return Poll::Ready(Err(ready!(self.outgoing.poll_reset(cx))));
        }
        let before = buffer.filled().len();
        ready!(self.incoming.poll_read(cx, buffer))?;
        if buffer.filled().len() == before && buffer.remaining() > 0 && self.framing != Framing::Tunnel {
            return Poll::Ready(Err(ready!(self.outgoing.poll_reset(cx))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(cx, bytes)
    }

    /// It is written piece by piece all the same, and needs them in no buffer of their own: what waits for a window would lie there.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_shutdown(cx)
    }
}
