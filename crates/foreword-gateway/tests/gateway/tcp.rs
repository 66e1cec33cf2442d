//! tcp mode: bytes both ways, and the header that introduces the client.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use foreword::{Header, HeaderBuf, Parse};

use crate::nobody::nobody;
use crate::support::{Endpoint, Running, client, client_from, read_all, say_all};

fn file(listener: &str, endpoints: &str, cluster: &str) -> String {
    format!(
        "[trust.elb]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n\
         [trust.local]\nfrom = [\"127.0.0.1/32\"]\nheader = \"optional\"\n\
         [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"elb\", \"local\"]\ncluster = \"app\"\n{listener}\n\
         [cluster.app]\nendpoints = [{endpoints}]\n{cluster}\n"
    )
}

fn to(endpoint: &Endpoint) -> String {
    format!("\"{}\"", endpoint.address)
}

#[test]
fn a_server_that_speaks_first_is_heard_first() {
    let endpoint = Endpoint::new(|mut stream| stream.write_all(b"220 ready\r\n").unwrap());
    let running = Running::start(&file("header = { deadline = \"3s\" }", &to(&endpoint), ""));
    // The peer must send a header, and nothing else before the server has spoken.
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    stream.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n").unwrap();
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
}

#[test]
fn the_header_and_the_first_words_leave_together() {
    let (tell, heard) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new(move |mut stream| {
        let mut first = [0; 4096];
        let len = stream.read(&mut first).unwrap();
        tell.send(first[..len].to_vec()).unwrap();
    });
    let running = Running::start(&file("", &to(&endpoint), "send_header = \"v1\""));
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    stream.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello").unwrap();
    assert_eq!(heard.recv().unwrap(), b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");
}

#[test]
fn a_client_that_says_nothing_is_introduced_at_once_and_once() {
    let (tell, heard) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new(move |mut stream| {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        // Only now does the client speak: nobody waited for it.
        stream.write_all(b"ready\n").unwrap();
        stream.read_to_end(&mut line).unwrap();
        tell.send(line).unwrap();
    });
    let running = Running::start(&file("", &to(&endpoint), "send_header = \"v1\""));
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    stream.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n").unwrap();
    let mut ready = [0; 6];
    stream.read_exact(&mut ready).unwrap();
    stream.write_all(b"hello").unwrap();
    drop(stream);
    assert_eq!(heard.recv().unwrap(), b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");
}

fn heard_header(heard: &[u8]) -> (HeaderBuf, &[u8]) {
    let Ok(Parse::Complete { len, .. }) = Header::parse(heard) else { panic!("a header first: {heard:?}") };
    let (header, payload) = heard.split_at(len);
    (HeaderBuf::from_bytes(header).unwrap(), payload)
}

#[test]
fn the_tlvs_that_the_cluster_names_go_out_and_others_stay_behind() {
    let (endpoint, heard) = Endpoint::recording();
    let cluster = "send_header = \"v2\"\nsend_tlvs = [\"authority\", \"unique_id\", \"crc32c\", \"ssl\"]";
    let running = Running::start(&file("", &to(&endpoint), cluster));
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    let header = foreword::Builder::v2()
        .proxy("203.0.113.7:1234".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
        .tlv(foreword::Tlv::Authority(foreword::Authority::new(b"www.example.com")))
        .tlv(foreword::Tlv::UniqueId(b"an id"))
        .tlv(foreword::Tlv::Noop(b"nothing"))
        .raw_tlv(0xea, b"\x01vpce-1")
        .build()
        .unwrap();
    stream.write_all(&[&header[..], b"hello"].concat()).unwrap();
    drop(stream);
    let heard = heard.recv().unwrap();
    let (header, payload) = heard_header(&heard);
    assert_eq!(payload, b"hello");
    assert_eq!(header.source(), Some("203.0.113.7:1234".parse().unwrap()));
    assert_eq!(header.destination(), Some("198.51.100.1:443".parse().unwrap()));
    assert_eq!(header.tlvs().authority().unwrap().as_str(), Ok("www.example.com"));
    assert_eq!(header.tlvs().unique_id(), Some(&b"an id"[..]));
    let kinds: Vec<u8> = header.tlvs().map(|tlv| tlv.kind()).collect();
    assert_eq!(kinds, [0x02, 0x05, 0x03], "neither NOOP nor what nobody asked for; no TLS, no SSL");
}

#[test]
fn local_stays_local_and_unknown_unknown() {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file("", &to(&endpoint), "send_header = \"v2\""));
    for inbound in [foreword::Builder::v2().local(), foreword::Builder::v1().unknown()] {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
        stream.write_all(&inbound.clone().build().unwrap()).unwrap();
        stream.write_all(b"hello").unwrap();
        drop(stream);
        let heard = heard.recv().unwrap();
        let (header, payload) = heard_header(&heard);
        assert_eq!(payload, b"hello");
        assert_eq!((header.source(), header.len()), (None, 16));
    }
}

#[test]
fn another_endpoint_is_tried_when_the_first_refuses() {
    let endpoint = Endpoint::echo();
    let refusing = nobody();
    let running = Running::start(&file("", &format!("\"{refusing}\", {}", to(&endpoint)), ""));
    for _ in 0..4 {
        let mut stream = client(running.address("edge"));
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut stream), b"hello");
    }
}

