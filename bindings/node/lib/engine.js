// The engine: calls in, answers out. Requests are written into tables that the addon reads, all that were begun in one turn
// of the event loop are submitted together, and the addon calls back once for all answers that came. It knows how bytes cross
// and which call an answer is for, and nothing of what they mean.
'use strict';

const { isAnyArrayBuffer, isUint8Array } = require('node:util/types');
const { markAsUntransferable } = require('node:worker_threads');
const { create, constants } = require('./native.js');
const { ArgumentError } = require('./errors.js');

// Fake timers of test runners replace it; answers must come all the same.
const { nextTick } = process;

// --- the tables, as src/addon.h has them; places are counted in 32-bit words -

const REQUESTS = 1024;
const REQUEST_WORDS = 24;
const REQUEST_BYTES = 256 << 10;
const NAME_BYTES = 64 << 10;
const ANSWERS = 1024;
const ANSWER_WORDS = 20;
const SLABS = 64; // of each size
const SLAB_BYTES = [8 << 10, 32 << 10];

// Places in a request.
const CLIENT = 0;
const SLOT = 1;
const INDEX = 2;
const OPCODE = 3;
const OP_FLAGS = 4;
const FLAGS = 5;
const VALUE_TYPE = 6;
const TIMEOUT_MS = 7;
const COMPRESS_LEVEL = 8;
const START = 9;
const KEY_LEN = 10;
const VALUE_LEN = 11;
const ROUTING_KEY_LEN = 12;
const META_FLAGS_LEN = 13;
const SERVER = 14;
const KEY_START = 15;
const CAS = 16;
const DELTA = 18;
const INITIAL = 20;
const TTL = 22;

/** Places in an answer, for those who make results. */
const Answer = Object.freeze({
  SLOT: 0, INDEX: 1, STATUS: 2, OFFSET: 3, LENGTH: 4, FLAGS: 5, VALUE_TYPE: 6, BITS: 7, CAS: 8, NUMBER: 10, TTL: 12,
  SERVER: 14, OS_ERROR: 15, SIZE: 16, LAST_ACCESS: 17, FETCHED: 18, SLAB: 19,
});

const memory = {
  counts: new ArrayBuffer((10 + 2 * SLABS) * 4),
  requests: new ArrayBuffer(REQUESTS * REQUEST_WORDS * 4),
  requestBytes: new ArrayBuffer(REQUEST_BYTES),
  answers: new ArrayBuffer(2 * ANSWERS * ANSWER_WORDS * 4),
};
const counts = new Uint32Array(memory.counts);
const COUNT = 0;
const USED = 1;
const AWAKE = 2;
const EVENTS = 3;
const SLAB_COUNT = 4;
const CURRENT = 6;
const MISSED = 8;
const SLAB_USED = 10;
const requests = new Int32Array(memory.requests);
const requests64 = new BigUint64Array(memory.requests);
const requestsF64 = new Float64Array(memory.requests);
const bytes = Buffer.from(memory.requestBytes);
const answers = new Uint32Array(memory.answers);
const signed = new Int32Array(memory.answers);
const answers64 = new BigUint64Array(memory.answers);
const answersI64 = new BigInt64Array(memory.answers);

// --- requests ----------------------------------------------------------------

/** Longer values are not copied into the table: they are submitted at once, from where they are. */
const LARGE = 64 << 10;
/** Nothing that names something is longer; the library says what it accepts. */
const MAX_NAME = 4096;
/** Up to here a loop is faster than a call of Buffer's. */
const SHORT = 48;

/** The client of a request whose key has no UTF-8. */
const NOT_UNICODE = -3;

/**
 * The keys of requests that are not submitted yet, one behind the other. Written together they take a quarter of the time that
 * they take one by one.
 */
let names = '';

/** Writes the keys to where the request bytes have room for them. */
function writeNames() {
  if (bytes.utf8Write(names, 0, NAME_BYTES) !== names.length) writeEachName();
  names = '';
}

