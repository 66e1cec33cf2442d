//! What rules may ask, answered from what is settled about a connection.

use std::net::IpAddr;
use std::sync::Arc;

use foreword::{Client, ClientAddr, Group, Tlvs, Trust, Verdict, Version};
use foreword_http1::{Field, Name, NormalPath, Request};
use foreword_rule::{Facts, Variable};

use super::forwarded::{Believed, is_forged};

/// What the handshake settled about a connection.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// The name that the client asked for.
    pub sni: Option<Box<str>>,
    /// The protocol agreed on by ALPN.
    pub alpn: Option<Box<[u8]>>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite as the IANA names it.
    pub cipher: &'static str,
    /// The group of the key exchange as the IANA names it.
    pub group: Option<&'static str>,
    /// The client's certificate, when one was asked for, sent and verified.
    pub client: Option<Box<ClientCertificateFacts>>,
    /// What our certificate was made with, where the name that was asked for has only one.
    pub certificate: Option<Arc<CertificateFacts>>,
}

/// What is known of the certificate of a client that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificateFacts {
    /// The common name of its subject.
    pub cn: Option<Box<str>>,
    /// Its serial number, in hexadecimal.
    pub serial: Box<str>,
    /// The SHA-256 of it, in hexadecimal.
    pub fingerprint: Box<str>,
    /// The whole of it.
    pub der: Box<[u8]>,
    /// Whether it was in the session that the connection resumes.
    pub resumed: bool,
}

/// What a certificate of ours was made with, as receivers are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// How it was signed: `ecdsa-with-SHA256`, `RSA-SHA256`.
    pub sig_alg: Option<&'static str>,
    /// What its key is: `EC256`, `RSA2048`.
    pub key_alg: Option<Box<str>>,
}

/// What the client says at the beginning of a handshake that passes through.
#[derive(Clone, Debug)]
pub struct HelloFacts {
    /// The name that the client asks for.
    pub sni: Option<Box<str>>,
    /// The protocols that it offers by ALPN, with commas between them.
    pub alpn: Option<Box<[u8]>>,
}

/// The facts of a connection: its ends, its header, its handshake. Requests add theirs.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'c> {
    /// Whom it was made for, and who brought it.
    pub client: &'c Client,
    /// What the handshake settled, where TLS ends here.
    pub tls: Option<&'c TlsFacts>,
    /// What the client said of the handshake, where TLS passes through.
    pub hello: Option<&'c HelloFacts>,
}

impl<'c> ConnectionFacts<'c> {
    /// Whether the client used TLS: with us, or with the trusted proxy that says so in its header.
    pub(crate) fn is_secure(&self) -> bool {
        let before_us = || self.tlvs().and_then(|tlvs| tlvs.ssl()).is_some_and(|ssl| ssl.over_tls());
        self.tls.is_some() || before_us()
    }

    /// Whether X-Forwarded-For and its like are believed on this connection.
    ///
    /// The peer's group must say so. Behind a peer that sends headers the one who speaks HTTP may be somebody else, the
    /// address that the header claims: then that address must be in such a group as well. So switching `forwarded` on
    /// for a balancer that only forwards TCP does not let its clients choose their own addresses.
    pub(crate) fn may_forward(&self, trust: Option<&Trust>) -> bool {
        let Some(trust) = trust else { return false };
        let group = match trust.judge(&self.client.peer) {
            Verdict::Proxy(proxy) | Verdict::Either(proxy) => Some(proxy.group()),
            Verdict::Direct(group) => group,
            Verdict::Stranger => None,
        };
        let speaks_itself = self.client.address == ClientAddr::from(self.client.peer);
        let speaker_may = || self.client.address.ip().is_some_and(|ip| is_forwarder(trust, ip));
        group.is_some_and(|group| group.forwarded) && (speaks_itself || speaker_may())
    }

    /// The name that the client asked for, whether TLS ends here or passes through.
    pub(crate) fn sni(&self) -> Option<&'c str> {
        match self.tls {
            Some(tls) => tls.sni.as_deref(),
            None => self.hello?.sni.as_deref(),
        }
    }

    fn tlvs(&self) -> Option<Tlvs<'c>> {
        self.client.header.as_ref().map(|header| header.tlvs())
    }
}

