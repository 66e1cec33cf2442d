//! What parses encodes to what parses the same, and what is built from its values says the same.

#![no_main]

use foreword::{Builder, Command, Header, HeaderBuf, MAX_LEN, Parse, Version, spp::Spp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(Parse::Complete { header, len }) = Header::parse(data) {
        let mut buffer = vec![0; MAX_LEN];
        let encoded = header.encode(&mut buffer).expect("there is room for every header");
        assert!(encoded <= len || header.version == Version::One, "the canonical form is the shortest of v2");
        assert_eq!(Header::parse(&buffer[..encoded]), Ok(Parse::Complete { header, len: encoded }));
        assert_eq!(HeaderBuf::from_bytes(&data[..len]).expect("it is one header").header(), header);
        build_again(&header, &buffer[..encoded]);
    }
    if let Ok((spp, len)) = Spp::parse(data) {
        assert_eq!(Spp::parse(&spp.encode()), Ok((spp, len)));
    }
});

fn build_again(header: &Header<'_>, encoded: &[u8]) {
    let builder = Builder::new(header.version).max_len(MAX_LEN).addresses(header.addresses);
    let builder = builder.transport(header.transport);
    let builder = if header.command == Command::Local { builder.local() } else { builder };
    let builder = header.tlvs.raw().fold(builder, |builder, tlv| builder.raw_tlv(tlv.kind, tlv.value));
    if header.version == Version::Two {
        assert_eq!(builder.encoded_len(), encoded.len(), "its length is known beforehand");
    }
    assert_eq!(builder.build().as_deref(), Ok(encoded));
}
