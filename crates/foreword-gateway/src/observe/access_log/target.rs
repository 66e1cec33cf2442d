//! What lines are written to: the standard output, a file, or a syslog server.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::LogTarget;
use super::syslog::{self, Server, Syslog};
use crate::folders::missing_folder;
use crate::refusal::Code;

/// Why an access log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("access log: expected to open `{target}`, found: {cause}{} [{}]", advice(.target, .cause), Code::LogNotOpened)]
pub struct OpenError {
    target: LogTarget,
    cause: io::Error,
}

impl OpenError {
    pub(super) fn new(target: &LogTarget, cause: io::Error) -> Self {
        Self { target: target.clone(), cause }
    }
}

fn advice(target: &LogTarget, cause: &io::Error) -> String {
    match (cause.kind(), target) {
        (io::ErrorKind::NotFound, LogTarget::File(path)) if let Some(folder) = missing_folder(path) => {
            format!("; its folder `{}` is missing, and is not made", folder.display())
        }
        (io::ErrorKind::PermissionDenied, _) => {
            format!("; user {} may not write there", rustix::process::geteuid().as_raw())
        }
        _ => String::new(),
    }
}

/// A target that is open.
#[derive(Debug)]
pub(super) enum Target {
    Stream { file: File, path: Option<PathBuf> },
    Syslog(Syslog),
}

/// Opens a target. A folder that is missing is not made: its owner and rights are not ours to choose.
pub(super) fn open(to: &LogTarget) -> Result<Target, OpenError> {
    let failed = |source| OpenError::new(to, source);
    let server = match to {
        LogTarget::Stdout => {
            let file = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?.into();
            return Ok(Target::Stream { file, path: None });
        }
        LogTarget::File(path) => {
            let file = append_to(path).map_err(failed)?;
            return Ok(Target::Stream { file, path: Some(path.clone()) });
        }
        LogTarget::SyslogUdp(address) => Server::Udp(*address),
        LogTarget::SyslogTcp(address) => Server::Tcp(*address),
        LogTarget::SyslogUnix(path) => Server::Unix(path.clone()),
    };
    Ok(Target::Syslog(Syslog::new(server)))
}

/// Lines hold addresses of people: not everyone on the machine may read them.
///
/// The opening of a named pipe would wait for its reader, and whoever opens must not; only the writing thread may wait.
fn append_to(path: &Path) -> io::Result<File> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(at_once).open(path);
    let file = opened.map_err(|error| if is_pipe(path) { without_reader(error) } else { error })?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn without_reader(error: io::Error) -> io::Error {
    if error.raw_os_error() != Some(rustix::io::Errno::NXIO.raw_os_error()) {
        return error;
    }
    io::Error::new(io::ErrorKind::NotConnected, "a named pipe that nobody reads; start its reader first")
}

/// How far [`Target::write`] came.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many of the bytes are done with.
    pub(super) done: usize,
    /// How many lines among them were too long for the target, and are lost.
    pub(super) too_long: u64,
    /// What went wrong then.
    pub(super) failed: Option<io::Error>,
}

impl Target {
    /// Writes whole lines, as many as it can.
    pub(super) fn write(&mut self, lines: &[u8]) -> Progress {
        match self {
            Self::Stream { file, .. } => write_stream(file, lines),
            Self::Syslog(syslog) => send_lines(syslog, lines),
        }
    }

    /// Opens a file anew, and a socket with the next line. What has no name stays as it is.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Stream { file, path: Some(path) } => *file = append_to(path)?,
            Self::Stream { .. } => {}
            Self::Syslog(syslog) => syslog.reconnect(),
        }
        Ok(())
    }
}

fn write_stream(file: &mut File, lines: &[u8]) -> Progress {
    let mut done = 0;
    let failed = loop {
        match lines.get(done..) {
            None | Some([]) => break None,
            Some(rest) => match file.write(rest) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error),
            },
        }
    };
    Progress { done, too_long: 0, failed }
}

fn send_lines(syslog: &mut Syslog, lines: &[u8]) -> Progress {
    let (mut done, mut too_long) = (0, 0);
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        match syslog.send(line.strip_suffix(b"\n").unwrap_or(line)) {
            Ok(()) => {}
            Err(error) if syslog::is_too_long(&error) => too_long += 1,
            Err(error) => return Progress { done, too_long, failed: Some(error) },
        }
        done += line.len();
    }
    Progress { done, too_long, failed: None }
}
