//! `[log.access]` and `[admin]`.

use std::net::SocketAddr;

use foreword_rule::suggest;

use super::document::{Table, Value};
use super::keys::{ACCESS, ADMIN, LOG};
use super::listeners::collide;
use super::problem::Problem;
use super::source::{At, Source};
use super::units;
use crate::plan::{AccessLogPlan, AdminPlan, Bind, LogFormat, LogTarget, LogTemplate, Redact};

/// Reads `[log.access]`.
pub(crate) fn access_log(top: &Table<'_, '_>) -> Option<AccessLogPlan> {
    let table = top.table("log", &LOG)?.table("access", &ACCESS)?.called("log.access");
    let to = table.read("to", |value| target(value.text()?, value));
    let format = table.read("format", format);
    let redact = read_redact(&table);
    Some(AccessLogPlan {
        to: to.map_or(LogTarget::Stdout, |at| at.value),
        format: format.map_or(LogFormat::Json, |at| at.value),
        redact,
        queue: AccessLogPlan::QUEUE,
    })
}

/// Reads `[admin]`.
pub(crate) fn admin(top: &Table<'_, '_>, listened: &[At<Bind>]) -> Option<AdminPlan> {
    let table = top.table("admin", &ADMIN)?.called("admin");
    let bind = table.require("bind", |value| {
        units::bind(value.text()?, value.place.source()).map_err(|unfit| value.unfit(unfit))
    })?;
    if let Some(other) = listened.iter().find(|other| collide(&other.value, &bind.value)) {
        let found = format!("`{}` at {}", other.value, other.place.shown());
        top.notes().problem(bind.place.called("admin").expected("an address that no listener takes", found));
    }
    if matches!(bind.value, Bind::Inet(address) if address.ip().is_unspecified()) {
        let warning = bind
            .place
            .problem("everyone who can reach this machine can read its metrics, and drain every endpoint");
        let hint =
            "bind `127.0.0.1`, an address that no stranger can reach, or `unix:/run/foreword/admin.sock`";
        top.notes().warning(warning.hint(hint));
    }
    Some(AdminPlan { bind: bind.value })
}

fn target(text: &str, value: &Value<'_>) -> Result<LogTarget, Problem> {
    let expected = || value.expected("`stdout`, `file:PATH` or `syslog:ADDRESS`");
    if text == "stdout" {
        return Ok(LogTarget::Stdout);
    }
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "file" if !rest.is_empty() => Ok(LogTarget::File(value.place.source().path(rest))),
        "syslog" => syslog(rest, value.place.source()).ok_or_else(|| {
            let hint = "`syslog:10.0.0.9:514` is UDP, `syslog:tcp:10.0.0.9:514` TCP, `syslog:unix:/dev/log` a socket";
            expected().hint(hint)
        }),
        _ if text.starts_with('/') => Err(expected().hint(format!("did you mean `file:{text}`?"))),
        _ => Err(expected().did_you_mean(suggest(kind, ["stdout", "file", "syslog"]))),
    }
}

fn syslog(rest: &str, source: &Source) -> Option<LogTarget> {
    let address = |text: &str| text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
    match rest.split_once(':') {
        Some(("unix", path)) if !path.is_empty() => Some(LogTarget::SyslogUnix(source.path(path))),
        Some(("tcp", text)) => address(text).map(LogTarget::SyslogTcp),
        Some(("udp", text)) => address(text).map(LogTarget::SyslogUdp),
        _ => address(rest).map(LogTarget::SyslogUdp),
    }
}

fn format(value: &Value<'_>) -> Result<LogFormat, Problem> {
    let words = ["json", "combined", "haproxy"];
    match value.text()? {
        "json" => Ok(LogFormat::Json),
        "combined" => Ok(LogFormat::Combined),
        "haproxy" => Ok(LogFormat::Haproxy),
        template if template.contains('{') => {
            let compiled = LogTemplate::parse(template);
            compiled.map(LogFormat::Template).map_err(|error| value.place.in_rule(&error))
        }
        other => {
            let problem =
                value.expected("`json`, `combined`, `haproxy` or a template such as `{client.ip} {rule}`");
            Err(problem.did_you_mean(suggest(other, words)))
        }
    }
}

fn read_redact(table: &Table<'_, '_>) -> Redact {
    #[derive(Clone, Copy)]
    enum What {
        Query,
        Cookies,
        Authorization,
    }
    let words = [("query", What::Query), ("cookies", What::Cookies), ("authorization", What::Authorization)];
    let mut redact = Redact::default();
    for value in table.read("redact", |value| value.list()).map(|at| at.value).unwrap_or_default() {
        match table.notes().keep(value.one_of(&words)) {
            Some(What::Query) => redact.query = true,
            Some(What::Cookies) => redact.cookies = true,
            Some(What::Authorization) => redact.authorization = true,
            None => {}
        }
    }
    redact
}
