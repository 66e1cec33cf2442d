//! Names of endpoints, resolved on the control thread for as long as their answers are good.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use crate::policy::cluster::{Cluster, Target};

/// What is known of every name. Workers read it; only the control thread writes.
#[derive(Debug, Default)]
pub(crate) struct Names {
    table: ArcSwap<Table>,
    changed: Notify,
}

/// The addresses at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    version: u64,
    addresses: HashMap<Box<str>, Arc<[IpAddr]>>,
}

impl Table {
    /// Differs whenever any address does.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The addresses of a name; none if it never resolved.
    pub(crate) fn addresses(&self, host: &str) -> &[IpAddr] {
        self.addresses.get(host).map_or(&[], |addresses| addresses)
    }
}

impl Names {
    /// What is known now.
    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Waits for the next change. One that came while nobody waited is not lost.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Puts in what a name resolves to now; workers notice the new version.
    fn publish(&self, host: &str, addresses: Arc<[IpAddr]>) {
        let table = self.table.load();
        if *addresses == *table.addresses(host) {
            return;
        }
        let mut next = Table::clone(&table);
        next.version += 1;
        next.addresses.insert(host.into(), addresses);
        self.replace(next);
    }

    fn forget(&self, host: &str) {
        let mut next = Table::clone(&self.table.load());
        next.addresses.remove(host);
        next.version += 1;
        self.replace(next);
    }

    fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.changed.notify_one();
    }
}

/// Somebody who knows what names resolve to.
pub(crate) trait Ask: Sized + 'static {
    /// Asks once: the addresses in a fixed order, and for how long they are good.
    async fn ask(&self, host: &str) -> Result<(Arc<[IpAddr]>, Duration), NetError>;
}

/// Keeps the names of the plans resolved. Lives on the control thread.
pub(crate) struct Resolving<F> {
    names: Arc<Names>,
    /// Finds out whom to ask; anew with each plan that brings names, since the machine may be set up otherwise by then.
    find: F,
    hosts: HashMap<Box<str>, Host>,
}

/// A name, and the task that keeps it resolved for as long as somebody may connect to it.
struct Host {
    named_by: Rc<NamedBy>,
    task: JoinHandle<()>,
}

/// The clusters that name a host. A connection keeps the clusters of its own plan alive, however many plans came since.
#[derive(Default)]
struct NamedBy(RefCell<Vec<Weak<Cluster>>>);

impl NamedBy {
    fn anyone(&self) -> bool {
        let mut clusters = self.0.borrow_mut();
        clusters.retain(|cluster| cluster.strong_count() > 0);
        !clusters.is_empty()
    }
}

impl<A: Ask, F: Fn() -> Result<A, NetError>> Resolving<F> {
    pub(crate) fn new(names: Arc<Names>, find: F) -> Self {
        Self { names, find, hosts: HashMap::new() }
    }

    /// Resolves the names of a plan's clusters from now on as well. Those of an earlier one go on until nobody can ask for them: its
    /// connections, and the workers that have not taken the new plan yet.
    ///
    /// It comes back when every new name has been asked for once, or after [`FIRST`]: a name that does not resolve is
    /// warned of and keeps nobody from starting.
    pub(crate) async fn follow(&mut self, clusters: &[Arc<Cluster>]) {
        self.hosts.retain(|_, host| !host.task.is_finished());
        let mut new = BTreeMap::<Box<str>, Rc<NamedBy>>::new();
        for (host, cluster) in hosts(clusters) {
            let named_by = match self.hosts.get(host) {
                Some(known) => &known.named_by,
                None => new.entry(host.into()).or_default(),
            };
            named_by.0.borrow_mut().push(Arc::downgrade(cluster));
        }
        if new.is_empty() {
            return;
        }
        let resolver = match (self.find)() {
            Ok(resolver) => Rc::new(resolver),
            Err(error) => {
                tracing::warn!(
                    "names of endpoints cannot be resolved: the system's resolver configuration: {error}"
                );
                return;
            }
        };
        let keep = |(host, named_by)| self.keep(host, named_by, &resolver);
        let first = new.into_iter().map(keep).collect::<Vec<_>>();
        let all = async {
            for asked in first {
                // A sender that is gone has been asked as well.
                let _asked = asked.await;
            }
        };
        let _late = tokio::time::timeout(FIRST, all).await;
    }

