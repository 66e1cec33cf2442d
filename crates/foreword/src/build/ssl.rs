//! What a sender that ended the client's TLS may say of it.

use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::tlv::ssl::{self, CLIENT_CERT_CONN, CLIENT_CERT_SESS, CLIENT_SSL};

/// What a sender that ended the client's TLS may say of it. It cannot claim a verified client without a certificate, nor
/// leave out the version (R-SEND-14).
///
/// ```
/// use foreword::build::{ClientCertificate, SslStatement};
/// use foreword::{Builder, HeaderBuf};
///
/// let statement = SslStatement::new("TLSv1.3", ClientCertificate::Verified { cn: Some("alice"), resumed: false });
/// let header = HeaderBuf::from_bytes(&Builder::v2().ssl(&statement).build()?).unwrap();
/// let ssl = header.tlvs().ssl().unwrap();
/// assert!(ssl.client_verified());
/// assert_eq!(ssl.cn(), Some(Ok("alice")));
/// # Ok::<(), foreword::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SslStatement<'a> {
    /// The version of TLS, as in `TLSv1.3`.
    pub version: &'a str,
    /// The client's certificate.
    pub certificate: ClientCertificate<'a>,
    /// The cipher in use.
    pub cipher: Option<&'a str>,
    /// The algorithm that signed the certificate that the sender presented.
    pub sig_alg: Option<&'a str>,
    /// The algorithm of that certificate's key.
    pub key_alg: Option<&'a str>,
    /// The group of the key exchange.
    pub group: Option<&'a str>,
    /// The signature scheme of the handshake.
    pub sig_scheme: Option<&'a str>,
    /// The client's certificate, in DER. Large: not every receiver takes it (R-SEND-12).
    pub client_cert: Option<&'a [u8]>,
}

/// What came of asking the client for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate<'a> {
    /// It presented none.
    None,
    /// It presented one, and it was verified.
    Verified {
        /// The common name in it.
        cn: Option<&'a str>,
        /// Whether that was in the session which the connection resumes.
        resumed: bool,
    },
    /// It presented one, and verifying it failed with this code.
    Failed {
        /// What verification said.
        verify: NonZeroU32,
    },
}

impl<'a> SslStatement<'a> {
    /// States the version and the certificate; the other fields can be set.
    #[must_use]
    pub const fn new(version: &'a str, certificate: ClientCertificate<'a>) -> Self {
        Self {
            version,
            certificate,
            cipher: None,
            sig_alg: None,
            key_alg: None,
            group: None,
            sig_scheme: None,
            client_cert: None,
        }
    }

    /// The value of the SSL TLV. A field too long for its length is left to the length check of the whole.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (flags, verify, cn) = match self.certificate {
            ClientCertificate::None => (0, 1, None),
            ClientCertificate::Verified { cn, resumed: false } => (CLIENT_CERT_CONN, 0, cn),
            ClientCertificate::Verified { cn, resumed: true } => (CLIENT_CERT_SESS, 0, cn),
            ClientCertificate::Failed { verify } => (CLIENT_CERT_CONN, verify.get(), None),
        };
        let mut value = vec![CLIENT_SSL | flags];
        value.extend_from_slice(&u32::to_be_bytes(verify));
        let fields = [
            (ssl::VERSION, Some(self.version.as_bytes())),
            (ssl::CN, cn.map(str::as_bytes)),
            (ssl::CIPHER, self.cipher.map(str::as_bytes)),
            (ssl::SIG_ALG, self.sig_alg.map(str::as_bytes)),
            (ssl::KEY_ALG, self.key_alg.map(str::as_bytes)),
            (ssl::GROUP, self.group.map(str::as_bytes)),
            (ssl::SIG_SCHEME, self.sig_scheme.map(str::as_bytes)),
            (ssl::CLIENT_CERT, self.client_cert),
        ];
        for (kind, field) in fields {
            let Some(field) = field else { continue };
            value.push(kind);
            // A longer field makes the TLV itself too long, which is refused where its length is written.
            value.extend_from_slice(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
            value.extend_from_slice(field);
        }
        value
    }
}
