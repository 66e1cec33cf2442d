//! The reference of the file, written from the keys that the file is read with.

use std::fmt::Write as _;

use super::keys::{SECTIONS, Section};

/// The reference, as `docs/reference/configuration.md` holds it.
pub fn reference() -> String {
    let mut page = String::from(PREFACE);
    for section in SECTIONS {
        write_section(section, &mut page);
    }
    page
}

fn write_section(section: &Section, page: &mut String) {
    let title = if section.title.contains('[') || section.title.contains('{') {
        format!("`{}`", section.title)
    } else {
        section.title.to_owned()
    };
    let _ = write!(
        page,
        "\n## {title}\n\n{}\n\n| key | takes | default | |\n| --- | --- | --- | --- |\n",
        section.about
    );
    for key in section.keys {
        let default = match key.default {
            "" => String::new(),
            words if words.contains(' ') => words.to_owned(),
            "none" | "always" | "required" => key.default.to_owned(),
            literal => format!("`{literal}`"),
        };
        let about = key.about.replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {} | {default} | {about} |", key.name, key.takes);
    }
}

const PREFACE: &str = "# The configuration file

A TOML file, checked as a whole before anything starts: `foreword check -c FILE`. An unknown key, a key without effect and a
name that points nowhere are errors. Relative paths start at the file's folder. Durations are written `500ms`, `3s`, `1m`,
`2h` or `7d`, which is the longest; sizes as a number of bytes, or `\"512B\"`, `\"16KiB\"`, `\"1MiB\"`, `\"2GiB\"`. This page is written by the program from the keys that it knows.

So is the [JSON Schema](foreword.schema.json), with which editors complete keys and underline mistakes while you write. Your
binary prints its own: `foreword check --print-schema >foreword.schema.json`. Editors with Taplo (Even Better TOML) find it by a
first line `#:schema ./foreword.schema.json`. What a schema cannot know, such as which names point where, `foreword check` says.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
        if std::env::var_os("FOREWORD_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).expect("the folder is there");
        }
        let page = std::fs::read_to_string(path).expect("the page is in the repository");
        assert!(page == reference(), "run this test with FOREWORD_WRITE_REFERENCE=1 to write the page anew");
    }
}
