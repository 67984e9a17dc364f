//! Reader: the receiving half of a connection. It holds the batches in flight and the bytes received, and hands out
//! each answer once its reply is complete and matches. Whatever does not match breaks the connection.

use super::batch::{Audience, Batch, Expected, Group, Wire};
use super::body::{Body, Receive};
use super::buffer::{Buffer, CAPACITY};
use super::flight::{Deliver, Flight};
use crate::error::{bits, Error, Status};
use crate::operation::{Answer, Command, Room, Sink, Value};
use crate::protocol::{admin, binary, meta, quiet, text, Head, Violation, What};
use base64::prelude::{Engine as _, BASE64_STANDARD};
use std::borrow::Cow;
use std::io;

/// What ends the reply to a text `get`.
const END: &[u8] = b"END\r\n";

/// Why a connection can no longer be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub status: Status,
    pub message: String,
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Broken {
        Broken { status: Status::Protocol, message: format!("the server sent {}", violation.0) }
    }
}

/// See the module.
pub struct Reader<O> {
    buffer: Buffer,
    flight: Flight<O>,
    /// The value under way, where it is longer than the buffer.
    body: Option<Body>,
    /// Text: the last key of a `get` is answered, its END is not there yet.
    awaiting_end: bool,
    /// What has come of an answer that comes in lines or parts.
    kept: Vec<u8>,
    max_value: usize,
}

/// A reply: whose it is, and how many operations before that one have got none.
struct Reply<'a> {
    head: Head<'a>,
    expected: Expected,
    silent: usize,
}

impl<O> Reader<O> {
    /// A reader that accepts values of up to `max_value` bytes.
    pub fn new(max_value: usize) -> Reader<O> {
        let (buffer, flight, kept) = (Buffer::new(), Flight::new(), Vec::new());
        Reader { buffer, flight, body: None, awaiting_end: false, kept, max_value }
    }

    /// A batch that is about to be sent.
    pub fn push(&mut self, batch: Box<Batch<O>>) {
        self.flight.push(batch);
    }

    /// Whether no reply is awaited.
    pub fn is_idle(&self) -> bool {
        self.flight.is_empty()
    }

    /// Whether there are bytes that no reply was awaited for, or not all of one.
    pub fn has_bytes(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether nothing is received that was not taken: the next bytes begin a reply.
    pub fn is_clear(&self) -> bool {
        self.buffer.is_empty() && self.body.is_none()
    }

    /// The number of the batch whose replies come next.
    pub fn next_sequence(&self) -> Option<u64> {
        self.flight.next_sequence()
    }

    /// Answers with `error` all that is in flight for the owners that `is_own` names; when the replies come after all,
    /// they go to `gone`.
    pub fn abandon(
        &mut self,
        is_own: impl Fn(&O) -> bool,
        gone: impl Fn() -> O,
        error: &Error,
        deliver: &mut impl Deliver<O>,
    ) {
        self.flight.abandon(self.awaiting_end, is_own, gone, error, deliver);
    }

    /// Receives once by `receive(first, second, exact)`: bytes go to `first` and, when it is full, to `second`; `exact`
    /// says that just so many bytes are certain to come. Answers with how many came.
    pub fn receive(&mut self, deliver: &mut impl Deliver<O>, receive: Receive<'_>) -> io::Result<usize> {
        if let (Some(body), Some(expected)) = (self.body.as_mut().filter(|b| !b.is_complete()), self.flight.current()) {
            let ends_get = expected.wire == Wire::TextGet && expected.last;
            let after = body.tail + if ends_get { END.len() } else { 0 };
            let room = room_of(&self.flight, body.flags(), body.len(), deliver);
            return body.receive(&mut self.buffer, room, after, self.flight.is_last(), receive);
        }
        let came = receive(self.buffer.spare(), &mut [], false)?;
        self.buffer.received(came);
        if came == 0 {
            self.end(deliver);
        }
        Ok(came)
    }

    /// The server has closed the connection, which is how it answers a shutdown.
    #[cold]
    fn end(&mut self, deliver: &mut impl Deliver<O>) {
        if self.flight.current().is_some_and(|expected| expected.command == Command::Shutdown) {
            self.flight.answer(Answer { bits: bits::SENT, ..Answer::new(Status::Ok) }, deliver);
            self.flight.pop(deliver);
        }
    }

    /// Receives into other memory from now on, and leaves its own there. What [`Reader::advance`] leaves fits into the usual one,
    /// unless it is nothing that was asked for: then nothing changes.
    pub fn exchange_memory(&mut self, memory: &mut Vec<u8>) {
        self.buffer.exchange(memory);
    }

    /// Room for bytes that are received, for a caller that knows that no value is under way; then [`Reader::received`].
    #[inline(always)]
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.spare()
    }

