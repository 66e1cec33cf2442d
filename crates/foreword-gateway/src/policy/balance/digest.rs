//! Numbers for bytes, the same in every process and on every machine: a key must lead to one endpoint from all of them.

/// Takes bytes in and ends up with a number: FNV-1a, its bits mixed at the end, since the last bytes barely stir the
/// upper ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn number(self) -> u64 {
        mix(self.0)
    }
}

/// The number for some bytes.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.add(bytes);
    digest.number()
}

/// Turns a number into another in which each bit depends on all of its bits.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_changes_from_one_version_to_the_next() {
        assert_eq!(of(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(of(b"192.0.2.1"), of(b"192.0.2.1"));
        let mut parts = Digest::new();
        parts.add(b"192.0.");
        parts.add(b"2.1");
        assert_eq!(parts.number(), of(b"192.0.2.1"));
    }

    #[test]
    fn each_bit_of_a_number_is_set_for_half_of_all_keys() {
        let mut set = [0_u32; 64];
        for key in 0..20_000_u32 {
            let number = of(&key.to_be_bytes());
            for (bit, set) in set.iter_mut().enumerate() {
                *set += u32::from(number >> bit & 1 == 1);
            }
        }
        assert!(set.iter().all(|&set| (9_500..=10_500).contains(&set)), "{set:?}");
    }
}
