//! The access log in HAProxy's form, read by a program that was written for HAProxy.

use std::collections::HashMap;

use serde_json::Value;

use crate::caller::Caller;
use crate::gateway::{self, Gateway};
use crate::ground::Ground;
use crate::header::{self, CLIENT, CLIENT6};
use crate::origin::Origin;
use crate::{program, python};

#[test]
fn lines_in_the_haproxy_format_are_read_by_haproxy_log_analysis() {
    let Some(mut reader) = python::script("haproxy_lines.py", "haproxy.line") else { return };
    let ground = Ground::new();
    let origin = Origin::start(&ground);
    let web = ground.address();
    let refusing = "[[listener.web.rule]]\nwhen = 'path.under(\"/admin\")'\nthen = { deny = 403 }\n";
    let file = gateway::web(web, origin.address, "require", refusing).replace("\"json\"", "\"haproxy\"");
    let foreword = Gateway::start(&ground, &file, &[web]);

    let mut caller = Caller::connect(web, &header::client_v1());
    assert_eq!(caller.get("peers.test", "/plain").status, 200);
    assert_eq!(caller.get("peers.test", "/query?a=1&b=%22quoted%22").status, 200);
    assert_eq!(caller.get("peers.test", "/admin").status, 403);
    let mut of_ipv6 = Caller::connect(web, &header::v2(header::client6(), header::destination6(), &[]));
    assert_eq!(of_ipv6.get("peers.test", "/six").status, 200);

    let lines = foreword.program.answers_with(" web", 4);
    let log = ground.write("haproxy.log", &(lines.join("\n") + "\n"));
    let read = program::run(reader.arg(log));
    assert!(read.status.success(), "{read:?}");
    let found: HashMap<String, Value> = read
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON from the reader"))
        .inspect(|line| assert_eq!(line["valid"], true, "{lines:#?}"))
        .map(|line| (line["http_request_path"].as_str().expect("a path").to_owned(), line))
        .collect();

    let plain = &found["/plain"];
    assert_eq!(plain["client_ip"], CLIENT);
    // What the reader counts as the client: the first captured field, if there is something in it.
    assert_eq!(plain["ip"], CLIENT);
    assert_eq!(plain["client_port"], header::CLIENT_PORT);
    assert_eq!(plain["frontend_name"], "web");
    assert_eq!(plain["backend_name"], "app");
    assert_eq!(plain["status_code"], "200");
    assert_eq!(plain["http_request_method"], "GET");
    assert_eq!(plain["http_request_protocol"], "HTTP/1.1");
    assert!(found.contains_key("/query?a=1&b=%22quoted%22"), "{found:#?}");
    assert_eq!(found["/admin"]["status_code"], "403");
    assert_eq!(found["/six"]["client_ip"], CLIENT6);
}