/// Says its name to whoever connects, and keeps the connection for as long as the client does.
fn named(name: u8) -> Endpoint {
    Endpoint::new(move |mut stream| {
        stream.write_all(&[name]).unwrap();
        let _reset = stream.read_to_end(&mut Vec::new());
    })
}

fn whose(stream: &mut TcpStream) -> u8 {
    let mut name = [0];
    stream.read_exact(&mut name).unwrap();
    name[0]
}

#[test]
fn each_endpoint_has_its_turn_or_the_one_with_fewer_connections() {
    let (one, two) = (named(1), named(2));
    let endpoints = format!("{}, {}", to(&one), to(&two));
    let come = |running: &Running| {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
        stream.write_all(b"PROXY UNKNOWN\r\n").unwrap();
        let name = whose(&mut stream);
        (stream, name)
    };
    for balance in ["round-robin", "least-connections"] {
        let text = file("", &endpoints, &format!("balance = \"{balance}\""));
        let running = Running::start(&format!("workers = 1\n{text}"));
        let (_held, first) = come(&running);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (next, name) = come(&running);
            seen.push(name == first);
            drop(next);
            crate::support::wait_until("it has ended", || running.gateway.open_connections() == 1);
        }
        let expected = if balance == "round-robin" { [false, true, false, true] } else { [false; 4] };
        assert_eq!(seen, expected, "{balance}");
    }
}

#[test]
fn where_no_endpoint_answers_the_connection_is_closed_and_the_cause_named() {
    let refusing = nobody();
    let running = Running::start(&file("", &format!("\"{refusing}\""), ""));
    let mut stream = client(running.address("edge"));
    stream.write_all(b"hello").unwrap();
    assert_eq!(read_all(&mut stream), b"");
    let line = running.log.line_with("FW501");
    assert!(line.contains(&refusing.to_string()), "{line}");
}

#[test]
fn an_endpoint_by_name_is_resolved_before_the_first_connection() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("", &format!("\"localhost:{}\"", endpoint.address.port()), ""));
    let mut stream = client(running.address("edge"));
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"hello");
}

#[test]
fn an_endpoint_on_a_unix_socket_is_spoken_to_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = Vec::new();
        stream.read_to_end(&mut question).unwrap();
        stream.write_all(&question).unwrap();
    });
    let running = Running::start(&file("", &format!("\"unix:{}\"", path.display()), ""));
    let mut stream = client(running.address("edge"));
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"hello");
}

