//! What a scanner says of our TLS, held against what Mozilla recommends.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::Value;

use crate::gateway::Gateway;
use crate::ground::Ground;
use crate::{program, python};

/// A certificate for `localhost` in `site.pem`, as public CAs make them, and who signs it.
fn certificate(ground: &Ground) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "throw-away");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    let ca = ground.write("ca.pem", &params.self_signed(&key).expect("a certificate").pem());
    let issuer = Issuer::new(params, key);

    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // Mozilla recommends 366 days at most.
    let now = std::time::SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + std::time::Duration::from_secs(90 * 24 * 60 * 60)).into();
    let key = KeyPair::generate().expect("a key");
    let signed = params.signed_by(&key, &issuer).expect("a certificate");
    let site = ground.write("site.pem", &(signed.pem() + &key.serialize_pem()));
    fs::set_permissions(site, fs::Permissions::from_mode(0o600)).expect("a private key");
    ca
}

/// The names in a list of the scanner's, sorted.
fn names<'v>(list: &'v Value, name: impl Fn(&'v Value) -> &'v Value) -> Vec<&'v str> {
    let list = list.as_array().into_iter().flatten();
    let mut names: Vec<&str> = list.filter_map(|entry| name(entry).as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_profiles_are_those_that_mozilla_recommends() {
    let ground = Ground::new();
    let ca = certificate(&ground);
    let [intermediate, modern] = std::array::from_fn(|_| ground.address());
    let listener = |name: &str, address: SocketAddr, profile: &str| {
        format!(
            "[listener.{name}]\nbind = [\"{address}\"]\nmode = \"http\"\n\
             tls = {{ certificates = [{{ certificate = \"site.pem\", key = \"site.pem\" }}]{profile} }}\n\
             rule = [{{ then = {{ respond = {{ status = 200, body = \"here\" }} }} }}]\n"
        )
    };
    let file =
        listener("intermediate", intermediate, "") + &listener("modern", modern, ", profile = \"modern\"");
    let gateway = Gateway::start(&ground, &file, &[intermediate, modern]);

    let tls13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    let tls12 = [
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ];
    for (profile, address, tls12) in [("intermediate", intermediate, &tls12[..]), ("modern", modern, &[])] {
        let Some(mut scanner) = python::module("sslyze") else { return };
        let found = ground.path(&format!("{profile}.json"));
        scanner.args(["--mozilla_config", profile, "--sni", "localhost", "--certinfo_ca_file"]).arg(&ca);
        scanner.arg("--json_out").arg(&found).arg(address.to_string());
        // A scan is hundreds of handshakes.
        let said = program::run_within(&mut scanner, 4 * program::PATIENCE);
        assert!(
            said.status.success() && said.out.contains(": OK - Compliant."),
            "{}\n{}\n{}",
            said.out,
            said.error,
            gateway.program.transcript()
        );
        let found = fs::read_to_string(found).expect("what was found");
        let found: Value = serde_json::from_str(&found).expect("JSON");
        let result = &found["server_scan_results"][0]["scan_result"];
        for (version, expected) in [
            ("ssl_2_0", &[][..]),
            ("ssl_3_0", &[]),
            ("tls_1_0", &[]),
            ("tls_1_1", &[]),
            ("tls_1_2", tls12),
            ("tls_1_3", &tls13),
        ] {
            let accepted = &result[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
            assert!(accepted.is_array(), "{version} was not looked at: {result}");
            assert_eq!(
                names(accepted, |entry| &entry["cipher_suite"]["name"]),
                expected,
                "{profile} {version}"
            );
        }
        // It does not ask for X25519MLKEM768.
        let curves = names(&result["elliptic_curves"]["result"]["supported_curves"], |entry| &entry["name"]);
        assert_eq!(curves, ["X25519", "secp256r1", "secp384r1"], "{profile}");
    }
}
