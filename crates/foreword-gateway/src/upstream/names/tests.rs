use std::collections::VecDeque;

use tokio::task::LocalSet;
use tokio::time::sleep;

use super::server::Server;
use super::system::{LONGEST, SHORTEST, Why};
use super::*;
use crate::policy::cluster::Endpoint;

#[test]
fn the_same_addresses_are_no_new_version() {
    let names = Names::default();
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let (app, found) = (host("app.test"), Found { priority: 0, ip: address, port: None, weight: 1 });
    names.publish(&app, vec![found.clone()]);
    let version = names.table().version();
    names.publish(&app, vec![found.clone()]);
    assert_eq!(names.table().version(), version);
    assert_eq!(names.table().found(&app), [found]);
    names.forget(&app);
    assert!(names.table().version() > version);
    assert_eq!(names.table().found(&app), []);
}

#[tokio::test]
async fn localhost_resolves_by_the_systems_own_files() {
    let (addresses, good_for) = system::asking(&[]).unwrap().addresses("localhost").await.unwrap();
    assert!(addresses.contains(&"127.0.0.1".parse().unwrap()), "{addresses:?}");
    assert!((SHORTEST..=LONGEST).contains(&good_for));
}

fn host(name: &str) -> Question {
    Question::Host(name.into())
}

#[tokio::test]
async fn a_server_is_asked_for_all_addresses_of_a_name() {
    let server = Server::start();
    server.knows("several.test", &["127.0.0.3", "127.0.0.1", "::1", "127.0.0.2"], 60);
    server.knows("six.test", &["2001:db8::2", "2001:db8::1"], 60);
    let resolver = server.resolver().unwrap();

    let (addresses, good_for) = resolver.addresses("several.test").await.unwrap();
    assert_eq!(addresses, ips(&["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"]), "of both families");
    assert!((55..=60).contains(&good_for.as_secs()), "{good_for:?}");
    let (addresses, _) = resolver.addresses("six.test").await.unwrap();
    assert_eq!(addresses, ips(&["2001:db8::1", "2001:db8::2"]));
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_told_in_words() {
    let server = Server::start();
    server.knows("none.test", &[], 60);
    server.knows_service("_http._tcp.none.test", &[], 60);
    server.knows_service("_http._tcp.off.test", &[(0, 0, 0, ".")], 60);
    server.knows_service("_http._tcp.lost.test", &[(0, 0, 80, "none.test.")], 60);
    let resolver = Rc::new(server.resolver().unwrap());
    let service = |name: &str| Question::Service(name.into());
    for (question, why) in [
        (host("none.test"), "there is no such name"),
        (service("_http._tcp.none.test"), "the name is there, but leads nowhere"),
        (service("_http._tcp.off.test"), "nobody offers this service"),
        (service("_http._tcp.lost.test"), "none of the 1 hosts that offer it resolves"),
    ] {
        let error = LocalSet::new()
            .run_until(Asking::new(question, Rc::clone(&resolver)).ask())
            .await
            .expect_err(why);
        assert_eq!(Why(&error).to_string(), why);
    }
}

#[tokio::test]
async fn a_service_is_where_its_records_and_their_hosts_say_for_as_long_as_both_are_good() {
    let server = Server::start();
    let name = "_http._tcp.app.test";
    server.knows_service(
        name,
        &[(20, 0, 8081, "c.test."), (10, 3, 8080, "a.test."), (10, 1, 80, "B.test.")],
        60,
    );
    server.knows("a.test", &["192.0.2.1", "192.0.2.2"], 30);
    server.knows("b.test", &["192.0.2.3"], 60);
    server.knows("c.test", &["192.0.2.4"], 60);
    let mut asking = Asking::new(Question::Service(name.into()), Rc::new(server.resolver().unwrap()));
    let story = async {
        let (found, good_for) = asking.ask().await.unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|found| (found.priority, found.ip.to_string(), found.port.unwrap(), found.weight))
            .collect();
        let at = |priority, ip: &str, port, weight| (priority, ip.to_owned(), port, weight);
        let expected = [
            at(10, "192.0.2.1", 8080, 3),
            at(10, "192.0.2.2", 8080, 3),
            at(10, "192.0.2.3", 80, 1),
            at(20, "192.0.2.4", 8081, 0),
        ];
        assert_eq!(shown, expected);
        assert!((25..=30).contains(&good_for.as_secs()), "{good_for:?}");

        server.knows("b.test", &[], 60);
        let (again, good_for) = asking.ask().await.unwrap();
        assert_eq!(again, found, "a host that does not resolve now keeps its addresses");
        assert!(good_for <= RETRY);
        server.knows_service(name, &[(10, 1, 80, "a.test.")], 60);
        assert_eq!(asking.ask().await.unwrap().0.len(), 2, "one that offers it no more does not");
    };
    LocalSet::new().run_until(story).await;
}

