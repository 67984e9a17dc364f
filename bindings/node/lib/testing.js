// What `require('bmemc/testing')` gives: a memcached inside the process, with real sockets and all protocols.
'use strict';

const { native, kindOf } = require('./engine.js');
const { ArgumentError, checked } = require('./errors.js');

/** A server nobody refers to any more is stopped. */
const collected = new FinalizationRegistry((number) => native.close(number));

class TestServer {
  #number;
  #address;

  constructor({ listen = '' } = {}) {
    if (typeof listen !== 'string') throw new ArgumentError(`listen is ${kindOf(listen)}; a string is accepted`);
    [this.#number, this.#address] = checked(native.server, listen);
    collected.register(this, this.#number, this);
  }

  /** Where it listens, as `servers` takes it. */
  get address() {
    return this.#address;
  }

  /** Stops it; its connections are closed. Any number of times. */
  close() {
    collected.unregister(this);
    native.close(this.#number);
    this.#number = -1;
  }

  [Symbol.dispose]() {
    this.close();
  }
}

module.exports = { TestServer };
