//! `AWS::ElasticLoadBalancing::LoadBalancer`: the classic ELB, whose policies say which instance ports get a header.

use std::collections::BTreeSet;

use super::properties::{At, Properties};
use super::template::Resource;
use super::value::{Value, ValueKind};
use super::{ENDPOINT_HINT, Import};
use crate::aws::{self, CLASSIC_CHECK_HEADER, CLASSIC_IDLE, classic_all_down};
use crate::fault::{Fault, shown};
use crate::health::{Check, CheckKind};
use crate::parts::{Because, Cluster, Listener, Mode, SentHeader, balance, unverified_tls};

pub(super) const TYPE: &str = "AWS::ElasticLoadBalancing::LoadBalancer";

/// What all listeners of a balancer share.
struct Balancer<'i, 't> {
    import: &'i Import<'t>,
    id: &'t str,
    path: String,
    instances: Vec<Value>,
    /// Instance ports that get a header.
    headers: BTreeSet<u16>,
    check: Option<Check>,
    /// For how long an instance that leaves may end what it has.
    drain: Option<u64>,
    /// Seconds, and why.
    idle: (u64, &'static str),
}

pub(super) fn read<'t>(import: &Import<'t>, resource: Resource<'t>) -> Result<(), Fault> {
    let properties = import.properties(resource)?;
    let idle = match properties.map("ConnectionSettings")? {
        Some(settings) => settings.number("IdleTimeout")?,
        None => None,
    };
    let balancer = Balancer {
        import,
        id: resource.id,
        path: format!("Resources.{}", resource.id),
        instances: instances(&properties)?,
        headers: read_policies(&properties)?,
        check: read_check(&properties)?,
        drain: read_drain(&properties)?,
        idle: idle.map_or(CLASSIC_IDLE, |idle| (idle.value, "ConnectionSettings.IdleTimeout")),
    };
    let listeners = properties.maps("Listeners")?;
    if listeners.is_empty() {
        let fault = Fault::expected(properties.place, "`Listeners`", "none");
        return Err(fault.within(&properties.path));
    }
    let mut ports = BTreeSet::new();
    for listener in &listeners {
        if let Some(port) = import.keep(balancer.listener(listener)) {
            ports.insert(port);
        }
        listener.note_the_rest(&[("PolicyNames", "policies of TLS and of cookies are not carried over")]);
    }
    for port in balancer.headers.difference(&ports) {
        import.note(
            properties.place,
            properties.path_of("Policies"),
            format!("no listener forwards to instance port {port}, so nothing gets its header"),
        );
    }
    note_cookies(&properties)?;
    properties.note_the_rest(REASONS);
    Ok(())
}

impl Balancer<'_, '_> {
    /// Reads one listener; the instance port that it forwards to.
    fn listener(&self, properties: &Properties<'_, '_>) -> Result<u16, Fault> {
        let port = properties.require_port("LoadBalancerPort")?.value;
        let instance_port = properties.require_port("InstancePort")?;
        let protocol = properties.require_text("Protocol")?;
        let (mode, tls) = protocol_of(&protocol, properties, "Protocol")?;
        let to = properties.text("InstanceProtocol")?;
        let (to_mode, to_tls) = match &to {
            Some(to) => protocol_of(to, properties, "InstanceProtocol")?,
            None => (mode, false),
        };
        if mode != to_mode {
            let fault =
                Fault::expected(protocol.place, "protocols of one layer on both sides", "one of each");
            return Err(fault.within(&properties.path));
        }
        let name = format!("{}-{port}", self.id);
        let cluster = self.cluster(mode, to_tls, &instance_port)?;
        let listener = Listener {
            bind: self.import.binds(self.id, port),
            mode,
            certificates: if tls { Some(self.certificates(properties)?) } else { None },
            timeouts: vec![("idle", format!("{}s", self.idle.0).into())],
            timeouts_why: Some(self.idle.1.to_owned()),
            cluster: Some(cluster),
            name,
            ..Listener::default()
        };
        self.import.listeners.borrow_mut().push(listener);
        Ok(instance_port.value)
    }

