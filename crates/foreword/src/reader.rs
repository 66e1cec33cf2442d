//! A cursor over part of a header that never panics and knows which byte of the header it is at.

use crate::error::{Fault, Field, Malformed};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// The byte of the header behind the last one. It stays while bytes are taken, so taking them costs no counting.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, the first of which is byte `at` of the header.
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, end: at + bytes.len() }
    }

    /// The byte of the header that comes next.
    #[inline]
    pub(crate) const fn at(&self) -> usize {
        self.end - self.bytes.len()
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that is left, without taking it.
    #[inline]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes the next `N` bytes, all of which `field` needs.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, field: Field) -> Result<[u8; N], Malformed> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.short(field, N));
        };
        self.bytes = rest;
        Ok(*head)
    }

    /// Takes the next `len` bytes, which `field` claims for itself.
    #[inline]
    pub(crate) fn slice(&mut self, len: usize, field: Field) -> Result<&'a [u8], Malformed> {
        Ok(self.sub(len, field)?.bytes)
    }

    /// Takes the next `len` bytes as a reader of their own.
    #[inline]
    pub(crate) fn sub(&mut self, len: usize, field: Field) -> Result<Self, Malformed> {
        let Some((head, rest)) = self.bytes.split_at_checked(len) else {
            let fault = Fault::Overrun { field, claimed: len, left: self.bytes.len() };
            return Err(self.malformed(fault, field.overrun_requirement()));
        };
        self.bytes = rest;
        Ok(Self { bytes: head, end: self.end - rest.len() })
    }

    /// A fault at the byte that comes next.
    #[cold]
    pub(crate) fn malformed(&self, fault: Fault, requirement: &'static str) -> Malformed {
        Malformed::new(self.at(), fault, requirement)
    }

    #[cold]
    fn short(&self, field: Field, expected: usize) -> Malformed {
        let fault = Fault::Short { field, expected, left: self.bytes.len() };
        self.malformed(fault, field.short_requirement())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_carries_the_byte_of_the_header_it_was_found_at() {
        let mut reader = Reader::new(b"abcdef", 28);
        assert_eq!(reader.array(Field::TlvHeader), Ok(*b"abc"));
        let fault = reader.slice(9, Field::TlvValue).unwrap_err();
        assert_eq!(fault.offset(), 31);
        assert_eq!(fault.fault(), &Fault::Overrun { field: Field::TlvValue, claimed: 9, left: 3 });
        let mut value = reader.sub(2, Field::TlvValue).unwrap();
        assert_eq!((value.at(), reader.at()), (31, 33));
        assert_eq!(value.array::<3>(Field::Ssl).unwrap_err().offset(), 31);
    }
}
