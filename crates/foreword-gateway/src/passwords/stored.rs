//! How a password is kept: as a hash of one of several makes.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use bcrypt::HashParts;
use sha_crypt::ShaCrypt;

/// The hash of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    make: Make,
    hash: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    Bcrypt,
    Argon2,
    ShaCrypt,
}

/// Why a text is no hash that passwords are held against. The text is not told: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What was expected.
    pub expected: &'static str,
    /// What was found.
    pub found: &'static str,
}

impl Stored {
    /// Reads a hash: bcrypt, Argon2, SHA-256 or SHA-512 crypt.
    ///
    /// # Errors
    /// Says what was found in its place: another make, one that costs too much, or what looks like no hash at all.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let unfit = |found| Err(Unfit { expected: MAKES, found });
        let costs = |expected| Err(Unfit { expected, found: "more" });
        let make = match text {
            _ if text.len() > MOST_LEN => return unfit("a longer text"),
            _ if ["$2y$", "$2b$", "$2a$", "$2x$"].iter().any(|prefix| text.starts_with(prefix)) => {
                match text.parse::<HashParts>() {
                    Ok(parts) if parts.get_cost() > MOST_COST => {
                        return costs("a cost of bcrypt of 15 at most");
                    }
                    Ok(_) => Make::Bcrypt,
                    Err(_) => return unfit("a broken one of bcrypt"),
                }
            }
            _ if text.starts_with("$argon2") => {
                let Ok(hash) = PasswordHash::new(text) else { return unfit("a broken one of Argon2") };
                match Params::try_from(&hash) {
                    Ok(params) if hash.hash.is_some() => {
                        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
                        if params.m_cost() > MOST_MEMORY || work > MOST_WORK {
                            return costs("at most 256 MiB, and 2 GiB over all passes, for Argon2");
                        }
                        Make::Argon2
                    }
                    _ => return unfit("a broken one of Argon2"),
                }
            }
            _ if text.starts_with("$5$") || text.starts_with("$6$") => match rounds(text) {
                Some(rounds) if rounds > MOST_ROUNDS => return costs("1000000 rounds of SHA crypt at most"),
                Some(_) if is_verifiable(text) => Make::ShaCrypt,
                _ => return unfit("a broken one of SHA crypt"),
            },
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => return unfit("one of MD5"),
            _ if text.starts_with("{SHA}") => return unfit("one of SHA-1"),
            _ => return unfit("what may be the password itself"),
        };
        Ok(Self { make, hash: text.into() })
    }

    /// Whether a password has this hash. It takes its time.
    pub(crate) fn fits(&self, password: &[u8]) -> bool {
        match self.make {
            Make::Bcrypt => bcrypt::verify(password, &self.hash).unwrap_or(false),
            Make::Argon2 => Argon2::default().verify_password(password, &*self.hash).is_ok(),
            Make::ShaCrypt => ShaCrypt::default().verify_password(password, &*self.hash).is_ok(),
        }
    }
}

/// How many rounds it asks for; 5000 where it does not say.
fn rounds(text: &str) -> Option<u32> {
    match text.split('$').nth(2)?.strip_prefix("rounds=") {
        Some(rounds) => rounds.parse().ok(),
        None => Some(5000),
    }
}

/// Whether the hash can be held against anything: the answer to a wrong password is "wrong", not "broken".
fn is_verifiable(text: &str) -> bool {
    let outcome = ShaCrypt::default().verify_password(b"", text);
    matches!(outcome, Ok(()) | Err(sha_crypt::password_hash::Error::PasswordInvalid))
}

/// Stands where there is no user at all; nobody's password has it, since this hash is cut short.
pub(super) static NOBODY: LazyLock<Arc<Stored>> =
    LazyLock::new(|| Arc::new(Stored { make: Make::Bcrypt, hash: "$2y$10$".into() }));

const MAKES: &str = "a hash of bcrypt (`$2y$…`), Argon2 (`$argon2id$…`) or SHA-512 crypt (`$6$…`)";

/// The longest hash of these makes has half of it.
const MOST_LEN: usize = 512;

/// Two seconds each.
const MOST_COST: u32 = 15;

/// In KiB, for one password.
const MOST_MEMORY: u32 = 256 * 1024;

/// In KiB, over all passes: about two seconds.
const MOST_WORK: u64 = 2 * 1024 * 1024;

/// About a second.
const MOST_ROUNDS: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_every_make_are_told_from_each_other() {
        // Made by `htpasswd -nbB`, argon2-cffi, and `openssl passwd -6` and `-5`.
        for hash in HASHES {
            let stored = Stored::parse(hash).unwrap_or_else(|unfit| panic!("{hash}: {unfit:?}"));
            assert!(stored.fits(b"secret"), "{hash}");
            for wrong in [&b""[..], b"Secret", b"secret ", b"secre", b"\xff"] {
                assert!(!stored.fits(wrong), "{hash} {wrong:?}");
            }
        }
        assert!(!NOBODY.fits(b""));
    }

    #[test]
    fn what_is_no_hash_or_a_weak_one_is_refused_without_being_told() {
        for (text, found) in [
            ("secret", "what may be the password itself"),
            ("", "what may be the password itself"),
            ("$apr1$abc$def", "one of MD5"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "one of SHA-1"),
            ("$2y$10$short", "a broken one of bcrypt"),
            ("$2y$16$ZiCfDK1tJPtLvSTdDDcJ8.B93pB8Q.V/1aW7bwGFLmYHKGGX8C6Wi", "more"),
            ("$argon2id$v=19$m=8", "a broken one of Argon2"),
            ("$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHQ$bWFkZSB1cCBieSBoYW5kIQ", "more"),
            ("$6$", "a broken one of SHA crypt"),
            ("$6$salt$tooshort!", "a broken one of SHA crypt"),
            ("$6$rounds=2000000$salt$x", "more"),
        ] {
            assert_eq!(Stored::parse(text).unwrap_err().found, found, "{text}");
        }
        assert!(Stored::parse(&format!("$6${}", "a".repeat(600))).is_err());
    }

    const HASHES: [&str; 4] = [
        "$2y$04$XIj8CulQgI35INPsss/7E.bRHW2aiOQXXRJqlp1ECqTS7QfQ21FRi",
        "$argon2id$v=19$m=64,t=1,p=1$KliM1LXEeX2BoeWJD+gleA$J7XarG/4/AH7tuQcGp6/Bs87WkxIyEKmdy1pTApLn9w",
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
    ];
}