    /// So many bytes were received.
    #[inline(always)]
    pub fn received(&mut self, came: usize) {
        self.buffer.received(came);
    }

    /// Takes in what was received, handing out every answer that is complete. Bytes that are left belong to a reply
    /// that is not complete, or to none.
    #[inline]
    pub fn advance(&mut self, deliver: &mut impl Deliver<O>) -> Result<(), Broken> {
        match self.buffer.is_empty() && self.body.is_none() {
            true => Ok(()),
            false => self.advance_all(deliver),
        }
    }

    fn advance_all(&mut self, deliver: &mut impl Deliver<O>) -> Result<(), Broken> {
        loop {
            let advanced = match self.body {
                Some(_) => self.advance_body(deliver)?,
                None if self.buffer.is_empty() => return Ok(()),
                None => self.advance_usual(deliver) || self.advance_reply(deliver)?,
            };
            if !advanced {
                return Ok(());
            }
        }
    }

    /// The values of a `get` of these keys that come first, in order and whole; the last of them only with its END. It is
    /// for the caller that has nothing in flight but that `get`, and has not pushed it. Answers with how many there were.
    #[inline(always)]
    pub fn take_hits<'k>(
        &mut self,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
        mut take: impl FnMut(usize, crate::protocol::Hit<'_>),
    ) -> usize {
        let (bytes, last) = (self.buffer.bytes(), keys.len().wrapping_sub(1));
        let (mut rest, mut count) = (bytes, 0usize);
        for key in keys {
            let Some((hit, behind)) = text::decode_hit::<false>(key, rest) else { break };
            if hit.value.len() > self.max_value || (count == last && !behind.starts_with(END)) {
                break;
            }
            take(count, hit);
            (rest, count) = (behind, count.wrapping_add(1));
        }
        let taken = bytes.len() - rest.len();
        self.buffer.consume(if count > last { taken + END.len() } else { taken });
        count
    }

    /// The answer to one meta command, if it has come whole and is the usual one: a value, or that it is done. It is for the
    /// caller that has nothing in flight but that command, and has not pushed it. Answers whether it was.
    #[inline(always)]
    pub fn take_meta(&mut self, command: Command, opaque: u32, sink: &mut dyn Sink) -> bool {
        let bytes = self.buffer.bytes();
        let behind = match command.reads() {
            true => {
                let hit = meta::decode_hit(opaque, bytes).filter(|(hit, _)| hit.value.len() <= self.max_value);
                let Some((hit, behind)) = hit else { return false };
                sink.hit(0, hit.flags, hit.cas, hit.value);
                behind
            }
            false => {
                let Some((cas, behind)) = meta::decode_done(command, opaque, bytes) else { return false };
                sink.answer(0, Answer { bits: bits::SENT, cas, ..Answer::new(Status::Ok) });
                behind
            }
        };
        let taken = bytes.len() - behind.len();
        self.buffer.consume(taken);
        true
    }

    /// Answers all that is in flight with a failure and forgets what was received.
    pub fn fail(&mut self, error: &Error, deliver: &mut impl Deliver<O>) {
        self.body = None;
        self.kept = Vec::new();
        self.flight.settle(|_| Answer::failed(error), deliver);
        let mut answered = std::mem::take(&mut self.awaiting_end);
        while !self.flight.is_empty() {
            if !std::mem::take(&mut answered) {
                self.flight.answer(Answer::failed(error), deliver);
            }
            self.flight.pop(deliver);
        }
        self.buffer.consume(self.buffer.len());
    }

