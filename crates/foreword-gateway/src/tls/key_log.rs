//! The secrets of sessions in a file, for those who read recorded traffic: only where the operator said so.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;
use rustls::KeyLog;

/// Writes a line for each secret, in the form that browsers and Wireshark agree on.
#[derive(Debug)]
pub(super) struct KeyLogFile {
    path: PathBuf,
    /// Opened with the first secret: whoever only checks a file leaves nothing behind.
    file: OnceLock<Option<File>>,
}

impl KeyLogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: OnceLock::new() }
    }

    fn file(&self) -> Option<&File> {
        let open = || {
            let opened = open(&self.path);
            opened
                .map_err(|error| {
                    tracing::error!("key log `{}` cannot be written: {error}", self.path.display())
                })
                .ok()
        };
        self.file.get_or_init(open).as_ref()
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let Some(mut file) = self.file() else { return };
        let line = format!("{label} {} {}\n", hexadecimal(client_random), hexadecimal(secret));
        // In one write, so that lines of several workers do not mix. A full disk is no reason to end a session.
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::debug!("key log `{}`: {error}", self.path.display());
        }
    }

    fn will_log(&self, _: &str) -> bool {
        true
    }
}

/// Opens a file that nobody else reads, and no link: in a folder of everyone's, somebody may have put one there.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}
