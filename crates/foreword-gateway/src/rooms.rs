//! Who knows whom among the rooms of the gateway, as ARCHITECTURE.md draws it.

use std::fs;
use std::path::Path;

/// From the inside out. A room knows rooms above it, and no others; those of one line know each other.
const ROOMS: [&[&str]; 10] = [
    &["alarm", "digits", "folders", "policy", "passwords", "threads", "drain", "watch"],
    &["stream"],
    &["tls", "plan", "observe", "refusal"],
    &["upstream", "admission"],
    &["sockets"],
    &["connection", "admin", "acme"],
    &["datagram"],
    &["trial", "worker", "control"],
    &["config"],
    &["gateway"],
];

#[test]
fn a_room_knows_only_the_rooms_behind_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let place = |room: &str| ROOMS.iter().position(|rooms| rooms.contains(&room));
    let mut files = Vec::new();
    collect(&source, &mut files);
    for file in files {
        let path = file.strip_prefix(&source).unwrap().with_extension("");
        let room = path.iter().next().unwrap().to_str().unwrap();
        if matches!(room, "lib" | "rooms") {
            continue;
        }
        let own = place(room).unwrap_or_else(|| panic!("`{room}` has no place"));
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("\nmod tests {").next().unwrap();
        for known in code.split("crate::").skip(1) {
            let known = known.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let other = place(known).unwrap_or_else(|| panic!("{}: `{known}` has no place", file.display()));
            assert!(other <= own, "{}: `{room}` must not know `{known}`", file.display());
        }
    }
}

/// The files of a folder, but for those that are tests alone: they may know whom they like.
fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    const TESTS: [&str; 5] =
        ["gateway/tests.rs", "access_log/tests.rs", "names/tests.rs", "names/server.rs", "health/tests.rs"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if !TESTS.iter().any(|tests| path.ends_with(tests)) {
            files.push(path);
        }
    }
}
