//! TLVs behind addresses and lengths that are right, so that every input reaches them.

#![no_main]

use foreword::{Builder, Parse, Parser};
use foreword_fuzz::{look_at_everything, parser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, tlvs)) = data.split_last() else { return };
    // A seed is a whole header: its TLVs begin behind its addresses.
    let tlvs = tlvs.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n").and_then(|rest| rest.get(16..)).unwrap_or(tlvs);
    let Ok(len) = u16::try_from(12 + tlvs.len()) else { return };
    let mut input = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &len.to_be_bytes()[..], &[7; 12], tlvs].concat();
    input.extend_from_slice(b"payload");

    if let Ok(Parse::Complete { header, len }) = parser(choice).parse(&input) {
        assert_eq!(&input[len..], b"payload");
        look_at_everything(&header);
    }
    if let Ok(Parse::Complete { header, .. }) = Parser::new().parse(&input) {
        assert_eq!(header.tlvs.as_bytes(), tlvs, "in strict mode nothing is dropped");
        let built = header
            .tlvs
            .raw()
            .fold(Builder::v2().max_len(usize::MAX), |builder, tlv| builder.raw_tlv(tlv.kind, tlv.value));
        let built = built.addresses(header.addresses).transport(header.transport).build();
        assert_eq!(built.as_deref(), Ok(&input[..input.len() - b"payload".len()]), "the checksum was right");
    }
});
