//! What the heap of a process keeps though nobody uses it, given back to the kernel.
//!
//! An allocator keeps what is freed, since it is likely to be asked for again. glibc gives back little more than what lies at the
//! end of its heaps: one small thing that lives keeps all that was freed before it. Where a kernel kills whoever holds too much,
//! that is held as well.
//!
//! This is the only crate with `unsafe` in it: one call, which takes a number and gives one.

/// Gives back to the kernel the pages of the heap on which nothing lives. `true` if there were any.
///
/// Goes through the whole heap: some 10 to 30 ms for 64 MiB. Other threads go on; one that allocates waits while it is the turn of
/// the part of the heap that it uses. With another C library than glibc nothing is done.
///
/// ```
/// let many: Vec<Vec<u8>> = (0..1000).map(|_| vec![1; 4096]).collect();
/// drop(many);
/// foreword_heap::give_back();
/// ```
pub fn give_back() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        trim() == 1
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        false
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no safe function for it")]
fn trim() -> i32 {
    // SAFETY: it takes no pointer, and may be called by any thread at any time (MT-Safe, malloc_trim(3)). What is in use stays
    // where it is; what is free is read by nobody.
    unsafe { libc::malloc_trim(0) }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use std::fs;

    /// The pages of this process that are no file's, in KiB.
    fn held() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn what_is_freed_below_what_lives_is_given_back() {
        let before = held();
        let many: Vec<Vec<u8>> = (0..16_384).map(|_| vec![1; 4096]).collect();
        let alive = Box::new([2_u8; 100]);
        assert!(held() > before + 60_000);
        drop(many);
        super::give_back();
        assert!(held() < before + 6_000, "{} of {before}", held());
        assert!(alive.iter().all(|&byte| byte == 2));
    }
}
