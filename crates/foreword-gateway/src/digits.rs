//! Numbers and addresses as text without the formatting machinery, which would cost more than all that stands around them.

use std::io::Write as _;
use std::net::IpAddr;

/// Writes a number in decimal.
pub(crate) fn number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; LONGEST];
    let mut start = LONGEST;
    for pair in digits.rchunks_exact_mut(2) {
        pair.copy_from_slice(two_digits(number % 100));
        number /= 100;
        start -= 2;
        if number == 0 {
            break;
        }
    }
    start += usize::from(digits.get(start) == Some(&b'0') && start + 1 < LONGEST);
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Writes milliseconds with their three digits.
pub(crate) fn millis(millis: u32, out: &mut Vec<u8>) {
    out.push(b'0' + (millis / 100 % 10) as u8);
    out.extend_from_slice(two_digits(u64::from(millis % 100)));
}

fn two_digits(number: u64) -> &'static [u8] {
    let place = number as usize * 2;
    PAIRS.get(place..place + 2).unwrap_or(b"00")
}

/// `00` to `99`.
#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[number * 2] = b'0' + (number / 10) as u8;
        pairs[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
};

/// Writes an address as RFC 5952 wants it.
pub(crate) fn ip(ip: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(address) = ip else {
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "{ip}");
        return;
    };
    let [first, rest @ ..] = address.octets();
    number(first.into(), out);
    for octet in rest {
        out.push(b'.');
        number(octet.into(), out);
    }
}

/// `u64::MAX` has so many digits.
const LONGEST: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_three_digits() {
        for value in 0..1000 {
            let mut out = Vec::new();
            millis(value, &mut out);
            assert_eq!(out, format!("{value:03}").as_bytes());
        }
    }

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_does() {
        for value in [
            0,
            1,
            9,
            10,
            99,
            100,
            101,
            999,
            1000,
            9_999,
            10_000,
            65_535,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(out, value.to_string().as_bytes());
        }
        for address in ["0.0.0.0", "255.255.255.255", "203.0.113.7", "::", "2001:db8::1", "::ffff:1.2.3.4"] {
            let mut out = Vec::new();
            ip(address.parse().unwrap(), &mut out);
            assert_eq!(out, address.as_bytes());
        }
    }
}
