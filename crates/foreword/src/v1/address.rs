//! The addresses of a line: dotted ones, and those of hex groups.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::line::{Line, Stop};

impl Line<'_> {
    pub(super) fn ipv4(&mut self, after: usize) -> Result<Ipv4Addr, Stop> {
        let a = self.octet(after + 6)?;
        self.dot()?;
        let b = self.octet(after + 4)?;
        self.dot()?;
        let c = self.octet(after + 2)?;
        self.dot()?;
        let d = self.octet(after)?;
        Ok(Ipv4Addr::new(a, b, c, d))
    }

    /// An IPv6 address: groups of hex digits, one `::`, or a dotted tail (R-V1-06, R-V1-07).
    pub(super) fn ipv6(&mut self, after: usize, ipv4_in_tcp6: bool) -> Result<Ipv6Addr, Stop> {
        let mut groups = Groups::default();
        if self.peek(after + 2)? == b':' {
            self.at += 1;
            self.gap(&mut groups, after)?;
        }
        loop {
            let start = self.at;
            // Right after `::` the address may end, and after a single colon it may not.
            let gap_just_now = groups.gap == Some(groups.count);
            let mut group = 0;
            let mut byte = self.peek(if gap_just_now { after } else { after + groups.least(0) })?;
            while let Some(digit) = hex(byte) {
                if self.at - start == 4 || groups.are_full() {
                    return self.unexpected("an address of 128 bits", "R-V1-06");
                }
                group = group << 4 | digit;
                self.at += 1;
                byte = self.peek(after + groups.least(1))?;
            }
            match (byte, self.at - start) {
                (b'.', digits @ 1..=3) => {
                    self.dotted_tail(&mut groups, group, digits, after, ipv4_in_tcp6)?;
                    return Ok(groups.address());
                }
                (b':', 1..) => {
                    groups.push(group);
                    if groups.are_full() {
                        return self.unexpected("the end of the address", "R-V1-06");
                    }
                    self.at += 1;
                    if groups.gap.is_none() && self.peek(after + 1)? == b':' {
                        self.gap(&mut groups, after)?;
                    }
                }
                (_, 0) if gap_just_now => return Ok(groups.address()),
                (_, 1..) => {
                    groups.push(group);
                    if groups.gap.is_some() || groups.are_full() {
                        return Ok(groups.address());
                    }
                    return self.unexpected("an address of 128 bits", "R-V1-06");
                }
                _ => return self.unexpected("a group of hex digits", "R-V1-06"),
            }
        }
    }

    /// The second colon of `::`.
    fn gap(&mut self, groups: &mut Groups, after: usize) -> Result<(), Stop> {
        if self.peek(after + 1)? != b':' {
            return self.unexpected("`::` or a group of hex digits", "R-V1-06");
        }
        self.at += 1;
        groups.gap = Some(groups.count);
        Ok(())
    }

    /// The rest of a dotted tail, from its first dot on; what stands before it was read as the hex digits of `group`.
    #[cold]
    fn dotted_tail(
        &mut self,
        groups: &mut Groups,
        group: u16,
        digits: usize,
        after: usize,
        ipv4_in_tcp6: bool,
    ) -> Result<(), Stop> {
        let whole_address = groups.count == 0 && groups.gap.is_none();
        let at_the_end = if groups.gap.is_some() { groups.count <= 5 } else { groups.count == 6 };
        if whole_address && !ipv4_in_tcp6 {
            return self.unexpected("an IPv6 address", "R-V1-08");
        }
        let (Some(a), true) = (decimal(group, digits), at_the_end || whole_address) else {
            return self.unexpected("a group of hex digits", "R-V1-07");
        };
        self.dot()?;
        let b = self.octet(after + 4)?;
        self.dot()?;
        let c = self.octet(after + 2)?;
        self.dot()?;
        let d = self.octet(after)?;
        if whole_address {
            groups.count = 5;
            groups.push(0xffff);
        }
        groups.push(u16::from_be_bytes([a, b]));
        groups.push(u16::from_be_bytes([c, d]));
        Ok(())
    }
}

/// The groups of an IPv6 address so far.
#[derive(Default)]
struct Groups {
    /// The groups behind the gap, or all of them.
    low: u128,
    /// The groups before the gap.
    high: u128,
    count: u32,
    /// How many groups stood before `::`.
    gap: Option<u32>,
}

impl Groups {
    fn push(&mut self, group: u16) {
        if self.gap == Some(self.count) {
            (self.high, self.low) = (self.low, 0);
        }
        self.low = self.low << 16 | u128::from(group);
        self.count += 1;
    }

    /// Whether there is no room for a further group. `::` stands for one at least.
    const fn are_full(&self) -> bool {
        self.count == if self.gap.is_some() { 7 } else { 8 }
    }

    /// How many bytes the address has still to come at the least, with `begun` groups more than were pushed.
    const fn least(&self, begun: u32) -> usize {
        match (self.gap, begun) {
            (Some(_), 0) | (None, 0) => 1,
            (Some(_), _) => 0,
            (None, _) if self.count + begun == 8 => 0,
            (None, _) => 2,
        }
    }

    fn address(&self) -> Ipv6Addr {
        let bits = match self.gap {
            None => self.low,
            Some(before) if before == self.count => shift(self.low, 8 - before),
            Some(before) => shift(self.high, 8 - before) | self.low,
        };
        Ipv6Addr::from(bits)
    }
}

/// Moves groups up by so many others.
fn shift(groups: u128, by: u32) -> u128 {
    groups.checked_shl(16 * by).unwrap_or(0)
}

#[inline]
const fn hex(byte: u8) -> Option<u16> {
    Some(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return None,
    } as u16)
}

/// What `digits` digits mean in decimal that were read as hex, if they are an octet without leading zeros.
fn decimal(hex: u16, digits: usize) -> Option<u8> {
    let [hundreds, tens, ones] = [hex >> 8 & 0xf, hex >> 4 & 0xf, hex & 0xf];
    let leading_zero = match digits {
        1 => false,
        2 => tens == 0,
        _ => hundreds == 0,
    };
    if leading_zero || hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    u8::try_from(hundreds * 100 + tens * 10 + ones).ok()
}
