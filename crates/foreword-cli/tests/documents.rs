//! What README and docs show is so: their files are good, and their commands do what stands below them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use foreword_gateway::config;
use tempfile::TempDir;

/// A fenced block, and where it stands.
#[derive(Debug)]
struct Block {
    place: String,
    language: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README, the guide and the reference.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs/guide", "docs/reference"] {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    pages
}

fn blocks(language: &str) -> Vec<Block> {
    let all = pages().into_iter().flat_map(|page| blocks_of(&page));
    all.filter(|block| block.language == language).collect()
}

fn blocks_of(page: &Path) -> Vec<Block> {
    let name = page.file_name().expect("a name").to_string_lossy().into_owned();
    let mut blocks: Vec<Block> = Vec::new();
    // How far the fence is set in, while inside a block.
    let mut inside: Option<usize> = None;
    for (index, line) in fs::read_to_string(page).expect("a page").lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (inside, fence) {
            (None, Some(language)) => {
                inside = Some(line.len() - line.trim_start().len());
                let place = format!("{name}:{}", index + 1);
                blocks.push(Block { place, language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => inside = None,
            (Some(margin), None) => {
                let block = blocks.last_mut().expect("a block that was begun");
                block.text.push_str(line.get(margin..).unwrap_or(""));
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The certificates and pages that the files speak of.
fn ground() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).expect("made");
    let names = ["localhost", "www.example.com"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("made");
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(certs.join("site.pem"));
    file.and_then(|mut file| file.write_all(pem.as_bytes())).expect("written");
    fs::write(folder.path().join("clients.pem"), made.cert.pem()).expect("written");
    fs::create_dir(folder.path().join("pages")).expect("made");
    let user = "alice:$2y$04$XIj8CulQgI35INPsss/7E.bRHW2aiOQXXRJqlp1ECqTS7QfQ21FRi\n";
    fs::write(folder.path().join("htpasswd"), user).expect("written");
    fs::write(folder.path().join("sticky.key"), "0123456789abcdef0123456789abcdef\n").expect("written");
    fs::write(folder.path().join("blocked.txt"), "192.0.2.0/24 # since yesterday\n").expect("written");
    for page in ["robots.txt", "pages/404.html", "pages/full.html", "pages/sorry.html", "pages/api.json"] {
        fs::write(folder.path().join(page), "{status}").expect("written");
    }
    folder
}

/// A fragment with what it takes for granted: a listener that trusts its groups, a list, a cluster.
fn whole(fragment: &str) -> String {
    let mut text = String::new();
    if fragment.contains("@office") && !fragment.contains("[list]") {
        text.push_str("[list]\noffice = [\"198.51.100.0/24\"]\n");
    }
    if !fragment.contains("\n[listener.") && !fragment.starts_with("[listener.") {
        let groups: Vec<_> = fragment.lines().filter_map(|line| line.strip_prefix("[trust.")).collect();
        let groups: Vec<_> =
            groups.iter().map(|group| format!("\"{}\"", group.trim_end_matches(']'))).collect();
        text.push_str("[listener.web]\nbind = [\"127.0.0.1:8000\"]\nmode = \"http\"\ncluster = \"app\"\n");
        if !groups.is_empty() {
            text.push_str(&format!("trust = [{}]\n", groups.join(", ")));
        }
    }
    if !fragment.contains("[cluster.") {
        text.push_str("[cluster.app]\nendpoints = [\"127.0.0.1:8080\"]\n");
    }
    text.push_str(fragment);
    text
}

fn run(command: &str, folder: &Path) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_foreword")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a path"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", path).env_remove("RUST_LOG");
    shell.current_dir(folder).stdin(Stdio::null()).output().expect("a shell runs")
}

/// Each command of a block, continued lines joined, with the lines below it.
fn commands(block: &Block) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.text.replace("\\\n", "").lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, shown))) => {
                shown.push_str(line);
                shown.push('\n');
            }
            (None, None) => {}
        }
    }
    commands
}

#[test]
fn every_file_and_fragment_that_is_shown_is_good() {
    let folder = ground();
    let mut count = 0;
    for block in blocks("toml").iter().filter(|block| !block.text.starts_with("[dependencies]")) {
        let text = whole(&block.text);
        let configuration = config::parse(&text, &block.place, folder.path())
            .unwrap_or_else(|problems| panic!("{problems}\nin:\n{text}"));
        let failed: Vec<_> = configuration.run_tests().iter().map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        count += 1;
    }
    assert!(count >= 10, "{count} blocks");
}

#[test]
fn the_file_of_the_story_passes_the_commands_that_stand_below_it() {
    let folder = ground();
    let readme = root().join("README.md");
    let blocks = blocks_of(&readme);
    let file = blocks.iter().find(|block| block.language == "toml").expect("the file of the story");
    fs::write(folder.path().join("foreword.toml"), &file.text).expect("written");
    let mut count = 0;
    for (command, _) in blocks.iter().filter(|block| block.language == "console").flat_map(commands) {
        if command.starts_with("foreword check") || command.starts_with("foreword why") {
            let output = run(&command, folder.path());
            // `why` answers for a path that is refused: that is an answer.
            assert!(output.status.code() < Some(2), "{command}: {output:?}");
            assert!(!output.stdout.is_empty(), "{command}: {output:?}");
            count += 1;
        }
    }
    assert!(count >= 2, "{count} commands");
}

#[test]
fn what_encode_and_decode_are_shown_to_say_they_say() {
    let folder = ground();
    let mut compared = 0;
    for block in blocks("console") {
        for (command, shown) in commands(&block) {
            if !["foreword encode", "foreword decode"].iter().any(|own| command.contains(own)) {
                continue;
            }
            let output = run(&command, folder.path());
            let said = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
            if shown.is_empty() {
                assert!(output.status.success(), "{}: {command}: {output:?}", block.place);
            } else {
                assert_eq!(said, shown, "{}: {command}", block.place);
                compared += 1;
            }
        }
    }
    assert!(compared >= 4, "{compared} answers");
}

/// Where the links of a page lead: path and heading, without those to elsewhere.
fn links(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).map(|target| match target.split_once('#') {
        Some((path, heading)) => (path, Some(heading)),
        None => (target, None),
    })
}

/// The anchors of a page's headings, as hosts of repositories make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
    headings
        .map(|line| {
            line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_between_pages_leads_to_a_page_and_its_heading() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (path, heading) in links(&text) {
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            assert!(target.exists(), "{}: {path}", page.display());
            if let Some(heading) = heading {
                let there = fs::read_to_string(&target).expect("a page with headings");
                assert!(
                    anchors(&there).iter().any(|anchor| anchor == heading),
                    "{}: {path}#{heading}",
                    page.display()
                );
            }
            count += 1;
        }
    }
    assert!(count >= 30, "{count} links");
}
