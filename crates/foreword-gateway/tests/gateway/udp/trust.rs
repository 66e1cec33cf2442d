//! Whose word is taken for a datagram's client: the peer's address decides, for each.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};

use foreword::spp::{LEN, Spp};
use foreword::{Builder, Transport};

use super::{Echo, ask, client, client_at, dropped, file, hear, metric, taken_apart};
use crate::support::{Running, wait_until};

fn trusting(policy: &str, listener: &str, cluster: &str, echo: &Echo) -> Running {
    let text = file(&format!("trust = [\"edge\"]\n{listener}"), cluster, &[echo.address]);
    let group = format!("[trust.edge]\nfrom = [\"127.0.0.1\"]\nheader = \"{policy}\"\n");
    Running::start(&format!("{}{group}", text))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client that only headers speak of.
fn nth(number: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, (number % 250) as u8 + 1], 10_000 + number as u16))
}

fn introduced(source: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Builder::v2()
        .proxy(source, address("198.51.100.1:53"))
        .transport(Transport::Datagram)
        .build()
        .unwrap();
    datagram.extend_from_slice(payload);
    datagram
}

#[test]
fn one_socket_of_a_proxy_speaks_for_many_clients() {
    let echo = Echo::new();
    let running = trusting("require", "", "send_header = \"v2\"", &echo);
    let proxy = client(running.address("dns"));
    let mut sockets = HashSet::new();
    for number in [1, 2, 3, 2, 1] {
        let answer = ask(&proxy, &introduced(nth(number), format!("{number}").as_bytes()));
        let (socket, heard) = echo.hear();
        assert_eq!(answer, heard, "answers go to the proxy, as they are");
        let (header, payload) = taken_apart(&heard);
        assert_eq!(header.source(), Some(nth(number)));
        assert_eq!(header.destination(), Some(address("198.51.100.1:53")));
        assert_eq!(payload, number.to_string().as_bytes());
        sockets.insert(socket);
    }
    assert_eq!(sockets.len(), 3);
    assert_eq!(running.gateway.open_connections(), 3);
}

#[test]
fn a_stranger_is_dropped_unread() {
    let echo = Echo::new();
    let running = trusting("require", "", "", &echo);
    let stranger = client_at([127, 0, 0, 2], running.address("dns"));
    stranger.send(&introduced(nth(1), b"hello")).unwrap();
    wait_until("it is dropped", || dropped(&running, "stranger") == 1);
    let line = running.log.line_with("FW201");
    assert!(line.contains("expected a peer in trust \"edge\", found 127.0.0.2:"), "{line}");
    assert!(echo.has_heard_nothing_more());
}

#[test]
fn a_datagram_without_a_sound_header_is_dropped_and_its_neighbours_are_not() {
    let echo = Echo::new();
    let running = trusting("require", "", "", &echo);
    let proxy = client(running.address("dns"));
    let whole = introduced(nth(1), b"good");
    let mut bad_command = whole.clone();
    bad_command[12] = 0x2f;
    let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello".to_vec();
    let claim = introduced(address("224.0.0.1:7"), b"hello");
    let bad = [
        (b"".to_vec(), "FW103"),
        (b"hello".to_vec(), "FW103"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "FW102"),
        (whole[..27].to_vec(), "FW105"),
        (bad_command, "FW105"),
        (v1, "FW104"),
        (claim, "FW114"),
    ];
    for (count, (datagram, code)) in bad.iter().enumerate() {
        proxy.send(datagram).unwrap();
        wait_until(code, || dropped(&running, "header") == count as u64 + 1);
        let line = running.log.line_with(code);
        assert!(line.contains("; the peer is in trust \"edge\""), "{line}");
        assert_eq!(ask(&proxy, &whole), b"good");
    }
    let errors = |reason| {
        metric(
            &running,
            &format!("foreword_proxy_header_errors_total{{listener=\"dns\",reason=\"{reason}\"}}"),
        )
    };
    assert_eq!((errors("R-UDP-02"), errors("R-UDP-06")), (4, 1));
}

#[test]
fn who_may_send_a_header_may_also_speak_for_itself() {
    let echo = Echo::new();
    let running = trusting("optional", "", "send_header = \"v2\"", &echo);
    let peer = client(running.address("dns"));
    ask(&peer, b"mine");
    assert_eq!(taken_apart(&echo.hear().1).0.source(), peer.local_addr().ok());
    ask(&peer, &introduced(nth(1), b"its"));
    assert_eq!(taken_apart(&echo.hear().1).0.source(), Some(nth(1)));
    let local = Builder::v2().local().build().unwrap();
    ask(&peer, &[&local[..], b"local"].concat());
    let (_, heard) = echo.hear();
    assert_eq!(taken_apart(&heard).1, b"local");
    peer.send(&introduced(nth(1), b"")[..20]).unwrap();
    wait_until("half a header is neither", || dropped(&running, "header") == 1);
}

#[test]
fn who_may_not_send_a_header_gets_none_through() {
    let echo = Echo::new();
    let running = trusting("forbid", "", "", &echo);
    let peer = client(running.address("dns"));
    assert_eq!(ask(&peer, b"plain"), b"plain");
    peer.send(&introduced(nth(1), b"forged")).unwrap();
    wait_until("it is dropped", || dropped(&running, "header") == 1);
    assert!(running.log.line_with("FW113").contains(" (header = \"forbid\"). "));
    assert_eq!(echo.hear().1, b"plain");
    assert!(echo.has_heard_nothing_more());
}

