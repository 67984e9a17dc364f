// What calls are told, what they answer with, and what a client tells of itself.
/// <reference types="node" />
import { BmemcError } from './errors.js';
import { Key, Value } from './index.js';

/** What every call can be told. */
export interface CallOptions {
  /** Milliseconds that the call may take in all, 1 to 86400000. Default: the client's `timeoutMs`. */
  timeoutMs?: number;
  /** Ends the call with a CancelledError, whose `name` is AbortError and whose `cause` is the signal's reason. */
  signal?: AbortSignal;
  /** Hashed instead of the key to choose the server. */
  routingKey?: Key;
}

export interface ReadOptions extends CallOptions {
  /** The client's `encoding`, for this call. */
  encoding?: BufferEncoding;
  /** The bytes as they are stored, whatever the codec would make of their flags. */
  raw?: boolean;
}

export interface GetOptions<D = undefined> extends ReadOptions {
  /** What a miss is answered with. Default: undefined. */
  default?: D;
}

export interface GetsOptions<D = undefined> extends GetOptions<D> {
  /** The `cas` of a miss, where `default` or this is given. */
  casDefault?: bigint;
}

export interface ChangeOptions extends CallOptions {
  /** Only if the item still has this cas. */
  cas?: bigint | number;
  /**
   * Resolve once the kernel has the request. That it was done is not known then: failures are counted
   * (`counters().quietFailures`) and told by the event `quietFailure`. false: wait, though the client's `noReply` is on.
   */
  noReply?: boolean;
}

export interface TouchOptions extends CallOptions {
  noReply?: boolean;
}

export interface WriteOptions extends ChangeOptions {
  /** Seconds to live. 0 (the default): until evicted; negative: gone at once; from 1,000,000,000 on: a Unix time. */
  ttl?: number;
  /** The item's flags, 0 to 4294967295: the value is stored as if there were no codec. Read it with `raw`. */
  flags?: number;
  /** 0: the client's option; 1 (fast) to 9 (small); -1: do not compress. */
  compressLevel?: number;
}

export interface CounterOptions extends ChangeOptions {
  /** Create a missing counter with this number; the delta is not added then. */
  initial?: number | bigint;
  /** Seconds that a created counter lives. */
  ttl?: number;
}

/** What a call about servers rather than a key can be told. */
export interface ServerOptions extends CallOptions {
  /** Index of the server to be asked. Default: all that it is about. */
  server?: number;
}

export interface FlushOptions extends ServerOptions {
  /** In so many seconds. Default: now. */
  ttl?: number;
  noReply?: boolean;
}

/** A value with all that is known of it. */
export interface Item<V = any> {
  value: V;
  /** The item's version, for `cas`. */
  cas: bigint;
  flags: number;
}

/** An operation as `call` and `execute` take it: bmemc_op, field by field. */
export interface Operation extends CallOptions {
  opcode:
    | 'get' | 'getAndTouch' | 'set' | 'add' | 'replace' | 'append' | 'prepend' | 'delete' | 'increment' | 'decrement'
    | 'touch' | 'flushAll' | 'stats' | 'version' | 'verbosity' | 'noop' | 'cacheMemlimit' | 'shutdown' | 'metadump'
    | 'meta' | 'raw';
  key?: Key;
  value?: Value;
  ttl?: number;
  flags?: number;
  cas?: bigint | number;
  /** By how much a counter changes; the level of verbosity; the megabytes of cacheMemlimit. */
  delta?: bigint | number;
  /** Create a missing counter with this number. */
  initial?: bigint | number;
  /** Raw flags of a meta command, separated by spaces. */
  metaFlags?: Key;
  /** Index of the server to be asked, whatever the key. */
  server?: number;
  /** Write and read the bytes and flags as they are stored, as if there were no codec. `flags` does that, too. */
  raw?: boolean;
  noReply?: boolean;
  /** Answer with the item's cas. */
  wantCas?: boolean;
  compressLevel?: number;
  encoding?: BufferEncoding;
}

/** All that an operation can be answered: bmemc_item, field by field. What it was not is zero, '' or undefined. */
export interface Answer<V = any> {
  /** BMEMC_OK, BMEMC_NOT_FOUND, BMEMC_NOT_STORED or BMEMC_EXISTS; in `execute` the `code` of a failure, too. */
  status: string;
  /** In `execute`: why this operation failed. */
  error?: BmemcError;
  value: V | undefined;
  /** The key, where the answer is about one that the operation did not name. */
  key?: Buffer;
  flags: number;
  cas: bigint;
  /** The counter. */
  number: bigint;
  /** Seconds left, -1 for ever; 0 where it was not asked for. */
  ttl: number;
  /** Bytes of the value, seconds since it was last read, whether it was read before: 0 and false where not asked for. */
  size: number;
  lastAccess: number;
  fetched: boolean;
  /** Index of the server that answered. */
  server: number;
  /** The server's own words. */
  detail: string;
  stale: boolean;
  win: boolean;
  wonByOther: boolean;
  /** Several servers were asked, and their answers were not the same. */
  partly: boolean;
}

/** An item of a dump. */
export interface DumpedItem {
  /** Without the client's `keyPrefix`. */
  key: Buffer;
  /** Seconds left, -1 for ever. */
  ttl: number;
  /** Seconds since it was last read. */
  lastAccess: number;
  cas: bigint;
  /** It was read before. */
  fetched: boolean;
  /** Bytes, as the server stores it. */
  size: number;
  /** Where the server tells them. */
  flags: number;
  slabClass: number;
  /** Index of the server that has it. */
  server: number;
}

/** A server of a client: the index by which answers, counters and events call it, and what it was given. */
export interface ServerInfo {
  server: number;
  name: string;
  address: string;
  weight: number;
}

/**
 * How a server is: 'up'; 'suspect', it has failed since it last answered, and calls go to it; 'out', calls to it fail at once;
 * 'dead', and its keys go to others (`failover: 'pymemcache'`).
 */
export interface Health {
  state: 'up' | 'suspect' | 'out' | 'dead' | 'unknown';
  failures: number;
  sinceMs: number;
  probeInMs: number;
  why?: BmemcError;
}

/** What a client has done since it was made. */
export interface Counters {
  operations: number;
  hits: number;
  misses: number;
  failures: number;
  timeouts: number;
  quietFailures: number;
  bytesSent: number;
  bytesReceived: number;
  batches: number;
  connects: number;
  disconnects: number;
  systemCalls: number;
  breakerOpened: number;
  failedFast: number;
}

/** What an event tells. */
export interface ClientEvent {
  /** Index of the server that it is about. */
  server: number;
  message: string;
  /** How long connecting, or the call, took; 0 for the others. */
  elapsedUs: number;
  /** Why, where something failed. */
  error?: BmemcError;
}

/** What a client emits. An event that nobody listens to does nothing. */
export interface ClientEvents {
  connected: [ClientEvent];
  closed: [ClientEvent];
  connectFailed: [ClientEvent];
  discoveryFailed: [ClientEvent];
  serversChanged: [ClientEvent];
  slow: [ClientEvent];
  quietFailure: [ClientEvent];
  breakerOpened: [ClientEvent];
  breakerClosed: [ClientEvent];
}