    /// The cluster of an instance port: every listener that forwards there shares it.
    fn cluster(&self, mode: Mode, tls: bool, port: &At<u16>) -> Result<String, Fault> {
        let name = match mode {
            Mode::Http => format!("{}-http-{}", self.id, port.value),
            _ => format!("{}-{}", self.id, port.value),
        };
        if let Some(cluster) = self.import.clusters.borrow().iter().find(|cluster| cluster.name == name) {
            return match cluster.tls.is_some() == tls {
                true => Ok(name),
                false => {
                    let expected = format!("one protocol for instance port {}", port.value);
                    let found = "TLS in one listener, and none in another";
                    Err(Fault::expected(port.place, expected, found).within(&self.path))
                }
            };
        }
        let endpoints = self.endpoints(port)?;
        // In turn is how it goes unless something else is said.
        let balance = (mode == Mode::Http)
            .then(|| Because::of(balance::LEAST_CONNECTIONS.into(), "as a classic ELB does with requests"));
        self.import.clusters.borrow_mut().push(Cluster {
            name: name.clone(),
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            balance,
            header: self.header(mode, port),
            tls: tls.then(unverified_tls),
            health: self
                .check
                .as_ref()
                .map(|check| self.import.health(check, self.id, port.value, CLASSIC_CHECK_HEADER)),
            timeouts: self.drain.iter().map(|drain| ("drain", format!("{drain}s").into())).collect(),
            all_down: Some(classic_all_down()),
            ..Cluster::default()
        });
        Ok(name)
    }

    /// Where the instances behind a port are.
    fn endpoints(&self, port: &At<u16>) -> Result<Vec<String>, Fault> {
        let described: Vec<(Value, u16)> =
            self.instances.iter().map(|instance| (instance.clone(), port.value)).collect();
        let faults = self.import.faults.borrow().len();
        let endpoints = self.import.endpoints(self.id, port.value, &described);
        if endpoints.is_empty() && self.import.faults.borrow().len() == faults {
            let expected = format!("to know the instances behind port {}", port.value);
            let fault = Fault::expected(port.place, expected, "none in the template");
            return Err(fault.hint(ENDPOINT_HINT).within(&self.path));
        }
        Ok(endpoints)
    }

    /// The header that an instance port gets.
    fn header(&self, mode: Mode, port: &At<u16>) -> Option<Because<SentHeader>> {
        if !self.headers.contains(&port.value) {
            return None;
        }
        if mode == Mode::Http {
            let message = format!(
                "a ProxyProtocolPolicyType works with TCP and SSL only: instance port {} gets no header",
                port.value
            );
            self.import.note(port.place, self.path.clone(), message);
            return None;
        }
        Some(Because::of(SentHeader::V1, "a ProxyProtocolPolicyType names this instance port"))
    }

    fn certificates(&self, properties: &Properties<'_, '_>) -> Result<String, Fault> {
        let arn = properties.get("SSLCertificateId");
        let place = arn.map_or(properties.place, |arn| arn.place);
        self.import.certificates(place, &properties.path)
    }
}

/// Tells of the policies by which clients come back to an instance.
fn note_cookies(properties: &Properties<'_, '_>) -> Result<(), Fault> {
    for policy in properties.maps("LBCookieStickinessPolicy")? {
        let age = policy.number("CookieExpirationPeriod")?.map(|age| age.value);
        policy.import.note(policy.place, policy.path.clone(), aws::sticky("AWSELB", age));
    }
    for policy in properties.maps("AppCookieStickinessPolicy")? {
        policy.import.note(policy.place, policy.path.clone(), aws::sticky("AWSELB", None));
    }
    Ok(())
}

/// The instances behind a balancer. A list that only the stack knows is no matter where endpoints are given.
fn instances(properties: &Properties<'_, '_>) -> Result<Vec<Value>, Fault> {
    match properties.get("Instances") {
        Some(value @ Value { kind: ValueKind::Unknown(_), .. }) => Ok(vec![value.clone()]),
        _ => properties.list("Instances"),
    }
}

