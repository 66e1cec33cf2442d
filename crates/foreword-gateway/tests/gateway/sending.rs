//! What endpoints are told: TLVs of ours and of others, within bounds, over several hops.

use std::io::Write;
use std::net::IpAddr;
use std::sync::mpsc::Receiver;

use foreword::{Builder, Header, HeaderBuf, Parse};

use crate::support::{Endpoint, Running, client_from};

const CLIENT: [u8; 4] = [127, 0, 0, 3];

/// A listener to which 127.0.0.2 sends headers, and a cluster with these lines.
fn behind_a_proxy(endpoint: &Endpoint, lines: &str) -> Running {
    Running::start(&format!(
        "[trust.elb]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n\
         [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"elb\"]\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n{lines}\n",
        endpoint.address
    ))
}

/// One hop: whoever comes goes on to `next` with a v2 header, and the hop reads none.
fn hop(next: std::net::SocketAddr, lines: &str) -> Running {
    Running::start(&format!(
        "[listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"next\"\n\
         [cluster.next]\nendpoints = [\"{next}\"]\nsend_header = \"v2\"\n{lines}\n"
    ))
}

fn send(running: &Running, from: impl Into<IpAddr>, bytes: &[u8]) {
    let mut stream = client_from(from.into(), running.address("edge"));
    stream.write_all(bytes).unwrap();
}

fn header(heard: &Receiver<Vec<u8>>) -> (HeaderBuf, Vec<u8>) {
    let heard = heard.recv().unwrap();
    let Ok(Parse::Complete { len, .. }) = Header::parse(&heard) else { panic!("a header first: {heard:?}") };
    (HeaderBuf::from_bytes(&heard[..len]).unwrap(), heard[len..].to_vec())
}

fn kinds(header: &HeaderBuf) -> Vec<u8> {
    header.tlvs().map(|tlv| tlv.kind()).collect()
}

