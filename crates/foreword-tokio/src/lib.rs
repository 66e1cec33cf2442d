//! PROXY headers on tokio streams: taking one off, putting one on.
//!
//! - [`read_header`] takes exactly the header; [`read_header_buffered`] takes it in few reads and keeps what came along;
//!   [`read_header_if_any`] is for peers that may come without one.
//! - [`write_header`] puts one on, [`write_header_with`] together with the first payload.
//! - [`Rewind`] puts bytes that were read back in front of their stream.
//! - [`Listener`] is all of it together: its connections arrive identified.
//!
//! ```
//! use foreword::Parser;
//! use foreword_tokio::read_header;
//! use tokio::io::AsyncReadExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut stream = &b"PROXY TCP4 192.0.2.10 198.51.100.20 56324 443\r\nhello"[..];
//! let header = read_header(&mut stream, &Parser::new()).await?;
//! assert_eq!(header.source(), Some("192.0.2.10:56324".parse()?));
//!
//! let mut payload = String::new();
//! stream.read_to_string(&mut payload).await?;
//! assert_eq!(payload, "hello");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod listener;
mod read;
mod rewind;
mod write;

pub use listener::{Accept, Connection, Incoming, Listener, Refused};
pub use read::{FIRST_BYTES, ReadError, read_header, read_header_buffered, read_header_if_any};
pub use rewind::Rewind;
pub use write::{write_header, write_header_with, write_together, write_unflushed};
