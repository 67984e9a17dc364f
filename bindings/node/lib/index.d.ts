/// <reference types="node" />
import { EventEmitter } from 'node:events';
import {
  CallOptions, ReadOptions, GetOptions, GetsOptions, ChangeOptions, TouchOptions, WriteOptions, CounterOptions, ServerOptions,
  FlushOptions, Item, Operation, Answer, DumpedItem, ServerInfo, Health, Counters, ClientEvents,
} from './calls.js';
import { LibraryOptions } from './options.js';

export * from './calls.js';
export * from './errors.js';
export { LibraryOptions };

/** The library's version, as "1.2.3". */
export const version: string;

/** One option that there is. */
export interface OptionInfo {
  name: string;
  default: string;
  /** What values it accepts, in words. */
  accepts: string;
  /** What it does, with its unit. */
  about: string;
}

/** Every option of the library, in the order of its documentation. */
export const options: readonly OptionInfo[];

// ---- what goes in, what comes out ----

/** A key: 1 to 250 bytes, strings in UTF-8; over the text and meta protocols without spaces and control characters. */
export type Key = string | ArrayBufferView | ArrayBuffer;

/**
 * A value that can be stored. With a codec types come back as they were: strings, Buffers, whole numbers and bigints (a number
 * where it is exact, else a bigint), and whatever the serializer takes, JSON by default. The codec of a client is `pylibmc` if
 * nothing else is said, which compresses nothing unless `compressThreshold` says so. With `codec: 'none'` all that comes back
 * is Buffers, whatever another client stored.
 */
export type Value = any;

/** A server: `'host:port'`, `'[::1]:port'`, `'/path/of/socket'`, or the same with a name for the hash ring and a weight. */
export type ServerSpec = string | { address: string; name?: string; weight?: number };

/** How a client is to be. */
export interface ClientOptions extends LibraryOptions {
  /** Where the servers are. The port is 11211 where none is given. */
  servers: ServerSpec | readonly ServerSpec[];
  /** Has values that are bytes come as strings in this encoding. Default: as Buffers. */
  encoding?: BufferEncoding;
  /** Turns an object into a string or bytes. Default: `JSON.stringify`. */
  serializer?: (value: any) => string | ArrayBufferView | ArrayBuffer;
  /** Turns these bytes back; the item's flags tell what another language made of them. Default: `JSON.parse`. What it throws
   * makes a DecodeError. */
  deserializer?: (bytes: Buffer, flags: number) => any;
  /**
   * Compresses instead of the codec's own zlib or gzip; `level` is 1 to 9. Where `compress` throws, or makes it longer, the value
   * is stored as it is; where `decompress` throws, the call fails with a DecodeError. Neither may use a client.
   */
  compressor?: {
    compress: (bytes: Buffer, level: number) => string | ArrayBufferView;
    decompress: (bytes: Buffer) => string | ArrayBufferView;
  };
  /** Chooses the server for a key, an index below `count`, instead of `distribution`. Always the same for a key. */
  route?: (key: Buffer, count: number) => number;
  /**
   * Says which servers there are, when the client is first used and then every `discoveryIntervalMs`; where it throws, those that
   * are known stay. It must not use the client, nor wait.
   */
  discover?: () => ClientOptions['servers'];
  /** Sees each new socket; false refuses it. It must not use the client, nor keep or close the descriptor. */
  onConnect?: (fd: number, stage: 'opened' | 'connected', address: string) => boolean | void;
}

/** A client that reads each key from the first of its clients that has it, and writes to the first alone. */
export interface FallbackOptions extends Pick<ClientOptions, 'encoding' | 'serializer' | 'deserializer'> {
  /** 1 to 16 clients. Their servers and options stay their own; the first one's are this one's. */
  clients: readonly Client[];
}

// ---- the client ----

/**
 * A client of one or more servers. One a program (or worker) is usual, and the fastest: calls of one turn of the event loop
 * go out together, and are answered together. It has no thread, opens its first connection with the first call, and keeps
 * the process alive only while calls are under way.
 *
 * Every method that answers with a promise rejects it with a BmemcError, and never throws. A miss is never an error, and a
 * failure never a miss. Calls reach one server in the order in which they were begun; with `connections: 2` or more, only those
 * of one turn do, so await what has to come first.
 *
 * It closes with `close`, with `await using`, or when nobody refers to it any more.
 */
export class Client extends EventEmitter<ClientEvents> {
  /** @throws ArgumentError: there is no server, or an option is unknown or does not accept its value. */
  constructor(options: ClientOptions | FallbackOptions);

