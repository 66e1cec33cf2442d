//! A Service's ports made listeners and clusters.

use std::net::IpAddr;

use super::annotations::Annotations;
use super::text_of;
use super::wishes::Wishes;
use crate::deployment::{Deployment, has_port, with_port};
use crate::draft::Draft;
use crate::fault::{Fault, Note, Place, shown};
use crate::parts::{
    Because, Cluster, DATAGRAMS, Listener, Mode, Rule, SentHeader, balance, rule_text, unverified_tls,
};
use crate::tree::{Kind, Node};

/// A Service of type LoadBalancer.
pub(super) struct Service<'t> {
    name: &'t str,
    path: String,
    place: Place,
    spec: &'t Node,
    annotations: Annotations<'t>,
    wishes: Wishes,
    ports: Vec<Port<'t>>,
    /// `loadBalancerSourceRanges`.
    sources: Vec<String>,
    by_client: bool,
}

/// One of its ports.
struct Port<'t> {
    name: Option<&'t str>,
    number: u16,
    /// Where nodes or pods take what comes in here.
    target: Option<u16>,
    mode: Mode,
    place: Place,
}

impl<'t> Service<'t> {
    pub(super) fn read(
        name: &'t str,
        metadata: &'t Node,
        spec: &'t Node,
        attached: bool,
    ) -> Result<Self, Fault> {
        let path = format!("Service {name}");
        let annotations = Annotations::of(metadata, &path)?;
        let mut wishes = Wishes::of(&annotations, text_of(spec, "loadBalancerClass"))?;
        if attached {
            wishes.all(SentHeader::V2, "proxyProtocol of a ServiceAttachment");
        }
        let ports = match spec.get("ports").map(|ports| &ports.kind) {
            Some(Kind::List(ports)) if !ports.is_empty() => ports.iter(),
            _ => return Err(Fault::expected(spec.place, "`spec.ports`", "none").within(&path)),
        };
        let ports = ports.map(|port| read_port(port, &wishes).map_err(|fault| fault.within(&path)));
        let sources = sources(spec, &annotations).map_err(|fault| fault.within(&path))?;
        Ok(Self {
            name,
            place: spec.place,
            spec,
            ports: ports.collect::<Result<_, _>>()?,
            by_client: text_of(spec, "sessionAffinity") == Some("ClientIP"),
            annotations,
            wishes,
            sources,
            path,
        })
    }

    pub(super) fn write(
        &self,
        deployment: &Deployment,
        draft: &mut Draft,
        notes: &mut Vec<Note>,
    ) -> Result<(), Fault> {
        for port in &self.ports {
            self.listener(port, deployment)?.push(draft);
        }
        for port in &self.ports {
            self.cluster(port, deployment, notes)?.push(draft);
        }
        notes.extend(self.annotations.rest());
        notes.extend(self.wishes.left_out.iter().cloned());
        notes.extend(self.rest());
        Ok(())
    }

    fn listener(&self, port: &Port<'_>, deployment: &Deployment) -> Result<Listener, Fault> {
        let name = self.name_of(port);
        let bind = deployment.listen(self.name, port.number);
        let ends_tls = self.wishes.tls.iter().any(|asked| asked == "*" || port.is_called(asked));
        let certificates = match (ends_tls, &deployment.certificates) {
            (false, _) => None,
            (true, Some(certificates)) => Some(certificates.clone()),
            (true, None) => {
                let found = "none";
                let fault = Fault::expected(
                    port.place,
                    "certificates of this machine for a port that ends TLS",
                    found,
                );
                return Err(fault.hint("say where they are: `--certificates certs/`").within(&self.path));
            }
        };
        let strangers = Rule {
            name: "source ranges".to_owned(),
            when: Some(format!(
                "!(client.ip in [{}])",
                self.sources.iter().map(|range| rule_text(range)).collect::<Vec<_>>().join(", ")
            )),
            then: vec![("close", true.into())],
        };
        let idle = self.wishes.idle.filter(|_| port.mode != Mode::Udp);
        Ok(Listener {
            bind: if bind.is_empty() { vec![format!("[::]:{}", port.number)] } else { bind },
            mode: port.mode,
            certificates,
            timeouts: idle.iter().map(|(idle, _)| ("idle", format!("{idle}s").into())).collect(),
            timeouts_why: idle.map(|(_, why)| why.to_owned()),
            rules: if self.sources.is_empty() { Vec::new() } else { vec![strangers] },
            cluster: Some(name.clone()),
            name,
            ..Listener::default()
        })
    }

