//! What is settled of a request before anyone decides by it. Trials settle theirs here too.

use foreword_http1::{Limits, NormalPath, PathPolicy, Request, Target};

use super::refused::Refused;
use crate::plan::Listener;

/// How large the heads of a listener may be.
pub(crate) fn limits(listener: &Listener) -> Limits {
    Limits {
        head: listener.max.head,
        fields: listener.max.fields,
        target: Limits::default().target.min(listener.max.head),
    }
}

/// Settles what is asked for.
pub(crate) fn settle(
    request: &Request<'_>,
    path: &mut NormalPath,
    policy: &PathPolicy,
) -> Result<(), Refused> {
    let target = request.target();
    if matches!(target, Target::Authority(_)) {
        return Err(Refused::Connect);
    }
    Ok(path.normalise(target.path_and_query(), policy)?)
}
