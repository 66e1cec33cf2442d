//! `foreword demo` as a newcomer meets it: the real binary, and the commands that it prints, in a real shell.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The last line of what it says before it waits.
const UP: &str = "What the gateway has to say from now on; Ctrl-C ends the demo:";

fn command(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
    command.arg("demo").env("TMPDIR", temporary).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn folder() -> TempDir {
    // With a blank, which a command that is printed has to survive.
    tempfile::Builder::new().prefix("a demo ").tempdir().expect("a folder")
}

fn once(temporary: &Path, arguments: &[&str]) -> Output {
    command(temporary).arg("--once").args(arguments).output().expect("it runs")
}

fn left_behind(temporary: &Path) -> usize {
    fs::read_dir(temporary).expect("the folder is there").count()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("text")
}

/// A demo that stays up, ended with the test.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    talk: Receiver<String>,
    page: Vec<String>,
}

impl Demo {
    fn start(temporary: &Path, arguments: &[&str]) -> Self {
        let mut command = command(temporary);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let lines = listen(child.stdout.take().expect("piped"));
        let talk = listen(child.stderr.take().expect("piped"));
        let mut demo = Self { child, lines, talk, page: Vec::new() };
        while demo.page.last().is_none_or(|line| line != UP) {
            let line = demo.lines.recv_timeout(PATIENCE);
            demo.page.push(line.unwrap_or_else(|_| panic!("no more after:\n{}", demo.page.join("\n"))));
        }
        demo
    }

    /// The commands, each joined to one line.
    fn commands(&self) -> Vec<String> {
        let after = self.page.iter().skip_while(|line| !line.starts_with("Try it"));
        let lines: Vec<&str> = after.filter_map(|line| line.strip_prefix("  ")).collect();
        lines.join("\n").replace("\\\n", "").lines().map(str::to_owned).collect()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(sent.success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // What has ended already cannot be killed again.
        drop(self.child.kill());
        self.child.wait().expect("it ends");
    }
}

fn listen(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    lines
}

fn shell(command: &str) -> Output {
    let output =
        Command::new("sh").args(["-c", command]).env_remove("RUST_LOG").stdin(Stdio::null()).output();
    output.expect("a shell runs")
}

#[test]
fn once_shows_the_answer_and_the_log_line_with_the_client_and_ends_with_0() {
    let temporary = folder();
    let output = once(temporary.path(), &[]);
    let page = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{page}");
    assert!(page.contains("  HTTP/1.1 200 OK\n"), "{page}");
    assert!(page.contains("X-Forwarded-For           203.0.113.7\n"), "{page}");
    assert!(page.contains("  203.0.113.7 via 127.0.0.1 \"GET /\" 200 rule \"everything else\"\n"), "{page}");
    assert_eq!(left_behind(temporary.path()), 0);
}

#[test]
fn every_command_that_it_prints_does_what_the_page_says() {
    let temporary = folder();
    let demo = Demo::start(temporary.path(), &[]);
    let commands = demo.commands();
    let [bare, cat, outside, spelled, office, why, through] = commands.as_slice() else {
        panic!("{commands:#?}");
    };
    assert_eq!(text(&shell(cat).stdout), "HTTP/1.1 200 OK\r\n", "{cat}");
    for (command, status) in [(outside, "403 "), (spelled, "403 "), (office, "200 ")] {
        let answer = shell(command);
        assert!(text(&answer.stdout).starts_with(&format!("HTTP/1.1 {status}")), "{command}: {answer:?}");
    }
    let told = shell(why);
    assert!(text(&told.stdout).contains("admin is for the office"), "{why}: {told:?}");
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "`curl` is not installed");
        return;
    }
    assert!(text(&shell(through).stdout).starts_with("GET /\n"), "{through}");
    assert!(!shell(bare).status.success(), "{bare}");
    // What the rule refused has its reason too, each time it did.
    for code in ["FW411", "FW411", "FW101"] {
        let reason = demo.talk.recv_timeout(PATIENCE).expect("a reason for each that was refused");
        assert!(reason.contains(code), "{reason}");
        assert!(code != "FW101" || reason.contains("found a TLS ClientHello"), "{reason}");
    }
}

#[test]
fn nothing_is_wider_than_80_columns_but_for_a_word_that_is() {
    let temporary = tempfile::tempdir_in("/tmp").expect("a folder");
    let demo = Demo::start(temporary.path(), &[]);
    for line in &demo.page {
        let one_word = line.trim().trim_end_matches(" \\").split(' ').count() == 1;
        assert!(line.chars().count() <= 80 || one_word, "{line}");
    }
}

#[test]
fn whatever_ends_it_nothing_is_left_behind() {
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let temporary = folder();
        let mut demo = Demo::start(temporary.path(), &[]);
        assert_eq!(left_behind(temporary.path()), 1);
        demo.signal(name);
        assert_eq!(demo.child.wait().expect("it ends").code(), Some(0), "{name}");
        assert_eq!(left_behind(temporary.path()), 0, "{name}");
    }
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let temporary = folder();
    let mut child =
        command(temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), ""));
    assert_eq!(left_behind(temporary.path()), 0);
}

#[test]
fn its_ports_can_be_chosen_and_one_that_is_taken_is_named() {
    let temporary = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = taken.local_addr().expect("its address");
    for flag in ["--app-port", "--gateway-port", "--balancer-port"] {
        let output = once(temporary.path(), &[flag, &address.port().to_string()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{flag}: {said}");
        assert_eq!(said.matches(&address.to_string()).count(), 1, "{flag}: {said}");
    }
    assert_eq!(left_behind(temporary.path()), 0);
}

#[test]
fn two_demos_do_not_meet() {
    let temporary = folder();
    let first = Demo::start(temporary.path(), &[]);
    let second = Demo::start(temporary.path(), &[]);
    for demo in [&first, &second] {
        let commands = demo.commands();
        let cat = commands.iter().find(|command| command.contains("ppcurlcat")).expect("a command");
        assert_eq!(text(&shell(cat).stdout), "HTTP/1.1 200 OK\r\n");
    }
}
