//! One name, asked for again and again: a host's addresses, or a service and then the hosts that offer it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use tokio::task::JoinSet;

use super::system::Why;
use super::{Ask, Found, Offer, Question, RETRY};

/// What it takes to ask for a name once more.
pub(super) struct Asking<A> {
    pub(super) question: Question,
    resolver: Rc<A>,
    /// The last addresses of the hosts that offer the service. One that does not resolve now keeps those.
    hosts: HashMap<Box<str>, Vec<IpAddr>>,
}

impl<A: Ask> Asking<A> {
    pub(super) fn new(question: Question, resolver: Rc<A>) -> Self {
        Self { question, resolver, hosts: HashMap::new() }
    }

    /// Asks once: all addresses in a fixed order, and for how long they are good.
    pub(super) async fn ask(&mut self) -> Result<(Vec<Found>, Duration), NetError> {
        let (mut found, good_for) = match &self.question {
            Question::Host(host) => {
                let (addresses, good_for) = self.resolver.addresses(host).await?;
                let found = |ip| Found { priority: 0, ip, port: None, weight: 1 };
                (addresses.into_iter().map(found).collect::<Vec<_>>(), good_for)
            }
            Question::Service(service) => {
                let (offers, good_for) = self.resolver.offers(service).await?;
                self.find_hosts(offers, good_for).await?
            }
        };
        found.sort();
        found.dedup_by_key(|found| (found.ip, found.port));
        Ok((found, good_for))
    }

    async fn find_hosts(
        &mut self,
        mut offers: Vec<Offer>,
        good_for: Duration,
    ) -> Result<(Vec<Found>, Duration), NetError> {
        // RFC 2782: a single target of `.` says that the service is decidedly not there.
        offers.retain(|offer| !offer.host.is_empty() && offer.port > 0);
        if offers.is_empty() {
            return Err(NetError::from("nobody offers this service"));
        }
        offers.truncate(MOST_OFFERS);
        let mut good_for = good_for;
        self.hosts.retain(|host, _| offers.iter().any(|offer| offer.host == *host));
        for (host, answer) in self.ask_hosts(&offers).await {
            match answer {
                Ok((addresses, its_good_for)) => {
                    good_for = good_for.min(its_good_for);
                    self.hosts.insert(host, addresses);
                }
                Err(error) => {
                    good_for = good_for.min(RETRY);
                    let (service, why) = (self.question.name(), Why(&error));
                    tracing::debug!("`{service}`: its host `{host}` does not resolve: {why}");
                }
            }
        }
        let found: Vec<Found> = offers.iter().flat_map(|offer| self.found(offer)).collect();
        if found.is_empty() {
            let count = offers.len();
            return Err(NetError::from(format!("none of the {count} hosts that offer it resolves")));
        }
        Ok((found, good_for))
    }

    /// Asks for every host at once: one whose name server keeps silent must not hold up the others.
    async fn ask_hosts(
        &self,
        offers: &[Offer],
    ) -> Vec<(Box<str>, Result<(Vec<IpAddr>, Duration), NetError>)> {
        let mut asked = JoinSet::new();
        for (place, offer) in offers.iter().enumerate() {
            if offers.iter().take(place).any(|other| other.host == offer.host) {
                continue;
            }
            let (resolver, host) = (Rc::clone(&self.resolver), offer.host.clone());
            asked.spawn_local(async move {
                let answer = resolver.addresses(&host).await;
                (host, answer)
            });
        }
        let mut answers = Vec::with_capacity(asked.len());
        while let Some(answer) = asked.join_next().await {
            // One that panicked is like one that did not resolve.
            answers.extend(answer);
        }
        answers
    }

    fn found(&self, offer: &Offer) -> impl Iterator<Item = Found> {
        let addresses = self.hosts.get(&offer.host).map_or(&[][..], |addresses| addresses);
        let (priority, weight) = (offer.priority, offer.weight);
        let port = Some(offer.port);
        addresses.iter().map(move |ip| Found { priority, ip: *ip, port, weight })
    }
}

/// More than an answer of 4096 bytes holds.
const MOST_OFFERS: usize = 128;
