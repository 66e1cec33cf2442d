//! Names of endpoints, resolved on the control thread for as long as their answers are good.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use tokio::task::JoinHandle;

use crate::plan::{Plan, Target};

/// What is known of every name. Workers read it; only the control thread writes.
#[derive(Debug, Default)]
pub(crate) struct Names {
    table: ArcSwap<Table>,
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

    /// Puts in what a name resolves to now; workers notice the new version.
    fn publish(&self, host: &str, addresses: Arc<[IpAddr]>) {
        let table = self.table.load();
        if *addresses == *table.addresses(host) {
            return;
        }
        let mut next = Table::clone(&table);
        next.version += 1;
        next.addresses.insert(host.into(), addresses);
        self.table.store(Arc::new(next));
    }

    fn forget(&self, host: &str) {
        let mut next = Table::clone(&self.table.load());
        next.addresses.remove(host);
        next.version += 1;
        self.table.store(Arc::new(next));
    }
}

/// Keeps the names of a plan resolved. Lives on the control thread.
pub(crate) struct Resolving {
    names: Arc<Names>,
    tasks: HashMap<Box<str>, JoinHandle<()>>,
}

impl Resolving {
    pub(crate) fn new(names: Arc<Names>) -> Self {
        Self { names, tasks: HashMap::new() }
    }

    /// Resolves the names of `plan` from now on, and those of earlier plans no more.
    ///
    /// It comes back when every new name has been asked for once, or after [`FIRST`]: a name that does not resolve is
    /// warned of and keeps nobody from starting.
    pub(crate) async fn follow(&mut self, plan: &Plan) {
        let wanted = hosts(plan);
        self.tasks.retain(|host, task| {
            let stays = wanted.contains(host);
            if !stays {
                task.abort();
                self.names.forget(host);
            }
            stays
        });
        let new: Vec<Box<str>> = wanted.into_iter().filter(|host| !self.tasks.contains_key(host)).collect();
        if new.is_empty() {
            return;
        }
        let resolver = match resolver() {
            Ok(resolver) => Arc::new(resolver),
            Err(error) => {
                tracing::warn!(
                    "names of endpoints cannot be resolved: the system's resolver configuration: {error}"
                );
                return;
            }
        };
        let first = new.into_iter().map(|host| self.keep(host, &resolver)).collect::<Vec<_>>();
        let all = async {
            for asked in first {
                // A sender that is gone has been asked as well.
                let _asked = asked.await;
            }
        };
        let _late = tokio::time::timeout(FIRST, all).await;
    }

    fn keep(&mut self, host: Box<str>, resolver: &Arc<TokioResolver>) -> tokio::sync::oneshot::Receiver<()> {
        let (asked, first) = tokio::sync::oneshot::channel();
        let task = keep_resolved(host.clone(), Arc::clone(resolver), Arc::clone(&self.names), asked);
        self.tasks.insert(host, tokio::task::spawn_local(task));
        first
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

async fn keep_resolved(
    host: Box<str>,
    resolver: Arc<TokioResolver>,
    names: Arc<Names>,
    asked: tokio::sync::oneshot::Sender<()>,
) {
    let mut asked = Some(asked);
    let mut fails = false;
    loop {
        let wait = match lookup(&resolver, &host).await {
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
                    let known = names.table().addresses(&host).len();
                    match known {
                        0 => tracing::warn!(
                            "`{host}` does not resolve: {error}; endpoints of this name are left out"
                        ),
                        known => tracing::warn!(
                            "`{host}` does not resolve: {error}; its {known} known addresses stay"
                        ),
                    }
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
}

/// Asks once: the addresses in a fixed order, and for how long they are good.
async fn lookup(resolver: &TokioResolver, host: &str) -> Result<(Arc<[IpAddr]>, Duration), NetError> {
    let answer = resolver.lookup_ip(host).await?;
    // Servers turn their answers around; the same addresses are the same answer.
    let addresses: BTreeSet<IpAddr> = answer.iter().collect();
    let good_for = answer.valid_until().saturating_duration_since(Instant::now());
    Ok((addresses.into_iter().collect(), good_for.clamp(SHORTEST, LONGEST)))
}

/// The resolver as this machine is set up for: `/etc/resolv.conf` and `/etc/hosts`.
fn resolver() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    // Few upstream networks have both families, and those of one name are mostly the same machines.
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // The wait between two questions is ours, and the answer must not be older than that.
    builder.options_mut().cache_size = 0;
    builder.build()
}

fn hosts(plan: &Plan) -> BTreeSet<Box<str>> {
    let endpoints = plan.clusters.iter().flat_map(|cluster| &cluster.endpoints);
    let names = endpoints.filter_map(|endpoint| match &endpoint.target {
        Target::Name { host, .. } => Some(host.clone()),
        Target::Address(_) | Target::Unix(_) => None,
    });
    names.collect()
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
mod tests {
    use super::*;

    #[test]
    fn the_same_addresses_are_no_new_version() {
        let names = Names::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        names.publish("app.test", [address].into());
        let version = names.table().version();
        names.publish("app.test", [address].into());
        assert_eq!(names.table().version(), version);
        assert_eq!(names.table().addresses("app.test"), [address]);
        names.forget("app.test");
        assert!(names.table().version() > version);
        assert_eq!(names.table().addresses("app.test"), [] as [IpAddr; 0]);
    }

    #[test]
    fn localhost_resolves_by_the_systems_own_files() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (addresses, good_for) =
            runtime.block_on(async { lookup(&resolver().unwrap(), "localhost").await }).unwrap();
        assert!(addresses.contains(&"127.0.0.1".parse().unwrap()), "{addresses:?}");
        assert!((SHORTEST..=LONGEST).contains(&good_for));
    }
}
