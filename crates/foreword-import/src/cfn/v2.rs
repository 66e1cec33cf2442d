//! `AWS::ElasticLoadBalancingV2::*`: network and application load balancers, their listeners, rules and target groups.

use std::collections::BTreeMap;

use super::properties::{At, Properties};
use super::target_group::{self, Group};
use super::template::Resource;
use super::{Import, actions, rules};
use crate::attributes::Attribute;
use crate::aws::{ALB_IDLE, NLB_DATAGRAMS_IDLE, NLB_IDLE};
use crate::fault::{Fault, shown};
use crate::parts::{Listener, Mode, Rule};

pub(super) const LOAD_BALANCER: &str = "AWS::ElasticLoadBalancingV2::LoadBalancer";
pub(super) const LISTENER: &str = "AWS::ElasticLoadBalancingV2::Listener";
pub(super) const RULE: &str = "AWS::ElasticLoadBalancingV2::ListenerRule";
pub(super) const TARGET_GROUP: &str = "AWS::ElasticLoadBalancingV2::TargetGroup";

/// What listeners are made with.
pub(super) struct V2<'i, 't> {
    pub(super) import: &'i Import<'t>,
    /// The idle timeouts of balancers, by id.
    idle: BTreeMap<&'t str, u64>,
    pub(super) groups: BTreeMap<&'t str, Group<'i, 't>>,
    rules: Vec<(Resource<'t>, Properties<'i, 't>)>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Tls,
    Udp,
    TcpUdp,
    Http,
    Https,
}

impl Protocol {
    pub(super) fn of(text: &At<String>) -> Result<Self, Fault> {
        match text.value.to_ascii_uppercase().as_str() {
            "TCP" => Ok(Self::Tcp),
            "TLS" => Ok(Self::Tls),
            "UDP" => Ok(Self::Udp),
            "TCP_UDP" => Ok(Self::TcpUdp),
            "HTTP" => Ok(Self::Http),
            "HTTPS" => Ok(Self::Https),
            "QUIC" | "TCP_QUIC" | "GENEVE" => {
                Err(Fault::at(text.place, format!("{} is not spoken here", shown(&text.value))))
            }
            _ => {
                let expected = "`TCP`, `TLS`, `UDP`, `TCP_UDP`, `HTTP` or `HTTPS`";
                Err(Fault::expected(text.place, expected, shown(&text.value)))
            }
        }
    }

    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    fn ends_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Https)
    }

    /// The modes that it takes, with what tells their listeners apart.
    fn modes(self) -> &'static [(Mode, &'static str)] {
        match self {
            Self::Tcp | Self::Tls => &[(Mode::Tcp, "")],
            Self::Udp => &[(Mode::Udp, "")],
            Self::TcpUdp => &[(Mode::Tcp, "-tcp"), (Mode::Udp, "-udp")],
            Self::Http | Self::Https => &[(Mode::Http, "")],
        }
    }
}

/// Reads all that belongs together; whether there was any listener.
pub(super) fn read<'t>(import: &Import<'t>, resources: &[Resource<'t>]) -> bool {
    let of = |kind: &'static str| resources.iter().copied().filter(move |resource| resource.kind == kind);
    let mut v2 = V2 { import, idle: BTreeMap::new(), groups: BTreeMap::new(), rules: Vec::new() };
    for resource in of(LOAD_BALANCER) {
        if let Some(Some(idle)) = import.keep(v2.balancer(resource)) {
            v2.idle.insert(resource.id, idle);
        }
    }
    for resource in of(TARGET_GROUP) {
        if let Some(group) = import.keep(target_group::read(import, resource)) {
            v2.groups.insert(resource.id, group);
        }
    }
    for resource in of(RULE) {
        if let Some(properties) = import.keep(import.properties(resource)) {
            v2.rules.push((resource, properties));
        }
    }
    let mut found = false;
    for resource in of(LISTENER) {
        found = true;
        import.keep(v2.listener(resource));
    }
    for (resource, properties) in &v2.rules {
        let known = properties.get("ListenerArn").and_then(|arn| arn.resource().map(str::to_owned));
        if !known.is_some_and(|id| of(LISTENER).any(|listener| listener.id == id)) {
            import.note(
                resource.place,
                super::path_of(*resource),
                "left out: its listener is not in the template",
            );
        }
    }
    for group in v2.groups.values().filter(|group| !group.used.get()) {
        import.note(
            group.place,
            format!("Resources.{}", group.id),
            "left out: no listener of the template forwards to it",
        );
    }
    found
}

impl<'i, 't> V2<'i, 't> {
    /// Reads a balancer; the idle timeout that its attributes say.
    fn balancer(&self, resource: Resource<'t>) -> Result<Option<u64>, Fault> {
        let properties = self.import.properties(resource)?;
        let kind = properties.text("Type")?;
        if let Some(kind) = kind.filter(|kind| !matches!(kind.value.as_str(), "network" | "application")) {
            let fault =
                Fault::expected(kind.place, "a `network` or `application` load balancer", shown(&kind.value));
            return Err(fault.within(&properties.path));
        }
        let mut idle = None;
        for attribute in attributes_of(&properties, "LoadBalancerAttributes")? {
            match attribute.key.as_str() {
                "idle_timeout.timeout_seconds" => idle = Some(attribute.number()?),
                "load_balancing.cross_zone.enabled" => {
                    let why = "endpoints are given no zone: each gets its share";
                    self.import.note(attribute.place, attribute.path, why);
                }
                _ => self.import.note(attribute.place, attribute.path, "not carried over"),
            }
        }
        properties.note_the_rest(BALANCER_REASONS);
        Ok(idle)
    }