    fn cluster(
        &self,
        port: &Port<'_>,
        deployment: &Deployment,
        notes: &mut Vec<Note>,
    ) -> Result<Cluster, Fault> {
        let header = self
            .wishes
            .header
            .iter()
            .find(|header| header.port.as_deref().is_none_or(|asked| port.is_called(asked)));
        if header.is_some() && port.mode == Mode::Http {
            let message =
                format!("port {}: requests tell the client in fields; no header is sent", port.number);
            notes.push(Note { place: port.place, path: self.path.clone(), message });
        }
        if header.is_some() && port.mode == Mode::Udp {
            let message = format!("port {}: {DATAGRAMS}", port.number);
            notes.push(Note { place: port.place, path: self.path.clone(), message });
        }
        let header = header.filter(|_| port.mode == Mode::Tcp);
        let check = self.wishes.check.as_ref().zip(self.wishes.check_header);
        let check = check
            .map(|(check, header)| check.health(check.port.filter(|own| Some(*own) != port.target), header));
        let balance = match (&self.wishes.balance, self.by_client) {
            (_, true) => Some(Because::of(balance::hash("client.ip"), "sessionAffinity: ClientIP")),
            (Some((balance, why)), false) => Some(Because::of(balance.clone(), why)),
            (None, false) => None,
        };
        Ok(Cluster {
            name: self.name_of(port),
            endpoints: self.endpoints(port, deployment)?.into_iter().map(Into::into).collect(),
            balance,
            header: header.map(|header| Because::of(header.header, &header.why)),
            placement: self
                .wishes
                .placement
                .filter(|_| header.is_some() && port.mode == Mode::Tcp)
                .map(Because::plain),
            tls: self.wishes.endpoint_tls.then(unverified_tls),
            timeouts: self.wishes.drain.iter().map(|drain| ("drain", format!("{drain}s").into())).collect(),
            slow_start: self
                .wishes
                .slow_start
                .map(|slow| Because::of(format!("{slow}s").into(), "slow_start.duration_seconds")),
            health: check,
            ..Cluster::default()
        })
    }

    /// What the specification says of a balancer besides.
    fn rest(&self) -> Vec<Note> {
        let there = REASONS.iter().filter_map(|(key, value, why)| {
            let node = self.spec.get(key)?;
            let fits = value.is_none_or(|value| matches!(&node.kind, Kind::Scalar(text) if text == value));
            fits.then(|| Note {
                place: node.place,
                path: format!("{}.spec.{key}", self.path),
                message: (*why).to_owned(),
            })
        });
        there.collect()
    }

    /// Where the nodes or pods are, which no manifest says.
    fn endpoints(&self, port: &Port<'_>, deployment: &Deployment) -> Result<Vec<String>, Fault> {
        let given = deployment.given_endpoints(self.name, port.number);
        if given.is_empty() {
            let what = if self.wishes.pods { "pods" } else { "nodes" };
            let fault = Fault::expected(
                self.place,
                format!("to know the {what} behind port {}", port.number),
                "none in the manifest",
            );
            return Err(fault
                .hint(format!("say where they are: `--endpoint {}=ADDRESS`", self.name))
                .within(&self.path));
        }
        let address = |address: String| match port.target {
            _ if has_port(&address) => Ok(address),
            Some(target) => Ok(with_port(&address, target)),
            None => {
                let fault = Fault::expected(
                    port.place,
                    format!("a port for {}", shown(&address)),
                    "none in the manifest",
                );
                Err(fault
                    .hint(format!("give it: `--endpoint {}:{}={address}:PORT`", self.name, port.number))
                    .within(&self.path))
            }
        };
        given.into_iter().map(address).collect()
    }