    /// The short way: values that are all there, of the very operations that come next, and replies of meta that say that
    /// something is done. Whatever is not that is left to [`Reader::advance_reply`].
    fn advance_usual(&mut self, deliver: &mut impl Deliver<O>) -> bool {
        let Some(batch) = self.flight.first().filter(|_| !self.awaiting_end) else { return false };
        let (next, group) = self.flight.place();
        let (bytes, requests) = (self.buffer.bytes(), batch.bytes());
        let (mut rest, mut done) = (bytes, 0);
        'all: for Group { owner, end } in batch.groups.get(group..).unwrap_or_default() {
            for expected in batch.expected().get(next + done..*end).unwrap_or_default() {
                let hit = match (expected.wire, expected.command) {
                    (Wire::TextGet, _) => text::decode_hit::<true>(expected.key(requests), rest),
                    (Wire::Meta, Command::Get) => meta::decode_hit(expected.opaque, rest),
                    (Wire::Meta, command) if !expected.quiet && expected.audience == Audience::Owner => {
                        let Some((cas, behind)) = meta::decode_done(command, expected.opaque, rest) else { break 'all };
                        let answer = Answer { bits: bits::SENT, cas, ..Answer::new(Status::Ok) };
                        deliver.answer(owner, expected.index, answer);
                        (rest, done) = (behind, done + 1);
                        continue;
                    }
                    // What was passed over is settled by the one that cannot be quiet.
                    (Wire::Binary, Command::Get) if !self.flight.has_passed() => {
                        binary::decode_hit(expected.opcode, expected.opaque, rest)
                    }
                    _ => None,
                };
                let Some((hit, behind)) = hit else { break 'all };
                if hit.value.len() > self.max_value {
                    break 'all;
                }
                deliver.hit(owner, expected.index, hit.flags, hit.cas, hit.value);
                rest = behind;
                if expected.last {
                    let end = rest.strip_prefix(END).filter(|_| !self.flight.has_passed());
                    self.awaiting_end = end.is_none();
                    if let Some(behind) = end {
                        (rest, done) = (behind, done + 1);
                    }
                    break 'all;
                }
                done += 1;
            }
        }
        let taken = bytes.len() - rest.len();
        self.buffer.consume(taken);
        if done > 0 {
            self.flight.pop_some(done, deliver);
        }
        taken > 0
    }

    #[inline(never)]
    fn advance_reply(&mut self, deliver: &mut impl Deliver<O>) -> Result<bool, Broken> {
        let begun = !self.kept.is_empty();
        let reply = identify(self.buffer.bytes(), &self.flight, self.awaiting_end, begun)?;
        let Some(Reply { head, expected, silent }) = reply else { return Ok(false) };
        match head.what {
            What::End => {
                let len = head.len;
                self.buffer.consume(len);
                self.end_get(deliver);
                return Ok(true);
            }
            What::Answer if expected.wire == Wire::TextGet => return self.fail_get(deliver),
            What::Answer | What::Item => {}
            What::Line | What::Part => {
                keep(&mut self.kept, &head, self.max_value)?;
                let len = head.len;
                self.flight.pass(&expected, silent, deliver);
                self.buffer.consume(len);
                return Ok(true);
            }
        }
        if head.body > self.max_value {
            let message = format!("the server announced {} bytes; max_value_bytes is {}", head.body, self.max_value);
            return Err(Broken { status: Status::TooLarge, message });
        }
        let whole = head.len + head.body + head.tail;
        if self.buffer.len() >= whole {
            self.flight.pass(&expected, silent, deliver);
            let value = &self.buffer.bytes()[head.len..head.len + head.body];
            check_line_end(&self.buffer.bytes()[head.len + head.body..whole])?;
            let key;
            let answer = answer_of(&head);
            let answer = match head.body_is_detail {
                true => Answer { detail: value, ..answer },
                false if is_special(&expected) => {
                    key = key_of(&head, &expected);
                    Answer { key: &key, ..special(&head, &expected, value, &mut self.kept, self.max_value)? }
                }
                false => Answer { value: Value::Borrowed(value), detail: head.detail, ..answer },
            };
            let reason = head.close.then(|| closed(&answer));
            self.flight.answer(answer, deliver);
            self.buffer.consume(whole);
            self.reply_done(expected, deliver);
            return reason.map_or(Ok(true), Err);
        }
        if whole <= CAPACITY {
            return Ok(false);
        }
        self.flight.pass(&expected, silent, deliver);
        let room = room_of(&self.flight, head.flags, head.body, deliver);
        let (mut body, len) = (Body::new(&head, answer_of(&head), room), head.len);
        body.key = key_of(&head, &expected).into_owned();
        self.buffer.consume(len);
        let room = room_of(&self.flight, body.flags(), body.len(), deliver);
        body.take(&mut self.buffer, room);
        self.body = Some(body);
        Ok(true)
    }

    #[inline(never)]
    fn advance_body(&mut self, deliver: &mut impl Deliver<O>) -> Result<bool, Broken> {
        let Some(body) = &mut self.body else { return Ok(false) };
        if !body.is_complete() && !self.buffer.is_empty() {
            let room = room_of(&self.flight, body.flags(), body.len(), deliver);
            body.take(&mut self.buffer, room);
        }
        let (tail, close) = (body.tail, body.close);
        if !body.is_complete() || self.buffer.len() < tail {
            return Ok(false);
        }
        check_line_end(&self.buffer.bytes()[..tail])?;
        self.buffer.consume(tail);
        let (Some(body), Some(expected)) = (self.body.take(), self.flight.current()) else { return Ok(false) };
        let mut reason = None;
        body.finish(|answer| {
            reason = close.then(|| closed(&answer));
            self.flight.answer(answer, deliver);
        });
        self.reply_done(expected, deliver);
        reason.map_or(Ok(true), Err)
    }

    /// The last key of a `get` is done with its END, any other reply by itself.
    fn reply_done(&mut self, expected: Expected, deliver: &mut impl Deliver<O>) {
        if expected.wire == Wire::TextGet && expected.last {
            self.awaiting_end = true;
        } else {
            self.flight.pop(deliver);
        }
    }

    /// END: the keys of this `get` that had no VALUE are misses.
    fn end_get(&mut self, deliver: &mut impl Deliver<O>) {
        if std::mem::take(&mut self.awaiting_end) {
            self.flight.answer_silent(0, deliver);
            return self.flight.pop(deliver);
        }
        let left = self.flight.ahead().iter().position(|expected| expected.last).map_or(0, |at| at + 1);
        self.flight.answer_silent(left, deliver);
    }

    /// An error line answers a whole `get`: all of it that has no answer yet has this one, and the stream is no longer
    /// known to be aligned.
    fn fail_get(&mut self, deliver: &mut impl Deliver<O>) -> Result<bool, Broken> {
        let Some(head) = text::decode(Command::Get, self.buffer.bytes())? else { return Ok(false) };
        let answered = std::mem::take(&mut self.awaiting_end);
        let answer = || Answer { detail: head.detail, ..answer_of(&head) };
        self.flight.settle(|_| answer(), deliver);
        while let Some(expected) = self.flight.current() {
            if !(answered && expected.last) {
                self.flight.answer(answer(), deliver);
            }
            self.flight.pop(deliver);
            if expected.last {
                break;
            }
        }
        let reason = head.close.then(|| closed(&answer()));
        let len = head.len;
        self.buffer.consume(len);
        reason.map_or(Ok(true), Err)
    }
}

/// Where the owner of the next reply wants its value.
fn room_of<'a, O>(flight: &Flight<O>, flags: u32, len: usize, deliver: &'a mut impl Deliver<O>) -> Room<'a> {
    match (flight.owner(), flight.current()) {
        (Some(owner), Some(expected)) => deliver.room(owner, expected.index, flags, len),
        _ => Room::Skip,
    }
}

