//! A cursor over what there is of a line, and the small parts that all lines are made of.

use crate::error::{Fault, Malformed};

/// Why parsing a line stops before its end.
pub(super) enum Stop {
    /// The input ends here; a line that goes on has at least so many bytes more.
    Short { least: usize },
    /// The byte at the cursor cannot stand there.
    Malformed(Malformed),
}

/// A cursor over what there is of a line.
///
/// Each part of a line is told how many bytes follow it `after` its end at the least, so that whoever meets the end of
/// the input can say how much is still to come. The counts are exact: they are those of the shortest line that begins
/// like this.
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Line<'_> {
    /// Takes `literal`, as far as the input goes.
    pub(super) fn literal(
        &mut self,
        literal: &[u8],
        after: usize,
        expected: &'static str,
        requirement: &'static str,
    ) -> Result<(), Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(literal) {
            self.at += literal.len();
            return Ok(());
        }
        match rest.iter().zip(literal).position(|(found, expected)| found != expected) {
            Some(same) => {
                self.at += same;
                self.unexpected(expected, requirement)
            }
            None => Err(Stop::Short { least: literal.len() - rest.len() + after }),
        }
    }

    /// Takes the one space between two fields, which with all that follows it takes `after` bytes. Any other byte goes
    /// on with the field before, whose `requirement` it breaks.
    #[inline]
    pub(super) fn space(&mut self, after: usize, requirement: &'static str) -> Result<(), Stop> {
        match self.peek(after)? {
            b' ' => {
                self.at += 1;
                Ok(())
            }
            _ => self.unexpected("one space", requirement),
        }
    }

    #[inline]
    pub(super) fn dot(&mut self) -> Result<(), Stop> {
        // The number before has looked at this byte, so the input does not end here.
        match self.peek(1)? {
            b'.' => {
                self.at += 1;
                Ok(())
            }
            _ => self.unexpected("a dot", "R-V1-05"),
        }
    }

    pub(super) fn line_end(&mut self) -> Result<(), Stop> {
        if self.peek(2)? != b'\r' {
            return self.unexpected("CRLF", "R-V1-09");
        }
        self.at += 1;
        if self.peek(1)? != b'\n' {
            return self.unexpected("LF after CR", "R-V1-10");
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn octet(&mut self, after: usize) -> Result<u8, Stop> {
        self.number(after, "a number from 0 to 255", "R-V1-05")
    }

    pub(super) fn port(&mut self, after: usize) -> Result<u16, Stop> {
        self.number(after, "a port from 0 to 65535", "R-V1-09")
    }

    /// A decimal number that fits its type, without leading zeros.
    #[inline]
    fn number<N>(
        &mut self,
        after: usize,
        expected: &'static str,
        requirement: &'static str,
    ) -> Result<N, Stop>
    where
        N: From<u8> + Into<u32> + TryFrom<u32> + Copy,
    {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut number = match rest.first() {
            Some(digit @ b'0'..=b'9') => N::from(digit - b'0'),
            Some(_) => return self.unexpected(expected, requirement),
            None => return Err(Stop::Short { least: after + 1 }),
        };
        for (digits, &byte) in rest.iter().enumerate().skip(1) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                self.at += digits;
                return Ok(number);
            }
            let tens: u32 = number.into();
            match N::try_from(tens * 10 + u32::from(digit)) {
                Ok(next) if tens != 0 => number = next,
                _ => {
                    self.at += digits;
                    let expected = if tens == 0 { "a number without leading zeros" } else { expected };
                    return self.unexpected(expected, requirement);
                }
            }
        }
        Err(Stop::Short { least: after })
    }

    /// The byte at the cursor, or how many there are at the `least` from here on.
    #[inline]
    pub(super) fn peek(&self, least: usize) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Short { least })
    }

    /// Refuses the byte at the cursor. Some bytes break a rule of their own wherever they stand.
    #[cold]
    pub(super) fn unexpected<T>(&self, expected: &'static str, requirement: &'static str) -> Result<T, Stop> {
        let found = self.bytes.get(self.at).copied().unwrap_or_default();
        let requirement = match (found, requirement) {
            (_, "R-V1-01" | "R-V1-10") => requirement,
            (b'\n', _) => "R-V1-10",
            (b' ' | b'\t'..=b'\x0c', _) => "R-V1-03",
            (_, "R-V1-02") => requirement,
            (b'\r', _) => "R-V1-04",
            (0..0x20 | 0x7f.., _) => "R-V1-17",
            _ => requirement,
        };
        Err(Stop::Malformed(Malformed::new(self.at, Fault::Byte { expected, found }, requirement)))
    }
}
