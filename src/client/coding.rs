//! What a client with a codec does around the route: values are encoded before their operations go out, and decoded when
//! all answers are in, so that compressors run on the caller's thread and hold nobody up. A client without a codec never
//! comes here.

use super::options::Options;
use super::sinks::Picked;
use super::Client;
use crate::error::Result;
use crate::error::{bits, Error, Status};
use crate::operation::{op_flags, Answer, Command, Operation, Room, Sink, Value};
use crate::value::{Codec, Coder, Encoded};
use std::borrow::Cow;

/// The coder of a client with these options, if it has a codec.
pub(super) fn coder(options: &Options) -> Option<Coder> {
    (options.codec != Codec::None).then(|| Coder {
        codec: options.codec,
        compression: options.compression,
        threshold: options.compress_threshold,
        level: options.compress_level,
        max: options.max_decompressed_bytes,
        compressor: options.compressor.clone(),
    })
}

/// Whether the value of an operation is to be encoded.
pub(super) fn is_encoded(operation: &Operation<'_>) -> bool {
    matches!(operation.command, Command::Set | Command::Add | Command::Replace)
        && operation.op_flags & op_flags::EXPLICIT_FLAGS == 0
}

/// Whether the value of its answer is to be decoded.
pub(super) fn is_decoded(operation: &Operation<'_>) -> bool {
    matches!(operation.command, Command::Get | Command::GetAndTouch)
        && operation.op_flags & op_flags::EXPLICIT_FLAGS == 0
}

/// The value and the flags that an operation goes out with.
pub(super) fn encode<'a>(coder: &Coder, operation: &Operation<'a>) -> Result<Encoded<'a>> {
    if !is_encoded(operation) {
        return Ok(Encoded { value: Cow::Borrowed(operation.value), flags: operation.flags });
    }
    if operation.flags != 0 {
        let (flags, codec) = (operation.flags, coder.codec.name());
        let words =
            format!("flags is {flags}, but codec {codec} makes them from value_type; EXPLICIT_FLAGS is without it");
        return Err(Error::argument(words).with_bits(bits::NOT_SENT));
    }
    coder.encode(operation.value, operation.value_type, operation.compress_level)
}

/// Decodes the value of an answer that is a hit, and hands the answer on.
pub(super) fn decode(coder: &Coder, mut answer: Answer<'_>, hand_out: impl FnOnce(Answer<'_>)) {
    let stored = match std::mem::replace(&mut answer.value, Value::NONE) {
        Value::Borrowed(bytes) => Cow::Borrowed(bytes),
        Value::Owned(bytes) => Cow::Owned(bytes),
        Value::Placed(_) | Value::Skipped(_) => Cow::default(),
    };
    match coder.decode(stored, answer.flags) {
        Ok(decoded) => {
            let value = match decoded.value {
                Cow::Borrowed(bytes) => Value::Borrowed(bytes),
                Cow::Owned(bytes) => Value::Owned(bytes),
            };
            hand_out(Answer { value, value_type: decoded.value_type.code(), ..answer });
        }
        Err(error) => {
            let (flags, server, cas) = (answer.flags, answer.server, answer.cas);
            hand_out(Answer { flags, server, cas, ..Answer::failed(&error) });
        }
    }
}

/// Runs operations as `Client::execute` does.
#[cold]
pub(super) fn execute(client: &Client, coder: &Coder, operations: &[Operation<'_>], sink: &mut dyn Sink) {
    let mut decoding = Decoding { coder, operations, sink, kept: Vec::new() };
    if operations.iter().any(is_encoded) {
        run_encoded(client, coder, operations, &mut decoding);
    } else {
        client.run(operations, &mut decoding);
    }
    decoding.finish();
}

/// Runs operations with their values encoded; one whose value cannot be fails alone.
fn run_encoded(client: &Client, coder: &Coder, operations: &[Operation<'_>], decoding: &mut Decoding<'_, '_>) {
    let encoded: Vec<_> = operations.iter().map(|operation| encode(coder, operation)).collect();
    let (mut going, mut indices) = (Vec::with_capacity(encoded.len()), Vec::with_capacity(encoded.len()));
    for (index, (operation, encoded)) in operations.iter().zip(&encoded).enumerate() {
        match encoded {
            Ok(Encoded { value, flags }) => {
                going.push(Operation { value, flags: *flags, ..*operation });
                indices.push(index);
            }
            Err(error) => decoding.sink.answer(index, Answer::failed(error)),
        }
    }
    if !going.is_empty() {
        client.run(&going, &mut Picked { sink: decoding, indices: &indices });
    }
}

/// Hands answers on; those whose values are to be decoded once all have come.
struct Decoding<'a, 'b> {
    coder: &'a Coder,
    operations: &'a [Operation<'b>],
    sink: &'a mut dyn Sink,
    kept: Vec<(usize, Answer<'static>)>,
}

impl Decoding<'_, '_> {
    fn is_decoded(&self, index: usize) -> bool {
        self.operations.get(index).is_some_and(is_decoded)
    }

    fn finish(self) {
        for (index, answer) in self.kept {
            decode(self.coder, answer, |answer| self.sink.answer(index, answer));
        }
    }
}

impl Sink for Decoding<'_, '_> {
    fn room(&mut self, index: usize, flags: u32, len: usize) -> Room<'_> {
        match self.is_decoded(index) && self.coder.is_plain(flags).is_none() {
            true => Room::Collect,
            false => self.sink.room(index, flags, len),
        }
    }

    fn answer(&mut self, index: usize, answer: Answer<'_>) {
        if answer.status != Status::Ok || !self.is_decoded(index) {
            return self.sink.answer(index, answer);
        }
        match self.coder.is_plain(answer.flags) {
            Some(value_type) => self.sink.answer(index, Answer { value_type: value_type.code(), ..answer }),
            None => self.kept.push((index, kept(answer))),
        }
    }
}

/// The answer of a read, which refers to nothing.
fn kept(answer: Answer<'_>) -> Answer<'static> {
    let value = match answer.value {
        Value::Borrowed(bytes) => Value::Owned(bytes.to_vec()),
        Value::Owned(bytes) => Value::Owned(bytes),
        Value::Placed(len) => Value::Placed(len),
        Value::Skipped(len) => Value::Skipped(len),
    };
    Answer {
        flags: answer.flags,
        bits: answer.bits,
        server: answer.server,
        cas: answer.cas,
        ttl: answer.ttl,
        value,
        ..Answer::new(answer.status)
    }
}
