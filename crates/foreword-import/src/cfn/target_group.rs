//! `AWS::ElasticLoadBalancingV2::TargetGroup`: where connections go, and which header they get.

use std::cell::Cell;

use super::properties::Properties;
use super::template::Resource;
use super::v2::{Protocol, attributes, number};
use super::value::Value;
use super::{ENDPOINT_HINT, Import};
use crate::aws;
use crate::fault::{Fault, Place, shown};
use crate::health::{Check, CheckKind};
use crate::parts::{
    AllDown, Because, Cluster, DATAGRAMS, Mode, Placement, SentHeader, balance, unverified_tls,
};

/// A target group, as far as it is read once for all who forward to it.
pub(super) struct Group<'i, 't> {
    import: &'i Import<'t>,
    pub(super) id: &'t str,
    pub(super) place: Place,
    port: u16,
    protocol: Protocol,
    targets: Vec<(Value, u16)>,
    header: Option<Placement>,
    by_client: bool,
    least: bool,
    drain: Option<u64>,
    slow_start: Option<u64>,
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
    if let Some(version) = properties.text("ProtocolVersion")?.filter(|version| version.value != "HTTP1") {
        import.note(
            version.place,
            properties.path_of("ProtocolVersion"),
            "targets are spoken to in HTTP/1.1",
        );
    }
    let mut targets = Vec::new();
    for target in properties.maps("Targets")? {
        let Some(id) = target.get("Id").cloned() else {
            return Err(Fault::expected(target.place, "`Id`", "none").within(&target.path));
        };
        let port = target.port("Port")?.map_or(port, |port| port.value);
        targets.push((id, port));
        target.note_the_rest(&[("AvailabilityZone", "")]);
    }
    let mut group = Group {
        import,
        id: resource.id,
        place: resource.place,
        port,
        protocol,
        targets,
        header: None,
        by_client: false,
        least: false,
        drain: None,
        slow_start: None,
        check: check(&properties, protocol)?,
        used: Cell::new(false),
    };
    group.read_attributes(&properties, kind.is_none_or(|kind| kind.value == "instance"))?;
    properties.note_the_rest(REASONS);
    Ok(group)
}

impl Group<'_, '_> {
    fn read_attributes(&mut self, properties: &Properties<'_, '_>, instances: bool) -> Result<(), Fault> {
        let mut enabled = false;
        let mut placement = aws::NLB_PLACEMENT;
        let mut preserve = instances && !self.protocol.is_http();
        let mut sticky = (false, String::new());
        for (key, value, place) in attributes(properties, "TargetGroupAttributes")? {
            let on = value.eq_ignore_ascii_case("true");
            match (key.as_str(), value.as_str()) {
                (aws::HEADER_ENABLED, _) => enabled = on,
                (aws::HEADER_PLACEMENT, word) => {
                    let expected = "`on_first_ack` or `on_first_ack_with_payload`";
                    placement = aws::placement(word).ok_or_else(|| {
                        Fault::expected(place, expected, shown(word)).within(&properties.path)
                    })?;
                }
                ("preserve_client_ip.enabled", _) => preserve = on,
                ("stickiness.enabled", _) => sticky.0 = on,
                ("stickiness.type", _) => sticky.1 = value,
                ("load_balancing.algorithm.type", "least_outstanding_requests") => self.least = true,
                ("load_balancing.algorithm.type", "round_robin") => {}
                ("deregistration_delay.timeout_seconds", _) => {
                    self.drain = Some(number(&value, place, properties)?)
                }
                ("slow_start.duration_seconds", "0") => {}
                ("slow_start.duration_seconds", _) => {
                    self.slow_start = Some(number(&value, place, properties)?)
                }
                _ => self.import.note(place, self.path(&key), "not carried over"),
            }
        }
        self.header = enabled.then_some(placement);
        if preserve && !enabled {
            let message = "its targets see the client's own address on the packets (preserve_client_ip); here they see this \
                           machine's, unless `send_header` tells them";
            self.import.note(self.place, format!("Resources.{}", self.id), message);
        }
        match (sticky.0, sticky.1.as_str()) {
            (true, "source_ip") => self.by_client = true,
            (true, _) => {
                self.import.note(self.place, self.path("stickiness.enabled"), "no stickiness by cookie")
            }
            (false, _) => {}
        }
        Ok(())
    }

    fn path(&self, attribute: &str) -> String {
        format!("Resources.{}.Properties.TargetGroupAttributes.{attribute}", self.id)
    }

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
        if mode == Mode::Udp && self.header.is_some() {
            self.import.note(self.place, self.path(aws::HEADER_ENABLED), DATAGRAMS);
        }
        let cluster = Cluster {
            name: name.clone(),
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            balance: self.balance(mode),
            header: self
                .header
                .filter(|_| mode != Mode::Udp)
                .map(|_| Because::of(SentHeader::V2, aws::HEADER_ENABLED)),
            placement: self
                .header
                .filter(|_| mode == Mode::Tcp)
                .map(|placement| Because::of(placement, aws::placement_word(placement))),
            tls: matches!(self.protocol, Protocol::Tls | Protocol::Https).then(unverified_tls),
            health: self
                .check
                .as_ref()
                .map(|check| self.import.health(check, self.id, self.port, self.check_header(mode))),
            timeouts: self.drain.iter().map(|drain| ("drain", format!("{drain}s").into())).collect(),
            slow_start: self
                .slow_start
                .map(|slow| Because::of(format!("{slow}s").into(), "slow_start.duration_seconds")),
            all_down: Some(Because::of(AllDown::TryAll, "a target group fails open")),
            ..Cluster::default()
        };
        self.import.clusters.borrow_mut().push(cluster);
        Ok(name)
    }

    /// The header of a check: an NLB sends LOCAL where it sends headers at all.
    fn check_header(&self, mode: Mode) -> (&'static str, &'static str) {
        match self.header {
            Some(_) if mode != Mode::Udp => aws::NLB_CHECK_HEADER,
            _ => aws::NO_CHECK_HEADER,
        }
    }

    fn balance(&self, mode: Mode) -> Option<Because<crate::draft::Value>> {
        match mode {
            Mode::Http => self
                .least
                .then(|| Because::of(balance::LEAST_CONNECTIONS.into(), "least_outstanding_requests")),
            _ if self.by_client => {
                Some(Because::of(balance::hash("client.ip"), "stickiness.type = source_ip"))
            }
            _ => Some(aws::nlb_balance()),
        }
    }
}

/// The check that a group describes, or has by default.
fn check(properties: &Properties<'_, '_>, protocol: Protocol) -> Result<Option<Check>, Fault> {
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
    let check = Check {
        kind,
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