impl Facts for ConnectionFacts<'_> {
    fn ip(&self, variable: &Variable) -> Option<IpAddr> {
        match variable {
            Variable::ClientIp => self.client.address.ip(),
            Variable::PeerIp => self.client.peer.ip(),
            Variable::DestinationIp => self.client.destination.ip(),
            _ => None,
        }
    }

    fn number(&self, variable: &Variable) -> Option<u64> {
        match variable {
            Variable::ClientPort => self.client.address.port().map(u64::from),
            Variable::PeerPort => self.client.peer.port().map(u64::from),
            Variable::DestinationPort => self.client.destination.port().map(u64::from),
            Variable::HeaderVersion => self.client.header().map(|header| match header.version {
                Version::One => 1,
                Version::Two => 2,
            }),
            Variable::TlvAzureLinkId => self.tlvs()?.azure_link_id()?.ok().map(u64::from),
            Variable::TlvGcpPscId => self.tlvs()?.gcp_psc_id()?.ok(),
            _ => None,
        }
    }

    fn text(&self, variable: &Variable) -> Option<&[u8]> {
        match variable {
            Variable::TlvAlpn => self.tlvs()?.alpn(),
            Variable::TlvAuthority => self.tlvs()?.authority()?.as_str().ok().map(str::as_bytes),
            Variable::TlvUniqueId => self.tlvs()?.unique_id(),
            Variable::TlvNetns => self.tlvs()?.netns(),
            // A name that nobody verified is no name (R-TLV-13).
            Variable::TlvSslCn => {
                let ssl = self.tlvs()?.ssl().filter(foreword::Ssl::client_verified)?;
                ssl.cn()?.ok().map(str::as_bytes)
            }
            Variable::TlvSslVersion => self.tlvs()?.ssl()?.version()?.ok().map(str::as_bytes),
            Variable::TlvAwsVpce => self.tlvs()?.aws_vpce()?.ok().map(str::as_bytes),
            Variable::TlvAlibabaVpc => self.alibaba(foreword::AlibabaKind::Vpc),
            Variable::TlvAlibabaEndpoint => self.alibaba(foreword::AlibabaKind::Endpoint),
            Variable::Tlv(kind) => self.tlvs()?.get(*kind),
            Variable::TlsSni => self.sni().map(str::as_bytes),
            Variable::TlsAlpn => match self.tls {
                Some(tls) => tls.alpn.as_deref(),
                None => self.hello?.alpn.as_deref(),
            },
            Variable::TlsVersion => self.tls.map(|tls| tls.version.as_bytes()),
            Variable::TlsClientCn => self.client_certificate()?.cn.as_deref().map(str::as_bytes),
            Variable::TlsClientSerial => Some(self.client_certificate()?.serial.as_bytes()),
            Variable::TlsClientFingerprint => Some(self.client_certificate()?.fingerprint.as_bytes()),
            _ => None,
        }
    }

    fn any_field(&self, _name: &str, _test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

impl<'c> ConnectionFacts<'c> {
    fn client_certificate(&self) -> Option<&'c ClientCertificateFacts> {
        self.tls?.client.as_deref()
    }

    fn alibaba(&self, wanted: foreword::AlibabaKind) -> Option<&'c [u8]> {
        let found = self.tlvs()?.alibaba().filter_map(Result::ok).find(|(kind, _)| *kind == wanted);
        found.map(|(_, id)| id.as_bytes())
    }
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFacts<'r> {
    pub(crate) connection: ConnectionFacts<'r>,
    pub(crate) request: Request<'r>,
    pub(crate) path: &'r NormalPath,
    /// What trusted proxies before us said; `None` where nobody may.
    pub(crate) believed: Option<Believed<'r>>,
    /// Whether the client used TLS.
    pub(crate) https: bool,
    /// Whose password was found right.
    pub(crate) user: Option<&'r str>,
}

impl<'r> RequestFacts<'r> {
    /// The facts of a request. `forwarders` is the trust that says whose X-Forwarded-For is believed, where the speaker's is;
    /// `is_secure` says whether the connection is.
    pub(crate) fn new(
        connection: ConnectionFacts<'r>,
        request: Request<'r>,
        path: &'r NormalPath,
        forwarders: Option<&Trust>,
        is_secure: bool,
    ) -> Self {
        let believed = forwarders.map(|trust| Believed::read(&request, |ip| is_forwarder(trust, ip)));
        let https = believed.and_then(|believed| believed.https).unwrap_or(is_secure);
        Self { connection, request, path, believed, https, user: None }
    }

    /// The client's address, if it has one.
    pub(crate) fn client_ip(&self) -> Option<IpAddr> {
        match self.believed.and_then(|believed| believed.client) {
            Some((ip, _)) => Some(ip),
            None => self.connection.ip(&Variable::ClientIp),
        }
    }

    fn client_port(&self) -> Option<u64> {
        match self.believed.and_then(|believed| believed.client) {
            Some((_, port)) => port.map(u64::from),
            None => self.connection.number(&Variable::ClientPort),
        }
    }
}

impl Facts for RequestFacts<'_> {
    fn ip(&self, variable: &Variable) -> Option<IpAddr> {
        match variable {
            Variable::ClientIp => self.client_ip(),
            other => self.connection.ip(other),
        }
    }

    fn number(&self, variable: &Variable) -> Option<u64> {
        match variable {
            Variable::ClientPort => self.client_port(),
            other => self.connection.number(other),
        }
    }

    fn text(&self, variable: &Variable) -> Option<&[u8]> {
        match variable {
            Variable::Method => Some(self.request.method().as_bytes()),
            Variable::Scheme if self.https => Some(b"https"),
            Variable::Scheme => Some(b"http"),
            Variable::Host => Some(self.request.host().as_bytes()).filter(|host| !host.is_empty()),
            Variable::Path => Some(self.path.matched().as_bytes()),
            Variable::ForwardedPath => Some(self.path.forwarded().as_bytes()),
            Variable::AuthUser => self.user.map(str::as_bytes),
            Variable::Query => self.path.query().map(str::as_bytes),
            other => self.connection.text(other),
        }
    }

    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        // What a stranger claims about addresses is as if it were not there; so is what came past a proxy that we trust.
        let is_heard = |field: &Field<'_>| match field.known {
            Name::XForwardedFor | Name::XForwarded | Name::Forwarded | Name::XRealIp => {
                self.believed.is_some() && !is_forged(field)
            }
            _ => true,
        };
        self.request
            .fields()
            .filter(|field| field.reads_as(name) && is_heard(field))
            .any(|field| test(field.value))
    }
}

