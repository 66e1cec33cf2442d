//! The PROXY protocol: bytes to header and header to bytes, and whose headers to believe.