  /**
   * The value of a key; a miss is undefined, or `options.default`.
   * @example await client.get('user:1') // { name: 'Ada' }
   */
  get<V = any, D = undefined>(key: Key, options?: GetOptions<D>): Promise<V | D>;
  /**
   * The value with its cas and flags; a miss is undefined, or `{ value: default, cas: casDefault, flags: 0 }`.
   * @example await client.gets('user:9', { default: 'nobody' }) // { value: 'nobody', cas: undefined, flags: 0 }
   */
  gets<V = any>(key: Key, options?: GetsOptions<any>): Promise<Item<V> | undefined>;
  /**
   * Many keys in as few round trips as possible: a Map of the hits, by the keys as they were given. Keys that are missing
   * are misses. Rejects with a PartialError where one failed.
   * @example await client.getMany(['user:1', 'user:9']) // Map(1) { 'user:1' => { name: 'Ada' } }
   */
  getMany<K extends Key = string, V = any>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, V>>;
  /**
   * The same with cas and flags.
   * @example (await client.getsMany(['user:1'])).get('user:1').flags // 1
   */
  getsMany<K extends Key = string, V = any>(keys: Iterable<K>, options?: ReadOptions): Promise<Map<K, Item<V>>>;
  /**
   * Reads a value and gives it a new ttl.
   * @example await client.getAndTouch('user:1', 60) // { name: 'Ada' }
   */
  getAndTouch<V = any, D = undefined>(key: Key, ttl: number, options?: GetOptions<D>): Promise<V | D>;
  /**
   * The same with cas and flags.
   * @example (await client.getsAndTouch('user:1', 60)).value // { name: 'Ada' }
   */
  getsAndTouch<V = any>(key: Key, ttl: number, options?: GetsOptions<any>): Promise<Item<V> | undefined>;

  /**
   * Stores a value, whatever was there: true. With `cas`: false where the item has changed, or is gone.
   * @example await client.set('user:2', { name: 'Bob' }, { ttl: 60 }) // true
   */
  set(key: Key, value: Value, options?: WriteOptions): Promise<boolean>;
  /**
   * Stores a value if there is none: whether it was stored.
   * @example await client.add('user:2', 'another') // false
   */
  add(key: Key, value: Value, options?: WriteOptions): Promise<boolean>;
  /**
   * Stores a value if there is one: whether it was stored.
   * @example await client.replace('user:9', 'nobody') // false
   */
  replace(key: Key, value: Value, options?: WriteOptions): Promise<boolean>;
  /**
   * Puts bytes behind a value: false where there is none.
   * @example await client.append('log', ', and more') // true
   */
  append(key: Key, value: Value, options?: ChangeOptions): Promise<boolean>;
  /**
   * Puts bytes before a value: false where there is none.
   * @example await client.prepend('log', 'Here is ') // true
   */
  prepend(key: Key, value: Value, options?: ChangeOptions): Promise<boolean>;
  /**
   * Stores a value if the item still has this cas: true; false where it has changed; undefined where it is gone.
   * @example await client.cas('user:2', { name: 'Eve' }, (await client.gets('user:2')).cas) // true
   */
  cas(key: Key, value: Value, cas: bigint | number, options?: WriteOptions): Promise<boolean | undefined>;
  /**
   * Stores many values in as few round trips as possible. Rejects with a PartialError where one was not stored.
   * @example await client.setMany({ a: 1, b: 'two' }, { ttl: 60 }) // undefined
   */
  setMany(
    entries: Iterable<readonly [Key, Value]> | Readonly<Record<string, Value>>,
    options?: WriteOptions,
  ): Promise<void>;
  /**
   * Stores many values, each if its item still has the cas that stands behind it: a Map with true, or false where the item has
   * changed; a key that is gone is not in it.
   * @example await client.casMany([['user:2', { name: 'Ann' }, (await client.gets('user:2')).cas]], { ttl: 60 })
   */
  casMany(
    entries: Iterable<readonly [key: Key, value: Value, cas: bigint | number]>,
    options?: Omit<WriteOptions, 'cas' | 'noReply'>,
  ): Promise<Map<Key, boolean>>;
  /**
   * Deletes a key: false where there was none.
   * @example await client.delete('user:2') // true
   */
  delete(key: Key, options?: ChangeOptions): Promise<boolean>;
  /**
   * Deletes many keys in as few round trips as possible: how many there were.
   * @example await client.deleteMany(['a', 'b', 'c']) // 2
   */
  deleteMany(keys: Iterable<Key>, options?: ChangeOptions): Promise<number>;
  /**
   * Adds to a counter, by 1 if nothing else is said: what it is then; undefined where there is none. It wraps at 64 bits.
   * A delta that is a bigint is answered by a bigint; a number that would not be exact is a DecodeError.
   * @example await client.increment('visits', 1, { initial: 10 }) // 10
   */
  increment(key: Key, delta?: number, options?: CounterOptions): Promise<number | undefined>;
  increment(key: Key, delta: bigint, options?: CounterOptions): Promise<bigint | undefined>;
  /**
   * Subtracts from a counter, which stops at 0.
   * @example await client.decrement('visits', 3n) // 7n
   */
  decrement(key: Key, delta?: number, options?: CounterOptions): Promise<number | undefined>;
  decrement(key: Key, delta: bigint, options?: CounterOptions): Promise<bigint | undefined>;
  /**
   * Gives an item a new ttl, in seconds: false where there is none.
   * @example await client.touch('user:1', 3600) // true
   */
  touch(key: Key, ttl: number, options?: TouchOptions): Promise<boolean>;

