//! Asking the name servers of this machine.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{ResolverBuilder, TokioResolver};

use super::{Ask, Offer};

impl Ask for TokioResolver {
    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
        let answer = self.lookup_ip(host).await?;
        // Servers turn their answers around; the same addresses are the same answer.
        let addresses: BTreeSet<IpAddr> = answer.iter().collect();
        Ok((reachable(addresses.into_iter().collect(), has_route), good_until(answer.valid_until())))
    }

    async fn offers(&self, service: &str) -> Result<(Vec<Offer>, Duration), NetError> {
        let answer = self.srv_lookup(service).await?;
        let offers = answer.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Offer {
                priority: srv.priority,
                weight: srv.weight,
                host: srv.target.to_utf8().trim_end_matches('.').to_ascii_lowercase().into(),
                port: srv.port,
            }),
            _ => None,
        });
        Ok((offers.collect(), good_until(answer.valid_until())))
    }
}

fn good_until(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).clamp(SHORTEST, LONGEST)
}

/// The addresses to which there is a way from here. Many networks have but one family, while names have both; where there
/// is a way to none of them, the network may not be up yet.
fn reachable(addresses: Vec<IpAddr>, has_route: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let reachable: Vec<_> = addresses.iter().copied().filter(|address| has_route(*address)).collect();
    if reachable.is_empty() { addresses } else { reachable }
}

/// Whether the kernel knows a way. Nothing is sent: a datagram socket only looks it up.
fn has_route(to: IpAddr) -> bool {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((to, ANY_PORT))).is_ok()
}

/// The resolver that asks these servers; without any, those that this machine is set up for. `/etc/hosts` comes first.
pub(crate) fn asking(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    if servers.is_empty() {
        return resolver(TokioResolver::builder_tokio()?);
    }
    let server = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        server.connections.iter_mut().for_each(|connection| connection.port = address.port());
        server
    };
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
    resolver(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
}

pub(super) fn resolver(
    mut builder: ResolverBuilder<TokioRuntimeProvider>,
) -> Result<TokioResolver, NetError> {
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // The wait between two questions is ours, and the answer must not be older than that.
    builder.options_mut().cache_size = 0;
    builder.build()
}

/// Why a name does not resolve, for people.
pub(super) struct Why<'e>(pub(super) &'e NetError);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => f.write_str("there is no such name"),
                ResponseCode::NoError => f.write_str("the name is there, but leads nowhere"),
                code => write!(f, "the name server says: {code}"),
            },
            NetError::Timeout => f.write_str("no name server answers"),
            error => error.fmt(f),
        }
    }
}

/// A TTL of zero says that every answer is new; we are not the ones to ask for each connection.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// Entries of `/etc/hosts` have no end, and nobody waits a day for a change.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// It is never sent to.
const ANY_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_route_are_left_out_unless_there_are_no_others() {
        let all: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(reachable(all.clone(), |ip| ip.is_ipv4()), [all[0]]);
        assert_eq!(reachable(all.clone(), |_| true), all);
        assert_eq!(reachable(all.clone(), |_| false), all);
        assert!(has_route(Ipv4Addr::LOCALHOST.into()));
    }
}
