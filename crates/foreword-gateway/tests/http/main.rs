//! http mode with real sockets: a file per behaviour.

mod answers;
mod at_once;
mod balance;
mod bodies;
mod compress;
mod edge;
mod endings;
mod failures;
mod forwarding;
mod frames;
mod going;
mod http2;
mod http2_upstream;
mod http2_websocket;
mod keep_alive;
mod leaving;
mod limits;
mod line;
mod max_body;
#[path = "../gateway/nobody.rs"]
mod nobody;
mod passwords;
mod rates;
mod reloads;
mod rules;
mod slow;
mod smuggling;
mod sticky;
mod support;
mod terms;
mod tls;
mod upgrade;
