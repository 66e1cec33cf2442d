//! The cookie by which a client comes back to its endpoint: what it holds, and how it is found, set and taken out.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digits;

/// By which cookie a client comes back to the endpoint that answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// What makes its values ours.
    pub secret: Secret,
    /// For how long a browser keeps it; without it, until the browser is closed.
    pub max_age: Option<Duration>,
    /// With which requests of other sites a browser sends it.
    pub same_site: SameSite,
    /// Whether endpoints see it.
    pub forward: bool,
}

/// What nobody else knows. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Box<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// With which requests of other sites a browser sends a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// With those that lead here.
    #[default]
    Lax,
    /// With none.
    Strict,
    /// With all, under TLS alone.
    None,
}

/// What a cookie holds: by it an endpoint is known to those who know it already, and to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token([u8; TOKEN]);

impl Token {
    /// Reads the value of a cookie; whatever is not ours means nothing.
    fn read(value: &[u8]) -> Option<Self> {
        value.try_into().ok().map(Self)
    }
}

impl Sticky {
    /// The token of an endpoint: the same at each gateway with the same secret, whenever it was started.
    pub(crate) fn token(&self, cluster: &str, address: &str) -> Token {
        let key = Key::new(HMAC_SHA256, &self.secret.0);
        let told = [b"endpoint\0", cluster.as_bytes(), b"\0", address.as_bytes()].concat();
        let mut token = [b'-'; TOKEN];
        let sum = sign(&key, &told);
        let part = sum.as_ref().get(..TOKEN / 4 * 3).unwrap_or_default();
        // Three bytes are four letters, so it fits.
        let _len = URL_SAFE_NO_PAD.encode_slice(part, &mut token);
        Token(token)
    }

    /// The first of our cookies in a `Cookie` field that may be a token.
    pub(crate) fn find(&self, cookies: &[u8]) -> Option<Token> {
        pairs(cookies).filter(|pair| self.is_ours(pair)).find_map(|pair| {
            let value = pair.get(self.cookie.len() + 1..)?;
            // Quotes are part of the syntax, RFC 6265 §4.1.1.
            let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            Token::read(unquoted.unwrap_or(value))
        })
    }

    /// Writes what a `Cookie` field holds besides ours; `false` where that is nothing.
    pub(crate) fn write_others(&self, cookies: &[u8], out: &mut Vec<u8>) -> bool {
        let mut others = pairs(cookies).filter(|pair| !pair.is_empty() && !self.is_ours(pair));
        let Some(first) = others.next() else { return false };
        out.extend_from_slice(first);
        for pair in others {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(pair);
        }
        true
    }

    fn is_ours(&self, pair: &[u8]) -> bool {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii_end() == self.cookie.as_bytes()
    }

    /// Writes the field that gives a client its cookie.
    pub(crate) fn write_set_cookie(&self, token: Token, is_secure: bool, out: &mut Vec<u8>) {
        for part in [b"Set-Cookie: ", self.cookie.as_bytes(), b"=", &token.0, b"; Path=/; HttpOnly"] {
            out.extend_from_slice(part);
        }
        if let Some(age) = self.max_age {
            out.extend_from_slice(b"; Max-Age=");
            digits::number(age.as_secs(), out);
        }
        out.extend_from_slice(match self.same_site {
            SameSite::Lax => b"; SameSite=Lax",
            SameSite::Strict => b"; SameSite=Strict",
            SameSite::None => b"; SameSite=None",
        });
        out.extend_from_slice(if is_secure { b"; Secure\r\n" } else { b"\r\n" });
    }
}

/// The pairs of a `Cookie` field, RFC 6265 §4.2.1.
fn pairs(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// 96 bits in Base64: nobody guesses one, and few cookies are shorter.
const TOKEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(secret: &str) -> Sticky {
        Sticky {
            cookie: "fw".into(),
            secret: Secret(secret.as_bytes().into()),
            max_age: None,
            same_site: SameSite::default(),
            forward: false,
        }
    }

    #[test]
    fn a_token_is_the_same_each_time_and_another_for_whoever_differs() {
        let token = |secret: &str, cluster, address| {
            let Token(token) = sticky(secret).token(cluster, address);
            String::from_utf8(token.to_vec()).unwrap()
        };
        // What clients hold must mean the same to every version and machine.
        assert_eq!(token("0123456789abcdef", "app", "10.0.0.1:80"), "Gnvk6ILosSHeYQAF");
        let others = [
            token("0123456789abcdee", "app", "10.0.0.1:80"),
            token("0123456789abcdef", "other", "10.0.0.1:80"),
            token("0123456789abcdef", "app", "10.0.0.2:80"),
        ];
        assert!(!others.contains(&token("0123456789abcdef", "app", "10.0.0.1:80")), "{others:?}");
    }

    #[test]
    fn our_cookie_is_found_among_others_and_only_what_may_be_a_token() {
        let token = |cookies: &str| sticky("").find(cookies.as_bytes()).map(|Token(token)| token);
        let ours = *b"abcdefghijklmnop";
        for cookies in [
            "fw=abcdefghijklmnop",
            "a=1; fw=abcdefghijklmnop;b=2",
            "fw=\"abcdefghijklmnop\"",
            "fw=short; fw=abcdefghijklmnop",
            " ;; fw=abcdefghijklmnop ;",
        ] {
            assert_eq!(token(cookies), Some(ours), "{cookies}");
        }
        for cookies in
            ["", "fw", "fw=", "FW=abcdefghijklmnop", "xfw=abcdefghijklmnop", "fw=abcdefghijklmnopq"]
        {
            assert_eq!(token(cookies), None, "{cookies}");
        }
    }

    #[test]
    fn all_cookies_but_ours_go_on() {
        let others = |cookies: &str| {
            let mut out = Vec::new();
            let is_there = sticky("").write_others(cookies.as_bytes(), &mut out);
            assert_eq!(is_there, !out.is_empty());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(others("a=1; fw=x; b=\"2\""), "a=1; b=\"2\"");
        assert_eq!(others("fw=x; fw = y;fw"), "");
        assert_eq!(others("fwx=1; xfw=2; a=fw=3"), "fwx=1; xfw=2; a=fw=3");
        assert_eq!(others("; ;"), "");
    }

    #[test]
    fn a_cookie_is_for_browsers_alone_and_under_tls_stays_there() {
        let written = |sticky: &Sticky, is_secure| {
            let mut out = Vec::new();
            sticky.write_set_cookie(Token(*b"abcdefghijklmnop"), is_secure, &mut out);
            String::from_utf8(out).unwrap()
        };
        let plain = sticky("");
        assert_eq!(
            written(&plain, false),
            "Set-Cookie: fw=abcdefghijklmnop; Path=/; HttpOnly; SameSite=Lax\r\n"
        );
        let aged = Sticky { max_age: Some(Duration::from_secs(3600)), same_site: SameSite::Strict, ..plain };
        assert_eq!(
            written(&aged, true),
            "Set-Cookie: fw=abcdefghijklmnop; Path=/; HttpOnly; Max-Age=3600; SameSite=Strict; Secure\r\n"
        );
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert!(!format!("{:?}", sticky("hush")).contains("hush"));
    }
}
