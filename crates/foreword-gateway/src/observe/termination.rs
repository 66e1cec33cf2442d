//! How a connection or request ended, in the four letters that HAProxy's logs have for it.

use super::counters::Closing;
use super::entry::{Entry, Side};
use super::exchange::Moment;
use crate::refusal::Code;

/// First letter: who ended it. Second: how far it had come. The others tell of cookies, which we have none of.
pub(crate) fn state(entry: &Entry<'_>) -> [u8; 4] {
    match cause(entry) {
        b'-' => *b"----",
        cause => [cause, phase(entry), b'-', b'-'],
    }
}

fn cause(entry: &Entry<'_>) -> u8 {
    match (entry.closing, entry.side) {
        (Closing::Complete, _) if entry.exchange.forwarded => b'-',
        // Answered here, with what a rule says. Whom a rule denies is refused, below.
        (Closing::Complete, _) if entry.is_http && entry.exchange.status >= 400 => b'P',
        (Closing::Complete, _) if entry.is_http => b'L',
        (Closing::Complete | Closing::Probe, _) => b'-',
        (Closing::Aborted, Some(Side::Upstream)) => b'S',
        (Closing::Aborted, _) => b'C',
        (Closing::TimedOut, Some(Side::Upstream)) => b's',
        (Closing::TimedOut, _) => b'c',
        (Closing::CutOff, _) => b'K',
        (Closing::Panicked, _) => b'I',
        (Closing::Refused, _) => entry.code.map_or(b'P', refused),
    }
}

fn refused(code: Code) -> u8 {
    match code {
        Code::HeaderSilence
        | Code::HeaderUnfinished
        | Code::HandshakeDeadline
        | Code::HeadDeadline
        | Code::BodyDeadline => b'c',
        Code::HeaderCutShort | Code::HandshakeCutShort => b'C',
        Code::ConnectTimeout | Code::ResponseTimeout => b's',
        Code::NoConnection
        | Code::NoEndpoint
        | Code::AllDown
        | Code::EndpointClosed
        | Code::AnswerCutShort => b'S',
        Code::QueueDeadline => b's',
        Code::OutOfDescriptors
        | Code::ConnectionLimit
        | Code::HeadersWaiting
        | Code::FlowLimit
        | Code::HeadsWaiting
        | Code::TooManyStreams
        | Code::QueueFull => b'R',
        Code::Panicked => b'I',
        _ => b'P',
    }
}

fn phase(entry: &Entry<'_>) -> u8 {
    let exchange = entry.exchange;
    match entry.code {
        Some(Code::NoConnection | Code::NoEndpoint | Code::AllDown | Code::ConnectTimeout) => return b'C',
        Some(Code::ResponseTimeout | Code::EndpointClosed | Code::MalformedAnswer | Code::AnswerTooLarge) => {
            return b'H';
        }
        Some(Code::QueueFull | Code::QueueDeadline | Code::HeadsWaiting) => return b'Q',
        _ => {}
    }
    if !exchange.forwarded {
        return if exchange.queued.is_some() { b'Q' } else { b'R' };
    }
    match (exchange.connected, exchange.first_byte) {
        (Moment::NEVER, _) => b'C',
        (_, Moment::NEVER) if entry.is_http => b'H',
        _ => b'D',
    }
}
