/// <reference types="node" />
import { EventEmitter } from 'node:events';
import { Client, ClientOptions } from './index.js';

/**
 * A store for Keyv:
 *
 * ```js
 * const keyv = new Keyv({ store: new KeyvBmemc('127.0.0.1:11211'), namespace: 'users' });
 * ```
 *
 * Keys that memcached does not take (spaces, more than 200 bytes) are stored under their SHA-256. `clear` of a namespace takes
 * a new generation of it, so that other namespaces stay; without a namespace it drops everything that the servers hold.
 */
export class KeyvBmemc extends EventEmitter {
  /** @param client a Client of yours, or the server, or the options for a client of the store's own. */
  constructor(client: Client | ClientOptions | string);
  readonly client: Client;
  opts: Record<string, unknown>;
  namespace?: string | undefined;
  get<V>(key: string): Promise<V | undefined>;
  getMany<V>(keys: string[]): Promise<Array<V | undefined>>;
  /** @param ttl milliseconds */
  set(key: string, value: any, ttl?: number): Promise<boolean>;
  setMany(entries: Array<{ key: string; value: any; ttl?: number }>): Promise<void>;
  delete(key: string): Promise<boolean>;
  deleteMany(keys: string[]): Promise<boolean>;
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  clear(): Promise<void>;
  /** Closes the client, if the store made it. */
  disconnect(): Promise<void>;
}

export default KeyvBmemc;
