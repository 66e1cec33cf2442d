//! The pages of FW6xx: the configuration file, certificates and reload.

use super::Page;
use crate::refusal::Code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::FileUnreadable,
        meaning: "A configuration file, or a file that it names, could not be read. Nothing was started or changed.",
        cause: "A wrong path (relative ones start at the folder of the file that names them), or a file that the user \
                foreword runs as may not read.",
        remedy: "The message holds the path and the system's reason. Check it as that user, for instance with \
                 `sudo -u foreword cat PATH`.",
    },
    Page {
        code: Code::FileNotToml,
        meaning: "The configuration file is not valid TOML. Nothing was started or changed.",
        cause: "A missing quote or bracket, a key that occurs twice in one table, or a Windows path in double quotes.",
        remedy: "The message names line and column. `foreword check` reads the file without starting anything.",
    },
    Page {
        code: Code::FileWrong,
        meaning: "The configuration file is valid TOML but does not mean anything sound: a key that does not exist or \
                  has no effect, a name that points nowhere, a value of the wrong kind, a rule that cannot be read. \
                  Nothing was started or changed.",
        cause: "A typing error as a rule; the message proposes the nearest name where there is one. Or a file written \
                for another version.",
        remedy: "Every problem is told at once, each with line and column. Correct them and run `foreword check`.",
    },
    Page {
        code: Code::CertificateOrKey,
        meaning: "A certificate or a private key could not be used: unreadable, not PEM, a key that belongs to another \
                  certificate, or a kind of key that TLS cannot use here.",
        cause: "A renewal that replaced the certificate and not the key, a file with the key only, a chain in the wrong \
                order, or a key locked with a passphrase.",
        remedy: "Each `*.pem` holds the chain, the server's certificate first, and its key; or there are `NAME.crt` and \
                 `NAME.key`. Remove the passphrase; the file's permissions protect the key.",
    },
    Page {
        code: Code::ReloadFailed,
        meaning: "A reload was asked for and the new configuration cannot be used. Nothing of it was taken over: the \
                  gateway goes on with the one that it has. `foreword_config_last_reload_successful` is 0 until a \
                  reload succeeds.",
        cause: "The file as it is now is wrong, a certificate cannot be read, or a new address cannot be bound.",
        remedy: "The lines before this one name every problem. Correct them, run `foreword check`, and send SIGHUP \
                 again.",
    },
    Page {
        code: Code::FilesRefused,
        meaning: "Files that the configuration names have changed: certificates, those of a CA, lists of revoked ones, \
                  or lists that rules ask. What they hold now cannot be used, so the gateway goes on with what it read \
                  before. The line names file and reason, and in a list line and column; it comes once for each change.",
        cause: "A certificate that was replaced and its key was not, a file that is written bit by bit and took long, a \
                file that was taken away, or an editor that left half of it.",
        remedy: "Write the new files beside the old ones and rename them, which is never seen half done. As soon as they can \
                 be used they are, without a reload; `foreword check` says at once what is wrong.",
    },
];
