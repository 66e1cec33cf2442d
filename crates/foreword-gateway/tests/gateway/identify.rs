//! Who it is: every policy against every kind of bytes, whole and byte by byte.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::support::{Endpoint, PATIENCE, Running, client, client_from, drip, read_all, say_all};

/// The four ways in which a listener can look at a peer, each on a listener of its own.
fn file(endpoint: &Endpoint, header: &str) -> String {
    let mut file = String::new();
    for policy in ["require", "optional", "forbid"] {
        // Where nobody may send one there is nothing to say of headers.
        let header = if policy == "forbid" { String::new() } else { format!("header = {{ {header} }}\n") };
        file += &format!(
            "[trust.{policy}]\nfrom = [\"127.0.0.0/8\"]\nheader = \"{policy}\"\n\
             [listener.{policy}]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\ntrust = [\"{policy}\"]\n\
             {header}"
        );
    }
    file += "[listener.direct]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n";
    file + &format!("[cluster.app]\nendpoints = [\"{}\"]\nsend_header = \"v1\"\n", endpoint.address)
}

/// What a peer may begin with. Each is followed by [`PAYLOAD`].
struct Opening {
    name: &'static str,
    bytes: Vec<u8>,
    require: Expected,
    optional: Expected,
    forbid: Expected,
}

