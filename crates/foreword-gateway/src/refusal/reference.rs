//! The page of the reference about codes, held in step with the table that it is written from.

use std::fmt::Write as _;

use super::Code;

#[test]
fn the_reference_explains_the_codes_that_there_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/codes.md");
    if std::env::var_os("FOREWORD_WRITE_REFERENCE").is_some() {
        std::fs::write(path, reference()).expect("the folder is there");
    }
    let page = std::fs::read_to_string(path).expect("the page is in the repository");
    assert!(page == reference(), "run this test with FOREWORD_WRITE_REFERENCE=1 to write the page anew");
}

/// The page, as `docs/reference/codes.md` holds it.
fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut room = 0;
    for &code in Code::ALL {
        if code.number() / 100 != room {
            room = code.number() / 100;
            let _ = write!(page, "\n## FW{room}xx: {}\n", title(room));
        }
        let text = code.page();
        let _ = write!(
            page,
            "\n### {code}: {}\n\n{}\n\n*Why it happens.* {}\n\n*What to do.* {}\n",
            code.title(),
            text.meaning,
            text.cause,
            text.remedy
        );
        if let Some(requirement) = code.requirement() {
            let _ = write!(page, "\nIt rests on {requirement}.\n");
        }
    }
    page
}

fn title(room: u16) -> &'static str {
    match room {
        1 => "the header",
        2 => "trust",
        3 => "TLS",
        4 => "requests and rules",
        5 => "upstream",
        6 => "configuration",
        _ => "resources",
    }
}

const INTRODUCTION: &str = "# Codes

Whatever foreword refuses has a code that never changes its meaning. It stands at the end of the line in the log, in the
metrics (`foreword_refusals_total`), in the access log (`refusal.code`), and `foreword explain CODE` shows what is written
here.

A refused connection or request gives one line at level `warn`: which listener, its address, the peer's, what was expected, what was
found, and often what to do.

```text
web 10.0.1.10:443 ← 10.0.3.9:51514: expected a PROXY header, found a TLS ClientHello (SNI www.example.com); the peer is in trust \"elb\" (header = \"require\"). Traffic from inside that skips the balancer looks like this: list its source with header = \"optional\". [FW101, 412 more in the last minute]
```

Where a header was believed, or X-Forwarded-For, the client stands behind the peer; where it was for a cluster, its name and the
request's id stand at the end:

```text
web 10.0.1.10:443 ← 10.0.3.9:51514 for 203.0.113.7:41020: endpoint 10.0.2.11:8080 cannot be reached: Connection refused (os error 111); cluster `app`; request 4f1c0a7be95d4c8f8a5d7d1f3b0c2e61 [FW501]
```

So what bans addresses by these lines should look for `← (?:\\S+ for )?ADDRESS:`, not for the first address, which may be your
balancer's. A name behind ` for ` that begins with `unix` is a socket's; X-Forwarded-For seldom knows a port, and then there is none.

Lines of one code at one listener are limited: ten at once, then one a second. What was left out is counted, and told with the
next line or within a minute. A connection that closes without having sent a byte is a TCP probe: it is counted and not told.
Whatever comes from the wire is escaped, and cut where it is long.
";
