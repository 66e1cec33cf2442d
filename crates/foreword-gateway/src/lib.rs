//! The data plane: listeners, trust, TLS, rules, forwarding and drain.