#[derive(Clone, Copy)]
enum Expected {
    /// The client that the header names.
    Client,
    /// The peer itself, and the header is gone.
    Peer,
    /// The peer itself, and the bytes are payload.
    Payload,
    /// Refused with this code.
    Refused(&'static str),
}

const PAYLOAD: &[u8] = b"the payload";

fn openings() -> Vec<Opening> {
    use Expected::{Client, Payload, Peer, Refused};
    let v2 =
        || foreword::Builder::v2().proxy("203.0.113.7:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap());
    let header = |bytes: Vec<u8>, name, taken| Opening {
        name,
        bytes,
        require: taken,
        optional: taken,
        forbid: Refused("FW113"),
    };
    let other = |bytes: &[u8], name, code| Opening {
        name,
        bytes: bytes.to_vec(),
        require: Refused(code),
        optional: Payload,
        forbid: Payload,
    };
    let mut wrong_sum = v2().checksum(true).build().unwrap();
    if let Some(last) = wrong_sum.last_mut() {
        *last ^= 1;
    }
    let long = v2().raw_tlv(0xe0, &[7; 5000]).max_len(8000).build().unwrap();
    vec![
        header(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n".to_vec(), "a v1 header", Client),
        header(v2().build().unwrap(), "a v2 header", Client),
        header(v2().checksum(true).build().unwrap(), "a v2 header with its checksum", Client),
        header(b"PROXY UNKNOWN\r\n".to_vec(), "UNKNOWN", Peer),
        header(foreword::Builder::v2().local().build().unwrap(), "LOCAL", Peer),
        header(b"PROXY TCP4 203.0.113.7 192.0.2.01 1 2\r\n".to_vec(), "a leading zero", Refused("FW104")),
        header(b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c".to_vec(), "version 3", Refused("FW105")),
        header(wrong_sum, "a wrong checksum", Refused("FW111")),
        header(long, "a header that is too long", Refused("FW106")),
        header(b"PROXY TCP4 224.0.0.1 192.0.2.1 1 2\r\n".to_vec(), "multicast", Refused("FW114")),
        other(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "a ClientHello", "FW101"),
        other(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "an HTTP request", "FW102"),
        other(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP/2 preface", "FW102"),
        other(b"POST / HTTP/1.1\r\n", "a request that begins like a header", "FW102"),
        other(b"SSH-2.0-OpenSSH_9.2\r\n", "SSH", "FW103"),
        other(b"\r\n\r\n\0\r\nQUIT!", "nearly the signature", "FW103"),
    ]
}

fn check(
    running: &Running,
    heard: &Receiver<Vec<u8>>,
    policy: &str,
    opening: &Opening,
    expected: Expected,
    dripped: bool,
) {
    let what = format!("{} where the header is `{policy}`, dripped: {dripped}", opening.name);
    let before = running.log.all().len();
    let mut peer = client(running.address(policy));
    let own = peer.local_addr().unwrap();
    let bytes = [&opening.bytes, PAYLOAD].concat();
    // A refusal may come while we still write.
    let _refused = if dripped { drip(&mut peer, &bytes) } else { peer.write_all(&bytes) };
    let _refused = peer.shutdown(Shutdown::Write);
    assert_eq!(read_all(&mut peer), b"", "{what}");

    let port = running.address(policy).port();
    let from_peer = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {port}\r\n", own.port());
    let (header, payload) = match expected {
        Expected::Refused(code) => {
            let line = running.log.line_with_after(before, code);
            assert!(
                line.starts_with(&format!(" WARN {policy} 127.0.0.1:{port} ← {own}: "))
                    && line.contains("expected "),
                "{what}: {line}"
            );
            return;
        }
        Expected::Client => ("PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n".to_owned(), PAYLOAD.to_vec()),
        // Whom nobody names is UNKNOWN to the next one, too.
        Expected::Peer => ("PROXY UNKNOWN\r\n".to_owned(), PAYLOAD.to_vec()),
        Expected::Payload => (from_peer, bytes),
    };
    let heard = loop {
        let heard = heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what}: nothing was forwarded"));
        if heard.ends_with(PAYLOAD) {
            break heard;
        }
        // Where the server may speak first, it was connected to before the bytes of one that was refused came.
        let of_its_bytes = heard.splitn(2, |&byte| byte == b'\n').nth(1).unwrap_or_default();
        assert_eq!(of_its_bytes, b"", "{what}: not a byte of what was refused before is heard");
    };
    assert_eq!(
        heard.escape_ascii().to_string(),
        [header.as_bytes(), &payload].concat().escape_ascii().to_string(),
        "{what}"
    );
}

fn every_opening(dripped: bool) {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file(&endpoint, ""));
    for opening in &openings() {
        check(&running, &heard, "require", opening, opening.require, dripped);
        check(&running, &heard, "optional", opening, opening.optional, dripped);
        check(&running, &heard, "forbid", opening, opening.forbid, dripped);
        check(&running, &heard, "direct", opening, Expected::Payload, dripped);
    }
}

#[test]
fn every_policy_meets_every_kind_of_bytes() {
    every_opening(false);
}

#[test]
fn the_answer_does_not_depend_on_how_the_bytes_were_split() {
    every_opening(true);
}

#[test]
fn a_header_in_place_of_a_request_has_one_name_however_it_is_split() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, "").replace("mode = \"tcp\"", "mode = \"http\""));
    let v2 = foreword::Builder::v2().proxy("203.0.113.7:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap());
    let header = v2.build().unwrap();
    for (policy, code) in [("forbid", "FW113"), ("require", "FW110")] {
        let before_it = if policy == "require" { &header[..] } else { b"" };
        for refused in [&header[..], b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n", b"PROXY "] {
            for cut in 1..=refused.len() {
                let mut peer = client(running.address(policy));
                peer.set_nodelay(true).unwrap();
                peer.write_all(before_it).unwrap();
                let (one, other) = refused.split_at(cut);
                // An answer may come while we still write.
                let _refused = peer.write_all(one).and_then(|()| peer.write_all(other));
                assert!(read_all(&mut peer).starts_with(b"HTTP/1.1 400 "), "cut at {cut}");
            }
        }
        let line = running.log.line_with(code);
        assert_eq!(
            line.contains("is in trust \"forbid\" (header = \"forbid\")"),
            policy == "forbid",
            "{line}"
        );
    }
    // Another name would have had its own line at its first time.
    assert!(!running.log.all().contains("[FW4"), "{}", running.log.all());
    assert!(endpoint.is_unvisited());
}

#[test]
fn what_only_begins_like_a_header_is_named_when_no_more_comes() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, "").replace("mode = \"tcp\"", "mode = \"http\""));
    let mut peer = client(running.address("forbid"));
    peer.write_all(b"\r\n").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&mut peer).starts_with(b"HTTP/1.1 400 "));
    running.log.line_with("FW401");
}

