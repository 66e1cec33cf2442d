//! A client's datagrams reach one endpoint over one socket, and its answers come back to it alone.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Echo, ask, client, client_at, dropped, file, hear, metric};
use crate::support::{Endpoint, Running, wait_until};

#[test]
fn the_answer_comes_back_to_the_one_who_asked() {
    let echo = Echo::new();
    let running = Running::start(&file("", "", &[echo.address]));
    let clients: Vec<UdpSocket> = (0..50).map(|_| client(running.address("dns"))).collect();
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("{number}/{round}").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(hear(client), format!("{number}/{round}").into_bytes());
        }
    }
    let mut sockets: Vec<SocketAddr> = (0..150).map(|_| echo.hear().0).collect();
    sockets.sort_unstable();
    sockets.dedup();
    assert_eq!(sockets.len(), 50, "a flow has a socket of its own");
    assert_eq!(running.gateway.open_connections(), 50);
    assert_eq!(metric(&running, "foreword_datagrams_received_total{listener=\"dns\"}"), 150);
    // An answer is there before it is counted.
    wait_until("all are counted", || {
        metric(&running, "foreword_datagrams_sent_total{listener=\"dns\"}") == 150
    });
}

#[test]
fn datagrams_of_any_size_pass_whole_the_empty_one_too() {
    let echo = Echo::new();
    let running = Running::start(&file("", "", &[echo.address]));
    let client = client(running.address("dns"));
    for len in [0, 1, 512, 1_472, 1_473, 9_000, 65_507] {
        let question: Vec<u8> = (0..len).map(|place| (place % 251) as u8).collect();
        assert_eq!(ask(&client, &question), question);
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let echo = Echo::new();
    for any in ["0.0.0.0:0", "[::]:0"] {
        let text = file("", "send_header = \"v2\"", &[echo.address]).replace("127.0.0.1:0", any);
        let running = Running::start(&text);
        let port = running.address("dns").port();
        for last in [1, 9, 200] {
            let asked = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port));
            // Connected: an answer from anywhere else would not be heard.
            let client = client(asked);
            let answer = ask(&client, b"who");
            let (header, payload) = super::taken_apart(&answer);
            assert_eq!((header.source(), header.destination()), (client.local_addr().ok(), Some(asked)));
            assert_eq!(payload, b"who");
        }
    }
}

#[test]
fn both_families_come_in_where_no_address_is_given() {
    let echo = Echo::new();
    let text = file("", "send_header = \"v2\"", &[echo.address]).replace("127.0.0.1:0", "[::]:0");
    let running = Running::start(&text);
    let asked = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, running.address("dns").port()));
    let client = client_at(std::net::Ipv6Addr::LOCALHOST, asked);
    let answer = ask(&client, b"who");
    let (header, _) = super::taken_apart(&answer);
    assert_eq!((header.source(), header.destination()), (client.local_addr().ok(), Some(asked)));
}

#[test]
fn a_flow_ends_when_nothing_moves_and_has_one_line_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::new();
    let log =
        format!("[log.access]\nto = \"file:{}\"\nformat = \"json\"", folder.path().join("log").display());
    let text =
        file("timeout = { idle = \"200ms\" }", &format!("send_header = \"v2\"\n{log}"), &[echo.address]);
    let running = Running::start(&text);
    let client = client(running.address("dns"));
    ask(&client, b"hello");
    ask(&client, b"again!");
    wait_until("it has ended", || running.gateway.open_connections() == 0);
    running.gateway.observer().flush(Duration::from_secs(5));
    let lines = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let line: Value = serde_json::from_str(&lines).unwrap();
    let number = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"));
    assert_eq!(line["termination"], "complete");
    assert_eq!(line["client.ip"], "127.0.0.1");
    assert_eq!(line["cluster"], "app");
    assert_eq!(line["endpoint"], echo.address.to_string());
    assert_eq!((number("datagrams.received"), number("datagrams.sent")), (2, 2));
    // The echo sends the header back as well.
    assert_eq!((number("bytes.received"), number("upstream.bytes.sent")), (11, 11 + 2 * 28));
    assert_eq!((number("bytes.sent"), number("upstream.bytes.received")), (11 + 2 * 28, 11 + 2 * 28));
    assert!(number("event.duration") >= 200_000_000, "{line}");

    let before = echo.hear().0;
    assert_eq!(echo.hear().0, before);
    ask(&client, b"anew");
    assert_ne!(echo.hear().0, before, "what comes after the end begins anew");
}

#[test]
fn tcp_and_udp_share_an_address() {
    let echo = Echo::new();
    let tcp = Endpoint::echo();
    // An address that no other test has for either.
    let free = (2..250).find_map(|last| {
        let udp = UdpSocket::bind((Ipv4Addr::new(127, 77, 0, last), 0)).unwrap().local_addr().unwrap();
        std::net::TcpListener::bind(udp).ok().map(|_| udp)
    });
    let both = free.expect("a port that is free for both");
    let text = format!(
        "[listener.dns]\nbind = [\"{both}\"]\nmode = \"udp\"\ncluster = \"udp\"\n\
         [listener.dns-tcp]\nbind = [\"{both}\"]\nmode = \"tcp\"\ncluster = \"tcp\"\n\
         [cluster.udp]\nendpoints = [\"{}\"]\n[cluster.tcp]\nendpoints = [\"{}\"]\n",
        echo.address, tcp.address
    );
    let running = Running::start(&text);
    assert_eq!(ask(&client(running.address("dns")), b"datagram"), b"datagram");
    let mut stream = crate::support::client(running.address("dns-tcp"));
    stream.write_all(b"stream").unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"stream");
}

