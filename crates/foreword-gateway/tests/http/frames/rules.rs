//! The rules of RFC 9113 about frames, streams and settings, clause by clause.

use super::*;

const OVER: Becomes = Over(&[PROTOCOL_ERROR]);
/// `h2` says the wider word.
const UNPACKABLE: Becomes = Over(&[COMPRESSION_ERROR, PROTOCOL_ERROR]);
const TOO_LARGE: Becomes = Over(&[FRAME_SIZE_ERROR]);
/// Of a stream that is closed some say that it is so, and others that nobody speaks of it any more, §5.1.
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];

const CASES: &[Case] = &[
    // §4.1, §5.5: what is not known is passed over.
    ("an unknown frame", |c| c.send(0x77, 0xff, 0, b"whatever"), Unmoved),
    ("an unknown frame of a stream", |c| c.send(0x77, 0, 1, b""), Unmoved),
    ("flags that a PING does not have", |c| c.send(PING, 0xfe, 0, b"01234567"), Unmoved),
    (
        "the reserved bit of a stream's number",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1 | 1 << 31, &block(ROOT));
        },
        Answered(1, 200),
    ),
    (
        "flags that HEADERS do not have",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM | 0x92, 1, &block(ROOT));
        },
        Answered(1, 200),
    ),
    (
        "an unknown frame inside a head",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(ROOT));
            c.send(0x77, 0, 1, b"");
        },
        OVER,
    ),
    // §4.2
    (
        "DATA larger than a frame may be",
        |c| {
            c.post(1, ROOT);
            c.write(&frame_of(16_385, DATA, 0, 1, &[0; 16_385]));
        },
        Over(&[FRAME_SIZE_ERROR]),
    ),
    (
        "HEADERS larger than a frame may be",
        |c| {
            c.write(&frame_of(16_385, HEADERS, END_HEADERS, 1, &[0; 16_385]));
        },
        TOO_LARGE,
    ),
    (
        "SETTINGS larger than a frame may be",
        |c| c.write(&frame_of(16_386, SETTINGS, 0, 0, &[0; 16_386])),
        TOO_LARGE,
    ),
    (
        "an unknown frame larger than a frame may be",
        |c| {
            c.write(&frame_of(20_000, 0x77, 0, 0, &[0; 20_000]));
        },
        TOO_LARGE,
    ),
    (
        "DATA as large as a frame may be",
        |c| {
            c.post(1, ROOT);
            c.send(DATA, END_STREAM, 1, &[b'x'; 16_384]);
        },
        Answered(1, 200),
    ),
    // §4.3 and RFC 7541
    ("index 0", |c| c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]), UNPACKABLE),
    (
        "an index that nothing has",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0x7f]);
        },
        UNPACKABLE,
    ),
    (
        "a name by an index that nothing has",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x7f, 0x7f, 1, b'x']);
        },
        UNPACKABLE,
    ),
    (
        "a value that goes on behind its head",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x82, 0x00, 3, b'x', b'-', b'a', 100, b'v']);
        },
        UNPACKABLE,
    ),
    (
        "an index of many bytes",
        |c| {
            c.send(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            );
        },
        UNPACKABLE,
    ),
    (
        "a table larger than was offered",
        |c| {
            c.send(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[&[0x3f, 0xe2, 0x1f], block(ROOT).as_slice()].concat(),
            );
        },
        UNPACKABLE,
    ),
    (
        "another size of the table behind a field",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[block(ROOT).as_slice(), &[0x20]].concat());
        },
        UNPACKABLE,
    ),
    (
        "Huffman's code with EOS in it",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'a']);
        },
        UNPACKABLE,
    ),
    (
        "Huffman's code with padding of zeros",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x00, 0x01, b'a', 0x81, 0x00]);
        },
        UNPACKABLE,
    ),
    (
        "Huffman's code with eight bits of padding",
        |c| {
            c.send(HEADERS, END_HEADERS | END_STREAM, 1, &[0x00, 0x01, b'a', 0x82, 0x1f, 0xff]);
        },
        UNPACKABLE,
    ),
    (
        "PRIORITY inside a head",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(ROOT));
            c.send(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]);
        },
        OVER,
    ),
    (
        "another stream's HEADERS inside a head",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(ROOT));
            c.send(HEADERS, END_HEADERS | END_STREAM, 3, &block(ROOT));
        },
        OVER,
    ),
    (
        "PING inside a head",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(ROOT));
            c.send(PING, 0, 0, b"01234567");
        },
        OVER,
    ),
    (
        "DATA inside a head",
        |c| {
            c.send(HEADERS, 0, 1, &block(ROOT));
            c.send(DATA, END_STREAM, 1, b"x");
        },
        OVER,
    ),
    // §5.1: idle
    ("DATA on an idle stream", |c| c.send(DATA, END_STREAM, 1, b"x"), OVER),
    ("RST_STREAM on an idle stream", |c| c.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]), OVER),
    ("WINDOW_UPDATE on an idle stream", |c| c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), OVER),
    ("CONTINUATION on an idle stream", |c| c.send(CONTINUATION, END_HEADERS, 1, &block(ROOT)), OVER),
    ("PRIORITY on an idle stream", |c| c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), Unmoved),
    // §5.1: half-closed, and closed
    (
        "DATA behind the end of a stream",
        |c| {
            // In one piece: behind the answer it would come to a stream that nobody knows any more.
            let asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(ROOT));
            c.write(&[asked, frame(DATA, END_STREAM, 1, b"x")].concat());
        },
        Over(CLOSED),
    ),
    (
        "HEADERS behind the end of a stream",
        |c| {
            c.get(1, ROOT);
            c.get(1, ROOT);
        },
        Over(CLOSED),
    ),
    (
        "CONTINUATION behind the end of a stream",
        |c| {
            c.get(1, ROOT);
            c.send(CONTINUATION, END_HEADERS, 1, &block(ROOT));
        },
        Over(CLOSED),
    ),
    (
        "DATA behind a reset",
        |c| {
            c.post(1, ROOT);
            c.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            c.send(DATA, END_STREAM, 1, b"x");
        },
        Reset(1, &[STREAM_CLOSED]),
    ),
    (
        "WINDOW_UPDATE behind the end of a stream",
        |c| {
            c.get(1, ROOT);
            c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        },
        Answered(1, 200),
    ),
    (
        "PRIORITY behind a reset",
        |c| {
            c.post(1, ROOT);
            c.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
        },
        Unmoved,
    ),
    // §5.1.1
    ("a stream with an even number", |c| c.get(2, ROOT), OVER),
    (
        "a stream with a smaller number",
        |c| {
            c.get(5, ROOT);
            c.get(3, ROOT);
        },
        Over(CLOSED),
    ),
    ("the largest number of a stream", |c| c.get(0x7fff_ffff, ROOT), Answered(0x7fff_ffff, 200)),
    // §5.1.2
    (
        "more streams than there may be",
        |c| (0..101).for_each(|n| c.post(2 * n + 1, ROOT)),
        Reset(201, &[REFUSED_STREAM, PROTOCOL_ERROR]),
    ),
    // §5.3
    (
        "a stream that depends on itself",
        |c| {
            c.send(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 7], block(ROOT).as_slice()].concat(),
            );
        },
        Reset(1, &[PROTOCOL_ERROR]),
    ),
    (
        "PRIORITY of a stream that depends on itself",
        |c| c.send(PRIORITY, 0, 1, &[0, 0, 0, 1, 7]),
        Reset(1, &[PROTOCOL_ERROR]),
    ),
    (
        "HEADERS with a priority",
        |c| {
            c.send(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 0, 7], block(ROOT).as_slice()].concat(),
            );
        },
        Answered(1, 200),
    ),
    // §6.1
    ("DATA on no stream", |c| c.send(DATA, 0, 0, b"x"), OVER),
    (
        "DATA with more padding than payload",
        |c| {
            c.post(1, ROOT);
            c.send(DATA, PADDED | END_STREAM, 1, &[9, b'x']);
        },
        OVER,
    ),
    (
        "DATA with padding",
        |c| {
            c.post(1, ROOT);
            c.send(DATA, PADDED | END_STREAM, 1, &[3, b'x', 0, 0, 0]);
        },
        Answered(1, 200),
    ),
    // §6.2
    ("HEADERS on no stream", |c| c.send(HEADERS, END_HEADERS | END_STREAM, 0, &block(ROOT)), OVER),
    (
        "HEADERS with more padding than payload",
        |c| c.send(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[200, 0x82]),
        OVER,
    ),
    (
        "HEADERS with padding",
        |c| {
            c.send(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                &[&[2], block(ROOT).as_slice(), &[0, 0]].concat(),
            );
        },
        Answered(1, 200),
    ),
    // §6.3
    ("PRIORITY on no stream", |c| c.send(PRIORITY, 0, 0, &[0, 0, 0, 1, 7]), OVER),
    ("PRIORITY of four bytes", |c| c.send(PRIORITY, 0, 1, &[0, 0, 0, 0]), Over(&[FRAME_SIZE_ERROR])),
    // §6.4
    ("RST_STREAM on no stream", |c| c.send(RST_STREAM, 0, 0, &[0, 0, 0, 8]), OVER),
    (
        "RST_STREAM of three bytes",
        |c| {
            c.post(1, ROOT);
            c.send(RST_STREAM, 0, 1, &[0, 0, 8]);
        },
        TOO_LARGE,
    ),
    (
        "RST_STREAM of five bytes",
        |c| {
            c.post(1, ROOT);
            c.send(RST_STREAM, 0, 1, &[0, 0, 0, 0, 8]);
        },
        TOO_LARGE,
    ),
    // §6.5
    ("SETTINGS on a stream", |c| c.send(SETTINGS, 0, 1, b""), OVER),
    ("SETTINGS of five bytes", |c| c.send(SETTINGS, 0, 0, &[0, 3, 0, 0, 0]), TOO_LARGE),
    ("an ACK with settings", |c| c.send(SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 9]), TOO_LARGE),
    ("an unknown setting", |c| c.send(SETTINGS, 0, 0, &[0, 0xff, 0, 0, 0, 9]), Unmoved),
    ("push neither on nor off", |c| c.send(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), OVER),
    (
        "a window beyond 2^31",
        |c| c.send(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
        Over(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]),
    ),
    ("frames smaller than they may be", |c| c.send(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), OVER),
    ("frames larger than they may be", |c| c.send(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]), OVER),
    ("extended CONNECT neither on nor off", |c| c.send(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 2]), OVER),
    // §6.6
    (
        "PUSH_PROMISE from a client",
        |c| {
            c.post(1, ROOT);
            c.send(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], block(ROOT).as_slice()].concat());
        },
        OVER,
    ),
    // §6.7
    ("PING on a stream", |c| c.send(PING, 0, 1, b"01234567"), OVER),
    ("PING of six bytes", |c| c.send(PING, 0, 0, b"012345"), TOO_LARGE),
    ("an ACK that nobody asked for", |c| c.send(PING, ACK, 0, b"01234567"), Unmoved),
    // §6.8
    ("GOAWAY on a stream", |c| c.send(GOAWAY, 0, 1, &[0; 8]), OVER),
    ("GOAWAY of four bytes", |c| c.send(GOAWAY, 0, 0, &[0; 4]), Over(&[FRAME_SIZE_ERROR])),
    ("GOAWAY", |c| c.send(GOAWAY, 0, 0, &[0; 8]), Over(&[NO_ERROR])),
    // §6.9
    ("a window that does not grow", |c| c.send(WINDOW_UPDATE, 0, 0, &[0; 4]), OVER),
    (
        "a stream's window that does not grow",
        |c| {
            c.post(1, ROOT);
            c.send(WINDOW_UPDATE, 0, 1, &[0; 4]);
        },
        Over(&[PROTOCOL_ERROR]),
    ),
    ("WINDOW_UPDATE of three bytes", |c| c.send(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), TOO_LARGE),
    (
        "a window that overflows",
        |c| c.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        Over(&[FLOW_CONTROL_ERROR]),
    ),
    (
        "a stream's window that overflows",
        |c| {
            c.post(1, ROOT);
            c.send(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
        },
        Reset(1, &[FLOW_CONTROL_ERROR]),
    ),
    (
        "streams' windows that overflow by a setting",
        |c| {
            c.post(1, ROOT);
            c.send(WINDOW_UPDATE, 0, 1, &[0, 0xff, 0, 0]);
            c.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        },
        Over(&[FLOW_CONTROL_ERROR]),
    ),
    (
        "more DATA than the window of the stream has room for",
        |c| {
            c.send(HEADERS, END_HEADERS, 1, &block(&with(&[("x-hold", "1")])));
            (0..6).for_each(|_| c.send(DATA, 0, 1, &[b'x'; 16_384]));
        },
        ResetOrOver(1, FLOW_CONTROL_ERROR),
    ),
    // §6.10
    (
        "a head in pieces",
        |c| {
            let head = block(ROOT);
            c.send(HEADERS, END_STREAM, 1, &head[..3]);
            c.send(CONTINUATION, 0, 1, &head[3..20]);
            c.send(CONTINUATION, END_HEADERS, 1, &head[20..]);
        },
        Answered(1, 200),
    ),
    (
        "CONTINUATION of another stream",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(ROOT));
            c.send(CONTINUATION, END_HEADERS, 3, b"");
        },
        OVER,
    ),
    (
        "CONTINUATION on no stream",
        |c| {
            c.send(HEADERS, END_STREAM, 1, &block(ROOT));
            c.send(CONTINUATION, END_HEADERS, 0, b"");
        },
        OVER,
    ),
    (
        "CONTINUATION behind the end of a head",
        |c| {
            c.post(1, ROOT);
            c.send(CONTINUATION, END_HEADERS, 1, b"");
        },
        OVER,
    ),
    (
        "CONTINUATION behind DATA",
        |c| {
            c.post(1, ROOT);
            c.send(DATA, 0, 1, b"x");
            c.send(CONTINUATION, END_HEADERS, 1, b"");
        },
        OVER,
    ),
];

