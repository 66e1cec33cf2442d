//! Durations, sizes and addresses as a file writes them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::source::Source;
use crate::plan::{Bind, Endpoint, Target};

/// What was expected, and a hint where one can be given. The caller knows what was found, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) expected: &'static str,
    pub(crate) hint: Option<String>,
}

impl Unfit {
    fn new(expected: &'static str) -> Self {
        Self { expected, hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Hints at the unit of ours that somebody else's stands for, if it stands for one.
    fn maybe_meant(self, digits: &str, meant: Option<&(&str, &str)>) -> Self {
        match meant {
            Some((_, ours)) => self.hint(format!("did you mean `{digits}{ours}`?")),
            None => self,
        }
    }
}

/// `500ms`, `3s`, `1m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Unfit> {
    let expected = "a duration such as `500ms`, `3s`, `1m` or `2h`";
    let (digits, unit) = split_unit(text);
    let Ok(number) = digits.parse::<u64>() else { return Err(Unfit::new(expected)) };
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60 * 1000),
        "h" => Some(60 * 60 * 1000),
        "d" => Some(24 * 60 * 60 * 1000),
        "" => return Err(Unfit::new(expected).hint(format!("add the unit: `{digits}s`"))),
        other => {
            let meant = TIMES.iter().find(|(written, _)| other.trim().eq_ignore_ascii_case(written));
            return Err(Unfit::new(expected).maybe_meant(digits, meant));
        }
    };
    let Some(millis) = millis.and_then(|millis: u64| millis.checked_mul(number)) else {
        return Err(Unfit::new(expected));
    };
    match millis {
        0 => Err(Unfit::new("a duration above zero")),
        millis if millis > MAX_DURATION_MS => Err(Unfit::new("a duration of at most `7d`")),
        millis => Ok(Duration::from_millis(millis)),
    }
}

/// `512B`, `16KiB`, `1MiB`, `2GiB`.
pub(crate) fn size(text: &str) -> Result<u64, Unfit> {
    let expected = "a size such as `4096` or `\"16KiB\"`";
    let (digits, unit) = split_unit(text);
    let Ok(number) = digits.parse::<u64>() else { return Err(Unfit::new(expected)) };
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        "" => return Err(Unfit::new(expected).hint(format!("bytes are written without quotes: `{digits}`"))),
        other => {
            let meant = SIZES.iter().find(|(written, _)| other.trim().eq_ignore_ascii_case(written));
            return Err(Unfit::new(expected).maybe_meant(digits, meant));
        }
    };
    number.checked_mul(factor).ok_or_else(|| Unfit::new(expected))
}

/// `[::]:443`, `10.0.1.10:443`, `unix:/path`.
pub(crate) fn bind(text: &str, source: &Source) -> Result<Bind, Unfit> {
    let expected = "an address such as `[::]:443`, `10.0.1.10:443` or `unix:/path`";
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() { Err(Unfit::new(expected)) } else { Ok(Bind::Unix(source.path(path))) };
    }
    text.parse().map(Bind::Inet).map_err(|_| {
        let unfit = Unfit::new(expected);
        if text.parse::<u16>().is_ok() {
            return unfit.hint(format!("add the colon: `[::]:{text}` takes IPv4 and IPv6"));
        }
        match text.rsplit_once(':') {
            Some(("" | "*", port)) => unfit.hint(format!("`[::]:{port}` takes IPv4 and IPv6")),
            Some(("localhost", port)) => {
                unfit.hint(format!("did you mean `127.0.0.1:{port}` or `[::1]:{port}`?"))
            }
            _ => with_port_hint(unfit, text),
        }
    })
}

/// `10.0.1.10:443`, `name:443`, `srv:_http._tcp.name`, `unix:/path`.
pub(crate) fn endpoint(text: &str, source: &Source) -> Result<Endpoint, Unfit> {
    let expected = "an endpoint such as `10.0.1.10:443`, `app.internal:8080`, `srv:_http._tcp.app.internal` or `unix:/path`";
    let target = if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(Unfit::new(expected));
        }
        Target::Unix(source.path(path))
    } else if let Some(service) = text.strip_prefix("srv:") {
        let unfit = || Unfit::new("the name of a service such as `srv:_http._tcp.example.com`");
        let Some(name) = host_name(service) else {
            return Err(match service.rsplit_once(':') {
                Some((name, _)) => unfit().hint(format!("its records name the ports: `srv:{name}`")),
                None => unfit(),
            });
        };
        Target::Service { name }
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            return Err(Unfit::new("an endpoint with a port above 0"));
        }
        Target::Address(address)
    } else {
        let named = text
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host_name(host)?, port.parse::<u16>().ok()?)));
        let Some((host, port)) = named.filter(|&(_, port)| port > 0) else {
            let unfit = Unfit::new(expected);
            return Err(match text.split_once("://") {
                Some((_, rest)) => {
                    unfit.hint(format!("an endpoint has no scheme: `{}`", rest.trim_end_matches('/')))
                }
                None => with_port_hint(unfit, text),
            });
        };
        Target::Name { host, port }
    };
    Ok(Endpoint::new(text, target))
}

/// `10.0.0.2`, `[fd00::2]:5353`; the port is 53 unless it says otherwise.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, Unfit> {
    let address = text.parse::<SocketAddr>().or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, 53).into()));
    match address {
        Ok(address) if address.port() > 0 => Ok(address),
        _ => Err(Unfit::new("the address of a name server, such as `10.0.0.2` or `[fd00::2]:5353`")),
    }
}

