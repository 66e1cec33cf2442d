//! The access log from record to target, with real files, pipes and sockets.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use foreword::PeerAddr;
use tempfile::TempDir;

use super::*;
use crate::connection::record::{ClientKnown, Fill as _, Head, HttpVersion, Outcome, Record, Side, TlsKnown};
use crate::observe::journal::{Journal, OpenNow, Scribe, Unit};
use crate::observe::{Name, Observer};
use crate::refusal::{Code, Refusal};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn plan(to: LogTarget, format: LogFormat) -> AccessLogPlan {
    AccessLogPlan { to, format, redact: Redact::default(), queue: 100_000 }
}

fn file(dir: &TempDir) -> LogTarget {
    LogTarget::File(dir.path().join("access.log"))
}

fn template(text: &str) -> LogFormat {
    LogFormat::Template(LogTemplate::parse(text).expect(text))
}

/// An observer that writes to the log of `plan`, for so many workers.
fn observer(plan: &AccessLogPlan, workers: usize) -> Arc<Observer> {
    let observer = Observer::new(workers);
    let log = observer.open_access_log(plan).expect("a target that opens");
    observer.use_access_log(Some(log));
    observer
}

fn address(text: &str) -> PeerAddr {
    PeerAddr::Inet(text.parse().expect(text))
}

fn open(journal: &Rc<Journal>) -> Record {
    let mut record = Record::open(journal, address("10.0.3.9:51514"), address("10.0.1.10:443"));
    record.client(address("203.0.113.7:40000").into(), address("198.51.100.1:443"), Some(2));
    record.trust(&"elb".into());
    record
}

fn with_tls(record: &mut Record) {
    record.tls(|| TlsKnown {
        version: "TLSv1.3",
        cipher: "TLS13_AES_128_GCM_SHA256",
        sni: Some("www.example.com".into()),
        alpn: Some(b"http/1.1"[..].into()),
        client: Some(ClientKnown {
            cn: Some("alice".into()),
            serial: "0a".into(),
            fingerprint: "00ff".into(),
        }),
    });
}

/// A request that is forwarded and answered, with `text` wherever a stranger can put text.
fn request(record: &Record, text: &[u8]) {
    let target = [b"/p", text, b"?q=", text].concat();
    let mut request = record.request();
    let head = Head { method: b"GET", target: &target, version: HttpVersion::Http11 };
    request.head(&head, |_| Some(text));
    for name in [Name::Path, Name::Query, Name::Host, Name::RequestId, Name::TraceId] {
        request.text(name, text);
    }
    request.rule("admin is for the office");
    request.cluster("app");
    request.forwarding("127.0.0.1:8080");
    request.connected(true);
    request.first_byte();
    request.status(200);
    request.received(100);
    request.head_sent(50);
    request.sent(1050);
    request.close(Outcome::Complete);
}

/// Three connections in the process, two of them at the listener.
fn open_now() -> OpenNow {
    OpenNow { everywhere: Arc::new(3.into()), here: Arc::new(2.into()) }
}

/// What stands in the log after `story` was told at a listener.
fn told(plan: &AccessLogPlan, unit: Unit, story: impl FnOnce(&Rc<Journal>)) -> String {
    let observer = observer(plan, 1);
    story(&Scribe::new(Arc::clone(&observer), 0).journal("web", unit, open_now()));
    observer.flush(PATIENCE);
    let LogTarget::File(path) = &plan.to else { panic!("only files can be read") };
    fs::read_to_string(path).expect("the log is text")
}

fn parsed(line: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(line).expect(line)
}

