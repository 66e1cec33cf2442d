//! Rule text to a typed predicate over a connection and a request, without I/O.