  /**
   * The server's version, such as "1.6.18".
   * @example await client.version()
   */
  version(options?: ServerOptions): Promise<string>;
  /**
   * What the servers tell of themselves, by their names: numbers, truths and text as they are. `argument`: which ones, such as
   * 'settings', 'items' or 'slabs'. Default: the general ones.
   * @example for (const [name, { curr_items }] of await client.stats()) console.log(name, curr_items)
   */
  stats(argument?: string, options?: ServerOptions): Promise<Map<string, Record<string, number | bigint | boolean | string>>>;
  /**
   * Does nothing, in one round trip.
   * @example await client.noop() // undefined
   */
  noop(options?: ServerOptions): Promise<void>;
  /**
   * Drops every item.
   * @example await client.flushAll({ ttl: 10 }) // undefined
   */
  flushAll(options?: FlushOptions): Promise<void>;
  /**
   * Sets how much the server logs.
   * @example await client.verbosity(1) // undefined
   */
  verbosity(level: number, options?: ServerOptions): Promise<void>;
  /**
   * Sets the server's memory limit.
   * @example await client.cacheMemlimit(128) // undefined
   */
  cacheMemlimit(megabytes: number, options?: ServerOptions): Promise<void>;
  /**
   * Shuts the server down, where it allows that (memcached's -A).
   * @example await client.shutdown({ graceful: true }) // undefined
   */
  shutdown(options?: ServerOptions & { graceful?: boolean }): Promise<void>;
  /**
   * Lists what the servers hold, without values, as it comes; leave the loop when you like. `classes`: 'all' (the default), 'hash',
   * or numbers of slab classes such as '1,2'. A client with a `keyPrefix` sees its own keys, without it. An item that several
   * servers hold (`mode: 'replicated'`) comes from each of them; `server` asks one alone. `timeoutMs` is for each piece that comes,
   * not for the whole. Not over binary: UnsupportedError.
   * @example for await (const { key, size } of client.metadump()) console.log(key.toString(), size)
   */
  metadump(classes?: string, options?: { server?: number; timeoutMs?: number; signal?: AbortSignal }): AsyncGenerator<DumpedItem, void, undefined>;

  /**
   * A meta command: 'mg', 'ms', 'md', 'ma', 'me' or 'mn', with its flags as they are written, as `meta('mg', 'a', 'v t s')`. The
   * answer's value is as it is stored. Not over text and binary: UnsupportedError.
   * @example (await client.meta('mg', 'user:1', 'f t')).flags // 1
   */
  meta<V = Buffer>(
    command: string,
    key: Key,
    flags?: string,
    options?: CallOptions & { value?: Value; encoding?: BufferEncoding },
  ): Promise<Answer<V>>;
  /**
   * A line of your own, with what comes back up to `end`, which is not in it. Default: one line. Not over binary. Mind that a
   * key or value that you put into the line is not checked.
   * @example await client.raw('mn') // 'MN'
   */
  raw(line: string, options?: CallOptions & { end?: string; encoding?: BufferEncoding }): Promise<string>;
  /**
   * Any operation, with all that it can be told and answered. Rejects where it failed.
   * @example (await client.call({ opcode: 'get', key: 'user:1', wantCas: true })).status // 'BMEMC_OK'
   */
  call<V = any>(operation: Operation): Promise<Answer<V>>;
  /**
   * Any mix of operations in as few round trips as possible: answer i for operation i, failures too.
   * @example (await client.execute([{ opcode: 'noop' }, { opcode: 'get', key: 'a' }])).length // 2
   */
  execute<V = any>(
    operations: Iterable<Omit<Operation, 'signal'>>,
    options?: { signal?: AbortSignal },
  ): Promise<Answer<V>[]>;

