// Calls: the promise of an operation, or of many, and what its answers make of it. One class for each kind of result.
'use strict';

const { statsItems } = require('./native.js');
const {
  constants, Answer, answers, enter, leave, cancel, statusAt, casAt, numberAt, ttlAt, textAt,
} = require('./engine.js');
const { PartialError, errorOf } = require('./errors.js');
const { decodeError } = require('./values.js');

const { OK, NOT_FOUND, E_CANCELLED, E_UNKNOWN_COMMAND, BIT_STALE, BIT_WIN, BIT_WON_BY_OTHER, BIT_PARTLY } = constants;
const STATUS_NAMES = new Map();
for (const name of ['OK', 'NOT_FOUND', 'NOT_STORED', 'EXISTS']) STATUS_NAMES.set(constants[name], `BMEMC_${name}`);

/** The error of an answer whose status is negative. */
function failureAt(at, beside, status = statusAt(at)) {
  return errorOf(status, beside?.detail, {
    bits: answers[at + Answer.BITS], osError: answers[at + Answer.OS_ERROR] | 0, server: answers[at + Answer.SERVER],
  });
}

/** One operation and its promise. */
class Call {
  /** `resultOf(call, at, status, beside)`: what an answer that is no failure resolves it to. */
  constructor(session, resultOf) {
    this.resolve = undefined;
    this.reject = undefined;
    this.session = session;
    this.resultOf = resultOf;
    this.settings = undefined;
    this.slot = -1;
    this.stopListening = undefined;
    // A closure of each call's: compiled code needs none, where one for all would write to old memory.
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** How many operations it is. */
  get count() {
    return 1;
  }

  /** Begins to listen to its signal, once it is under way; it may have been refused at once. */
  follow(signal) {
    if (this.slot < 0) return;
    const abort = () => cancel(this, this.count);
    signal.addEventListener('abort', abort, { once: true });
    this.stopListening = () => signal.removeEventListener('abort', abort);
  }

  enter() {
    enter(this);
    this.session.enter();
  }

  leave() {
    leave(this);
    if (this.stopListening !== undefined) this.stopListening();
    this.session.leave();
  }

  answer(at, index, beside) {
    this.leave();
    try {
      const status = statusAt(at);
      if (status < 0) this.reject(this.failure(at, beside, status));
      else this.resolve(this.resultOf(this, at, status, beside));
    } catch (error) {
      this.reject(error);
    }
  }

  failure(at, beside, status) {
    const error = failureAt(at, beside, status);
    if (status === E_CANCELLED && this.settings?.signal?.aborted) error.cause = this.settings.signal.reason;
    return error;
  }

  value(at, beside) {
    const { values } = this.session;
    return values.decode(at, beside, this.settings?.encoding ?? values.encoding);
  }
}

// --- what answers are made into ----------------------------------------------

/** get: the value; a miss is undefined, or the default. */
function valueOf(call, at, status, beside) {
  return status === OK ? call.value(at, beside) : call.settings?.default;
}

/** gets: the value with all that is known of it. */
function itemOf(call, at, status, beside) {
  if (status === OK) return { value: call.value(at, beside), cas: casAt(at), flags: answers[at + Answer.FLAGS] };
  const { default: value, casDefault: cas } = call.settings;
  return value === undefined && cas === undefined ? undefined : { value, cas, flags: 0 };
}

/** Writes: whether it was done. */
function doneOf(call, at, status) {
  return status === OK;
}

/** cas: true, or false where the item has changed, or undefined where it is gone. */
function casOf(call, at, status) {
  return status === OK ? true : status === NOT_FOUND ? undefined : false;
}

/** Nothing but that it was done. */
function nothingOf() {
  return undefined;
}

/** Counters: a number; a miss is undefined. */
function counterOf(call, at, status) {
  const number = bigCounterOf(call, at, status);
  if (number === undefined) return undefined;
  if (number <= Number.MAX_SAFE_INTEGER) return Number(number);
  throw decodeError(`the counter is ${number}, which no number holds exactly: give the delta as a bigint to get one`);
}

/** The same as a bigint, where the delta was one. */
function bigCounterOf(call, at, status) {
  return status === OK ? numberAt(at) : undefined;
}

/** version and the like: the server's own words. */
function textOf(call, at, status, beside) {
  return textAt(at, 'utf8', beside);
}

/** Statistics by name, each read as the library says that it is to be read. */
function statsOf(text) {
  const all = Object.create(null);
  for (const [name, value, type] of statsItems(text)) all[name] = readers.get(type)?.(value) ?? value;
  return all;
}

const whole = (text) => (/^-?\d+$/.test(text) ? exact(text) : text);
const exact = (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text));
const readers = new Map([
  [constants.STAT_INTEGER, whole],
  [constants.STAT_FLOAT, Number],
  [constants.STAT_SECONDS, (text) => Number(text.replace(':', '.'))],
  [constants.STAT_SWITCH, (text) => text !== '0'],
  [constants.STAT_YES_NO, (text) => text === 'yes'],
  [constants.STAT_OCTAL, (text) => parseInt(text, 8)],
]);

