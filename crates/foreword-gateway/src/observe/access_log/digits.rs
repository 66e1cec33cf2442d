//! Numbers and addresses as text without the formatting machinery, which would cost more than the rest of a line.

use std::net::IpAddr;

use super::clock::write;

/// Writes a number in decimal.
pub(super) fn number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; LONGEST];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(LONGEST - used..).unwrap_or_default());
}

/// Writes an address as RFC 5952 wants it.
pub(super) fn ip(ip: IpAddr, out: &mut Vec<u8>) {
    let IpAddr::V4(address) = ip else {
        return write(out, format_args!("{ip}"));
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
    fn numbers_and_addresses_are_written_as_the_standard_library_does() {
        for value in [0, 1, 9, 10, 99, 100, 65_535, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
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