#[test]
fn an_idle_connection_ends_after_its_timeout() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("timeout = { idle = \"1s\" }", &to(&endpoint), ""));
    let mut stream = client(running.address("edge"));
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(read_all(&mut stream), b"");
    assert!(begun.elapsed().as_millis() >= 900, "{:?}", begun.elapsed());
}

#[test]
fn a_connection_ends_when_it_has_lasted_for_as_long_as_it_may_however_busy() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file("timeout = { total = \"1s\" }", &to(&endpoint), ""));
    let begun = std::time::Instant::now();
    let mut stream = client(running.address("edge"));
    let mut byte = [0];
    while stream.write_all(b"x").is_ok() && matches!(stream.read(&mut byte), Ok(1)) {}
    assert!(begun.elapsed().as_millis() >= 900, "{:?}", begun.elapsed());
}

#[test]
fn a_header_may_wait_for_the_first_bytes_while_the_server_speaks() {
    let (tell, heard) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new(move |mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        let mut first = [0; 4096];
        let len = stream.read(&mut first).unwrap();
        tell.send(first[..len].to_vec()).unwrap();
    });
    let cluster = "send_header = \"v1\"\nheader_placement = \"first-payload\"";
    let running = Running::start(&file("", &to(&endpoint), cluster));
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    stream.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n").unwrap();
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    assert!(heard.try_recv().is_err(), "nothing was sent before the client spoke");
    stream.write_all(b"hello").unwrap();
    assert_eq!(heard.recv().unwrap(), b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");
}

#[test]
fn a_header_that_waits_for_first_bytes_is_not_sent_without_them() {
    let (endpoint, heard) = Endpoint::recording();
    let cluster = "send_header = \"v2\"\nheader_placement = \"first-payload\"";
    let running = Running::start(&file("", &to(&endpoint), cluster));
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    stream.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n").unwrap();
    drop(stream);
    assert_eq!(heard.recv().unwrap(), b"");
}

#[test]
fn a_header_behind_ours_is_refused_if_the_cluster_says_so_however_it_is_split() {
    let (endpoint, heard) = Endpoint::recording();
    let cluster = "send_header = \"v1\"\ninner_header = \"reject\"";
    let running = Running::start(&file("", &to(&endpoint), cluster));
    let forged = b"PROXY TCP4 198.51.100.66 192.0.2.1 1 2\r\n";
    let ours = b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n";
    for (whole, code) in [(true, "FW110"), (false, "FW110")] {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
        stream.write_all(ours).unwrap();
        match whole {
            true => stream.write_all(forged).unwrap(),
            // The gateway may close before the last of it.
            false => _ = crate::support::drip(&mut stream, forged),
        }
        assert_eq!(read_all(&mut stream), b"");
        running.log.line_with(code);
        if let Ok(heard) =
            heard.recv_timeout(std::time::Duration::from_millis(if whole { 1 } else { 20_000 }))
        {
            let rest = heard.strip_prefix(&ours[..]).unwrap_or(&heard);
            assert!(rest.len() < 6, "no header of the client's got through: {heard:?}");
        }
    }
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
    stream.write_all(&[&ours[..], b"hello"].concat()).unwrap();
    drop(stream);
    while heard.recv().unwrap() != [&ours[..], b"hello"].concat() {}
}

