//! What the clouds' annotations ask of a balancer: each has words of its own for the same few things.

use super::annotations::{Annotations, Said};
use crate::aws;
use crate::fault::{Fault, Note};
use crate::health::{Check, CheckKind};
use crate::parts::{Placement, SentHeader, balance};

/// What is asked of the balancer of a Service.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) header: Vec<PortHeader>,
    pub(super) placement: Option<Placement>,
    /// Seconds, and why.
    pub(super) idle: Option<(u64, &'static str)>,
    /// Ports at which TLS ends, by name or number; `*` is all.
    pub(super) tls: Vec<String>,
    /// Whether requests are read.
    pub(super) http: bool,
    /// Whether endpoints are spoken to in TLS.
    pub(super) endpoint_tls: bool,
    pub(super) balance: Option<(&'static str, String)>,
    /// Seconds in which an endpoint that leaves may end what it has.
    pub(super) drain: Option<u64>,
    pub(super) check: Option<Check>,
    pub(super) check_header: Option<(&'static str, &'static str)>,
    /// Whether endpoints are pods rather than nodes.
    pub(super) pods: bool,
    /// What of all that is asked has no counterpart here.
    pub(super) left_out: Vec<Note>,
}

/// A header, and the port that gets it; without one, all do.
#[derive(Debug, Clone)]
pub(super) struct PortHeader {
    pub(super) port: Option<String>,
    pub(super) header: SentHeader,
    /// The annotation that asks for it.
    pub(super) why: String,
}

impl Wishes {
    pub(super) fn of(annotations: &Annotations<'_>, class: Option<&str>) -> Result<Self, Fault> {
        let mut wishes = Self::default();
        if annotations.any("service.beta.kubernetes.io/aws-")
            || class.is_some_and(|class| class.contains("aws"))
        {
            ask_aws(annotations, class, &mut wishes)?;
        }
        for (name, header) in SWITCHES {
            if annotations.flag(name)? {
                wishes.all(*header, name);
            }
        }
        for name in VERSIONS {
            if let Some(said) = annotations.get(name) {
                let header = version(annotations, said, name)?;
                header.into_iter().for_each(|header| wishes.all(header, name));
                if said.text.starts_with("v2_ssl") {
                    let message =
                        "the header says nothing of TLS: `send_tlvs = [\"ssl\"]` would, where TLS ends here";
                    let path = annotations.path_of(name);
                    wishes.left_out.push(Note { place: said.place, path, message: message.to_owned() });
                }
            }
        }
        scaleway(annotations, &mut wishes);
        for name in [
            "service.beta.kubernetes.io/do-loadbalancer-algorithm",
            "load-balancer.hetzner.cloud/algorithm-type",
        ] {
            if let Some(said) = annotations.get(name) {
                match said.text {
                    "least_connections" => {
                        wishes.balance = Some((balance::LEAST_CONNECTIONS, name.to_owned()))
                    }
                    "round_robin" => {}
                    _ => return Err(annotations.wrong(said, name, "`round_robin` or `least_connections`")),
                }
            }
        }
        Ok(wishes)
    }

    /// One header for every port.
    pub(super) fn all(&mut self, header: SentHeader, why: &str) {
        self.header.push(PortHeader { port: None, header, why: why.to_owned() });
    }
}

/// What a version is called: by its number, with a `v`, or by the keyword of HAProxy.
fn version(annotations: &Annotations<'_>, said: Said<'_>, name: &str) -> Result<Option<SentHeader>, Fault> {
    match said.text {
        "v1" | "1" | "true" | "send-proxy" => Ok(Some(SentHeader::V1)),
        "v2" | "2" | "send-proxy-v2" | "v2_ssl" | "v2_ssl_cn" => Ok(Some(SentHeader::V2)),
        "none" | "false" | "" => Ok(None),
        _ => Err(annotations.wrong(said, name, "`v1`, `v2` or `none`")),
    }
}

/// Scaleway names the ports: `*`, `true`, or a list.
fn scaleway(annotations: &Annotations<'_>, wishes: &mut Wishes) {
    for (name, header) in [
        ("service.beta.kubernetes.io/scw-loadbalancer-proxy-protocol-v1", SentHeader::V1),
        ("service.beta.kubernetes.io/scw-loadbalancer-proxy-protocol-v2", SentHeader::V2),
    ] {
        let ports = annotations.get(name).map(|said| said.text).unwrap_or_default();
        for port in ports.split(',').map(str::trim).filter(|port| !port.is_empty() && *port != "false") {
            let port = (!matches!(port, "*" | "true")).then(|| port.to_owned());
            wishes.header.push(PortHeader { port, header, why: name.to_owned() });
        }
    }
}

fn ask_aws(annotations: &Annotations<'_>, class: Option<&str>, wishes: &mut Wishes) -> Result<(), Fault> {
    let name = |end: &str| format!("{AWS}{end}");
    let kind = annotations.get(&name("type"));
    let nlb = kind.is_some() || class.is_some_and(|class| class.ends_with("/nlb"));
    let target = annotations.get(&name("nlb-target-type"));
    wishes.pods =
        kind.is_some_and(|kind| kind.text == "nlb-ip") || target.is_some_and(|target| target.text == "ip");
    let asked = annotations.get(&name("proxy-protocol")).is_some_and(|said| !said.text.is_empty());
    let group = TargetGroup::of(annotations, wishes);
    let on = asked || group.header;
    let why = if group.is_there && on { name("target-group-attributes") } else { name("proxy-protocol") };
    wishes.drain = group.drain;
    if annotations.flag(&name("connection-draining-enabled"))? {
        wishes.drain = annotations.number(&name("connection-draining-timeout"))?;
    }
    let idle = annotations.number(&name("connection-idle-timeout"))?;
    let backend = annotations.get(&name("backend-protocol")).map(|said| said.text.to_ascii_lowercase());
    wishes.http = !nlb && backend.as_deref().is_some_and(|backend| backend.starts_with("http"));
    wishes.endpoint_tls = matches!(backend.as_deref(), Some("ssl" | "https" | "tls"));
    if annotations.get(&name("ssl-cert")).is_some() {
        let ports = annotations.get(&name("ssl-ports")).map_or("*", |said| said.text);
        wishes.tls = ports.split(',').map(|port| port.trim().to_owned()).collect();
    }
    wishes.check = Some(aws_check(annotations, nlb)?);
    match nlb {
        true => {
            if on {
                wishes.all(SentHeader::V2, &why);
                wishes.placement = Some(group.placement);
            }
            wishes.idle = Some(aws::NLB_IDLE);
            wishes.check_header = Some(match on {
                true => aws::NLB_CHECK_HEADER,
                false => aws::NO_CHECK_HEADER,
            });
        }
        false => {
            if on {
                wishes.all(SentHeader::V1, &why);
            }
            wishes.idle = Some(match idle {
                Some(idle) => (idle, "aws-load-balancer-connection-idle-timeout"),
                None => aws::CLASSIC_IDLE,
            });
            wishes.check_header = Some(aws::CLASSIC_CHECK_HEADER);
        }
    }
    Ok(())
}

/// What `target-group-attributes` says.
struct TargetGroup {
    is_there: bool,
    header: bool,
    placement: Placement,
    drain: Option<u64>,
}

impl TargetGroup {
    fn of(annotations: &Annotations<'_>, wishes: &mut Wishes) -> Self {
        let annotation = format!("{AWS}target-group-attributes");
        let said = annotations.get(&annotation);
        let mut group =
            Self { is_there: said.is_some(), header: false, placement: aws::NLB_PLACEMENT, drain: None };
        let Some(said) = said else { return group };
        for (key, value) in said.text.split(',').filter_map(|pair| pair.split_once('=')) {
            let (key, value) = (key.trim(), value.trim());
            match (key, aws::placement(value), value.parse()) {
                (aws::HEADER_ENABLED, ..) => group.header |= value == "true",
                (aws::HEADER_PLACEMENT, Some(placement), _) => group.placement = placement,
                ("deregistration_delay.timeout_seconds", _, Ok(seconds)) => group.drain = Some(seconds),
                _ => wishes.left_out.push(Note {
                    place: said.place,
                    path: format!("{}.{key}", annotations.path_of(&annotation)),
                    message: "not carried over".to_owned(),
                }),
            }
        }
        group
    }
}

/// With the defaults of the controllers, which are not those of AWS.
fn aws_check(annotations: &Annotations<'_>, nlb: bool) -> Result<Check, Fault> {
    let name = |end: &str| format!("{AWS}healthcheck-{end}");
    let number = |end, default| annotations.number(&name(end)).map(|number| number.unwrap_or(default));
    let kind = match annotations.get(&name("protocol")) {
        Some(said) => CheckKind::of(said.text, said.place)
            .map_err(|fault| fault.within(&annotations.path_of(&name("protocol"))))?,
        None => CheckKind::Tcp,
    };
    let port = match annotations.get(&name("port")) {
        Some(said) if said.text != "traffic-port" => {
            let port = said.text.parse().ok().filter(|&port: &u16| port > 0);
            Some(port.ok_or_else(|| annotations.wrong(said, &name("port"), "a port or `traffic-port`"))?)
        }
        _ => None,
    };
    let codes = annotations.get(&name("success-codes")).map_or("200-399", |said| said.text);
    Ok(Check {
        kind,
        port,
        path: annotations.get(&name("path")).map(|said| said.text.to_owned()),
        statuses: codes.split(',').map(|code| code.trim().to_owned()).collect(),
        interval: number("interval", 10)?,
        timeout: number("timeout", if nlb { 10 } else { 5 })?,
        rise: number("healthy-threshold", if nlb { 3 } else { 2 })?,
        fall: number("unhealthy-threshold", if nlb { 3 } else { 6 })?,
    })
}

const AWS: &str = "service.beta.kubernetes.io/aws-load-balancer-";

/// Annotations that are on or off, and the header that their cloud then sends.
const SWITCHES: &[(&str, SentHeader)] = &[
    ("service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol", SentHeader::V1),
    ("load-balancer.hetzner.cloud/uses-proxyprotocol", SentHeader::V2),
    ("service.beta.kubernetes.io/azure-pls-proxy-protocol", SentHeader::V2),
    ("service.beta.kubernetes.io/alibaba-cloud-loadbalancer-proxy-protocol", SentHeader::V2),
    ("oci-network-load-balancer.oraclecloud.com/is-ppv2-enabled", SentHeader::V2),
];

/// Annotations that name the version.
const VERSIONS: &[&str] = &[
    "loadbalancer.openstack.org/proxy-protocol",
    "service.beta.kubernetes.io/ovh-loadbalancer-proxy-protocol",
    "service.beta.kubernetes.io/linode-loadbalancer-default-proxy-protocol",
    "service.beta.kubernetes.io/oci-load-balancer-connection-proxy-protocol-version",
    "kubernetes.civo.com/loadbalancer-enable-proxy-protocol",
];