/** The same where some have characters of several bytes, so that those behind them stand elsewhere. */
function writeEachName() {
  let end = 0;
  for (let at = 0; at < counts[COUNT] * REQUEST_WORDS; at += REQUEST_WORDS) {
    const start = requests[at + KEY_START];
    if (start >= NAME_BYTES) continue; // it was a Buffer
    const name = names.slice(start, start + requests[at + KEY_LEN]);
    requests[at + KEY_START] = end;
    end += requests[at + KEY_LEN] = bytes.utf8Write(name, end, NAME_BYTES - end);
    // Two different keys would become one.
    if (!name.isWellFormed()) requests[at + CLIENT] = NOT_UNICODE;
  }
}

/** Writes text in UTF-8 behind what is in the request bytes; answers with its length. */
function putText(text, start, what) {
  const { length } = text;
  if (length > SHORT) return putLongText(text, start, what);
  let all = 0;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    all |= unit;
    bytes[start + i] = unit;
  }
  return all < 128 ? length : putLongText(text, start, what);
}

function putLongText(text, start, what) {
  // Half a surrogate pair has no UTF-8: two different keys would become one.
  if (!text.isWellFormed()) throw new ArgumentError(`${what} is not well-formed Unicode: half a surrogate pair`);
  return bytes.utf8Write(text, start);
}

/** Writes a string or a Uint8Array; answers with its length. */
function put(from, start, what) {
  if (typeof from === 'string') return putText(from, start, what);
  bytes.set(from, start);
  return from.length;
}

/** A key, or what else names something, as a string or a Uint8Array. */
function nameOf(name, what) {
  if (typeof name !== 'string') {
    name = toBytes(name);
    const given = arguments[0];
    if (name === undefined) throw new ArgumentError(`${what} is ${what === 'password' ? typeof given : kindOf(given)}; a string or a Buffer is accepted`);
  }
  if (name.length > MAX_NAME) {
    const most = what === 'key' ? `a key has 1 to 250, and up to ${MAX_NAME} where longKeys hashes it` : `it may have ${MAX_NAME}`;
    throw new ArgumentError(`${what} has ${name.length} bytes or more; ${most}`);
  }
  return name;
}

/** The bytes of a Buffer, of any other view or of an ArrayBuffer, from whatever realm; undefined: it is none. */
function toBytes(value) {
  if (isUint8Array(value)) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return isAnyArrayBuffer(value) ? new Uint8Array(value) : undefined;
}

/** What a value is, in words. */
function kindOf(value) {
  if (value === null || value === undefined) return `${value}`;
  if (typeof value === 'object') return `an object (${value.constructor?.name ?? 'without a prototype'})`;
  return `a ${typeof value} (${String(value).slice(0, 50)})`;
}

/**
 * So many requests go out at once while a turn makes more of them: the server is at work on these meanwhile. It answers them
 * together, and these answers are fetched together. Parts of 64 take 3 % less processor time at 64 in flight, and are a fifth slower.
 */
const PART = 32;
let part = PART;

/** From now on a turn's requests go out together, and so over one connection where there are several. */
function keepTurnsWhole() {
  part = REQUESTS;
}

let inside = false;

/** A function of the user's that the library calls in the middle of its work: it must not begin an operation meanwhile. */
function guarded(call) {
  return (...args) => {
    inside = true;
    try {
      return call(...args);
    } finally {
      inside = false;
    }
  };
}

/**
 * Begins an operation of `call`, its `index`th: it is submitted with the others of this turn of the loop. `value` is a
 * string, a Uint8Array, or undefined; `settings` is what a call was told beside, or undefined. Throws an ArgumentError, and
 * nothing was begun.
 */
