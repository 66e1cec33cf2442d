//! The header in front of what goes to an endpoint.

use foreword::spp::{LEN, Spp};
use foreword::{Builder, Command, Transport, Version};

use super::{Echo, ask, client, dropped, file, metric, taken_apart};
use crate::support::{Running, wait_until};

#[test]
fn every_datagram_has_its_header() {
    let echo = Echo::new();
    let running = Running::start(&file(
        "",
        "send_header = \"v2\"\nsend_tlvs = [\"unique_id\", \"crc32c\"]",
        &[echo.address],
    ));
    let client = client(running.address("dns"));
    let mut ids = Vec::new();
    for payload in [&b"one"[..], b"two", b""] {
        client.send(payload).unwrap();
        let (_, heard) = echo.hear();
        let (header, behind) = taken_apart(&heard);
        assert_eq!(
            (header.version, header.command, header.transport),
            (Version::Two, Command::Proxy, Transport::Datagram)
        );
        assert_eq!(
            (header.source(), header.destination()),
            (client.local_addr().ok(), client.peer_addr().ok())
        );
        assert_eq!(behind, payload);
        ids.push(header.tlvs.unique_id().expect("an id").to_vec());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "it is that of the flow");
}

#[test]
fn the_first_datagram_of_a_flow_alone_has_it_where_that_is_asked_for() {
    let echo = Echo::new();
    let running = Running::start(&file("", "send_header = \"v2-first\"", &[echo.address]));
    for _ in 0..2 {
        let client = client(running.address("dns"));
        client.send(b"one").unwrap();
        let (_, heard) = echo.hear();
        let (header, behind) = taken_apart(&heard);
        assert_eq!((header.source(), behind), (client.local_addr().ok(), &b"one"[..]));
        client.send(b"two").unwrap();
        assert_eq!(echo.hear().1, b"two");
    }
}

#[test]
fn the_simple_proxy_protocol_goes_out_and_is_taken_off_the_answers() {
    let echo = Echo::answering(|datagram| {
        let mut answer = datagram[..LEN].to_vec();
        answer.extend(datagram[LEN..].iter().rev());
        answer
    });
    let running = Running::start(&file("", "send_header = \"spp\"", &[echo.address]));
    let client = client(running.address("dns"));
    assert_eq!(ask(&client, b"abc"), b"cba");
    let (_, heard) = echo.hear();
    let (spp, len) = Spp::parse(&heard).unwrap();
    assert_eq!(spp, Spp { client: client.local_addr().unwrap(), proxy: client.peer_addr().unwrap() });
    assert_eq!(&heard[len..], b"abc");
}

#[test]
fn an_answer_that_does_not_carry_the_client_back_is_dropped() {
    let other = Spp { client: "203.0.113.9:9".parse().unwrap(), proxy: "198.51.100.1:53".parse().unwrap() };
    for header in [&b""[..], &other.encode()] {
        let header = header.to_vec();
        let echo = Echo::answering(move |datagram| [&header, &datagram[LEN..]].concat());
        let running = Running::start(&file("", "send_header = \"spp\"", &[echo.address]));
        client(running.address("dns")).send(b"abc").unwrap();
        wait_until("it is dropped", || dropped(&running, "answer") == 1);
        let line = running.log.line_with("FW506");
        assert!(line.contains(&format!("the answer of endpoint {}", echo.address)), "{line}");
        assert_eq!(metric(&running, "foreword_datagrams_sent_total{listener=\"dns\"}"), 0);
    }
}

#[test]
fn a_header_that_a_client_forges_does_not_reach_an_endpoint_that_might_believe_it() {
    let echo = Echo::new();
    let forged =
        Builder::v2().proxy("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap()).build().unwrap();
    for reject in [false, true] {
        let inner = if reject { "inner_header = \"reject\"" } else { "" };
        let running =
            Running::start(&file("", &format!("send_header = \"v2-first\"\n{inner}"), &[echo.address]));
        let client = client(running.address("dns"));
        client.send(b"one").unwrap();
        echo.hear();
        client.send(&forged).unwrap();
        client.send(b"two").unwrap();
        let heard = echo.hear().1;
        if reject {
            assert_eq!((heard, dropped(&running, "header")), (b"two".to_vec(), 1));
            let line = running.log.line_with("FW113");
            assert!(line.contains("(inner_header = \"reject\")") && !line.contains("trust \""), "{line}");
        } else {
            assert_eq!((heard, echo.hear().1), (forged.clone(), b"two".to_vec()));
        }
    }
}

#[test]
fn what_does_not_fit_with_its_header_is_dropped_whole_and_said_with_its_sizes() {
    let echo = Echo::new();
    let running = Running::start(&file("", "send_header = \"v2\"", &[echo.address]));
    let client = client(running.address("dns"));
    // The largest datagram over IPv4 has 65,507 bytes; the header takes 28 of them.
    client.send(&vec![7; 65_480]).unwrap();
    wait_until("it is dropped", || dropped(&running, "too_large") == 1);
    let line = running.log.line_with("FW707");
    assert!(line.contains(&format!("bytes to {}", echo.address)), "{line}");
    assert!(line.contains("found 65480 and a header of 28"), "{line}");
    client.send(&vec![7; 65_479]).unwrap();
    assert_eq!(echo.hear().1.len(), 65_507, "the next one that fits goes on");
    assert!(echo.has_heard_nothing_more());
}
