//! Batch: operations encoded one behind the other by its [`Writer`], with what is expected back for each.

use super::writer::Writer;
use crate::operation::Command;
use crate::protocol::Dialect;
use std::sync::Arc;

/// Buffers that have grown past this are not kept for the next batch.
const KEEP_BUFFER: usize = 16 * 1024;

/// How the reply to an operation looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wire {
    /// One key of a text `get` or `gat`.
    TextGet,
    Text,
    /// What ends it is the caller's to say.
    Raw,
    Meta,
    /// With flags of the caller's own.
    MetaAny,
    Binary,
}

/// For whom a reply is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audience {
    /// The owner of the operation.
    Owner,
    /// Nobody, as the operation goes without reply: there is none, or one that says that it failed.
    Nobody,
    /// This connection: the reply of a fence, by which the server is done with all before it.
    Fence,
}

/// A reply that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// Of the operation, in its call.
    pub index: u32,
    pub opaque: u32,
    pub key_start: u32,
    pub key_len: u8,
    /// Binary: the opcode that was sent.
    pub opcode: u8,
    pub command: Command,
    pub wire: Wire,
    /// No reply means a miss of a read, the success of a write.
    pub quiet: bool,
    pub audience: Audience,
    /// Text: the last key of a `get`, whose END is still to come.
    pub last: bool,
}

impl Expected {
    /// The reply to a key of a `get`, which was just written and ends at `end`.
    #[inline(always)]
    pub fn of_get(end: usize, key: &[u8], index: u32, opaque: u32) -> Expected {
        Expected {
            index,
            opaque,
            key_start: end.wrapping_sub(key.len()) as u32,
            key_len: key.len() as u8,
            opcode: 0,
            command: Command::Get,
            wire: Wire::TextGet,
            quiet: false,
            audience: Audience::Owner,
            last: false,
        }
    }

    /// The key that it is about, in the bytes of its batch.
    #[inline(always)]
    pub fn key<'a>(&self, requests: &'a [u8]) -> &'a [u8] {
        let start = self.key_start as usize;
        requests.get(start..start + usize::from(self.key_len)).unwrap_or_default()
    }
}

/// Operations that belong to one owner, in a row: from the end of the group before up to `end`.
#[derive(Debug)]
pub(super) struct Group<O> {
    pub owner: O,
    pub end: usize,
}

/// The `get` line that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub start: usize,
    pub count: u32,
    pub with_cas: bool,
}

/// What is to be sent: bytes of the batch, or a value that was not copied into it.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Up to here, the batch's bytes …
    pub until: usize,
    /// … and then the value of the operation with this index, if any.
    pub value_of: Option<u32>,
}

/// Operations that are sent together.
#[derive(Debug)]
pub struct Batch<O> {
    /// The requests, in which the reader looks the keys up …
    bytes: Vec<u8>,
    /// … which are here instead once they are shared with whoever sends them.
    shared: Arc<Vec<u8>>,
    requests: Requests,
    pub(super) groups: Vec<Group<O>>,
    /// The number of the batch on its connection.
    pub sequence: u64,
}

/// What is known of the requests of a batch.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Where values that were not copied belong between the bytes; empty where all were.
    pub pieces: Vec<Piece>,
    pub expected: Vec<Expected>,
    pub run: Option<Run>,
    pub last_quiet: Option<usize>,
    /// The last operation goes without reply, and no fence follows yet.
    pub unfenced: bool,
    /// With what the reply to a raw command ends.
    pub raw_end: Vec<u8>,
}

impl<O> Default for Batch<O> {
    fn default() -> Batch<O> {
        let (bytes, shared, requests) = (Vec::new(), Arc::default(), Requests::default());
        Batch { bytes, shared, requests, groups: Vec::new(), sequence: 0 }
    }
}

impl<O> Batch<O> {
    /// Whether no operation is in it.
    pub fn is_empty(&self) -> bool {
        self.requests.expected.is_empty()
    }

    /// How many operations are in it.
    pub fn len(&self) -> usize {
        self.requests.expected.len()
    }

    /// How many bytes it has by now.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }

    /// How many values were left out of the bytes by now.
    pub fn spliced(&self) -> usize {
        self.requests.pieces.len()
    }

    /// The bytes of the requests.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self.bytes.is_empty() {
            true => &self.shared,
            false => &self.bytes,
        }
    }

    /// The same, to be sent while the batch itself is with the reader. Nothing can be added after that.
    pub fn out(&mut self) -> Arc<Vec<u8>> {
        if !self.bytes.is_empty() {
            match Arc::get_mut(&mut self.shared) {
                Some(shared) => std::mem::swap(shared, &mut self.bytes),
                None => self.shared = Arc::new(std::mem::take(&mut self.bytes)),
            }
        }
        self.shared.clone()
    }

    /// Where values belong between the bytes; empty where they are all in them.
    pub fn take_pieces(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.requests.pieces)
    }

    /// The owners of the operations in it, in order.
    pub fn owners(&self) -> impl Iterator<Item = &O> {
        self.groups.iter().map(|group| &group.owner)
    }

    /// The owners, to be changed.
    pub fn owners_mut(&mut self) -> impl Iterator<Item = &mut O> {
        self.groups.iter_mut().map(|group| &mut group.owner)
    }

    /// What was written since the last owner belongs to `owner`.
    pub fn assign(&mut self, owner: O) {
        let end = self.requests.expected.len();
        if self.groups.last().map_or(0, |group| group.end) < end {
            self.groups.push(Group { owner, end });
        }
    }

    /// Makes it as good as new, keeping its memory.
    pub fn clear(&mut self) {
        if !self.shared.is_empty() {
            match Arc::get_mut(&mut self.shared) {
                Some(shared) => self.bytes = std::mem::take(shared),
                None => self.shared = Arc::default(),
            }
        }
        clear_and_keep(&mut self.bytes);
        clear_and_keep(&mut self.requests.expected);
        self.requests.pieces.clear();
        self.groups.clear();
        self.requests.run = None;
        self.requests.last_quiet = None;
        self.requests.unfenced = false;
        self.requests.raw_end = Vec::new();
    }

    /// Adds operations by what is returned.
    #[inline]
    pub fn writer(&mut self, dialect: Dialect) -> Writer<'_> {
        Writer::new(dialect, &mut self.bytes, &mut self.requests)
    }

    /// Ends the batch: its last reply tells that all before it have come.
    pub fn seal(&mut self, dialect: Dialect) {
        self.writer(dialect).seal();
    }

    pub(super) fn expected(&self) -> &[Expected] {
        &self.requests.expected
    }

    /// With what the reply to its raw command ends.
    pub(super) fn raw_end(&self) -> &[u8] {
        &self.requests.raw_end
    }

    pub(super) fn key(&self, expected: &Expected) -> &[u8] {
        expected.key(self.bytes())
    }
}

/// Empties a buffer, whose memory is kept unless it has grown large.
fn clear_and_keep<T>(buffer: &mut Vec<T>) {
    buffer.clear();
    if buffer.capacity() * std::mem::size_of::<T>() > KEEP_BUFFER {
        *buffer = Vec::new();
    }
}
