//! Requests that have their answer before they are whole.

use super::*;

/// Whether nothing is said of the stream until the other side has answered twice that it is still there: whatever comes with
/// an answer, or right behind it, has come by then.
fn nothing_is_said_of(stream: u32, client: &mut Frames, when: &str) -> Result<(), String> {
    for _ in 0..2 {
        client.send(PING, 0, 0, b"anything");
        loop {
            match client.next() {
                None => return Err(format!("{when}: the end")),
                Some(frame) if frame.stream == stream => return Err(format!("{when}: {frame:?}")),
                Some(frame) if frame.kind == PING => break,
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn ends(frame: &Frame, stream: u32) -> bool {
    frame.stream == stream && matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0
}

/// A gateway that takes bodies of ten bytes.
fn limited(endpoint: &Endpoint) -> Gateway {
    let keys = "http2 = \"prior-knowledge\"\nmax = { body = 10 }\ncluster = \"app\"";
    gateway(&file(&[endpoint.address], keys, ""))
}

fn post() -> Vec<(&'static str, &'static str)> {
    [&[(":method", "POST")], &ROOT[1..], &[("content-length", "64001")]].concat()
}

#[test]
fn who_still_sends_what_is_refused_is_not_reset_before_the_refusal_can_be_read() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint);
    within_its_second(|| {
        let mut client = Frames::in_clear(Wire::to(&gateway).stream).greeted();
        client.post(1, &post());
        let head = client.wait(|frame| frame.kind == HEADERS).unwrap();
        assert_eq!((head.stream, head.status()), (1, 413));
        client.wait(|frame| ends(frame, 1)).unwrap();
        nothing_is_said_of(1, &mut client, "while it may still be sending")?;
        // What the window has room for, and no more: none is given back.
        client.write(&frame(DATA, 0, 1, &[b'x'; 16_000]).repeat(4));
        nothing_is_said_of(1, &mut client, "while it is sending")?;
        // Whoever ends the request has ended the stream.
        client.send(DATA, END_STREAM, 1, b"x");
        nothing_is_said_of(1, &mut client, "when it has sent all")
    });
    assert!(endpoint.seen.all().is_empty());
}

#[test]
fn who_does_not_end_what_is_refused_is_told_to_stop_and_loses_nothing_else() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint);
    let mut client = Frames::in_clear(Wire::to(&gateway).stream).greeted();
    client.post(1, &post());
    client.wait(|frame| ends(frame, 1)).unwrap();
    let reset = client.wait(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.reason()), (1, NO_ERROR));
    client.get(3, ROOT);
    assert_eq!(client.wait(|frame| frame.kind == HEADERS).unwrap().status(), 200);
}

#[test]
fn many_at_once_that_do_not_end_what_is_refused_do_not_hold_the_window() {
    let endpoint = Endpoint::polite();
    let gateway = limited(&endpoint);
    let mut client = Frames::in_clear(Wire::to(&gateway).stream).greeted();
    for stream in (1..200).step_by(2) {
        client.post(stream, &post());
        client.wait(|frame| ends(frame, stream)).unwrap();
        client.write(&frame(DATA, 0, stream, &[b'x'; 16_000]).repeat(4));
    }
    assert!(client.is_alive());
}