/// Reads the head of the reply at the start of `bytes` and finds the operation that it answers.
/// `begun`: something of its reply was kept already.
fn identify<'a, O>(
    bytes: &'a [u8],
    flight: &Flight<O>,
    awaiting_end: bool,
    begun: bool,
) -> Result<Option<Reply<'a>>, Broken> {
    let Some(expected) = flight.current() else { return Ok(None) };
    let found = |silent: usize, expected: Expected, head: Head<'a>| Ok(Some(Reply { head, expected, silent }));
    match expected.wire {
        Wire::TextGet => {
            let Some(head) = text::decode(Command::Get, bytes)? else { return Ok(None) };
            if head.what != What::Item {
                return found(0, expected, head);
            }
            let run = if awaiting_end { &[] } else { flight.ahead() };
            match seek(run, |candidate| flight.key(candidate) == head.key, |candidate| !candidate.last) {
                Some(at) => found(at, run[at], head),
                None => Err(Violation::quoting("a value for a key that was not asked for", head.key).into()),
            }
        }
        Wire::Text | Wire::Meta if expected.quiet || expected.audience == Audience::Fence => {
            identify_quiet(bytes, flight.ahead())
        }
        Wire::Text => match text::decode(expected.command, bytes)? {
            Some(head) => found(0, expected, head),
            None => Ok(None),
        },
        Wire::Raw => match admin::decode_raw(flight.raw_end(), bytes, CAPACITY, begun)? {
            Some(head) => found(0, expected, head),
            None => Ok(None),
        },
        Wire::Meta | Wire::MetaAny => {
            let decode = if expected.wire == Wire::Meta { meta::decode } else { meta::decode_any };
            let Some(head) = decode(expected.command, bytes)? else { return Ok(None) };
            // Error lines alone have no opaque.
            let named = head.opaque.map_or(head.status.is_failure(), |opaque| opaque == expected.opaque);
            match named {
                true => found(0, expected, head),
                false => Err(Violation::quoting("a reply to another request", &bytes[..head.len]).into()),
            }
        }
        Wire::Binary => {
            let Some((opcode, opaque)) = binary::peek(bytes) else {
                let head = binary::decode(expected.command, bytes)?;
                return head.map_or(Ok(None), |head| found(0, expected, head));
            };
            let ahead = flight.ahead();
            let names = |candidate: &Expected| candidate.opaque == opaque && candidate.opcode == opcode;
            let Some(at) = seek(ahead, names, |candidate| candidate.quiet) else {
                return Err(Violation::quoting("a reply to another request", &bytes[..binary::HEADER]).into());
            };
            let head = binary::decode(ahead[at].command, bytes)?;
            head.map_or(Ok(None), |head| found(at, ahead[at], head))
        }
    }
}

