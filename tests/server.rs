//! The embedded server, by the bytes it answers. Everything goes through plain sockets of std: no code of this library's
//! client has a part in it. `differential` compares it with the real memcached, the other modules with what is written
//! down in them.

#[path = "server/binary.rs"]
mod binary;
#[path = "server/differential.rs"]
mod differential;
#[path = "server/limits.rs"]
mod limits;
#[path = "server/meta.rs"]
mod meta;
#[path = "server/program.rs"]
mod program;
#[path = "server/text.rs"]
mod text;
#[path = "server/wire.rs"]
mod wire;
