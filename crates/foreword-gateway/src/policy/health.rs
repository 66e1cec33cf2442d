//! How it is found out whether an endpoint is up, and when its checks have said so often enough.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use foreword::Version;
use foreword_rule::Matcher;
use rustls::pki_types::ServerName;

/// The health check of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub check: Check,
    /// The PROXY header that comes first.
    pub header: CheckHeader,
    /// The port that is asked, if it is not the one that clients are sent to.
    pub port: Option<u16>,
    /// From the end of a check to the next, give or take a tenth.
    pub interval: Duration,
    /// For a whole check.
    pub timeout: Duration,
    /// So many good ones in a row bring an endpoint back.
    pub rise: u32,
    /// So many bad ones in a row take it out.
    pub fall: u32,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A connection.
    Tcp,
    /// A TLS handshake.
    Tls {
        /// Whom it asks for; the endpoint's address where none is given.
        name: Option<ServerName<'static>>,
    },
    /// An answer to a request.
    Http(Box<HttpCheck>),
    /// Some bytes.
    SendExpect {
        /// What is sent first; it may be empty.
        send: Box<[u8]>,
        /// What must come.
        expect: Box<[u8]>,
    },
}

/// An HTTP/1.1 request, and what its answer should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Whether it is asked through TLS.
    pub tls: bool,
    /// The method.
    pub method: Box<str>,
    /// Path and query.
    pub path: Box<str>,
    /// The `Host`; the endpoint's address where none is given.
    pub host: Option<Box<str>>,
    /// The same in TLS, if it is asked through that.
    pub name: Option<ServerName<'static>>,
    /// The good ones.
    pub status: Statuses,
    /// What the body should hold.
    pub body: Option<Body>,
}

/// What a body should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// These bytes, somewhere.
    Holds(Box<str>),
    /// What fits a pattern.
    Matches(Matcher),
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(text) => write!(f, "`{text}`"),
            Self::Matches(pattern) => write!(f, "what fits `{pattern}`"),
        }
    }
}

/// Ranges of statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub Vec<RangeInclusive<u16>>);

impl Statuses {
    pub(crate) fn hold(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![200..=399])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            match (range.start(), range.end()) {
                (first, last) if first == last => first.fmt(f)?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The PROXY header of a check. Servers differ in which they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckHeader {
    /// None.
    None,
    /// v2 LOCAL, and nothing else; in v1 `UNKNOWN`.
    Local(Version),
    /// v2 LOCAL with an empty NOOP, for servers that cannot take a header of length zero.
    LocalNoop,
    /// v2 LOCAL with an address block, as AWS NLB sends it.
    LocalAddresses,
    /// A client like any other: ourselves.
    Proxy(Version),
}

/// Counts checks until they have said the same often enough.
#[derive(Debug)]
pub(crate) struct Judge {
    rise: u32,
    fall: u32,
    is_down: bool,
    /// How many in a row spoke against what it holds now.
    against: u32,
    /// The first check after a start decides alone: nothing is known that it could be weighed against.
    is_first: bool,
}

impl Judge {
    /// Begins with what is held for true.
    pub(crate) fn new(check: &HealthCheck, is_down: bool) -> Self {
        Self { rise: check.rise, fall: check.fall, is_down, against: 0, is_first: true }
    }

    /// Hears how a check ended; if that changes the verdict, tells how many in a row did.
    pub(crate) fn hear(&mut self, passed: bool) -> Option<u32> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if passed != self.is_down {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if self.is_down { self.rise } else { self.fall };
        if self.against < needed && !is_first {
            return None;
        }
        self.is_down = !self.is_down;
        Some(std::mem::take(&mut self.against))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(is_down: bool) -> Judge {
        let check = HealthCheck {
            check: Check::Tcp,
            header: CheckHeader::None,
            port: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        };
        Judge::new(&check, is_down)
    }

    fn verdicts(judge: &mut Judge, checks: &[bool]) -> Vec<Option<u32>> {
        checks.iter().map(|passed| judge.hear(*passed)).collect()
    }

    #[test]
    fn as_many_in_a_row_as_asked_for_change_the_verdict() {
        let mut judge = judge(false);
        let checks = [true, false, false, true, false, false, false, false];
        assert_eq!(verdicts(&mut judge, &checks), [None, None, None, None, None, None, Some(3), None]);
        assert_eq!(verdicts(&mut judge, &[true, false, true, true, true]), [None, None, None, Some(2), None]);
    }

    #[test]
    fn the_first_check_decides_alone() {
        assert_eq!(verdicts(&mut judge(false), &[false, true, true]), [Some(1), None, Some(2)]);
        assert_eq!(verdicts(&mut judge(true), &[true]), [Some(1)]);
    }

    #[test]
    fn statuses_are_told_as_they_are_written() {
        let statuses = Statuses(vec![200..=200, 300..=399]);
        assert_eq!(statuses.to_string(), "200, 300-399");
        assert!(statuses.hold(301) && !statuses.hold(204));
    }
}
