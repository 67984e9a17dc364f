// Made from the library's table by scripts/options.js; do not edit.

/** The options of the library, by the names of docs/options.md in camelCase. */
export interface LibraryOptions {
  /** Wire protocol; auto: what the server is found to understand best. Default: auto; one of auto, text, meta, binary. */
  protocol?: 'auto' | 'text' | 'meta' | 'binary';
  /** Milliseconds that a call may take in all, from name lookup to the last byte of the answer. Default: 1000; a whole number from 1 to 86400000. */
  timeoutMs?: number;
  /** Milliseconds of a call that opening a connection may take: lookup, every address, handshake. Default: 500; a whole number from 1 to 86400000. */
  connectTimeoutMs?: number;
  /** Connections to each server at most; opened when they are first needed. Default: 2; a whole number from 1 to 1024. */
  connections?: number;
  /** Milliseconds after which an unused connection is closed instead of used; 0: never. Default: 60000; a whole number from 0 to 86400000. */
  connectionsIdleMs?: number;
  /** Calls that may be under way to one server at once; the next one fails with BUSY. Default: 100000; a whole number from 1 to 1000000. */
  maxWaiting?: number;
  /** Longest value that is accepted from a server or sent to it, in bytes as they are on the wire. Default: 134217728; a whole number from 1024 to 1073741824. */
  maxValueBytes?: number;
  /** TCP_NODELAY: small requests are sent at once. Default: true; true or false. */
  noDelay?: boolean;
  /** Milliseconds from which on a call is told of by the event `slow`; 0: none is. Default: 0; a whole number from 0 to 86400000. */
  slowMs?: number;
}
