//! What a method says of the request that has it.

/// Whether saying it twice is the same as saying it once, RFC 9110 §9.2.2. Of a method that is not known, nobody can tell.
///
/// ```
/// assert!(foreword_http1::is_idempotent("PUT"));
/// assert!(!foreword_http1::is_idempotent("POST"));
/// ```
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_and_unknown_ones_are_said_once() {
        for method in ["POST", "PATCH", "CONNECT", "get", "PROPFIND", ""] {
            assert!(!is_idempotent(method), "{method}");
        }
    }
}