#[tokio::test]
async fn how_long_an_answer_is_good_has_bounds_and_nothing_older_is_remembered() {
    let server = Server::start();
    let resolver = server.resolver().unwrap();
    server.knows("app.test", &["192.0.2.1"], 0);
    assert_eq!(resolver.addresses("app.test").await.unwrap().1, SHORTEST);
    server.knows("app.test", &["192.0.2.2"], 86_400);
    let (addresses, good_for) = resolver.addresses("app.test").await.unwrap();
    assert_eq!((addresses, good_for), (ips(&["192.0.2.2"]), LONGEST));
}

/// Gives prepared answers, one for each question, on the clock of the test.
struct Script(RefCell<VecDeque<Result<&'static [&'static str], &'static str>>>);

/// For which the answers of a [`Script`] are good.
const GOOD_FOR: Duration = Duration::from_secs(30);

impl Ask for Rc<Script> {
    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
        match self.0.borrow_mut().pop_front().unwrap_or_else(|| panic!("`{host}` is asked for once more")) {
            Ok(addresses) => Ok((ips(addresses), GOOD_FOR)),
            Err(error) => Err(error.into()),
        }
    }

    async fn offers(&self, service: &str) -> Result<(Vec<Offer>, Duration), NetError> {
        panic!("`{service}` is no host")
    }
}

fn known(names: &Names, name: &str) -> Vec<IpAddr> {
    names.table().found(&host(name)).iter().map(|found| found.ip).collect()
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
    let mut resolving = Resolving::new(Arc::clone(&names), |_: &[SocketAddr]| Ok(Rc::clone(&script)));
    let plan = plan("app.test");
    let known = || known(&names, "app.test");
    let tick = Duration::from_millis(1);
    let story = async {
        resolving.follow(&plan, &[]).await;
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
    let mut resolving = Resolving::new(Arc::clone(&names), |_: &[SocketAddr]| Ok(Rc::clone(&script)));
    let (before, after) = (plan("old.test"), plan("new.test"));
    let known = |host: &str| known(&names, host).len();
    let story = async {
        resolving.follow(&before, &[]).await;
        resolving.follow(&after, &[]).await;
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
        resolving.follow(&plan("old.test"), &[]).await;
        assert_eq!(known("old.test"), 1);
    };
    LocalSet::new().run_until(story).await;
}

#[tokio::test(start_paused = true)]
async fn other_name_servers_are_asked_at_once_and_what_was_known_stays_until_they_answer() {
    let scripts = [vec![Ok(&["192.0.2.1"][..])], vec![Err("they are away"), Ok(&["192.0.2.2"])]]
        .map(|answers| Rc::new(Script(RefCell::new(answers.into()))));
    let names = Arc::<Names>::default();
    let others: [SocketAddr; 1] = ["127.0.0.1:5353".parse().unwrap()];
    let find = |servers: &[SocketAddr]| Ok(Rc::clone(&scripts[servers.len()]));
    let mut resolving = Resolving::new(Arc::clone(&names), find);
    let plan = plan("app.test");
    let story = async {
        resolving.follow(&plan, &[]).await;
        resolving.follow(&plan, &others).await;
        assert_eq!(known(&names, "app.test"), ips(&["192.0.2.1"]));
        sleep(RETRY + Duration::from_millis(1)).await;
        assert_eq!(known(&names, "app.test"), ips(&["192.0.2.2"]));
    };
    LocalSet::new().run_until(story).await;
}
