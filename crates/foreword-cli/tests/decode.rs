//! `foreword decode`, as a real program.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use foreword_vectors::{Address, Answer, Family, Transport, Vector, Version, vectors};
use serde_json::{Map, Value, json};

fn decode(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_foreword"));
    command
        .arg("decode")
        .args(arguments)
        .write_stdin(input)
        .timeout(Duration::from_secs(60))
        .output()
        .expect("it runs")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn opts(vector: &Vector) -> Value {
    let mut opts = Map::new();
    if let Some(len) = vector.opts.max_header_len {
        opts.insert("max_header_len".into(), json!(len));
    }
    if vector.opts.datagram {
        opts.insert("context".into(), json!("datagram"));
    }
    if vector.opts.spp {
        opts.insert("format".into(), json!("spp"));
    }
    Value::Object(opts)
}

/// What a vector asks the answer to be.
fn expected(vector: &Vector) -> Value {
    let version = vector.version.map(|version| match version {
        Version::One => json!(1),
        Version::Two => json!(2),
        Version::Spp => json!("spp"),
    });
    let mut answer = json!({
        "id": vector.id, "expect": "reject", "version": version, "command": null, "family": null,
        "transport": null, "src": null, "dst": null, "tlvs": [], "header_len": null,
    });
    match &vector.answer {
        Answer::Reject { .. } => {}
        Answer::NeedMore => answer["expect"] = json!("need_more"),
        Answer::Accept(header) => {
            answer["expect"] = json!("accept");
            answer["command"] = json!(if header.local { "LOCAL" } else { "PROXY" });
            answer["family"] = json!(match header.family {
                Family::Unspecified => "UNSPEC",
                Family::Inet => "INET",
                Family::Inet6 => "INET6",
                Family::Unix => "UNIX",
            });
            answer["transport"] = json!(match header.transport {
                Transport::Unspecified => "UNSPEC",
                Transport::Stream => "STREAM",
                Transport::Datagram => "DGRAM",
            });
            answer["src"] = address(header.source.as_ref());
            answer["dst"] = address(header.destination.as_ref());
            let tlv = |(kind, value): &(u8, Vec<u8>)| json!({ "type": kind, "value_hex": hex(value) });
            answer["tlvs"] = header.tlvs.iter().map(tlv).collect();
            answer["header_len"] = json!(header.header_len);
        }
    }
    answer
}

fn address(address: Option<&Address>) -> Value {
    match address {
        None => Value::Null,
        Some(Address::Unix(path)) => json!(format!("unix:{}", hex(path))),
        Some(Address::Inet(address)) => json!(address.to_string()),
    }
}

/// Addresses are compared as values: a mapped one has two spellings.
fn with_addresses_as_values(mut answer: Value) -> Value {
    for side in ["src", "dst"] {
        if let Some(Ok(address)) = answer[side].as_str().map(str::parse::<std::net::SocketAddr>) {
            answer[side] = json!(address.to_string());
        }
    }
    answer
}

#[test]
fn every_vector_is_answered_as_it_says_whole_and_in_order() {
    let mut questions = Vec::new();
    for vector in vectors() {
        let question = json!({ "id": vector.id, "input_hex": hex(&vector.input), "opts": opts(vector) });
        writeln!(questions, "{question}").expect("written");
    }
    let output = decode(&["--jsonl"], &questions);
    assert_eq!(code(&output), 0);
    let answers: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), vectors().len());
    for (answer, vector) in answers.into_iter().zip(vectors()) {
        assert_eq!(with_addresses_as_values(answer), expected(vector), "{}", vector.note);
    }
}

#[test]
fn every_beginning_of_a_good_header_needs_more() {
    let mut questions = Vec::new();
    let good = |vector: &&Vector| !vector.opts.datagram && vector.input.len() <= 300;
    for vector in vectors().iter().filter(good) {
        let Answer::Accept(header) = &vector.answer else { continue };
        for cut in 0..header.header_len {
            writeln!(questions, "{}", json!({ "id": vector.id, "input_hex": hex(&vector.input[..cut]) }))
                .expect("written");
        }
    }
    let output = decode(&["--jsonl"], &questions);
    for line in stdout(&output).lines() {
        let answer: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(answer["expect"], "need_more", "{line}");
    }
    assert!(stdout(&output).lines().count() > 5000);
}