function begin(call, index, client, opcode, key, value, valueType, settings) {
  if (inside) throw new ArgumentError('a compressor or route function cannot use a client: the library waits for its answer');
  let large;
  if (value !== undefined && value.length > LARGE) {
    large = typeof value === 'string' ? wellFormed(value) : value;
    value = undefined;
  }
  const isName = typeof key === 'string';
  const needed = 3 * ((isName ? 0 : key.length) + (value === undefined ? 0 : value.length) + (settings === undefined ? 0 : 2 * MAX_NAME));
  if (counts[COUNT] === REQUESTS || counts[USED] + needed > REQUEST_BYTES || 3 * (names.length + key.length) > NAME_BYTES) flush();
  const at = counts[COUNT] * REQUEST_WORDS;
  let end = counts[USED];
  if (!isName) {
    bytes.set(key, end);
    requests[at + KEY_START] = end;
    end += key.length;
  }
  const start = end;
  try {
    if (value !== undefined) end += requests[at + VALUE_LEN] = put(value, end, 'value');
    if (settings !== undefined) end += putSettings(at, end, settings);
  } catch (error) {
    requests.fill(0, at, at + REQUEST_WORDS);
    throw error;
  }
  if (isName) {
    requests[at + KEY_START] = names.length;
    names += key;
  }
  requests[at + KEY_LEN] = key.length;
  requests[at + CLIENT] = client;
  requests[at + SLOT] = call.slot;
  requests[at + INDEX] = index;
  requests[at + OPCODE] = opcode;
  requests[at + VALUE_TYPE] = valueType;
  requests[at + START] = start;
  counts[USED] = end;
  const count = ++counts[COUNT];
  if (large !== undefined || count === part) flush(large);
  else if (count === 1 && counts[AWAKE] === 0) nextTick(flush);
}

function wellFormed(text) {
  if (!text.isWellFormed()) throw new ArgumentError('value is not well-formed Unicode: half a surrogate pair');
  return Buffer.from(text);
}

/** Writes what a call was told beside its key and value; answers with how many bytes it took. */
function putSettings(at, start, settings) {
  let length = 0;
  requests[at + OP_FLAGS] = settings.opFlags;
  requests[at + FLAGS] = settings.flags;
  requests[at + TIMEOUT_MS] = settings.timeoutMs;
  requests[at + COMPRESS_LEVEL] = settings.compressLevel;
  requests[at + SERVER] = settings.server;
  if (settings.ttl !== 0) requestsF64[(at + TTL) / 2] = settings.ttl;
  if (settings.cas !== 0n) requests64[(at + CAS) / 2] = settings.cas;
  if (settings.delta !== 0n) requests64[(at + DELTA) / 2] = settings.delta;
  if (settings.initial !== 0n) requests64[(at + INITIAL) / 2] = settings.initial;
  if (settings.routingKey !== '') {
    length += requests[at + ROUTING_KEY_LEN] = put(settings.routingKey, start, 'routingKey');
  }
  if (settings.metaFlags !== '') {
    length += requests[at + META_FLAGS_LEN] = put(settings.metaFlags, start + length, 'metaFlags');
  }
  return length;
}

/** Submits what was begun, with the value of the last one where it is large. */
function flush(large) {
  if (counts[COUNT] === 0) return;
  writeNames();
  const words = [];
  const refused = native.submit(words, large);
  for (let i = 0; i < refused; i++) settle((ANSWERS + i) * ANSWER_WORDS, { detail: words[i] });
  if (counts[EVENTS] !== 0) takeEvents();
}

// --- calls and answers -------------------------------------------------------

const calls = [];
const freeSlots = [];

/** Gives a call its place; it is freed with `leave`. */
function enter(call) {
  const slot = freeSlots.length > 0 ? freeSlots.pop() : calls.length;
  calls[slot] = call;
  call.slot = slot;
}

function leave(call) {
  calls[call.slot] = undefined;
  freeSlots.push(call.slot);
  call.slot = -1;
}

/** Has operations 0 to `count` - 1 of a call answered at once, as cancelled. */
function cancel(call, count) {
  flush();
  native.cancel(call.slot, count);
}

function settle(at, beside) {
  calls[answers[at]].answer(at, answers[at + 1], beside);
}

function onAnswers(count, beside) {
  if (beside === undefined) for (let i = 0; i < count; i++) settle(i * ANSWER_WORDS, undefined);
  else for (let i = 0; i < count; i++) settle(i * ANSWER_WORDS, beside[i]);
  renewSlabs(0);
  renewSlabs(1);
  if (counts[EVENTS] !== 0) takeEvents();
}

const statusAt = (at) => signed[at + 2];
const casAt = (at) => answers64[(at + Answer.CAS) / 2];
const numberAt = (at) => answers64[(at + Answer.NUMBER) / 2];
const ttlAt = (at) => Number(answersI64[(at + Answer.TTL) / 2]);

