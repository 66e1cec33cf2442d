//! The keys of answers of our own.

use super::Takes::{NamedTexts, Size, Status, Text, Texts, Words};
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

pub(crate) const BASIC_AUTH: Section = Section {
    title: "then = { basic_auth = { … } }",
    about: "Who may pass: whoever gives the name and password of a user (RFC 7617). Others are answered with 401. Passwords are kept as hashes of bcrypt, Argon2 or SHA-512 crypt: `htpasswd -nBC 10 alice` prints one. They are checked on threads of their own, and once they were right, remembered until nobody has come with them for five minutes.",
    keys: &[
        key("realm", Text("text"), "\"restricted\"", "What the user is told that the password is for."),
        key("users", NamedTexts("a table of hashes"), "", "`{ alice = \"$2y$10$…\" }`; this or `file`."),
        key(
            "file",
            Text("a path"),
            "",
            "A file of such users, one `name:hash` a line, as `htpasswd -B` writes it; it is read when the configuration is.",
        ),
    ],
};

pub(crate) const COMPRESS: Section = Section {
    title: "then = { compress = { … } }",
    about: "Which answers of endpoints, and of `respond`, are made smaller: those of a type that is worth it, unless they are coded already, a part, or say `no-transform`. Read first what [compression gives away](../guide/compression.md).",
    keys: &[
        key(
            "codings",
            Words(&["zstd", "br", "gzip"]),
            "[\"zstd\", \"br\", \"gzip\"]",
            "In the order in which they are taken where a client likes several equally.",
        ),
        key(
            "types",
            Texts("types"),
            "`text/*`, JSON, JavaScript, XML, SVG and their like",
            "Which `Content-Type`s: `text/html`, `text/*` or `*+json`.",
        ),
        key("min", Size(0, 1024 * 1024), "\"1KiB\"", "A body that is known to be shorter is left as it is."),
    ],
};

/// On a listener, and among the changes of a rule.
pub(super) const ERROR_PAGES: Key = key(
    "error_pages",
    NamedTexts("a table of paths"),
    "{}",
    "What is shown where a request is refused or comes to nothing here: `{ 404 = \"404.html\", 5xx = \"sorry.html\" }`. `{status}` and `{request.id}` are filled in; a file has 256 KiB at most.",
);
