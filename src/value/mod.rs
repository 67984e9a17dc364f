//! Values as they are stored: compression so far; the codecs that turn value types into flags stand beside it when they
//! come. Nothing here knows of sockets or protocols.

mod compress;

pub use compress::{compress, decompress, DEFAULT_MAX};
