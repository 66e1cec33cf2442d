//! foreword in front of DNS servers, over UDP and TCP: each sees the client that foreword was told of.

use std::net::SocketAddr;

use crate::gateway::Gateway;
use crate::ground::Ground;
use crate::header::{CLIENT, CLIENT_PORT};
use crate::program::{Program, run};
use crate::server::dns::{self, question};

/// A server, what it is asked, and how it tells whom it takes for the client.
struct Server {
    start: fn(&Ground) -> Option<(Program, SocketAddr)>,
    kind: &'static str,
    /// What it answers to a client of these tests.
    answer: &'static str,
    /// What it says in its log of each question, where the answer does not say it.
    says: &'static str,
    tcp: bool,
}

/// Asks the server as a client that nobody here has the address of: first with a header by kdig, so that what it says is
/// understood, then through foreword, which reads that header and writes its own.
fn is_told(server: &Server) {
    let ground = Ground::new();
    let Some((program, address)) = (server.start)(&ground) else { return };
    let edge = ground.address();
    let file = file(edge, address);
    let foreword = Gateway::start(&ground, &file, &[edge]);
    let proxy = format!("+proxy={CLIENT}#{CLIENT_PORT}-198.51.100.20#53");
    let mut asked = 0;
    for over_tcp in [false, true].into_iter().filter(|over_tcp| !over_tcp || server.tcp) {
        for at in [address, edge] {
            let transport = if over_tcp { "+tcp" } else { "+notcp" };
            let Some(mut kdig) = question("kdig", at, server.kind, &[&proxy, transport]) else { return };
            let answered = run(&mut kdig);
            asked += 1;
            assert_eq!(
                answer(&answered.out),
                server.answer,
                "{kdig:?}: {answered:?}\n{}\n{}",
                program.transcript(),
                foreword.program.transcript()
            );
            if !server.says.is_empty() {
                program.lines(server.says, asked);
            }
        }
    }
    let access = foreword.access_with("\"listener\":\"udp\"", 1);
    assert_eq!(
        (access.get("client.ip"), access.get("client.port")),
        (CLIENT.to_owned(), CLIENT_PORT.to_string())
    );
    assert_eq!((access.get("datagrams.received"), access.get("datagrams.sent")), ("1".into(), "1".into()));
    if server.tcp {
        assert_eq!(foreword.access_with("\"listener\":\"tcp\"", 1).get("client.ip"), CLIENT);
    }
}

/// A listener for each transport at one address, which believe this machine, and one cluster.
fn file(edge: SocketAddr, server: SocketAddr) -> String {
    let listener = |mode: &str| {
        format!(
            "[listener.{mode}]\nbind = [\"{edge}\"]\nmode = \"{mode}\"\ntrust = [\"local\"]\n\
             timeout = {{ idle = \"1s\" }}\ncluster = \"dns\"\n"
        )
    };
    format!(
        "[trust.local]\nfrom = [\"127.0.0.0/8\"]\n{}{}[cluster.dns]\nendpoints = [\"{server}\"]\nsend_header = \"v2\"\n\
         [log.access]\nto = \"stdout\"\nformat = \"json\"\n",
        listener("udp"),
        listener("tcp")
    )
}

#[test]
fn unbound_sees_the_client() {
    let says = "info: 203.0.113.7 who.test. TXT IN";
    is_told(&Server { start: dns::unbound, kind: "TXT", answer: "\"answered\"", says, tcp: true });
}

#[test]
fn dnsdist_sees_the_client() {
    is_told(&Server { start: dns::dnsdist, kind: "TXT", answer: "\"client\"", says: "", tcp: true });
}

#[test]
fn powerdns_sees_the_client() {
    let says = "(203.0.113.7) wants 'who.test|TXT'";
    is_told(&Server { start: dns::powerdns, kind: "TXT", answer: "\"answered\"", says, tcp: true });
}

#[test]
fn the_powerdns_recursor_sees_the_client() {
    let says = "203.0.113.7:50001";
    is_told(&Server { start: dns::recursor, kind: "TXT", answer: "\"answered\"", says, tcp: true });
}

#[test]
fn knot_sees_the_client_of_datagrams() {
    is_told(&Server { start: dns::knot, kind: "A", answer: CLIENT, says: "", tcp: false });
}

/// All that was answered: who hears nothing in time asks again, and says so in between.
fn answer(out: &str) -> String {
    out.lines().filter(|line| !line.starts_with(";;")).collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[test]
fn the_clients_of_one_dnsdist_stay_apart_on_their_way_through() {
    let ground = Ground::new();
    let Some((unbound, address)) = dns::unbound(&ground) else { return };
    let edge = ground.address();
    let foreword = Gateway::start(&ground, &file(edge, address), &[edge]);
    let Some((dnsdist, front)) = dns::dnsdist_before(&ground, edge) else { return };
    for round in 1..=2 {
        for last in [8, 9, 10] {
            let source = format!("127.0.0.{last}");
            let Some(mut dig) = question("dig", front, "TXT", &["-b", &source]) else { return };
            let answered = run(&mut dig);
            assert_eq!(
                answer(&answered.out),
                "\"answered\"",
                "{answered:?}\n{}\n{}\n{}",
                dnsdist.transcript(),
                foreword.program.transcript(),
                unbound.transcript()
            );
            unbound.lines(&format!("info: {source} who.test. TXT IN"), round);
        }
    }
}