#[test]
fn a_json_line_has_the_documented_names_and_both_addresses() {
    let dir = TempDir::new().unwrap();
    let log = told(&plan(file(&dir), LogFormat::Json), Unit::Request, |journal| {
        let mut record = open(journal);
        with_tls(&mut record);
        request(&record, b"/x");
        record.close(Outcome::Complete);
    });
    let line = parsed(log.strip_suffix('\n').unwrap());
    for (name, value) in &line {
        assert!(Name::parse(name).is_some(), "{name}");
        assert!(!value.is_null());
    }
    for (name, value) in [
        ("listener", "web"),
        ("client.ip", "203.0.113.7"),
        ("peer.ip", "10.0.3.9"),
        ("destination.ip", "198.51.100.1"),
        ("trust", "elb"),
        ("tls.sni", "www.example.com"),
        ("tls.version", "TLSv1.3"),
        ("tls.client.cn", "alice"),
        ("tls.client.serial", "0a"),
        ("tls.client.fingerprint", "00ff"),
        ("http.request.method", "GET"),
        ("url.original", "/p/x?q=/x"),
        ("rule", "admin is for the office"),
        ("cluster", "app"),
        ("endpoint", "127.0.0.1:8080"),
        ("termination", "complete"),
        ("termination.state", "----"),
        ("event.outcome", "success"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    let numbers = [
        ("client.port", 40_000),
        ("peer.port", 51_514),
        ("header.version", 2),
        ("http.response.status_code", 200),
        ("bytes.received", 100),
        ("bytes.sent", 1050),
    ];
    for (name, value) in numbers {
        assert_eq!(line[name], value, "{name}");
    }
    assert_eq!(line["upstream.reused"], true);
    assert!(!line.contains_key("refusal.code"));
}

#[test]
fn a_combined_line_is_what_apache_writes_with_the_peer_in_the_second_word() {
    let dir = TempDir::new().unwrap();
    let log = told(&plan(file(&dir), LogFormat::Combined), Unit::Request, |journal| {
        let record = open(journal);
        request(&record, b"");
        record.close(Outcome::Complete);
    });
    let (before, rest) = log.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    assert_eq!(before, "203.0.113.7 10.0.3.9 - ");
    assert!(time.len() == "23/Nov/2026:05:48:46 +0000".len() && time.contains(" +"), "{time}");
    assert_eq!(after, " \"GET /p?q= HTTP/1.1\" 200 1000 \"\" \"\"\n");
}

#[test]
fn an_httplog_line_has_haproxys_words_in_haproxys_order() {
    let dir = TempDir::new().unwrap();
    let log = told(&plan(file(&dir), LogFormat::Haproxy), Unit::Request, |journal| {
        let mut record = open(journal);
        with_tls(&mut record);
        request(&record, b"");
        let mut refused = record.request();
        refused.status(400);
        refused.close(Outcome::Refused(Refusal::new(
            Code::MalformedHead,
            &"expected a request line, found a NUL",
        )));
        record.close(Outcome::Complete);
    });
    let mut lines =
        log.lines().map(|line| line.split_once("]: ").expect(line).1.split(' ').collect::<Vec<_>>());
    let words = lines.next().unwrap();
    assert_eq!(words[0], "203.0.113.7:40000");
    assert!(words[1].starts_with('[') && words[1].len() == "[09/Dec/2013:12:59:46.633]".len());
    assert_eq!(words[2..4], ["web~", "app/127.0.0.1:8080"]);
    assert_eq!(words[4].split('/').count(), 5);
    assert_eq!(words[5..10], ["200", "1050", "-", "-", "----"]);
    assert_eq!(words[10..], ["3/2/0/0/0", "0/0", "{|10.0.3.9:51514}", "\"GET", "/p?q=", "HTTP/1.1\""]);
    let words = lines.next().unwrap();
    assert_eq!(
        words[3..5],
        ["web/<NOSRV>", &format!("-1/-1/-1/-1/{}", words[4].rsplit('/').next().unwrap())]
    );
    assert_eq!((words[5], words[9]), ("400", "PR--"));
    assert_eq!(words[13], "\"<BADREQ>\"");
}

#[test]
fn a_tcplog_line_ends_with_the_peer() {
    let dir = TempDir::new().unwrap();
    let log = told(&plan(file(&dir), LogFormat::Haproxy), Unit::Connection, |journal| {
        let mut record = open(journal);
        record.cluster("gateways");
        record.forwarding("10.0.1.10:443");
        record.retried();
        record.connected(false);
        record.sent(77);
        record.close(Outcome::Aborted(Side::Downstream));
    });
    let words: Vec<_> = log.trim_end().split_once("]: ").unwrap().1.split(' ').collect();
    assert_eq!(words[2..4], ["web", "gateways/10.0.1.10:443"]);
    assert_eq!(words[4].split('/').count(), 3);
    assert_eq!(words[5..], ["77", "CD", "3/2/0/0/+1", "0/0", "{|10.0.3.9:51514}"]);
}

#[test]
fn a_template_writes_names_and_request_fields_and_leaves_secrets_out() {
    let dir = TempDir::new().unwrap();
    let format =
        template(r#"{client.ip}<{peer.ip} {url.query} {field["Cookie"]} {field["x"]} {tls.sni} {{}}"#);
    let redact = Redact { query: true, cookies: true, authorization: true };
    let log = told(&AccessLogPlan { redact, ..plan(file(&dir), format) }, Unit::Request, |journal| {
        let record = open(journal);
        let mut request = record.request();
        let head = Head { method: b"GET", target: b"/", version: HttpVersion::Http10 };
        request.head(&head, |name| (name == "cookie").then_some(b"sid=1"));
        request.text(Name::Query, b"token=1");
        request.close(Outcome::Complete);
        record.close(Outcome::Complete);
    });
    assert_eq!(log, "203.0.113.7<10.0.3.9 token=REDACTED sid=REDACTED - - {}\n");
}

#[test]
fn no_byte_that_a_stranger_sends_makes_or_breaks_a_line() {
    let formats = [
        LogFormat::Json,
        LogFormat::Combined,
        LogFormat::Haproxy,
        template(r#""{url.path}" "{url.query}" "{url.domain}" "{url.original}" "{field["x"]}""#),
    ];
    for format in formats {
        let dir = TempDir::new().unwrap();
        let log = told(&plan(file(&dir), format.clone()), Unit::Request, |journal| {
            let record = open(journal);
            for byte in 0..=255 {
                request(&record, &[b'a', byte, b'b']);
            }
            record.close(Outcome::Complete);
        });
        assert_eq!(log.lines().count(), 256, "{format:?}");
        for (byte, line) in log.lines().enumerate() {
            assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{byte}: {line}");
            match &format {
                LogFormat::Json => drop(parsed(line)),
                LogFormat::Haproxy => assert_eq!(line.matches('"').count(), 2, "{line}"),
                LogFormat::Combined => assert_eq!(unescaped_quotes(line), 6, "{line}"),
                LogFormat::Template(_) => assert_eq!(unescaped_quotes(line), 10, "{line}"),
            }
        }
    }
}

fn unescaped_quotes(line: &str) -> usize {
    line.replace("\\\\", "").replace("\\\"", "").matches('"').count()
}

#[test]
fn a_tcp_probe_leaves_no_line_and_every_other_connection_one() {
    let dir = TempDir::new().unwrap();
    let log = told(&plan(file(&dir), template("{termination}")), Unit::Connection, |journal| {
        for outcome in [
            Outcome::Complete,
            Outcome::Probe,
            Outcome::Refused(Refusal::new(Code::Stranger, &"expected a listed peer")),
            Outcome::TimedOut(Side::Upstream),
        ] {
            open(journal).close(outcome);
        }
        drop(open(journal));
    });
    assert_eq!(log, "complete\nrefused\ntimed_out\ncut_off\n");
}

/// Has four workers write `each` lines while `meanwhile` happens over and over.
fn under_load(observer: &Arc<Observer>, each: usize, mut meanwhile: impl FnMut()) {
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let observer = Arc::clone(observer);
            thread::spawn(move || {
                let journal = Scribe::new(observer, worker).journal("web", Unit::Request, OpenNow::default());
                let record = open(&journal);
                for number in 0..each {
                    let mut request = record.request();
                    request.text(Name::Path, format!("{worker}/{number}/end").as_bytes());
                    request.close(Outcome::Complete);
                }
                record.close(Outcome::Complete);
            })
        })
        .collect();
    while workers.iter().any(|worker| !worker.is_finished()) {
        meanwhile();
    }
    for worker in workers {
        worker.join().expect("a worker that does not panic");
    }
}

#[test]
fn rotation_under_load_loses_no_line_and_tears_none() {
    const EACH: usize = 50_000;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("access.log");
    let plan = AccessLogPlan { queue: 1_000_000, ..plan(file(&dir), template("{url.path}")) };
    let observer = observer(&plan, 4);
    let mut rotated = 0;
    under_load(&observer, EACH, || {
        if fs::rename(&path, dir.path().join(format!("access.log.{rotated}"))).is_ok() {
            rotated += 1;
            observer.reopen_logs();
        }
        thread::yield_now();
    });
    observer.flush(PATIENCE);

    let mut lines: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        lines.extend(fs::read_to_string(entry.unwrap().path()).unwrap().lines().map(str::to_owned));
    }
    lines.sort_unstable();
    lines.dedup();
    assert!(rotated > 0);
    assert_eq!(lines.len(), 4 * EACH);
    assert!(lines.iter().all(|line| line.ends_with("/end")));
    assert_eq!(observer.log_counters.iter().map(LogCounters::lost).sum::<u64>(), 0);
}

#[test]
fn a_pipe_that_nobody_reads_stops_nobody_and_what_is_lost_is_counted() {
    const EACH: usize = 20_000;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Both ends, so that neither side waits for the other to come.
    let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let plan = AccessLogPlan { queue: 400, ..plan(LogTarget::File(path), template("{url.path}")) };
    let observer = observer(&plan, 4);
    under_load(&observer, EACH, thread::yield_now);

    let counted =
        |read: fn(&LogCounters) -> u64| observer.log_counters.iter().map(read).sum::<u64>() as usize;
    let (written, lost) = (counted(|counters| counters.lines.get()), counted(LogCounters::lost));
    assert_eq!(written + lost, 4 * EACH);
    assert!(lost > 0);

    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    while memchr::memchr_iter(b'\n', &read).count() < written {
        let count = reader.read(&mut chunk).unwrap();
        read.extend_from_slice(&chunk[..count]);
    }
    assert!(String::from_utf8(read).unwrap().lines().all(|line| line.ends_with("/end")));
}

#[test]
fn a_full_disk_is_counted_and_traffic_goes_on() {
    let plan = plan(LogTarget::File("/dev/full".into()), LogFormat::Json);
    let observer = observer(&plan, 1);
    let journal = Scribe::new(Arc::clone(&observer), 0).journal("web", Unit::Request, OpenNow::default());
    let record = open(&journal);
    for _ in 0..1000 {
        request(&record, b"");
    }
    record.close(Outcome::Complete);
    let log = observer.open_access_log(&plan).unwrap();
    assert!(!log.flush(Duration::from_millis(200)), "nothing can be written");
    assert!(observer.log_counters[0].errors.load(std::sync::atomic::Ordering::Relaxed) >= 1);
    assert_eq!(observer.log_counters[0].lines.get(), 1000);
}

#[test]
fn a_missing_folder_is_told_and_not_made() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("missing/access.log");
    let error =
        Observer::new(1).open_access_log(&plan(LogTarget::File(path.clone()), LogFormat::Json)).unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with(&format!("access log: expected to open `file:{}`, found: ", path.display())),
        "{told}"
    );
    let folder = path.parent().unwrap();
    let missing = format!("; its folder `{}` is missing, and is not made [FW709]", folder.display());
    assert!(told.ends_with(&missing), "{told}");
    assert!(!folder.exists());
}

