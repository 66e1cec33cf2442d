//! What certification authorities ask just now to see whose a name is: answered while the question is open, and by nobody after.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::provider;

/// The questions that are open. Workers ask here, the control thread writes.
#[derive(Debug, Default)]
pub(crate) struct Challenges(ArcSwap<Open>);

#[derive(Clone, Default)]
struct Open {
    /// HTTP-01, RFC 8555 §8.3: by token, what is answered.
    tokens: HashMap<Box<str>, Arc<str>>,
    /// TLS-ALPN-01, RFC 8737: by name, the handshake that is made.
    names: HashMap<Box<str>, Arc<ServerConfig>>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("tokens", &self.tokens.len()).field("names", &self.names.len()).finish()
    }
}

/// A question that is open as long as this lives.
#[derive(Debug)]
pub(crate) struct OpenChallenge {
    challenges: Arc<Challenges>,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Token(Box<str>),
    Name(Box<str>),
}

impl Challenges {
    /// What is answered on a path, if that is asked for just now.
    pub(crate) fn on_path(&self, path: &str) -> Option<Arc<str>> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        self.0.load().tokens.get(token).cloned()
    }

    /// Whether a handshake might be a question.
    pub(super) fn may_come_by_tls(&self) -> bool {
        !self.0.load().names.is_empty()
    }

    /// The handshake that answers for a name, if the client asks for it as RFC 8737 §3 has it: with this protocol alone.
    pub(super) fn by_tls<'p>(
        &self,
        sni: Option<&str>,
        protocols: impl Iterator<Item = &'p [u8]>,
    ) -> Option<Arc<ServerConfig>> {
        if !protocols.eq([ACME_TLS]) {
            return None;
        }
        self.0.load().names.get(sni?).cloned()
    }

    /// Answers with `content` whoever asks for this token.
    pub(crate) fn answer_http(self: &Arc<Self>, token: &str, content: &str) -> OpenChallenge {
        self.change(|open| drop(open.tokens.insert(token.into(), content.into())));
        OpenChallenge { challenges: Arc::clone(self), key: Key::Token(token.into()) }
    }

    /// Answers for this name with a certificate that holds `digest`.
    ///
    /// # Errors
    /// When no such certificate can be made, as of what is no name.
    pub(crate) fn answer_tls(
        self: &Arc<Self>,
        name: &str,
        digest: &[u8; 32],
    ) -> Result<OpenChallenge, ChallengeError> {
        let config = Arc::new(handshake(name, digest)?);
        self.change(|open| drop(open.names.insert(name.into(), Arc::clone(&config))));
        Ok(OpenChallenge { challenges: Arc::clone(self), key: Key::Name(name.into()) })
    }

    fn change(&self, change: impl Fn(&mut Open)) {
        self.0.rcu(|open| {
            let mut open = Open::clone(open);
            change(&mut open);
            open
        });
    }
}

impl Drop for OpenChallenge {
    fn drop(&mut self) {
        self.challenges.change(|open| match &self.key {
            Key::Token(token) => drop(open.tokens.remove(token)),
            Key::Name(name) => drop(open.names.remove(name)),
        });
    }
}

/// Why a challenge cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChallengeError {
    /// Its certificate cannot be made.
    #[error("no certificate can be made for the challenge")]
    Certificate(#[from] rcgen::Error),
    /// No TLS can be spoken with it.
    #[error("no TLS can be spoken with the certificate of the challenge")]
    Tls(#[from] rustls::Error),
}

/// A handshake with a certificate that signs itself and holds what the CA wants to see, RFC 8737 §3.
fn handshake(name: &str, digest: &[u8; 32]) -> Result<ServerConfig, ChallengeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // Not held against each other by rustls: what the CA wants to see is an extension that is critical and nobody knows.
    let certified =
        CertifiedKey::new(vec![certificate.der().clone()], provider().key_provider.load_private_key(key)?);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Where tokens are asked for, RFC 8555 §8.3.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// The protocol of such handshakes, RFC 8737 §6.2.
const ACME_TLS: &[u8] = b"acme-tls/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_while_it_is_open_and_for_what_is_asked_alone() {
        let challenges = Arc::<Challenges>::default();
        let open = challenges.answer_http("token", "token.print");
        let on = |path: &str| challenges.on_path(path);
        assert_eq!(on("/.well-known/acme-challenge/token").as_deref(), Some("token.print"));
        for path in ["/.well-known/acme-challenge/other", "/.well-known/acme-challenge/", "/token", "token"] {
            assert_eq!(on(path), None, "{path}");
        }
        drop(open);
        assert_eq!(on("/.well-known/acme-challenge/token"), None);
    }

    #[test]
    fn a_handshake_is_a_question_only_with_this_protocol_alone_and_this_name() {
        let challenges = Arc::<Challenges>::default();
        let open = challenges.answer_tls("www.example.test", &[7; 32]).unwrap();
        let asked =
            |sni, protocols: &[&'static [u8]]| challenges.by_tls(sni, protocols.iter().copied()).is_some();
        assert!(challenges.may_come_by_tls());
        assert!(asked(Some("www.example.test"), &[b"acme-tls/1"]));
        assert!(!asked(Some("example.test"), &[b"acme-tls/1"]));
        assert!(!asked(None, &[b"acme-tls/1"]));
        assert!(!asked(Some("www.example.test"), &[b"acme-tls/1", b"h2"]));
        assert!(!asked(Some("www.example.test"), &[b"h2"]));
        drop(open);
        assert!(!challenges.may_come_by_tls());
        assert!(challenges.answer_tls("not a name\u{e9}", &[7; 32]).is_err());
    }
}