/** call: everything that there is of an answer. */
function answerOf(call, at, status, beside) {
  const bits = answers[at + Answer.BITS];
  return {
    status: STATUS_NAMES.get(status) ?? String(status),
    value: answers[at + Answer.LENGTH] > 0 || status === OK ? call.value(at, beside) : undefined,
    key: beside?.key,
    flags: answers[at + Answer.FLAGS],
    cas: casAt(at),
    number: numberAt(at),
    ttl: ttlAt(at),
    size: answers[at + Answer.SIZE],
    lastAccess: answers[at + Answer.LAST_ACCESS],
    fetched: answers[at + Answer.FETCHED] === 1,
    server: answers[at + Answer.SERVER],
    detail: beside?.detail ?? '',
    stale: (bits & BIT_STALE) !== 0,
    win: (bits & BIT_WIN) !== 0,
    wonByOther: (bits & BIT_WON_BY_OTHER) !== 0,
    partly: (bits & BIT_PARTLY) !== 0,
  };
}

// --- many operations ---------------------------------------------------------

/** Many operations with one promise: `keys[i]` is what operation i is about. */
class ManyCall extends Call {
  keys = [];
  left = 0;
  results = [];
  errors = undefined;

  about(keys) {
    this.keys = keys;
    this.left = keys.length;
    this.results = new Array(keys.length);
  }

  get count() {
    return this.keys.length;
  }

  answer(at, index, beside) {
    try {
      const status = statusAt(at);
      if (status < 0) this.fail(index, this.failure(at, beside, status));
      else this.results[index] = this.resultOf(this, at, status, beside);
    } catch (error) {
      this.fail(index, error);
    }
    if (--this.left === 0) this.finish();
  }

  /** Operation `index` was never under way. */
  failed(index, error) {
    this.fail(index, error);
    if (--this.left === 0) this.finish();
  }

  fail(index, error) {
    this.errors ??= new Map();
    this.errors.set(this.keys[index], error);
  }

  finish() {
    this.leave();
    if (this.errors === undefined) this.resolve(this.all());
    else this.reject(new PartialError(this.errors, this.found(), this.keys.length));
  }

  /** What was answered, by key, without misses. */
  found() {
    const found = new Map();
    const { keys, results } = this;
    for (let i = 0; i < keys.length; i++) if (results[i] !== undefined) found.set(keys[i], results[i]);
    return found;
  }

  all() {
    return this.found();
  }
}

/** setMany: nothing. */
class SetManyCall extends ManyCall {
  all() {
    return undefined;
  }
}

/** deleteMany: how many there were. */
class DeleteManyCall extends ManyCall {
  all() {
    return this.results.filter(Boolean).length;
  }
}

/** stats: what each server tells. */
class StatsCall extends ManyCall {
  constructor(session, argument) {
    super(session, (call, at, status, beside) => statsOf(textAt(at, 'latin1', beside)));
    this.argument = argument;
  }

  failure(at, beside, status) {
    const error = super.failure(at, beside, status);
    if (status === E_UNKNOWN_COMMAND) error.message = `stats ${this.argument}: ${error.message}`;
    return error;
  }
}

/** execute: answer i for operation i, a failure too. */
class AnswersCall extends ManyCall {
  finish() {
    this.leave();
    this.resolve(this.results);
  }

  fail(index, error) {
    this.results[index] = { status: error.code, error };
  }
}

module.exports = {
  Call, valueOf, itemOf, doneOf, casOf, nothingOf, counterOf, bigCounterOf, textOf, answerOf,
  ManyCall, SetManyCall, DeleteManyCall, AnswersCall, StatsCall,
};
