//! Who is believed, and who is not.

use std::string::ToString;
use std::vec;

use super::*;
use crate::Builder;

fn group(name: &str, from: &[&str], header: HeaderPolicy) -> Group {
    let from = from.iter().map(|range| range.parse().unwrap()).collect();
    Group { name: name.into(), from, unix: false, header, forwarded: false }
}

fn peer(address: &str) -> PeerAddr {
    PeerAddr::from(address.parse::<SocketAddr>().unwrap())
}

fn claim(source: &str) -> HeaderBuf {
    let destination = "198.51.100.20:443".parse().unwrap();
    HeaderBuf::from_bytes(&Builder::v2().proxy(source.parse().unwrap(), destination).build().unwrap())
        .unwrap()
}

fn proxy<'t>(trust: &'t Trust, address: &str) -> TrustedProxy<'t> {
    match trust.judge(&peer(address)) {
        Verdict::Proxy(proxy) => proxy,
        other => panic!("{address} must send a header, yet {other:?}"),
    }
}

fn everyone() -> Trust {
    Trust::new(vec![group("all", &["0.0.0.0/0", "::/0"], HeaderPolicy::Require)]).unwrap()
}

#[test]
fn the_most_specific_range_wins_whatever_the_order() {
    let wide = group("wide", &["10.0.0.0/8", "::/0"], HeaderPolicy::Require);
    let narrow = group("narrow", &["10.1.0.0/16", "2001:db8::/32"], HeaderPolicy::Optional);
    let one = group("one", &["10.1.2.3/32"], HeaderPolicy::Forbid);
    for groups in [vec![wide.clone(), narrow.clone(), one.clone()], vec![one, narrow, wide]] {
        let trust = Trust::new(groups).unwrap();
        assert!(
            matches!(trust.judge(&peer("10.2.0.1:1")), Verdict::Proxy(proxy) if &*proxy.group().name == "wide")
        );
        assert!(
            matches!(trust.judge(&peer("10.1.0.1:1")), Verdict::Either(proxy) if &*proxy.group().name == "narrow")
        );
        assert!(
            matches!(trust.judge(&peer("10.1.2.3:1")), Verdict::Direct(Some(group)) if &*group.name == "one")
        );
        assert!(matches!(trust.judge(&peer("[2001:db8::1]:1")), Verdict::Either(_)));
        assert!(matches!(trust.judge(&peer("192.0.2.1:1")), Verdict::Stranger));
        assert!(matches!(trust.judge(&PeerAddr::Unix), Verdict::Stranger));
    }
}

#[test]
fn a_mapped_peer_matches_ipv4_ranges_and_only_them() {
    let trust = Trust::new(vec![
        group("four", &["10.0.0.0/8"], HeaderPolicy::Require),
        group("six", &["::/0"], HeaderPolicy::Optional),
    ])
    .unwrap();
    assert!(matches!(
        trust.judge(&PeerAddr::Inet("[::ffff:10.1.2.3]:1".parse().unwrap())),
        Verdict::Proxy(_)
    ));
    assert!(matches!(trust.judge(&peer("[::ffff:192.0.2.1]:1")), Verdict::Stranger));
    assert_eq!(peer("[::ffff:10.1.2.3]:1").to_string(), "10.1.2.3:1");
}

#[test]
fn a_mapped_range_is_the_ipv4_range_and_host_bits_do_not_count() {
    let trust = Trust::new(vec![group("mapped", &["::ffff:10.1.2.3/104"], HeaderPolicy::Require)]).unwrap();
    assert!(trust.group_of("10.9.9.9".parse().unwrap()).is_some());
    assert!(trust.group_of("11.0.0.1".parse().unwrap()).is_none());
}

#[test]
fn without_groups_everyone_is_direct_and_nobody_is_believed() {
    let trust = Trust::new(vec![]).unwrap();
    assert!(matches!(trust.judge(&peer("127.0.0.1:1")), Verdict::Direct(None)));
    assert!(matches!(trust.judge(&PeerAddr::Unix), Verdict::Direct(None)));
}

#[test]
fn unix_peers_are_believed_only_where_a_group_says_so() {
    let mut unix = group("unix", &[], HeaderPolicy::Require);
    unix.unix = true;
    let trust = Trust::new(vec![unix]).unwrap();
    let Verdict::Proxy(proxy) = trust.judge(&PeerAddr::Unix) else { panic!("the group says so") };
    let client = proxy.introduce(claim("127.0.0.1:5"), PeerAddr::Unix).unwrap();
    assert_eq!(client.address.to_string(), "127.0.0.1:5");
}

