//! `AWS::ElasticLoadBalancingV2::TargetGroup`: where connections go, and which header they get.

use std::cell::Cell;

use super::properties::Properties;
use super::template::Resource;
use super::v2::{Protocol, attributes_of};
use super::value::Value;
use super::{ENDPOINT_HINT, Import};
use crate::attributes::{self, Attributes};
use crate::aws;
use crate::fault::{Fault, Place, shown};
use crate::health::{Check, CheckKind};
use crate::parts::{
    AllDown, Because, Cluster, DATAGRAMS, Mode, Protocol as Spoken, SentHeader, balance, unverified_tls,
};

/// A target group, as far as it is read once for all who forward to it.
pub(super) struct Group<'i, 't> {
    import: &'i Import<'t>,
    pub(super) id: &'t str,
    pub(super) place: Place,
    port: u16,
    protocol: Protocol,
    targets: Vec<(Value, u16)>,
    /// What targets speak, where requests are read.
    spoken: Spoken,
    attributes: Attributes,
    check: Option<Check>,
    /// Whether anyone forwards to it.
    pub(super) used: Cell<bool>,
}

pub(super) fn read<'i, 't>(import: &'i Import<'t>, resource: Resource<'t>) -> Result<Group<'i, 't>, Fault> {
    let properties = import.properties(resource)?;
    let kind = properties.text("TargetType")?;
    if let Some(kind) = kind.as_ref().filter(|kind| kind.value == "lambda") {
        let fault = Fault::expected(kind.place, "targets with an address", shown(&kind.value));
        return Err(fault.within(&properties.path));
    }
    let port = properties.require_port("Port")?.value;
    let protocol = properties.require_text("Protocol")?;
    let protocol = Protocol::of(&protocol).map_err(|fault| fault.within(&properties.path_of("Protocol")))?;
    let spoken = spoken(&properties)?;
    let mut targets = Vec::new();
    for target in properties.maps("Targets")? {
        let Some(id) = target.get("Id").cloned() else {
            return Err(Fault::expected(target.place, "`Id`", "none").within(&target.path));
        };
        let port = target.port("Port")?.map_or(port, |port| port.value);
        targets.push((id, port));
        target.note_the_rest(&[("AvailabilityZone", "")]);
    }
    let attributes = attributes::read(attributes_of(&properties, "TargetGroupAttributes")?)?;
    attributes.notes.iter().for_each(|note| import.note(note.place, note.path.clone(), note.message.clone()));
    let instances = kind.is_none_or(|kind| kind.value == "instance");
    if attributes.preserve.unwrap_or(instances && !protocol.is_http()) && !attributes.header {
        import.note(resource.place, super::path_of(resource), aws::PRESERVED);
    }
    let group = Group {
        import,
        id: resource.id,
        place: resource.place,
        port,
        protocol,
        targets,
        spoken,
        attributes,
        check: check(&properties, protocol, spoken)?,
        used: Cell::new(false),
    };
    properties.note_the_rest(REASONS);
    Ok(group)
}

impl Group<'_, '_> {
    /// The name of the cluster that the group is for a mode; it is made where it is not there yet.
    pub(super) fn cluster(&self, mode: Mode) -> Result<String, Fault> {
        self.used.set(true);
        let name = match mode {
            Mode::Udp if self.protocol == Protocol::TcpUdp => format!("{}-udp", self.id),
            _ => self.id.to_owned(),
        };
        if self.import.clusters.borrow().iter().any(|cluster| cluster.name == name) {
            return Ok(name);
        }
        let faults = self.import.faults.borrow().len();
        let endpoints = self.import.endpoints(self.id, self.port, &self.targets);
        if endpoints.is_empty() && self.import.faults.borrow().len() == faults {
            let fault = Fault::expected(self.place, "to know the targets", "none in the template");
            return Err(fault.hint(ENDPOINT_HINT).within(&format!("Resources.{}", self.id)));
        }
        let Attributes { header, placement, drain, slow_start, .. } = self.attributes;
        if mode == Mode::Udp && header {
            let path =
                format!("Resources.{}.Properties.TargetGroupAttributes.{}", self.id, aws::HEADER_ENABLED);
            self.import.note(self.place, path, DATAGRAMS);
        }
        let cluster = Cluster {
            name: name.clone(),
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            balance: self.balance(mode),
            protocol: if mode == Mode::Http { self.spoken } else { Spoken::Http1 },
            header: (header && mode != Mode::Udp).then(|| Because::of(SentHeader::V2, aws::HEADER_ENABLED)),
            placement: (header && mode == Mode::Tcp)
                .then(|| Because::of(placement, aws::placement_word(placement))),
            tls: matches!(self.protocol, Protocol::Tls | Protocol::Https).then(unverified_tls),
            health: self
                .check
                .as_ref()
                .map(|check| self.import.health(check, self.id, self.port, self.check_header(mode))),
            timeouts: drain.iter().map(|drain| ("drain", format!("{drain}s").into())).collect(),
            slow_start: slow_start
                .map(|slow| Because::of(format!("{slow}s").into(), "slow_start.duration_seconds")),
            all_down: Some(Because::of(AllDown::TryAll, "a target group fails open")),
            ..Cluster::default()
        };
        self.import.clusters.borrow_mut().push(cluster);
        Ok(name)
    }

