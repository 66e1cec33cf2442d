//! What a listener in udp mode asks for that others do not.

use std::time::Duration;

use super::document::{Notes, Table, shown};
use super::source::At;
use crate::plan::{Bind, DatagramHeaders, Mode, SendHeader, Target};
use crate::policy::rules::{Ending, Rules};

/// Where the header of a datagram is, as the file says it.
pub(super) const WORDS: [(&str, DatagramHeaders); 3] =
    [("every", DatagramHeaders::Every), ("first", DatagramHeaders::First), ("spp", DatagramHeaders::Spp)];

/// What ends a flow: nothing else can tell that a client is done, and most are after one answer.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// The bind of a listener for datagrams.
pub(super) fn bind(bind: Bind, text: &At<&str>, notes: &Notes) -> Option<Bind> {
    match bind {
        Bind::Inet(address) | Bind::Udp(address) => Some(Bind::Udp(address)),
        Bind::Unix(_) => {
            let expected = "an address and a port, since the listener is in udp mode";
            notes.problem(text.place.expected(expected, shown(text.value)));
            None
        }
    }
}

/// Looks whether the clusters that a listener forwards to take what it brings.
pub(super) fn check_clusters(listener: &Table<'_, '_>, mode: Mode, rules: &Rules) {
    let notes = listener.notes();
    for rule in rules.iter() {
        let Some(Ending::Forward(cluster)) = &rule.ending else { continue };
        if mode != Mode::Udp {
            if cluster.send_header.is_for_datagrams() {
                let problem =
                    format!("cluster `{}` sends a header that only datagrams can carry", cluster.name);
                let hint = "take a cluster with `send_header = \"v2\"`, `\"v1\"` or `\"none\"`";
                notes.problem(listener.place.problem(problem).hint(hint));
            }
            continue;
        }
        if cluster.send_header == SendHeader::V1 {
            let problem = format!("cluster `{}` sends v1, which has no form for datagrams", cluster.name);
            notes.problem(listener.place.problem(problem).hint("write `send_header = \"v2\"` there"));
        }
        if cluster.tls.is_some() {
            let problem = format!("cluster `{}` speaks TLS, which goes over connections", cluster.name);
            notes.problem(listener.place.problem(problem).hint("take a cluster without `tls`"));
        }
        let unix = cluster.endpoints.iter().find(|endpoint| matches!(endpoint.target, Target::Unix(_)));
        if let Some(endpoint) = unix {
            let problem = format!(
                "cluster `{}` has the endpoint `{}`, which takes no datagrams",
                cluster.name, endpoint.text
            );
            notes.problem(listener.place.problem(problem).hint("name an address and a port"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;
    use crate::plan::Plan;

    fn file(listener: &str, cluster: &str) -> String {
        format!(
            "[trust.edge]\nfrom = [\"10.0.0.0/8\"]\n[listener.dns]\nbind = [\"127.0.0.1:53\"]\nmode = \"udp\"\n\
             trust = [\"edge\"]\ncluster = \"app\"\n{listener}\n[cluster.app]\nendpoints = [\"127.0.0.1:5353\"]\n{cluster}\n"
        )
    }

    fn plan(text: &str) -> Plan {
        parse(text, "f", Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).plan
    }

    fn problems(text: &str) -> String {
        parse(text, "f", Path::new(".")).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn flows_end_sooner_than_connections_unless_the_file_says_otherwise() {
        let plan_of = |listener| plan(&file(listener, "send_header = \"spp\"")).listeners.remove(0);
        let listener = plan_of("");
        assert_eq!((listener.timeout.idle, listener.max.flows), (IDLE, 16_384));
        assert_eq!(listener.header.datagrams, DatagramHeaders::Every);
        let listener =
            plan_of("timeout = { idle = \"5s\" }\nmax = { flows = 7 }\nheader = { datagrams = \"spp\" }");
        assert_eq!((listener.timeout.idle.as_secs(), listener.max.flows), (5, 7));
        assert_eq!(listener.header.datagrams, DatagramHeaders::Spp);
    }

    #[test]
    fn the_same_port_may_be_bound_for_datagrams_and_for_connections() {
        let tcp = "[listener.tcp]\nbind = [\"127.0.0.1:53\"]\nmode = \"tcp\"\ncluster = \"app\"";
        let plan = plan(&file("", tcp));
        let binds: Vec<String> = plan
            .listeners
            .iter()
            .map(|listener| format!("{}: {}", listener.name, listener.binds[0]))
            .collect();
        assert_eq!(binds, ["dns: udp 127.0.0.1:53", "tcp: 127.0.0.1:53"]);
        let twice = "[listener.other]\nbind = [\"127.0.0.1:53\"]\nmode = \"udp\"\ncluster = \"app\"";
        let told = problems(&file("", twice));
        assert!(told.contains("expected an address that no other bind takes"), "{told}");
    }

    #[test]
    fn what_no_datagram_can_carry_is_told() {
        let told = problems(&file("", "send_header = \"v1\""));
        assert!(told.contains("cluster `app` sends v1, which has no form for datagrams"), "{told}");
        assert!(told.contains("hint: write `send_header = \"v2\"` there"), "{told}");
        let told = problems(&file("", "tls = { name = \"a.test\" }"));
        assert!(told.contains("cluster `app` speaks TLS, which goes over connections"), "{told}");
        let told = problems(&file("", "").replace("\"127.0.0.1:5353\"", "\"unix:/run/dns.sock\""));
        assert!(told.contains("`unix:/run/dns.sock`, which takes no datagrams"), "{told}");
        let told = problems(&file("", "").replace("\"127.0.0.1:53\"", "\"unix:/run/dns.sock\""));
        assert!(told.contains("expected an address and a port, since the listener is in udp mode"), "{told}");
        for header in ["v2-first", "spp"] {
            let text = file("", &format!("send_header = \"{header}\"")).replace("\"udp\"", "\"tcp\"");
            let told = problems(&text);
            assert!(told.contains("cluster `app` sends a header that only datagrams can carry"), "{told}");
        }
    }

    #[test]
    fn keys_of_connections_have_no_effect_on_datagrams_and_the_other_way_round() {
        let listener = "ignore_case = true\nkeepalive = { count = 0 }\ntimeout = { total = \"1h\" }\nmax = { connections = 3 }\n\
                        header = { deadline = \"5s\", chain = 2, second_header = \"reject\", waiting = 3 }";
        let told = problems(&file(listener, ""));
        for key in [
            "ignore_case",
            "keepalive",
            "total",
            "connections",
            "deadline",
            "chain",
            "second_header",
            "waiting",
        ] {
            assert!(told.contains(&format!("`{key}` has no effect: ")), "{key}: {told}");
        }
        let listener = "max = { flows = 3 }\nheader = { datagrams = \"first\" }";
        let told = problems(&file(listener, "").replace("\"udp\"", "\"tcp\""));
        for key in ["flows", "datagrams"] {
            let why = "only a listener in udp mode has flows";
            assert!(told.contains(&format!("`{key}` has no effect: {why}")), "{key}: {told}");
        }
    }
}
