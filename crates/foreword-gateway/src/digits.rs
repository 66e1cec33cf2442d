//! Numbers and addresses as text without the formatting machinery, which would cost more than all that stands around them.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Writes a number in decimal.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    if let Ok(digit @ 0..=9) = u8::try_from(number) {
        out.push(b'0' + digit);
        return;
    }
    if number >= EIGHT_DIGITS {
        self::number(number / EIGHT_DIGITS, out);
        let text = eight_digits(number % EIGHT_DIGITS) | ZEROS;
        out.extend_from_slice(&text.to_le_bytes());
        return;
    }
    let digits = eight_digits(number);
    let zeros = digits.trailing_zeros() & !7;
    let text = (digits | ZEROS) >> zeros;
    append(&text.to_le_bytes(), 8 - (zeros / u8::BITS) as usize, out);
}

/// The digits of a number below 10⁸, each in a byte, the first in the lowest: halves, quarters and eighths of it are divided
/// side by side.
const fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let upper = ((fours * 5243) >> 19) & 0x7f_0000_007f;
    let twos = upper | ((fours - 100 * upper) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

const EIGHT_DIGITS: u64 = 100_000_000;
/// Eight times `0`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

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
    out.extend_from_slice(IpText::of(ip).as_bytes());
}

/// An address as text, for whoever needs it more than once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpText {
    text: [u8; LONGEST_IP],
    len: usize,
}

impl IpText {
    /// The address as RFC 5952 wants it.
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let mut text = [b'.'; LONGEST_IP];
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
        Self { text, len: end - 1 }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let mut text = [0; LONGEST_IP];
        let mut room = text.as_mut_slice();
        // There is room for the longest.
        let _ = write!(room, "{address}");
        let len = LONGEST_IP - room.len();
        Self { text, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
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

/// An IPv6 address has at most 39 bytes, or 45 where it ends in an IPv4 address; a dot is written behind each octet.
const LONGEST_IP: usize = 46;

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
    fn all_digits_of_a_number_are_written_and_none_before_them() {
        let steps = [1, 7, 99, 1_001, 33_333, 9_999_991].into_iter();
        for number in steps.flat_map(|step| (0..20_000).map(move |times| times * step)) {
            let mut out = Vec::new();
            super::number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
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
        for address in [
            "0.0.0.0",
            "255.255.255.255",
            "203.0.113.7",
            "::",
            "2001:db8::1",
            "::ffff:255.255.255.255",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            let mut out = Vec::new();
            ip(address.parse().unwrap(), &mut out);
            assert_eq!(out, address.as_bytes());
        }
    }
}
