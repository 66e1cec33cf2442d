//! Refusals: the stable codes, what each means, and the rate-limited line that says so.

mod code;
mod explain;
mod hello;
mod largest_tlv;
mod line;
#[cfg(test)]
mod reference;

pub use code::Code;
pub use explain::Page;
pub(crate) use hello::server_name;
pub(crate) use largest_tlv::largest_tlv;
pub(crate) use line::{Gates, Place, TICK, cluster, line, line_of_cluster, rest};
pub(crate) use line::{Hex, Refusal};
