//! tls-passthrough mode: decided by what the client says first, and not a byte changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, mpsc};

use rustls::RootCertStore;

use crate::bulk::{hear, say};
use crate::endpoint_tls::Folder;
use crate::support::{Endpoint, Running, client, client_from, drip, read_all, say_all};
use crate::tls::{builder, tls};

fn file(listener: &str, cluster: &str, endpoint: &Endpoint) -> String {
    format!(
        "[trust.elb]\nfrom = [\"127.0.0.2/32\"]\nheader = \"require\"\n\
         [trust.local]\nfrom = [\"127.0.0.1/32\"]\nheader = \"forbid\"\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tls-passthrough\"\ntrust = [\"elb\", \"local\"]\n{listener}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n{cluster}\n",
        endpoint.address
    )
}

fn config(roots: &RootCertStore, alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    let mut config = builder().with_root_certificates(roots.clone()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

#[test]
fn name_and_protocols_decide_and_the_endpoint_ends_the_tls() {
    let mut folder = Folder::new();
    let app = folder.endpoint("app.test", "");
    let acme = folder.endpoint("app2.test", "");
    let rules = "[[listener.web.rule]]\nname = \"acme\"\nwhen = 'tls.alpn == \"acme-tls/1\"'\nthen = { forward = \"acme\" }\n\
                 [[listener.web.rule]]\nname = \"app\"\nwhen = 'tls.sni == \"app.test\"'\nthen = { forward = \"app\" }\n";
    let acme_cluster = format!("[cluster.acme]\nendpoints = [\"{}\"]\n", acme.endpoint.address);
    let running = Running::start(&(file("", &acme_cluster, &app.endpoint) + rules));
    for (name, alpn, reaches) in
        [("app.test", vec![&b"h2"[..], b"http/1.1"], &app), ("app2.test", vec![&b"acme-tls/1"[..]], &acme)]
    {
        let config = config(&folder.roots, &alpn);
        let mut stream = tls(&config, name, client(running.address("web")));
        stream.write_all(b"hello").unwrap();
        stream.conn.send_close_notify();
        assert_eq!(read_all(&mut stream), b"hello");
        assert_eq!(reaches.told().name.as_deref(), Some(name));
    }
    let config = config(&folder.roots, &[]);
    let mut stream = tls(&config, "other.test", client(running.address("web")));
    assert!(stream.write_all(b"hello").is_err(), "no rule takes it");
    running.log.line_with("FW404");
}

#[test]
fn our_header_goes_before_the_hello_and_names_whom_it_asks_for() {
    let mut folder = Folder::new();
    let app = folder.endpoint("app.test", "header");
    let cluster = "send_header = \"v2\"\nsend_tlvs = [\"authority\"]";
    let running = Running::start(&file("cluster = \"app\"", cluster, &app.endpoint));
    let mut socket = client_from([127, 0, 0, 2].into(), running.address("web"));
    socket.write_all(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n").unwrap();
    let mut stream = tls(&config(&folder.roots, &[]), "app.test", socket);
    stream.write_all(b"hello").unwrap();
    stream.conn.send_close_notify();
    assert_eq!(read_all(&mut stream), b"hello");
    let header = app.told().header.unwrap();
    let header = header.header();
    assert_eq!(header.source(), Some("203.0.113.7:1".parse().unwrap()));
    assert_eq!(header.tlvs.authority().unwrap().as_str(), Ok("app.test"));
    assert!(header.tlvs.ssl().is_none(), "nobody here ended the TLS");
}

#[test]
fn a_hello_may_drip_and_nothing_that_follows_is_lost() {
    let mut folder = Folder::new();
    let app = folder.endpoint("app.test", "");
    let running = Running::start(&file("cluster = \"app\"", "", &app.endpoint));
    let config = config(&folder.roots, &[]);
    let mut stream = tls(&config, "app.test", client(running.address("web")));
    let mut hello = Vec::new();
    stream.conn.write_tls(&mut hello).unwrap();
    drip(&mut stream.sock, &hello).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.conn.send_close_notify();
    assert_eq!(read_all(&mut stream), b"hello");
}

#[test]
fn what_is_no_tls_is_named_and_reaches_nobody() {
    let (endpoint, heard) = Endpoint::recording();
    let running = Running::start(&file("cluster = \"app\"\ntimeout = { tls = \"1s\" }", "", &endpoint));
    let header = &b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n"[..];
    let broken = &b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"[..];
    let half = &b"\x16\x03\x01\x00\xff\x01\x00"[..];
    for (bytes, ends, code) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], true, "FW301"),
        (b"SSH-2.0-OpenSSH_9.9 and more bytes\r\n", true, "FW302"),
        (header, true, "FW113"),
        (broken, true, "FW303"),
        (half, false, "FW304"),
        (b"", false, "FW304"),
        (half, true, "FW305"),
    ] {
        let before = running.log.all().len();
        let mut stream = client(running.address("web"));
        match ends {
            true => say_all(&mut stream, bytes),
            false => stream.write_all(bytes).unwrap(),
        }
        let answer = read_all(&mut stream);
        assert_eq!(answer.starts_with(b"HTTP/1.1 400"), code == "FW301", "{code}: {answer:?}");
        running.log.line_with_after(before, code);
    }
    let mut stream = client_from([127, 0, 0, 2].into(), running.address("web"));
    stream.write_all(&[header, header].concat()).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    running.log.line_with("FW110");
    assert!(heard.try_recv().is_err() && endpoint.is_unvisited());
}

#[test]
fn a_hundred_megabytes_each_way_pass_untouched_behind_a_half_close() {
    let mut folder = Folder::new();
    let (tell, told) = mpsc::channel();
    let endpoint = folder.serving("app.test", move |stream, _| {
        let heard = hear(stream);
        let said = say(stream, 2, BLOCKS);
        tell.send((heard, said)).unwrap();
    });
    let running = Running::start(&file("cluster = \"app\"", "send_header = \"v1\"", &endpoint.endpoint));
    let config = config(&folder.roots, &[]);
    let mut stream = tls(&config, "app.test", client(running.address("web")));
    let question = say(&mut stream, 1, BLOCKS);
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    TcpStream::shutdown(&stream.sock, Shutdown::Write).unwrap();
    let answer = hear(&mut stream);
    let (heard, said) = told.recv().unwrap();
    let len = BLOCKS * 64 * 1024;
    assert_eq!((heard, answer), ((len, question), (len, said)));
    let mut rest = [0];
    assert_eq!(stream.read(&mut rest).unwrap(), 0);
}

/// 100 MiB.
const BLOCKS: u64 = 1600;
