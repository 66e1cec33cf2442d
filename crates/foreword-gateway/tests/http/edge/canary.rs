//! The canary: every request has a number, and no answer ever belongs to another.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;

use super::*;
use crate::http2::{ask, content, get, tell_within};

/// An endpoint that says the number back, each time in another way of those that HTTP/1.1 has.
fn endpoint() -> Endpoint {
    Endpoint::new(|wire| {
        while let Some((head, _)) = wire.request() {
            let id = field(&head, "X-Id").unwrap().to_owned();
            let number: usize = id.parse().unwrap();
            let is_head = head.starts_with("HEAD ");
            if number % 1009 == 8 {
                return;
            }
            if number % 1009 == 7 {
                wire.write(
                    format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nContent-Length: 99\r\n\r\nab").as_bytes(),
                );
                return;
            }
            let long = id.repeat(if number % 8 == 6 { 5000 } else { 1 });
            let body = if is_head { "" } else { &long };
            let sized = format!("X-Id: {id}\r\nContent-Length: {}\r\n\r\n{body}", long.len());
            match number % 8 {
                0 if !is_head => wire.write(
                    format!(
                        "HTTP/1.1 200 OK\r\nX-Id: {id}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{id}\r\n0\r\n\r\n",
                        id.len()
                    )
                    .as_bytes(),
                ),
                1 => wire.write(format!("HTTP/1.1 103 Early Hints\r\nX-Id: none\r\n\r\nHTTP/1.1 200 OK\r\n{sized}").as_bytes()),
                2 => {
                    wire.write(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{sized}").as_bytes());
                    return;
                }
                3 => {
                    wire.write(b"HTTP/1.1 200 ");
                    wire.write(format!("OK\r\n{sized}").as_bytes());
                }
                4 => wire.write(format!("HTTP/1.1 204 No Content\r\nX-Id: {id}\r\n\r\n").as_bytes()),
                5 if !is_head => {
                    wire.write(format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\n\r\n{id}").as_bytes());
                    return;
                }
                _ => wire.write(format!("HTTP/1.1 200 OK\r\n{sized}").as_bytes()),
            }
        }
    })
}

/// The method of the request with this number, and its bytes.
fn request(id: usize) -> (&'static str, String) {
    let head =
        |method: &str, rest: &str| format!("{method} /{id} HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\n{rest}");
    match id % 7 {
        0 => ("POST", head("POST", "Content-Length: 5\r\n\r\nhello")),
        1 => ("PUT", head("PUT", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
        2 => ("HEAD", head("HEAD", "\r\n")),
        _ => ("GET", head("GET", "\r\n")),
    }
}

/// What came of the requests of one client.
#[derive(Clone, Debug, Default)]
struct Tally {
    right: usize,
    wrong: Vec<String>,
    /// Cut short or refused, as their endpoint broke off.
    lost: usize,
}

impl Tally {
    fn count(&mut self, id: usize, told: Option<&str>, body: &[u8]) {
        let text = id.to_string();
        let whole = body.chunks(text.len()).all(|part| part == text.as_bytes());
        if told == Some(text.as_str()) && whole {
            self.right += 1;
        } else {
            self.wrong.push(format!("{id} was answered {told:?}, {} bytes", body.len()));
        }
    }
}

/// Asks for these numbers, as many at once as fit, over as few connections as it takes.
fn pipeline(address: SocketAddr, ids: &[usize]) -> Tally {
    let mut tally = Tally::default();
    let mut wire = Wire::new(TcpStream::connect(address).unwrap());
    for batch in ids.chunks(AT_ONCE) {
        let mut waiting: VecDeque<usize> = batch.iter().copied().collect();
        let mut is_asked = false;
        while let Some(&id) = waiting.front() {
            if !is_asked {
                let all: String = waiting.iter().map(|&id| request(id).1).collect();
                wire.write(all.as_bytes());
                is_asked = true;
            }
            waiting.pop_front();
            let answer = wire.answer(request(id).0);
            let is_over = answer.as_ref().is_none_or(|answer| answer.field("Connection") == Some("close"));
            match answer {
                Some(answer) if answer.status < 300 => tally.count(id, answer.field("X-Id"), &answer.body),
                _ => tally.lost += 1,
            }
            if is_over {
                wire = Wire::new(TcpStream::connect(address).unwrap());
                is_asked = false;
            }
        }
    }
    tally
}

const AT_ONCE: usize = 50;

/// No more is lost than endpoints broke off, and what was asked behind it on the same connection to them.
fn check(tallies: &[Tally], count: usize) {
    let wrong: Vec<&String> = tallies.iter().flat_map(|tally| &tally.wrong).collect();
    assert!(wrong.is_empty(), "{} of {count}: {wrong:?}", wrong.len());
    let (right, lost): (usize, usize) =
        tallies.iter().fold((0, 0), |(right, lost), tally| (right + tally.right, lost + tally.lost));
    assert_eq!(right + lost, count);
    assert!(lost <= count / 200, "{lost} of {count} were lost");
}

#[test]
fn no_answer_goes_to_another_request() {
    let count = if is_nightly() { 100_000 } else { 10_000 };
    let endpoint = endpoint();
    let text = file(&[endpoint.address], "cluster = \"app\"", "").replace("workers = 1", "workers = 2");
    let gateway = gateway(&text);
    let address = address(&gateway);
    let ids: Vec<usize> = (0..count).collect();
    let shares: Vec<&[usize]> = ids.chunks(count / 16).collect();
    let tallies = outcomes(&shares, |ids, _| pipeline(address, ids));
    check(&tallies, count);
}

#[test]
fn no_answer_goes_to_another_stream() {
    let count = if is_nightly() { 50_000 } else { 5_000 };
    let endpoint = endpoint();
    let gateway = gateway(&file(&[endpoint.address], &format!("{CLEAR}\ncluster = \"app\""), ""));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let ids: Vec<usize> = (0..count).collect();
    // A connection carries thousands, since what one stream leaves behind serves the next: that takes a while.
    for share in ids.chunks(5_000) {
        tell_within(&gateway, 10 * PATIENCE, |client| multiplex(client, share.to_vec(), Arc::clone(&tally)));
    }
    check(std::slice::from_ref(&*tally.lock().unwrap()), count);
}

/// Asks for these numbers, as many at once as fit.
async fn multiplex(client: SendRequest<Bytes>, ids: Vec<usize>, tally: Arc<Mutex<Tally>>) {
    for batch in ids.chunks(AT_ONCE) {
        let asked = batch.iter().map(|&id| tokio::spawn(ask_for(client.clone(), id, Arc::clone(&tally))));
        for answered in asked.collect::<Vec<_>>() {
            answered.await.unwrap();
        }
    }
}

async fn ask_for(mut client: SendRequest<Bytes>, id: usize, tally: Arc<Mutex<Tally>>) {
    let mut request = get(&format!("/{id}"));
    request.headers_mut().insert("x-id", id.to_string().parse().unwrap());
    let answered = match ask(&mut client, request, b"").await {
        Ok(answer) if answer.status().is_success() => {
            let (head, mut body) = answer.into_parts();
            content(&mut body).await.ok().map(|body| (head, body))
        }
        _ => None,
    };
    let mut tally = tally.lock().unwrap();
    match answered {
        Some((head, body)) => {
            tally.count(id, head.headers.get("x-id").map(|id| id.to_str().unwrap()), &body);
        }
        None => tally.lost += 1,
    }
}