#[test]
fn every_rule_about_frames_is_kept_in_the_clear() {
    try_all(&Edge::new(&Endpoint::slow_reader(), false), CASES);
}

#[test]
fn every_rule_about_frames_is_kept_under_tls() {
    try_all(&Edge::new(&Endpoint::slow_reader(), true), CASES);
}

#[test]
fn whoever_does_not_begin_with_the_preface_is_sent_away() {
    let edge = Edge::new(&Endpoint::polite(), false);
    for first in
        [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", &[0; 24]]
    {
        let mut client = edge.connect();
        client.write(first);
        assert!(client.wait(|frame| frame.kind != SETTINGS && frame.kind != GOAWAY).is_none(), "{first:?}");
        assert!(!client.is_silent, "{first:?}");
    }
    let mut client = edge.connect();
    client.write(PREFACE);
    client.send(PING, 0, 0, b"01234567");
    let gone = client.wait(|frame| frame.kind == GOAWAY).expect("the first frame must be SETTINGS");
    assert_eq!(gone.reason(), PROTOCOL_ERROR);
}

#[test]
fn an_answer_takes_no_more_than_its_window_has_room_for() {
    let edge = Edge::new(&Endpoint::once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), false);
    let mut client = edge.connect();
    client.write(PREFACE);
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 2]);
    client.get(1, ROOT);
    let next = |client: &mut Frames| client.wait(|frame| frame.kind == DATA).unwrap();
    assert_eq!(next(&mut client).payload, b"he");
    assert!(client.is_alive());
    // A window may shrink below nothing: then more has to come than before.
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    client.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3]);
    assert_eq!(next(&mut client).payload, b"l");
    client.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]);
    let last = next(&mut client);
    assert_eq!((last.payload.as_slice(), last.flags & END_STREAM), (b"lo".as_slice(), END_STREAM));
}
