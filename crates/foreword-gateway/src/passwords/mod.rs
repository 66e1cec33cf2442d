//! Who has which password: checked on threads of their own, so that no worker waits for a hash that is slow by design.

mod credentials;
mod known;
mod queue;
mod stored;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use aws_lc_rs::rand;

pub use self::credentials::Credentials;
use self::known::Known;
use self::queue::Queue;
pub use self::stored::{Stored, Unfit};

/// The users of a realm, and how their passwords are told.
#[derive(Debug)]
pub struct Passwords {
    users: BTreeMap<Box<str>, Arc<Stored>>,
    /// Of this process alone: what is remembered of credentials means nothing to anybody else.
    key: Key,
    known: Known,
    queue: Arc<Queue>,
}

/// What came of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked<'p> {
    /// They are those of this user.
    Right(&'p str),
    /// They are nobody's. The user, if there is one of this name.
    Wrong(Option<&'p str>),
    /// Too many are being checked, for this client or for all.
    Busy,
}

/// What stands for credentials, wherever they are remembered or waited for.
type Mark = [u8; 32];

impl Passwords {
    /// Users and the hashes of their passwords.
    ///
    /// # Errors
    /// When the machine gives no random bytes.
    pub fn new(users: BTreeMap<Box<str>, Stored>) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let users = users.into_iter().map(|(name, stored)| (name, Arc::new(stored))).collect();
        let key = Key::generate(HMAC_SHA256, &rand::SystemRandom::new())?;
        Ok(Self { users, key, known: Known::default(), queue: Arc::default() })
    }

    /// Tells whose credentials they are, if that was found out not long ago.
    pub(crate) fn recall(&self, credentials: &Credentials, now: Instant) -> Option<&str> {
        let is_known = self.known.has(&self.mark(credentials), now);
        self.users.get_key_value(credentials.user()).filter(|_| is_known).map(|(name, _)| &**name)
    }

    /// Finds out whose credentials they are, on another thread. `client` is whom a share of the queue is for.
    pub(crate) async fn check(&self, credentials: Credentials, client: Option<IpAddr>) -> Checked<'_> {
        let mark = self.mark(&credentials);
        let user = self.users.get_key_value(credentials.user()).map(|(name, _)| &**name);
        let stored = Arc::clone(self.stored_for(&credentials));
        let checked = match self.queue.ask(mark, client, stored, credentials) {
            Some(checked) => queue::heard(checked).await,
            None => None,
        };
        match (checked, user) {
            (None, _) => Checked::Busy,
            (Some(true), Some(user)) => {
                self.known.keep(mark, Instant::now());
                Checked::Right(user)
            }
            (Some(_), user) => Checked::Wrong(user),
        }
    }

    /// The same on this thread, for whoever tries a request without a gateway.
    pub(crate) fn check_here(&self, credentials: &Credentials) -> Checked<'_> {
        let user = self.users.get_key_value(credentials.user()).map(|(name, _)| &**name);
        match (self.stored_for(credentials).fits(credentials.password()), user) {
            (true, Some(user)) => Checked::Right(user),
            (_, user) => Checked::Wrong(user),
        }
    }

    /// What the password is held against. Under a name that nobody has it is some user's, always the same one for the same
    /// name: so that it takes as long, and time does not tell which names there are.
    fn stored_for(&self, credentials: &Credentials) -> &Arc<Stored> {
        self.users.get(credentials.user()).unwrap_or_else(|| {
            let tag = hmac::sign(&self.key, credentials.user().as_bytes());
            let number =
                tag.as_ref().iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
            let place = number.checked_rem(self.users.len()).unwrap_or_default();
            // The file has one user at least.
            self.users.values().nth(place).unwrap_or(&stored::NOBODY)
        })
    }

    fn mark(&self, credentials: &Credentials) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&credentials.user().len().to_be_bytes());
        context.update(credentials.user().as_bytes());
        context.update(credentials.password());
        let mut mark = Mark::default();
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(users: &[&str]) -> Passwords {
        let hash = bcrypt::hash("secret", 4).unwrap();
        Passwords::new(users.iter().map(|&user| (user.into(), Stored::parse(&hash).unwrap())).collect())
            .unwrap()
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials::of(user, password.as_bytes())
    }

    #[tokio::test]
    async fn who_was_right_once_is_known_for_a_while_and_nobody_else_is() {
        let passwords = passwords(&["alice", "bob"]);
        let right = || credentials("alice", "secret");
        assert_eq!(passwords.recall(&right(), Instant::now()), None);
        assert_eq!(passwords.check(right(), None).await, Checked::Right("alice"));
        let now = Instant::now();
        assert_eq!(passwords.recall(&right(), now), Some("alice"));
        assert_eq!(passwords.recall(&right(), now + known::FOR), None);
        for (user, password) in [("alice", "Secret"), ("bob", "secret"), ("alices", "ecret"), ("", "")] {
            assert_eq!(passwords.recall(&credentials(user, password), now), None, "{user}");
        }
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_costs_a_hash_too_and_is_never_right() {
        let passwords = passwords(&["alice", "bob"]);
        assert_eq!(passwords.check(credentials("eve", "secret"), None).await, Checked::Wrong(None));
        assert_eq!(passwords.check(credentials("alice", "wrong"), None).await, Checked::Wrong(Some("alice")));
        assert_eq!(passwords.check_here(&credentials("eve", "secret")), Checked::Wrong(None));
        assert_eq!(passwords.check_here(&credentials("bob", "secret")), Checked::Right("bob"));
        let names: Vec<String> = (0..20).map(|number| format!("eve{number}")).collect();
        let stored = |name: &String| Arc::as_ptr(passwords.stored_for(&credentials(name, "")));
        assert!(names.iter().all(|name| stored(name) == stored(name)));
    }
}
