//! `foreword run` as an operator meets it: the real binary, its lines, its signals.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway process, ended with the test.
struct Run {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Run {
    fn start(file: &Path) -> Self {
        Self::start_with(file, "")
    }

    fn start_with(file: &Path, rust_log: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
        command.args(["run", "-c"]).arg(file).env("RUST_LOG", rust_log);
        Self::spawn(command)
    }

    /// Under limits that the shell sets.
    fn limited(limits: &str, file: &Path) -> Self {
        let mut command = Command::new("sh");
        let script = format!("{limits} && exec \"$0\" run -c \"$1\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_foreword")]).arg(file).env_remove("RUST_LOG");
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that holds `text`.
    fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with `{text}` in:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The address that a listener says it is bound to.
    fn address(&mut self) -> SocketAddr {
        self.line_with(" on 127.0.0.1:").rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end:\n{}", self.seen.join("\n"));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It has ended, or it ends here; neither leaves a process behind.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

struct Scene {
    folder: tempfile::TempDir,
    endpoint: SocketAddr,
}

impl Scene {
    /// An endpoint that sends back what comes.
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                thread::spawn(move || {
                    let mut reads = stream.try_clone().unwrap();
                    std::io::copy(&mut reads, &mut stream)
                });
            }
        });
        Self { folder: tempfile::tempdir().unwrap(), endpoint }
    }

    fn write(&self, more: &str) -> PathBuf {
        let path = self.folder.path().join("foreword.toml");
        let text = format!(
            "workers = 2\n{more}\n[trust.elb]\nfrom = [\"127.0.0.0/8\"]\nheader = \"optional\"\n\
             [listener.edge]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ntrust = [\"elb\"]\ncluster = \"app\"\n\
             [cluster.app]\nendpoints = [\"{}\"]\n",
            self.endpoint
        );
        fs::write(&path, text).unwrap();
        path
    }
}

fn tunnel(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&mut stream);
    stream
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn it_says_what_runs_where_it_listens_and_whom_it_trusts() {
    let scene = Scene::new();
    let mut run = Run::start(&scene.write(""));
    let first = run.line_with("workers");
    assert!(first.contains(concat!("foreword ", env!("CARGO_PKG_VERSION"), ", 2 workers")), "{first}");
    let address = run.address();
    let trust = run.line_with("trust elb");
    assert!(trust.contains("127.0.0.0/8") && trust.contains("may send a header"), "{trust}");
    tunnel(address);
}

#[test]
fn sigterm_waits_for_the_last_connection_and_ends_with_0() {
    let scene = Scene::new();
    for signal in ["TERM", "INT"] {
        let mut run = Run::start(&scene.write(""));
        let address = run.address();
        let mut open = tunnel(address);
        run.signal(signal);
        run.line_with("ending: 1 open");
        while TcpStream::connect(address).is_ok() {}
        ask(&mut open);
        drop(open);
        assert_eq!(run.ended().code(), Some(0));
    }
}

