//! The header that introduces a client to an endpoint: addresses first, then what the cluster says besides, within its
//! bounds.

use std::cell::OnceCell;
use std::fmt;

use foreword::build::{ClientCertificate, SslStatement};
use foreword::{
    Authority, BuildError, Builder, Client, ClientAddr, Header, PeerAddr, RawTlv, Ssl, Transport, Version,
    kind,
};

use crate::policy::cluster::{Cluster, SendHeader};
use crate::policy::facts::{ConnectionFacts, HelloFacts, TlsFacts};
use crate::policy::send_tlv::{SendTlv, SslParts, TlvValue};
use crate::policy::tlv_kind::{Called, TlvKind, Unfit};

/// What a header to an endpoint says of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduced<'c> {
    pub(crate) client: &'c Client,
    /// How it came.
    pub(crate) transport: Transport,
    /// What the handshake settled, if TLS ended here.
    pub(crate) tls: Option<&'c TlsFacts>,
    /// What the client said of the handshake, if TLS passes through.
    pub(crate) hello: Option<&'c HelloFacts>,
    /// Made when it is first asked for.
    pub(crate) unique_id: &'c OnceCell<Box<[u8]>>,
}

impl<'c> Introduced<'c> {
    /// The id by which receivers know the connection: the one that it came with, else one of its own.
    fn unique_id(self) -> &'c [u8] {
        self.unique_id.get_or_init(|| match self.header().and_then(|header| header.tlvs.unique_id()) {
            Some(id) => id.into(),
            // Text, since receivers put it into their logs.
            None => format!("{:032x}", fastrand::u128(..)).into_bytes().into(),
        })
    }

    fn header(self) -> Option<Header<'c>> {
        self.client.header()
    }
}

/// A header, and what it had no place for.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    /// Empty unless something is amiss: then it is told.
    pub(crate) left_out: LeftOut,
}

/// The TLVs that stayed behind, each whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// How many had no room.
    pub(crate) without_room: u64,
    /// How many had a value that does not fit their kind.
    pub(crate) unfit: u64,
    /// Of those that had no room the first, by name and length: a header may hold thousands.
    lacking: Vec<String>,
    /// What was expected of the others, and what was found.
    misfits: Vec<String>,
}

impl LeftOut {
    pub(crate) fn is_empty(&self) -> bool {
        self.without_room + self.unfit == 0
    }

    fn has_no_room(&mut self, tlv: Called<'_>) {
        self.without_room += 1;
        if self.lacking.len() < NAMED {
            self.lacking.push(tlv.to_string());
        }
    }

    fn does_not_fit(&mut self, kind: &TlvKind, len: usize, expected: &str) {
        self.unfit += 1;
        self.misfits.push(format!("expected {expected}, found {len} bytes for {kind}"));
    }
}

/// Says what was left out of a header, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Omission<'a> {
    pub(crate) left_out: &'a LeftOut,
    pub(crate) max: usize,
    pub(crate) client: &'a ClientAddr,
}

impl fmt::Display for Omission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeftOut { without_room, lacking, misfits, .. } = self.left_out;
        write!(f, "the header of {}: {}", self.client, misfits.join("; "))?;
        if lacking.is_empty() {
            return Ok(());
        }
        let between = if misfits.is_empty() { "" } else { "; " };
        let named = lacking.join(", ");
        write!(f, "{between}expected at most {} bytes, found no room left for {named}", self.max)?;
        match without_room - lacking.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Makes the header that introduces the client of a connection; `None` if the cluster wants none.