/// The instance ports whose policies send a header.
fn read_policies(properties: &Properties<'_, '_>) -> Result<BTreeSet<u16>, Fault> {
    let mut headers = BTreeSet::new();
    for policy in properties.maps("Policies")? {
        let kind = policy.require_text("PolicyType")?;
        if kind.value != "ProxyProtocolPolicyType" {
            let why =
                POLICIES.iter().find(|(name, _)| *name == kind.value).map_or("is not known", |(_, why)| *why);
            policy.import.note(kind.place, policy.path.clone(), format!("{} {why}", shown(&kind.value)));
            continue;
        }
        let mut on = false;
        for attribute in policy.maps("Attributes")? {
            let name = attribute.require_text("Name")?;
            match name.value.as_str() {
                "ProxyProtocol" => on = attribute.flag("Value")?.unwrap_or(false),
                other => attribute.import.note(
                    name.place,
                    attribute.path.clone(),
                    format!("{} is not known", shown(other)),
                ),
            }
        }
        let ports = policy.texts("InstancePorts")?;
        if ports.is_empty() {
            policy.import.note(
                policy.place,
                policy.path.clone(),
                "names no `InstancePorts`, so it is in force nowhere",
            );
        }
        for port in ports {
            let number = port.value.parse::<u16>().ok().filter(|&number| number > 0);
            let number = number.ok_or_else(|| {
                Fault::expected(port.place, "a port from 1 to 65535", shown(&port.value))
                    .within(&policy.path_of("InstancePorts"))
            })?;
            if on {
                headers.insert(number);
            }
        }
    }
    Ok(headers)
}

/// `HealthCheck`, whose `Target` is `TCP:443` or `HTTP:80/path`.
fn read_check(properties: &Properties<'_, '_>) -> Result<Option<Check>, Fault> {
    let Some(check) = properties.map("HealthCheck")? else { return Ok(None) };
    let target = check.require_text("Target")?;
    let wrong = || {
        let fault = Fault::expected(
            target.place,
            "a target such as `TCP:443` or `HTTP:80/path`",
            shown(&target.value),
        );
        fault.within(&check.path_of("Target"))
    };
    let (kind, rest) = target.value.split_once(':').ok_or_else(wrong)?;
    let kind = CheckKind::of(kind, target.place).map_err(|_| wrong())?;
    let (port, path) = match rest.split_once('/') {
        Some((port, path)) if kind.has_path() => (port, Some(format!("/{path}"))),
        None if !kind.has_path() => (rest, None),
        _ => return Err(wrong()),
    };
    let number = |name, default| check.number(name).map(|at| at.map_or(default, |at| at.value));
    Ok(Some(Check {
        kind,
        port: Some(port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?),
        path,
        statuses: vec!["200".to_owned()],
        interval: number("Interval", 30)?,
        timeout: number("Timeout", 5)?,
        rise: number("HealthyThreshold", 10)?,
        fall: number("UnhealthyThreshold", 2)?,
    }))
}

/// `ConnectionDrainingPolicy`: its timeout, if it is enabled.
fn read_drain(properties: &Properties<'_, '_>) -> Result<Option<u64>, Fault> {
    let Some(policy) = properties.map("ConnectionDrainingPolicy")? else { return Ok(None) };
    let enabled = policy.flag("Enabled")?.unwrap_or(false);
    let timeout = policy.number("Timeout")?.map_or(DEFAULT_DRAIN, |timeout| timeout.value);
    Ok(enabled.then_some(timeout))
}

/// What a protocol speaks, and whether in TLS.
fn protocol_of(
    text: &At<String>,
    properties: &Properties<'_, '_>,
    name: &str,
) -> Result<(Mode, bool), Fault> {
    match text.value.to_ascii_uppercase().as_str() {
        "TCP" => Ok((Mode::Tcp, false)),
        "SSL" => Ok((Mode::Tcp, true)),
        "HTTP" => Ok((Mode::Http, false)),
        "HTTPS" => Ok((Mode::Http, true)),
        _ => {
            let fault = Fault::expected(text.place, "`TCP`, `SSL`, `HTTP` or `HTTPS`", shown(&text.value));
            Err(fault.within(&properties.path_of(name)))
        }
    }
}

const DEFAULT_DRAIN: u64 = 300;

const POLICIES: &[(&str, &str)] = &[
    ("SSLNegotiationPolicyType", "is not carried over: TLS 1.2 and 1.3 are spoken, with safe ciphers only"),
    ("PublicKeyPolicyType", "is not carried over: the instances' certificates are not pinned"),
    (
        "BackendServerAuthenticationPolicyType",
        "is not carried over: the instances' certificates are not checked",
    ),
];

/// Why a property is not in the file; without a reason, it is about the stack alone.
const REASONS: &[(&str, &str)] = &[
    ("AccessLoggingPolicy", "logs do not go to S3; `[log.access]` writes them"),
    ("AvailabilityZones", ""),
    ("CrossZone", "endpoints are given no zone: each gets its share"),
    ("LoadBalancerName", ""),
    ("Scheme", "`bind` and the firewall decide who can connect"),
    ("SecurityGroups", "the firewall of the machine decides who can connect"),
    ("Subnets", ""),
    ("Tags", ""),
];