#[test]
fn a_longer_header_is_taken_where_the_file_allows_it_and_else_the_longest_tlv_is_named() {
    let (endpoint, heard) = Endpoint::recording();
    let header = foreword::Builder::v2()
        .proxy("203.0.113.7:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap())
        .raw_tlv(0xe1, &[7; 900])
        .max_len(2000)
        .build()
        .unwrap();
    for (max, is_taken) in [(header.len(), true), (header.len() - 1, false)] {
        let running = Running::start(&file(&endpoint, &format!("max = {max}")));
        let mut peer = client(running.address("require"));
        say_all(&mut peer, &[&header, PAYLOAD].concat());
        assert_eq!(read_all(&mut peer), b"");
        if is_taken {
            assert!(heard.recv_timeout(PATIENCE).unwrap().ends_with(PAYLOAD));
        } else {
            let line = running.log.line_with("FW106");
            assert!(
                line.contains(&format!("at most {max} bytes")) && line.contains("900 of them in TLV 0xe1"),
                "{line}"
            );
        }
    }
}

#[test]
fn a_bare_client_hello_is_named_with_its_server_name() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, ""));
    let mut hello = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 24]);
    hello.extend([0, 0, 0, 20, 0, 18, 0, 0, 15]);
    hello.extend(b"www.example.com");
    let mut peer = client(running.address("require"));
    peer.write_all(&hello).unwrap();
    assert_eq!(read_all(&mut peer), b"");
    let line = running.log.line_with("FW101");
    let told = "expected a PROXY header, found a TLS ClientHello (SNI www.example.com); the peer is in trust \"require\" \
                (header = \"require\"). Traffic from inside that skips the balancer looks like this: list its source \
                with header = \"optional\". [FW101]";
    assert!(line.ends_with(told), "{line}");
}

#[test]
fn a_probe_is_counted_and_not_told() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, ""));
    for policy in ["require", "optional"] {
        let mut probe = client(running.address(policy));
        probe.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut probe), b"");
    }
    // A line would have come before this one.
    let mut wrong = client(running.address("require"));
    wrong.write_all(b"\0").unwrap();
    running.log.line_with("FW103");
    assert_eq!(running.log.all().matches("[FW").count(), 1, "{}", running.log.all());
    assert!(endpoint.is_unvisited());
}

#[test]
fn an_end_inside_the_header_ends_the_connection_at_once() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, ""));
    for policy in ["require", "optional"] {
        let mut peer = client(running.address(policy));
        peer.write_all(b"PROXY TCP4 203.0.113.7").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut peer), b"");
    }
    let lines = running.log.lines_with("FW109", 2);
    assert!(lines[0].contains("22 bytes of it, `PROXY TCP4 203.0.113.7`"), "{}", lines[0]);
    assert!(endpoint.is_unvisited());
}

#[test]
fn silence_ends_at_the_deadline_where_a_header_is_due_and_means_direct_where_it_is_not() {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file(&endpoint, "deadline = \"3s\""));
    let begun = Instant::now();
    let mut due = client(running.address("require"));
    let mut free = client(running.address("optional"));
    assert_eq!(read_all(&mut due), b"");
    assert!((2900..6000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let line = running.log.line_with("FW107");
    assert!(line.contains("NLB") && line.contains("health check"), "{line}");
    crate::support::wait_until("a silent direct peer is served", || !endpoint.is_unvisited());
    free.write_all(b"PROXY of nothing").unwrap();
    let own = free.local_addr().unwrap().port();
    drop(free);
    let port = running.address("optional").port();
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\nPROXY of nothing");
    assert_eq!(String::from_utf8(heard.recv().unwrap()).unwrap(), expected);
}

#[test]
fn a_direct_client_may_pause_within_what_could_still_become_a_header_but_not_behind_a_signature() {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file(&endpoint, "deadline = \"1s\""));
    let mut slow = client(running.address("optional"));
    slow.write_all(b"P").unwrap();
    let mut late = client(running.address("optional"));
    late.write_all(b"PROXY ").unwrap();
    assert_eq!(read_all(&mut late), b"");
    running.log.line_with("FW108");
    crate::support::wait_until("the deadline settles that it is direct", || !endpoint.is_unvisited());
    slow.write_all(b"OST / HTTP/1.1").unwrap();
    drop(slow);
    let heard = heard.recv().unwrap();
    assert!(heard.ends_with(b"\r\nPOST / HTTP/1.1"), "{}", heard.escape_ascii());
}

