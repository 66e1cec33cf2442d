//! What only the deployment knows: parameters, where the endpoints are, where to listen, where the certificates lie.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::fault::shown;

/// What the description does not say.
#[derive(Debug, Default)]
pub struct Deployment {
    /// `NAME=VALUE`: values of parameters, addresses of instances.
    pub params: BTreeMap<String, String>,
    /// Where the endpoints are, if the description does not say or says otherwise.
    pub endpoints: Vec<Assigned>,
    /// Where to listen, if not at the described port of every address.
    pub listens: Vec<Assigned>,
    /// The certificates that the described ones are on this machine.
    pub certificates: Option<String>,
    used: RefCell<BTreeSet<(What, usize)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Endpoint,
    Listen,
}

/// `[NAME[:PORT]=]VALUE` or `PORT=VALUE`: a value, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The balancer or group that it is for; without one, for every.
    pub name: Option<String>,
    /// The described port that it is for; without one, for every.
    pub port: Option<u16>,
    /// An address, with a port or without.
    pub value: String,
}

impl Assigned {
    fn fits(&self, name: &str, port: u16) -> bool {
        self.name.as_deref().is_none_or(|own| own == name) && self.port.is_none_or(|own| own == port)
    }

    /// As it was given.
    pub fn given(&self) -> String {
        match (&self.name, self.port) {
            (None, None) => self.value.clone(),
            (None, Some(port)) => format!("{port}={}", self.value),
            (Some(name), None) => format!("{name}={}", self.value),
            (Some(name), Some(port)) => format!("{name}:{port}={}", self.value),
        }
    }
}

impl FromStr for Assigned {
    type Err = NotAssigned;

    fn from_str(text: &str) -> Result<Self, NotAssigned> {
        // A path of a unix socket may hold anything.
        let Some((scope, value)) = text.split_once('=').filter(|(scope, _)| !scope.starts_with("unix:"))
        else {
            return Self { name: None, port: None, value: text.to_owned() }.checked();
        };
        let number = |digits: &str| digits.parse::<u16>().ok().filter(|&port| port > 0);
        let (name, port) = match (number(scope), scope.rsplit_once(':')) {
            (Some(port), _) => (None, Some(port)),
            (None, Some((name, digits))) => {
                let no_port = || NotAssigned::NoPort { name: name.to_owned(), found: digits.to_owned() };
                (Some(name), Some(number(digits).ok_or_else(no_port)?))
            }
            (None, None) => (Some(scope), None),
        };
        if name.is_some_and(str::is_empty) {
            return Err(NotAssigned::NoScope { found: scope.to_owned() });
        }
        Self { name: name.map(str::to_owned), port, value: value.to_owned() }.checked()
    }
}

impl Assigned {
    fn checked(self) -> Result<Self, NotAssigned> {
        match self.value.is_empty() {
            true => Err(NotAssigned::NoAddress),
            false => Ok(self),
        }
    }
}

/// Why a text assigns nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAssigned {
    /// What stands behind a name is no port.
    NoPort {
        /// The name.
        name: String,
        /// What stands there.
        found: String,
    },
    /// Neither a name nor a port stands before `=`.
    NoScope {
        /// What stands there.
        found: String,
    },
    /// There is no address.
    NoAddress,
}

impl fmt::Display for NotAssigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort { name, found } => {
                write!(f, "expected a port behind {}, found {}", shown(&format!("{name}:")), shown(found))
            }
            Self::NoScope { found } => {
                write!(f, "expected a name or a port before `=`, found {}", shown(found))
            }
            Self::NoAddress => f.write_str("expected an address, found none"),
        }
    }
}

impl std::error::Error for NotAssigned {}

impl Deployment {
    /// The endpoints given for a port of a balancer or group. What names it counts before what is for every.
    pub(crate) fn endpoints_of(&self, name: &str, port: u16) -> Vec<String> {
        let given = self.given_endpoints(name, port).into_iter();
        given.map(|address| with_port(&address, port)).collect()
    }

    /// The same as they were given, with a port or without.
    pub(crate) fn given_endpoints(&self, name: &str, port: u16) -> Vec<String> {
        let fitting = self.fitting(What::Endpoint, &self.endpoints, name, port);
        fitting.into_iter().map(|assigned| assigned.value.clone()).collect()
    }

    /// The port that a described one is on this machine: where endpoints were given for it, theirs.
    pub(crate) fn port_of(&self, name: &str, port: u16) -> u16 {
        let mut ports =
            self.endpoints.iter().filter(|given| given.port == Some(port) && given.fits(name, port)).map(
                |given| {
                    with_port(&given.value, port).rsplit_once(':').and_then(|(_, port)| port.parse().ok())
                },
            );
        let first = ports.next().flatten();
        first.filter(|first| ports.all(|port| port == Some(*first))).unwrap_or(port)
    }

