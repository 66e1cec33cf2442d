//! HTTP/1 heads, body framing and paths as bytes, without sockets: strict where others guess.