#[test]
fn a_second_signal_cuts_off_and_ends_with_0() {
    let scene = Scene::new();
    let mut run = Run::start(&scene.write(""));
    let mut open = tunnel(run.address());
    run.signal("TERM");
    run.line_with("ending");
    run.signal("TERM");
    assert_eq!(run.ended().code(), Some(0));
    assert_eq!(open.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn sigquit_ends_as_sigterm_does_and_sigusr2_says_what_reloads_and_ends_nothing() {
    let scene = Scene::new();
    let mut run = Run::start(&scene.write(""));
    let mut stream = tunnel(run.address());
    run.signal("USR2");
    let line = run.line_with("SIGUSR2");
    assert!(line.contains("a reload is SIGHUP"), "{line}");
    ask(&mut stream);
    run.signal("QUIT");
    run.line_with("ending: 1 open");
    ask(&mut stream);
    drop(stream);
    assert_eq!(run.ended().code(), Some(0));
    run.line_with("ended");
}

#[test]
fn sighup_takes_the_new_file_or_says_what_is_wrong_and_goes_on() {
    let scene = Scene::new();
    let file = scene.write("");
    let mut run = Run::start(&file);
    let address = run.address();
    let mut open = tunnel(address);

    fs::write(&file, "workers = 2\nlistner = 1\n").unwrap();
    run.signal("HUP");
    let line = run.line_with("FW605");
    assert!(line.ends_with("the reload failed, the old configuration goes on [FW605]"), "{line}");
    // One record for each problem, with its code at its end.
    let [.., missing, unknown, _] = &run.seen[..] else { panic!("{:?}", run.seen) };
    assert!(missing.ends_with("found none [FW603]"), "{missing}");
    assert!(unknown.contains("foreword.toml:2:1: expected one of the keys"), "{unknown}");
    assert!(unknown.ends_with("found `listner`; did you mean `listener`? [FW603]"), "{unknown}");
    ask(&mut open);
    tunnel(address);

    scene.write("drain = \"5s\"");
    run.signal("HUP");
    run.line_with("the new configuration is in force");
    assert_eq!(run.address(), address, "the socket stays");
    ask(&mut open);
    tunnel(address);
}

#[test]
fn sighup_reads_the_lists_again() {
    let scene = Scene::new();
    fs::write(scene.folder.path().join("barred.txt"), "192.0.2.0/24\n").unwrap();
    let file = scene.write("list.barred = { file = \"barred.txt\" }");
    let rule = "[[listener.edge.rule]]\nwhen = 'client.ip in @barred'\nthen = { close = true }\n";
    let text = fs::read_to_string(&file).unwrap().replace("[cluster", &format!("{rule}[cluster"));
    fs::write(&file, text).unwrap();
    let mut run = Run::start(&file);
    let address = run.address();
    tunnel(address);

    fs::write(scene.folder.path().join("barred.txt"), "127.0.0.0/8\n").unwrap();
    run.signal("HUP");
    run.line_with("the new configuration is in force");
    let mut refused = TcpStream::connect(address).unwrap();
    refused.set_read_timeout(Some(PATIENCE)).unwrap();
    refused.write_all(b"hello").unwrap();
    let mut rest = Vec::new();
    // It may be reset rather than ended; either way nothing comes.
    let _reset = refused.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    run.line_with("FW411");
}

#[test]
fn sigusr1_reopens_the_access_log() {
    let scene = Scene::new();
    let file = scene.write("log.access = { to = \"file:access.log\", format = \"json\" }");
    let mut run = Run::start(&file);
    let address = run.address();
    let (log, old) = (scene.folder.path().join("access.log"), scene.folder.path().join("access.log.1"));
    let lines = |path: &Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let wait_until = |what: &str, holds: &mut dyn FnMut() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: {} lines, then {}", lines(&old), lines(&log));
            thread::sleep(Duration::from_millis(5));
        }
    };
    drop(tunnel(address));
    wait_until("the first line", &mut || lines(&log) == 1);
    fs::rename(&log, &old).unwrap();
    run.signal("USR1");
    run.line_with("reopened");
    let mut asked = 1;
    wait_until("a line in the new file", &mut || {
        drop(tunnel(address));
        asked += 1;
        lines(&log) > 0
    });
    wait_until("each line in one of them", &mut || lines(&old) + lines(&log) == asked);
}

#[test]
fn a_file_is_refused_as_check_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wrong.toml"), "listner = 1\n").unwrap();
    fs::write(folder.path().join("broken.toml"), "listener = [\n").unwrap();
    for (file, code) in [("wrong.toml", 1), ("broken.toml", 1), ("gone.toml", 2)] {
        let told = |verb: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
            command.current_dir(folder.path()).args([verb, file]).output().unwrap()
        };
        let (check, run) = (told("check"), told("run"));
        assert_eq!((check.status.code(), run.status.code()), (Some(code), Some(code)), "{file}");
        assert_eq!(String::from_utf8(run.stderr), String::from_utf8(check.stdout), "{file}");
    }
}

