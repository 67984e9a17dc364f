//! Writer: operations become the requests of a batch. Neighbouring gets become one `get k1 … kN` (text) or a run of quiet
//! gets (binary): a server answers those with one system call.

use super::batch::{Audience, Expected, Piece, Requests, Run, Wire};
use crate::error::{bits, Error, Result};
use crate::operation::{op_flags, Command, Operation};
use crate::protocol::{allow_key, binary, carries_value, check_key, meta, quiet, text, unsupported, Dialect, MAX_KEY};
use base64::prelude::{Engine as _, BASE64_STANDARD};

/// A `get` line is ended when it has grown to this; 100 keys already have most of what 1000 would gain.
const MAX_GET_LINE: usize = 8 * 1024;

/// A `get` line to which keys may be added.
pub struct GetLine<'a> {
    out: &'a mut Vec<u8>,
    expected: &'a mut Vec<Expected>,
    run: &'a mut Run,
}

impl GetLine<'_> {
    /// Adds a key, unless it cannot stand in this line: then it answers `false`.
    #[inline(always)]
    pub fn push(&mut self, key: &[u8], with_cas: bool, index: u32, opaque: u32) -> bool {
        let goes_on = self.run.with_cas == with_cas && self.out.len().wrapping_sub(self.run.start) < MAX_GET_LINE;
        let pushed = goes_on && text::push_unchecked_key(self.out, key);
        if pushed {
            self.run.count = self.run.count.wrapping_add(1);
            self.expected.push(Expected::of_get(self.out.len(), key, index, opaque));
        }
        pushed
    }
}

/// Writes operations into a batch.
pub struct Writer<'a> {
    dialect: Dialect,
    out: &'a mut Vec<u8>,
    requests: &'a mut Requests,
}