/// The same among operations without reply over text or meta, up to their fence. An error that names none of them is the
/// first one's: all the same to who counts them.
fn identify_quiet<'a>(bytes: &'a [u8], ahead: &[Expected]) -> Result<Option<Reply<'a>>, Broken> {
    let Some(line) = quiet::read(bytes)? else { return Ok(None) };
    let is_it = |candidate: &Expected| match line {
        quiet::Line::Fence(_) => candidate.audience == Audience::Fence,
        quiet::Line::Named(opaque) => candidate.wire == Wire::Meta && candidate.opaque == opaque,
        quiet::Line::Unnamed => true,
    };
    let found = seek(ahead, is_it, |candidate| candidate.quiet).map(|silent| (silent, ahead[silent]));
    let head = match (line, found) {
        (quiet::Line::Fence(len), Some(_)) => Some(Head::new(len, What::Answer, Status::Ok)),
        (_, Some((_, expected))) if expected.audience != Audience::Fence => match expected.wire {
            Wire::Meta => meta::decode(expected.command, bytes)?,
            _ => text::decode(expected.command, bytes)?,
        },
        _ => None,
    };
    match (head, found) {
        (Some(head), Some((silent, expected))) if head.opaque.is_some() || is_silent(&head, &expected) => {
            Ok(Some(Reply { head, expected, silent }))
        }
        _ => Err(Violation::quoting("a reply that no operation awaits", bytes).into()),
    }
}

