//! What is settled of a request before anyone decides by it. Trials settle theirs here too.

use foreword_http1::{Limits, NormalPath, Request, Target};

use super::refused::Refused;
use crate::plan::Listener;
use crate::policy::facts::TlsFacts;

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
    listener: &Listener,
    tls: Option<&TlsFacts>,
) -> Result<(), Refused> {
    let target = request.target();
    if matches!(target, Target::Authority(_)) {
        return Err(Refused::Connect);
    }
    check_direction(request, listener, tls)?;
    Ok(path.normalise(target.path_and_query(), &listener.path)?)
}

/// A client may use a connection for every name that the certificate it saw has, and for no other: RFC 9110 §7.4.
fn check_direction(
    request: &Request<'_>,
    listener: &Listener,
    tls: Option<&TlsFacts>,
) -> Result<(), Refused> {
    let (Some(plan), Some(sni)) = (&listener.tls, tls.and_then(|tls| tls.sni.as_deref())) else {
        return Ok(());
    };
    match request.host() {
        "" => Ok(()),
        host if plan.misdirects(sni, host) => {
            let shown = |name: &str| name.chars().take(SHOWN).collect();
            Err(Refused::Misdirected { host: shown(host), sni: shown(sni) })
        }
        _ => Ok(()),
    }
}

/// As much of a name as a name can have, RFC 1035 §2.3.4.
const SHOWN: usize = 255;
