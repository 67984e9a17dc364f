// What `require('bmemc/express-session')` gives: a store for express-session, whose Store it extends.
'use strict';

const { Store } = require('express-session');
const { Client } = require('./index.js');
const { checkOptions } = require('./options.js');
const { refuse, text, whole } = require('./settings.js');
const { secondsOf, MAX_TTL } = require('./ttl.js');

const DAY = 86_400;

class BmemcStore extends Store {
  #client;
  #owned;
  #prefix;
  #ttl;

  /**
   * @param {object} options `client`, or the options for one of the store's own; `prefix` of the keys; `ttl` in seconds of
   *   sessions whose cookie does not say how long it lives
   */
  constructor(options = {}) {
    super();
    checkOptions(options, "{ servers: '127.0.0.1:11211' }");
    const { client, prefix = 'sess:', ttl = DAY, ...others } = options;
    if (client !== undefined && typeof client?.getMany !== 'function') throw refuse('client', client, 'a Client');
    this.#prefix = text('prefix', prefix);
    this.#ttl = whole('ttl', ttl, 0, MAX_TTL);
    this.#owned = client === undefined;
    this.#client = client ?? new Client(others);
  }

  get client() {
    return this.#client;
  }

  get(id, done = ignore) {
    call(this.#client.get(this.#prefix + id), done);
  }

  set(id, session, done = ignore) {
    call(this.#client.set(this.#prefix + id, session, { ttl: this.#ttlOf(session) }).then(nothing), done);
  }

  touch(id, session, done = ignore) {
    call(this.#client.touch(this.#prefix + id, this.#ttlOf(session)).then(nothing), done);
  }

  destroy(id, done = ignore) {
    call(this.#client.delete(this.#prefix + id).then(nothing), done);
  }

  /** Drops everything that the servers hold, which is more than sessions where they are shared. */
  clear(done = ignore) {
    call(this.#client.flushAll(), done);
  }

  /** Closes the client, if the store made it. */
  close() {
    return this.#owned ? this.#client.close() : Promise.resolve();
  }

  /** As long as the cookie lives, or what the option says where the cookie does not. */
  #ttlOf(session) {
    const expires = session?.cookie?.expires;
    const end = expires ? new Date(expires).getTime() : NaN;
    return Number.isNaN(end) ? this.#ttl : secondsOf(end - Date.now());
  }
}

function nothing() {}
function ignore() {}

/** Hands a promise's outcome to a callback, which runs outside of it: what it throws is its own. */
function call(promise, done) {
  promise.then(
    (value) => process.nextTick(done, null, value),
    (error) => process.nextTick(done, error),
  );
}

module.exports = { BmemcStore };
