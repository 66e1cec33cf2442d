//! Pipes through which bytes pass from one socket to another without coming to us.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::observe::journal::Scribe;
use crate::stream::Stream;

/// The pipes of one worker, made when they are needed and used again: the last one used is the first one lent.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Empty, all of them.
    #[expect(
        clippy::vec_box,
        reason = "they move between here and the connections, which pay for a pointer only"
    )]
    spare: RefCell<Vec<Box<Pipe>>>,
    /// How many there are, those that are lent included.
    open: Cell<usize>,
    /// How many there may be.
    most: usize,
    scribe: Rc<Scribe>,
}

impl Pipes {
    pub(crate) fn new(most: usize, scribe: Rc<Scribe>) -> Rc<Self> {
        Rc::new(Self { spare: RefCell::default(), open: Cell::new(0), most, scribe })
    }

    /// Lends an empty pipe. There may be none to be had: that is counted, and the bytes are copied.
    pub(crate) fn lend(self: &Rc<Self>) -> Option<Lent> {
        let spare = self.spare.borrow_mut().pop();
        let pipe = match spare {
            Some(pipe) => pipe,
            None => match self.another() {
                Some(pipe) => Box::new(pipe),
                None => {
                    self.scribe.pipe_missed();
                    return None;
                }
            },
        };
        Some(Lent { pipe: Some(pipe), pipes: Rc::clone(self) })
    }

    fn another(&self) -> Option<Pipe> {
        if self.open.get() >= self.most {
            return None;
        }
        // Out of descriptors, or of what the system grants a user in pipes: copying does as well.
        let pipe = Pipe::open().ok().filter(|pipe| pipe.capacity >= LEAST)?;
        self.open.set(self.open.get() + 1);
        Some(pipe)
    }
}

/// A pipe on loan. Whoever breaks off with bytes in it takes it along: nobody else must ever find them.
#[derive(Debug)]
pub(crate) struct Lent {
    /// `None` only while it is dropped.
    pipe: Option<Box<Pipe>>,
    pipes: Rc<Pipes>,
}

impl Lent {
    /// Whether bytes are in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.pipe.as_ref().is_none_or(|pipe| pipe.held == 0)
    }

    /// Has the kernel move into the empty pipe what came to a socket; 0 is the end of what comes.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, from: &Stream) -> Poll<io::Result<usize>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        from.poll_reading(cx, |socket| {
            let moved = kernel::splice(socket, &pipe.entry, pipe.capacity)?;
            pipe.held += moved;
            Ok(moved)
        })
    }

    /// Has the kernel move to a socket what is in the pipe, as far as the socket takes it.
    pub(crate) fn poll_empty(&mut self, cx: &mut Context<'_>, to: &Stream) -> Poll<io::Result<usize>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        to.poll_writing(cx, |socket| {
            let moved = kernel::splice(&pipe.exit, socket, pipe.held)?;
            pipe.held = pipe.held.saturating_sub(moved);
            Ok(moved)
        })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        match self.pipe.take() {
            Some(pipe) if pipe.held == 0 => self.pipes.spare.borrow_mut().push(pipe),
            _ => self.pipes.open.set(self.pipes.open.get().saturating_sub(1)),
        }
    }
}

#[derive(Debug)]
struct Pipe {
    entry: OwnedFd,
    exit: OwnedFd,
    capacity: usize,
    held: usize,
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (exit, entry) = kernel::pipe()?;
        let capacity = kernel::widen(&entry)?;
        Ok(Self { entry, exit, capacity, held: 0 })
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::pipe::{
        PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice as move_bytes,
    };

    pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
        Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
    }

    /// Makes a pipe as wide as the system lets us, and says how wide it is.
    pub(super) fn widen(pipe: &OwnedFd) -> io::Result<usize> {
        let mut wanted = super::MOST;
        while wanted > super::LEAST && fcntl_setpipe_size(pipe, wanted).is_err() {
            wanted /= 2;
        }
        Ok(fcntl_getpipe_size(pipe)?)
    }

    pub(super) fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
        Ok(move_bytes(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
    }
}

/// Elsewhere all bytes are copied.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn widen(_pipe: &OwnedFd) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn splice(_from: impl AsFd, _to: impl AsFd, _most: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What Linux grants everyone at most, unless `fs.pipe-max-size` says otherwise.
const MOST: usize = 1 << 20;

/// What is narrower moves no more at a time than a copy does.
const LEAST: usize = 64 * 1024;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::observe::Observer;
    use crate::stream::tcp::Tcp;

    async fn pair() -> (TcpStream, Stream) {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
        (far, Stream::Tcp(Tcp::accepted(door.accept().await.unwrap().0)))
    }

    fn pipes(most: usize) -> Rc<Pipes> {
        Pipes::new(most, Scribe::new(Observer::new(1), 0))
    }

    #[tokio::test]
    async fn bytes_pass_whole_and_the_pipe_is_used_again() {
        let pipes = pipes(1);
        let (mut client, down) = pair().await;
        let (mut endpoint, up) = pair().await;
        for word in [b"one".as_slice(), b"another"] {
            client.write_all(word).await.unwrap();
            let mut lent = pipes.lend().unwrap();
            assert!(pipes.lend().is_none(), "there may be one");
            assert_eq!(poll_fn(|cx| lent.poll_fill(cx, &down)).await.unwrap(), word.len());
            assert!(!lent.is_empty());
            assert_eq!(poll_fn(|cx| lent.poll_empty(cx, &up)).await.unwrap(), word.len());
            assert!(lent.is_empty());
            let mut heard = vec![0; word.len()];
            endpoint.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, word);
        }
        assert_eq!((pipes.open.get(), pipes.spare.borrow().len()), (1, 1));
    }

    #[tokio::test]
    async fn a_pipe_that_holds_bytes_is_never_used_again() {
        let pipes = pipes(1);
        let (mut client, down) = pair().await;
        client.write_all(b"nobody else's").await.unwrap();
        let mut lent = pipes.lend().unwrap();
        poll_fn(|cx| lent.poll_fill(cx, &down)).await.unwrap();
        drop(lent);
        assert_eq!((pipes.open.get(), pipes.spare.borrow().len()), (0, 0));
        assert!(pipes.lend().is_some_and(|lent| lent.is_empty()), "another one takes its place");
    }
}
