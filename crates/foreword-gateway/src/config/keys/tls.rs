//! The keys of TLS on listeners.

use super::{Section, key};
use crate::config::takes::Takes::{Flag, Table, Text, TextOrTables, Texts, Word};

pub(crate) const TLS: Section = Section {
    title: "[listener.NAME] tls = { … }",
    about: "TLS 1.2 and 1.3. The names in the certificates decide which one answers which SNI; the first one, in a directory that of the first file by name, answers an SNI that none has, and clients that send none.",
    keys: &[
        key(
            "certificates",
            TextOrTables("a directory, or a list of pairs", &CERTIFICATE),
            "required",
            "A directory in which each `*.pem` holds a chain and its key, or `NAME.crt` and `NAME.key` belong together, and `NAME.ocsp` is stapled to either; or a list of `{ certificate = \"…\", key = \"…\" }`.",
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
