//! What is kept on disk: the account with a CA, and the certificates that it issued. Nobody but the gateway's user can read it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use tokio::task::{JoinError, spawn_blocking};

use crate::tls::certificates::CertificateProblem;
use crate::tls::issued::{self, Issuance};

/// The folder of one CA.
#[derive(Debug)]
pub(super) struct State(PathBuf);

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {what}", file.display())]
pub(super) struct StateError {
    file: PathBuf,
    what: String,
}

impl StateError {
    fn new(file: &Path, what: impl ToString) -> Self {
        Self { file: file.to_owned(), what: what.to_string() }
    }
}

/// The right to renew one certificate, which one process has at a time.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

impl State {
    /// Makes the folder, if it is not there.
    pub(super) async fn open(folder: &Path) -> Result<Self, StateError> {
        let folder = folder.to_owned();
        beside(move || {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| StateError::new(&folder, format!("cannot be made: {error}")))?;
            Ok(Self(folder))
        })
        .await
    }

    /// The account, if there is one. What is kept of it cannot be copied, so it is read each time.
    pub(super) async fn account(&self) -> Result<Option<AccountCredentials>, StateError> {
        let file = self.0.join(ACCOUNT);
        beside(move || {
            let text = match fs::read(&file) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(StateError::new(&file, format!("cannot be read: {error}"))),
            };
            let account = serde_json::from_slice(&text).map(Some);
            account.map_err(|error| StateError::new(&file, format!("expected an account, found {error}")))
        })
        .await
    }

    pub(super) async fn keep_account(&self, account: &AccountCredentials) -> Result<(), StateError> {
        let file = self.0.join(ACCOUNT);
        let text = serde_json::to_vec(account).map_err(|error| StateError::new(&file, error))?;
        beside(move || write(&file, &text)).await
    }

    /// Puts away an account that its CA does not know any more. It is not lost, should that be an error.
    pub(super) async fn put_account_away(&self) -> Result<(), StateError> {
        let (file, away) = (self.0.join(ACCOUNT), self.0.join("account.unknown.json"));
        beside(move || {
            let moved = fs::rename(&file, away);
            moved.map_err(|error| StateError::new(&file, format!("cannot be renamed: {error}")))
        })
        .await
    }

    /// The certificate that is kept for a name, if there is one.
    pub(super) async fn issuance(&self, name: &str) -> Result<Option<Issuance>, CertificateProblem> {
        issuance(certificate(&self.0, name)).await
    }

    pub(super) async fn keep_certificate(
        &self,
        name: &str,
        chain: &str,
        key: &str,
    ) -> Result<(), StateError> {
        let (file, content) = (certificate(&self.0, name), format!("{chain}{key}"));
        beside(move || write(&file, content.as_bytes())).await
    }

    /// Takes the turn to renew a certificate; `None` if another process has it.
    pub(super) async fn take_turn(&self, name: &str) -> Result<Option<Turn>, StateError> {
        let path = self.0.join(format!("{name}.lock"));
        beside(move || {
            let cannot = |error: &io::Error| StateError::new(&path, format!("cannot be locked: {error}"));
            let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
            let file = opened.map_err(|error| cannot(&error))?;
            match file.try_lock() {
                Ok(()) => Ok(Some(Turn { _file: file })),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(cannot(&error)),
            }
        })
        .await
    }
}

/// The certificate in a file, if there is one. It makes no folder, unlike whoever opens the state.
pub(super) async fn issuance(file: PathBuf) -> Result<Option<Issuance>, CertificateProblem> {
    beside(move || issued::issuance(&file)).await
}

/// Has another thread wait for the disk: names and checks must not stand still because a file system does. Whoever waits no
/// longer leaves that thread behind; each name asks for one thing at a time.
pub(super) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime ends, and with it whoever asked.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Where the chain and key of a name are in the folder of a CA.
pub(crate) fn certificate(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

/// The folder of a CA below that of all. Another CA has another one: who tries with one that nobody believes and then turns
/// to the real one would else keep certificates that nobody believes.
pub(crate) fn folder_of(state: &Path, directory: &str) -> PathBuf {
    let name = directory.split_once("://").map_or(directory, |(_, rest)| rest);
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    let name: String = name.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect();
    state.join(name.trim_start_matches('.'))
}

/// Writes a file that is there whole or not at all, whenever the power fails.
fn write(file: &Path, content: &[u8]) -> Result<(), StateError> {
    let written = || {
        let new = file.with_extension("new");
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        out.write_all(content)?;
        out.sync_all()?;
        fs::rename(&new, file)?;
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|error: io::Error| StateError::new(file, format!("cannot be written: {error}")))
}

const ACCOUNT: &str = "account.json";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn nobody_else_can_read_what_is_kept_and_a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("acme/ca");
        let state = State::open(&folder).await.unwrap();
        state.keep_certificate("www.example.test", "chain\n", "key\n").await.unwrap();
        state.keep_certificate("www.example.test", "new chain\n", "new key\n").await.unwrap();
        let file = certificate(&folder, "www.example.test");
        assert_eq!(fs::read_to_string(&file).unwrap(), "new chain\nnew key\n");
        assert_eq!([mode(&file), mode(&folder), mode(folder.parent().unwrap())], [0o600, 0o700, 0o700]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn one_has_the_turn_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).await.unwrap();
        let turn = state.take_turn("a.test").await.unwrap();
        assert!(turn.is_some());
        assert!(state.take_turn("a.test").await.unwrap().is_none());
        assert!(state.take_turn("b.test").await.unwrap().is_some());
        drop(turn);
        assert!(state.take_turn("a.test").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_account_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).await.unwrap();
        assert!(state.account().await.unwrap().is_none());
        fs::write(folder.path().join("account.json"), "{").unwrap();
        let error = state.account().await.err().unwrap().to_string();
        assert!(error.contains("account.json") && error.contains("expected an account"), "{error}");
    }

    #[test]
    fn each_ca_has_a_folder_of_its_own_inside_the_state() {
        let of = |directory| folder_of(Path::new("state"), directory);
        assert_eq!(of("https://ca.test/directory"), Path::new("state/ca.test_directory"));
        assert_eq!(of("https://ca.test:14000/dir"), Path::new("state/ca.test_14000_dir"));
        assert_eq!(of("https://../.."), Path::new("state/_.."));
    }
}
