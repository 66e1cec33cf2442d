//! HTTP/2 as it passes beneath `h2`: its frames, and how many of those that move nothing are heard.

pub(crate) mod budget;
mod frames;
pub(crate) mod watched;
