//! What the system knows of this process: the `process_` metrics that every exporter has.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// One look. What a system does not tell is `None`.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) threads: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_descriptors: Option<u64>,
    pub(super) max_descriptors: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds),
            threads: status_number(&status, "Threads:"),
            virtual_bytes: status_number(&status, "VmSize:").map(|kib| kib * 1024),
            resident_bytes: status_number(&status, "VmRSS:").map(|kib| kib * 1024),
            // Reading the folder opens it, and that descriptor is counted too.
            open_descriptors: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64 - 1),
            max_descriptors: getrlimit(Resource::Nofile).current,
        }
    }
}

/// User and system time: fields 14 and 15 of proc_pid_stat(5). The name in field 2 may hold spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS_PER_SECOND)
}

fn status_number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// USER_HZ: what Linux shows to programs, whatever it counts in.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_is_read_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 250 150 0 0 20 0 4 0 99 1000 10";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_threads_memory_and_descriptors() {
        let process = Process::now();
        assert!(process.threads.is_some_and(|threads| threads >= 1));
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(process.open_descriptors.is_some_and(|open| open >= 3));
        assert!(process.max_descriptors >= process.open_descriptors);
    }
}