#[test]
fn an_endpoint_where_nobody_listens_ends_the_flow_and_another_one_is_tried() {
    let echo = Echo::new();
    // Connected elsewhere it keeps the port, and hears nobody: the kernel says to all others that nobody is there.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.connect("127.0.0.1:9").unwrap();
    let nobody = elsewhere.local_addr().unwrap();
    let running = Running::start(&file("", "", &[nobody, echo.address]));
    for _ in 0..8 {
        let client = client(running.address("dns"));
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let begun = Instant::now();
        // As clients of datagrams do, it asks again.
        while client.send(b"hello").is_ok() && client.recv(&mut [0; 8]).is_err() {
            assert!(begun.elapsed() < crate::support::PATIENCE, "no answer");
        }
    }
    let line = running.log.line_with("FW501");
    assert!(line.contains(&format!("endpoint {nobody} cannot be reached")), "{line}");
}

#[test]
fn an_endpoint_that_takes_no_datagrams_is_noticed_by_the_first_one_and_ejected() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::new();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.connect("127.0.0.1:9").unwrap();
    let nobody = elsewhere.local_addr().unwrap();
    let cluster = format!(
        "[cluster.app.ejection]\nfailures = 2\n[log.access]\nto = \"file:{}\"\nformat = \"json\"",
        folder.path().join("log").display()
    );
    // One worker, which goes round: every other client comes to nobody.
    let running =
        Running::start(&file("", &cluster, &[nobody, echo.address]).replace("workers = 2", "workers = 1"));
    for _ in 0..4 {
        // Nobody asks a second time.
        client(running.address("dns")).send(b"hello").unwrap();
    }
    running.log.lines_with("FW501", 2);
    let line = running.log.line_with("FW522");
    assert!(line.contains(&nobody.to_string()), "{line}");
    running.gateway.observer().flush(Duration::from_secs(5));
    let lines = fs::read_to_string(folder.path().join("log")).unwrap();
    let refused: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(refused.len(), 2, "{lines}");
    for line in refused {
        assert_eq!((&line["event.outcome"], &line["refusal.code"]), (&"failure".into(), &"FW501".into()));
    }
}

#[test]
fn rules_decide_once_for_each_flow() {
    let echo = Echo::new();
    let text = file("", "", &[echo.address]).replace(
        "cluster = \"app\"\n",
        "[[listener.dns.rule]]\nname = \"no nines\"\nwhen = 'client.ip in [\"127.0.0.9\"]'\nthen = { close = true }\n\
         [[listener.dns.rule]]\nwhen = 'destination.port != 1'\nthen = { forward = \"app\" }\n",
    );
    let running = Running::start(&text);
    let refused = client_at([127, 0, 0, 9], running.address("dns"));
    refused.send(b"nine").unwrap();
    wait_until("it is dropped", || dropped(&running, "rule") == 1);
    assert_eq!(ask(&client(running.address("dns")), b"one"), b"one");
    assert_eq!(echo.hear().1, b"one");
    assert!(echo.has_heard_nothing_more());
    assert_eq!(metric(&running, "foreword_refusals_total{listener=\"dns\",code=\"FW411\"}"), 1);
    assert_eq!(running.gateway.open_connections(), 1, "no flow was begun for what is refused");
}

#[test]
fn a_flow_lives_under_the_plan_that_it_began_with() {
    let (old, new) = (Echo::new(), Echo::new());
    let running = Running::start(&file("", "", &[old.address]));
    let address = running.address("dns");
    let before = client(address);
    ask(&before, b"one");
    running.reload(&file("max = { flows = 100 }", "", &[new.address]));
    assert_eq!(running.address("dns"), address, "the socket stays");
    ask(&before, b"two");
    ask(&client(address), b"three");
    assert_eq!(
        (old.hear().1, old.hear().1, new.hear().1),
        (b"one".to_vec(), b"two".to_vec(), b"three".to_vec())
    );
    assert!(old.has_heard_nothing_more());
}

#[test]
fn a_listener_that_is_taken_away_lets_its_flows_end_and_its_port_go() {
    let echo = Echo::new();
    let text = file("timeout = { idle = \"20s\" }", "", &[echo.address]);
    let running = Running::start(&text);
    let address = running.address("dns");
    let old = client(address);
    ask(&old, b"before");
    running.reload(&text.replace("[listener.dns]", "[listener.other]"));
    assert_ne!(running.address("other"), address);
    assert_eq!(ask(&old, b"after"), b"after");
    // As long as somebody has it, nobody else can.
    wait_until("the port is free", || UdpSocket::bind(address).is_ok());
}

#[test]
fn a_drain_lets_flows_end_takes_no_new_ones_and_is_over_when_they_are_quiet() {
    let echo = Echo::new();
    let text = format!("drain = \"20s\"\n{}", file("timeout = { idle = \"20s\" }", "", &[echo.address]));
    let running = Running::start(&text);
    let address = running.address("dns");
    let old = client(address);
    ask(&old, b"before");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let drain = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(running.gateway.drain());
        });
        wait_until("the drain began", || !running.gateway.observer().is_ready());
        let new = client(address);
        wait_until("nobody new is taken", || {
            // Until the order has come to the worker, it may still be a flow.
            let _refused = client(address).send(b"new");
            dropped(&running, "draining") > 0
        });
        assert_eq!(ask(&old, b"meanwhile"), b"meanwhile");
        drop(new);
        drain.join().unwrap();
    });
    assert!(begun.elapsed() < Duration::from_secs(15), "an answered flow is done soon");
    assert_eq!(running.gateway.open_connections(), 0);
}
