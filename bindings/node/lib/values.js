// Values: what JavaScript has, as bytes with a value type, and back. Which flags a type gets, and what is compressed, is the
// codec's business, in the library.
'use strict';

const { constants, Answer, answers, bytesAt, textAt, toBytes, kindOf } = require('./engine.js');
const { ArgumentError, DecodeError } = require('./errors.js');

const { TYPE_BYTES, TYPE_TEXT, TYPE_INTEGER, TYPE_LONG, TYPE_OBJECT } = constants;

/** Turns objects into bytes and back, where the user has no functions for it. */
const json = {
  serializer(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new ArgumentError(`value is ${kindOf(value)}, which JSON does not have`);
    return text;
  },
  deserializer: (bytes) => JSON.parse(bytes.toString()),
};

/** How the values of a client are made and read. */
class Values {
  /**
   * @param {boolean} typed the client has a codec, which keeps types apart
   * @param {object} options encoding, serializer, deserializer: as Client has them
   */
  constructor(typed, { encoding, serializer, deserializer }) {
    if (encoding !== undefined && !Buffer.isEncoding(encoding)) {
      throw new ArgumentError(`encoding is ${kindOf(encoding)}; one of Buffer's is accepted, such as 'utf8'`);
    }
    for (const [name, given] of Object.entries({ serializer, deserializer })) {
      if (given === undefined) continue;
      if (typeof given !== 'function') throw new ArgumentError(`${name} is ${kindOf(given)}; a function is accepted`);
      if (!typed) throw new ArgumentError(`${name} needs a codec: without one nothing tells objects from bytes`);
    }
    this.given = { encoding, serializer, deserializer };
    this.typed = typed;
    this.encoding = encoding;
    this.serializer = serializer ?? json.serializer;
    this.deserializer = deserializer ?? json.deserializer;
  }

  /** The type that a value is stored with. */
  typeOf(value) {
    switch (typeof value) {
      case 'string':
        return TYPE_TEXT;
      case 'bigint':
        return TYPE_INTEGER;
      case 'number':
        return Number.isSafeInteger(value) ? TYPE_INTEGER : TYPE_OBJECT;
      case 'boolean':
        return TYPE_OBJECT;
      case 'object':
        return toBytes(value) === undefined ? TYPE_OBJECT : TYPE_BYTES;
      default:
        throw new ArgumentError(`value is ${kindOf(value)}; strings, Buffers, numbers, bigints, booleans and objects are accepted`);
    }
  }

  /** A value of this type as a string or a Uint8Array. */
  encode(value, type) {
    if (type === TYPE_TEXT) return value;
    if (type === TYPE_BYTES) return toBytes(value);
    if (type === TYPE_INTEGER) return String(value);
    if (!this.typed) {
      throw new ArgumentError(`value is ${kindOf(value)}; without a codec only strings, Buffers and whole numbers are accepted`);
    }
    return this.serialized(value);
  }

  serialized(value) {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new ArgumentError(`value is ${value}, which would not come back`);
    }
    const serialized = this.serializer(value);
    if (typeof serialized === 'string') return serialized;
    const bytes = toBytes(serialized);
    if (bytes === undefined) throw new ArgumentError(`serializer answered with ${kindOf(serialized)}, not a string or a Buffer`);
    return bytes;
  }

  /** The value of the answer at `at`, in `encoding` where it is bytes. Throws a DecodeError. */
  decode(at, beside, encoding) {
    switch (answers[at + Answer.VALUE_TYPE]) {
      case TYPE_TEXT:
        return textAt(at, 'utf8', beside);
      case TYPE_INTEGER:
      case TYPE_LONG:
        return integerOf(textAt(at, 'latin1', beside));
      case TYPE_OBJECT:
        return this.deserialized(bytesAt(at, beside), answers[at + Answer.FLAGS]);
      default:
        return encoding === undefined ? bytesAt(at, beside) : textAt(at, encoding, beside);
    }
  }

  /** The value of bytes that are a Buffer's. */
  of(type, bytes, flags, encoding) {
    if (type === TYPE_TEXT) return bytes.toString();
    if (type === TYPE_INTEGER || type === TYPE_LONG) return integerOf(bytes.toString('latin1'));
    if (type === TYPE_OBJECT) return this.deserialized(bytes, flags);
    return encoding === undefined ? bytes : bytes.toString(encoding);
  }

  deserialized(bytes, flags) {
    try {
      return this.deserializer(bytes, flags);
    } catch (cause) {
      throw decodeError(`the value could not be deserialized: ${cause?.message ?? cause}`, cause);
    }
  }
}

/** A number where it is exact, else a bigint. */
function integerOf(digits) {
  const number = Number(digits);
  if (Number.isSafeInteger(number) && digits.trim() !== '') return number;
  try {
    return BigInt(digits.trim() === '' ? 'none' : digits);
  } catch (cause) {
    throw decodeError(`the value is no whole number: ${digits.slice(0, 40)}`, cause);
  }
}

function decodeError(message, cause) {
  return new DecodeError(message, { status: constants.E_DECODE, bits: constants.BIT_SENT, cause });
}

module.exports = { Values, decodeError };
