use std::collections::VecDeque;

use tokio::task::LocalSet;
use tokio::time::sleep;

use super::server::Server;
use super::*;
use crate::policy::cluster::Endpoint;

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

#[tokio::test]
async fn localhost_resolves_by_the_systems_own_files() {
    let (addresses, good_for) = of_the_system().unwrap().ask("localhost").await.unwrap();
    assert!(addresses.contains(&"127.0.0.1".parse().unwrap()), "{addresses:?}");
    assert!((SHORTEST..=LONGEST).contains(&good_for));
}

#[tokio::test]
async fn a_server_is_asked_for_all_addresses_of_a_name() {
    let server = Server::start();
    server.knows("several.test", &["192.0.2.3", "192.0.2.1", "2001:db8::1", "192.0.2.2"], 60);
    server.knows("six.test", &["2001:db8::2", "2001:db8::1"], 60);
    server.knows("none.test", &[], 60);
    let resolver = server.resolver().unwrap();

    let (addresses, good_for) = resolver.ask("several.test").await.unwrap();
    assert_eq!(*addresses, ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]), "IPv6 only where there is no IPv4");
    assert!((55..=60).contains(&good_for.as_secs()), "{good_for:?}");
    let (addresses, _) = resolver.ask("six.test").await.unwrap();
    assert_eq!(*addresses, ips(&["2001:db8::1", "2001:db8::2"]));
    assert!(resolver.ask("none.test").await.is_err());
}

#[tokio::test]
async fn how_long_an_answer_is_good_has_bounds_and_nothing_older_is_remembered() {
    let server = Server::start();
    let resolver = server.resolver().unwrap();
    server.knows("app.test", &["192.0.2.1"], 0);
    assert_eq!(resolver.ask("app.test").await.unwrap().1, SHORTEST);
    server.knows("app.test", &["192.0.2.2"], 86_400);
    let (addresses, good_for) = resolver.ask("app.test").await.unwrap();
    assert_eq!((&*addresses, good_for), (&*ips(&["192.0.2.2"]), LONGEST));
}

/// Gives prepared answers, one for each question, on the clock of the test.
struct Script(RefCell<VecDeque<Result<&'static [&'static str], &'static str>>>);

/// For which the answers of a [`Script`] are good.
const GOOD_FOR: Duration = Duration::from_secs(30);

impl Ask for Rc<Script> {
    async fn ask(&self, host: &str) -> Result<(Arc<[IpAddr]>, Duration), NetError> {
        match self.0.borrow_mut().pop_front().unwrap_or_else(|| panic!("`{host}` is asked for once more")) {
            Ok(addresses) => Ok((ips(addresses).into(), GOOD_FOR)),
            Err(error) => Err(error.into()),
        }
    }
}

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn plan(host: &str) -> Vec<Arc<Cluster>> {
    let target = Target::Name { host: host.into(), port: 80 };
    vec![Arc::new(Cluster::new("app", 0, vec![Endpoint::new(host, target)]))]
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_again_when_its_time_is_over_and_stays_while_there_is_no_other() {
    let script = Rc::new(Script(RefCell::new(VecDeque::from([
        Ok(&["192.0.2.1"][..]),
        Ok(&["192.0.2.2", "192.0.2.3"]),
        Err("the server is away"),
        Err("the server is away"),
        Ok(&["192.0.2.4"]),
    ]))));
    let names = Arc::<Names>::default();
    let mut resolving = Resolving::new(Arc::clone(&names), || Ok(Rc::clone(&script)));
    let plan = plan("app.test");
    let known = || names.table().addresses("app.test").to_vec();
    let tick = Duration::from_millis(1);
    let story = async {
        resolving.follow(&plan).await;
        assert_eq!(known(), ips(&["192.0.2.1"]));
        sleep(GOOD_FOR - tick).await;
        assert_eq!(known(), ips(&["192.0.2.1"]));
        sleep(tick * 2).await;
        assert_eq!(known(), ips(&["192.0.2.2", "192.0.2.3"]));
        sleep(GOOD_FOR + RETRY).await;
        assert_eq!(script.0.borrow().len(), 1, "it was asked for twice and did not resolve");
        assert_eq!(known(), ips(&["192.0.2.2", "192.0.2.3"]));
        sleep(RETRY).await;
        assert_eq!(known(), ips(&["192.0.2.4"]));
    };
    LocalSet::new().run_until(story).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_is_forgotten_only_when_nobody_can_connect_to_it_any_more() {
    let answers = [Ok(&["192.0.2.1"][..]), Ok(&["192.0.2.2"]), Ok(&["192.0.2.1"]), Ok(&["192.0.2.2"])];
    let script = Rc::new(Script(RefCell::new(answers.into())));
    let names = Arc::<Names>::default();
    let mut resolving = Resolving::new(Arc::clone(&names), || Ok(Rc::clone(&script)));
    let (before, after) = (plan("old.test"), plan("new.test"));
    let known = |host: &str| names.table().addresses(host).len();
    let story = async {
        resolving.follow(&before).await;
        resolving.follow(&after).await;
        assert_eq!((known("old.test"), known("new.test")), (1, 1));
        // A connection lives on under the plan that it began with.
        let connection = Arc::clone(&before[0]);
        drop(before);
        sleep(GOOD_FOR * 3 / 2).await;
        assert_eq!((known("old.test"), known("new.test")), (1, 1));
        drop(connection);
        script.0.borrow_mut().push_back(Ok(&["192.0.2.2"]));
        sleep(GOOD_FOR).await;
        assert_eq!((known("old.test"), known("new.test")), (0, 1));
        // A plan that names it again finds it again.
        script.0.borrow_mut().push_back(Ok(&["192.0.2.1"]));
        resolving.follow(&plan("old.test")).await;
        assert_eq!(known("old.test"), 1);
    };
    LocalSet::new().run_until(story).await;
}
