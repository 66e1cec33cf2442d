//! The names that a rule can ask for, and the kind of value behind each.

use std::fmt;

use crate::error::shown;

/// Something that a rule can ask about a connection or a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Variable {
    /// `client.ip`: whom the connection was made for.
    ClientIp,
    /// `client.port`.
    ClientPort,
    /// `peer.ip`: the other end of the socket.
    PeerIp,
    /// `peer.port`.
    PeerPort,
    /// `destination.ip`: whom the client connected to.
    DestinationIp,
    /// `destination.port`.
    DestinationPort,
    /// `header.version`: 1 or 2; none without a header.
    HeaderVersion,
    /// `tlv.alpn`.
    TlvAlpn,
    /// `tlv.authority`: the SNI that the trusted proxy saw.
    TlvAuthority,
    /// `tlv.unique_id`.
    TlvUniqueId,
    /// `tlv.netns`.
    TlvNetns,
    /// `tlv.ssl.cn`: the common name of the client's certificate, as the trusted proxy saw it.
    TlvSslCn,
    /// `tlv.ssl.version`: the client's TLS version, as the trusted proxy saw it.
    TlvSslVersion,
    /// `tlv.aws.vpce`: AWS' endpoint id.
    TlvAwsVpce,
    /// `tlv.azure.link_id`: Azure's private link id, a number.
    TlvAzureLinkId,
    /// `tlv.gcp.psc_id`: Google's Private Service Connect id, a number.
    TlvGcpPscId,
    /// `tlv.alibaba.vpc`: Alibaba Cloud's VPC id.
    TlvAlibabaVpc,
    /// `tlv.alibaba.endpoint`: Alibaba Cloud's endpoint id.
    TlvAlibabaEndpoint,
    /// `tlv[0xE1]`: the value of the first TLV of a kind, as bytes.
    Tlv(u8),
    /// `tls.sni`: of our own handshake, or of one that passes through.
    TlsSni,
    /// `tls.alpn`: as agreed in our own handshake; where TLS passes through, all that the client offers, with commas between.
    TlsAlpn,
    /// `tls.version`: `TLSv1.2` or `TLSv1.3`.
    TlsVersion,
    /// `tls.client.cn`: the common name of the client's certificate in our own handshake.
    TlsClientCn,
    /// `tls.client.serial`: its serial number, in hexadecimal.
    TlsClientSerial,
    /// `tls.client.fingerprint`: the SHA-256 of it, in hexadecimal.
    TlsClientFingerprint,
    /// `method`.
    Method,
    /// `scheme`: `http` or `https`.
    Scheme,
    /// `host`: lower case, without port or trailing dot.
    Host,
    /// `path` in a rule: the normalised path as it is matched, without `;params`.
    Path,
    /// `path` in a template: the normalised path as it is forwarded.
    ForwardedPath,
    /// `query`: what follows `?`, as it came.
    Query,
    /// `uri` in a template: the forwarded path, and the query if there is one.
    Uri,
    /// `auth.user`: whose password a rule before found right.
    AuthUser,
    /// `field["name"]`: any occurrence of a request field. The name is in lower case.
    Field(Box<str>),
}

/// What a variable's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An IP address; a mapped one (`::ffff:192.0.2.1`) is its IPv4 address.
    Ip,
    /// A whole number.
    Number,
    /// Bytes, usually text.
    Text,
}

/// When a variable can have a value at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// On every connection.
    Nothing,
    /// Where headers are read.
    Header,
    /// Where the beginning of the client's TLS is read: it ends there, or passes through.
    Hello,
    /// Where we end TLS.
    Tls,
    /// Where requests are read.
    Http,
    /// Where clients are asked for certificates.
    ClientCertificate,
    /// Where rules ask for passwords.
    Passwords,
}

impl Variable {
    /// The variable that a rule calls `name`; indexed ones (`tlv[…]`, `field[…]`) have no name of this form.
    pub(crate) fn for_rule(name: &str) -> Option<Self> {
        Self::named(name).filter(|variable| !matches!(variable, Self::Uri))
    }

    /// The variable that a template calls `name`, `tlv[0xE1]` and `field["name"]` included.
    ///
    /// # Errors
    /// Says what was expected, if there is no such variable.
    pub fn for_template(name: &str) -> Result<Self, String> {
        match Self::named(name) {
            Some(Self::Path) => Ok(Self::ForwardedPath),
            Some(variable) => Ok(variable),
            None => Self::indexed(name).unwrap_or_else(|| {
                let near = crate::suggest(name, Self::names().chain(["uri"]));
                let name = shown(name);
                Err(match near {
                    Some(near) => format!("expected a variable, found `{name}`; did you mean `{near}`?"),
                    None => format!("expected a variable such as `client.ip` or `host`, found `{name}`"),
                })
            }),
        }
    }

