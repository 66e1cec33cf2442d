//! What a client says of itself: `Authorization: Basic`, RFC 7617.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A user's name and password, as somebody gives them.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    user: Box<str>,
    password: Box<[u8]>,
}

impl Credentials {
    /// Reads the value of the field. `None` if it gives no name and password.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") || encoded.len() > MOST {
            return None;
        }
        let decoded = LENIENT.decode(encoded.trim_ascii()).ok()?;
        let mut parts = decoded.splitn(2, |&byte| byte == b':');
        let (user, password) = (parts.next()?, parts.next()?);
        // RFC 7617 §2: neither has control characters.
        if decoded.iter().any(u8::is_ascii_control) {
            return None;
        }
        Some(Self::of(str::from_utf8(user).ok()?, password))
    }

    pub(crate) fn of(user: &str, password: &[u8]) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn password(&self) -> &[u8] {
        &self.password
    }
}

/// A password is shown to nobody.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Some clients leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Far more than people remember; SHA-512 crypt takes the longer, the longer they are.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let credentials = Credentials::read(value.as_bytes())?;
        let password = String::from_utf8(credentials.password().to_vec()).unwrap();
        Some((credentials.user().to_owned(), password))
    }

    #[test]
    fn name_and_password_are_read_however_the_scheme_is_written() {
        let expected = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), expected);
        assert_eq!(read("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ"), expected);
        assert_eq!(read("Basic YTpiOmM="), Some(("a".to_owned(), "b:c".to_owned())));
        assert_eq!(read("Basic Og=="), Some((String::new(), String::new())));
    }

    #[test]
    fn what_is_not_of_this_form_gives_nobody() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic QQ==",
            "Basic ???",
            "Bearer YTpi",
            "BasicYTpi",
            "Basic YQA6Yg==",
            "Basic /zpi",
            "Basic YTpi YTpi",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(read(&format!("Basic {}", "YTpi".repeat(400))), None);
        assert!(!format!("{:?}", Credentials::of("a", b"secret")).contains("secret"));
    }
}
