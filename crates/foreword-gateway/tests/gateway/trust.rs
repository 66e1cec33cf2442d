//! Whose connection is taken, and whose word.

use std::io::Write;

use crate::support::{Endpoint, Running, client, client_from, read_all};

fn file(trust: &str, listener: &str, endpoint: &Endpoint) -> String {
    format!(
        "{trust}\n[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n{listener}\n\
         [cluster.app]\nendpoints = [\"{}\"]\nsend_header = \"v1\"\n",
        endpoint.address
    )
}

const ELB: &str = "[trust.elb]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n";

#[test]
fn a_stranger_is_closed_before_its_bytes_are_read() {
    let endpoint = Endpoint::echo();
    let running = Running::start(&file(ELB, "trust = [\"elb\"]", &endpoint));
    let mut stranger = client(running.address("edge"));
    // It may be closed already.
    let _closed = stranger.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");
    assert_eq!(read_all(&mut stranger), b"");
    let line = running.log.line_with("FW201");
    assert!(line.contains("\"elb\"") && line.contains("127.0.0.1"), "{line}");
    assert!(!line.contains("203.0.113.7"), "what it claims is not even read: {line}");
    assert!(endpoint.is_unvisited());
}

#[test]
fn a_listener_without_groups_takes_everyone_and_believes_no_header() {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file("", "", &endpoint));
    let mut direct = client(running.address("edge"));
    let local = direct.local_addr().unwrap();
    direct.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello").unwrap();
    drop(direct);
    let heard = String::from_utf8(heard.recv().unwrap()).unwrap();
    let own =
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", local.port(), running.address("edge").port());
    assert_eq!(heard, own + "PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");
}

#[test]
fn whoever_is_refused_is_named_beside_the_balancer_that_brought_it() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = Running::start(&format!(
        "{ELB}[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\ntrust = [\"elb\"]\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ntrust = [\"elb\"]\n\
         [[listener.web.rule]]\nwhen = 'path.under(\"/app\")'\nthen = {{ forward = \"app\" }}\n\
         [listener.few]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\ntrust = [\"elb\"]\n\
         rate_limit = {{ connections = 1, every = \"1h\" }}\n\
         [cluster.app]\nendpoints = [\"{nobody}\"]\n"
    ));
    let ask = |listener: &str, client: &str, request: &str| {
        let mut stream = client_from([127, 0, 0, 2].into(), running.address(listener));
        // One that is refused may be gone before we write.
        let _refused =
            stream.write_all(format!("PROXY TCP4 {client} 192.0.2.1 4711 2\r\n{request}").as_bytes());
        read_all(&mut stream);
    };
    ask("edge", "203.0.113.7", "hello");
    let line = running.log.line_with("FW501");
    assert!(
        line.contains(" for 203.0.113.7:4711: endpoint ") && line.contains("; cluster `app` [FW501]"),
        "{line}"
    );
    assert!(line.contains("← 127.0.0.2:"), "{line}");

    ask("web", "203.0.113.8", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let line = running.log.line_with("FW404");
    assert!(line.contains(" for 203.0.113.8:4711: expected a request"), "{line}");

    ask("web", "203.0.113.9", "GET /app HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let line = running.log.line_with("203.0.113.9:4711");
    assert!(line.contains("; cluster `app`; request ") && line.contains("[FW501]"), "{line}");

    for _ in 0..2 {
        ask("few", "203.0.113.10", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    let line = running.log.line_with("FW711");
    assert!(line.contains(" for 203.0.113.10:4711: the listener "), "{line}");
}

#[test]
fn the_most_specific_range_wins() {
    let (endpoint, heard) = Endpoint::recording();
    let trust = "[trust.all]\nfrom = [\"127.0.0.0/8\"]\nheader = \"forbid\"\n".to_owned() + ELB;
    let running = Running::start(&file(&trust, "trust = [\"all\", \"elb\"]", &endpoint));
    let address = running.address("edge");

    let mut proxy = client_from([127, 0, 0, 2].into(), address);
    proxy.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello").unwrap();
    drop(proxy);
    assert_eq!(heard.recv().unwrap(), b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");

    let mut direct = client(address);
    direct.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello").unwrap();
    assert_eq!(read_all(&mut direct), b"");
    let line = running.log.line_with("FW113");
    assert!(line.contains("; the peer is in trust \"all\" (header = \"forbid\"). "), "{line}");
}

#[test]
fn nobody_can_be_what_a_header_claims_to_be_loopback_or_multicast() {
    let endpoint = Endpoint::echo();
    let trust = "[trust.elb]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n";
    let running = Running::start(&file(trust, "trust = [\"elb\"]", &endpoint));
    for source in ["224.0.0.1", "0.0.0.0", "255.255.255.255"] {
        let mut proxy = client_from([127, 0, 0, 2].into(), running.address("edge"));
        proxy.write_all(format!("PROXY TCP4 {source} 192.0.2.1 1 2\r\nhello").as_bytes()).unwrap();
        assert_eq!(read_all(&mut proxy), b"");
    }
    assert!(running.log.lines_with("FW114", 3)[0].contains("trust \"elb\""));
    assert!(endpoint.is_unvisited());
}

#[test]
fn a_peer_over_a_dual_stack_socket_is_in_its_ipv4_range() {
    let (endpoint, heard) = Endpoint::recording();
    let file = file(ELB, "trust = [\"elb\"]", &endpoint).replace("127.0.0.1:0", "[::]:0");
    let running = Running::start(&file);
    let port = running.address("edge").port();
    let mut proxy = client_from([127, 0, 0, 2].into(), ([127, 0, 0, 1], port).into());
    proxy.write_all(b"PROXY UNKNOWN\r\nhello").unwrap();
    drop(proxy);
    assert_eq!(heard.recv().unwrap(), b"PROXY UNKNOWN\r\nhello");
}

#[test]
fn a_unix_peer_is_trusted_only_where_the_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, heard) = Endpoint::recording();
    let trust = "[trust.sidecar]\nfrom = [\"unix\"]\nheader = \"require\"\n".to_owned() + ELB;
    let bind = format!("unix:{}", folder.path().join("edge.sock").display());
    let trusting = file(&trust, "trust = [\"sidecar\"]", &endpoint).replace("127.0.0.1:0", &bind);
    let running = Running::start(&trusting);
    let connect = || std::os::unix::net::UnixStream::connect(folder.path().join("edge.sock")).unwrap();
    let mut peer = connect();
    peer.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello").unwrap();
    drop(peer);
    assert_eq!(heard.recv().unwrap(), b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nhello");

    running.reload(&file(&trust, "trust = [\"elb\"]", &endpoint).replace("127.0.0.1:0", &bind));
    assert_eq!(read_all(&mut connect()), b"");
    running.log.line_with("FW201");
}
