//! Finds what is wrong with a head that did not parse: slowly, and only then.

use crate::error::{HeadError, HeadFault};
use crate::field::{is_token, is_token_byte, is_value_byte};
use crate::head_end::Limits;
use crate::target::is_target_byte;

/// The first fault of a request head.
pub(crate) fn request(head: &[u8], limits: &Limits) -> HeadError {
    first_fault(head, limits, request_line)
}

/// The first fault of a response head.
pub(crate) fn response(head: &[u8], limits: &Limits) -> HeadError {
    first_fault(head, limits, status_line)
}

type Fault = (usize, HeadFault);

fn first_fault(head: &[u8], limits: &Limits, first_line: fn(&[u8]) -> Result<(), Fault>) -> HeadError {
    let mut start = 0;
    for (number, raw) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let fault = |(at, fault): Fault| HeadError::new(start + at, fault);
        let checked = line_end(raw).and_then(|line| match number {
            0 if line.is_empty() => Err((0, HeadFault::BlankLine)),
            0 => first_line(line),
            _ if line.is_empty() => Ok(()),
            _ if number > limits.fields => Err((0, HeadFault::TooManyFields)),
            _ => field_line(line),
        });
        if let Err(found) = checked {
            return fault(found);
        }
        start += raw.len();
    }
    HeadError::new(start, HeadFault::Malformed)
}

/// The line without its end, which must be CR LF and hold no other CR.
fn line_end(raw: &[u8]) -> Result<&[u8], Fault> {
    let line = raw.strip_suffix(b"\n").ok_or((raw.len(), HeadFault::Malformed))?;
    let line = line.strip_suffix(b"\r").ok_or((line.len(), HeadFault::BareLf))?;
    match line.iter().position(|&byte| byte == b'\r') {
        Some(at) => Err((at, HeadFault::BareCr)),
        None => Ok(line),
    }
}

fn request_line(line: &[u8]) -> Result<(), Fault> {
    if line == b"PRI * HTTP/2.0" {
        return Err((0, HeadFault::Http2Preface));
    }
    let mut words = line.split(|&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    if !is_token(method) {
        return Err((first_not(method, is_token_byte), HeadFault::Method));
    }
    let target = words.next().unwrap_or_default();
    let at = method.len() + 1;
    if let Some((offset, byte)) = find_not(target, is_target_byte) {
        return Err((at + offset, HeadFault::TargetByte(byte)));
    }
    if target.is_empty() {
        return Err((at, HeadFault::TargetForm));
    }
    match words.next() {
        None => Err((at + target.len(), HeadFault::Http09)),
        Some(b"HTTP/1.1" | b"HTTP/1.0") if words.next().is_none() => Ok(()),
        Some(_) => Err((at + target.len() + 1, HeadFault::Version)),
    }
}

fn status_line(line: &[u8]) -> Result<(), Fault> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "));
    let Some((status, reason)) = rest.and_then(|rest| rest.split_first_chunk::<3>()) else {
        let fault = if line.starts_with(b"HTTP/") { HeadFault::Version } else { HeadFault::StatusLine };
        return Err((0, fault));
    };
    if !status.iter().all(u8::is_ascii_digit) || status.starts_with(b"0") {
        return Err((9, HeadFault::StatusLine));
    }
    match find_not(reason, is_value_byte) {
        Some((offset, _)) => Err((12 + offset, HeadFault::StatusLine)),
        None if reason.is_empty() || reason.starts_with(b" ") => Ok(()),
        None => Err((12, HeadFault::StatusLine)),
    }
}

fn field_line(line: &[u8]) -> Result<(), Fault> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err((0, HeadFault::Folded));
    }
    let colon = line.iter().position(|&byte| byte == b':');
    let (name, value) = line.split_at(colon.unwrap_or(line.len()));
    if name.trim_ascii_end().len() < name.len() && is_token(name.trim_ascii_end()) {
        return Err((name.trim_ascii_end().len(), HeadFault::SpaceBeforeColon));
    }
    if let Some((at, byte)) = find_not(name, is_token_byte) {
        return Err((at, HeadFault::NameByte(byte)));
    }
    if name.is_empty() {
        return Err((0, HeadFault::EmptyName));
    }
    if colon.is_none() {
        return Err((line.len(), HeadFault::NoColon));
    }
    match find_not(value, is_value_byte) {
        Some((at, byte)) => Err((name.len() + at, HeadFault::ValueByte(byte))),
        None => Ok(()),
    }
}

fn find_not(bytes: &[u8], allowed: fn(u8) -> bool) -> Option<(usize, u8)> {
    bytes.iter().copied().enumerate().find(|&(_, byte)| !allowed(byte))
}

fn first_not(bytes: &[u8], allowed: fn(u8) -> bool) -> usize {
    find_not(bytes, allowed).map_or(0, |(at, _)| at)
}
