//! One connection, without its socket: operations become the bytes of batches, and bytes become the answers of the
//! operations in flight. It never blocks and has no clock and no thread; `pool` and the queue drive it.
//!
//! A [`Batch`] is filled by those who submit and goes to the [`Reader`] when it is sent; replies are matched to it by
//! opaque where the protocol has one, by key and position in text.

mod batch;
mod body;
mod buffer;
mod flight;
mod handshake;
mod known;
mod login;
mod reader;
mod window;
mod writer;

pub use batch::{Batch, Piece};
pub use buffer::CAPACITY;
pub use flight::Deliver;
pub use handshake::{Handshake, Outcome};
pub use known::Known;
pub use login::{Credentials, Login, Rules, Style, MAX_PASSWORD, MAX_USERNAME};
pub use reader::{Broken, Reader};
pub use window::{is_short, window, WIDEST};
