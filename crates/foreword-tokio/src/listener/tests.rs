//! Who arrives, as whom, and when; in memory, on a paused clock.

use std::net::SocketAddr;

use foreword::{Group, HeaderPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::*;

/// Connections that a test puts in by hand.
struct Door(mpsc::UnboundedReceiver<Incoming<DuplexStream>>);

impl Accept for Door {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<Incoming<DuplexStream>> {
        self.0.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

struct Street(mpsc::UnboundedSender<Incoming<DuplexStream>>);

impl Street {
    fn connect(&self, peer: &str) -> DuplexStream {
        let (near, far) = duplex(1024);
        self.0.send(Incoming { stream: near, peer: socket(peer), local: socket("10.0.0.1:443") }).unwrap();
        far
    }
}

type Refusals = mpsc::UnboundedReceiver<String>;

/// The next refusal; nobody arrives before it.
async fn refusal(listener: &mut Listener<Door>, refusals: &mut Refusals) -> String {
    tokio::select! {
        arrived = listener.accept() => panic!("{arrived:?}"),
        refusal = refusals.recv() => refusal.expect("the listener lives"),
    }
}

fn listener() -> (Listener<Door>, Street, Refusals) {
    let group = |name: &str, from: &str, header| Group {
        name: name.into(),
        from: vec![from.parse().unwrap()],
        unix: false,
        header,
        forwarded: false,
    };
    let trust = Trust::new(vec![
        group("must", "10.1.0.0/16", HeaderPolicy::Require),
        group("may", "10.2.0.0/16", HeaderPolicy::Optional),
        group("never", "10.3.0.0/16", HeaderPolicy::Forbid),
    ]);
    let (street, door) = mpsc::unbounded_channel();
    let (tell, refusals) = mpsc::unbounded_channel();
    let listener = Listener::new(Door(door), trust.unwrap())
        .on_refusal(move |peer, refused| drop(tell.send(format!("{peer}: {refused}"))));
    (listener, Street(street), refusals)
}

fn socket(address: &str) -> PeerAddr {
    address.parse::<SocketAddr>().unwrap().into()
}

async fn rest(connection: Connection<DuplexStream>) -> Vec<u8> {
    let mut stream = connection.stream;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest
}

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.20 1234 443\r\n";

#[tokio::test(start_paused = true)]
async fn a_connection_arrives_with_its_client_and_all_of_its_payload() {
    let (mut listener, street, _) = listener();
    let mut proxy = street.connect("10.1.0.9:5000");
    proxy.write_all(&[LINE, b"hello"].concat()).await.unwrap();
    proxy.write_all(b", world").await.unwrap();
    drop(proxy);
    let connection = listener.accept().await.unwrap();
    assert_eq!(connection.client.address.to_string(), "203.0.113.7:1234");
    assert_eq!(connection.client.peer, socket("10.1.0.9:5000"));
    assert_eq!(rest(connection).await, b"hello, world");
}

#[tokio::test(start_paused = true)]
async fn a_slow_header_holds_nobody_up() {
    let (mut listener, street, _) = listener();
    let mut slow = street.connect("10.1.0.1:1");
    slow.write_all(b"PROXY ").await.unwrap();
    let mut quick = street.connect("10.1.0.2:2");
    quick.write_all(LINE).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().client.peer, socket("10.1.0.2:2"));
    slow.write_all(b"UNKNOWN\r\n").await.unwrap();
    assert_eq!(listener.accept().await.unwrap().client.address, socket("10.1.0.1:1").into());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_closed_before_its_bytes_are_read() {
    let (mut listener, street, mut refusals) = listener();
    let (near, mut stranger) = duplex(8);
    street
        .0
        .send(Incoming { stream: near, peer: socket("192.0.2.1:1"), local: socket("10.0.0.1:443") })
        .unwrap();
    stranger.write_all(&LINE[..8]).await.unwrap();
    let refusal = refusal(&mut listener, &mut refusals).await;
    assert_eq!(refusal, "192.0.2.1:1: the peer is in no trust group");
    // Had a byte been read, there would have been room for more before the end.
    assert_eq!(stranger.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_drip_is_cut_at_the_deadline_however_steady_it_is() {
    let (mut listener, street, mut refusals) = listener();
    let mut drip = street.connect("10.1.0.1:1");
    let dripping = tokio::spawn(async move {
        for byte in LINE {
            if drip.write_all(&[*byte]).await.is_err() {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    });
    let begun = Instant::now();
    let refusal = refusal(&mut listener, &mut refusals).await;
    assert!(refusal.starts_with("10.1.0.1:1: no whole PROXY header until the deadline"), "{refusal}");
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert!(dripping.await.unwrap(), "the drip was let finish");
}

#[tokio::test(start_paused = true)]
async fn when_too_many_headers_are_awaited_the_oldest_goes() {
    let (listener, street, mut refusals) = listener();
    let mut listener = listener.max_waiting(2);
    let mut first = street.connect("10.1.0.1:1");
    let mut second = street.connect("10.1.0.2:2");
    let mut third = street.connect("10.1.0.3:3");
    let arrived = tokio::spawn(async move {
        let peers =
            [listener.accept().await.unwrap().client.peer, listener.accept().await.unwrap().client.peer];
        peers.map(|peer| peer.port())
    });
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "the first is closed");
    second.write_all(LINE).await.unwrap();
    third.write_all(LINE).await.unwrap();
    let mut ports = arrived.await.unwrap();
    ports.sort_unstable();
    assert_eq!(ports, [Some(2), Some(3)]);
    assert!(refusals.recv().await.unwrap().starts_with("10.1.0.1:1: too many"));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_drives_out_nobody_whose_header_is_whole() {
    // Chance once decided whether reads were joined before others came: all rounds must end well.
    for _ in 0..32 {
        let (listener, street, mut refusals) = listener();
        let mut listener = listener.max_waiting(2);
        let mut whole = [street.connect("10.1.0.1:1"), street.connect("10.1.0.2:2")];
        let nobody = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(nobody.is_err(), "{nobody:?}");
        for proxy in &mut whole {
            proxy.write_all(LINE).await.unwrap();
        }
        // Both reads end here, and nobody has joined them.
        sleep(Duration::from_millis(1)).await;
        let _newcomer = street.connect("10.1.0.3:3");
        let mut arrived = [None; 2];
        for port in &mut arrived {
            let next = tokio::time::timeout(Duration::from_secs(1), listener.accept()).await;
            *port = next.expect("both have sent their headers").unwrap().client.peer.port();
        }
        arrived.sort_unstable();
        assert_eq!(arrived, [Some(1), Some(2)]);
        assert!(refusals.try_recv().is_err(), "somebody was driven out");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_header_is_refused_with_its_cause() {
    let (mut listener, street, mut refusals) = listener();
    for (bytes, cause) in [
        (&b"GET / HTTP/1.1\r\n"[..], "no PROXY header"),
        (b"", "no PROXY header"),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "the claim of the PROXY header is refused"),
    ] {
        let mut peer = street.connect("10.1.0.1:1");
        peer.write_all(bytes).await.unwrap();
        drop(peer);
        assert_eq!(refusal(&mut listener, &mut refusals).await, format!("10.1.0.1:1: {cause}"));
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_header_is_optional_a_peer_may_speak_for_itself_or_not_at_all() {
    let (mut listener, street, mut refusals) = listener();
    let mut with = street.connect("10.2.0.1:1");
    with.write_all(LINE).await.unwrap();
    assert!(listener.accept().await.unwrap().client.header.is_some());

    let mut without = street.connect("10.2.0.2:2");
    without.write_all(b"PROPFIND").await.unwrap();
    drop(without);
    let connection = listener.accept().await.unwrap();
    assert_eq!(connection.client.group.as_deref(), Some("may"));
    assert_eq!(rest(connection).await, b"PROPFIND");

    let begun = Instant::now();
    let silent = street.connect("10.2.0.3:3");
    let connection = listener.accept().await.unwrap();
    assert_eq!(
        (connection.client.address, begun.elapsed()),
        (socket("10.2.0.3:3").into(), Duration::from_secs(3))
    );
    drop(silent);

    let mut broken = street.connect("10.2.0.4:4");
    broken.write_all(b"PROXY TCP4 1").await.unwrap();
    let refusal = refusal(&mut listener, &mut refusals).await;
    assert_eq!(refusal, "10.2.0.4:4: no whole PROXY header until the deadline, 12 bytes of it");
}

#[tokio::test(start_paused = true)]
async fn where_a_header_is_forbidden_what_looks_like_one_is_payload() {
    let (mut listener, street, _) = listener();
    let mut peer = street.connect("10.3.0.5:5");
    peer.write_all(LINE).await.unwrap();
    drop(peer);
    let connection = listener.accept().await.unwrap();
    assert!(connection.client.header.is_none());
    assert_eq!(rest(connection).await, LINE);
}

#[tokio::test]
async fn real_sockets_are_accepted_alike() {
    let trust = Trust::new(vec![Group {
        name: "here".into(),
        from: vec!["127.0.0.0/8".parse().unwrap()],
        unix: false,
        header: HeaderPolicy::Require,
        forwarded: false,
    }]);
    let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = sockets.local_addr().unwrap();
    let mut listener = Listener::new(sockets, trust.unwrap());
    let mut proxy = TcpStream::connect(address).await.unwrap();
    crate::write_header_with(&mut proxy, LINE, b"hello").await.unwrap();
    let mut connection = listener.accept().await.unwrap();
    assert_eq!(connection.client.address.to_string(), "203.0.113.7:1234");
    let mut hello = [0; 5];
    connection.stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
}
