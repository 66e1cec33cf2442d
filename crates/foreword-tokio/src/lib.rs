//! PROXY headers on tokio streams: taking one off, putting one on.
