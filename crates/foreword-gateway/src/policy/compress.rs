//! Which answers are made smaller, and in which coding.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use foreword_http1::list;

/// What a rule has made smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// In the order in which they are taken where the client likes several equally.
    pub codings: Box<[Coding]>,
    /// The types that are worth it, in lower case.
    pub types: Box<[Type]>,
    /// A body shorter than this is left as it is.
    pub min: u64,
}

/// A coding of content, RFC 9110 §8.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// A media type, or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `application/json`.
    One(Box<str>),
    /// `text/*`: all that begin so.
    Range(Box<str>),
    /// `*+json`: all that end so.
    Suffix(Box<str>),
}

impl Compress {
    /// Whether a body of this `Content-Type` is worth it.
    pub(crate) fn takes(&self, content_type: &[u8]) -> bool {
        let media = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        self.types.iter().any(|wanted| match wanted {
            Type::One(name) => media.eq_ignore_ascii_case(name.as_bytes()),
            Type::Range(start) => {
                media.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
            }
            Type::Suffix(end) => {
                let from = media.len().checked_sub(end.len());
                let tail = from.and_then(|from| media.get(from..));
                tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
            }
        })
    }

    /// The coding that a client likes best, by all its fields `Accept-Encoding`. Where they break the grammar, or it would
    /// rather have the body as it is, none.
    pub(crate) fn choose<'v>(&self, accepts: impl Iterator<Item = &'v [u8]>) -> Option<Coding> {
        let mut said = Said::default();
        accepts.flat_map(list).filter(|element| !element.is_empty()).try_for_each(|one| said.hear(one))?;
        let liked = |coding: Coding| said.about(coding).unwrap_or_default();
        let most = self.codings.iter().copied().map(liked).max().filter(|&most| most > 0)?;
        if said.identity.is_some_and(|identity| identity > most) {
            return None;
        }
        self.codings.iter().copied().find(|&coding| liked(coding) == most)
    }
}

/// One body in its codings. Each is made when it is asked for first, and kept: it is the same for everyone.
#[derive(Debug, Default)]
pub struct Coded([Made; 3]);

#[derive(Debug, Default)]
struct Made {
    /// Nothing, where it would be no smaller.
    body: OnceLock<Option<Box<[u8]>>>,
    is_in_the_making: AtomicBool,
}

impl Coded {
    fn made(&self, coding: Coding) -> &Made {
        let [gzip, brotli, zstd] = &self.0;
        match coding {
            Coding::Gzip => gzip,
            Coding::Brotli => brotli,
            Coding::Zstd => zstd,
        }
    }

    /// What was made of it, if it was: `Some(None)` where it is no smaller so.
    pub(crate) fn get(&self, coding: Coding) -> Option<Option<&[u8]>> {
        self.made(coding).body.get().map(Option::as_deref)
    }

    /// Has whoever asks make it, unless somebody does: others need not wait for that, nor do it again.
    pub(crate) fn make(&self, coding: Coding) -> Option<Making<'_>> {
        let made = self.made(coding);
        let is_first = made.body.get().is_none() && !made.is_in_the_making.swap(true, Ordering::Acquire);
        is_first.then_some(Making(made))
    }
}

/// A body that is being coded. Where that is given up, somebody else may begin again.
#[derive(Debug)]
pub(crate) struct Making<'c>(&'c Made);

impl Making<'_> {
    /// It is made; nothing, if that is no smaller.
    pub(crate) fn done(self, body: Option<Vec<u8>>) {
        // Nobody else has made it meanwhile.
        let _first = self.0.body.set(body.map(Into::into));
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.is_in_the_making.store(false, Ordering::Release);
    }
}

impl Coding {
    /// As `Content-Encoding` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// How much a client likes what, in thousandths.
#[derive(Debug, Default)]
struct Said {
    gzip: Option<u16>,
    brotli: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

impl Said {
    fn about(&self, coding: Coding) -> Option<u16> {
        let own = match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
        };
        own.or(self.others)
    }

