//! What is kept on disk: the account with a CA, and the certificates that it issued. Nobody but the gateway's user can read it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;

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
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| StateError::new(folder, format!("cannot be made: {error}")))?;
        Ok(Self(folder.to_owned()))
    }

    /// The account, if there is one. What is kept of it cannot be copied, so it is read each time.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, StateError> {
        let file = self.0.join(ACCOUNT);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::new(&file, format!("cannot be read: {error}"))),
        };
        let account = serde_json::from_slice(&text);
        account
            .map(Some)
            .map_err(|error| StateError::new(&file, format!("expected an account, found {error}")))
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), StateError> {
        let file = self.0.join(ACCOUNT);
        let text = serde_json::to_vec(account).map_err(|error| StateError::new(&file, error))?;
        write(&file, &text)
    }

    /// Puts away an account that its CA does not know any more. It is not lost, should that be an error.
    pub(super) fn put_account_away(&self) -> Result<(), StateError> {
        let file = self.0.join(ACCOUNT);
        let moved = fs::rename(&file, self.0.join("account.unknown.json"));
        moved.map_err(|error| StateError::new(&file, format!("cannot be renamed: {error}")))
    }

    /// Where the chain and key of a name are.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        certificate(&self.0, name)
    }

    pub(super) fn keep_certificate(&self, name: &str, chain: &str, key: &str) -> Result<(), StateError> {
        write(&self.certificate(name), format!("{chain}{key}").as_bytes())
    }

    /// Takes the turn to renew a certificate; `None` if another process has it.
    pub(super) fn take_turn(&self, name: &str) -> Result<Option<Turn>, StateError> {
        let path = self.0.join(format!("{name}.lock"));
        let cannot = |error: &io::Error| StateError::new(&path, format!("cannot be locked: {error}"));
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| cannot(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(cannot(&error)),
        }
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

    #[test]
    fn nobody_else_can_read_what_is_kept_and_a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("acme/ca");
        let state = State::open(&folder).unwrap();
        state.keep_certificate("www.example.test", "chain\n", "key\n").unwrap();
        state.keep_certificate("www.example.test", "new chain\n", "new key\n").unwrap();
        let file = state.certificate("www.example.test");
        assert_eq!(fs::read_to_string(&file).unwrap(), "new chain\nnew key\n");
        assert_eq!([mode(&file), mode(&folder), mode(folder.parent().unwrap())], [0o600, 0o700, 0o700]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn one_has_the_turn_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let turn = state.take_turn("a.test").unwrap();
        assert!(turn.is_some());
        assert!(state.take_turn("a.test").unwrap().is_none());
        assert!(state.take_turn("b.test").unwrap().is_some());
        drop(turn);
        assert!(state.take_turn("a.test").unwrap().is_some());
    }

    #[test]
    fn an_account_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert!(state.account().unwrap().is_none());
        fs::write(folder.path().join("account.json"), "{").unwrap();
        let error = state.account().err().unwrap().to_string();
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
