//! Where memory is limited, and how much of it is in use there.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What is read at each look.
#[derive(Debug)]
pub(super) enum Meter {
    /// The cgroup with the least limit: what the kernel kills for.
    Cgroup { cgroup: Cgroup, limit: u64 },
    /// No cgroup has a limit: what the process itself has written to. Pages of its program are taken back for the asking.
    Process,
}

impl Meter {
    /// Finds the least limit that holds for this process.
    pub(super) fn find() -> Self {
        let listed = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(machine);
        Self::among(Path::new("/sys/fs/cgroup"), &listed, machine.unwrap_or(u64::MAX))
    }

    /// `listed` is what proc_pid_cgroup(5) says. A limit beyond what the machine has is none.
    fn among(root: &Path, listed: &str, machine: u64) -> Self {
        let cgroups = listed.lines().filter_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, path) = line.split_once(':')?;
            let (version, root) = match controllers {
                "" => (Version::Two, root.to_owned()),
                _ if controllers.split(',').any(|name| name == "memory") => {
                    (Version::One, root.join("memory"))
                }
                _ => return None,
            };
            Some((version, root, path))
        });
        let limited = cgroups.flat_map(|(version, root, path)| {
            hierarchy(&root, path).into_iter().filter_map(move |folder| {
                let cgroup = Cgroup { version, folder };
                let limit = cgroup.number(version.limit()).ok()?;
                (limit < machine).then_some((limit, cgroup))
            })
        });
        match limited.min_by_key(|&(limit, _)| limit) {
            Some((limit, cgroup)) => Self::Cgroup { cgroup, limit },
            None => Self::Process,
        }
    }

    pub(super) fn limit(&self) -> Option<u64> {
        match self {
            Self::Cgroup { limit, .. } => Some(*limit),
            Self::Process => None,
        }
    }

    pub(super) fn whose(&self) -> &'static str {
        match self {
            Self::Cgroup { .. } => "in the cgroup",
            Self::Process => "by the process",
        }
    }

    pub(super) fn held(&self) -> io::Result<u64> {
        match self {
            Self::Cgroup { cgroup, .. } => cgroup.held(),
            Self::Process => {
                let status = fs::read_to_string("/proc/self/status")?;
                let kib = field(&status, "RssAnon:").ok_or(io::ErrorKind::InvalidData)?;
                Ok(kib.saturating_mul(1024))
            }
        }
    }
}

/// The folders from the cgroup up to the root. In a container the path may be one of the host, of which only the root is seen.
fn hierarchy(root: &Path, path: &str) -> Vec<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return vec![root.to_owned()];
    }
    path.ancestors().map(|part| root.join(part)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn limit(self) -> &'static str {
        match self {
            Self::One => "memory.limit_in_bytes",
            Self::Two => "memory.max",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::One => "memory.usage_in_bytes",
            Self::Two => "memory.current",
        }
    }

    /// Pages of files, and how many of them are mapped.
    fn file_pages(self) -> ([&'static str; 2], &'static str) {
        match self {
            Self::One => (["total_inactive_file ", "total_active_file "], "total_mapped_file "),
            Self::Two => (["inactive_file ", "active_file "], "file_mapped "),
        }
    }
}

#[derive(Debug)]
pub(super) struct Cgroup {
    version: Version,
    folder: PathBuf,
}

impl Cgroup {
    /// What is in use without what the kernel takes back before it kills: pages of files, but for those that are mapped. The program
    /// itself is among these, and without them it would stand still.
    fn held(&self) -> io::Result<u64> {
        let usage = self.number(self.version.usage())?;
        let stat = fs::read_to_string(self.folder.join("memory.stat"))?;
        let (pages, mapped) = self.version.file_pages();
        let pages = pages.into_iter().filter_map(|name| field(&stat, name)).fold(0, u64::saturating_add);
        Ok(usage.saturating_sub(pages.saturating_sub(field(&stat, mapped).unwrap_or(0))))
    }

    /// `max`, where there is no limit, is no number.
    fn number(&self, file: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.folder.join(file))?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// The number behind the name with which a line begins.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn machine(meminfo: &str) -> Option<u64> {
    field(meminfo, "MemTotal:").map(|kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_limit_of_the_hierarchy_holds_and_its_cgroup_is_measured_without_what_the_kernel_takes_back()
    {
        let root = root(&[
            ("a/memory.max", "67108864\n"),
            ("a/memory.current", "50000000\n"),
            ("a/memory.stat", "anon 1\ninactive_file 9000000\nactive_file 3000000\nfile_mapped 2000000\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/c/memory.max", "134217728\n"),
        ]);
        let meter = Meter::among(root.path(), "0::/a/b/c\n", GIB);
        assert_eq!(meter.limit(), Some(64 << 20));
        assert_eq!(meter.held().unwrap(), 40_000_000);
    }

    #[test]
    fn the_first_version_is_read_as_well() {
        let root = root(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/x/memory.limit_in_bytes", "1000000\n"),
            ("memory/x/memory.usage_in_bytes", "900000\n"),
            ("memory/x/memory.stat", "cache 5\ntotal_inactive_file 100000\n"),
        ]);
        let meter = Meter::among(root.path(), "4:cpu:/x\n3:hugetlb,memory:/x\n0::/\n", GIB);
        assert_eq!((meter.limit(), meter.held().unwrap()), (Some(1_000_000), 800_000));
    }

    #[test]
    fn a_path_of_the_host_leads_to_what_the_container_sees() {
        let root = root(&[("memory.max", "5000\n")]);
        for listed in ["0::/docker/1234\n", "0::/../..\n"] {
            assert_eq!(Meter::among(root.path(), listed, GIB).limit(), Some(5000), "{listed}");
        }
    }

    #[test]
    fn without_a_limit_below_what_the_machine_has_the_process_is_measured() {
        let root =
            root(&[("memory.max", "max\n"), ("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        let meter = Meter::among(root.path(), "3:memory:/\n0::/\n", GIB);
        assert_eq!(meter.limit(), None);
        assert!(meter.held().unwrap() > 1 << 20);
        assert_eq!(machine("MemTotal:  2 kB\n"), Some(2048));
    }
}
