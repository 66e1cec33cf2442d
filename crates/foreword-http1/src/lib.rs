//! HTTP/1 heads, body framing and paths as bytes, without sockets: strict where others guess.
//!
//! Two programs that read one request differently are a hole between them, so whatever can be read in two ways is
//! refused here rather than repaired. Three steps, none of which waits or allocates once its buffers are warm:
//!
//! 1. [`HeadEnd`] finds the end of a head as its bytes come in, looking at each byte once;
//! 2. [`RequestHead`] or [`ResponseHead`] parses it into an index of ranges, and settles the body's [`Framing`]; a head that
//!    comes in one piece they parse at once, and nobody need look for its end before;
//! 3. [`Chunked`] follows a chunked body to its end, either as it is or decoded.
//!
//! [`NormalPath`] settles what a path means before anyone decides by it.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod chunked;
mod connection;
mod diagnose;
mod error;
mod field;
mod framing;
mod head_end;
pub mod host;
mod lines;
mod method;
pub mod path;
mod request;
mod response;
mod scan;
mod span;
pub mod target;

pub use chunked::{ChunkError, ChunkFault, Chunked, Step};
pub use connection::ConnectionOptions;
pub use error::{Class, HeadError, HeadFault};
pub use field::{Field, Name, is_token, list, read_alike};
pub use framing::Framing;
pub use head_end::{HeadEnd, Limits};
pub use host::Host;
pub use method::is_idempotent;
pub use path::{EncodedSlash, NormalPath, PathError, PathPolicy};
pub use request::{Request, RequestHead, Version};
pub use response::{Response, ResponseHead};
pub use target::Target;
