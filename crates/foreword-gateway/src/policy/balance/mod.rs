//! Which endpoint is next: plain structures over what a worker has counted. They await nothing and know no addresses.

pub(crate) mod digest;
mod first;
mod least;
mod maglev;
mod random;
mod round_robin;
mod slow_start;
mod spill;
mod tournament;

use std::net::IpAddr;

use foreword_rule::Facts;

use self::digest::Digest;
use self::first::First;
use self::least::Least;
use self::maglev::Maglev;
use self::random::RandomOfTwo;
use self::round_robin::RoundRobin;
pub(crate) use self::slow_start::{WHOLE, ramp};
pub(crate) use self::spill::stays_near;
use super::cluster::Balance;
use super::key::{Key, Piece};

/// A key as a number, the same in every process; `None` where none of its values is there.
pub(crate) fn number(key: &Key, facts: &impl Facts) -> Option<u64> {
    let mut digest = Digest::new();
    let is_there = key.read(facts, &mut |piece| match piece {
        Piece::Bytes(bytes) => digest.add(bytes),
        Piece::Ip(IpAddr::V4(ip)) => digest.add(&ip.octets()),
        Piece::Ip(IpAddr::V6(ip)) => digest.add(&ip.octets()),
    });
    is_there.then(|| digest.number())
}

/// One of those who are chosen among.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// How much of everything it gets, against the others; never 0.
    pub(crate) weight: u32,
    /// By which it is known wherever the same cluster is balanced: the digest of its address.
    pub(crate) id: u64,
}

/// An order of members, by one of the ways to balance.
///
/// Members are known by their place. Each has a share: how much of its weight it gets at the moment, from none to
/// [`WHOLE`]. Choosing costs the same, or nearly, for one member and for a thousand.
#[derive(Debug)]
pub(crate) enum Order {
    RoundRobin(RoundRobin),
    Least(Least),
    Random(RandomOfTwo),
    First(First),
    Hash {
        table: Maglev,
        /// For those who bring no key.
        keyless: RoundRobin,
    },
}

impl Order {
    /// An order in which every member has its whole share. `seed` says where it begins, so that workers begin apart.
    pub(crate) fn new(balance: &Balance, members: &[Member], seed: u64) -> Self {
        match balance {
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::new(members, seed)),
            Balance::LeastConnections => Self::Least(Least::new(members, seed)),
            Balance::RandomOfTwo => Self::Random(RandomOfTwo::new(members, seed)),
            Balance::First => Self::First(First::new(members)),
            Balance::Hash(_) => {
                Self::Hash { table: Maglev::new(members), keyless: RoundRobin::new(members, seed) }
            }
        }
    }

    /// Says how much of its weight a member gets from now on; with 0 it is not chosen.
    pub(crate) fn set_share(&mut self, member: usize, share: u32) {
        let share = share.min(WHOLE);
        match self {
            Self::RoundRobin(order) => order.set_share(member, share),
            Self::Least(order) => order.set_share(member, share),
            Self::Random(order) => order.set_share(member, share),
            Self::First(order) => order.set_share(member, share),
            Self::Hash { table, keyless } => {
                table.set_share(member, share);
                keyless.set_share(member, share);
            }
        }
    }

    /// Whether it must be told of every change of what [`next`](Self::next) would ask as `connections`.
    pub(crate) fn follows_connections(&self) -> bool {
        matches!(self, Self::Least(_))
    }

    /// Says how many connections a member has from now on.
    pub(crate) fn set_connections(&mut self, member: usize, connections: u32) {
        if let Self::Least(order) = self {
            order.set_connections(member, connections);
        }
    }

    /// Chooses a member that is `free`. `key` is what a hash is of.
    pub(crate) fn next(
        &mut self,
        key: Option<u64>,
        connections: impl Fn(usize) -> u32,
        free: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match (self, key) {
            (Self::RoundRobin(order), _) => order.next(free),
            (Self::Least(order), _) => order.next(free),
            (Self::Random(order), _) => order.next(connections, free),
            (Self::First(order), _) => order.next(free),
            (Self::Hash { table, .. }, Some(key)) => table.get(key, free),
            (Self::Hash { keyless, .. }, None) => keyless.next(free),
        }
    }
}

/// How often the order itself is asked before all members are looked at: enough unless nearly nobody is free.
const TRIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(place, weight): (usize, &u32)| Member {
            weight: *weight,
            id: digest::of(format!("10.0.0.{place}:80").as_bytes()),
        };
        weights.iter().enumerate().map(member).collect()
    }

    fn ways() -> Vec<Balance> {
        let key = Key::parse("client.ip", foreword_rule::Variable::for_template).unwrap();
        let hash = Balance::Hash(std::sync::Arc::new(key));
        vec![Balance::RoundRobin, Balance::LeastConnections, Balance::RandomOfTwo, Balance::First, hash]
    }

    #[test]
    fn whoever_has_no_share_or_is_not_free_is_never_chosen() {
        for balance in ways() {
            let mut order = Order::new(&balance, &members(&[1, 5, 1, 1000, 2]), 3);
            order.set_share(3, 0);
            for key in 0..500 {
                let key = Some(key).filter(|key| key % 3 > 0);
                let chosen = order.next(key, |_| 0, |place| place != 1).unwrap();
                assert!(![1, 3].contains(&chosen), "{balance:?} chose {chosen}");
            }
        }
    }

    #[test]
    fn the_only_one_who_is_free_is_found_among_a_thousand() {
        for balance in ways() {
            let mut order = Order::new(&balance, &members(&[3; 1000]), 7);
            for wanted in [0, 1, 500, 999] {
                for key in [None, Some(1), Some(2)] {
                    assert_eq!(order.next(key, |_| 0, |place| place == wanted), Some(wanted), "{balance:?}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_chosen_where_nobody_is_left() {
        for balance in ways() {
            for key in [None, Some(9)] {
                assert_eq!(Order::new(&balance, &[], 5).next(key, |_| 0, |_| true), None, "{balance:?}");
                let mut order = Order::new(&balance, &members(&[1, 1]), 5);
                assert_eq!(order.next(key, |_| 0, |_| false), None, "{balance:?}");
                order.set_share(0, 0);
                order.set_share(1, 0);
                assert_eq!(order.next(key, |_| 0, |_| true), None, "{balance:?}");
                order.set_share(1, WHOLE);
                assert_eq!(order.next(key, |_| 0, |_| true), Some(1), "{balance:?}");
            }
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_nobody() {
        for balance in ways() {
            let mut order = Order::new(&balance, &members(&[1]), 0);
            order.set_share(1, 0);
            order.set_connections(usize::MAX, 1);
            assert_eq!(order.next(Some(1), |_| 0, |_| true), Some(0), "{balance:?}");
        }
    }
}
