//! A directory of certificates: which files belong together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::certificates::{CertificatePair, CertificateProblem};

/// Finds the pairs in a directory, in the order of their names, so that the default is the same on each start.
pub(super) fn pairs_in(directory: &Path) -> Result<Vec<CertificatePair>, Vec<CertificateProblem>> {
    let unreadable = |error: &io::Error| vec![unreadable_directory(directory, error)];
    let entries = fs::read_dir(directory).map_err(|error| unreadable(&error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();

    if let Some(problem) = left_by_certbot(directory, &files) {
        return Err(vec![problem]);
    }
    let ocsp = |file: &Path| Some(file.with_extension("ocsp")).filter(|ocsp| files.contains(ocsp));
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for file in &files {
        let ends = |extension: &str| file.extension().is_some_and(|found| found == extension);
        if ends("pem") {
            pairs.push(CertificatePair { certificate: file.clone(), key: file.clone(), ocsp: ocsp(file) });
        } else if ends("crt") {
            let key = file.with_extension("key");
            if files.contains(&key) {
                pairs.push(CertificatePair { certificate: file.clone(), key, ocsp: ocsp(file) });
            } else {
                problems.push(
                    CertificateProblem::new(
                        file,
                        format!("expected its key in `{}`, found no such file", key.display()),
                    )
                    .hint("a `NAME.crt` goes with a `NAME.key`; or put chain and key into one `NAME.pem`"),
                );
            }
        } else if ends("key") && !files.contains(&file.with_extension("crt")) {
            problems.push(
                CertificateProblem::new(file, "a key without its certificate")
                    .hint(format!("put the chain into `{}`", file.with_extension("crt").display())),
            );
        }
    }
    if pairs.is_empty() && problems.is_empty() {
        problems.push(
            CertificateProblem::new(directory, "expected at least one certificate, found none")
                .hint("each `*.pem` holds chain and key; or pairs `NAME.crt` and `NAME.key`"),
        );
    }
    if problems.is_empty() { Ok(pairs) } else { Err(problems) }
}

/// The files of a directory that are about certificates: what else changes there is nobody's concern.
pub(super) fn files_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return vec![directory.to_owned()] };
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known))
    });
    files.sort();
    files
}

/// A directory that is not there, and how to come by a certificate to try with.
fn unreadable_directory(directory: &Path, error: &io::Error) -> CertificateProblem {
    if error.kind() != io::ErrorKind::NotFound {
        return CertificateProblem::new(directory, format!("cannot be read: {error}"));
    }
    CertificateProblem::new(directory, "expected a folder with certificates, found none").hint(format!(
        "name the folder that holds them, or make one to try with: `mkdir -p {} && openssl req -x509 -newkey ec \
         -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -keyout {} -out {}`",
        directory.display(),
        directory.join("localhost.key").display(),
        directory.join("localhost.crt").display()
    ))
}

/// The layout of an ACME client, whose chain and key are PEM files of their own.
fn left_by_certbot(directory: &Path, files: &[PathBuf]) -> Option<CertificateProblem> {
    let [chain, key] = ["fullchain.pem", "privkey.pem"].map(|name| directory.join(name));
    (files.contains(&chain) && files.contains(&key)).then(|| {
        let what = "expected `*.pem` with chain and key, found `fullchain.pem` and `privkey.pem`";
        CertificateProblem::new(directory, what).hint(format!(
            "write `certificates = [{{ certificate = \"{}\", key = \"{}\" }}]`",
            chain.display(),
            key.display()
        ))
    })
}

/// Of the files that hold certificates, keys, or what is stapled to them.
const EXTENSIONS: [&str; 4] = ["pem", "crt", "key", "ocsp"];