#[test]
fn a_bad_line_is_answered_in_its_place() {
    let output =
        decode(&["--jsonl"], b"{\"id\":7,\"input_hex\":\"zz\"}\n{\n{\"id\":\"b\",\"input_hex\":\"58\"}\n");
    assert_eq!(code(&output), 0);
    let answers: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&answers[0]["id"], answers[0]["error"].is_string()), (&json!(7), true));
    assert!(answers[1]["error"].is_string());
    assert_eq!((&answers[2]["id"], &answers[2]["expect"]), (&json!("b"), &json!("reject")));
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_foreword"))
        .args(["decode", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let mut questions = child.stdin.take().expect("a pipe");
    // Until it, told by its closed pipe, stops reading.
    while questions.write_all(b"{\"input_hex\":\"50\"}\n").is_ok() {}
    drop(questions);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((code(&output), output.stderr), (141, Vec::new()));
}

#[test]
fn a_header_is_read_from_an_argument_a_file_and_standard_input_as_bytes_or_hex() {
    let line = b"PROXY TCP4 192.0.2.10 198.51.100.20 56324 443\r\n";
    let folder = tempfile::tempdir().expect("a folder");
    let (raw, digits) = (folder.path().join("raw"), folder.path().join("hex"));
    std::fs::write(&raw, line).expect("written");
    std::fs::write(&digits, hex(line)).expect("written");
    let said = decode(&[], line);
    assert!(stdout(&said).starts_with("v1 header of 47 bytes: PROXY, TCP over IPv4\n"), "{}", stdout(&said));
    let spaced: String =
        hex(line).as_bytes().chunks(2).map(|pair| format!("{} ", pair.escape_ascii())).collect();
    for other in [
        decode(&[&hex(line)], b""),
        decode(&["PROXY TCP4 192.0.2.10 198.51.100.20 56324 443"], b""),
        decode(&["--file", &raw.display().to_string()], b""),
        decode(&["--file", &digits.display().to_string()], b""),
        decode(&[], spaced.as_bytes()),
        decode(&["--raw"], line),
        decode(&["--hex"], hex(line).as_bytes()),
    ] {
        assert_eq!((code(&other), stdout(&other)), (0, stdout(&said)));
    }
}

#[test]
fn a_header_is_taken_apart_byte_by_byte() {
    let header = "0d0a0d0a000d0a515549540a2111001c c000020a c6336414 dc04 01bb 02000d 612e6578616d706c652e6f7267 474554";
    let output = decode(&[&header.replace(' ', "")], b"");
    assert_eq!(
        stdout(&output),
        "v2 header of 44 bytes: PROXY, TCP over IPv4\n\
         \n    0  0d0a0d0a000d0a515549540a  v2: signature\
         \n   12  21                        version 2, command PROXY\
         \n   13  11                        IPv4, stream\
         \n   14  001c                      28 bytes follow\
         \n   16  c000020a                  source address: 192.0.2.10\
         \n   20  c6336414                  destination address: 198.51.100.20\
         \n   24  dc04                      source port: 56324\
         \n   26  01bb                      destination port: 443\
         \n   28  02000d                    TLV 0x02 AUTHORITY of 13 bytes\
         \n   31  612e6578616d706c652e6f72    `a.example.org`\
         \n   43  67\
         \n\n3 bytes follow, other bytes: `GET`\n"
    );
}

#[test]
fn what_is_wrong_is_pointed_at_and_what_is_missing_counted() {
    let wrong = decode(&["PROXY TCP4 192.0.2.256 198.51.100.20 56324 443"], b"");
    assert_eq!(code(&wrong), 1);
    let lines: Vec<_> = stdout(&wrong).lines().collect();
    assert!(lines[0].starts_with("malformed: byte ") && lines[0].ends_with("[R-V1-05]"), "{lines:?}");
    let caret = lines[3].find('^').expect("a caret");
    assert!((lines[2].find("256").expect("the line")..).take(4).any(|at| at == caret), "{lines:?}");

    let missing = decode(&["0d0a0d0a000d0a515549540a2111000c"], b"");
    assert_eq!(code(&missing), 1);
    assert_eq!(
        stdout(&missing),
        "incomplete: nothing is wrong with these 16 bytes, but at least 12 more bytes are needed\n"
    );
    assert_eq!(code(&decode(&["--datagram", "0d0a0d0a000d0a515549540a2111000c"], b"")), 1);
    assert_eq!(code(&decode(&["--hex", "no hex"], b"")), 2);
    assert_eq!(code(&decode(&["0d0a0d0o"], b"")), 2);
    assert_eq!(code(&decode(&["--file", "/no/such/file"], b"")), 2);
}

#[test]
fn what_is_no_header_is_said_to_be_none_and_named() {
    for (arguments, bytes, said) in [
        (&["GET / HTTP/1.1"][..], &b""[..], "expected one, found an HTTP request [R-SEC-02]"),
        (&[], b"GET / HTTP/1.1\r\n\r\n", "expected one, found an HTTP request [R-SEC-02]"),
        (&["16030100050100"], b"", "expected one, found a TLS ClientHello [R-SEC-02]"),
        (&["xyz"], b"", "byte 0: expected a PROXY header, found `x` [R-SEC-02]"),
    ] {
        let output = decode(arguments, bytes);
        assert_eq!(code(&output), 1);
        assert_eq!(stdout(&output).lines().next(), Some(&*format!("no PROXY header: {said}")));
    }
    let output = decode(&["--json", "GET / HTTP/1.1"], b"");
    let said: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!((code(&output), &said["expect"]), (1, &json!("reject")));
}

#[test]
fn one_json_object_says_where_and_why() {
    let output = decode(&["--json", "PROXY TCP4 192.0.2.256 198.51.100.20 1 2"], b"");
    let said: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!((code(&output), &said["expect"], &said["version"]), (1, &json!("reject"), &json!(1)));
    assert_eq!(said["error"]["requirement"], "R-V1-05");
    assert!(said["error"]["offset"].as_u64().expect("a place") >= 19);
    let output = decode(&["--json", "0d0a"], b"");
    let said: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!((&said["expect"], &said["needed"]), (&json!("need_more"), &json!(14)));
}

#[test]
fn nothing_that_a_terminal_would_obey_is_printed() {
    for vector in vectors().iter().filter(|vector| !vector.input.is_empty()) {
        let output = decode(&["--raw"], &vector.input);
        let unprintable = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
        assert!(!output.stdout.iter().any(unprintable), "{}: {}", vector.id, stdout(&output));
        assert!([0, 1].contains(&code(&output)), "{}", vector.id);
    }
}

#[test]
fn where_there_is_nothing_to_look_at_nothing_is_judged() {
    for arguments in [&[][..], &[""], &["--json"]] {
        let output = decode(arguments, b"");
        assert_eq!((code(&output), stdout(&output)), (2, ""), "{arguments:?}");
    }
}