#[test]
fn each_line_tells_of_its_own_connection_however_many_take_turns() {
    let dir = TempDir::new().unwrap();
    let ip = |number: u32| std::net::Ipv4Addr::from(0xcb00_7100 + number).to_string();
    let log = told(&plan(file(&dir), LogFormat::Json), Unit::Request, |journal| {
        let connect = |number| {
            let mut record = open(journal);
            let client = address(&format!("{}:4000", ip(number)));
            record.client(client.into(), address("198.51.100.1:443"), Some(2));
            record
        };
        let records: Vec<_> = (0..600).map(connect).collect();
        for round in 0..3 {
            for (number, record) in records.iter().enumerate() {
                let mut request = record.request();
                if round == 1 && number % 3 == 0 {
                    request.client(address("192.0.2.1:0").into());
                }
                request.close(Outcome::Complete);
            }
        }
    });
    let mut lines = log.lines().map(parsed);
    for round in 0..3 {
        for number in 0..600 {
            let line = lines.next().unwrap();
            let (client, port) = match round == 1 && number % 3 == 0 {
                true => ("192.0.2.1".to_owned(), None),
                false => (ip(number), Some(4000)),
            };
            assert_eq!(line["client.ip"], *client);
            assert_eq!(line.get("client.port").and_then(serde_json::Value::as_u64), port);
        }
    }
}

