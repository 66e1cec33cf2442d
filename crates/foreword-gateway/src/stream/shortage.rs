//! Errors of sockets that are our own doing, or our machine's: they say nothing of the other side.

use std::io;

use rustix::io::Errno;

/// Whether the process or the machine has nothing left to make a socket of.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM])
}

/// Whether a connection came to nothing before anything went out: for a shortage, for want of a port, or since a rule of this machine
/// forbids it.
pub(crate) fn is_our_own(error: &io::Error) -> bool {
    is_shortage(error) || is_one_of(error, &[Errno::ADDRNOTAVAIL, Errno::PERM])
}

fn is_one_of(error: &io::Error, these: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|error| these.contains(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_means_is_a_shortage_and_a_refusal_is_never_ours() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_shortage(&error(errno)) && is_our_own(&error(errno)), "{errno}");
        }
        for errno in [Errno::ADDRNOTAVAIL, Errno::PERM] {
            assert!(!is_shortage(&error(errno)) && is_our_own(&error(errno)), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::CONNREFUSED, Errno::HOSTUNREACH] {
            assert!(!is_our_own(&error(errno)), "{errno}");
        }
    }
}