  /**
   * The client's servers.
   * @example client.servers.map(({ server, weight }) => [server, weight]) // [ [ 0, 1 ] ]
   */
  readonly servers: ServerInfo[];
  /**
   * Adds a server to a client in use. @throws BmemcError
   * @example client.addServer({ address: '127.0.0.1:11212', name: 'second' }) // undefined
   */
  addServer(server: ServerSpec): void;
  /**
   * Removes the server of this name: whether there was one. @throws BmemcError
   * @example client.removeServer('second') // true
   */
  removeServer(name: string): boolean;
  /**
   * Makes these the client's servers, in one step; those that are there already keep their connections. @throws BmemcError
   * @example client.replaceServers([client.servers[0].address]) // undefined
   */
  replaceServers(servers: ServerSpec | readonly ServerSpec[]): void;
  /**
   * What the connections do just now, to one server (by its index) or to all: how many are used, free, open.
   * @example client.pool().used // 0
   */
  pool(server?: number): { used: number; free: number; open: number; waiting: number };
  /**
   * How a server is, by its index, as far as the calls of this client have shown; nothing is sent. `failures` are those since
   * it last answered, `sinceMs` for how long it has been so, `probeInMs` when a server that is out is probed next, and `why` the
   * last failure, if there was one. @throws ArgumentError
   * @example client.health(0).failures // 0
   */
  health(server: number): Health;
  /**
   * Drops every connection, and forgets which servers have failed; the next call opens new ones. @throws ClosedError
   * @example client.disconnectAll() // undefined
   */
  disconnectAll(): void;
  /**
   * Whether a key can be used. @throws ArgumentError: with the words that a call with it would fail with
   * @example client.checkKey('user:1') // undefined
   */
  checkKey(key: Key): void;
  /**
   * The server that has a key; of replicas the first. @throws BmemcError
   * @example client.serverFor('user:1').server // 0
   */
  serverFor(key: Key): ServerInfo;
  /**
   * Changes whom new connections log in as; both empty: they do not log in. @throws ArgumentError
   * @example client.setCredentials('user', 'the new password') // undefined
   */
  setCredentials(username: string, password: string): void;
  /**
   * Changes an option of a client in use: reconnectDelayMs; the others are fixed. @throws ArgumentError, BmemcError
   * @example client.setOption('reconnectDelayMs', 5000) // undefined
   */
  setOption(name: string, value: string | number | boolean): void;
  /**
   * What the client would store for a value. @throws ArgumentError
   * @example client.encode('text').flags // 16
   */
  encode(value: Value, options?: { compressLevel?: number }): { value: Buffer; flags: number };
  /**
   * What the client would read of bytes and flags that are stored. @throws DecodeError
   * @example client.decode('42', 2) // 42
   */
  decode<V = any>(bytes: Key, flags?: number): V;
  /**
   * What the client has done, with one server (by its index) or with all. @throws ArgumentError: there is no such server.
   * @example client.counters().failures // 0
   */
  counters(server?: number): Counters;
  /**
   * Ends the client: calls under way and later ones reject with a ClosedError. Resolves once all of them have.
   * @example await client.close() // undefined
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

// ---- rings ----

/** How a ring is to be; the options are those of a client. */
export interface RingOptions
  extends Pick<LibraryOptions, 'distribution' | 'keyHash' | 'hashTag' | 'keyForm' | 'hashSeed' | 'weightUnit'> {
  servers?: ServerSpec | readonly ServerSpec[];
  route?: (key: Buffer, count: number) => number;
}

/** Which of several servers a key belongs to, without a client. */
export class HashRing {
  /** @throws ArgumentError: two servers of one name, or a distribution, key hash or weight that there is not. */
  constructor(options?: RingOptions);
  /** The index of the server that has the key; undefined where there is no server. */
  get(key: Key): number | undefined;
  /** The indices of the servers that the key should try, in that order: `most` of them, or all. */
  successors(key: Key, most?: number): number[];
  /** Adds a server at the end. @throws ArgumentError */
  add(server: ServerSpec): void;
  /** Removes the server of this name, or of this address where it has none: whether there was one. */
  remove(name: string): boolean;
  readonly servers: ServerInfo[];
}

/** The hash of a key, by a name that option `keyHash` accepts, but `auto`. @throws ArgumentError */
export function keyHash(name: string, key: Key): bigint;

/** A server string taken apart; nothing is looked up. @throws ArgumentError */
export function parseAddress(address: string): { kind: 'name' | 'ipv4' | 'ipv6' | 'unix'; host: string; port: number };
