//! A stream socket, TCP or unix: one type for what came and for what we open.

mod either;
pub(crate) mod gathering;
pub(crate) mod http2;
pub(crate) mod linger;
pub(crate) mod outgoing;
pub(crate) mod shortage;
pub(crate) mod tcp;

use std::future::{Future, pending};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

use self::either::stream_of_either;
use self::gathering::{Ends, Gathering};
use self::tcp::Tcp;
use crate::policy::cluster::Keepalive;

/// A connected stream socket.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Over IPv4 or IPv6.
    Tcp(Tcp),
    /// On this machine.
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there and waits for nothing.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.socket().try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Does what reads from the socket once it can be read; `work` is asked again if it could not after all.
    pub(crate) fn poll_reading<T>(
        &self,
        cx: &mut Context<'_>,
        work: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_working(Interest::READABLE, cx, work)
    }

    /// Does what writes to the socket once it can be written; `work` is asked again if it could not after all.
    pub(crate) fn poll_writing<T>(
        &self,
        cx: &mut Context<'_>,
        work: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let Self::Tcp(tcp) = self else { return self.poll_working(Interest::WRITABLE, cx, work) };
        tcp.begins_to_write()?;
        let done = ready!(self.poll_working(Interest::WRITABLE, cx, work));
        tcp.has_written();
        Poll::Ready(done)
    }

    fn poll_working<T>(
        &self,
        interest: Interest,
        cx: &mut Context<'_>,
        mut work: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(match self {
                Self::Tcp(tcp) if interest.is_readable() => tcp.socket().poll_read_ready(cx),
                Self::Tcp(tcp) => tcp.socket().poll_write_ready(cx),
                Self::Unix(stream) if interest.is_readable() => stream.poll_read_ready(cx),
                Self::Unix(stream) => stream.poll_write_ready(cx),
            })?;
            let done = match self {
                Self::Tcp(tcp) => tcp.socket().try_io(interest, || work(tcp.socket().as_fd())),
                Self::Unix(stream) => stream.try_io(interest, || work(stream.as_fd())),
            };
            if !matches!(&done, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Poll::Ready(done);
            }
        }
    }

    /// Has the kernel ask whether the other end is still there.
    pub(crate) fn keep_alive(&self, keepalive: Option<Keepalive>) {
        if let (Self::Tcp(tcp), Some(keepalive)) = (self, keepalive) {
            // Without it the idle timeout finds out all the same.
            let _gone = ask_for_life(&SockRef::from(tcp.socket()), keepalive);
        }
    }

    /// Waits until the socket is reset, or broken otherwise, whatever lies on it unread.
    async fn is_reset(&self) {
        // It cannot be asked only where the runtime ends.
        let _ready = match self {
            Self::Tcp(tcp) => tcp.socket().ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
        };
    }

    /// Has the close that follows be a reset, as when the other side of a tunnel was reset.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(tcp) = self {
            // It fails only on a socket that is gone already, and then there is nobody to tell.
            let _gone = tcp.socket().set_zero_linger();
        }
    }
}

stream_of_either!(Stream { Tcp, Unix });

impl Ends for Stream {
    /// TCP has the last bytes and the end of a stream in one segment, where it knows that they belong together.
    fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.poll_writing(cx, |socket| Ok(rustix::net::send(socket, bytes, flags)?))
    }
}

/// Has the kernel ask whether the other end of a socket, or of those that it accepts, is still there.
pub(crate) fn ask_for_life(socket: &SockRef<'_>, keepalive: Keepalive) -> io::Result<()> {
    let asked = TcpKeepalive::new().with_time(keepalive.idle).with_interval(keepalive.interval);
    socket.set_tcp_keepalive(&asked.with_retries(keepalive.count))
}

/// Both directions of a stream, whatever is below it.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// A stream whose bytes are carried on.
pub(crate) trait Carried: Duplex {
    /// The socket, if what it carries are the bytes of this stream; under TLS they are not.
    fn bare(&self) -> Option<&Stream>;

    /// Takes notice of what has come while nobody reads, where that is dear to leave.
    fn gather(&mut self, _cx: &mut Context<'_>) {}

    /// Waits until the other side has broken the stream off, where that shows though nobody reads. It is not its end.
    fn breaks_off(&mut self) -> impl Future<Output = ()> {
        pending()
    }

    /// Keeps what is written from here on for the end of the stream, which is to follow at once; `false` if it does not.
    fn gather_for_the_end(&mut self) -> bool {
        false
    }
}

impl<S: Carried> Carried for &mut S {
    fn bare(&self) -> Option<&Stream> {
        (**self).bare()
    }

    fn gather(&mut self, cx: &mut Context<'_>) {
        (**self).gather(cx);
    }

    fn breaks_off(&mut self) -> impl Future<Output = ()> {
        (**self).breaks_off()
    }

    fn gather_for_the_end(&mut self) -> bool {
        (**self).gather_for_the_end()
    }
}

impl Carried for Stream {
    fn bare(&self) -> Option<&Stream> {
        Some(self)
    }

    fn breaks_off(&mut self) -> impl Future<Output = ()> {
        self.is_reset()
    }
}

impl Carried for Box<TlsStream<Gathering<Stream>>> {
    fn bare(&self) -> Option<&Stream> {
        None
    }

    fn breaks_off(&mut self) -> impl Future<Output = ()> {
        self.socket().is_reset()
    }

    fn gather_for_the_end(&mut self) -> bool {
        self.get_mut().0.gather();
        true
    }
}

/// The client's side, with TLS or without.
pub(crate) trait Downstream: Carried {
    /// The socket below.
    fn socket(&self) -> &Stream;
}

impl Downstream for Stream {
    fn socket(&self) -> &Stream {
        self
    }
}

impl Downstream for Box<TlsStream<Gathering<Stream>>> {
    fn socket(&self) -> &Stream {
        self.get_ref().0.get_ref()
    }
}
