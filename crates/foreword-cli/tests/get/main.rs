//! `foreword get` and `ppcurlcat`, as real programs against real peers.

mod beside_curl;
mod ends;
mod headers;
mod idiom;
mod peer;
mod ppcurlcat;
mod secure;
mod servers;
