//! Values as they are stored: the codecs that turn value types into flags and back, compression, and how names of
//! statistics tell their types. Nothing here knows of sockets or protocols.

mod codec;
mod coder;
mod compress;
mod compressor;
mod stat;

pub use codec::{Codec, Packing, ValueType};
pub use coder::{Coder, Decoded, Encoded};
pub use compress::{compress, decompress, Format, DEFAULT_MAX};
pub use compressor::{Compressor, CustomCompressor, Output};
pub use stat::StatType;
