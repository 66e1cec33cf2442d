//! A cursor that writes a header into a buffer it does not own, and notices the end of it.

use core::fmt;

use crate::error::BuildError;

pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
}

impl<'b> Writer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        let end = self.at + bytes.len();
        let room = self.buffer.get_mut(self.at..end).ok_or(BuildError::NoRoom)?;
        room.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// Puts `bytes` and fills up with NUL to `len`.
    pub(crate) fn put_padded(&mut self, bytes: &[u8], len: usize) -> Result<(), BuildError> {
        self.put(bytes)?;
        let end = self.at + len.saturating_sub(bytes.len());
        self.buffer.get_mut(self.at..end).ok_or(BuildError::NoRoom)?.fill(0);
        self.at = end;
        Ok(())
    }

    /// Writes over what was put at `at` before.
    pub(crate) fn put_at(&mut self, at: usize, bytes: &[u8]) -> Result<(), BuildError> {
        let room = self.buffer.get_mut(at..at + bytes.len()).ok_or(BuildError::NoRoom)?;
        room.copy_from_slice(bytes);
        Ok(())
    }

    /// All that was put so far.
    pub(crate) fn written(&self) -> &[u8] {
        self.buffer.get(..self.at).unwrap_or_default()
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_is_an_error_and_takes_no_part_of_what_did_not_fit() {
        let mut buffer = [7; 4];
        let mut writer = Writer::new(&mut buffer);
        writer.put(b"abc").unwrap();
        assert_eq!(writer.put(b"de"), Err(BuildError::NoRoom));
        assert_eq!(writer.put_padded(b"", 2), Err(BuildError::NoRoom));
        assert_eq!(writer.written(), b"abc");
        assert_eq!(buffer, [b'a', b'b', b'c', 7]);
    }
}