/// Whether an address is in a group that may forward.
pub(crate) fn is_forwarder(trust: &Trust, ip: IpAddr) -> bool {
    trust.group_of(ip).is_some_and(|group: &Group| group.forwarded)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use foreword::{Builder, Group, HeaderBuf, HeaderPolicy, PeerAddr, Tlv, Trust, Verdict};
    use foreword_http1::{Limits, RequestHead};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn introduced(header: &[u8]) -> Client {
        let group = Group {
            name: "proxies".into(),
            from: vec!["10.0.0.0/8".parse().unwrap()],
            unix: false,
            header: HeaderPolicy::Require,
            forwarded: false,
        };
        let trust = Trust::new(vec![group]).unwrap();
        let Verdict::Proxy(proxy) = trust.judge(&PeerAddr::from(address("10.0.0.1:1"))) else {
            panic!("the peer is in the group")
        };
        proxy
            .introduce(HeaderBuf::from_bytes(header).unwrap(), PeerAddr::from(address("10.0.0.2:443")))
            .unwrap()
    }

    #[test]
    fn the_client_is_who_the_header_names_and_the_peer_who_brought_it() {
        let header = Builder::v2()
            .proxy(address("203.0.113.7:1234"), address("198.51.100.1:443"))
            .tlv(Tlv::UniqueId(b"one"))
            .raw_tlv(0xea, b"\x01vpce-1")
            .build()
            .unwrap();
        let client = introduced(&header);
        let facts = ConnectionFacts { client: &client, tls: None, hello: None };
        assert_eq!(facts.ip(&Variable::ClientIp), Some("203.0.113.7".parse().unwrap()));
        assert_eq!(facts.ip(&Variable::PeerIp), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(facts.ip(&Variable::DestinationIp), Some("198.51.100.1".parse().unwrap()));
        assert_eq!(facts.number(&Variable::ClientPort), Some(1234));
        assert_eq!(facts.number(&Variable::HeaderVersion), Some(2));
        assert_eq!(facts.text(&Variable::TlvUniqueId), Some(&b"one"[..]));
        assert_eq!(facts.text(&Variable::TlvAwsVpce), Some(&b"vpce-1"[..]));
        assert_eq!(facts.text(&Variable::Tlv(0xea)), Some(&b"\x01vpce-1"[..]));
        assert_eq!(facts.text(&Variable::TlsSni), None);
    }

    #[test]
    fn a_direct_client_has_no_header_to_ask_about() {
        let client = Client::direct(address("192.0.2.1:5").into(), address("192.0.2.2:443").into());
        let tls = TlsFacts {
            sni: Some("www.example.com".into()),
            alpn: None,
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            group: None,
            client: None,
            certificate: None,
        };
        let facts = ConnectionFacts { client: &client, tls: Some(&tls), hello: None };
        assert_eq!(facts.ip(&Variable::ClientIp), facts.ip(&Variable::PeerIp));
        assert_eq!(facts.number(&Variable::HeaderVersion), None);
        assert_eq!(facts.text(&Variable::TlvAuthority), None);
        assert_eq!(facts.text(&Variable::TlsSni), Some(&b"www.example.com"[..]));
        assert_eq!(facts.text(&Variable::TlsVersion), Some(&b"TLSv1.3"[..]));
        assert_eq!(facts.text(&Variable::TlsClientCn), None);
    }

    #[test]
    fn what_came_past_a_trusted_proxy_is_not_its_word() {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nX_Forwarded_Host: c\r\nX_A: d\r\n\r\n";
        let client = Client::direct(address("192.0.2.1:5").into(), address("192.0.2.2:443").into());
        let mut index = RequestHead::default();
        index.parse(head, &Limits::default()).unwrap();
        let (path, trust) = (NormalPath::default(), Trust::new(Vec::new()).unwrap());
        let heard = |trust: Option<&Trust>, name: &str| {
            let connection = ConnectionFacts { client: &client, tls: None, hello: None };
            let facts = RequestFacts::new(connection, index.view(head), &path, trust, false);
            let mut heard = Vec::new();
            facts.any_field(name, &mut |value| {
                heard.extend_from_slice(value);
                false
            });
            String::from_utf8(heard).unwrap()
        };
        assert_eq!(heard(Some(&trust), "x-forwarded-host"), "b");
        assert_eq!(heard(None, "x-forwarded-host"), "");
        assert_eq!(heard(None, "x-a"), "d");
    }
}
