//! What is left out of lines: the values that people put into queries, cookies and credentials.

use super::Redact;
use crate::observe::Name;

/// Gives `put` what the log has under a name, without what is to be left out of it.
#[inline]
pub(super) fn text(redact: Redact, name: Name, text: &[u8], put: &mut impl FnMut(&[u8])) {
    match name {
        Name::Query if redact.query => query(text, put),
        Name::Target | Name::Referer if redact.query => target(text, put),
        _ => put(text),
    }
}

/// Gives `put` the query with its values replaced; names stay, since they tell what was asked for.
pub(super) fn query(query: &[u8], put: &mut impl FnMut(&[u8])) {
    for (place, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if place > 0 {
            put(b"&");
        }
        match memchr::memchr(b'=', pair).and_then(|equals| pair.get(..=equals)) {
            Some(name) => {
                put(name);
                put(REDACTED);
            }
            // Without a name, all of it may be the value.
            None if !pair.is_empty() => put(REDACTED),
            None => {}
        }
    }
}

/// Gives `put` a target or a Referer with the values of its query replaced.
pub(super) fn target(target: &[u8], put: &mut impl FnMut(&[u8])) {
    match memchr::memchr(b'?', target).and_then(|mark| target.split_at_checked(mark + 1)) {
        Some((path, rest)) => {
            put(path);
            query(rest, put);
        }
        None => put(target),
    }
}

/// Gives `put` a request field with its secrets replaced.
pub(super) fn field(redact: Redact, name: &str, value: &[u8], put: &mut impl FnMut(&[u8])) {
    match name {
        "cookie" | "set-cookie" if redact.cookies => cookies(value, put),
        "authorization" | "proxy-authorization" if redact.authorization => credentials(value, put),
        "referer" if redact.query => target(value, put),
        _ => put(value),
    }
}

fn cookies(value: &[u8], put: &mut impl FnMut(&[u8])) {
    for (place, pair) in value.split(|&byte| byte == b';').enumerate() {
        if place > 0 {
            put(b";");
        }
        match memchr::memchr(b'=', pair).and_then(|equals| pair.get(..=equals)) {
            Some(name) => {
                put(name);
                put(REDACTED);
            }
            None => put(REDACTED),
        }
    }
}

/// The scheme stays; it tells how somebody tried to identify, not as whom.
fn credentials(value: &[u8], put: &mut impl FnMut(&[u8])) {
    match memchr::memchr(b' ', value).and_then(|space| value.get(..=space)) {
        Some(scheme) => {
            put(scheme);
            put(REDACTED);
        }
        None => put(REDACTED),
    }
}

/// Stands for what was left out.
const REDACTED: &[u8] = b"REDACTED";

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(redact: impl FnOnce(&mut dyn FnMut(&[u8]))) -> String {
        let mut out = Vec::new();
        redact(&mut |bytes| out.extend_from_slice(bytes));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_values_of_a_query_go_and_its_names_stay() {
        for (given, expected) in [
            ("", ""),
            ("a=1&b=2", "a=REDACTED&b=REDACTED"),
            ("token", "REDACTED"),
            ("a=b=c&&x=", "a=REDACTED&&x=REDACTED"),
        ] {
            assert_eq!(redacted(|mut put| query(given.as_bytes(), &mut put)), expected);
        }
        assert_eq!(redacted(|mut put| target(b"/p?a=1?b=2", &mut put)), "/p?a=REDACTED");
        assert_eq!(redacted(|mut put| target(b"/p", &mut put)), "/p");
    }

    #[test]
    fn cookies_and_credentials_keep_only_what_identifies_nobody() {
        let all = Redact { query: true, cookies: true, authorization: true };
        for (name, value, expected) in [
            ("cookie", "sid=abc; theme=dark", "sid=REDACTED; theme=REDACTED"),
            ("cookie", "abc", "REDACTED"),
            ("authorization", "Basic dXNlcjpwYXNz", "Basic REDACTED"),
            ("proxy-authorization", "token", "REDACTED"),
            ("referer", "https://x/?q=1", "https://x/?q=REDACTED"),
            ("accept", "text/html", "text/html"),
        ] {
            assert_eq!(redacted(|mut put| field(all, name, value.as_bytes(), &mut put)), expected);
            let none = Redact::default();
            assert_eq!(redacted(|mut put| field(none, name, value.as_bytes(), &mut put)), value);
        }
    }
}
