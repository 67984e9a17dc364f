// Errors: a class for each status that is a failure, made from what bmemc.h calls them. A miss is never one of them.
'use strict';

const { statusText, constants } = require('./native.js');
const { inCamel } = require('./names.js');

/** What every error of this package is. */
class BmemcError extends Error {
  /**
   * @param {string} message the value at fault and what is accepted, or the server's own words
   * @param {object} [about] status, bits, osError, server, cause
   */
  constructor(message, { status = constants.E_ARGUMENT, bits = constants.BIT_NOT_SENT, osError = 0, server, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    /** The status as bmemc.h names it, such as BMEMC_E_TIMEOUT. */
    this.code = statusText(status)[0];
    this.status = status;
    /** The request left this process in full. */
    this.sent = (bits & constants.BIT_SENT) !== 0;
    /** Not one byte of the request was sent: doing it again is safe. */
    this.notSent = (bits & constants.BIT_NOT_SENT) !== 0;
    /** The server may or may not have done it. */
    this.outcomeUnknown = (bits & constants.BIT_UNKNOWN_OUTCOME) !== 0;
    /** errno of the system call that failed, else 0. */
    this.osError = osError;
    /** Index of the server that it is about; undefined where there is none. */
    this.server = server;
  }

  get name() {
    return this.constructor.name;
  }
}

class ArgumentError extends BmemcError {}
class TimeoutError extends BmemcError {}
class DnsError extends BmemcError {}
class ConnectionError extends BmemcError {}
class TlsError extends BmemcError {}
class AuthError extends BmemcError {}
class ProtocolError extends BmemcError {}
class ClientError extends BmemcError {}
class ServerError extends BmemcError {}
class UnknownCommandError extends BmemcError {}
class TooLargeError extends BmemcError {}
class BufferError extends BmemcError {}
class BusyError extends BmemcError {}
class DecodeError extends BmemcError {}
class ClosedError extends BmemcError {}
class ForkedError extends BmemcError {}
class BugError extends BmemcError {}
class UnsupportedError extends BmemcError {}

/** The signal of a call was aborted. It is named AbortError, as everywhere in Node; `cause` is the signal's reason. */
class CancelledError extends BmemcError {
  get name() {
    return 'AbortError';
  }
}

/** Some keys of a call about many failed: `errors` has a Map of these, `values` a Map of what was answered. */
class PartialError extends BmemcError {
  constructor(errors, values, of) {
    const [first] = errors.values();
    super(`${errors.size} of ${of} failed, the first: ${first.message}`, { ...bitsOf(first), cause: first });
    this.errors = errors;
    this.values = values;
  }
}

function bitsOf({ status, sent, notSent, outcomeUnknown, osError, server }) {
  const { BIT_SENT, BIT_NOT_SENT, BIT_UNKNOWN_OUTCOME } = constants;
  const bits = (sent && BIT_SENT) | (notSent && BIT_NOT_SENT) | (outcomeUnknown && BIT_UNKNOWN_OUTCOME);
  return { status, bits, osError, server };
}

const classes = {
  ArgumentError, TimeoutError, DnsError, ConnectionError, TlsError, AuthError, ProtocolError, ClientError, ServerError,
  UnknownCommandError, TooLargeError, BufferError, BusyError, DecodeError, CancelledError, ClosedError, ForkedError, BugError,
  UnsupportedError,
};

/** E_UNKNOWN_COMMAND is UnknownCommandError. */
function classOf(name) {
  const words = name.slice('E_'.length).toLowerCase().split('_');
  const camel = words.map((word) => word[0].toUpperCase() + word.slice(1)).join('');
  return classes[camel.endsWith('Error') ? camel : `${camel}Error`];
}

const byStatus = new Map(
  Object.entries(constants).filter(([name]) => name.startsWith('E_')).map(([name, status]) => [status, classOf(name)]),
);

/** The error for a status that is negative. */
function errorOf(status, message, about) {
  const Class = byStatus.get(status) ?? BmemcError;
  const { bits = 0, osError = 0, server, cause } = about ?? {};
  return new Class(message ? inCamel(message) : statusText(status)[1], { status, bits, osError, server, cause });
}

/** What the addon threw, as an error of this package. */
function rethrown(error) {
  return Number.isInteger(error?.status) ? errorOf(error.status, error.message, error) : error;
}

/** Calls the addon. */
function checked(call, ...args) {
  try {
    return call(...args);
  } catch (error) {
    throw rethrown(error);
  }
}

module.exports = { BmemcError, PartialError, ...classes, errorOf, checked };
