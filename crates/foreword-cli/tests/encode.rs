//! `foreword encode`, as a real program, and what `decode` makes of it.

use std::process::Output;
use std::time::Duration;

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_foreword"));
    command.args(arguments).write_stdin(input).timeout(Duration::from_secs(60)).output().expect("it runs")
}

fn encode(flags: &[&str]) -> Output {
    run(&[&["encode"], flags].concat(), b"")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

const ENDS: [&str; 4] = ["--source", "192.0.2.10:56324", "--destination", "198.51.100.20:443"];

#[test]
fn a_line_is_written_as_bytes_or_as_hex() {
    let line = b"PROXY TCP4 192.0.2.10 198.51.100.20 56324 443\r\n";
    assert_eq!(encode(&ENDS).stdout, line);
    let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(encode(&[&ENDS[..], &["--hex"]].concat()).stdout, format!("{hex}\n").into_bytes());
}

#[test]
fn addresses_of_two_families_go_out_as_ipv6() {
    let output = encode(&["--source", "192.0.2.10:1", "--destination", "[2001:db8::1]:2"]);
    assert_eq!(output.stdout, b"PROXY TCP6 ::ffff:c000:20a 2001:db8::1 1 2\r\n");
}

#[test]
fn local_and_unknown_take_no_addresses() {
    assert_eq!(encode(&["--local"]).stdout, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    assert_eq!(encode(&["--unknown"]).stdout, b"PROXY UNKNOWN\r\n");
    assert_eq!(encode(&["--unknown", "--header", "v2"]).stdout, b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0");
}

#[test]
fn unix_paths_and_datagrams_need_v2() {
    let unix = ["--source", "unix:/run/a", "--destination", "unix:/run/b"];
    assert_eq!(code(&encode(&[&unix[..], &["--header", "v1"]].concat())), 2, "v1 has no words for it");
    let bytes = encode(&unix).stdout;
    assert_eq!((bytes.len(), &bytes[12..16]), (232, &[0x21, 0x31, 0, 216][..]));
    let bytes = encode(&[&ENDS[..], &["--datagram"]].concat()).stdout;
    assert_eq!(bytes[13], 0x12);
    assert_eq!(code(&encode(&[&ENDS[..], &["--header", "v1", "--datagram"]].concat())), 2);
}

#[test]
fn what_is_encoded_decodes_to_what_was_asked_for() {
    let tlvs = [
        "--tlv",
        "alpn=h2",
        "--tlv",
        "unique-id=hex:00ff",
        "--tlv",
        "gcp-psc=77",
        "--tlv",
        "azure-link=5",
        "--crc32c",
    ];
    let bytes = encode(&[&ENDS[..], &tlvs].concat()).stdout;
    let decoded = run(&["decode", "--json"], &bytes);
    let said: serde_json::Value = serde_json::from_slice(&decoded.stdout).expect("JSON");
    assert_eq!((code(&decoded), said["src"].as_str()), (0, Some("192.0.2.10:56324")));
    let kinds: Vec<_> =
        said["tlvs"].as_array().expect("TLVs").iter().map(|tlv| tlv["type"].as_u64()).collect();
    assert_eq!(kinds, [Some(1), Some(5), Some(0xE0), Some(0xEE), Some(3)]);
    assert_eq!(said["tlvs"][3]["value_hex"], "0105000000");
    assert_eq!(said["header_len"], bytes.len());
}

#[test]
fn what_no_header_can_say_is_refused_with_a_hint() {
    for (flags, part) in [
        (&["--header", "none"][..], "found `none`"),
        (&["--source", "192.0.2.10:1"], "hint: give --destination"),
        (&["--header", "v1", "--local"], "--header v2"),
        (&["--tlv", "colour=red"], "`authority`"),
        (
            &["--source", "[::1]:1", "--destination", "[::1]:2", "--tlv", "2=a", "--tlv", "2=b"],
            "would be malformed",
        ),
        (&["--source", "unix:/a", "--destination", "192.0.2.1:1"], "on both sides"),
    ] {
        let output = encode(flags);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{flags:?}: {said}");
        assert!(output.stdout.is_empty() && said.contains(part), "{flags:?}: {said}");
    }
}
