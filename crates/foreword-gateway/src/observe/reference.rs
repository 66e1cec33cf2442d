//! The pages of the reference about the access log and the metrics, held in step with the tables behind them.

use std::fmt::Write as _;

use super::metrics::{Family, Kind};
use super::name::Name;

#[test]
fn the_reference_names_what_the_access_log_tells() {
    check("access-log.md", &access_log());
}

#[test]
fn the_reference_names_the_metrics_that_there_are() {
    check("metrics.md", &metrics());
}

fn check(name: &str, written: &str) {
    let path = format!("{}/../../docs/reference/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("FOREWORD_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, written).expect("the folder is there");
    }
    let page = std::fs::read_to_string(path).expect("the page is in the repository");
    assert!(page == written, "run this test with FOREWORD_WRITE_REFERENCE=1 to write the page anew");
}

fn access_log() -> String {
    let mut page = ABOUT_LINES.to_owned();
    page.push_str("\n## The names\n\n| name | tells |\n| --- | --- |\n");
    for name in Name::ALL {
        let _ = writeln!(page, "| `{}` | {} |", name.as_str(), name.meaning());
    }
    page.push_str(ABOUT_FORMATS);
    page
}

fn metrics() -> String {
    let mut page = ABOUT_METRICS.to_owned();
    page.push_str("\n| name | kind | labels | |\n| --- | --- | --- | --- |\n");
    for family in Family::ALL {
        let kind = match family.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "| `{}` | {kind} | {} | {}. |", family.name(), labels.join(", "), family.help);
    }
    page.push_str(ABOUT_LABELS);
    page
}

const ABOUT_LINES: &str = "# The access log

In http mode each request has one line, in tcp mode each connection, in udp mode each flow, written when it has ended, however it
ended. A flow ends when nothing moved for `timeout.idle`, which is `complete`; a datagram that is dropped before it has a flow is
only counted and told, since whoever floods a port should not fill a disk. A request that is refused has one too, with `refusal.code`. In http mode a connection that ends before its first request has none; what was wrong
with it stands in the log and in the metrics. A TCP probe (a connection closed without a byte) is only counted.

```toml
[log.access]
to     = \"file:/var/log/foreword/access.log\"   # stdout | file:PATH | syslog:ADDRESS
format = \"json\"                                # json | combined | haproxy | a template
redact = [\"query\", \"cookies\", \"authorization\"]
```

Lines are written off the path of the traffic: they wait in a bounded queue, and when the target stands still the newest are lost,
counted (`foreword_access_log_lines_lost_total`) and told (FW704) at most once a minute. Writing that fails is tried again every
second. SIGUSR1 opens files anew; each line is in the old file or in the new one. A file is made with mode 0640, its folder is not
made.

Both addresses are always there: the client's, which is the header's claim if it was believed, and the peer's, which the kernel
saw.
";

const ABOUT_FORMATS: &str = "
## The formats

**`json`**: one object a line, with these names as keys, not nested. What is absent is left out. Bytes that are not UTF-8 are written
as `\\xHH`.

**A template**: text with names in braces, `\"{client.ip} {peer.ip} {http.request.method} {url.path}\"`; `{{` and `}}` are the braces
themselves. `{field[\"x-shop\"]}` writes the first request field of that name. What is absent is written as `-`. Quotes,
backslashes and all that is not plain ASCII are escaped: `\\\"`, `\\\\`, `\\xHH`.

**`combined`**: as Apache and nginx write it. The second word, which identd would have filled, holds the peer's address:

```text
203.0.113.7 10.0.3.9 - [23/Nov/2026:05:48:46 +0000] \"GET /a HTTP/1.1\" 200 2326 \"-\" \"curl/8.5.0\"
```

**`haproxy`**: httplog for requests, tcplog for connections, so that what reads HAProxy's logs reads these: timers, termination state
and the rest stand where HAProxy puts them. To stdout and files a line begins as a syslog daemon would begin it. The peer stands in
braces, where HAProxy has captured request headers, as the second of two; in tcp mode it is the last word. The listener is the frontend, the cluster the backend,
the endpoint the server. There is no place for the rule and for the code of a refusal, as there is none in `combined`: to see why somebody
was refused, log as `json` (`rule`, `refusal.code`), or write a template with `{rule} {refusal.code}` in it. Of the counts of connections the first two (process, listener) are kept, the others are 0.

```text
Nov 23 05:48:46 host foreword[4711]: 203.0.113.7:40000 [23/Nov/2026:05:48:46.027] web~ app/127.0.0.1:8080 0/0/1/12/13 200 1050 - - ---- 1/1/0/0/0 0/0 {|10.0.3.9:51514} \"GET / HTTP/1.1\"
```

**To syslog** every line is an RFC 5424 message, facility local0, severity informational, application `foreword`, message id
`access`: over UDP with `syslog:10.0.0.9:514`, over TCP (RFC 6587, octets counted) with `syslog:tcp:10.0.0.9:514`, to a socket with
`syslog:unix:/dev/log`.

## What is left out

`redact` replaces values with `REDACTED`: those in queries (of the target and of the Referer; their names stay), those of cookies (their
names stay), and those of `Authorization` and `Proxy-Authorization` (the scheme stays). Texts from a request are cut at 1024 bytes,
target, path and query at 4096.
";

const ABOUT_METRICS: &str = "# Metrics

`[admin] bind = \"unix:/run/foreword/admin.sock\"` serves OpenMetrics text at `/metrics`:

```sh
curl --unix-socket /run/foreword/admin.sock http://admin/metrics
```

Counters never go back while the process lives, reloads included. No label holds anything that a stranger can choose: no address,
path or host.
";

const ABOUT_LABELS: &str = "
## The labels

`result` of connections: `complete`, `probe` (closed without a byte), `refused` (with a code), `aborted` (a side went away), `timed_out`,
`cut_off` (by the end of a drain), `panicked`. `result` of upstream connects: `connected`, `failed`, `timed_out`, `unresolved`;
of those who found no connection free: `served` (after a while), `timed_out`, `full` (the queue was); of checks: `passed`, `failed`, `timed_out`; of
reloads, changes of files and attempts by ACME: `success`, `failure`.

`version` of headers: `1`, `2`, or `none` for clients that came without one.

`code`: see [the codes](codes.md). `reason`: the requirement of [the specification](../spec.md) that a refused header broke; of TLVs that were left out,
`no_room` or `unfit`.

`cause` of dropped datagrams: `stranger`, `header`, `rule`, `full` (no room for a flow), `endpoint` (none can be reached), `too_large`,
`unsent` (the kernel did not take it), `answer` (without the header that it should carry back), `draining`, `panicked`.

`switch`: its key in `header` of a listener, as `tlv_malformed`.

`status`: `2xx` and so on, `none` for requests that ended unanswered.

## Other paths

`/healthz` answers 200 while the process lives. `/readyz` answers 200 while new connections are welcome, and 503 while it drains. `/clusters` is
every endpoint and how it is, as JSON, and [endpoints are drained](../guide/balancing.md#letting-an-endpoint-go) below it.
";
