//! Servers as they read targets, each in its own way: what one of them takes for protected must not have come to it.

/// How a server resolves a target, and its name.
pub(super) type Server = (&'static str, fn(&str) -> Vec<String>);

/// Those in front of which a gateway may stand with the settings that it has by default.
pub(super) const SERVERS: &[Server] = &[
    ("takes the path as it is", |target| split(path_of(target))),
    ("resolves dots, decodes after", |target| decoded(dots(split(path_of(target))))),
    ("decodes, then merges slashes and resolves dots", |target| dots(split(&decode(path_of(target))))),
    ("drops params, decodes, resolves dots", |target| dots(decoded(without_params(split(path_of(target)))))),
    ("drops params after it resolved dots", |target| decoded(without_params(dots(split(path_of(target)))))),
    ("decodes, then drops params", |target| dots(without_params(split(&decode(path_of(target)))))),
    ("decodes twice", |target| dots(split(&decode(&decode(path_of(target)))))),
    ("takes a backslash for a slash", |target| dots(split(&decode(path_of(target)).replace('\\', "/")))),
    ("ends at NUL", |target| dots(split(until(&decode(path_of(target)), &['\0'])))),
    ("looks for the query after it decoded", |target| dots(split(until(&decode(target), &['?', '#'])))),
    ("takes overlong forms", |target| dots(split(&decode(&shortened(path_of(target)))))),
];

/// Those that ask for `ignore_case`.
pub(super) const WITHOUT_CASE: &[Server] =
    &[("has no case", |target| dots(split(&decode(path_of(target)).to_ascii_lowercase())))];

/// Whether a server takes the target for something under `/admin`.
pub(super) fn is_protected((_, resolve): &Server, target: &str) -> bool {
    let segments = resolve(target);
    segments.iter().find(|segment| !segment.is_empty()).is_some_and(|first| first == "admin")
}

/// The path of a target in origin or absolute form.
fn path_of(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        _ => target,
    };
    until(target, &['?'])
}

fn until<'t>(text: &'t str, ends: &[char]) -> &'t str {
    text.find(ends).map_or(text, |at| &text[..at])
}

fn split(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

fn decoded(segments: Vec<String>) -> Vec<String> {
    segments.iter().map(|segment| decode(segment)).collect()
}

fn without_params(segments: Vec<String>) -> Vec<String> {
    segments.iter().map(|segment| until(segment, &[';']).to_owned()).collect()
}

fn dots(segments: Vec<String>) -> Vec<String> {
    let mut resolved = Vec::new();
    for segment in segments {
        match segment.as_str() {
            "" | "." => {}
            ".." => _ = resolved.pop(),
            _ => resolved.push(segment),
        }
    }
    resolved
}

/// Decodes what is encoded, once; each byte is a character, as in Latin-1.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (String::new(), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(char::from(byte.unwrap_or(bytes[at])));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

/// Writes forms of UTF-8 that are longer than they need be as what lax decoders make of them.
fn shortened(text: &str) -> String {
    let mut out = text.to_owned();
    for (long, short) in [
        ("%c0%af", "/"),
        ("%e0%80%af", "/"),
        ("%c0%2f", "/"),
        ("%c1%9c", "\\"),
        ("%c0%ae", "."),
        ("%e0%80%ae", "."),
        ("%c1%a1", "a"),
        ("%e0%81%a1", "a"),
        ("%u002f", "/"),
        ("%u0061", "a"),
    ] {
        out = out.replace(long, short).replace(&long.to_ascii_uppercase(), short);
    }
    out
}

#[test]
fn each_server_finds_the_protected_place_by_its_own_trick() {
    let tricks = [
        "/admin/x",
        "/x/../%61dmin",
        "/x%2f..%2f/admin",
        "/a/..;/;x/admin;y",
        "/;/admin;x",
        "/admin%3bx/y",
        "/%2561dmin",
        "/x/..%5c\\admin",
        "/admin%00.html",
        "/admin%3fx",
        "/x/%c0%ae%c0%ae/admin",
    ];
    for (server, trick) in SERVERS.iter().zip(tricks) {
        let by_hand = trick.replace("..;", "..");
        assert!(is_protected(server, trick) || is_protected(server, &by_hand), "{}: {trick}", server.0);
        assert!(!is_protected(server, "/other/admin?/admin"), "{}", server.0);
    }
    assert!(is_protected(&WITHOUT_CASE[0], "/AdMin"));
}
