//! Held: an operation with copies of all that it refers to: one that waits for a connection, since only once the server's
//! dialect is known can it be put into a batch, or one that may be sent again.

use crate::operation::Operation;

/// See the module.
pub(super) struct Held {
    value: Vec<u8>,
    /// Everything but the bytes.
    rest: Operation<'static>,
    /// Key, routing key and meta flags, one behind the other.
    bytes: Vec<u8>,
    ends: [usize; 2],
}

impl Held {
    /// A copy of an operation.
    pub fn new(operation: &Operation<'_>) -> Held {
        let bytes = [operation.key, operation.routing_key, operation.meta_flags].concat();
        let key_end = operation.key.len();
        let rest = Operation { key: b"", value: b"", routing_key: b"", meta_flags: b"", ..*operation };
        let ends = [key_end, key_end + operation.routing_key.len()];
        Held { value: operation.value.to_vec(), rest, bytes, ends }
    }

    /// The operation.
    pub fn operation(&self) -> Operation<'_> {
        let (names, meta_flags) = self.bytes.split_at(self.ends[1]);
        let (key, routing_key) = names.split_at(self.ends[0]);
        Operation { key, routing_key, meta_flags, value: &self.value, ..self.rest }
    }

    /// Its value.
    pub fn into_value(self) -> Vec<u8> {
        self.value
    }
}