///
/// Its own TLVs go first, in the order of the file, then those that are passed on, in the order in which they came. One that
/// does not fit into what is left of `max_header` stays behind, whole; what comes after it may still fit. The checksum has
/// its room before all others: who asks for it means to be refused without it.
///
/// # Errors
///
/// When not even the addresses fit.
pub(crate) fn header(cluster: &Cluster, who: Introduced<'_>) -> Result<Option<Made>, BuildError> {
    let version = match cluster.send_header {
        // The Simple Proxy Protocol is no PROXY header: whoever sends datagrams writes it.
        SendHeader::None | SendHeader::Spp => return Ok(None),
        SendHeader::V1 => Version::One,
        SendHeader::V2 | SendHeader::V2First => Version::Two,
    };
    let builder = say_who(Builder::new(version).max_len(cluster.max_header), version, who);
    let mut draft = Draft { builder, max: cluster.max_header, left_out: LeftOut::default() };
    if version == Version::Two {
        draft.builder = draft.builder.checksum(cluster.send_tlvs.contains(&SendTlv::Crc32c));
        let said = draft.say_ours(&cluster.send_tlvs, who);
        if let Some(header) = who.header().filter(|_| !cluster.pass_tlvs.is_none()) {
            draft.pass_on(cluster, &header, said);
        }
    }
    let bytes = draft.builder.build()?;
    Ok(Some(Made { bytes, left_out: draft.left_out }))
}

fn say_who<'a>(builder: Builder<'a>, version: Version, who: Introduced<'a>) -> Builder<'a> {
    match (&who.client.address, who.client.destination, who.header()) {
        // LOCAL stays LOCAL, UNKNOWN stays UNKNOWN, and what only a header can say is said again (R-SEND-09).
        (_, _, Some(header)) if header.is_unknown() && header.version == version => builder.header(&header),
        (ClientAddr::Unix(_), _, Some(header)) => builder.header(&header),
        (ClientAddr::Inet(source), PeerAddr::Inet(destination), header)
            if header.is_none_or(|header| !header.is_unknown()) =>
        {
            builder.proxy(*source, destination).transport(who.transport)
        }
        // Receivers must take LOCAL, and many refuse a client without an address. v1 says UNKNOWN for it.
        _ => builder.local(),
    }
}

/// A v2 header while it is made.
struct Draft<'a> {
    builder: Builder<'a>,
    max: usize,
    left_out: LeftOut,
}

impl Draft<'_> {
    /// Says what the cluster says of its own, and tells by a bit for each which of them had something to say.
    fn say_ours(&mut self, tlvs: &[SendTlv], who: Introduced<'_>) -> u64 {
        let mut said = 0;
        for (place, tlv) in tlvs.iter().enumerate() {
            let is_said = match tlv {
                SendTlv::Crc32c => true,
                SendTlv::Alpn => self.put(kind::ALPN, alpn(who)),
                SendTlv::Authority => self.put(kind::AUTHORITY, authority(who)),
                SendTlv::UniqueId => self.put(kind::UNIQUE_ID, Some(who.unique_id())),
                SendTlv::Netns => self.put(kind::NETNS, who.header().and_then(|header| header.tlvs.netns())),
                SendTlv::Ssl(parts) => self.put(kind::SSL, ssl(who, *parts).as_deref()),
                SendTlv::Given { kind, value: TlvValue::Fixed(value) } => self.put(kind.number, Some(value)),
                SendTlv::Given { kind, value: TlvValue::Made(template) } => {
                    let (mut made, mut value) = (Vec::new(), Vec::new());
                    let facts = ConnectionFacts { client: who.client, tls: who.tls, hello: who.hello };
                    match template.write_bytes(&facts, &mut made) && !made.is_empty() {
                        false => false,
                        true => match kind.write(&made, &mut value) {
                            Ok(()) => self.put(kind.number, Some(&value)),
                            Err(Unfit(expected)) => {
                                self.left_out.does_not_fit(kind, made.len(), expected);
                                true
                            }
                        },
                    }
                }
            };
            said |= if is_said { bit(place) } else { 0 };
        }
        said
    }

    /// Passes on what the cluster lets through of a received header. Of what we have said ourselves nothing is (R-SEND-11),
    /// and a kind that a header holds once is not said twice.
    fn pass_on(&mut self, cluster: &Cluster, header: &Header<'_>, said: u64) {
        let ours = |tlv: &RawTlv<'_>| {
            let of = |(place, ours): (usize, &SendTlv)| {
                said & bit(place) != 0 && ours.kind().holds(tlv.kind, tlv.value)
            };
            cluster.send_tlvs.iter().enumerate().any(of)
        };
        let mut seen = 0_u64;
        for tlv in header.tlvs.raw().filter(|tlv| cluster.pass_tlvs.has(tlv) && !ours(tlv)) {
            if matches!(tlv.kind, kind::ALPN | kind::AUTHORITY | kind::UNIQUE_ID | kind::SSL | kind::NETNS) {
                // Every kind named here is below 64.
                let bit = 1 << (tlv.kind & 63);
                if seen & bit != 0 {
                    continue;
                }
                seen |= bit;
            }
            self.put(tlv.kind, Some(tlv.value));
        }
    }

    /// Puts a TLV, or notes that there is no room for it. Says whether there was anything to say.
    fn put(&mut self, kind: u8, value: Option<&[u8]>) -> bool {
        let Some(value) = value else { return false };
        if self.builder.encoded_len() + TLV_HEADER + value.len() <= self.max {
            let builder = std::mem::replace(&mut self.builder, Builder::v2());
            self.builder = builder.raw_tlv(kind, value);
        } else {
            self.left_out.has_no_room(Called { number: kind, value });
        }
        true
    }
}

