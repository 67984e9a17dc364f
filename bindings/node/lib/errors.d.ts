// The errors: a class for each status that is a failure.
import { Key } from './index.js';

/** What every error of this package is. */
export class BmemcError extends Error {
  /** The status as bmemc.h names it, such as BMEMC_E_TIMEOUT. */
  readonly code: string;
  /** The same as a number, always negative. */
  readonly status: number;
  /** The request left this process in full. */
  readonly sent: boolean;
  /** Not one byte of the request was sent: doing it again is safe. */
  readonly notSent: boolean;
  /** The server may or may not have done it. */
  readonly outcomeUnknown: boolean;
  /** errno of the system call that failed, else 0. */
  readonly osError: number;
  /** Index of the server that it is about; undefined where there is none. */
  readonly server: number | undefined;
}

/** An argument or an option is missing, of a wrong type, too long or out of range. */
export class ArgumentError extends BmemcError {}
/** The deadline passed. */
export class TimeoutError extends BmemcError {}
/** The server's name could not be looked up. */
export class DnsError extends BmemcError {}
/** No connection could be made, or it was lost. */
export class ConnectionError extends BmemcError {}
/** TLS could not be agreed on, or the certificate was refused. */
export class TlsError extends BmemcError {}
/** The server wants authentication, or refused it. */
export class AuthError extends BmemcError {}
/** The server sent what the protocol does not allow. */
export class ProtocolError extends BmemcError {}
/** The server found the request malformed. */
export class ClientError extends BmemcError {}
/** The server could not do it now. */
export class ServerError extends BmemcError {}
/** The server does not know the command. */
export class UnknownCommandError extends BmemcError {}
/** The value is larger than the server or this client takes. */
export class TooLargeError extends BmemcError {}
/** Not used by this package. */
export class BufferError extends BmemcError {}
/** Too many operations are under way already (option `maxWaiting`). */
export class BusyError extends BmemcError {}
/** The value was received but could not be decoded. */
export class DecodeError extends BmemcError {}
/** The signal of the call was aborted; its `name` is AbortError. */
export class CancelledError extends BmemcError {}
/** The client was closed. */
export class ClosedError extends BmemcError {}
/** The process is a child of the one that made the client. */
export class ForkedError extends BmemcError {}
/** A bug in the library. */
export class BugError extends BmemcError {}
/** The library, this kind of client or this protocol does not have it. */
export class UnsupportedError extends BmemcError {}

/** Some keys of a call about many failed. */
export class PartialError<K = Key, V = any> extends BmemcError {
  /** Why, by key. */
  readonly errors: Map<K, BmemcError>;
  /** What was answered, by key. */
  readonly values: Map<K, V>;
}
