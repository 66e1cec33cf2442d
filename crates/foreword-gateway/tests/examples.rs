//! The files in `examples/` are good, and what their `[[test]]`s say is so.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use foreword_gateway::config;
use tempfile::TempDir;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// A folder with the examples and the certificates that they name.
fn installed() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(examples()).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).expect("made");
    let made = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (chain, key) = made("www.example.com");
    let (other, its_key) = made("localhost");
    let both = format!("{other}{its_key}");
    fs::write(certs.join("www.crt"), chain).expect("written");
    for (name, text) in [("both.pem", &both), ("www.key", &key)] {
        let private = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(certs.join(name));
        private.and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
    }
    folder
}

#[test]
fn every_example_is_good_and_its_tests_hold() {
    let folder = installed();
    let mut count = 0;
    for entry in fs::read_dir(examples()).expect("the folder is there") {
        let name = entry.expect("an entry").file_name();
        if !name.to_string_lossy().ends_with(".toml") {
            continue;
        }
        let configuration =
            config::read(&folder.path().join(&name)).unwrap_or_else(|problems| panic!("{problems}"));
        let failed: Vec<String> = configuration.run_tests().iter().map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        assert!(!configuration.tests.is_empty(), "{name:?} shows no [[test]]");
        let warnings = &configuration.plan.warnings;
        assert!(warnings.is_empty(), "{name:?}: {warnings:?}");
        count += 1;
    }
    assert!(count >= 5, "{count} examples");
}

#[test]
fn a_test_that_turns_out_otherwise_is_told_with_its_place() {
    let folder = installed();
    let path = folder.path().join("edge.toml");
    let text = fs::read_to_string(&path).expect("read");
    let text = text.replace("status = 403 }", "status = 404, client = \"203.0.113.8\" }");
    fs::write(&path, text).expect("written");
    let failed = config::read(&path).expect("good").run_tests();
    let told: Vec<String> = failed
        .iter()
        .map(|problem| problem.to_string().replace(&folder.path().display().to_string(), ""))
        .collect();
    assert_eq!(
        told,
        [
            "/edge.toml:48:56: test `test 1`: expected status `404`, found `403`\n\
             hint: it was answered with 403, by rule `admin is for the office`",
            "/edge.toml:48:70: test `test 1`: expected client `203.0.113.8`, found `203.0.113.7`\n\
             hint: it was answered with 403, by rule `admin is for the office`",
        ]
    );
}
