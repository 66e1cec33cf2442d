//! What an operator is told of files that a configuration is, includes or names.

use std::path::Path;

use super::super::parse;
use super::AROUND;

#[test]
fn files_that_are_no_text_have_messages_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |path: &Path| super::super::load(path).expect_err("no file").to_string();
    let gone = folder.path().join("gone.toml");
    assert_eq!(told(&gone), format!("{}: expected a file, found none", gone.display()));
    assert!(told(folder.path()).ends_with(": expected a file, found a directory"));
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"a = 1\nb = '\xe9'\n").expect("written");
    assert_eq!(told(&latin), format!("{}:2:6: expected UTF-8 text, found other bytes", latin.display()));
}

#[test]
fn lists_name_the_line_of_their_own_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("office.txt"), "# ours\n198.51.100.0/24\n\n  office # no address\n")
        .expect("written");
    std::fs::write(folder.path().join("empty.txt"), "# nothing yet\n").expect("written");
    let text = format!(
        "list.office = {{ file = \"office.txt\" }}\nlist.none = {{ file = \"none.txt\" }}\nlist.empty = {{ file = \"empty.txt\" }}\n\
         list.inline = []\n\
         [listener.w]\nbind = [\"127.0.0.1:9\"]\nmode = \"tcp\"\n[[listener.w.rule]]\nwhen = 'client.ip in @office'\nthen = {{ close = true }}\n{AROUND}"
    );
    let problems = parse(&text, "foreword.toml", folder.path()).expect_err("they are wrong");
    let told: Vec<String> = problems
        .iter()
        .map(|problem| problem.to_string().replace(&folder.path().display().to_string(), ""))
        .collect();
    assert_eq!(
        told,
        [
            "/empty.txt:1:1: list `empty`: expected at least one entry, found none",
            "/office.txt:4:3: list `office`: expected an address or CIDR such as `10.0.0.0/8`, found `office`",
            "foreword.toml:2:22: list `none`: `/none.txt`: expected a file, found none",
            "foreword.toml:4:15: list `inline`: expected at least one entry, found none",
        ]
    );
}

#[test]
fn includes_are_read_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("conf.d")).expect("made");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join("conf.d").join(name), text).expect("written")
    };
    write("b.toml", AROUND);
    write("a.toml", "[list]\noffice = [\"10.0.0.0/8\"]");
    write("ignored.toml~", "nonsense");
    let main = "include = [\"conf.d/*.toml\"]\ndrain = \"1m\"";
    let plan =
        parse(main, "foreword.toml", folder.path()).unwrap_or_else(|problems| panic!("{problems}")).plan;
    assert_eq!(plan.drain.as_secs(), 60);
    assert_eq!(&*plan.listeners[0].name, "z");

    write("c.toml", "drain = \"2m\"\ninclude = [\"d.toml\"]\n[cluster.z]\nendpoints = [\"a:1\"]");
    let problems = parse(main, "foreword.toml", folder.path()).expect_err("two say the same").to_string();
    let told = problems.replace(&folder.path().display().to_string(), "");
    assert_eq!(
        told,
        "/conf.d/c.toml: an included file cannot include others\nhint: name them in `foreword.toml`\n\
         /conf.d/c.toml:1:9: expected `drain` once, found it at foreword.toml:2:9 too\n\
         /conf.d/c.toml:3:10: cluster `z`: expected a name of its own, found the one at FOLDER/conf.d/b.toml:6:10"
            .replace("FOLDER", "")
    );
}

#[test]
fn what_an_include_names_and_cannot_be_read_is_told_where_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("z.toml"), AROUND).expect("written");
    let told = |include: &str| {
        let file = folder.path().join("foreword.toml");
        std::fs::write(&file, format!("include = [{include}]")).expect("written");
        let told = super::super::load(&file).map(|plan| plan.listeners.len());
        told.map_err(|problems| problems.to_string().replace(&folder.path().display().to_string(), ""))
    };
    // The file itself is not among the others that `*` means.
    assert_eq!(told("\"*.toml\""), Ok(1));
    let gone = told("\"z.toml\", \"gone.toml\"").expect_err("it is not there");
    assert_eq!(gone, "/foreword.toml:1:22: include: `/gone.toml`: expected a file, found none");
    let gone = told("\"z.toml\", \"gone/*.toml\"").expect_err("it is not there");
    assert_eq!(gone, "/foreword.toml:1:22: include: `/gone`: expected a folder, found none");
}

#[test]
fn certificates_as_other_servers_write_them_are_shown_as_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("www.pem"), "").expect("written");
    let told = |tls: &str| {
        let text = format!(
            "[listener.a]\nbind = [\"127.0.0.1:9\"]\nmode = \"tcp\"\ncluster = \"z\"\ntls = {{ {tls} }}{AROUND}"
        );
        parse(&text, "f", folder.path()).expect_err("no certificates").to_string()
    };
    let list = "write `certificates = [{ certificate = \"…\", key = \"…\" }]`";
    assert_eq!(
        told("certificate = \"a.crt\", key = \"a.key\""),
        format!(
            "f:5:9: listener `a`: expected the key `certificates`, which takes a list of pairs, found `certificate`\nhint: {list}"
        )
    );
    assert_eq!(
        told("certificates = \"www.pem\""),
        "f:5:24: listener `a`: expected a folder, or a list of certificates and keys for `certificates`, found `www.pem`\n\
         hint: write `[{ certificate = \"www.pem\", key = \"…\" }]`; the key may be in the same file"
    );
    assert!(told("certificates = [\"www.pem\"]").ends_with(list));
}