#[test]
fn the_simple_proxy_protocol_comes_in_and_goes_back_with_the_answers() {
    let echo = Echo::new();
    let running = trusting("require", "header = { datagrams = \"spp\" }", "send_header = \"v2\"", &echo);
    let proxy = client(running.address("dns"));
    for number in 0..3 {
        let spp = Spp { client: nth(number), proxy: address("198.51.100.1:53") };
        let answer = ask(&proxy, &[&spp.encode()[..], b"hello"].concat());
        assert_eq!(Spp::parse(&answer).unwrap(), (spp, LEN));
        let (header, payload) = taken_apart(&answer[LEN..]);
        assert_eq!((header.source(), payload), (Some(nth(number)), &b"hello"[..]));
    }
    proxy.send(&introduced(nth(1), b"hello")).unwrap();
    wait_until("v2 is never mixed with it", || dropped(&running, "header") == 1);
    let line = running.log.line_with("FW103");
    assert!(line.contains("expected a Simple Proxy Protocol header"), "{line}");
}

#[test]
fn with_the_header_in_the_first_datagram_the_socket_says_whose_the_others_are() {
    let echo = Echo::new();
    let running = trusting("require", "header = { datagrams = \"first\" }", "send_header = \"v2\"", &echo);
    let heard = |payload: &[u8]| {
        let (_, heard) = echo.hear();
        let (header, behind) = taken_apart(&heard);
        assert_eq!(behind, payload);
        header.source()
    };
    let proxies: Vec<UdpSocket> = (0..3).map(|_| client(running.address("dns"))).collect();
    for (number, proxy) in proxies.iter().enumerate() {
        ask(proxy, &introduced(nth(number), b"one"));
        assert_eq!(heard(b"one"), Some(nth(number)));
    }
    for (number, proxy) in proxies.iter().enumerate().rev() {
        ask(proxy, b"two");
        assert_eq!(heard(b"two"), Some(nth(number)));
        ask(proxy, &introduced(nth(number), b"the same again"));
        assert_eq!(heard(b"the same again"), Some(nth(number)));
    }
    // What follows the first datagram is the client's: a header there that names another would be forged.
    proxies[0].send(&introduced(nth(1), b"forged")).unwrap();
    running.log.line_with("FW110");
    proxies[0].send(b"headless").unwrap();
    let line = running.log.line_with("FW103");
    assert!(line.contains("in front of the first datagram, found `headless`"), "{line}");
    ask(&proxies[1], b"three");
    assert_eq!(heard(b"three"), Some(nth(1)));
    assert!(echo.has_heard_nothing_more());
}

#[test]
fn neither_loss_nor_reorder_gives_a_flow_another_client() {
    for (mode, one_socket) in [("every", true), ("every", false), ("first", false)] {
        let echo = Echo::answering(|_| b"ok".to_vec());
        let listener = format!("header = {{ datagrams = \"{mode}\" }}");
        let running = trusting("require", &listener, "send_header = \"v2\"", &echo);
        let address = running.address("dns");
        let mut random = fastrand::Rng::with_seed(11);
        const CLIENTS: usize = 40;
        let sockets: Vec<UdpSocket> = (0..CLIENTS).map(|_| client(address)).collect();
        let mut network: Vec<(usize, Vec<u8>)> = Vec::new();
        for number in 0..CLIENTS {
            for round in 0..10 {
                let payload = format!("{number}/{round}").into_bytes();
                let headed = mode == "every" || round == 0;
                network.push((number, if headed { introduced(nth(number), &payload) } else { payload }));
            }
        }
        random.shuffle(&mut network);
        network.retain(|_| random.u8(..10) > 2);
        let received = || metric(&running, "foreword_datagrams_received_total{listener=\"dns\"}");
        let mut owners = HashMap::<SocketAddr, String>::new();
        for (count, (number, datagram)) in network.iter().enumerate() {
            let socket = if one_socket { &sockets[0] } else { &sockets[*number] };
            let before = received();
            socket.send(datagram).unwrap();
            let all = count as u64 + 1;
            wait_until("it is taken or dropped", || received() + dropped(&running, "header") == all);
            if received() == before {
                continue;
            }
            let (socket, heard) = echo.hear();
            let (header, payload) = taken_apart(&heard);
            let payload = String::from_utf8(payload.to_vec()).unwrap();
            let number = payload.split('/').next().unwrap().to_owned();
            assert_eq!(header.source(), Some(nth(number.parse().unwrap())), "{mode}: {payload}");
            let owner = owners.entry(socket).or_insert_with(|| number.clone());
            assert_eq!(*owner, number, "{mode}: one client's socket carried another's datagram");
        }
        assert!(received() > 0 && (mode == "first") == (dropped(&running, "header") > 0));
    }
}

#[test]
fn trust_that_is_taken_back_ends_with_the_reload_for_flows_too() {
    let echo = Echo::new();
    let running = trusting("require", "header = { datagrams = \"first\" }", "", &echo);
    let proxy = client(running.address("dns"));
    assert_eq!(ask(&proxy, &introduced(nth(1), b"one")), b"one");
    let text = file("trust = [\"edge\"]\nheader = { datagrams = \"first\" }", "", &[echo.address]);
    running.reload(&format!("{text}[trust.edge]\nfrom = [\"127.0.0.7\"]\n"));
    proxy.send(b"two").unwrap();
    wait_until("it is dropped", || dropped(&running, "stranger") == 1);
    let other = client_at([127, 0, 0, 7], running.address("dns"));
    other.send(&introduced(nth(2), b"three")).unwrap();
    assert_eq!(hear(&other), b"three");
}