#[test]
fn a_reset_is_carried_across() {
    let (tell, told) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new(move |mut stream| {
        let mut first = [0; 5];
        stream.read_exact(&mut first).unwrap();
        tell.send(Ok(first.len())).unwrap();
        tell.send(stream.read(&mut first).map_err(|error| error.kind())).unwrap();
    });
    let running = Running::start(&file("", &to(&endpoint), ""));
    let mut stream = client(running.address("edge"));
    stream.write_all(b"hello").unwrap();
    assert_eq!(told.recv().unwrap(), Ok(5));
    reset(stream);
    assert_eq!(told.recv().unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}

pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

#[test]
fn rules_decide_by_the_clients_address_once() {
    let (endpoint, heard) = Endpoint::recording();
    let rules = "[[listener.edge.rule]]\nname = \"no guests\"\nwhen = 'client.ip == \"203.0.113.9\"'\nthen = { close = true }\n";
    let file = file("", &to(&endpoint), "") + rules;
    let running = Running::start(&file);
    for (source, passes) in [("203.0.113.9", false), ("203.0.113.7", true)] {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
        say_all(&mut stream, format!("PROXY TCP4 {source} 192.0.2.1 1 2\r\nhello").as_bytes());
        assert_eq!(read_all(&mut stream), b"");
        if passes {
            assert_eq!(heard.recv().unwrap(), b"hello");
        }
    }
    assert!(heard.try_recv().is_err(), "the one that was closed was never forwarded");
}

#[test]
fn a_client_that_connects_too_often_is_closed() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&format!(
        "[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         [[listener.edge.rule]]\nname = \"slowly\"\nthen = {{ rate_limit = {{ requests = 2, every = \"1h\" }} }}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    ));
    let served = |_: &i32| {
        let mut client = client(running.address("edge"));
        // One that is refused may be gone before we write.
        let _refused = client.write_all(b"hello").and_then(|()| client.shutdown(Shutdown::Write));
        read_all(&mut client) == b"hello"
    };
    assert_eq!((0..4).filter(served).count(), 2);
    let line = running.log.line_with("FW711");
    assert!(line.contains("rule `slowly` takes the next one in "), "{line}");
}

#[test]
fn connections_to_an_endpoint_that_drains_end_by_its_deadline_and_no_new_ones_come() {
    let (leaving, staying) = (named(1), named(2));
    let text = |drain: bool| {
        let leaving = format!("{{ address = {}, drain = {drain} }}", to(&leaving));
        let endpoints = format!("{leaving}, {{ address = {}, backup = true }}", to(&staying));
        let cluster = "timeout = { drain = \"200ms\" }";
        format!("workers = 2\n{}", file("", &endpoints, cluster))
    };
    let running = Running::start(&text(false));
    let come = || {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
        stream.write_all(b"PROXY UNKNOWN\r\n").unwrap();
        let name = whose(&mut stream);
        (stream, name)
    };
    let mut before: Vec<_> = (0..4).map(|_| come()).collect();
    assert!(before.iter().all(|(_, name)| *name == 1));
    running.reload(&text(true));
    let (_held, name) = come();
    assert_eq!(name, 2);
    for (stream, _) in &mut before {
        assert_eq!(read_all(stream), b"", "it ends, and nothing is said");
    }
    running.reload(&text(false));
    assert_eq!(come().1, 1, "it takes connections again");
}

#[test]
fn a_tcp_connection_waits_for_its_turn_and_the_log_says_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = named(1);
    let endpoints = format!("{{ address = {}, max_connections = 1 }}", to(&endpoint));
    let log = "[log.access]\nto = \"file:access.log\"\nformat = \"{endpoint} {time.queue}\"\n";
    let text = format!("workers = 2\n{}{log}", file("", &endpoints, ""));
    let running = Running::start_in(folder.path(), &text);
    let come = || {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address("edge"));
        stream.write_all(b"PROXY UNKNOWN\r\n").unwrap();
        stream
    };
    let mut first = come();
    assert_eq!(whose(&mut first), 1);
    let mut second = come();
    let queue = || {
        let mut text = String::new();
        running.gateway.observer().write_metrics(&mut text).unwrap();
        text
    };
    crate::support::wait_until("it waits", || {
        queue().contains("foreword_cluster_queue{cluster=\"app\"} 1.0")
    });
    drop(first);
    assert_eq!(whose(&mut second), 1);
    drop(second);
    let path = folder.path().join("access.log");
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    crate::support::wait_until("both are told of", || lines().lines().count() == 2);
    let waited: Vec<_> = lines().lines().map(|line| line.rsplit(' ').next() != Some("-")).collect();
    assert_eq!(waited, [false, true]);
}