    /// The header of a check: an NLB sends LOCAL where it sends headers at all.
    fn check_header(&self, mode: Mode) -> (&'static str, &'static str) {
        match self.attributes.header && mode != Mode::Udp {
            true => aws::NLB_CHECK_HEADER,
            false => aws::NO_CHECK_HEADER,
        }
    }

    fn balance(&self, mode: Mode) -> Option<Because<crate::draft::Value>> {
        match mode {
            Mode::Http => self
                .attributes
                .least
                .then(|| Because::of(balance::LEAST_CONNECTIONS.into(), "least_outstanding_requests")),
            _ if self.attributes.by_client => {
                Some(Because::of(balance::hash("client.ip"), "stickiness.type = source_ip"))
            }
            _ => Some(aws::nlb_balance()),
        }
    }
}

/// What targets speak.
fn spoken(properties: &Properties<'_, '_>) -> Result<Spoken, Fault> {
    let Some(version) = properties.text("ProtocolVersion")? else { return Ok(Spoken::Http1) };
    match version.value.as_str() {
        "HTTP1" => Ok(Spoken::Http1),
        "HTTP2" | "GRPC" => Ok(Spoken::Http2),
        other => {
            let fault = Fault::expected(version.place, "`HTTP1`, `HTTP2` or `GRPC`", shown(other));
            Err(fault.within(&properties.path_of("ProtocolVersion")))
        }
    }
}

/// The check that a group describes, or has by default.
fn check(
    properties: &Properties<'_, '_>,
    protocol: Protocol,
    spoken: Spoken,
) -> Result<Option<Check>, Fault> {
    let enabled = properties.flag("HealthCheckEnabled")?.unwrap_or(true);
    let kind = match properties.text("HealthCheckProtocol")? {
        Some(kind) => CheckKind::of(&kind.value, kind.place)
            .map_err(|fault| fault.within(&properties.path_of("HealthCheckProtocol")))?,
        None if protocol == Protocol::Https => CheckKind::Https,
        None if protocol == Protocol::Http => CheckKind::Http,
        None => CheckKind::Tcp,
    };
    let port = match properties.text("HealthCheckPort")? {
        Some(port) if port.value != "traffic-port" => {
            let number = port.value.parse::<u16>().ok().filter(|&number| number > 0);
            Some(number.ok_or_else(|| {
                let fault = Fault::expected(port.place, "a port or `traffic-port`", shown(&port.value));
                fault.within(&properties.path_of("HealthCheckPort"))
            })?)
        }
        _ => None,
    };
    let seconds = |name, default| properties.number(name).map(|at| at.map_or(default, |at| at.value));
    let matcher = match properties.map("Matcher")? {
        Some(matcher) => matcher.text("HttpCode")?.map(|codes| codes.value),
        None => None,
    };
    let default = if protocol.is_http() { "200" } else { "200-399" };
    let timeout = match (protocol.is_http(), kind) {
        (true, _) => 5,
        (false, CheckKind::Http) => 6,
        (false, _) => 10,
    };
    if enabled && kind.has_path() && spoken == Spoken::Http2 {
        let why = "checks speak HTTP/1.1, so they only connect to targets that speak HTTP/2";
        properties.import.note(properties.place, properties.path_of("HealthCheckProtocol"), why);
    }
    let check = Check {
        kind: if spoken == Spoken::Http2 { kind.without_a_request() } else { kind },
        port,
        path: properties.text("HealthCheckPath")?.map(|path| path.value),
        statuses: matcher
            .as_deref()
            .unwrap_or(default)
            .split(',')
            .map(|code| code.trim().to_owned())
            .collect(),
        interval: seconds("HealthCheckIntervalSeconds", 30)?,
        timeout: seconds("HealthCheckTimeoutSeconds", timeout)?,
        rise: seconds("HealthyThresholdCount", 5)?,
        fall: seconds("UnhealthyThresholdCount", 2)?,
    };
    Ok(enabled.then_some(check))
}

const REASONS: &[(&str, &str)] =
    &[("IpAddressType", ""), ("Name", ""), ("Tags", ""), ("TargetControlPort", ""), ("VpcId", "")];
