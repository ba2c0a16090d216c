//! TLS to nodes: which servers are believed, who we are to them, and a whole mesh over it.

mod certificates;
mod documented;
mod modes;
mod server;
mod whole;
