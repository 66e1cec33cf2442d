//! The access log: one line for each request or tcp connection, written off the hot path.
//!
//! A worker appends lines to its own bounded queue; a thread takes them from there to the target. When the target
//! stands still the queues fill, and lines are lost and counted: traffic never waits for its log.

mod clock;
mod combined;
mod escape;
mod format;
mod haproxy;
mod json;
mod queue;
mod recent;
mod redact;
mod syslog;
mod target;
mod template;
mod writer;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, net};

use self::clock::Clock;
pub(crate) use self::format::Format;
use self::queue::Appended;
pub(crate) use self::queue::LogCounters;
use self::recent::Recent;
pub use self::target::OpenError;
pub use self::template::LogTemplate;
use self::writer::Shared;
use super::entry::Entry;
use super::name::Wants;

/// Where and how requests are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogPlan {
    /// Where lines go.
    pub to: LogTarget,
    /// What they look like.
    pub format: LogFormat,
    /// What is left out of them.
    pub redact: Redact,
    /// How many lines may wait for the writer before more are lost, and counted.
    pub queue: usize,
}

impl AccessLogPlan {
    /// As many lines as a busy machine writes in the second or two that a slow disk may take.
    pub const QUEUE: usize = 65_536;
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The standard output.
    Stdout,
    /// A file, reopened on SIGUSR1.
    File(PathBuf),
    /// A syslog server on UDP (RFC 5426).
    SyslogUdp(net::SocketAddr),
    /// A syslog server on TCP (RFC 6587).
    SyslogTcp(net::SocketAddr),
    /// A syslog socket, as `/dev/log`.
    SyslogUnix(PathBuf),
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::SyslogUdp(address) => write!(f, "syslog:{address}"),
            Self::SyslogTcp(address) => write!(f, "syslog:tcp:{address}"),
            Self::SyslogUnix(path) => write!(f, "syslog:unix:{}", path.display()),
        }
    }
}

/// What log lines look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One object a line; the names are in the reference.
    Json,
    /// Apache's combined format.
    Combined,
    /// HAProxy's httplog and tcplog.
    Haproxy,
    /// A template over the access log's names.
    Template(LogTemplate),
}

/// What is left out of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redact {
    /// The values in a query; their names stay.
    pub query: bool,
    /// The values of `Cookie` and `Set-Cookie`.
    pub cookies: bool,
    /// The value of `Authorization` and `Proxy-Authorization`.
    pub authorization: bool,
}

/// An access log that is open: its queues, and the thread that empties them.
#[derive(Debug)]
pub struct AccessLog {
    plan: AccessLogPlan,
    format: Format,
    shared: Arc<Shared>,
}

impl AccessLog {
    /// Opens the target and starts the thread that writes to it.
    pub(crate) fn open(plan: &AccessLogPlan, counters: &Arc<[LogCounters]>) -> Result<Self, OpenError> {
        let target = target::open(&plan.to)?;
        let shared = Shared::start(target, plan, counters)?;
        Ok(Self { plan: plan.clone(), format: Format::new(plan), shared })
    }

    pub(crate) fn plan(&self) -> &AccessLogPlan {
        &self.plan
    }

    /// Has the target opened anew, as after a rotation. Each line is in the old file or in the new one.
    pub(crate) fn reopen(&self) {
        self.shared.reopen();
    }

    /// Waits, no longer than `patience`, until all lines so far are written.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        self.shared.flush(patience)
    }
}

/// The thread writes what is queued and ends by itself; nobody waits for a target that stands still.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What one worker writes lines with.
#[derive(Debug)]
pub(crate) struct Desk {
    log: Arc<AccessLog>,
    worker: usize,
    memory: RefCell<Memory>,
}

/// What a worker remembers of the lines before, so that the next ones need not make it text again.
#[derive(Debug)]
pub(crate) struct Memory {
    clock: Clock,
    recent: Recent,
}

impl Desk {
    pub(crate) fn new(log: Arc<AccessLog>, worker: usize) -> Self {
        let memory = Memory { clock: Clock::new(), recent: Recent::new() };
        Self { log, worker, memory: RefCell::new(memory) }
    }

    pub(crate) fn is_of(&self, log: &Arc<AccessLog>) -> bool {
        Arc::ptr_eq(&self.log, log)
    }

    pub(crate) fn wants(&self) -> Wants {
        self.log.format.wants()
    }

    pub(crate) fn fields(&self) -> &[Box<str>] {
        self.log.format.fields()
    }

    /// Counts a line that nobody wants.
    pub(crate) fn leave_out(&self) {
        self.log.shared.leave_out(self.worker);
    }

    /// Queues the line of `entry`, or counts it as lost. It never waits for the target.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let mut memory = self.memory.borrow_mut();
        let write = |line: &mut Vec<u8>| self.log.format.write(entry, &mut memory, line);
        if self.log.shared.append(self.worker, write) == Appended::First {
            self.log.shared.wake();
        }
    }
}
