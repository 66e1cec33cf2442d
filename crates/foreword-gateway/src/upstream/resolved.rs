//! The endpoints of a cluster as names have them now: each address once.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::endpoints::Address;
use super::names::{Found, Question, Table};
use crate::policy::cluster::{Cluster, Endpoint, MOST_WEIGHT, Target};

/// An address of a cluster, and what holds for it.
#[derive(Debug)]
pub(super) struct Member<'c> {
    /// What led to it.
    pub(super) endpoint: &'c Endpoint,
    pub(super) address: Address,
    /// A service has weights of its own, within that of its endpoint.
    pub(super) weight: u32,
    /// A service has backups of its own: the hosts of all priorities but the first.
    pub(super) is_backup: bool,
}

/// The addresses of a cluster, in the order of the file and then of the answers for a name. One to which several endpoints
/// lead is that of the first.
pub(super) fn members<'c>(cluster: &'c Cluster, table: &Table) -> Vec<Member<'c>> {
    let mut members = Vec::with_capacity(cluster.endpoints.len());
    let mut known = HashSet::with_capacity(cluster.endpoints.len());
    for endpoint in &cluster.endpoints {
        let of_endpoint = members_of(endpoint, table);
        members.extend(of_endpoint.into_iter().filter(|member| known.insert(member.address.clone())));
    }
    members
}

/// The addresses alone.
pub(super) fn addresses(cluster: &Cluster, table: &Table) -> Vec<Address> {
    members(cluster, table).into_iter().map(|member| member.address).collect()
}

/// The addresses that get nothing new.
pub(super) fn draining(cluster: &Cluster, table: &Table) -> HashSet<Address> {
    let drains = |member: Member<'_>| member.endpoint.drain.then_some(member.address);
    members(cluster, table).into_iter().filter_map(drains).collect()
}

fn members_of<'c>(endpoint: &'c Endpoint, table: &Table) -> Vec<Member<'c>> {
    let member = |address| Member { endpoint, address, weight: endpoint.weight, is_backup: endpoint.backup };
    let found = || Question::of(&endpoint.target).map_or(&[][..], |question| table.found(&question));
    match &endpoint.target {
        Target::Address(address) => vec![member(Address::Inet(*address))],
        Target::Unix(path) => vec![member(Address::Unix(path.as_path().into()))],
        Target::Name { port, .. } => {
            let address = |found: &Found| member(Address::Inet(SocketAddr::new(found.ip, *port)));
            found().iter().map(address).collect()
        }
        Target::Service { .. } => members_of_service(endpoint, found()),
    }
}

/// Lower priorities come first, RFC 2782; the others are for when none of those is usable.
fn members_of_service<'c>(endpoint: &'c Endpoint, found: &[Found]) -> Vec<Member<'c>> {
    let first = found.iter().map(|found| found.priority).min().unwrap_or_default();
    let heaviest = found.iter().map(|found| found.weight).max().unwrap_or_default();
    let member = |found: &Found| {
        Some(Member {
            endpoint,
            address: Address::Inet(SocketAddr::new(found.ip, found.port?)),
            weight: weight(endpoint.weight, found.weight, heaviest),
            is_backup: endpoint.backup || found.priority > first,
        })
    };
    found.iter().filter_map(member).collect()
}

/// Records have weights up to 65535, of which ours keep the proportions; a weight of zero is the smallest that there is.
fn weight(of_endpoint: u32, of_record: u16, heaviest: u16) -> u32 {
    let (weight, heaviest) =
        (u64::from(of_endpoint) * u64::from(of_record), u64::from(of_endpoint) * u64::from(heaviest));
    let most = u64::from(MOST_WEIGHT);
    let weight = if heaviest > most { weight * most / heaviest } else { weight };
    u32::try_from(weight.clamp(1, most)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(priority: u16, ip: &str, port: Option<u16>, weight: u16) -> Found {
        Found { priority, ip: ip.parse().unwrap(), port, weight }
    }

    fn shown(cluster: &Cluster, table: &Table) -> Vec<String> {
        let shown = |member: &Member<'_>| {
            format!("{} {}{}", member.address, member.weight, if member.is_backup { " backup" } else { "" })
        };
        members(cluster, table).iter().map(shown).collect()
    }

    #[test]
    fn a_service_brings_ports_weights_and_backups_and_each_address_is_there_once() {
        let service = Target::Service { name: "_http._tcp.app.test".into() };
        let name = Target::Name { host: "app.test".into(), port: 80 };
        let table = Table::of([
            (
                Question::of(&service).unwrap(),
                vec![
                    found(10, "192.0.2.1", Some(8080), 3),
                    found(10, "192.0.2.2", Some(80), 0),
                    found(20, "192.0.2.3", Some(80), 1),
                ],
            ),
            (
                Question::of(&name).unwrap(),
                vec![found(0, "192.0.2.2", None, 1), found(0, "2001:db8::1", None, 1)],
            ),
        ]);
        let twice = Endpoint { weight: 2, ..Endpoint::new("srv", service) };
        let cluster = Cluster::new("app", 0, vec![twice, Endpoint::new("name", name)]);
        assert_eq!(
            shown(&cluster, &table),
            ["192.0.2.1:8080 6", "192.0.2.2:80 1", "192.0.2.3:80 2 backup", "[2001:db8::1]:80 1"]
        );
    }

    #[test]
    fn weights_of_records_keep_their_proportions_within_ours() {
        assert_eq!([0, 1, 5, 10].map(|record| weight(1, record, 10)), [1, 1, 5, 10]);
        assert_eq!([0, 6553, 65535].map(|record| weight(1, record, 65535)), [1, 99, 1000]);
        assert_eq!([100, 200].map(|record| weight(10, record, 200)), [500, 1000]);
    }
}