#[test]
fn a_new_file_is_not_for_everyone_and_an_old_one_is_added_to() {
    let dir = TempDir::new().unwrap();
    let plan = plan(file(&dir), template("{listener}"));
    for _ in 0..2 {
        told(&plan, Unit::Connection, |journal| open(journal).close(Outcome::Complete));
    }
    let path = dir.path().join("access.log");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(&path).unwrap(), "web\nweb\n");
}

#[test]
fn a_reload_that_wants_the_same_log_keeps_it_and_another_one_takes_over() {
    let dir = TempDir::new().unwrap();
    let first = plan(file(&dir), template("first"));
    let observer = observer(&first, 1);
    let scribe = Scribe::new(Arc::clone(&observer), 0);
    let early = scribe.journal("web", Unit::Connection, OpenNow::default());
    assert!(Arc::ptr_eq(
        &observer.open_access_log(&first).unwrap(),
        &observer.open_access_log(&first).unwrap()
    ));

    let second = observer.open_access_log(&plan(file(&dir), template("second"))).unwrap();
    observer.use_access_log(Some(second));
    open(&scribe.journal("web", Unit::Connection, OpenNow::default())).close(Outcome::Complete);
    open(&early).close(Outcome::Complete);
    observer.flush(PATIENCE);
    let mut lines: Vec<_> =
        fs::read_to_string(dir.path().join("access.log")).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["first", "second"]);
}

