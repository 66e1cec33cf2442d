//! Names of endpoints, resolved on the control thread for as long as their answers are good.

mod asking;
mod system;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_resolver::net::NetError;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use self::asking::Asking;
pub(crate) use self::system::asking;
use crate::policy::cluster::{Cluster, Target};

/// What is asked of name servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Question {
    /// The addresses of a host.
    Host(Box<str>),
    /// Where a service is: hosts, ports and weights.
    Service(Box<str>),
}

impl Question {
    /// What is asked for an endpoint, if it is not an address itself.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Name { host, .. } => Some(Self::Host(host.clone())),
            Target::Service { name } => Some(Self::Service(name.clone())),
            Target::Address(_) | Target::Unix(_) => None,
        }
    }

    /// The name, as messages show it.
    fn name(&self) -> &str {
        match self {
            Self::Host(name) | Self::Service(name) => name,
        }
    }
}

/// One address that a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// Lower ones come first; the others are for when none of those is usable.
    pub(crate) priority: u16,
    pub(crate) ip: IpAddr,
    /// A service has ports of its own.
    pub(crate) port: Option<u16>,
    /// How much it gets against others of its priority.
    pub(crate) weight: u16,
}

/// Where one host offers a service, RFC 2782.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

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
    found: HashMap<Question, Arc<[Found]>>,
}

impl Table {
    /// Differs whenever any address does.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What a name resolves to; nothing if it never did.
    pub(crate) fn found(&self, question: &Question) -> &[Found] {
        self.found.get(question).map_or(&[], |found| found)
    }
}

#[cfg(test)]
impl Table {
    /// A table that knows this and nothing else.
    pub(super) fn of(found: impl IntoIterator<Item = (Question, Vec<Found>)>) -> Self {
        let found = found.into_iter().map(|(question, found)| (question, found.into())).collect();
        Self { version: 1, found }
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
    fn publish(&self, question: &Question, found: Vec<Found>) {
        let table = self.table.load();
        if *found == *table.found(question) {
            return;
        }
        let mut next = Table::clone(&table);
        next.version += 1;
        next.found.insert(question.clone(), found.into());
        self.replace(next);
    }

    fn forget(&self, question: &Question) {
        let mut next = Table::clone(&self.table.load());
        next.found.remove(question);
        next.version += 1;
        self.replace(next);
    }

    fn replace(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.changed.notify_one();
    }
}

/// Somebody who knows what names resolve to.
pub(crate) trait Ask: 'static {
    /// Asks once: the addresses of a host in a fixed order, and for how long they are good.
    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), NetError>;

    /// Asks once: where a service is, and for how long that is good.
    async fn offers(&self, service: &str) -> Result<(Vec<Offer>, Duration), NetError>;
}

/// Keeps the names of the plans resolved. Lives on the control thread.
pub(crate) struct Resolving<F> {
    names: Arc<Names>,
    /// Finds out whom to ask; anew with each plan that brings names, since the machine may be set up otherwise by then.
    find: F,
    /// Whom the last plan wanted to be asked.
    servers: Vec<SocketAddr>,
    kept: HashMap<Question, Kept>,
}

/// A name, and the task that keeps it resolved for as long as somebody may connect to it.
struct Kept {
    named_by: Rc<NamedBy>,
    task: JoinHandle<()>,
}

impl Kept {
    /// Asks no more, and tells who still needs to know.
    fn stop(self) -> Rc<NamedBy> {
        self.task.abort();
        self.named_by
    }
}

/// The clusters that name something. A connection keeps the clusters of its own plan alive, however many plans came since.
#[derive(Default)]
struct NamedBy(RefCell<Vec<Weak<Cluster>>>);

impl NamedBy {
    fn anyone(&self) -> bool {
        let mut clusters = self.0.borrow_mut();
        clusters.retain(|cluster| cluster.strong_count() > 0);
        !clusters.is_empty()
    }
}

impl<A: Ask, F: Fn(&[SocketAddr]) -> Result<A, NetError>> Resolving<F> {
    pub(crate) fn new(names: Arc<Names>, find: F) -> Self {
        Self { names, find, servers: Vec::new(), kept: HashMap::new() }
    }

