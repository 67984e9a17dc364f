// Settings: what a call can be told beside its key and value, checked once and read before anything is written.
'use strict';

const { constants, nameOf, kindOf } = require('./engine.js');
const { ArgumentError } = require('./errors.js');

const { FLAG_NO_REPLY, FLAG_WANT_REPLY, FLAG_WANT_CAS, FLAG_CREATE, FLAG_EXPLICIT_FLAGS } = constants;
const MAX_U64 = 2n ** 64n - 1n;

/** The fields of an operation that are not its key and value, and what becomes of its answer. */
class Settings {
  opFlags = 0;
  flags = 0;
  timeoutMs = 0;
  compressLevel = 0;
  server = 0; // one more than the index; 0: those that have the key
  ttl = 0;
  cas = 0n;
  delta = 0n;
  initial = 0n;
  routingKey = '';
  metaFlags = '';
  // Not for the library:
  signal = undefined;
  encoding = undefined;
  default = undefined;
  casDefault = undefined;
}

function refuse(name, value, accepted) {
  return new ArgumentError(`${name} is ${kindOf(value)}; ${accepted} is accepted`);
}

function whole(name, value, from, to) {
  if (Number.isInteger(value) && value >= from && value <= to) return value;
  throw refuse(name, value, `a whole number from ${from} to ${to}`);
}

function truth(name, value) {
  if (typeof value === 'boolean') return value;
  throw refuse(name, value, 'true or false');
}

function text(name, value) {
  if (typeof value === 'string') return value;
  throw refuse(name, value, 'a string');
}

/** Any unsigned number of 64 bits, as a bigint. */
function unsigned(name, value) {
  const big = typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value) : -1n;
  if (big >= 0n && big <= MAX_U64) return big;
  throw refuse(name, value, 'a whole number or bigint from 0 to 18446744073709551615');
}

function bit(settings, name, value, flag) {
  if (truth(name, value)) settings.opFlags |= flag;
}

/** How each option is read: (settings, value, name). */
const readers = {
  ttl(settings, value, name) {
    if (!Number.isSafeInteger(value)) throw refuse(name, value, 'a whole number of seconds, 0 for no end, below 0 for gone at once,');
    settings.ttl = value;
  },
  flags(settings, value, name) {
    settings.flags = whole(name, value, 0, 0xffffffff) | 0;
    settings.opFlags |= FLAG_EXPLICIT_FLAGS;
  },
  cas: (settings, value, name) => (settings.cas = unsigned(name, value)),
  delta: (settings, value, name) => (settings.delta = unsigned(name, value)),
  level: (settings, value, name) => (settings.delta = BigInt(whole(name, value, 0, 0xffffffff))),
  megabytes: (settings, value, name) => (settings.delta = unsigned(name, value)),
  initial(settings, value, name) {
    settings.initial = unsigned(name, value);
    settings.opFlags |= FLAG_CREATE;
  },
  raw: (settings, value, name) => bit(settings, name, value, FLAG_EXPLICIT_FLAGS),
  noReply(settings, value, name) {
    settings.opFlags |= truth(name, value) ? FLAG_NO_REPLY : FLAG_WANT_REPLY;
  },
  wantCas: (settings, value, name) => bit(settings, name, value, FLAG_WANT_CAS),
  timeoutMs: (settings, value, name) => (settings.timeoutMs = whole(name, value, 1, 86_400_000)),
  compressLevel: (settings, value, name) => (settings.compressLevel = whole(name, value, -1, 9)),
  server: (settings, value, name) => (settings.server = whole(name, value, 0, 0x7ffffffe) + 1),
  routingKey: (settings, value, name) => (settings.routingKey = nameOf(value, name)),
  metaFlags: (settings, value, name) => (settings.metaFlags = nameOf(value, name)),
  signal(settings, value, name) {
    if (typeof value?.addEventListener !== 'function') throw refuse(name, value, 'an AbortSignal');
    settings.signal = value;
  },
  encoding(settings, value, name) {
    if (!Buffer.isEncoding(value)) throw refuse(name, value, "one of Buffer's encodings, such as 'utf8',");
    settings.encoding = value;
  },
  default: (settings, value) => (settings.default = value),
  casDefault: (settings, value) => (settings.casDefault = value),
};

const everywhere = ['timeoutMs', 'signal', 'routingKey'];

/** A reader of the options that one kind of call accepts, beside those that all operations do. */
function accepts(...names) {
  return acceptsOnly(...everywhere, ...names);
}

function acceptsOnly(...names) {
  const accepted = new Set(names);
  return (options) => {
    if (typeof options !== 'object' || options === null) throw refuse('options', options, 'an object');
    const settings = new Settings();
    for (const name of Object.keys(options)) {
      const value = options[name];
      if (value === undefined) continue;
      if (!accepted.has(name)) throw new ArgumentError(`there is no option ${name} here; there are ${[...accepted].join(', ')}`);
      readers[name](settings, value, name);
    }
    return settings;
  };
}

module.exports = { Settings, accepts, acceptsOnly, readers, refuse, text, truth, unsigned, whole };
