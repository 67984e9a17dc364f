//! Every ring and key hash against what the client that it matches computes (tests/vectors), and what any ring must keep.

#[path = "ring/vectors.rs"]
mod vectors;
