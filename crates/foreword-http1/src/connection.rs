//! The options of `Connection`, RFC 9110 §7.6.1.

use crate::error::HeadFault;
use crate::field::list;

/// What the `Connection` fields of one head ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Other options: names of fields for this hop only.
    pub names_fields: bool,
    named: u16,
}

/// Far more than anyone sends. Each field is compared with each of them, so that they must be few.
const MOST_NAMED: u16 = 32;

impl ConnectionOptions {
    pub(crate) fn read(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        // Nothing else is said as often, and this way it is read once.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return Ok(());
        }
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !option.is_empty() {
                self.names_fields = true;
                self.named += 1;
                if self.named > MOST_NAMED {
                    return Err(HeadFault::TooManyFields);
                }
            }
        }
        Ok(())
    }

    /// Whether the connection stays open afterwards, RFC 9112 §9.3.
    pub(crate) fn keeps_alive(self, http10: bool) -> bool {
        !self.close && (!http10 || self.keep_alive)
    }
}
