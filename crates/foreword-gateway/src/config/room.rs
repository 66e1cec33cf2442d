//! Where a rule stands: what it can name there, and what has no effect.

use foreword_rule::{Scope, Variable};

use super::clusters::Clusters;
use super::document::shown;
use super::lists::Lists;
use crate::plan::Mode;

/// What the rules of a listener can name, and what has a value there.
pub(crate) struct Room<'a> {
    pub(crate) mode: Mode,
    pub(crate) scope: Scope<'a>,
    pub(crate) lists: &'a Lists,
    pub(crate) clusters: &'a Clusters,
}

/// The variable of this name, if it has a value in the room.
pub(crate) fn known(name: &str, room: &Room<'_>) -> Result<Variable, String> {
    let variable = Variable::for_template(name)?;
    match room.scope.why_missing(&variable) {
        Some(why) => Err(format!("expected a variable that has a value here, found {}: {why}", shown(name))),
        None => Ok(variable),
    }
}

/// Why keys about requests say nothing on a listener of another mode.
pub(crate) const fn no_requests(mode: Mode) -> &'static str {
    match mode {
        Mode::Udp => "a listener in udp mode has no requests",
        Mode::TlsPassthrough => "a listener in tls-passthrough mode has no requests",
        Mode::Tcp | Mode::Http => "a listener in tcp mode has no requests",
    }
}
