//! Requests whose connection has ended, or whose stream: nobody waits for their answers, so they hold nothing any more, and each has its line.

use std::time::Duration;

use super::*;
use crate::balance::{held, wait_for, wait_for_queue};
use crate::leaving::Waiting;

/// As many as are asked, each of which waits for a connection to the endpoint.
const ASKED: usize = 50;

const HTTP2: &str = "http2 = \"prior-knowledge\"";

/// A client all of whose requests wait, and its socket.
fn client(waiting: &Waiting) -> (Frames, TcpStream) {
    let tcp = Wire::to(&waiting.gateway).stream;
    let socket = tcp.try_clone().unwrap();
    let mut client = Frames::in_clear(tcp).greeted();
    (0..ASKED as u32).for_each(|n| client.get(2 * n + 1, ROOT));
    waiting.until(ASKED);
    (client, socket)
}

#[test]
fn whoever_floods_is_told_so_when_nothing_of_its_requests_is_left() {
    let waiting = Waiting::new(HTTP2);
    let (mut client, _socket) = client(&waiting);
    client.write(&frame(PING, 0, 0, b"01234567").repeat(1000));
    let goaway = client.wait(|frame| frame.kind == GOAWAY).expect("a GOAWAY");
    assert_eq!(waiting.held(), (0, 0));
    assert_eq!(goaway.reason(), ENHANCE_YOUR_CALM);
    assert_eq!(waiting.lines(ASKED), ["- aborted CC--"; ASKED]);
}

#[test]
fn requests_of_a_connection_that_is_closed_or_reset_do_not_go_on() {
    for is_reset in [false, true] {
        let waiting = Waiting::new(HTTP2);
        let (client, socket) = client(&waiting);
        if is_reset {
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop((client, socket));
        assert_eq!(waiting.lines(ASKED), ["- aborted CC--"; ASKED]);
        waiting.until(0);
    }
}

#[test]
fn requests_whose_streams_are_reset_do_not_go_on_and_those_beside_them_do() {
    let waiting = Waiting::new(HTTP2);
    let (mut client, _socket) = client(&waiting);
    for n in (0..ASKED as u32).filter(|n| n % 2 > 0) {
        client.send(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]);
    }
    assert_eq!(waiting.lines(ASKED / 2), ["- aborted CC--"; ASKED / 2]);
    waiting.until(ASKED / 2);
    assert!(client.is_alive(), "the connection goes on");
}

#[test]
fn a_request_whose_body_is_on_its_way_ends_with_its_stream_however_much_of_it_has_come() {
    for frames in [0, 1, 4] {
        let waiting = Waiting::new(HTTP2);
        let mut client = Frames::in_clear(Wire::to(&waiting.gateway).stream).greeted();
        client.post(1, &with(&[]));
        // No more than its window has room for.
        client.write(&frame(DATA, 0, 1, &[b'x'; 16_000]).repeat(frames));
        waiting.until(1);
        client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        assert_eq!(waiting.lines(1), ["- aborted CC--"], "{frames} frames");
        waiting.until(0);
    }
}

#[test]
fn short_messages_that_are_streamed_while_we_connect_end_no_connection() {
    let waiting = Waiting::new(HTTP2);
    let mut client = Frames::in_clear(Wire::to(&waiting.gateway).stream).greeted();
    client.post(1, &with(&[]));
    waiting.until(1);
    // `h2` ends connections on which two thousand of them wait.
    for _ in 0..20 {
        client.write(&frame(DATA, 0, 1, b"01234").repeat(500));
        assert!(client.is_alive());
    }
    waiting.until(1);
}

#[test]
fn a_request_in_the_line_leaves_it_with_its_stream() {
    let (endpoint, came, go) = held();
    let cluster = "max = { connections = 1 }\ntimeout = { queue = \"5m\" }";
    let listener = format!("{HTTP2}\ncluster = \"app\"");
    let gateway = gateway(&file(&[endpoint.address], &listener, cluster));
    let mut client = Frames::in_clear(Wire::to(&gateway).stream).greeted();
    client.get(1, ROOT);
    came.recv_timeout(PATIENCE).unwrap();
    client.get(3, ROOT);
    client.get(5, ROOT);
    wait_for_queue(&gateway, 2);
    client.send(RST_STREAM, 0, 3, &[0, 0, 0, 8]);
    wait_for_queue(&gateway, 1);
    wait_for(&gateway, "foreword_cluster_queued_total{cluster=\"app\",result=\"abandoned\"} 1");
    for id in [1, 5] {
        go.send(()).unwrap();
        assert!(client.wait(|frame| frame.kind == HEADERS && frame.stream == id).is_some(), "stream {id}");
    }
}