    /// Where to listen for a port of a balancer.
    pub(crate) fn listen(&self, name: &str, port: u16) -> Vec<String> {
        let fitting = self.fitting(What::Listen, &self.listens, name, port);
        fitting.into_iter().map(|assigned| with_port(&assigned.value, port)).collect()
    }

    /// The narrowest that fit: they are for this port and name, this port, this name, or anything.
    fn fitting<'a>(&self, what: What, all: &'a [Assigned], name: &str, port: u16) -> Vec<&'a Assigned> {
        let width = |assigned: &Assigned| match (&assigned.name, assigned.port) {
            (Some(_), Some(_)) => 0,
            (None, Some(_)) => 1,
            (Some(_), None) => 2,
            (None, None) => 3,
        };
        let fitting = || all.iter().enumerate().filter(|(_, assigned)| assigned.fits(name, port));
        let narrowest = fitting().map(|(_, assigned)| width(assigned)).min();
        let chosen = fitting().filter(|(_, assigned)| Some(width(assigned)) == narrowest);
        chosen
            .map(|(index, assigned)| {
                self.used.borrow_mut().insert((what, index));
                assigned
            })
            .collect()
    }

    /// What was given and fits nothing, with its flag.
    pub(crate) fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let of = |what: What, flag: &'static str, all: &[Assigned]| {
            let unused = all.iter().enumerate().filter(|&(index, _)| !used.contains(&(what, index)));
            unused.map(|(_, assigned)| format!("{flag} {}", assigned.given())).collect::<Vec<_>>()
        };
        let endpoints = of(What::Endpoint, "--endpoint", &self.endpoints);
        endpoints.into_iter().chain(of(What::Listen, "--listen", &self.listens)).collect()
    }
}

/// An address with its own port, or this one.
pub(crate) fn with_port(address: &str, port: u16) -> String {
    match (has_port(address), is_bare_ipv6(address)) {
        (true, _) => address.to_owned(),
        (false, true) => format!("[{address}]:{port}"),
        (false, false) => format!("{address}:{port}"),
    }
}

/// Whether an address says its port, or needs none.
pub(crate) fn has_port(address: &str) -> bool {
    let port = || address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    address.starts_with("unix:") || (!is_bare_ipv6(address) && port())
}

fn is_bare_ipv6(address: &str) -> bool {
    address.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(text: &str) -> Assigned {
        text.parse().expect(text)
    }

    #[test]
    fn an_assignment_says_what_it_is_for() {
        for (text, name, port, value) in [
            ("10.0.0.1", None, None, "10.0.0.1"),
            ("443=10.0.0.1:8443", None, Some(443), "10.0.0.1:8443"),
            ("Elb=[::1]", Some("Elb"), None, "[::1]"),
            ("Elb:443=10.0.0.1", Some("Elb"), Some(443), "10.0.0.1"),
            ("unix:/run/a=b", None, None, "unix:/run/a=b"),
        ] {
            let expected = Assigned { name: name.map(str::to_owned), port, value: value.to_owned() };
            assert_eq!(assigned(text), expected);
            assert_eq!(assigned(text).given(), text);
        }
        let no_port = NotAssigned::NoPort { name: "Elb".to_owned(), found: "x".to_owned() };
        for (wrong, why) in [
            ("", NotAssigned::NoAddress),
            ("443=", NotAssigned::NoAddress),
            ("=x", NotAssigned::NoScope { found: String::new() }),
            ("Elb:x=10.0.0.1", no_port),
        ] {
            assert_eq!(wrong.parse::<Assigned>(), Err(why), "{wrong}");
        }
    }

    #[test]
    fn what_names_a_port_counts_before_what_is_for_every() {
        let endpoints =
            ["10.0.0.1", "10.0.0.2", "443=10.0.0.3:8443", "Other=10.0.0.4"].map(assigned).to_vec();
        let deployment = Deployment { endpoints, ..Deployment::default() };
        assert_eq!(deployment.endpoints_of("Elb", 443), ["10.0.0.3:8443"]);
        assert_eq!(deployment.endpoints_of("Elb", 80), ["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(deployment.unused(), ["--endpoint Other=10.0.0.4"]);
    }

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (address, expected) in [
            ("10.0.0.1", "10.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("[::1]:81", "[::1]:81"),
            ("app.internal", "app.internal:80"),
            ("unix:/run/app", "unix:/run/app"),
        ] {
            assert_eq!(with_port(address, 80), expected);
        }
    }
}