/// Tells one connection to a syslog target.
fn tell_syslog(to: LogTarget) -> Arc<Observer> {
    let observer = observer(&plan(to, template("{listener} {client.ip}")), 1);
    open(&Scribe::new(Arc::clone(&observer), 0).journal("web", Unit::Connection, OpenNow::default()))
        .close(Outcome::Complete);
    observer
}

fn assert_is_syslog(message: &[u8]) {
    let text = str::from_utf8(message).unwrap();
    let words: Vec<_> = text.split(' ').collect();
    assert_eq!(words[0], "<134>1", "{text}");
    assert!(words[1].ends_with('Z') && words[1].contains('T'), "{text}");
    assert_eq!(words[3], "foreword", "{text}");
    assert_eq!(words[4], std::process::id().to_string(), "{text}");
    assert_eq!(words[5..], ["access", "-", "web", "203.0.113.7"], "{text}");
}

#[test]
fn syslog_over_udp_takes_one_message_a_line() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let _observer = tell_syslog(LogTarget::SyslogUdp(server.local_addr().unwrap()));
    let mut message = [0; 2048];
    let len = server.recv(&mut message).unwrap();
    assert_is_syslog(&message[..len]);
}

#[test]
fn syslog_over_a_unix_socket_takes_one_message_a_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let _observer = tell_syslog(LogTarget::SyslogUnix(path));
    let mut message = [0; 2048];
    let len = server.recv(&mut message).unwrap();
    assert_is_syslog(&message[..len]);
}

#[test]
fn syslog_over_tcp_counts_the_octets_of_each_message() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let observer = tell_syslog(LogTarget::SyslogTcp(server.local_addr().unwrap()));
    let (mut stream, _) = server.accept().unwrap();
    // The last handle of the log closes the stream.
    drop(observer);
    let mut framed = Vec::new();
    stream.read_to_end(&mut framed).unwrap();
    let text = String::from_utf8(framed).unwrap();
    let (len, message) = text.split_once(' ').unwrap();
    assert_eq!(len.parse(), Ok(message.len()));
    assert_is_syslog(message.as_bytes());
}

#[test]
fn a_syslog_server_that_comes_late_gets_the_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    let observer = tell_syslog(LogTarget::SyslogUnix(path.clone()));
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut message = [0; 2048];
    let len = server.recv(&mut message).unwrap();
    assert_is_syslog(&message[..len]);
    drop(observer);
}

#[test]
fn what_a_warm_log_does_for_a_request_fits_into_memory_it_has() {
    let dir = TempDir::new().unwrap();
    let observer = observer(&plan(file(&dir), LogFormat::Json), 1);
    let journal = Scribe::new(Arc::clone(&observer), 0).journal("web", Unit::Request, OpenNow::default());
    let record = open(&journal);
    request(&record, b"/warm");
    let first = journal.exchange(std::time::Instant::now());
    let place: *const _ = &raw const *first;
    journal.give_back(first);
    request(&record, b"/again");
    let again = journal.exchange(std::time::Instant::now());
    assert_eq!(&raw const *again, place, "the same memory serves one request after the other");
    record.close(Outcome::Complete);
}

#[test]
fn the_standard_output_is_a_target_like_any_other() {
    assert!(Observer::new(1).open_access_log(&plan(LogTarget::Stdout, LogFormat::Json)).is_ok());
}