    /// Every name that a rule knows, but for the indexed ones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(|(_, variable)| *variable != Self::Uri).map(|&(name, _)| name)
    }

    /// What its value is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ClientIp | Self::PeerIp | Self::DestinationIp => Kind::Ip,
            Self::ClientPort
            | Self::PeerPort
            | Self::DestinationPort
            | Self::HeaderVersion
            | Self::TlvAzureLinkId
            | Self::TlvGcpPscId => Kind::Number,
            _ => Kind::Text,
        }
    }

    /// Whether only a request has it, so that a listener in tcp mode has not.
    pub fn needs_http(&self) -> bool {
        matches!(self.needs(), Needs::Http | Needs::Passwords)
    }

    pub(crate) fn needs(&self) -> Needs {
        match self {
            Self::HeaderVersion
            | Self::TlvAlpn
            | Self::TlvAuthority
            | Self::TlvUniqueId
            | Self::TlvNetns
            | Self::TlvSslCn
            | Self::TlvSslVersion
            | Self::TlvAwsVpce
            | Self::TlvAzureLinkId
            | Self::TlvGcpPscId
            | Self::TlvAlibabaVpc
            | Self::TlvAlibabaEndpoint
            | Self::Tlv(_) => Needs::Header,
            Self::TlsSni | Self::TlsAlpn => Needs::Hello,
            Self::TlsVersion => Needs::Tls,
            Self::TlsClientCn | Self::TlsClientSerial | Self::TlsClientFingerprint => {
                Needs::ClientCertificate
            }
            Self::AuthUser => Needs::Passwords,
            Self::Method
            | Self::Scheme
            | Self::Host
            | Self::Path
            | Self::ForwardedPath
            | Self::Query
            | Self::Uri
            | Self::Field(_) => Needs::Http,
            _ => Needs::Nothing,
        }
    }

    fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|&&(known, _)| known == name).map(|(_, variable)| variable.clone())
    }

    fn indexed(name: &str) -> Option<Result<Self, String>> {
        let (variable, index) = name.strip_suffix(']')?.split_once('[')?;
        match variable {
            "tlv" => Some(tlv_kind(index).map(Self::Tlv)),
            "field" => {
                let quoted = index.strip_prefix('"').and_then(|index| index.strip_suffix('"'));
                Some(
                    quoted
                        .ok_or_else(|| format!("expected a quoted field name, found `{}`", shown(index)))
                        .and_then(field),
                )
            }
            _ => None,
        }
    }
}

/// The kind in `tlv[…]`, decimal or after `0x`.
pub(crate) fn tlv_kind(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("expected a TLV kind from 0 to 255 (0x00 to 0xFF), found `{}`", shown(text)))
}

/// The variable for a field's name, which must be a token (RFC 9110 §5.6.2).
pub(crate) fn field(name: &str) -> Result<Variable, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("expected the name of a field, found `{}`", shown(name)));
    }
    Ok(Variable::Field(name.to_ascii_lowercase().into()))
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tlv(kind) => write!(f, "tlv[{kind:#04X}]"),
            Self::Field(name) => write!(f, "field[\"{name}\"]"),
            Self::ForwardedPath => f.write_str("path"),
            named => match NAMES.iter().find(|(_, variable)| variable == named) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{named:?}"),
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "an IP address",
            Self::Number => "a number",
            Self::Text => "text",
        })
    }
}

const NAMES: &[(&str, Variable)] = &[
    ("client.ip", Variable::ClientIp),
    ("client.port", Variable::ClientPort),
    ("peer.ip", Variable::PeerIp),
    ("peer.port", Variable::PeerPort),
    ("destination.ip", Variable::DestinationIp),
    ("destination.port", Variable::DestinationPort),
    ("header.version", Variable::HeaderVersion),
    ("tlv.alpn", Variable::TlvAlpn),
    ("tlv.authority", Variable::TlvAuthority),
    ("tlv.unique_id", Variable::TlvUniqueId),
    ("tlv.netns", Variable::TlvNetns),
    ("tlv.ssl.cn", Variable::TlvSslCn),
    ("tlv.ssl.version", Variable::TlvSslVersion),
    ("tlv.aws.vpce", Variable::TlvAwsVpce),
    ("tlv.azure.link_id", Variable::TlvAzureLinkId),
    ("tlv.gcp.psc_id", Variable::TlvGcpPscId),
    ("tlv.alibaba.vpc", Variable::TlvAlibabaVpc),
    ("tlv.alibaba.endpoint", Variable::TlvAlibabaEndpoint),
    ("tls.sni", Variable::TlsSni),
    ("tls.alpn", Variable::TlsAlpn),
    ("tls.version", Variable::TlsVersion),
    ("tls.client.cn", Variable::TlsClientCn),
    ("tls.client.serial", Variable::TlsClientSerial),
    ("tls.client.fingerprint", Variable::TlsClientFingerprint),
    ("method", Variable::Method),
    ("scheme", Variable::Scheme),
    ("host", Variable::Host),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("uri", Variable::Uri),
    ("auth.user", Variable::AuthUser),
];