    fn listener(&self, resource: Resource<'t>) -> Result<(), Fault> {
        let properties = self.import.properties(resource)?;
        let port = properties.require_port("Port")?.value;
        let protocol = properties.require_text("Protocol")?;
        let protocol =
            Protocol::of(&protocol).map_err(|fault| fault.within(&properties.path_of("Protocol")))?;
        let idle = self.idle_of(&properties, protocol)?;
        let certificates = if protocol.ends_tls() { Some(self.certificates(&properties)?) } else { None };
        let default = properties.maps("DefaultActions")?;
        if default.is_empty() {
            return Err(
                Fault::expected(properties.place, "`DefaultActions`", "none").within(&properties.path)
            );
        }
        for (mode, suffix) in protocol.modes() {
            let (idle, why) = if *mode == Mode::Udp { NLB_DATAGRAMS_IDLE } else { idle };
            let mut listener = Listener {
                name: format!("{}{suffix}", resource.id),
                bind: self.import.binds(resource.id, port),
                mode: *mode,
                certificates: certificates.clone(),
                timeouts: vec![("idle", format!("{idle}s").into())],
                timeouts_why: Some(why.to_owned()),
                ..Listener::default()
            };
            if *mode == Mode::Http {
                listener.rules = self.rules_of(resource.id)?;
            }
            let then = actions::read(self, &default, *mode)?;
            match then.as_slice() {
                [("forward", crate::draft::Value::Text(cluster))] => listener.cluster = Some(cluster.clone()),
                _ => listener.rules.push(Rule { name: "default".to_owned(), when: None, then }),
            }
            self.import.listeners.borrow_mut().push(listener);
        }
        properties.note_the_rest(LISTENER_REASONS);
        Ok(())
    }

    /// For how many seconds nothing may move, and why: by its own attributes, its balancer's, or its kind.
    fn idle_of(
        &self,
        properties: &Properties<'_, '_>,
        protocol: Protocol,
    ) -> Result<(u64, &'static str), Fault> {
        let balancer = properties.get("LoadBalancerArn").and_then(|arn| arn.resource());
        let mut idle = match (protocol.is_http(), balancer.and_then(|id| self.idle.get(id))) {
            (true, Some(idle)) => (*idle, "idle_timeout.timeout_seconds"),
            (true, None) => ALB_IDLE,
            (false, _) => NLB_IDLE,
        };
        for attribute in attributes_of(properties, "ListenerAttributes")? {
            match attribute.key.as_str() {
                "tcp.idle_timeout.seconds" => idle = (attribute.number()?, "tcp.idle_timeout.seconds"),
                _ => self.import.note(attribute.place, attribute.path, "not carried over"),
            }
        }
        Ok(idle)
    }

    /// The rules of a listener, the first in order first.
    fn rules_of(&self, listener: &str) -> Result<Vec<Rule>, Fault> {
        let mut rules = Vec::new();
        for (resource, properties) in &self.rules {
            if properties.get("ListenerArn").and_then(|arn| arn.resource()) != Some(listener) {
                continue;
            }
            let priority = properties.number("Priority")?.map_or(u64::MAX, |priority| priority.value);
            let conditions = properties.maps("Conditions")?;
            let when = rules::condition(&conditions)?;
            let then = actions::read(self, &properties.maps("Actions")?, Mode::Http)?;
            properties.note_the_rest(&[("Tags", "")]);
            rules.push((priority, Rule { name: resource.id.to_owned(), when, then }));
        }
        rules.sort_by_key(|(priority, _)| *priority);
        Ok(rules.into_iter().map(|(_, rule)| rule).collect())
    }

    fn certificates(&self, properties: &Properties<'_, '_>) -> Result<String, Fault> {
        let place = properties.get("Certificates").map_or(properties.place, |value| value.place);
        self.import.certificates(place, &properties.path)
    }
}

/// A list of `{ Key, Value }`.
pub(super) fn attributes_of(
    properties: &Properties<'_, '_>,
    name: &'static str,
) -> Result<Vec<Attribute>, Fault> {
    let attributes = properties.maps(name)?.into_iter().map(|attribute| {
        let key = attribute.require_text("Key")?;
        let value = attribute.text("Value")?.map_or(String::new(), |value| value.value);
        let path = format!("{}.{}", properties.path_of(name), key.value);
        Ok(Attribute { key: key.value, value, place: key.place, path })
    });
    attributes.collect()
}

const BALANCER_REASONS: &[(&str, &str)] = &[
    ("Scheme", "`bind` and the firewall decide who can connect"),
    ("SecurityGroups", "the firewall of the machine decides who can connect"),
    ("SubnetMappings", ""),
    ("Subnets", ""),
    ("Name", ""),
    ("Tags", ""),
    ("IpAddressType", "`bind` decides: `[::]` takes IPv4 and IPv6"),
];

const LISTENER_REASONS: &[(&str, &str)] = &[
    ("SslPolicy", "TLS 1.2 and 1.3 are spoken, with safe ciphers only"),
    ("AlpnPolicy", "not carried over"),
    ("MutualAuthentication", "not carried over: no client certificate is asked for"),
];