// --- values ------------------------------------------------------------------

/** What Buffer's own methods make: a Buffer of a part of an ArrayBuffer, without a look at what it was given. */
const FastBuffer = fastBuffer(Buffer[Symbol.species]);

/** The same by a documented way, should a version of Node have another species. */
function fastBuffer(species) {
  const isIt = typeof species === 'function' && species !== Buffer && species.prototype === Buffer.prototype;
  return isIt ? species : function (piece, start, length) { return Buffer.from(piece, start, length); };
}

/**
 * Values share slabs with their neighbours, as Buffers of Buffer's pool do: up to 4 KB they are in slabs of 8 KB, up to 16 KB in
 * slabs of 32 KB; longer ones have memory of their own. The addon fills one after the other, in a circle.
 */
const slabs = [];
/** The ArrayBuffer of each, and how far it is a Buffer that somebody has. */
const slabMemory = [];
const kept = new Uint32Array(2 * SLABS);
/** The slabs of each size that were being filled when the last answers had come. */
const filling = [0, 0];

/** Puts fresh memory, which is not cleared, in the place of a slab. */
function takeSlab(number) {
  const slab = Buffer.allocUnsafeSlow(SLAB_BYTES[number < SLABS ? 0 : 1]);
  // A worker that was given it for one value would take the others along.
  markAsUntransferable(slab.buffer);
  slabs[number] = slab;
  slabMemory[number] = slab.buffer;
  kept[number] = 0;
  native.slab(number, slab.buffer);
}

/** Behind a fetch: slabs of a size that are full are left to those who have Buffers of them; what nobody has is filled anew. */
function renewSlabs(kind) {
  const current = counts[CURRENT + kind];
  for (let place = filling[kind]; place !== current; place = (place + 1) % counts[SLAB_COUNT + kind]) {
    const number = kind * SLABS + place;
    if (kept[number] > 0) takeSlab(number);
    else counts[SLAB_USED + number] = 0;
  }
  filling[kind] = current;
  counts[SLAB_USED + kind * SLABS + current] = kept[kind * SLABS + current];
  if (counts[MISSED + kind] > 0) addSlabs(kind);
}

/** Values of a size have found no slab: twice as many, from now on. */
function addSlabs(kind) {
  const before = counts[SLAB_COUNT + kind];
  const now = Math.min(Math.max(4, 2 * before), SLABS);
  for (let place = before; place < now; place++) takeSlab(kind * SLABS + place);
  counts[SLAB_COUNT + kind] = now;
  counts[MISSED + kind] = 0;
}

/** An answer's value as a Buffer of its own. */
function bytesAt(at, beside) {
  const offset = signed[at + Answer.OFFSET];
  if (offset < 0) return beside?.value ?? Buffer.alloc(0);
  const length = answers[at + Answer.LENGTH];
  const number = answers[at + Answer.SLAB];
  kept[number] = offset + length;
  return new FastBuffer(slabMemory[number], offset, length);
}

/** An answer's value as a string. */
function textAt(at, encoding, beside) {
  const offset = signed[at + Answer.OFFSET];
  if (offset < 0) return beside?.value?.toString(encoding) ?? '';
  const slab = slabs[answers[at + Answer.SLAB]];
  const end = offset + answers[at + Answer.LENGTH];
  return encoding === 'utf8' ? slab.utf8Slice(offset, end) : slab.toString(encoding, offset, end);
}

// --- events ------------------------------------------------------------------

const listeners = new Map();

/** Has `told(event)` of a client's listener called, outside of everything else; the listener may be collected meanwhile. */
function listen(client, listener) {
  listeners.set(client, new WeakRef(listener));
}

function takeEvents() {
  const events = native.events();
  nextTick(() => events.forEach((event) => listeners.get(event.client)?.deref()?.told(event)));
}

const native = create(memory, onAnswers, flush);

module.exports = {
  native, constants, Answer, answers, enter, leave, begin, guarded, flush, keepTurnsWhole, cancel, nameOf, toBytes, kindOf,
  statusAt, casAt, numberAt, ttlAt, bytesAt, textAt, listen,
};
