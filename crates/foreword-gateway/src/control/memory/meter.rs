//! Where memory is limited, and how much of it is in use there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

/// What is read at each look. It is opened once: later there may be no way to it, nor a descriptor for it.
#[derive(Debug)]
pub(super) struct Meter {
    /// The cgroup with the least limit, if one has any: what the kernel kills for.
    cgroup: Option<(u64, Cgroup)>,
    /// What the process itself has written to. Pages of its program are taken back for the asking.
    process: io::Result<File>,
}

/// What one look has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) held: u64,
    /// Beyond which it is too much.
    pub(super) mark: u64,
    /// Where there is an end to it.
    pub(super) limit: u64,
    pub(super) whose: &'static str,
}

impl Found {
    /// Nobody kills for a mark that was asked for, but it is to hold: it is taken for the same share, as long as that is kept.
    fn of_process(held: u64, mark: u64) -> Self {
        let limit = mark.saturating_add(mark / 85 * 15).max(held.saturating_add(held / 8));
        Self { held, mark, limit, whose: "by the process" }
    }

    fn of_cgroup(held: u64, limit: u64) -> Self {
        Self { held, mark: share(limit), limit, whose: "in the cgroup" }
    }

    /// How near to its mark, in thousandths.
    fn nearness(&self) -> u64 {
        self.held.saturating_mul(1000) / self.mark.max(1)
    }
}

/// What of a limit may be in use: 85 %, and less where the rest would be too little for what comes before anything is let go, but at
/// least half of it.
pub(super) fn share(limit: u64) -> u64 {
    (limit / 100 * 85).min(limit.saturating_sub(LEAST_REST)).max(limit / 2)
}

/// What comes while a flood is noticed.
const LEAST_REST: u64 = 16 * 1024 * 1024;

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
                let limit = fs::read_to_string(folder.join(version.limit())).ok()?;
                // `max`, where there is no limit, is no number.
                let limit = limit.trim().parse().ok()?;
                (limit < machine).then(|| Some((limit, Cgroup::open(version, &folder).ok()?)))?
            })
        });
        let cgroup = limited.min_by_key(|&(limit, _)| limit);
        Self { cgroup, process: File::open("/proc/self/status") }
    }

    /// Whether there is anything to look at, where the file asks for this mark.
    pub(super) fn has_mark(&self, asked: Option<u64>) -> bool {
        asked.is_some() || self.cgroup.is_some()
    }

    /// What the cgroup may have.
    pub(super) fn limit(&self) -> Option<u64> {
        self.cgroup.as_ref().map(|(limit, _)| *limit)
    }

    /// Looks at both, where both have a mark: at the process for the one that was asked for, at the cgroup for its own. Whichever is
    /// nearer to it counts.
    pub(super) fn look(&self, asked: Option<u64>) -> io::Result<Option<Found>> {
        let process = match asked {
            Some(mark) => Some(Found::of_process(self.held_by_process()?, mark)),
            None => None,
        };
        let cgroup = match &self.cgroup {
            Some((limit, cgroup)) => Some(Found::of_cgroup(cgroup.held()?, *limit)),
            None => None,
        };
        Ok(process.into_iter().chain(cgroup).max_by_key(Found::nearness))
    }

    fn held_by_process(&self) -> io::Result<u64> {
        let status = self.process.as_ref().map_err(|error| io::Error::from(error.kind()))?;
        let kib = field(&whole(status)?, "RssAnon:").ok_or(io::ErrorKind::InvalidData)?;
        Ok(kib.saturating_mul(1024))
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
    usage: File,
    stat: File,
}

impl Cgroup {
    fn open(version: Version, folder: &Path) -> io::Result<Self> {
        let open = |file| File::open(folder.join(file));
        Ok(Self { version, usage: open(version.usage())?, stat: open("memory.stat")? })
    }