#[test]
fn two_groups_cannot_have_the_same_range_name_or_unix() {
    let twice = |a: &str, b: &str| {
        Trust::new(vec![group("a", &[a], HeaderPolicy::Require), group("b", &[b], HeaderPolicy::Forbid)])
    };
    let error = twice("10.0.0.0/8", "10.5.5.5/8").unwrap_err();
    assert_eq!(error.to_string(), "expected `10.0.0.0/8` in one trust group, found it in `a` and `b`");
    assert!(twice("10.0.0.0/8", "::ffff:10.0.0.0/104").is_err());
    assert!(twice("10.0.0.0/8", "10.0.0.0/9").is_ok());
    let same = group("a", &["10.0.0.0/8"], HeaderPolicy::Require);
    assert!(Trust::new(vec![same.clone(), Group { from: vec![], ..same }]).is_err());
    let mut unix = group("a", &[], HeaderPolicy::Require);
    unix.unix = true;
    assert!(Trust::new(vec![unix.clone(), Group { name: "b".into(), ..unix }]).is_err());
}

#[test]
fn a_client_keeps_the_peer_beside_the_claim() {
    let trust = everyone();
    let client =
        proxy(&trust, "10.0.0.1:99").introduce(claim("203.0.113.7:1234"), peer("10.0.0.2:443")).unwrap();
    assert_eq!(client.peer, peer("10.0.0.1:99"));
    assert_eq!((client.address.ip(), client.address.port()), ("203.0.113.7".parse().ok(), Some(1234)));
    assert_eq!(client.destination, peer("198.51.100.20:443"));
    assert_eq!(client.group.as_deref(), Some("all"));
    assert!(client.header().is_some());
}

#[test]
fn a_header_that_names_nobody_introduces_the_proxy_itself() {
    let trust = everyone();
    let local = peer("10.0.0.2:443");
    for bytes in
        [Builder::v2().local().build(), Builder::v2().unknown().build(), Builder::v1().unknown().build()]
    {
        let header = HeaderBuf::from_bytes(&bytes.unwrap()).unwrap();
        let client = proxy(&trust, "10.0.0.1:99").introduce(header, local).unwrap();
        assert_eq!((client.address, client.destination), (ClientAddr::from(client.peer), local));
    }
}

#[test]
fn sources_that_no_client_can_have_are_refused() {
    let trust = everyone();
    let local = peer("10.0.0.2:443");
    for source in [
        "0.0.0.0:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "127.0.0.1:1",
        "[::]:1",
        "[ff02::1]:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        let refused = proxy(&trust, "10.0.0.1:99").introduce(claim(source), local).unwrap_err();
        assert_eq!(refused.requirement(), "R-SEC-15", "{source}");
    }
    assert!(proxy(&trust, "127.0.0.1:9").introduce(claim("127.0.0.1:1"), local).is_ok());
    assert!(proxy(&trust, "[::1]:9").introduce(claim("[::1]:1"), local).is_ok());
}

#[test]
fn own_addresses_are_refused_by_option_and_special_ones_allowed_by_option() {
    let own = "203.0.113.1".parse().unwrap();
    let trust = everyone().claims(ClaimPolicy { refuse_special: false, own: vec![own] });
    let local = peer("10.0.0.2:443");
    assert!(proxy(&trust, "10.0.0.1:9").introduce(claim("127.0.0.1:1"), local).is_ok());
    let refused = proxy(&trust, "10.0.0.1:9").introduce(claim("203.0.113.1:1"), local).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "expected the source address of a client, found an address of this machine (203.0.113.1:1)"
    );
}

#[test]
fn a_unix_source_is_shown_as_its_path_and_escaped() {
    let source = UnixPath::new(b"/run/a\nb").unwrap();
    let addresses = Addresses::Unix { source, destination: UnixPath::default() };
    let header = HeaderBuf::from_bytes(&Builder::v2().addresses(addresses).build().unwrap()).unwrap();
    let trust = everyone();
    let client = proxy(&trust, "10.0.0.1:9").introduce(header, PeerAddr::Unix).unwrap();
    assert_eq!(client.address.to_string(), "unix:/run/a\\nb");
}