/// The bit of a place in `send_tlvs`, which has 64 of them at most.
fn bit(place: usize) -> u64 {
    u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or_default()
}

/// The protocol agreed on in our handshake; where TLS did not end here, in the one that the trusted proxy saw.
fn alpn(who: Introduced<'_>) -> Option<&[u8]> {
    match who.tls {
        Some(tls) => tls.alpn.as_deref(),
        None => who.header().and_then(|header| header.tlvs.alpn()),
    }
}

/// The name that the client asked for: in our handshake or one that passes through, else in the one that the trusted proxy saw.
fn authority(who: Introduced<'_>) -> Option<&[u8]> {
    let passing = || who.hello.and_then(|hello| hello.sni.as_deref());
    let asked_here = who.tls.and_then(|tls| tls.sni.as_deref()).or_else(passing).map(str::as_bytes);
    let asked_before = || who.header().and_then(|header| header.tlvs.authority()).map(|name| name.as_bytes());
    let name = asked_here.or_else(asked_before)?;
    Authority::new(name).as_str().is_ok().then_some(name)
}

/// What we know of the client's TLS; where it did not end here, what the trusted proxy said of it.
fn ssl(who: Introduced<'_>, parts: SslParts) -> Option<Vec<u8>> {
    match who.tls {
        Some(tls) => Some(statement(tls, parts)),
        None => Some(said_again(&who.header()?.tlvs.ssl()?, parts)),
    }
}

fn statement(tls: &TlsFacts, parts: SslParts) -> Vec<u8> {
    let client = tls.client.as_deref();
    let certificate = match client {
        Some(client) => ClientCertificate::Verified {
            cn: client.cn.as_deref().filter(|_| parts.has(CN)),
            resumed: client.resumed,
        },
        None => ClientCertificate::None,
    };
    let mut statement = SslStatement::new(tls.version, certificate);
    statement.cipher = Some(tls.cipher).filter(|_| parts.has(CIPHER));
    statement.group = tls.group.filter(|_| parts.has(GROUP));
    statement.client_cert = client.map(|client| &*client.der).filter(|_| parts.has(CLIENT_CERT));
    if let Some(certificate) = &tls.certificate {
        statement.sig_alg = certificate.sig_alg.filter(|_| parts.has(SIG_ALG));
        statement.key_alg = certificate.key_alg.as_deref().filter(|_| parts.has(KEY_ALG));
    }
    statement.encode()
}

