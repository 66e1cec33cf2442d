//! A test client that connects as a proxy would: header, TLS, one exchange, and what went wrong.
