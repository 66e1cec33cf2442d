//! foreword among real programs: servers that send it headers, servers that take headers from it, signals, log readers.
//! A program that is not installed is named, and its test is not run; with `CI` set, it fails.

mod acme;
mod answers;
mod caller;
mod checks;
mod chromium;
mod dns;
mod gateway;
mod ground;
mod header;
mod http2;
mod import;
mod logs;
mod origin;
mod program;
mod python;
mod receivers;
mod roles;
mod senders;
mod server;
mod signals;
mod story;
mod tls;
mod websocket;
