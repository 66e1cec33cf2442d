//! The TLV that takes the room in a header that is too long, as far as the header was read anyway.

/// Finds the longest TLV of a v2 header whose own head has come: its kind, and the length that it claims (§2.2).
///
/// Only for telling whose fault it may be: nothing is decided by it, and nothing more is read for it.
pub(crate) fn largest_tlv(header: &[u8]) -> Option<(u8, usize)> {
    let (fixed, block) = header.split_first_chunk::<FIXED_LEN>()?;
    let &[.., family_transport, high, low] = fixed;
    let block = block.get(..number(high, low)).unwrap_or(block);
    let addresses = match family_transport >> 4 {
        1 => IPV4,
        2 => IPV6,
        3 => UNIX,
        _ => return None,
    };
    let mut tlvs = block.get(addresses..)?;
    let mut largest: Option<(u8, usize)> = None;
    while let Some((&[kind, high, low], rest)) = tlvs.split_first_chunk() {
        let len = number(high, low);
        if largest.is_none_or(|(_, other)| other < len) {
            largest = Some((kind, len));
        }
        tlvs = rest.get(len..).unwrap_or_default();
    }
    largest
}

fn number(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high, low]).into()
}

/// Signature, version and command, family and transport, length.
const FIXED_LEN: usize = 16;
/// The address blocks, §2.2.
const IPV4: usize = 12;
const IPV6: usize = 36;
const UNIX: usize = 216;

#[cfg(test)]
mod tests {
    use foreword::Builder;

    use super::*;

    fn header() -> Vec<u8> {
        let (source, destination) = ("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap());
        let builder = Builder::v2().proxy(source, destination).raw_tlv(0xe1, &[7; 20]);
        builder.raw_tlv(0xe2, &[7; 5000]).raw_tlv(0xe3, &[7; 30]).max_len(8000).build().unwrap()
    }

    #[test]
    fn the_longest_is_found_by_its_head_alone() {
        let header = header();
        assert_eq!(largest_tlv(&header), Some((0xe2, 5000)));
        assert_eq!(largest_tlv(&header[..16 + 36 + 23 + 3]), Some((0xe2, 5000)));
        assert_eq!(largest_tlv(&header[..16 + 36 + 23 + 2]), Some((0xe1, 20)));
    }

    #[test]
    fn no_bytes_are_too_few_or_too_odd() {
        let header = header();
        for len in 0..=header.len() {
            largest_tlv(&header[..len]);
        }
        assert_eq!(largest_tlv(&header[..16 + 36 + 2]), None);
        let mut unspecified = header;
        unspecified[13] = 0;
        assert_eq!(largest_tlv(&unspecified), None, "nobody knows where TLVs begin");
    }

    #[test]
    fn what_follows_the_header_is_no_tlv() {
        let address = "192.0.2.1:1".parse().unwrap();
        let mut header = Builder::v2().proxy(address, address).raw_tlv(0xe1, b"abc").build().unwrap();
        header.extend([0xe2, 0xff, 0xff]);
        assert_eq!(largest_tlv(&header), Some((0xe1, 3)));
    }
}
