//! What a plan needs of the machine and does not find there now. It may come before the start, so none of it is a problem.

use std::io;
use std::net::UdpSocket;
use std::path::Path;

use crate::folders::missing_folder;
use crate::plan::{Bind, LogTarget, Plan};

/// What a plan could not have if it were started here and now, a sentence each.
pub fn unmet(plan: &Plan) -> Vec<String> {
    let mut unmet = Vec::new();
    for listener in &plan.listeners {
        for bind in &listener.binds {
            let why = missing(bind);
            unmet.extend(why.map(|why| format!("listener `{}`: `{bind}`: {why}", listener.name)));
        }
    }
    if let Some(admin) = &plan.admin {
        unmet.extend(missing(&admin.bind).map(|why| format!("admin: `{}`: {why}", admin.bind)));
    }
    if let Some(LogTarget::File(path)) = plan.access_log.as_ref().map(|log| &log.to) {
        let why = without_folder(path);
        unmet.extend(why.map(|why| format!("log.access: `file:{}`: {why}", path.display())));
    }
    unmet
}

fn missing(bind: &Bind) -> Option<String> {
    match bind {
        Bind::Unix(path) => without_folder(path),
        // Nothing comes in through such a socket, and nobody who listens on the port is in its way.
        Bind::Inet(address) | Bind::Udp(address) => match UdpSocket::bind((address.ip(), 0)) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                Some("the address is not one of this machine now; `ip address` shows which are".to_owned())
            }
            _ => None,
        },
    }
}

fn without_folder(file: &Path) -> Option<String> {
    missing_folder(file).map(|folder| format!("the folder `{}` is not there now", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn what_a_start_would_miss_is_told_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[listener.a]\nbind = [\"unix:gone/a.sock\", \"unix:a.sock\", \"192.0.2.1:80\", \"127.0.0.1:80\"]\n\
                    mode = \"tcp\"\ncluster = \"z\"\n[cluster.z]\nendpoints = [\"a:1\"]\n\
                    [admin]\nbind = \"unix:gone/admin.sock\"\n[log.access]\nto = \"file:gone/access.log\"";
        let plan = parse(text, "f", folder.path()).unwrap_or_else(|problems| panic!("{problems}")).plan;
        let at = folder.path().display();
        assert_eq!(
            unmet(&plan),
            [
                format!("listener `a`: `unix:{at}/gone/a.sock`: the folder `{at}/gone` is not there now"),
                "listener `a`: `192.0.2.1:80`: the address is not one of this machine now; `ip address` shows which are".to_owned(),
                format!("admin: `unix:{at}/gone/admin.sock`: the folder `{at}/gone` is not there now"),
                format!("log.access: `file:{at}/gone/access.log`: the folder `{at}/gone` is not there now"),
            ]
        );
    }
}
