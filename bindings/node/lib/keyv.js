// What `require('bmemc/keyv')` gives: a store for Keyv. Keys that memcached does not take are stored under their hash; a
// namespace is cleared by a new generation of it, and nothing else is touched.
'use strict';

const { createHash, randomUUID } = require('node:crypto');
const { EventEmitter } = require('node:events');
const { Client } = require('./index.js');
const { secondsOf } = require('./ttl.js');

/** What every protocol takes; the prefix leaves room for a namespace's name. */
const PLAIN = /^[\x21-\x7e]{1,200}$/;

/** Seconds to live for Keyv's milliseconds, which itself drops what is too old. */
function ttlOf(ms) {
  return ms === undefined || ms === null || ms === Infinity ? 0 : secondsOf(ms);
}

class KeyvBmemc extends EventEmitter {
  /** Keyv writes its namespace here, and before each key. */
  namespace;
  #client;
  #owned;

  /** @param {Client | object} client a Client, or the options for one of the store's own */
  constructor(client) {
    super();
    this.#owned = !(client instanceof Client);
    this.#client = this.#owned ? new Client(typeof client === 'string' ? { servers: client } : client) : client;
    this.opts = { dialect: 'memcached' };
  }

  get client() {
    return this.#client;
  }

  async get(key) {
    const [value] = await this.getMany([key]);
    return value;
  }

  async getMany(keys) {
    const names = keys.map((key) => this.#nameOf(key));
    const generation = this.#generationName();
    const found = await this.#client.getMany(generation === undefined ? names : [...names, generation]);
    return names.map((name) => this.#valueOf(found.get(name), found.get(generation)));
  }

  async set(key, value, ttl) {
    const generation = await this.#generation();
    await this.#client.set(this.#nameOf(key), stored(value, generation), { ttl: ttlOf(ttl) });
    return true;
  }

  async setMany(entries) {
    const generation = await this.#generation();
    await this.#client.execute(
      entries.map(({ key, value, ttl }) => ({
        opcode: 'set', key: this.#nameOf(key), value: stored(value, generation), ttl: ttlOf(ttl),
      })),
    ).then(throwFailures);
  }

  async delete(key) {
    // What was cleared is not there any more.
    return (await this.has(key)) && (await this.#client.delete(this.#nameOf(key)));
  }

  async deleteMany(keys) {
    const there = await this.hasMany(keys);
    return (await this.#client.deleteMany(keys.map((key) => this.#nameOf(key)))) > 0 && there.some(Boolean);
  }

  async has(key) {
    const [there] = await this.hasMany([key]);
    return there;
  }

  async hasMany(keys) {
    return (await this.getMany(keys)).map((value) => value !== undefined);
  }

  /** Everything of the namespace; without one, everything that the servers hold. */
  async clear() {
    const name = this.#generationName();
    if (name === undefined) await this.#client.flushAll();
    else await this.#client.set(name, randomUUID());
  }

  /** Closes the client, if the store made it. */
  async disconnect() {
    if (this.#owned) await this.#client.close();
  }

  #nameOf(key) {
    return PLAIN.test(key) ? key : `sha256:${createHash('sha256').update(String(key)).digest('base64url')}`;
  }

  #generationName() {
    return this.namespace ? this.#nameOf(`keyv-generation:${this.namespace}`) : undefined;
  }

  /** The namespace's generation, which is made where there is none; undefined without a namespace. */
  async #generation() {
    const name = this.#generationName();
    if (name === undefined) return undefined;
    const made = randomUUID();
    return (await this.#client.get(name)) ?? ((await this.#client.add(name, made)) ? made : this.#client.get(name));
  }

  /** What is stored, unless it is of another generation. */
  #valueOf(found, generation) {
    if (found === undefined || this.namespace === undefined) return found?.v;
    return found.g === generation ? found.v : undefined;
  }
}

/** Keyv's value, which is a string by its own serializer, with the generation that it belongs to. */
function stored(value, generation) {
  return generation === undefined ? { v: value } : { v: value, g: generation };
}

function throwFailures(answers) {
  const failed = answers.find((answer) => answer.error !== undefined);
  if (failed) throw failed.error;
}

module.exports = { KeyvBmemc };