/// A name that can be resolved (RFC 1123 §2.1, and `_`, which is in use), in lower case and without its last dot.
fn host_name(text: &str) -> Option<Box<str>> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits is an IPv4 address that was mistyped.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (name.len() <= 253 && name.split('.').all(label) && !numeric).then(|| name.to_ascii_lowercase().into())
}

fn with_port_hint(unfit: Unfit, text: &str) -> Unfit {
    if let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| is_digits(port)) {
        let fits = port.parse::<u16>().is_ok();
        match host.parse::<Ipv6Addr>() {
            Ok(v6) if fits => {
                return unfit.hint(format!("an IPv6 address stands in brackets: `[{v6}]:{port}`"));
            }
            _ if !fits => return unfit.hint("ports end at 65535"),
            _ => {}
        }
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => unfit.hint(format!("add the port: `{v4}:443`")),
        Ok(IpAddr::V6(v6)) => unfit.hint(format!("add the port: `[{v6}]:443`")),
        Err(_) if text.starts_with('/') => unfit.hint(format!("did you mean `unix:{text}`?")),
        Err(_) if host_name(text).is_some() => unfit.hint("add the port"),
        Err(_) => unfit,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// A week: longer than any connection should be waited for, and far from what a clock can overflow on.
const MAX_DURATION_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// How others write units of time, and what they are here.
const TIMES: [(&str, &str); 17] = [
    ("ms", "ms"),
    ("msec", "ms"),
    ("s", "s"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("m", "m"),
    ("min", "m"),
    ("mins", "m"),
    ("minutes", "m"),
    ("h", "h"),
    ("hr", "h"),
    ("hours", "h"),
    ("d", "d"),
    ("day", "d"),
    ("days", "d"),
];

/// How others write units of size, and what they are here.
const SIZES: [(&str, &str); 10] = [
    ("b", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        for (others, ours) in [("5 min", "5m"), ("3sec", "3s"), ("2H", "2h"), ("1day", "1d")] {
            let hint = duration(others).expect_err("not ours").hint;
            assert_eq!(hint, Some(format!("did you mean `{ours}`?")), "{others}");
        }
        assert_eq!(duration("3").expect_err("no unit").hint.as_deref(), Some("add the unit: `3s`"));
        for wrong in ["", "s", "3 s", "-1s", "1.5s", "0s", "9999999999999999999s", "200h", "8d", "3sec"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("16KiB"), Ok(16384));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        for (others, ours) in [("16kb", "16KiB"), ("1 MB", "1MiB"), ("10m", "10MiB"), ("2G", "2GiB")] {
            let hint = size(others).expect_err("not ours").hint;
            assert_eq!(hint, Some(format!("did you mean `{ours}`?")), "{others}");
        }
        assert!(size("99999999999999999999MiB").is_err());
    }

    #[test]
    fn endpoints_are_addresses_names_or_paths() {
        let source = Source::new("f", "/etc/foreword", "");
        let target = |text: &str| endpoint(text, &source).map(|endpoint| endpoint.target);
        assert_eq!(target("App.internal.:80"), Ok(Target::Name { host: "app.internal".into(), port: 80 }));
        assert_eq!(target("unix:run/app"), Ok(Target::Unix("/etc/foreword/run/app".into())));
        assert!(matches!(target("[::1]:80"), Ok(Target::Address(_))));
        let service = Target::Service { name: "_http._tcp.app.internal".into() };
        assert_eq!(target("srv:_http._tcp.App.internal."), Ok(service));
        let hint = endpoint("srv:_http._tcp.app:80", &source).expect_err("a port").hint;
        assert_eq!(hint.as_deref(), Some("its records name the ports: `srv:_http._tcp.app`"));
        for wrong in [
            "",
            ":80",
            "app",
            "app:0",
            "10.0.0.1",
            "10.0.0.300:80",
            "10.0.0.1:0",
            "a b:80",
            "unix:",
            "app:http",
            "srv:",
        ] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
        let hint = target("http://app:80/").expect_err("a URL").hint;
        assert_eq!(hint.as_deref(), Some("an endpoint has no scheme: `app:80`"));
    }

    #[test]
    fn a_name_server_has_the_port_of_its_service_unless_it_says_otherwise() {
        assert_eq!(name_server("10.0.0.2").map(|at| at.to_string()).as_deref(), Ok("10.0.0.2:53"));
        assert_eq!(name_server("fd00::2").map(|at| at.to_string()).as_deref(), Ok("[fd00::2]:53"));
        assert_eq!(name_server("127.0.0.1:5353").map(|at| at.port()), Ok(5353));
        for wrong in ["", "dns.test", "10.0.0.2:", "10.0.0.2:0", "fd00::2:x"] {
            assert!(name_server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn binds_take_no_names() {
        let source = Source::new("f", "", "");
        assert!(matches!(bind("[::]:0", &source), Ok(Bind::Inet(_))));
        assert_eq!(
            bind(":443", &source).expect_err("").hint.as_deref(),
            Some("`[::]:443` takes IPv4 and IPv6")
        );
        assert!(bind("localhost:443", &source).is_err());
        for (wrong, hint) in [
            ("::1:18700", "an IPv6 address stands in brackets: `[::1]:18700`"),
            ("::1:443", "an IPv6 address stands in brackets: `[::1]:443`"),
            ("10.0.0.1:70000", "ports end at 65535"),
            ("::1", "add the port: `[::1]:443`"),
        ] {
            assert_eq!(bind(wrong, &source).expect_err(wrong).hint.as_deref(), Some(hint));
        }
    }
}
