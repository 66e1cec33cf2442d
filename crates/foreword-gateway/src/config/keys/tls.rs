//! The keys of TLS on listeners.

use super::{Section, key};
use crate::config::takes::Takes::{Flag, Table, Text, TextOrTables, Texts, Word, Words};

pub(crate) const TLS: Section = Section {
    title: "[listener.NAME] tls = { … }",
    about: "TLS 1.2 and 1.3. The names in the certificates decide which one answers which SNI; the first one, in a directory that of the first file by name, answers an SNI that none has, and clients that send none.",
    keys: &[
        key(
            "certificates",
            TextOrTables("a directory, or a list of pairs", &CERTIFICATE),
            "required unless there is `acme`",
            "A directory in which each `*.pem` holds a chain and its key, or `NAME.crt` and `NAME.key` belong together, and `NAME.ocsp` is stapled to either; or a list of `{ certificate = \"…\", key = \"…\" }`.",
        ),
        key(
            "acme",
            Texts("names"),
            "none",
            "Names for which certificates are obtained from the CA of `[acme]`, one for each, and renewed in time.",
        ),
        key(
            "profile",
            Word(&["intermediate", "modern"]),
            "\"intermediate\"",
            "What is spoken, as Mozilla recommends it: TLS 1.2 and 1.3, or TLS 1.3 alone.",
        ),
        key(
            "strict_sni",
            Flag,
            "false",
            "Refuses clients that ask for a name that no certificate has, or for none.",
        ),
        key(
            "resumption",
            Flag,
            "true",
            "Whether clients are given tickets with which their next handshake is shorter.",
        ),
        key(
            "key_log",
            Text("a path"),
            "none",
            "A file to which the secrets of all sessions are written, as `SSLKEYLOGFILE` does elsewhere, for those who read recorded traffic.",
        ),
        key("client", Table(&TLS_CLIENT), "none", "Asks clients for certificates."),
    ],
};

pub(crate) const TLS_CLIENT: Section = Section {
    title: "tls = { client = { … } }",
    about: "Certificates of clients. What one says is known to rules, templates and logs as `tls.client.cn`, `tls.client.serial` and `tls.client.fingerprint`, and to endpoints by the TLV `ssl`.",
    keys: &[
        key(
            "ca",
            Text("a path"),
            "required",
            "A file of certificates that sign those of clients. Their names are told to every client that connects.",
        ),
        key(
            "verify",
            Word(&["require", "optional"]),
            "\"require\"",
            "Whether a client may come without a certificate. One that it shows must be good either way.",
        ),
        key(
            "crl",
            Texts("paths"),
            "none",
            "Files of revocation lists. There must be a list that is current from everyone who signs, from the client's certificate up to `ca`.",
        ),
    ],
};

pub(crate) const CERTIFICATE: Section = Section {
    title: "tls = { certificates = [{ … }] }",
    about: "A pair of PEM files.",
    keys: &[
        key("certificate", Text("a path"), "required", "The chain, the server's own certificate first."),
        key("key", Text("a path"), "required", "Its private key."),
        key(
            "ocsp",
            Text("a path"),
            "none",
            "What its CA says of it, in DER: stapled for clients that ask, while it is current.",
        ),
    ],
};

pub(crate) const ACME: Section = Section {
    title: "[acme]",
    about: "From whom certificates are obtained by ACME, RFC 8555, for the names in `acme` of listeners.",
    keys: &[
        key(
            "terms",
            Word(&["agreed"]),
            "required",
            "That you agree to the terms of the CA: read them before.",
        ),
        key(
            "directory",
            Text("an address"),
            "\"https://acme-v02.api.letsencrypt.org/directory\"",
            "The CA. To try with Let's Encrypt, `\"https://acme-staging-v02.api.letsencrypt.org/directory\"`.",
        ),
        key(
            "directory_ca",
            Text("a path"),
            "whom the system believes",
            "A file of certificates that sign that of the directory, for a CA of your own.",
        ),
        key("contact", Texts("addresses"), "[]", "Whom the CA may write to: `[\"mailto:ops@example.com\"]`."),
        key(
            "state",
            Text("a path"),
            "\"/var/lib/foreword/acme\"",
            "The folder in which account and certificates are kept. Several gateways may share it.",
        ),
        key(
            "challenges",
            Words(&["http-01", "tls-alpn-01"]),
            "those that a listener can answer",
            "How names are proven: at port 80 by a listener in http mode without TLS, or at port 443 by one with TLS. After a failure the next one is tried.",
        ),
        key(
            "profile",
            Text("a name"),
            "the CA's choice",
            "Which kind of certificate is ordered, where the CA has several.",
        ),
    ],
};