impl<'a> Writer<'a> {
    /// Adds to `out` and `requests`, which are a batch's.
    pub(super) fn new(dialect: Dialect, out: &'a mut Vec<u8>, requests: &'a mut Requests) -> Writer<'a> {
        Writer { dialect, out, requests }
    }

    /// Adds an operation; [`Batch::assign`] then says whose it is. On failure nothing of it is in the batch. A value of
    /// `splice` bytes or more is left out of the bytes, and the pieces say where it belongs.
    #[inline(always)]
    pub fn push(&mut self, operation: &Operation<'_>, index: u32, opaque: u32, splice: usize) -> Result<()> {
        let text = matches!(self.dialect, Dialect::Text | Dialect::TextMeta);
        match operation.command == Command::Get && text && operation.meta_flags.is_empty() {
            true => self.push_get(operation, index, opaque),
            false => self.push_other(operation, index, opaque, splice),
        }
    }

    #[inline(never)]
    fn push_get(&mut self, op: &Operation<'_>, index: u32, opaque: u32) -> Result<()> {
        let with_cas = op.op_flags & op_flags::WANT_CAS != 0;
        match self.get_line().is_some_and(|mut line| line.push(op.key, with_cas, index, opaque)) {
            true => Ok(()),
            false => self.begin_get(op, index, opaque, with_cas),
        }
    }

    /// The `get` line that is being written, if there is one.
    #[inline(always)]
    pub fn get_line(&mut self) -> Option<GetLine<'_>> {
        let run = self.requests.run.as_mut()?;
        Some(GetLine { out: self.out, expected: &mut self.requests.expected, run })
    }

    /// Adds a get that cannot just go on in the open line.
    #[inline(never)]
    fn begin_get(&mut self, op: &Operation<'_>, index: u32, opaque: u32, with_cas: bool) -> Result<()> {
        if let Err(error) = check_key(self.dialect, op.key) {
            if allow_key(self.dialect, op, error).map_err(|error| error.with_bits(bits::NOT_SENT))? {
                return self.push_other(op, index, opaque, usize::MAX);
            }
        }
        match &mut self.requests.run {
            Some(run) if run.with_cas == with_cas && self.out.len() - run.start < MAX_GET_LINE => run.count += 1,
            _ => self.begin_run(with_cas),
        }
        text::push_key(self.out, op.key);
        self.requests.expected.push(Expected::of_get(self.out.len(), op.key, index, opaque));
        Ok(())
    }

    fn begin_run(&mut self, with_cas: bool) {
        self.end_run(false);
        self.fence();
        self.requests.run = Some(Run { start: self.out.len(), count: 1, with_cas });
        text::begin_get(self.out, with_cas);
    }

    /// Ends the open `get` line. One key among other commands goes as `mg` where the server knows it: a server that
    /// answers many single `get`s makes a system call for each.
    fn end_run(&mut self, sealing: bool) {
        let Some(run) = self.requests.run.take() else { return };
        let alone = sealing && self.requests.expected.len() == run.count as usize;
        let Some(last) = self.requests.expected.last_mut() else { return };
        if run.count == 1 && self.dialect == Dialect::TextMeta && !alone {
            let mut key = [0; MAX_KEY];
            let key = &mut key[..usize::from(last.key_len)];
            key.copy_from_slice(&self.out[last.key_start as usize..][..key.len()]);
            let op_flags = if run.with_cas { op_flags::WANT_CAS } else { 0 };
            self.out.truncate(run.start);
            if meta::encode(self.out, &Operation { op_flags, ..Operation::get(key) }, last.opaque).is_ok() {
                last.wire = Wire::Meta;
            }
            return;
        }
        last.last = true;
        text::end_line(self.out);
    }

    #[inline(never)]
    fn push_other(&mut self, op: &Operation<'_>, index: u32, opaque: u32, splice: usize) -> Result<()> {
        let (out_len, pieces_len) = (self.out.len(), self.requests.pieces.len());
        self.encode(op, index, opaque, splice).map_err(|error| {
            self.out.truncate(out_len);
            self.requests.pieces.truncate(pieces_len);
            error.with_bits(bits::NOT_SENT)
        })
    }

    fn encode(&mut self, op: &Operation<'_>, index: u32, opaque: u32, splice: usize) -> Result<()> {
        check_supported(op, self.dialect)?;
        if op.command.has_key() && !meta::is_keyless(op) {
            if let Err(error) = check_key(self.dialect, op.key) {
                if allow_key(self.dialect, op, error)? {
                    return self.encode_binary_key(op, index, opaque, splice);
                }
            }
        }
        self.write(op, index, opaque, splice, false)
    }

    #[inline(always)]
    fn write(&mut self, op: &Operation<'_>, index: u32, opaque: u32, splice: usize, binary_key: bool) -> Result<()> {
        let expected = Expected {
            index,
            opaque,
            key_start: 0,
            key_len: 0,
            opcode: 0,
            command: op.command,
            wire: Wire::Text,
            quiet: false,
            audience: Audience::Owner,
            last: false,
        };
        match self.dialect {
            Dialect::Binary => return self.push_binary(op, expected, splice),
            Dialect::TextMeta | Dialect::Meta if meta::has(op.command) => {
                self.check_encodable(|out| meta::encode(out, op, opaque).map(drop))?;
                self.separate(op);
                let wire = match meta::encode(self.out, op, opaque)? {
                    meta::Reply::Plain => Wire::Meta,
                    meta::Reply::Any => Wire::MetaAny,
                    meta::Reply::Line => Wire::Text,
                };
                if binary_key {
                    quiet::end_line_with(self.out, b" b\r\n");
                }
                self.push_line(op, Expected { wire, ..expected }, quiet::silence_meta);
            }
            _ => {
                self.check_encodable(|out| text::encode(out, op))?;
                self.separate(op);
                text::encode(self.out, op)?;
                let expected = self.expect_text(op, expected);
                self.push_line(op, expected, quiet::silence_text);
            }
        }
        if carries_value(op) {
            self.push_value(op, index, splice);
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// The same for a key that goes by base64.
    #[cold]
    fn encode_binary_key(&mut self, op: &Operation<'_>, index: u32, opaque: u32, splice: usize) -> Result<()> {
        if !meta::has(op.command) || op.command == Command::Meta {
            return Err(unsupported("keys of any bytes", "meta", "the binary protocol has, for this command"));
        }
        let key = BASE64_STANDARD.encode(op.key);
        self.write(&Operation { key: key.as_bytes(), ..*op }, index, opaque, splice, true)
    }

    /// What is expected for the command whose line was just written.
    fn expect_text(&mut self, op: &Operation<'_>, expected: Expected) -> Expected {
        match op.command {
            Command::GetAndTouch => {
                let (end, key_len) = (self.out.len() - b"\r\n".len(), op.key.len());
                let (key_start, key_len) = ((end - key_len) as u32, key_len as u8);
                Expected { wire: Wire::TextGet, key_start, key_len, last: true, ..expected }
            }
            Command::Raw => {
                self.requests.raw_end = op.key.to_vec();
                Expected { wire: Wire::Raw, ..expected }
            }
            _ => expected,
        }
    }

    /// Fails where the command cannot be said, before something is written for it to follow.
    fn check_encodable(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        if self.requests.run.is_none() && !self.requests.unfenced {
            return Ok(());
        }
        encode(&mut Vec::new())
    }

    /// Ends what `op` cannot be part of: the open `get` line, and operations without reply, whose errors over text and
    /// meta name nobody and must not be taken for its own.
    fn separate(&mut self, op: &Operation<'_>) {
        self.end_run(false);
        if !op.is_quiet() {
            self.fence();
        }
    }

    /// Behind operations without reply, asks for one that says that they are done.
    fn fence(&mut self) {
        if !std::mem::take(&mut self.requests.unfenced) {
            return;
        }
        let Some(last) = self.requests.expected.last() else { return };
        let fence = Expected {
            command: Command::Noop,
            opcode: quiet::NOOP,
            quiet: false,
            audience: Audience::Fence,
            key_len: 0,
            ..*last
        };
        quiet::push_fence(self.out, self.dialect, last.opaque);
        self.requests.expected.push(fence);
    }

    /// What comes back for the command line that was just written, which goes without reply if it may.
    fn push_line(&mut self, op: &Operation<'_>, expected: Expected, silence: fn(&mut Vec<u8>)) {
        let quiet = op.is_quiet();
        let audience = if quiet { Audience::Nobody } else { Audience::Owner };
        if quiet {
            silence(self.out);
            self.requests.unfenced = true;
        }
        self.requests.expected.push(Expected { quiet, audience, ..expected });
    }

    fn push_value(&mut self, op: &Operation<'_>, index: u32, splice: usize) {
        if op.value.len() >= splice {
            self.requests.pieces.push(Piece { until: self.out.len(), value_of: Some(index) });
        } else {
            self.out.extend_from_slice(op.value);
        }
    }

    fn push_binary(&mut self, op: &Operation<'_>, expected: Expected, splice: usize) -> Result<()> {
        // A quiet success brings no cas.
        let no_reply = op.is_quiet();
        let may_be = no_reply || op.command.reads() || op.op_flags & op_flags::WANT_CAS == 0;
        let quiet = may_be && binary::has_quiet(op.command);
        let audience = if no_reply { Audience::Nobody } else { Audience::Owner };
        let at = self.out.len();
        let opcode = binary::encode(self.out, op, expected.opaque, quiet)?;
        if carries_value(op) {
            self.push_value(op, expected.index, splice);
        }
        self.requests.last_quiet = (quiet && !no_reply).then_some(at);
        self.requests.unfenced = quiet && no_reply;
        self.requests.expected.push(Expected { wire: Wire::Binary, opcode, quiet, audience, ..expected });
        Ok(())
    }

    pub(super) fn seal(&mut self) {
        self.end_run(true);
        self.fence();
        if let (Some(at), Some(last)) = (self.requests.last_quiet.take(), self.requests.expected.last_mut()) {
            binary::make_loud(self.out, at, last.command);
            last.quiet = false;
            last.opcode = binary::opcodes(last.command).map_or(last.opcode, |(loud, _)| loud);
        }
        if !self.requests.pieces.is_empty() {
            self.requests.pieces.push(Piece { until: self.out.len(), value_of: None });
        }
    }
}

/// Refuses what makes no sense over any protocol, and what this one has not.
fn check_supported(op: &Operation<'_>, dialect: Dialect) -> Result<()> {
    if op.cas != 0 && op.command == Command::Add {
        let words = format!("cas is {}; add takes none, since it stores only where there is no item", op.cas);
        return Err(Error::argument(words));
    }
    match !op.meta_flags.is_empty() || op.command == Command::Meta {
        true => check_meta(op, dialect),
        false => Ok(()),
    }
}

#[cold]
fn check_meta(op: &Operation<'_>, dialect: Dialect) -> Result<()> {
    let words = "meta flags or commands";
    match dialect {
        Dialect::Binary => Err(unsupported(words, "binary", "meta has: use meta or auto")),
        Dialect::Text => Err(unsupported(words, "text", "meta has: use meta, or auto where the server knows it")),
        _ if op.command.has_key() => Ok(()),
        _ => Err(Error::argument(format!("meta_flags: {} is no meta command", op.command.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::*;
    use crate::error::Status;

    fn batch(dialect: Dialect, operations: &[Operation<'_>]) -> Batch<()> {
        let mut batch = Batch::default();
        for (index, operation) in operations.iter().enumerate() {
            batch.writer(dialect).push(operation, index as u32, 100 + index as u32, usize::MAX).unwrap();
        }
        batch.assign(());
        batch.seal(dialect);
        batch
    }

    fn text(dialect: Dialect, operations: &[Operation<'_>]) -> String {
        String::from_utf8(batch(dialect, operations).bytes().to_vec()).unwrap()
    }

    #[test]
    fn gets_become_one_line() {
        let (a, b, c) = (Operation::get(b"a"), Operation::get(b"b"), Operation::get(b"c"));
        let set = Operation::set(b"s", b"v", 0);
        assert_eq!(text(Dialect::Text, &[a, b, c]), "get a b c\r\n");
        assert_eq!(text(Dialect::TextMeta, &[a]), "get a\r\n");
        assert_eq!(text(Dialect::Text, &[a, set, b]), "get a\r\nset s 0 0 1\r\nv\r\nget b\r\n");
        assert_eq!(text(Dialect::TextMeta, &[a, set, b]), "mg a v f O100\r\nms s 1 O101\r\nv\r\nmg b v f O102\r\n");
        assert_eq!(text(Dialect::TextMeta, &[a, b, set]), "get a b\r\nms s 1 O102\r\nv\r\n");
        assert_eq!(text(Dialect::Meta, &[a, b]), "mg a v f O100\r\nmg b v f O101\r\n");
        let with_cas = Operation { op_flags: op_flags::WANT_CAS, ..b };
        assert_eq!(text(Dialect::Text, &[a, with_cas, c]), "get a\r\ngets b\r\nget c\r\n");
    }

    #[test]
    fn a_binary_batch_is_quiet_but_for_its_end() {
        let gets = batch(Dialect::Binary, &[Operation::get(b"a"), Operation::get(b"b")]);
        assert_eq!((gets.bytes()[1], gets.bytes()[25 + 1]), (binary::opcode::GETQ, binary::opcode::GET));
        assert_eq!(gets.expected().iter().map(|e| e.quiet).collect::<Vec<_>>(), [true, false]);
        let want = Operation { op_flags: op_flags::WANT_CAS, ..Operation::set(b"k", b"v", 0) };
        let sets = batch(Dialect::Binary, &[Operation::set(b"k", b"v", 0), want]);
        assert_eq!(sets.bytes()[1], binary::opcode::SETQ);
        assert_eq!(sets.expected()[1].opcode, binary::opcode::SET);
    }

    #[test]
    fn operations_without_reply_are_followed_by_a_fence() {
        let silent = |operation| Operation { op_flags: op_flags::NO_REPLY, ..operation };
        let (set, delete) = (silent(Operation::set(b"s", b"v", 0)), silent(Operation::delete(b"d")));
        let cas = Operation { cas: 9, ..set };
        let get = Operation::get(b"g");
        assert_eq!(text(Dialect::Text, &[set, delete]), "set s 0 0 1 noreply\r\nv\r\ndelete d noreply\r\nversion\r\n");
        assert_eq!(text(Dialect::Text, &[cas]), "cas s 0 0 1 9 noreply\r\nv\r\nversion\r\n");
        assert_eq!(text(Dialect::Text, &[get, set, get]), "get g\r\nset s 0 0 1 noreply\r\nv\r\nversion\r\nget g\r\n");
        assert_eq!(text(Dialect::Meta, &[set, delete]), "ms s 1 O100 q\r\nv\r\nmd d O101 q\r\nmn\r\n");
        assert_eq!(text(Dialect::TextMeta, &[set, get]), "ms s 1 O100 q\r\nv\r\nmn\r\nmg g v f O101\r\n");
        assert_eq!(text(Dialect::TextMeta, &[silent(get)]), "get g\r\n", "a read has a reply");
        let made = batch(Dialect::Binary, &[set, delete]);
        let opcodes: Vec<u8> = made.expected().iter().map(|expected| expected.opcode).collect();
        assert_eq!(opcodes, [binary::opcode::SETQ, binary::opcode::DELETEQ, quiet::NOOP]);
        let loud = batch(Dialect::Binary, &[set, Operation::delete(b"d")]);
        let opcodes: Vec<u8> = loud.expected().iter().map(|expected| expected.opcode).collect();
        assert_eq!(opcodes, [binary::opcode::SETQ, binary::opcode::DELETE], "its reply is a fence too");
    }

    #[test]
    fn what_is_refused_leaves_the_batch_as_it_was() {
        let mut batch: Batch<()> = Batch::default();
        batch.writer(Dialect::Text).push(&Operation::get(b"a"), 0, 0, usize::MAX).unwrap();
        let bad = Operation::new(Command::Raw, b"");
        assert_eq!(batch.writer(Dialect::Text).push(&bad, 1, 1, usize::MAX).unwrap_err().status(), Status::Argument);
        assert!(batch.writer(Dialect::Text).push(&Operation::get(b"a b"), 2, 2, usize::MAX).is_err());
        batch.writer(Dialect::Text).push(&Operation::get(b"c"), 3, 3, usize::MAX).unwrap();
        batch.seal(Dialect::Text);
        assert_eq!(batch.bytes(), b"get a c\r\n");
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn long_get_lines_are_broken_up() {
        let keys: Vec<String> = (0..1000).map(|n| format!("key-number-{n:08}")).collect();
        let gets: Vec<Operation<'_>> = keys.iter().map(|key| Operation::get(key.as_bytes())).collect();
        let out = text(Dialect::Text, &gets);
        assert!(out.lines().all(|line| line.starts_with("get ") && line.len() <= MAX_GET_LINE + 260));
        assert_eq!(out.split_whitespace().filter(|word| *word != "get").count(), 1000);
    }

    #[test]
    fn large_values_are_left_in_their_place() {
        let mut batch: Batch<()> = Batch::default();
        batch.writer(Dialect::Text).push(&Operation::set(b"k", b"0123456789", 0), 7, 0, 10).unwrap();
        batch.seal(Dialect::Text);
        assert_eq!(batch.bytes(), b"set k 0 0 10\r\n\r\n");
        let pieces: Vec<_> = batch.take_pieces().iter().map(|piece| (piece.until, piece.value_of)).collect();
        assert_eq!(pieces, [(14, Some(7)), (16, None)]);
    }
}