#[test]
fn every_address_that_cannot_be_had_is_told() {
    let scene = Scene::new();
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, other] = held.each_ref().map(|listener| listener.local_addr().unwrap());
    let file = scene.write("");
    let binds = format!("\"{one}\", \"127.0.0.1:0\", \"{other}\"");
    let text = fs::read_to_string(&file).unwrap().replace("\"127.0.0.1:0\"", &binds);
    fs::write(&file, text).unwrap();
    let mut run = Run::start(&file);
    run.line_with(&format!("{one}: the address is taken"));
    run.line_with(&format!("{other}: the address is taken"));
    assert_eq!(run.ended().code(), Some(1));
}

#[test]
fn a_level_that_there_is_not_silences_nothing() {
    let scene = Scene::new();
    let mut run = Run::start_with(&scene.write(""), "loud");
    let line = run.line_with("RUST_LOG");
    assert!(line.contains("found `loud`; it is `info` now"), "{line}");
    run.line_with("2 workers");
}

#[test]
fn the_limit_of_descriptors_is_raised_and_bounds_the_connections_of_all_listeners() {
    let scene = Scene::new();
    let mut run = Run::limited("ulimit -Sn 90 && ulimit -Hn 160", &scene.write(""));
    let address = run.address();
    let limits = fs::read_to_string(format!("/proc/{}/limits", run.child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("160"), "{files}");

    let mut open = tunnel(address);
    let _crowd: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(address).unwrap()).collect();
    let line = run.line_with("FW702");
    assert!(line.contains("connections in all (RLIMIT_NOFILE)"), "{line}");
    ask(&mut open);
}

/// How many descriptors whoever runs the tests leaves to every process, as `make` does: they count against its limit.
fn inherited() -> usize {
    let output = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let count = String::from_utf8(output.stdout).unwrap().lines().count();
    // Its own are the three that everybody has, and the folder that it reads.
    count.checked_sub(4).unwrap()
}