    /// What is in use without what the kernel takes back before it kills: pages of files, but for those that are mapped. The program
    /// itself is among these, and without them it would stand still.
    fn held(&self) -> io::Result<u64> {
        let usage: u64 = whole(&self.usage)?.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let stat = whole(&self.stat)?;
        let (pages, mapped) = self.version.file_pages();
        let pages = pages.into_iter().filter_map(|name| field(&stat, name)).fold(0, u64::saturating_add);
        Ok(usage.saturating_sub(pages.saturating_sub(field(&stat, mapped).unwrap_or(0))))
    }
}

/// All that a file says now. The kernel writes it anew for each who reads from its beginning.
fn whole(file: &File) -> io::Result<String> {
    let mut text = vec![0; LONGEST];
    let mut len = 0;
    while let Some(room) = text.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read_at(room, len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    text.truncate(len);
    String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Twice what the longest of them has.
const LONGEST: usize = 8 * 1024;

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

    fn held(meter: &Meter) -> u64 {
        meter.look(None).unwrap().unwrap().held
    }

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
            ("a/b/memory.current", "50000000\n"),
            ("a/b/memory.stat", "anon 1\n"),
            ("a/b/c/memory.max", "134217728\n"),
            ("a/b/c/memory.current", "50000000\n"),
            ("a/b/c/memory.stat", "anon 1\n"),
        ]);
        let meter = Meter::among(root.path(), "0::/a/b/c\n", GIB);
        assert_eq!(meter.limit(), Some(64 << 20));
        assert_eq!(held(&meter), 40_000_000);
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
        assert_eq!((meter.limit(), held(&meter)), (Some(1_000_000), 800_000));
    }

    #[test]
    fn a_path_of_the_host_leads_to_what_the_container_sees() {
        let root =
            root(&[("memory.max", "5000\n"), ("memory.current", "100\n"), ("memory.stat", "anon 100\n")]);
        for listed in ["0::/docker/1234\n", "0::/../..\n"] {
            assert_eq!(Meter::among(root.path(), listed, GIB).limit(), Some(5000), "{listed}");
        }
    }

    #[test]
    fn whichever_is_nearer_to_its_mark_counts() {
        let root = root(&[
            ("memory.max", "1000000000000000\n"),
            ("memory.current", "900000000000000\n"),
            ("memory.stat", "anon 1\n"),
        ]);
        let meter = Meter::among(root.path(), "0::/\n", u64::MAX);
        let found = |asked| meter.look(asked).unwrap().unwrap();
        assert_eq!(found(None).mark, 850_000_000_000_000);
        assert_eq!(found(Some(GIB << 10)).whose, "in the cgroup");
        assert_eq!((found(Some(1)).whose, found(Some(1)).mark), ("by the process", 1));
    }

    #[test]
    fn what_comes_before_anything_is_let_go_fits_between_a_mark_and_its_limit() {
        let mib = |limit: u64| share(limit << 20) >> 20;
        assert_eq!([24, 64, 100, 107, 1000].map(mib), [12, 48, 84, 90, 850]);
    }

    #[test]
    fn each_look_reads_anew() {
        let root = root(&[
            ("memory.max", "5000\n"),
            ("memory.current", "100\n"),
            ("memory.stat", "inactive_file 0\n"),
        ]);
        let meter = Meter::among(root.path(), "0::/\n", GIB);
        assert_eq!(held(&meter), 100);
        fs::write(root.path().join("memory.current"), "99\n").unwrap();
        fs::write(root.path().join("memory.stat"), "inactive_file 9\n").unwrap();
        assert_eq!(held(&meter), 90);
    }

    #[test]
    fn without_a_limit_below_what_the_machine_has_the_process_is_measured() {
        let root =
            root(&[("memory.max", "max\n"), ("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        let meter = Meter::among(root.path(), "3:memory:/\n0::/\n", GIB);
        assert_eq!(meter.limit(), None);
        assert!(!meter.has_mark(None) && meter.look(None).unwrap().is_none());
        let found = meter.look(Some(GIB)).unwrap().unwrap();
        assert!(found.held > 1 << 20 && found.mark == GIB && found.limit > GIB);
        assert_eq!(machine("MemTotal:  2 kB\n"), Some(2048));
    }
}
