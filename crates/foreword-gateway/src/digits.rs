//! Numbers and addresses as text without the formatting machinery, which would cost more than all that stands around them.

use std::io::Write as _;
use std::net::IpAddr;

/// Writes a number in decimal.
pub(crate) fn number(mut number: u64, out: &mut Vec<u8>) {
    if let Ok(digit @ 0..=9) = u8::try_from(number) {
        out.push(b'0' + digit);
        return;
    }
    // The digits end where `LONGEST` ends; what stands behind is there to be copied with them.
    let mut digits = [b'0'; 2 * LONGEST];
    let mut start = LONGEST;
    while number > 0 {
        start = start.saturating_sub(2);
        if let Some(pair) = digits.get_mut(start..start + 2) {
            pair.copy_from_slice(two_digits(number % 100));
        }
        number /= 100;
    }
    start += usize::from(digits.get(start) == Some(&b'0'));
    let room = digits.get(start..).and_then(|digits| digits.first_chunk::<LONGEST>());
    append(room.unwrap_or(&[b'0'; LONGEST]), LONGEST - start, out);
}

/// Appends the first `length` bytes of `room`: all of it is copied, since a copy of a known length takes no call.
#[inline]
fn append<const ROOM: usize>(room: &[u8; ROOM], length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    out.extend_from_slice(room);
    out.truncate(end);
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
    let mut text = [b'.'; LONGEST_V4 + 1];
    let mut end = 0;
    for octet in address.octets() {
        let [digits @ .., length] = octet_digits(octet);
        if let Some(place) = text.get_mut(end..end + 3) {
            place.copy_from_slice(&digits);
        }
        end += usize::from(length);
        if let Some(place) = text.get_mut(end) {
            *place = b'.';
        }
        end += 1;
    }
    append(&text, end - 1, out);
}

/// The digits of an octet, and how many there are.
fn octet_digits(octet: u8) -> [u8; 4] {
    OCTETS.get(usize::from(octet)).copied().unwrap_or([b'0', 0, 0, 1])
}

#[expect(clippy::indexing_slicing, reason = "where it panics it does not compile")]
const OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[0; 4]; 256];
    let mut octet = 0;
    while octet < 256 {
        let [hundreds, tens, ones] =
            [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        octets[octet] = match octet {
            0..10 => [ones, 0, 0, 1],
            10..100 => [tens, ones, 0, 2],
            _ => [hundreds, tens, ones, 3],
        };
        octet += 1;
    }
    octets
};

/// `255.255.255.255` has so many bytes.
const LONGEST_V4: usize = 15;
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
    fn every_octet_is_written_as_the_standard_library_does() {
        for octet in 0..=255 {
            let address = std::net::Ipv4Addr::new(255 - octet, octet, 0, octet);
            let mut out = Vec::new();
            ip(address.into(), &mut out);
            assert_eq!(out, address.to_string().as_bytes());
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