    /// Hears `gzip;q=0.5`; `None` where the grammar has no such thing, RFC 9110 §12.5.3.
    fn hear(&mut self, element: &[u8]) -> Option<()> {
        let mut parts = element.splitn(2, |&byte| byte == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let quality = match parts.next() {
            Some(weight) => quality(weight.trim_ascii())?,
            None => 1000,
        };
        if name != b"*" && !foreword_http1::is_token(name) {
            return None;
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let place = match name {
            _ if is("gzip") || is("x-gzip") => &mut self.gzip,
            _ if is("br") => &mut self.brotli,
            _ if is("zstd") => &mut self.zstd,
            _ if is("identity") => &mut self.identity,
            b"*" => &mut self.others,
            _ => return Some(()),
        };
        // Who says it twice is taken at the lesser word.
        *place = Some(place.map_or(quality, |before| before.min(quality)));
        Some(())
    }
}

/// Reads `q=0.5` in thousandths, RFC 9110 §12.4.2.
fn quality(weight: &[u8]) -> Option<u16> {
    let number = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="))?;
    let (&whole, rest) = number.split_first()?;
    let digits = match rest {
        [] => &[],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress() -> Compress {
        Compress {
            codings: [Coding::Zstd, Coding::Brotli, Coding::Gzip].into(),
            types: [
                Type::One("application/json".into()),
                Type::Range("text/".into()),
                Type::Suffix("+json".into()),
            ]
            .into(),
            min: 1024,
        }
    }

    #[test]
    fn the_coding_that_the_client_likes_best_is_chosen() {
        for (accepts, expected) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, deflate, br", Some("br")),
            ("GZIP", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("*", Some("zstd")),
            ("gzip;q=1.0, *;q=0.5", Some("gzip")),
            ("gzip;q=0.5, br;q=0.501", Some("br")),
            ("*, zstd;q=0", Some("br")),
            ("gzip ; q=0.001 ,, ", Some("gzip")),
            ("gzip, identity", Some("gzip")),
            ("gzip;q=0.5, identity;q=0.6", None),
            ("identity;q=0, gzip;q=0.1", Some("gzip")),
            ("gzip;q=0", None),
            ("*;q=0", None),
            ("deflate, compress", None),
            ("identity", None),
            ("", None),
            ("gzip;q=1, gzip;q=0", None),
        ] {
            let chosen = compress().choose([accepts.as_bytes()].into_iter());
            assert_eq!(chosen.map(Coding::name), expected, "{accepts}");
        }
        let apart = [&b"gzip;q=0.5"[..], b"br"];
        assert_eq!(compress().choose(apart.into_iter()), Some(Coding::Brotli));
        assert_eq!(compress().choose(std::iter::empty()), None);
    }

    #[test]
    fn who_breaks_the_grammar_is_not_guessed_at() {
        for accepts in [
            "gzip;q=2",
            "gzip;q=",
            "gzip;q=.5",
            "gzip;q=0.5555",
            "gzip;q=1.001",
            "gzip;q=-1",
            "gzip;x=1",
            "gzip;",
            "g zip",
            "gzip;q=0.5;x=1",
            "gzip;q=0,5\x01",
            "br, gzip;q=a",
            "gzip;q=1e0",
            "gz\"ip",
        ] {
            assert_eq!(compress().choose([accepts.as_bytes()].into_iter()), None, "{accepts}");
        }
    }

    #[test]
    fn a_body_is_made_by_one_at_a_time_and_by_another_if_that_one_gives_up() {
        let coded = Coded::default();
        let making = coded.make(Coding::Gzip).unwrap();
        assert!(coded.make(Coding::Gzip).is_none() && coded.get(Coding::Gzip).is_none());
        assert!(coded.make(Coding::Zstd).is_some(), "each coding for itself");
        drop(making);
        coded.make(Coding::Gzip).unwrap().done(Some(b"small".to_vec()));
        assert_eq!(coded.get(Coding::Gzip), Some(Some(&b"small"[..])));
        assert!(coded.make(Coding::Gzip).is_none());
        coded.make(Coding::Brotli).unwrap().done(None);
        assert_eq!((coded.get(Coding::Brotli), coded.get(Coding::Zstd)), (Some(None), None));
    }

    #[test]
    fn types_are_told_by_name_by_beginning_and_by_end() {
        for (content_type, expected) in [
            ("text/html; charset=utf-8", true),
            ("Text/Event-Stream", true),
            ("application/json", true),
            ("application/json;x", true),
            ("application/ld+JSON", true),
            ("application/jsonx", false),
            ("image/png", false),
            ("+json; a", true),
            ("json", false),
            ("", false),
        ] {
            assert_eq!(compress().takes(content_type.as_bytes()), expected, "{content_type}");
        }
    }
}
