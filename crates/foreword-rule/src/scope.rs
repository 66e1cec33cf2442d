//! Where a rule stands: what can have a value there, and which lists there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::NamedList;
use crate::variable::{Needs, Variable};

/// Where a rule stands: what can have a value there, and which lists there are.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Whether requests are read, so that `host` and `path` have values.
    pub http: bool,
    /// Whether we end TLS there.
    pub tls: bool,
    /// Whether clients are asked for certificates there.
    pub client_certificate: bool,
    /// Whether a rule asks clients for passwords there.
    pub passwords: bool,
    /// Whether the beginning of the client's TLS is read there, so that `tls.sni` and `tls.alpn` have values.
    pub hello: bool,
    /// Whether headers are read there, so that `header.version` and `tlv.…` have values.
    pub header: bool,
    /// Whether a peer's word for the client's scheme can be believed there.
    pub forwarded: bool,
    /// Whether paths are compared without case.
    pub ignore_case: bool,
    /// The lists of the file, by name.
    pub lists: &'a BTreeMap<String, Arc<NamedList>>,
}

impl<'a> Scope<'a> {
    /// Where every variable has a value: for rules apart from any listener.
    pub fn with_everything(lists: &'a BTreeMap<String, Arc<NamedList>>) -> Self {
        Self {
            http: true,
            tls: true,
            client_certificate: true,
            passwords: true,
            hello: true,
            header: true,
            forwarded: true,
            ignore_case: false,
            lists,
        }
    }

    /// The same without the lists: for whoever outlives them.
    pub(crate) fn without_lists(&self) -> Scope<'static> {
        static NONE: BTreeMap<String, Arc<NamedList>> = BTreeMap::new();
        Scope {
            http: self.http,
            tls: self.tls,
            client_certificate: self.client_certificate,
            passwords: self.passwords,
            hello: self.hello,
            header: self.header,
            forwarded: self.forwarded,
            ignore_case: self.ignore_case,
            lists: &NONE,
        }
    }

    /// Why a variable never has a value here, if so: asking it would be without effect.
    pub fn why_missing(&self, variable: &Variable) -> Option<&'static str> {
        match variable.needs() {
            Needs::Http | Needs::Passwords if !self.http => Some("a listener in tcp mode reads no requests"),
            Needs::Hello if !self.hello => Some("this listener ends no TLS and lets none pass through"),
            Needs::Tls if !self.tls && self.hello => {
                Some("TLS passes through this listener and ends elsewhere")
            }
            Needs::Tls if !self.tls => Some("this listener ends no TLS"),
            Needs::Header if !self.header => {
                Some("this listener has no trust group that sends a header, so it reads none")
            }
            Needs::ClientCertificate if !self.client_certificate => Some(
                "this listener asks no client for a certificate (`tls = { client = … }` does); what a proxy saw of it is `tlv.ssl.cn`",
            ),
            Needs::Passwords if !self.passwords => {
                Some("no rule of this listener asks for passwords (`basic_auth = { … }` does)")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Predicate, RuleError};

    fn error_in(text: &str, listener: &Scope<'_>) -> RuleError {
        Predicate::compile(text, listener).expect_err(text)
    }

    #[test]
    fn a_variable_without_a_value_here_is_refused() {
        let lists = BTreeMap::new();
        let tcp = Scope {
            http: false,
            tls: false,
            client_certificate: false,
            passwords: false,
            hello: false,
            header: false,
            forwarded: false,
            ignore_case: false,
            lists: &lists,
        };
        for text in [
            "path == \"/\"",
            "tls.sni == \"a\"",
            "tls.client.cn == \"a\"",
            "tlv.authority == \"a\"",
            "field[\"a\"] == \"b\"",
        ] {
            let error = error_in(text, &tcp);
            assert_eq!(error.span().start, 0);
            assert!(error.hint().is_some(), "{text}");
        }
        assert!(Predicate::compile("client.ip in [\"::/0\"] && destination.port == 443", &tcp).is_ok());
    }

    #[test]
    fn a_user_is_known_only_where_passwords_are_asked_for() {
        let lists = BTreeMap::new();
        let scope = |passwords| Scope { passwords, ..Scope::with_everything(&lists) };
        let error = error_in("auth.user == \"a\"", &scope(false));
        assert!(error.hint().is_some_and(|hint| hint.contains("basic_auth")), "{error:?}");
        assert!(Predicate::compile("auth.user == \"a\"", &scope(true)).is_ok());
    }

    #[test]
    fn what_is_asked_of_a_clients_certificate_has_a_value_only_where_one_is_asked_for() {
        let lists = BTreeMap::new();
        let scope = |client_certificate| Scope { client_certificate, ..Scope::with_everything(&lists) };
        let error = error_in("tls.client.cn == \"a\"", &scope(false));
        assert!(error.hint().is_some_and(|hint| hint.contains("tlv.ssl.cn")), "{error:?}");
        assert!(Predicate::compile("tls.client.cn == \"a\"", &scope(true)).is_ok());
    }
}
