//! Lists that follow their files while rules ask them.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::access_log::{ask, web};
use crate::support::{Endpoint, Running, client, wait_until};

fn file(endpoint: &Endpoint, more: &str) -> String {
    format!(
        "{more}\n[list]\nblocked = {{ file = \"blocked.txt\" }}\nsites = {{ file = \"sites.txt\" }}\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\n\
         [[listener.web.rule]]\nwhen = 'client.ip in @blocked || path in @sites'\nthen = {{ deny = 403 }}\n\
         [[listener.web.rule]]\nthen = {{ forward = \"app\" }}\n\
         [cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    )
}

/// Replaces a file as careful programs do: whole, and by renaming.
fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

#[test]
fn a_list_follows_its_file_on_connections_that_are_open_and_a_broken_one_changes_nothing() {
    let (folder, endpoint) = (TempDir::new().unwrap(), web());
    write(folder.path(), "blocked.txt", "192.0.2.0/24\n");
    write(folder.path(), "sites.txt", "/closed\n");
    let running = Running::start_in(folder.path(), &file(&endpoint, ""));
    let mut kept = client(running.address("web"));
    let mut status = |path: &str| ask(&mut kept, path, "")["HTTP/1.1 ".len()..][..3].to_owned();
    assert_eq!([status("/"), status("/closed")], ["200", "403"]);

    write(folder.path(), "blocked.txt", "# everyone here\n127.0.0.0/8\n");
    while status("/") != "403" {}
    let taken = running.log.line_with("the files changed");
    assert!(taken.contains("list `blocked`"), "{taken}");

    for (broken, told) in [
        ("127.0.0.0/8\n  198.51.100.0/33\n", "blocked.txt:2:3: expected an address or CIDR"),
        ("a.test\n", "blocked.txt:1:1: expected addresses as before, found words"),
        ("# nothing\n", "blocked.txt:1:1: expected at least one entry, found none"),
    ] {
        write(folder.path(), "blocked.txt", broken);
        let line = running.log.line_with(told);
        assert!(line.contains("what was read before goes on [FW606]"), "{line}");
        assert_eq!(status("/"), "403");
    }
    // Whoever waited for somebody to write into it would see no other file change.
    fs::remove_file(folder.path().join("blocked.txt")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("blocked.txt")).status().unwrap().success());
    let line = running.log.line_with("it is a pipe, which cannot be read again");
    assert!(line.contains("what was read before goes on [FW606]"), "{line}");
    write(folder.path(), "sites.txt", "/also\nclosed\n");
    let line = running.log.line_with("sites.txt:2:1");
    assert!(line.contains("expected a path that starts with `/`, found `closed`"), "{line}");
    write(folder.path(), "sites.txt", "/also\n/closed/\n");
    write(folder.path(), "blocked.txt", "192.0.2.0/24\n");
    while status("/") != "200" {}
    while status("/also") != "403" {}
    assert_eq!(status("/closed"), "200");
}

#[test]
fn where_files_are_not_watched_a_list_is_read_at_a_reload() {
    let (folder, endpoint) = (TempDir::new().unwrap(), web());
    write(folder.path(), "blocked.txt", "192.0.2.0/24\n");
    write(folder.path(), "sites.txt", "/closed\n");
    let text = file(&endpoint, "watch = false");
    let running = Running::start_in(folder.path(), &text);
    write(folder.path(), "blocked.txt", "127.0.0.0/8\n");
    let status = || ask(&mut client(running.address("web")), "/", "")["HTTP/1.1 ".len()..][..3].to_owned();
    assert_eq!(status(), "200");
    running.gateway.reload(crate::support::plan(folder.path(), &text)).unwrap();
    wait_until("the reload is in force", || status() == "403");
}