/// Whether a reply without opaque may come where no reply is awaited: an error may, and that of the fence.
fn is_silent(head: &Head<'_>, expected: &Expected) -> bool {
    head.status.is_failure() || expected.audience == Audience::Fence
}

/// Where in `ahead` the operation is that a reply names, if all before it may go without one.
fn seek(
    ahead: &[Expected],
    names: impl Fn(&Expected) -> bool,
    may_be_silent: impl Fn(&Expected) -> bool,
) -> Option<usize> {
    for (at, candidate) in ahead.iter().enumerate() {
        if names(candidate) {
            return Some(at);
        }
        if !may_be_silent(candidate) {
            return None;
        }
    }
    None
}

/// Keeps a part of an answer that comes in lines or parts.
fn keep(kept: &mut Vec<u8>, head: &Head<'_>, max: usize) -> Result<(), Broken> {
    if kept.len() + head.key.len() + head.detail.len() + 2 > max {
        let message = format!("the answer has more than {max} bytes, which is max_value_bytes");
        return Err(Broken { status: Status::TooLarge, message });
    }
    if !head.key.is_empty() {
        kept.extend_from_slice(head.key);
        kept.push(b' ');
    }
    kept.extend_from_slice(head.detail);
    if head.what == What::Line {
        kept.push(b'\n');
    }
    Ok(())
}

/// Whether an answer is more than a status, or a value as it came.
fn is_special(expected: &Expected) -> bool {
    expected.wire == Wire::MetaAny
        || matches!(
            expected.command,
            Command::Version | Command::Stats | Command::Metadump | Command::Meta | Command::Raw
        )
}

/// The answer to such a request.
#[inline(never)]
fn special<'a>(
    head: &Head<'a>,
    expected: &Expected,
    value: &'a [u8],
    kept: &mut Vec<u8>,
    max: usize,
) -> Result<Answer<'a>, Broken> {
    if head.status.is_failure() {
        *kept = Vec::new();
        return Ok(Answer { detail: head.detail, ..answer_of(head) });
    }
    if expected.wire == Wire::Raw {
        keep(kept, head, max)?;
    }
    let value = match expected.command {
        Command::Stats | Command::Metadump | Command::Raw => Value::Owned(std::mem::take(kept)),
        // Over text it is in the line itself.
        _ if value.is_empty() => Value::Borrowed(head.detail),
        _ => Value::Borrowed(value),
    };
    Ok(Answer { value, ..answer_of(head) })
}

/// The key of an answer that has one, as the caller has it. (Who says base64 in a raw command has it as he said it.)
#[inline]
fn key_of<'a>(head: &Head<'a>, expected: &Expected) -> Cow<'a, [u8]> {
    match expected.wire {
        Wire::MetaAny if head.by_base64 && expected.command != Command::Meta => {
            BASE64_STANDARD.decode(head.key).map_or(Cow::Borrowed(head.key), Cow::Owned)
        }
        Wire::MetaAny => Cow::Borrowed(head.key),
        _ => Cow::Borrowed(b""),
    }
}

/// The answer that a head gives, but for what borrows from the buffer.
fn answer_of(head: &Head<'_>) -> Answer<'static> {
    Answer {
        flags: head.flags,
        bits: head.bits | bits::SENT,
        cas: head.cas,
        number: head.number,
        ttl: head.ttl,
        size: head.size,
        last_access: head.last_access,
        fetched: head.fetched,
        ..Answer::new(head.status)
    }
}

/// Why the connection closes after a reply like this.
fn closed(answer: &Answer<'_>) -> Broken {
    let words = String::from_utf8_lossy(answer.detail);
    Broken { status: Status::Connection, message: format!("closed after the server said \"{words}\"") }
}

fn check_line_end(found: &[u8]) -> Result<(), Broken> {
    match found.is_empty() || found == b"\r\n" {
        true => Ok(()),
        false => Err(Violation::quoting("a value that does not end where it should", found).into()),
    }
}