#[test]
fn received_tlvs_go_on_by_the_list_and_ours_before_them() {
    let (endpoint, heard) = Endpoint::recording();
    let lines = "send_header = \"v2\"\npass_tlvs = [\"aws.vpce\", 0xE5]\n\
                 send_tlvs = [\"crc32c\", { kind = 0xE1, value = \"{client.ip}\" }, { kind = 0xE2, value = \"{tls.sni}\" }]";
    let running = behind_a_proxy(&endpoint, lines);
    let sent = Builder::v2()
        .proxy("203.0.113.7:1234".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
        .raw_tlv(0xe5, b"b")
        .raw_tlv(0xea, b"\x01vpce-1")
        .raw_tlv(0xee, b"\x01\0\0\0\x07")
        .raw_tlv(0xe5, b"a")
        .checksum(true)
        .build()
        .unwrap();
    send(&running, [127, 0, 0, 2], &[&sent[..], b"hello"].concat());
    let (header, payload) = header(&heard);
    assert_eq!(payload, b"hello");
    assert_eq!(kinds(&header), [0xe1, 0xe5, 0xea, 0xe5, 0x03]);
    assert_eq!(header.tlvs().get(0xe1), Some(&b"203.0.113.7"[..]));
    assert_eq!(header.tlvs().aws_vpce(), Some(Ok("vpce-1")));
}

#[test]
fn what_has_no_room_is_left_out_told_and_counted() {
    let (endpoint, heard) = Endpoint::recording();
    let running = behind_a_proxy(&endpoint, "send_header = \"v2\"\npass_tlvs = \"all\"\nmax_header = 107");
    let sent = Builder::v2()
        .proxy("203.0.113.7:1234".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
        .raw_tlv(0xe5, &[b'x'; 200])
        .raw_tlv(0xea, b"\x01vpce-1")
        .build()
        .unwrap();
    send(&running, [127, 0, 0, 2], &sent);
    let (header, _) = header(&heard);
    assert_eq!(kinds(&header), [0xea]);
    let line = running.log.line_with("FW532");
    assert!(
        line.contains(
            "cluster `app`: the header of 203.0.113.7:1234: expected at most 107 bytes, \
             found no room left for 0xE5 (200 bytes). If the receiver takes longer headers, raise `max_header`"
        ),
        "{line}"
    );
    let mut metrics = String::new();
    running.gateway.observer().write_metrics(&mut metrics).unwrap();
    for counted in [
        "foreword_upstream_tlvs_left_out_total{cluster=\"app\",reason=\"no_room\"} 1",
        "foreword_upstream_tlvs_left_out_total{cluster=\"app\",reason=\"unfit\"} 0",
    ] {
        assert!(metrics.contains(counted), "{counted} in:\n{metrics}");
    }
}

#[test]
fn addresses_that_have_no_room_refuse_the_connection() {
    let endpoint = Endpoint::echo();
    let running = behind_a_proxy(&endpoint, "send_header = \"v2\"\nmax_header = 107");
    let path = foreword::UnixPath::new(b"/run/client").unwrap();
    let addresses = foreword::Addresses::Unix { source: path, destination: path };
    send(&running, [127, 0, 0, 2], &Builder::v2().addresses(addresses).build().unwrap());
    let line = running.log.line_with("FW531");
    assert!(line.contains("expected a header of at most 107 bytes, found one of 232"), "{line}");
}

/// client ─▶ edge ─▶ middle ─▶ receiver: each hop adds its header, and only the receiver reads any.
fn over_two_hops(chain: u8, bytes: &[u8]) -> (Hops, Receiver<Vec<u8>>) {
    let (endpoint, heard) = Endpoint::recording();
    let receiver = Running::start(&format!(
        "[trust.hops]\nfrom = [\"127.0.0.1/32\"]\nheader = \"require\"\n\
         [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"hops\"]\n\
         header = {{ chain = {chain} }}\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\nsend_header = \"v1\"\n",
        endpoint.address
    ));
    let middle = hop(receiver.address("edge"), "");
    let edge = hop(middle.address("edge"), "");
    send(&edge, CLIENT, bytes);
    (Hops { _edge: edge, _middle: middle, receiver, _endpoint: endpoint }, heard)
}

/// They end in the order in which a connection comes through them.
struct Hops {
    _edge: Running,
    _middle: Running,
    receiver: Running,
    _endpoint: Endpoint,
}

#[test]
fn a_header_of_each_hop_is_read_in_turn_and_the_last_one_names_the_client() {
    let (_hops, heard) = over_two_hops(2, b"hello");
    let (header, payload) = header(&heard);
    assert_eq!(header.source().unwrap().ip(), IpAddr::from(CLIENT));
    assert_eq!(payload, b"hello");
}

#[test]
fn what_the_client_says_is_no_link_of_the_chain() {
    let forged = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nhello";
    let (_hops, heard) = over_two_hops(2, forged);
    let (told, payload) = header(&heard);
    assert_eq!(told.source().unwrap().ip(), IpAddr::from(CLIENT));
    assert_eq!(payload, forged, "behind the headers nothing is touched");

    // With room for one more link the client would have to be trusted for its word, and is not.
    let (hops, heard) = over_two_hops(3, forged);
    let line = hops.receiver.log.line_with("FW116");
    assert!(line.contains("127.0.0.3"), "{line}");
    assert!(heard.try_recv().is_err());
}

#[test]
fn a_shorter_chain_leaves_the_inner_header_as_it_is() {
    let (_hops, heard) = over_two_hops(1, b"hello");
    let (outer, rest) = header(&heard);
    assert_eq!(outer.source().unwrap().ip(), IpAddr::from([127, 0, 0, 1]), "the edge, as the middle saw it");
    let inner = match Header::parse(&rest) {
        Ok(Parse::Complete { header, len }) => (header.source().unwrap().ip(), &rest[len..]),
        other => panic!("the edge's header, as it was: {other:?}"),
    };
    assert_eq!(inner, (IpAddr::from(CLIENT), &b"hello"[..]));
}

#[test]
fn a_hop_that_reads_the_header_passes_on_what_came_with_it() {
    let (endpoint, heard) = Endpoint::recording();
    let middle = Running::start(&format!(
        "[trust.edge]\nfrom = [\"127.0.0.1/32\"]\nheader = \"require\"\n\
         [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"edge\"]\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\nsend_header = \"v2\"\n\
         send_tlvs = [\"unique_id\", \"crc32c\"]\npass_tlvs = \"all\"\n",
        endpoint.address
    ));
    let lines =
        "send_tlvs = [\"unique_id\", \"crc32c\", { kind = \"aws.vpce\", value = \"vpce-{client.ip}\" }]";
    let edge = hop(middle.address("edge"), lines);
    send(&edge, CLIENT, b"hello");
    let (header, payload) = header(&heard);
    assert_eq!(payload, b"hello");
    assert_eq!(header.source().unwrap().ip(), IpAddr::from(CLIENT));
    assert_eq!(header.tlvs().aws_vpce(), Some(Ok("vpce-127.0.0.3")));
    assert_eq!(header.tlvs().unique_id().map(<[u8]>::len), Some(32), "the id that the edge gave");
    assert_eq!(kinds(&header), [0x05, 0xea, 0x03]);
}
