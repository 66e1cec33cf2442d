//! A real program: started, listened to, signalled, and ended with all that it started.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long a test waits for what should come at once. Machines that compile beside the tests are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs until its test ends.
pub(crate) struct Program {
    name: String,
    child: Child,
    said: Arc<Said>,
}

impl Program {
    /// Starts the program in a process group of its own, and keeps all that it says.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("expected {name} to start: {error}"));
        let said = Arc::new(Said::default());
        Said::listen(&said, Stream::Out, child.stdout.take().expect("standard output is a pipe"));
        Said::listen(&said, Stream::Error, child.stderr.take().expect("standard error is a pipe"));
        Self { name: name.to_owned(), child, said }
    }

    /// Waits until the program takes connections at the address.
    pub(crate) fn listening(mut self, address: SocketAddr) -> Self {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
            if let Some(status) = self.child.try_wait().expect("the program's state") {
                panic!(
                    "{} ended ({status}) before it listened at {address}\n{}",
                    self.name,
                    self.transcript()
                );
            }
            assert!(
                Instant::now() < deadline,
                "{} does not listen at {address}\n{}",
                self.name,
                self.transcript()
            );
            thread::sleep(POLL);
        }
        self
    }

    /// Waits for a line that holds the text, on either stream, and returns it.
    pub(crate) fn line(&self, text: &str) -> String {
        self.lines(text, 1).remove(0)
    }

    /// Waits until `count` lines hold the text, and returns all that do.
    pub(crate) fn lines(&self, text: &str, count: usize) -> Vec<String> {
        self.said.wait(|line| line.text.contains(text), count).unwrap_or_else(|| {
            panic!("expected {} to say {text:?} {count} times\n{}", self.name, self.transcript())
        })
    }

    /// Waits until standard output has `count` lines that hold the text, and returns all that do.
    pub(crate) fn answers_with(&self, text: &str, count: usize) -> Vec<String> {
        let fits = |line: &Line| line.stream == Stream::Out && line.text.contains(text);
        self.said.wait(fits, count).unwrap_or_else(|| {
            let name = &self.name;
            panic!("expected {count} lines with {text:?} on {name}'s standard output\n{}", self.transcript())
        })
    }

    /// How many lines hold the text by now.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.said.matching(|line| line.text.contains(text)).len()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("expected {} to take {signal:?}: {error}", self.name));
    }

    /// Waits for the program to end by itself.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("the program's state") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} still runs after {within:?}\n{}",
                self.name,
                self.transcript()
            );
            thread::sleep(POLL);
        }
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the program's state").is_none()
    }

    /// All that the program said so far, for the message of a test that failed.
    pub(crate) fn transcript(&self) -> String {
        let lines = self.said.matching(|_| true);
        format!("--- {} said\n{}\n---", self.name, lines.join("\n"))
    }
}

impl Drop for Program {
    /// Ends the program and all that it started, among them servers that left its process group.
    fn drop(&mut self) {
        let root = Pid::from_child(&self.child);
        for pid in descendants(root) {
            // Gone already: nothing is left to do.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = rustix::process::kill_process_group(root, Signal::KILL);
        drop(self.child.wait());
        if thread::panicking() {
            tell(&self.transcript());
        }
    }
}

/// Runs a command that ends by itself, and returns what it wrote and how it ended.
pub(crate) fn run(command: &mut Command) -> Run {
    run_within(command, PATIENCE)
}

/// The same for a program that has much to do.
pub(crate) fn run_within(command: &mut Command, patience: Duration) -> Run {
    let mut program = Program::start(&format!("{:?}", command.get_program()), command);
    let status = program.ended(patience);
    program.said.closed();
    let of = |stream| program.said.matching(|line| line.stream == stream).join("\n");
    Run { status, out: of(Stream::Out), error: of(Stream::Error) }
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// The command for a real program; nothing if it is not installed, which on CI is a failure.
pub(crate) fn peer(name: &str) -> Option<Command> {
    match found(name) {
        Some(path) => Some(Command::new(path)),
        None => {
            absent(name);
            None
        }
    }
}

/// Says that a test was not run since the machine lacks something.
pub(crate) fn absent(what: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "expected {what} to be installed: scripts/check peers installs it"
    );
    tell(&format!("not run: {what} is not installed (scripts/check peers installs it)"));
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(POLL);
    }
}

#[expect(clippy::print_stderr, reason = "the test runner shows it beside the test's name")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps servers, which is not on every user's path.
    let beside = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(beside).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a program said, line by line.
#[derive(Default)]
struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<Line>,
    open: usize,
}

struct Line {
    stream: Stream,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Error,
}

impl Said {
    /// Collects the lines of one stream on a thread, which ends with the last process that holds the stream.
    fn listen(said: &Arc<Self>, stream: Stream, from: impl Read + Send + 'static) {
        said.lines.lock().expect("the lines").open += 1;
        let said = Arc::clone(said);
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&line).into_owned();
                said.lines.lock().expect("the lines").all.push(Line { stream, text });
                said.more.notify_all();
            }
            said.lines.lock().expect("the lines").open -= 1;
            said.more.notify_all();
        });
    }

    /// Waits until `count` lines fit; `None` if they do not come in time, or cannot come any more.
    fn wait(&self, fits: impl Fn(&Line) -> bool, count: usize) -> Option<Vec<String>> {
        let fitting = |lines: &Lines| -> Vec<String> {
            lines.all.iter().filter(|line| fits(line)).map(|line| line.text.clone()).collect()
        };
        let lines = self.lines.lock().expect("the lines");
        let (lines, _) = self
            .more
            .wait_timeout_while(lines, PATIENCE, |lines| lines.open > 0 && fitting(lines).len() < count)
            .expect("the lines");
        let found = fitting(&lines);
        (found.len() >= count).then_some(found)
    }

    /// Waits until nobody can say any more.
    fn closed(&self) {
        let lines = self.lines.lock().expect("the lines");
        drop(self.more.wait_timeout_while(lines, PATIENCE, |lines| lines.open > 0).expect("the lines"));
    }

    fn matching(&self, fits: impl Fn(&Line) -> bool) -> Vec<String> {
        let lines = self.lines.lock().expect("the lines");
        lines.all.iter().filter(|line| fits(line)).map(|line| line.text.clone()).collect()
    }
}

/// The process's children, their children, and so on.
fn descendants(root: Pid) -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may hold anything; behind it come the state and the parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut known = HashSet::from([root.as_raw_nonzero().get()]);
    loop {
        let before = known.len();
        known.extend(
            parents
                .iter()
                .filter(|(_, parent)| known.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if known.len() == before {
            break;
        }
    }
    known.into_iter().filter_map(Pid::from_raw).collect()
}

/// How often a state that has no event is looked at.
const POLL: Duration = Duration::from_millis(5);