    fn name_of(&self, port: &Port<'_>) -> String {
        // The same number may be there for TCP and UDP.
        let twin = self.ports.iter().filter(|other| other.number == port.number).count() > 1;
        match twin {
            true => format!("{}-{}-{}", self.name, port.number, port.mode.word()),
            false => format!("{}-{}", self.name, port.number),
        }
    }
}

impl Port<'_> {
    fn is_called(&self, asked: &str) -> bool {
        self.name == Some(asked) || asked.parse() == Ok(self.number)
    }
}

/// Who may connect; without any, everyone may. Whatever is no range is a fault: to pass over one, and be it the last, would
/// open the balancer.
fn sources(spec: &Node, annotations: &Annotations<'_>) -> Result<Vec<String>, Fault> {
    let named = match spec.get("loadBalancerSourceRanges") {
        Some(Node { kind: Kind::List(ranges), .. }) => ranges.as_slice(),
        None | Some(Node { kind: Kind::Null, .. }) => &[],
        Some(other) => {
            let expected = "a list for `loadBalancerSourceRanges`";
            return Err(Fault::expected(other.place, expected, other.found()));
        }
    };
    if !named.is_empty() {
        let range = |node: &Node| match &node.kind {
            Kind::Scalar(text) => source(text, node.place),
            _ => Err(Fault::expected(node.place, SOURCE, node.found())),
        };
        return named.iter().map(range).collect();
    }
    let name = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let Some(said) = annotations.get(name).filter(|said| !said.text.trim().is_empty()) else {
        return Ok(Vec::new());
    };
    let ranges = said.text.split(',').map(|text| source(text, said.place));
    ranges.collect::<Result<_, _>>().map_err(|fault| fault.within(&annotations.path_of(name)))
}

/// An address with the length of its prefix, as Kubernetes wants it.
fn source(text: &str, place: Place) -> Result<String, Fault> {
    let range = text.trim();
    let (address, length) = range.split_once('/').unwrap_or((range, ""));
    let most = address.parse::<IpAddr>().map(|address| if address.is_ipv4() { 32 } else { 128 });
    match (most, length.parse::<u8>()) {
        (Ok(most), Ok(length)) if length <= most => Ok(range.to_owned()),
        _ => Err(Fault::expected(place, SOURCE, shown(text))),
    }
}

const SOURCE: &str = "a range such as `192.0.2.0/24`";

fn read_port<'t>(node: &'t Node, wishes: &Wishes) -> Result<Port<'t>, Fault> {
    let number = |name: &str| {
        let Some(text) = text_of(node, name) else { return Ok(None) };
        let place = node.get(name).map_or(node.place, |node| node.place);
        match text.parse::<u16>().ok().filter(|&port| port > 0) {
            Some(port) => Ok(Some(port)),
            // A target may be called by the name that pods give it.
            None if name == "targetPort" => Ok(None),
            None => Err(Fault::expected(place, format!("a port for `{name}`"), shown(text))),
        }
    };
    let port = number("port")?.ok_or_else(|| Fault::expected(node.place, "`port`", "none"))?;
    let mode = match text_of(node, "protocol").unwrap_or("TCP") {
        "TCP" if wishes.http => Mode::Http,
        "TCP" => Mode::Tcp,
        "UDP" => Mode::Udp,
        other => {
            return Err(Fault::expected(node.place, "`TCP` or `UDP` for `protocol`", shown(other)));
        }
    };
    let target = match wishes.pods {
        // Without a word of it, the pods' port is the Service's.
        true if node.get("targetPort").is_none() => Some(port),
        true => number("targetPort")?,
        false => number("nodePort")?,
    };
    Ok(Port { name: text_of(node, "name"), number: port, target, mode, place: node.place })
}

/// Keys of a specification, the value that matters where not every one does, and why they are not in the file.
const REASONS: &[(&str, Option<&str>, &str)] = &[
    ("externalIPs", None, "`bind` decides where to listen"),
    (
        "externalTrafficPolicy",
        Some("Local"),
        "nodes without a pod of the Service take nothing: name those that have one, or check `healthCheckNodePort`",
    ),
    ("loadBalancerIP", None, "`bind` decides where to listen"),
    (
        "sessionAffinityConfig",
        None,
        "not carried over: who comes back finds the same endpoint as long as it is up",
    ),
];
