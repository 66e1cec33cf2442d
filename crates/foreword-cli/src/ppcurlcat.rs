//! The `ppcurlcat` command.

fn main() {}
