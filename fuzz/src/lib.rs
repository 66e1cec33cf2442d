//! What must hold for any bytes that are given to the header parser.

use foreword::{Header, Malformed, Parse, Parser};

/// The parser with the switches that the bits of `choice` name.
#[must_use]
pub fn parser(choice: u8) -> Parser {
    let parser =
        if choice & 0x10 == 0 { Parser::new() } else { Parser::new().max_len(usize::from(choice) * 16) };
    parser
        .ipv4_in_tcp6(choice & 0x01 != 0)
        .ignore_malformed_tlvs(choice & 0x02 != 0)
        .first_of_duplicate_tlvs(choice & 0x04 != 0)
        .require_checksum(choice & 0x08 != 0)
}

/// `data` behind `signature`, unless it begins with it already: so that seeds need no trimming and no input is wasted.
#[must_use]
pub fn signed(signature: &[u8], data: &[u8]) -> Vec<u8> {
    if data.starts_with(signature) { data.to_vec() } else { [signature, data].concat() }
}

/// Checks the answer for `input` against the answers for what it begins with: the prefixes that end at `cuts`.
///
/// # Panics
///
/// When a prefix of a good header is refused, when more is asked for than belongs to it, when what was refused is not
/// refused any more or for another reason, or when a fault lies past the input.
pub fn check_prefixes(parser: &Parser, input: &[u8], cuts: impl Iterator<Item = usize>) {
    let whole = parser.parse(input);
    check_place(input, &whole);
    for cut in cuts {
        let Some(prefix) = input.get(..cut) else { break };
        match (parser.parse(prefix), &whole) {
            (Ok(Parse::Incomplete { needed }), Ok(Parse::Complete { len, .. })) => {
                assert!(cut + needed.get() <= *len, "asked for more than the header has");
            }
            (Ok(Parse::Incomplete { .. }), _) => {}
            (Ok(Parse::Complete { len, .. }), Ok(Parse::Complete { len: whole, .. })) => {
                assert_eq!(len, *whole)
            }
            (Err(malformed), Err(whole)) => {
                let cause = |malformed: &Malformed| (malformed.offset(), malformed.requirement());
                assert_eq!(cause(&malformed), cause(whole), "cut at {cut}");
            }
            (found, whole) => panic!("cut at {cut}: {found:?}, whole: {whole:?}"),
        }
    }
}

fn check_place(input: &[u8], answer: &Result<Parse<'_>, Malformed>) {
    match answer {
        Ok(Parse::Complete { header, len }) => {
            assert!(*len <= input.len());
            assert_eq!(header.tlvs.count(), header.tlvs.raw().count());
        }
        Ok(Parse::Incomplete { .. }) => {}
        Err(malformed) => {
            // A claim may reach past the last byte, and only a line can be too long before it is.
            assert!(malformed.offset() <= input.len() || malformed.requirement() == "R-V1-11", "{malformed}");
            assert!(!malformed.to_string().is_empty());
        }
    }
}

/// Asks for everything that a header can be asked for.
pub fn look_at_everything(header: &Header<'_>) {
    let _ = (header.source(), header.destination(), header.family(), header.is_unknown());
    let tlvs = header.tlvs;
    let _ = tlvs.authority().map(|authority| authority.as_str());
    let _ = (
        tlvs.alpn(),
        tlvs.unique_id(),
        tlvs.netns(),
        tlvs.aws_vpce(),
        tlvs.azure_link_id(),
        tlvs.gcp_psc_id(),
    );
    let _ = tlvs.alibaba().filter(Result::is_ok).count();
    if let Some(ssl) = tlvs.ssl() {
        assert!(!ssl.client_verified() || ssl.verify() == 0);
        let _ = (
            ssl.version(),
            ssl.cn(),
            ssl.cipher(),
            ssl.sig_alg(),
            ssl.key_alg(),
            ssl.group(),
            ssl.sig_scheme(),
        );
        let _ = ssl.client_cert();
    }
}
