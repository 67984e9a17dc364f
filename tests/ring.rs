//! Every ring and key hash against what the client that it matches computes (tests/vectors), and what any ring must keep.

#[path = "ring/mcrouter.rs"]
mod mcrouter;
#[path = "ring/peers.rs"]
mod peers;
#[path = "ring/properties.rs"]
mod properties;
#[path = "ring/vectors.rs"]
mod vectors;
