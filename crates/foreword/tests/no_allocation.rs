//! Parsing and encoding without a single allocation, counted by the allocator of this test.

use allocation_counter::measure;
use foreword::{Header, Parse, Parser, looks_like};
use foreword_vectors::vectors;

#[test]
fn parsing_allocates_nothing_whatever_comes() {
    let parser = Parser::new();
    for vector in vectors() {
        let allocated = measure(|| {
            let _answer = parser.parse(&vector.input);
            let _answer = parser.parse_datagram(&vector.input);
            let _looks = looks_like(&vector.input);
        });
        assert_eq!(allocated.count_total, 0, "{}", vector.id);
    }
}

#[test]
fn what_a_header_says_is_read_without_allocating() {
    for vector in vectors() {
        let Ok(Parse::Complete { header, len }) = Header::parse(&vector.input) else { continue };
        let mut room = vec![0; len];
        let allocated = measure(|| {
            let _addresses = (header.source(), header.destination());
            let _known = header.tlvs.count();
            let _ssl = header.tlvs.ssl().map(|ssl| (ssl.version(), ssl.cn(), ssl.cipher()));
            let _vendors = (header.tlvs.aws_vpce(), header.tlvs.azure_link_id(), header.tlvs.gcp_psc_id());
            let _encoded = header.encode(&mut room);
        });
        assert_eq!(allocated.count_total, 0, "{}", vector.id);
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
}