/// The flags and the result of verification as they came, and the parts that are to go on.
fn said_again(ssl: &Ssl<'_>, parts: SslParts) -> Vec<u8> {
    let mut value = vec![ssl.client()];
    value.extend_from_slice(&ssl.verify().to_be_bytes());
    for tlv in ssl.tlvs().filter(|tlv| parts.has(tlv.kind)) {
        value.push(tlv.kind);
        // It was as long before.
        value.extend_from_slice(&u16::try_from(tlv.value.len()).unwrap_or(u16::MAX).to_be_bytes());
        value.extend_from_slice(tlv.value);
    }
    value
}

/// How many of the TLVs that had no room are named.
const NAMED: usize = 16;

/// Its kind and its length.
const TLV_HEADER: usize = 3;

/// Parts of the SSL TLV, §2.2.6.
const CN: u8 = 0x22;
const CIPHER: u8 = 0x23;
const SIG_ALG: u8 = 0x24;
const KEY_ALG: u8 = 0x25;
const GROUP: u8 = 0x26;
const CLIENT_CERT: u8 = 0x28;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use foreword::{Group, HeaderBuf, HeaderPolicy, Parse, Tlv, Trust, Verdict};

    use super::*;
    use crate::policy::facts::{CertificateFacts, ClientCertificateFacts};

    fn cluster(lines: &str) -> Arc<Cluster> {
        let file = format!(
            "[listener.edge]\nbind = [\"127.0.0.1:1\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
             [cluster.app]\nendpoints = [\"127.0.0.1:1\"]\n{lines}\n"
        );
        match crate::config::parse(&file, "test.toml", Path::new(".")) {
            Ok(configuration) => Arc::clone(&configuration.plan.clusters[0]),
            Err(problems) => panic!("{problems}"),
        }
    }

    const PEER: &str = "10.0.0.1:1";

    /// Whom a trusted proxy introduces with this header.
    fn introduced_by(header: &[u8]) -> Client {
        let group = Group {
            name: "lb".into(),
            from: vec!["10.0.0.0/8".parse().unwrap()],
            unix: false,
            header: HeaderPolicy::Require,
            forwarded: false,
        };
        let trust = Trust::new(vec![group]).unwrap();
        let peer: PeerAddr = PEER.parse::<std::net::SocketAddr>().unwrap().into();
        let Verdict::Proxy(proxy) = trust.judge(&peer) else { panic!("it is in the group") };
        let local = "192.0.2.9:443".parse::<std::net::SocketAddr>().unwrap();
        proxy.introduce(HeaderBuf::from_bytes(header).unwrap(), local.into()).unwrap()
    }

    fn from_inet(tlvs: &[(u8, &[u8])]) -> Client {
        let builder = Builder::v2()
            .proxy("203.0.113.7:1234".parse().unwrap(), "198.51.100.1:443".parse().unwrap())
            .max_len(foreword::MAX_LEN);
        let add = |builder: Builder<'static>, tlv: &(u8, &[u8])| builder.raw_tlv(tlv.0, tlv.1);
        introduced_by(&tlvs.iter().fold(builder, add).build().unwrap())
    }

    fn made(cluster: &Cluster, client: &Client, tls: Option<&TlsFacts>) -> (Vec<u8>, LeftOut) {
        let made = header(
            cluster,
            Introduced {
                client,
                transport: Transport::Stream,
                tls,
                hello: None,
                unique_id: &OnceCell::new(),
            },
        )
        .unwrap()
        .unwrap();
        (made.bytes, made.left_out)
    }

    fn tlvs(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let Ok(Parse::Complete { header, len }) = Header::parse(bytes) else { panic!("whole and sound") };
        assert_eq!(len, bytes.len());
        header.tlvs.raw().map(|tlv| (tlv.kind, tlv.value.to_vec())).collect()
    }

    fn tls() -> TlsFacts {
        TlsFacts {
            sni: Some("www.example.com".into()),
            alpn: Some(b"h2"[..].into()),
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            group: Some("x25519"),
            client: Some(Box::new(ClientCertificateFacts {
                cn: Some("alice".into()),
                serial: "01".into(),
                fingerprint: "00".repeat(32).into(),
                der: [7; 9].into(),
                resumed: false,
            })),
            certificate: Some(Arc::new(CertificateFacts {
                sig_alg: Some("RSA-SHA256"),
                key_alg: Some("EC256".into()),
            })),
        }
    }

    #[test]
    fn what_is_passed_on_keeps_its_order_and_its_doubles() {
        let received: [(u8, &[u8]); 7] = [
            (0xe5, b"two"),
            (0xea, b"\x01vpce-1"),
            (0x04, b"padding"),
            (0xe5, b"one"),
            (0x02, b"www.example.com"),
            (0xea, b"\x02other"),
            (0x03, b"\0\0\0\0"),
        ];
        let client = from_inet(&received);
        let pass = |list: &str| {
            let cluster = cluster(&format!("send_header = \"v2\"\npass_tlvs = {list}"));
            tlvs(&made(&cluster, &client, None).0).iter().map(|(kind, _)| *kind).collect::<Vec<u8>>()
        };
        assert!(pass("[]").is_empty());
        assert_eq!(pass("[\"aws.vpce\"]"), [0xea], "the other part of the kind stays behind");
        assert_eq!(pass("[0xEA, 0xE5]"), [0xe5, 0xea, 0xe5, 0xea]);
        assert_eq!(pass("\"all\""), [0xe5, 0xea, 0xe5, 0x02, 0xea], "neither checksum nor padding");
    }

    #[test]
    fn what_we_say_ourselves_replaces_what_was_said_to_us() {
        let client = from_inet(&[(0x02, b"before"), (0xea, b"\x01vpce-1"), (0xea, b"\x02x"), (0x01, b"h2")]);
        let lines = "send_header = \"v2\"\npass_tlvs = \"all\"\n\
                     send_tlvs = [\"crc32c\", \"authority\", { kind = \"aws.vpce\", value = \"ours\" }, \"netns\"]";
        let (bytes, left_out) = made(&cluster(lines), &client, Some(&tls()));
        let said = tlvs(&bytes);
        let expected: [(u8, &[u8]); 4] =
            [(0x02, b"www.example.com"), (0xea, b"\x01ours"), (0xea, b"\x02x"), (0x01, b"h2")];
        let (checksum, before) = said.split_last().unwrap();
        assert!(before.iter().map(|(kind, value)| (*kind, &value[..])).eq(expected), "{said:?}");
        // The parser above has found it right.
        assert_eq!(checksum.0, 0x03);
        assert!(left_out.is_empty());
    }

    #[test]
    fn what_has_no_room_is_left_out_whole_and_named() {
        let client = from_inet(&[(0xe1, &[1; 50]), (0xe2, &[2; 20]), (0xe3, &[3; 10]), (0xe4, &[4; 9])]);
        let lines = "send_header = \"v2\"\nmax_header = 107\npass_tlvs = \"all\"\n\
                     send_tlvs = [{ kind = 0xE0, value = \"0123456789\" }, \"crc32c\"]";
        let (bytes, left_out) = made(&cluster(lines), &client, None);
        // 28 of addresses, 13 of ours, 7 of the checksum: 59 are left, and the first of theirs needs 53 of them.
        assert_eq!(tlvs(&bytes).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [0xe0, 0xe1, 0x03]);
        assert_eq!(bytes.len(), 101);
        let told = Omission { left_out: &left_out, max: 107, client: &client.address };
        assert_eq!(
            told.to_string(),
            "the header of 203.0.113.7:1234: expected at most 107 bytes, found no room left for 0xE2 (20 bytes), \
             0xE3 (10 bytes), 0xE4 (9 bytes)"
        );
        let lines = "send_header = \"v2\"\nmax_header = 107\npass_tlvs = [0xE2, 0xE3, 0xE4]\n\
                     send_tlvs = [{ kind = 0xE0, value = \"01234567890123456789012345678901234567890\" }]";
        let (bytes, left_out) = made(&cluster(lines), &client, None);
        assert_eq!(tlvs(&bytes).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [0xe0, 0xe2, 0xe4]);
        assert_eq!(left_out.without_room, 1, "what comes later and is shorter still fits: {left_out:?}");
    }

    #[test]
    fn of_very_many_that_have_no_room_the_first_are_named() {
        let tlvs: Vec<(u8, &[u8])> = (0..30).map(|_| (0xe5, &[0; 300][..])).collect();
        let client = from_inet(&tlvs);
        let (_, left_out) = made(&cluster("send_header = \"v2\"\npass_tlvs = \"all\""), &client, None);
        assert_eq!(left_out.without_room, 29);
        let told = Omission { left_out: &left_out, max: 536, client: &client.address }.to_string();
        assert!(told.ends_with(", 0xE5 (300 bytes) and 13 more"), "{told}");
    }

    #[test]
    fn a_template_is_written_for_each_client_and_left_out_without_its_value() {
        let lines = "send_header = \"v2\"\nsend_tlvs = [{ kind = 0xE1, value = \"{client.ip} {tlv[0xE5]}\" }, \
                     { kind = \"azure.link_id\", value = \"{tlv.unique_id}\" }, { kind = 0xE2, value = \"hex:00 ff\" }, \
                     { kind = \"gcp.psc_id\", value = \"77\" }, { kind = 0xE3, value = \"{tls.sni}\" }]";
        let cluster = cluster(lines);
        let client = from_inet(&[(0xe5, b"\0\xff"), (0x05, b"not a number")]);
        let (bytes, left_out) = made(&cluster, &client, None);
        let expected: [(u8, &[u8]); 3] =
            [(0xe1, b"203.0.113.7 \0\xff"), (0xe2, b"\0\xff"), (0xe0, b"\0\0\0\0\0\0\0\x4d")];
        assert!(tlvs(&bytes).iter().map(|(kind, value)| (*kind, &value[..])).eq(expected));
        assert_eq!(
            Omission { left_out: &left_out, max: 536, client: &client.address }.to_string(),
            "the header of 203.0.113.7:1234: expected a number from 0 to 4294967295, found 12 bytes for azure.link_id"
        );
        let (bytes, left_out) = made(&cluster, &from_inet(&[(0x05, b"7")]), Some(&tls()));
        let kinds: Vec<u8> = tlvs(&bytes).iter().map(|(kind, _)| *kind).collect();
        assert_eq!((kinds, left_out.unfit), (vec![0xee, 0xe2, 0xe0, 0xe3], 0));
    }

    #[test]
    fn of_tls_only_the_parts_that_were_chosen_are_said() {
        let parts_of = |lines: &str, client: &Client, tls: Option<&TlsFacts>| {
            let lines = format!("send_header = \"v2\"\nmax_header = 4096\nsend_tlvs = [{lines}]");
            let (bytes, _) = made(&cluster(&lines), client, tls);
            let Ok(Parse::Complete { header, .. }) = Header::parse(&bytes) else { panic!("whole and sound") };
            let ssl = header.tlvs.ssl().unwrap();
            (ssl.tlvs().map(|tlv| tlv.kind).collect::<Vec<u8>>(), ssl.client_verified())
        };
        let direct = from_inet(&[]);
        assert_eq!(
            parts_of("\"ssl\"", &direct, Some(&tls())),
            (vec![0x21, 0x22, 0x23, 0x24, 0x25, 0x26], true)
        );
        let chosen = "{ kind = \"ssl\", parts = [\"group\"] }";
        assert_eq!(parts_of(chosen, &direct, Some(&tls())), (vec![0x21, 0x26], true), "the version always");

        let mut statement =
            SslStatement::new("TLSv1.2", ClientCertificate::Verified { cn: Some("bob"), resumed: true });
        (statement.sig_scheme, statement.client_cert) = (Some("ed25519"), Some(&[7; 900][..]));
        let before = from_inet(&[(0x20, &statement.encode())]);
        assert_eq!(parts_of("\"ssl\"", &before, None), (vec![0x21, 0x22, 0x27], true), "no certificate");
        let all = "{ kind = \"ssl\", parts = [\"client_cert\"] }";
        assert_eq!(parts_of(all, &before, None), (vec![0x21, 0x28], true));
        assert_eq!(parts_of(all, &direct, Some(&tls())), (vec![0x21, 0x28], true));
    }

    #[test]
    fn whoever_has_no_address_is_said_as_it_came_or_as_local() {
        let local = Builder::v2().local().build().unwrap();
        let unspecified = Builder::v2().unknown().build().unwrap();
        let line = b"PROXY UNKNOWN\r\n".to_vec();
        for (received, v1, v2) in
            [(&local, &line, &local), (&unspecified, &line, &unspecified), (&line, &line, &local)]
        {
            let client = introduced_by(received);
            assert_eq!(&made(&cluster("send_header = \"v1\""), &client, None).0, v1, "{received:?}");
            assert_eq!(&made(&cluster("send_header = \"v2\""), &client, None).0, v2, "{received:?}");
        }
        let direct = Client::direct(PeerAddr::Unix, PeerAddr::Unix);
        assert_eq!(made(&cluster("send_header = \"v1\""), &direct, None).0, line);
        assert_eq!(made(&cluster("send_header = \"v2\""), &direct, None).0, local);
    }

    #[test]
    fn a_unix_client_goes_on_in_version_two_and_is_unknown_in_version_one() {
        let addresses = foreword::Addresses::Unix {
            source: foreword::UnixPath::new(b"/run/client").unwrap(),
            destination: foreword::UnixPath::new(b"\0server").unwrap(),
        };
        let received = Builder::v2().addresses(addresses).build().unwrap();
        let client = introduced_by(&received);
        assert_eq!(made(&cluster("send_header = \"v2\""), &client, None).0, received);
        assert_eq!(made(&cluster("send_header = \"v1\""), &client, None).0, b"PROXY UNKNOWN\r\n");
        let narrow = cluster("send_header = \"v2\"\nmax_header = 107");
        let who = Introduced {
            client: &client,
            transport: Transport::Stream,
            tls: None,
            hello: None,
            unique_id: &OnceCell::new(),
        };
        assert_eq!(header(&narrow, who).unwrap_err(), BuildError::TooLong { len: 232, max: 107 });
    }

    #[test]
    fn addresses_of_two_families_go_out_as_one() {
        let (source, destination) = ("203.0.113.7:1234", "[2001:db8::1]:443");
        let received =
            Builder::v2().proxy(source.parse().unwrap(), destination.parse().unwrap()).build().unwrap();
        let client = introduced_by(&received);
        assert_eq!(made(&cluster("send_header = \"v2\""), &client, None).0, received);
        assert_eq!(
            made(&cluster("send_header = \"v1\""), &client, None).0,
            b"PROXY TCP6 ::ffff:cb00:7107 2001:db8::1 1234 443\r\n"
        );
        let direct = Client::direct(
            PeerAddr::Inet("[::ffff:203.0.113.7]:1".parse().unwrap()),
            PeerAddr::Inet("[::ffff:192.0.2.1]:2".parse().unwrap()),
        );
        assert_eq!(
            made(&cluster("send_header = \"v1\""), &direct, None).0,
            b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n"
        );
    }

    #[test]
    fn the_id_is_the_one_that_it_came_with_and_is_said_once() {
        let lines = "send_header = \"v2\"\nsend_tlvs = [\"unique_id\"]\npass_tlvs = \"all\"";
        let (bytes, _) = made(&cluster(lines), &from_inet(&[(0x05, b"an id")]), None);
        assert_eq!(tlvs(&bytes), [(0x05, b"an id".to_vec())]);
        let Ok(Parse::Complete { header, .. }) = Header::parse(&bytes) else { panic!("whole and sound") };
        assert_eq!(header.tlvs.into_iter().next(), Some(Tlv::UniqueId(b"an id")));
    }
}