    fn keep(&mut self, host: Box<str>, named_by: Rc<NamedBy>, resolver: &Rc<A>) -> oneshot::Receiver<()> {
        let (asked, first) = oneshot::channel();
        let kept =
            Kept { host: host.clone(), named_by: Rc::clone(&named_by), names: Arc::clone(&self.names) };
        let task = spawn_local(kept.resolve(Rc::clone(resolver), asked));
        self.hosts.insert(host, Host { named_by, task });
        first
    }
}

impl<F> Drop for Resolving<F> {
    fn drop(&mut self) {
        self.hosts.values().for_each(|host| host.task.abort());
    }
}

/// What the task of one name has.
struct Kept {
    host: Box<str>,
    named_by: Rc<NamedBy>,
    names: Arc<Names>,
}

impl Kept {
    /// Asks again whenever the last answer is no longer good, until nobody names the host.
    async fn resolve(self, resolver: Rc<impl Ask>, asked: oneshot::Sender<()>) {
        let Self { host, named_by, names } = self;
        let mut asked = Some(asked);
        let mut fails = false;
        while named_by.anyone() {
            let wait = match resolver.ask(&host).await {
                Ok((addresses, good_for)) => {
                    if fails {
                        tracing::info!("`{host}` resolves again");
                    }
                    fails = false;
                    names.publish(&host, addresses);
                    good_for
                }
                Err(error) => {
                    if !fails {
                        warn(&host, &error, names.table().addresses(&host).len());
                    }
                    fails = true;
                    RETRY
                }
            };
            if let Some(asked) = asked.take() {
                // Nobody waits for it any more if it came late.
                let _late = asked.send(());
            }
            tokio::time::sleep(wait).await;
        }
        names.forget(&host);
    }
}

fn warn(host: &str, error: &NetError, known: usize) {
    match known {
        0 => {
            tracing::warn!("`{host}` does not resolve: {error}; endpoints of this name are left out");
        }
        known => tracing::warn!("`{host}` does not resolve: {error}; its {known} known addresses stay"),
    }
}

impl Ask for TokioResolver {
    async fn ask(&self, host: &str) -> Result<(Arc<[IpAddr]>, Duration), NetError> {
        let answer = self.lookup_ip(host).await?;
        // Servers turn their answers around; the same addresses are the same answer.
        let addresses: BTreeSet<IpAddr> = answer.iter().collect();
        let good_for = answer.valid_until().saturating_duration_since(Instant::now());
        Ok((addresses.into_iter().collect(), good_for.clamp(SHORTEST, LONGEST)))
    }
}

/// The resolver as this machine is set up for: `/etc/resolv.conf` and `/etc/hosts`.
pub(crate) fn of_the_system() -> Result<TokioResolver, NetError> {
    resolver(TokioResolver::builder_tokio()?)
}

fn resolver(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    // Few upstream networks have both families, and those of one name are mostly the same machines.
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // The wait between two questions is ours, and the answer must not be older than that.
    builder.options_mut().cache_size = 0;
    builder.build()
}

/// Each name of a plan, with a cluster that names it.
fn hosts(clusters: &[Arc<Cluster>]) -> impl Iterator<Item = (&str, &Arc<Cluster>)> {
    clusters.iter().flat_map(|cluster| {
        cluster.endpoints.iter().filter_map(move |endpoint| match &endpoint.target {
            Target::Name { host, .. } => Some((&**host, cluster)),
            Target::Address(_) | Target::Unix(_) => None,
        })
    })
}

/// How long a start waits for names.
const FIRST: Duration = Duration::from_secs(5);

/// How soon a name that does not resolve is asked for again.
const RETRY: Duration = Duration::from_secs(2);

/// A TTL of zero says that every answer is new; we are not the ones to ask for each connection.
const SHORTEST: Duration = Duration::from_secs(1);

/// Entries of `/etc/hosts` have no end, and nobody waits a day for a change.
const LONGEST: Duration = Duration::from_secs(300);

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;
