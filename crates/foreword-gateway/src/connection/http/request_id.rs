//! The number by which one request is found again in every log on its way.

use foreword_http1::Request;

/// The id of a request.
#[derive(Clone, Debug)]
pub(super) enum RequestId<'r> {
    /// A trusted proxy gave it.
    Given(&'r [u8]),
    /// We made it: 128 random bits in hexadecimal.
    Made([u8; 32]),
}

impl<'r> RequestId<'r> {
    /// Takes the id in `field` where the speaker is trusted to give one, and else makes one.
    pub(super) fn of(request: &Request<'r>, field: &str, is_trusted: bool) -> Self {
        let mut given = is_trusted.then(|| request.field(field)).into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(id), None) if is_id(id) => Self::Given(id),
            _ => Self::Made(made()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(id) => id,
            Self::Made(id) => id,
        }
    }
}

fn made() -> [u8; 32] {
    let mut random = fastrand::u128(..);
    let mut id = [0; 32];
    let (eights, _) = id.as_chunks_mut();
    for eight in eights {
        *eight = eight_digits(random as u32).to_ne_bytes();
        random >>= u32::BITS;
    }
    id
}

/// Eight hexadecimal digits for the bits of a random number, in any order.
fn eight_digits(random: u32) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let random = u64::from(random);
    let fours = (random | (random << 28)) & (EACH * 0x0f);
    let is_letter = ((fours + EACH * 6) >> 4) & EACH;
    fours + EACH * u64::from(b'0') + is_letter * u64::from(b'a' - b'0' - 10)
}

/// Ids are copied into logs and into others' fields, so what an id may hold is narrow.
fn is_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(&byte))
}

/// The trace id in a W3C `traceparent`, `00-TRACE-PARENT-FLAGS`.
pub(super) fn trace_id<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    let traceparent = request.field("traceparent").next()?;
    let mut parts = traceparent.split(|&byte| byte == b'-');
    let (_version, id) = (parts.next()?, parts.next()?);
    (id.len() == 32 && id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(id)
}

#[cfg(test)]
mod tests {
    use foreword_http1::{Limits, RequestHead};

    use super::*;

    fn with_request<T>(fields: &str, check: impl FnOnce(Request<'_>) -> T) -> T {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut index = RequestHead::default();
        index.parse(head.as_bytes(), &Limits::default()).unwrap();
        check(index.view(head.as_bytes()))
    }

    #[test]
    fn an_id_is_taken_from_the_trusted_alone_and_only_if_it_looks_like_one() {
        let is_given = |fields: &str, trusted: bool| {
            with_request(fields, |request| {
                matches!(RequestId::of(&request, "X-Request-Id", trusted), RequestId::Given(_))
            })
        };
        assert!(is_given("x-request-id: abc-123\r\n", true));
        assert!(!is_given("x-request-id: abc-123\r\n", false));
        assert!(!is_given("x-request-id: a b\r\n", true));
        assert!(!is_given("x-request-id: a\r\nx-request-id: b\r\n", true));
        assert!(!is_given(&format!("x-request-id: {}\r\n", "a".repeat(129)), true));
    }

    #[test]
    fn ids_that_we_make_are_hexadecimal_and_differ() {
        let make = || with_request("", |request| RequestId::of(&request, "X", false).as_bytes().to_vec());
        assert!(make().iter().all(u8::is_ascii_hexdigit));
        assert_ne!(make(), make());
    }

    #[test]
    fn each_hexadecimal_digit_stands_for_four_bits() {
        for (random, digits) in [(0x0123_4567, b"01234567"), (0x89ab_cdef, b"89abcdef")] {
            let mut made = eight_digits(random).to_ne_bytes();
            made.sort_unstable();
            assert_eq!(&made, digits);
        }
    }

    #[test]
    fn the_trace_id_is_the_second_part_of_traceparent() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let found = |value: &str| {
            with_request(&format!("traceparent: {value}\r\n"), |request| {
                trace_id(&request).map(<[u8]>::to_vec)
            })
        };
        assert_eq!(found(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Some(id.as_bytes()));
        assert_eq!(found("00-zz-00f067aa0ba902b7-01"), None);
        assert_eq!(found("nonsense"), None);
    }
}
