//! The keys of answers of our own.

use super::Takes::{NamedTexts, Status, Text};
use super::{Key, Section, key};

pub(crate) const RESPOND: Section = Section {
    title: "then = { respond = { … } }",
    about: "An answer that needs no upstream.",
    keys: &[
        key("status", Status(200), "200", "Its status."),
        key("body", Text("text"), "\"\"", "Its body, as it is."),
        key(
            "file",
            Text("a path"),
            "none",
            "A file that is its body, of 16 MiB at most; it is read when the configuration is. With status 200 it has an `ETag`.",
        ),
        key(
            "content_type",
            Text("text"),
            "by the name of the file, else `text/plain; charset=utf-8`",
            "Its `Content-Type`.",
        ),
    ],
};

/// On a listener, and among the changes of a rule.
pub(super) const ERROR_PAGES: Key = key(
    "error_pages",
    NamedTexts("a table of paths"),
    "{}",
    "What is shown where a request is refused or comes to nothing here: `{ 404 = \"404.html\", 5xx = \"sorry.html\" }`. `{status}` and `{request.id}` are filled in; a file has 256 KiB at most.",
);