#[test]
fn a_header_that_drips_is_unfinished_at_the_same_deadline() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, "deadline = \"3s\""));
    let begun = Instant::now();
    let mut peer = client(running.address("require"));
    let mut writes = peer.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        for byte in b"PROXY TCP6 2001:db8::1 2001:db8::2 10000 10001\r\n" {
            if writes.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    });
    assert_eq!(read_all(&mut peer), b"");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    running.log.line_with("FW108");
    dripping.join().unwrap();
    assert!(endpoint.is_unvisited());
}

#[test]
fn when_too_many_headers_are_awaited_the_oldest_goes() {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file(&endpoint, "waiting = 3"));
    let address = running.address("require");
    let mut waiting: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        waiting.push(client(address));
        let open = waiting.len() as u64;
        // Each is accepted before the next one comes, whichever worker takes it.
        crate::support::wait_until("it is accepted", || running.gateway.open_connections() == open);
    }
    let mut newcomer = client(address);
    assert_eq!(read_all(&mut waiting.remove(0)), b"", "the oldest makes room");
    running.log.line_with("FW112");
    for peer in waiting.iter_mut().chain([&mut newcomer]) {
        peer.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(heard.recv().unwrap(), b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");
    }
}

#[test]
fn a_header_without_a_client_is_refused_where_the_file_says_so() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(&endpoint, "unknown = \"reject\""));
    let local = foreword::Builder::v2().local().build().unwrap();
    for header in [&b"PROXY UNKNOWN\r\n"[..], &local] {
        let mut peer = client(running.address("require"));
        peer.write_all(header).unwrap();
        assert_eq!(read_all(&mut peer), b"");
    }
    running.log.lines_with("FW115", 2);
    assert!(endpoint.is_unvisited());
}

#[test]
fn a_second_header_is_payload_unless_the_file_refuses_it() {
    let (endpoint, heard) = Endpoint::recording();
    let two = b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nPROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\nhello";
    let running = Running::start(&file(&endpoint, ""));
    let mut peer = client(running.address("require"));
    peer.write_all(two).unwrap();
    drop(peer);
    assert_eq!(heard.recv().unwrap(), two);

    running.reload(&file(&endpoint, "second_header = \"reject\""));
    for dripped in [false, true] {
        let mut peer = client(running.address("require"));
        let _refused = if dripped { drip(&mut peer, two) } else { peer.write_all(two) };
        assert_eq!(read_all(&mut peer), b"");
    }
    running.log.lines_with("FW110", 2);
    while let Ok(heard) = heard.recv_timeout(Duration::from_millis(200)) {
        let heard = String::from_utf8(heard).unwrap();
        assert!(!heard.contains("203.0.113.9"), "a header that is refused reaches nobody: {heard}");
    }
}

#[test]
fn each_header_of_a_chain_is_judged_by_the_address_before_it() {
    let (endpoint, heard) = Endpoint::recording();
    let file = format!(
        "[trust.near]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n\
         [trust.far]\nfrom = [\"198.51.100.0/24\"]\nheader = \"require\"\n\
         [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\ntrust = [\"near\", \"far\"]\n\
         header = {{ chain = 2 }}\n[cluster.app]\nendpoints = [\"{}\"]\nsend_header = \"v1\"\n",
        endpoint.address
    );
    let running = Running::start(&file);
    let send = |headers: &str| {
        let mut peer = client_from([127, 0, 0, 2].into(), running.address("edge"));
        say_all(&mut peer, headers.as_bytes());
        assert_eq!(read_all(&mut peer), b"");
    };
    let (far, client) =
        ("PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n", "PROXY TCP4 203.0.113.7 192.0.2.1 3 4\r\n");
    send(&format!("{far}{client}hello"));
    assert_eq!(heard.recv().unwrap(), format!("{client}hello").as_bytes());
    // Nobody trusts the client to name another one.
    send(&format!("{client}{far}hello"));
    assert!(running.log.line_with("FW116").contains("203.0.113.7"));
    // LOCAL is the near proxy itself: there is no chain behind it.
    send("PROXY UNKNOWN\r\nhello");
    assert_eq!(heard.recv().unwrap(), b"PROXY UNKNOWN\r\nhello");
}