#[test]
fn a_limit_of_descriptors_that_holds_not_even_the_workers_starts_nothing() {
    let scene = Scene::new();
    let mut run = Run::limited("ulimit -n 40", &scene.write(""));
    let line = run.line_with("FW708");
    assert!(
        line.contains("expected 42 file descriptors at least, for 2 workers") && line.contains("`ulimit -n`"),
        "{line}"
    );
    assert_eq!(run.ended().code(), Some(1));
    let enough = format!("ulimit -n {}", 42 + inherited());
    let mut run = Run::limited(&enough, &scene.write(""));
    ask(&mut tunnel(run.address()));
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_for_what_the_file_allows_is_told_at_the_start_and_the_reload() {
    let scene = Scene::new();
    let mut run = Run::limited("ulimit -n 64", &scene.write(""));
    let line = run.line_with("FW708");
    assert!(
        line.contains(
            "found a limit of 64, for 1. Raise it (LimitNOFILE, ulimit -n), or lower `max.connections`."
        ),
        "{line}"
    );
    tunnel(run.address());

    let bounded = |most: u32| {
        let path = scene.write("");
        let text = fs::read_to_string(&path).unwrap();
        let key = format!("mode = \"tcp\"\nmax = {{ connections = {most} }}");
        fs::write(&path, text.replace("mode = \"tcp\"", &key)).unwrap();
        path
    };
    let mut run = Run::limited("ulimit -n 1024", &bounded(200));
    tunnel(run.address());
    assert!(!run.seen.iter().any(|line| line.contains("FW708")), "{:?}", run.seen);
    bounded(2000);
    run.signal("HUP");
    let line = run.line_with("FW708");
    assert!(line.contains("for 2000 connections, found a limit of 1024,"), "{line}");
}

/// A gateway whose standard error takes nothing more: its pipe is full, and the reader reads no further.
fn stalled(file: &Path) -> (Run, BufReader<PipeReader>, SocketAddr) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
    command.args(["run", "-c"]).arg(file).env_remove("RUST_LOG").stderr(writer.try_clone().unwrap());
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    // Else it holds the pipe open.
    drop(command);
    let (tell, lines) = mpsc::channel();
    let mut run = Run { child, lines, seen: Vec::new() };
    let mut reader = BufReader::new(reader);
    while !run.seen.last().is_some_and(|line| line.contains(" on 127.0.0.1:")) {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended:\n{}", run.seen.join("\n"));
        run.seen.push(line.trim_end().to_owned());
    }
    tell.send(run.seen.last().unwrap().clone()).unwrap();
    let address = run.address();

    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let full = loop {
        if let Err(error) = writer.write(b"\n") {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&writer, flags).unwrap();
    (run, reader, address)
}

/// Sets how many descriptors a process may have, and returns how many it could.
fn descriptors(run: &Run, current: u64) -> u64 {
    let pid = Pid::from_child(&run.child);
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let before =
        prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
    before.unwrap().current.unwrap()
}

#[test]
fn traffic_goes_on_when_nobody_reads_standard_error() {
    let scene = Scene::new();
    let (mut run, mut reader, address) = stalled(&scene.write(""));
    let mut open: Vec<TcpStream> = (0..8).map(|_| tunnel(address)).collect();
    for _ in 0..20 {
        let mut refused = TcpStream::connect(address).unwrap();
        refused.set_read_timeout(Some(PATIENCE)).unwrap();
        refused.write_all(b"PROXY nonsense\r\n").unwrap();
        assert_eq!(refused.read(&mut [0]).unwrap_or(0), 0);
    }
    // None is left to accept with, which every worker has a line to say about.
    let before = descriptors(&run, 3);
    let waiting: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..20 {
        open.iter_mut().for_each(ask);
    }
    descriptors(&run, before);
    for mut stream in waiting {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        ask(&mut stream);
    }
    drop(open);

    // What waited is written once somebody reads.
    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    run.signal("TERM");
    assert_eq!(run.ended().code(), Some(0));
    let text = read.join().unwrap().unwrap();
    assert!(text.contains("no connection can be accepted") && text.contains(" ended\n"), "{text}");
}

#[test]
fn signals_are_obeyed_when_nobody_reads_standard_error() {
    let scene = Scene::new();
    let (mut run, _reader, _) = stalled(&scene.write(""));
    run.signal("TERM");
    assert_eq!(run.ended().code(), Some(0));

    let (mut run, _reader, address) = stalled(&scene.write(""));
    let mut open = tunnel(address);
    run.signal("HUP");
    run.signal("TERM");
    while TcpStream::connect(address).is_ok() {}
    ask(&mut open);
    run.signal("TERM");
    assert_eq!(run.ended().code(), Some(0));
}

#[test]
fn named_pipes_are_not_waited_for() {
    let scene = Scene::new();
    let pipe = scene.folder.path().join("access.pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let log = format!("[log.access]\nto = \"file:{}\"\n", pipe.display());
    let mut run = Run::start(&scene.write(&log));
    let line = run.line_with("access log: expected to open");
    assert!(line.contains("a named pipe that nobody reads"), "{line}");
    assert_eq!(run.ended().code(), Some(1));

    let mut run = Run::start(&scene.write(""));
    run.address();
    scene.write(&log);
    run.signal("HUP");
    run.line_with("FW605");
    run.signal("TERM");
    assert_eq!(run.ended().code(), Some(0));
}

#[test]
fn what_cannot_run_ends_with_1_and_says_why() {
    let scene = Scene::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let file = scene.write("");
    let text = fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", &taken.to_string());
    fs::write(&file, text).unwrap();
    let mut run = Run::start(&file);
    let line = run.line_with("the address is taken");
    assert_eq!(
        line,
        format!("foreword: listener `edge`: {taken}: the address is taken; `ss -ltnp` shows by whom [FW703]")
    );
    assert_eq!(run.ended().code(), Some(1));
    drop(held);

    let mut run = Run::start(&scene.folder.path().join("nowhere.toml"));
    run.line_with("nowhere.toml");
    assert_eq!(run.ended().code(), Some(2));
}

#[test]
fn what_the_machine_does_not_give_is_told_by_name() {
    let scene = Scene::new();
    let file = scene.write("");
    for limit in 5..10 {
        let script = format!("ulimit -n {limit} && exec \"$0\" run -c \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_foreword")]).arg(&file).env_remove("RUST_LOG");
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{limit}: {told}");
        assert!(told.starts_with("foreword: expected an event loop of this machine, found none: "), "{told}");
        assert!(told.contains("Too many open files") && told.contains("hint: `ulimit -n`"), "{told}");
    }
}
