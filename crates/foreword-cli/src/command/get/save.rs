//! Where an answer is written: standard output or a file, with its head or without.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use foreword_client::exchange::Sink;
use foreword_http1::Response;

/// Takes an answer and writes what is wanted of it.
pub(super) struct Save {
    place: Place,
    heads: bool,
    /// From this status on the content is dropped.
    fail_from: Option<u16>,
    /// Whether a redirect's content is dropped, for another answer follows.
    follows: bool,
    dropping: bool,
    pub(super) tally: Tally,
}

/// What passed by, for the variables of `--write-out`.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) status: u16,
    pub(super) http10: bool,
    pub(super) head_bytes: u64,
    pub(super) content_bytes: u64,
    pub(super) content_type: Option<String>,
    pub(super) fields: Vec<(String, String)>,
}

enum Place {
    /// Bytes wait here until the next ones are long in coming: a short answer leaves in one write.
    Stdout(io::BufWriter<io::Stdout>),
    /// Opened when the first byte comes, so that a failure leaves no empty file behind.
    File { path: PathBuf, file: Option<io::BufWriter<File>> },
}

/// What `Save` is to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) heads: bool,
    pub(super) fail: bool,
    pub(super) follows: bool,
}

impl Save {
    /// Writes to this file, or to standard output if there is none or it is called `-`.
    pub(super) fn new(path: Option<&Path>, wanted: Wanted) -> Self {
        let place = match path.filter(|path| *path != Path::new("-")) {
            Some(path) => Place::File { path: path.to_owned(), file: None },
            None => Place::Stdout(io::BufWriter::with_capacity(HELD, io::stdout())),
        };
        let fail_from = wanted.fail.then_some(400);
        Self {
            place,
            heads: wanted.heads,
            fail_from,
            follows: wanted.follows,
            dropping: false,
            tally: Tally::default(),
        }
    }

    /// Whether the answer goes to standard output.
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout(_))
    }

    /// Writes what is held back. An answer without content still makes its file, unless it is one that says that the
    /// content is known already; a failure makes none.
    pub(super) fn finish(&mut self, answered: bool) -> io::Result<()> {
        match &self.place {
            Place::File { file: None, .. } if !answered || self.tally.status == 304 => Ok(()),
            Place::File { .. } | Place::Stdout(_) => self.writer()?.flush(),
        }
    }

    fn writer(&mut self) -> io::Result<&mut dyn Write> {
        match &mut self.place {
            Place::Stdout(stdout) => Ok(stdout),
            Place::File { path, file } => match file {
                Some(file) => Ok(file),
                None => Ok(file.insert(io::BufWriter::with_capacity(HELD, File::create(path)?))),
            },
        }
    }
}

impl Sink for Save {
    fn head(&mut self, head: &[u8], response: &Response<'_>) -> io::Result<()> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        self.tally.head_bytes += head.len() as u64;
        self.tally.status = response.status();
        self.tally.http10 = response.version() == foreword_http1::Version::Http10;
        self.tally.content_type = response.field("content-type").next().map(text);
        self.tally.fields = response.fields().map(|field| (text(field.name), text(field.value))).collect();
        let failed = self.fail_from.is_some_and(|from| response.status() >= from);
        let redirect = self.follows
            && matches!(response.status(), 301..=303 | 307 | 308)
            && response.field("location").next().is_some_and(|place| !place.trim_ascii().is_empty());
        self.dropping = failed || redirect;
        if self.heads { self.writer()?.write_all(head) } else { Ok(()) }
    }

    fn body(&mut self, piece: &[u8]) -> io::Result<()> {
        self.tally.content_bytes += piece.len() as u64;
        if self.dropping || piece.is_empty() {
            return Ok(());
        }
        self.writer()?.write_all(piece)
    }

    fn pause(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Stdout(stdout) => stdout.flush(),
            Place::File { .. } => Ok(()),
        }
    }
}

/// How much is written at once.
const HELD: usize = 64 * 1024;