    /// Resolves the names of a plan's clusters from now on as well. Those of an earlier one go on until nobody can ask for them: its
    /// connections, and the workers that have not taken the new plan yet.
    ///
    /// It comes back when every new name has been asked for once, or after [`FIRST`]: a name that does not resolve is
    /// warned of and keeps nobody from starting.
    pub(crate) async fn follow(&mut self, clusters: &[Arc<Cluster>], servers: &[SocketAddr]) {
        self.kept.retain(|_, kept| !kept.task.is_finished());
        let mut new = BTreeMap::<Question, Rc<NamedBy>>::new();
        if self.servers != servers {
            self.servers = servers.to_vec();
            // Everything is asked for anew; what is known stays until they have answered.
            new.extend(self.kept.drain().map(|(question, kept)| (question, kept.stop())));
        }
        for (question, cluster) in questions(clusters) {
            let named_by = match self.kept.get(&question) {
                Some(known) => &known.named_by,
                None => new.entry(question).or_default(),
            };
            named_by.0.borrow_mut().push(Arc::downgrade(cluster));
        }
        if new.is_empty() {
            return;
        }
        let resolver = match (self.find)(&self.servers) {
            Ok(resolver) => Rc::new(resolver),
            Err(error) => {
                tracing::warn!(
                    "names of endpoints cannot be resolved: the system's resolver configuration: {error}"
                );
                return;
            }
        };
        let keep = |(question, named_by)| self.keep(question, named_by, &resolver);
        let first = new.into_iter().map(keep).collect::<Vec<_>>();
        let all = async {
            for asked in first {
                // A sender that is gone has been asked as well.
                let _asked = asked.await;
            }
        };
        let _late = tokio::time::timeout(FIRST, all).await;
    }

    fn keep(&mut self, question: Question, named_by: Rc<NamedBy>, resolver: &Rc<A>) -> oneshot::Receiver<()> {
        let (asked, first) = oneshot::channel();
        let asking = Asking::new(question.clone(), Rc::clone(resolver));
        let task = spawn_local(keep_asking(asking, Rc::clone(&named_by), Arc::clone(&self.names), asked));
        self.kept.insert(question, Kept { named_by, task });
        first
    }
}

impl<F> Drop for Resolving<F> {
    fn drop(&mut self) {
        self.kept.values().for_each(|kept| kept.task.abort());
    }
}

/// Asks again whenever the last answer is no longer good, until nobody names it.
async fn keep_asking<A: Ask>(
    mut asking: Asking<A>,
    named_by: Rc<NamedBy>,
    names: Arc<Names>,
    asked: oneshot::Sender<()>,
) {
    let mut asked = Some(asked);
    let mut fails = false;
    while named_by.anyone() {
        let wait = match asking.ask().await {
            Ok((found, good_for)) => {
                if fails {
                    tracing::info!("`{}` resolves again", asking.question.name());
                }
                fails = false;
                names.publish(&asking.question, found);
                good_for
            }
            Err(error) => {
                if !fails {
                    warn(&asking.question, &error, names.table().found(&asking.question).len());
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
    names.forget(&asking.question);
}

fn warn(question: &Question, error: &NetError, known: usize) {
    let (name, why) = (question.name(), system::Why(error));
    match known {
        0 => tracing::warn!("`{name}` does not resolve: {why}; endpoints of this name are left out"),
        known => tracing::warn!("`{name}` does not resolve: {why}; its {known} known addresses stay"),
    }
}

/// Each name of a plan, with a cluster that names it.
fn questions(clusters: &[Arc<Cluster>]) -> impl Iterator<Item = (Question, &Arc<Cluster>)> {
    clusters.iter().flat_map(|cluster| {
        let questions = cluster.endpoints.iter().filter_map(|endpoint| Question::of(&endpoint.target));
        questions.map(move |question| (question, cluster))
    })
}

/// How long a start waits for names.
const FIRST: Duration = Duration::from_secs(5);

/// How soon a name that does not resolve is asked for again.
const RETRY: Duration = Duration::from_secs(2);

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;
