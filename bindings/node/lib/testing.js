// What `require('bmemc/testing')` gives: a memcached inside the process, with real sockets and all protocols.
'use strict';

const { native } = require('./engine.js');
const { checked } = require('./errors.js');
const { pairsOf, checkOptions } = require('./options.js');
const { text } = require('./settings.js');

class TestServer {
  #number;
  #address;

  constructor(options = {}) {
    checkOptions(options, "{ listen: '127.0.0.1:0' }");
    const { listen = '', ...settings } = options;
    [this.#number, this.#address] = checked(native.server, text('listen', listen));
    try {
      this.set(settings);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Changes something of the running server; requests that arrive after this call meet it. */
  set(settings) {
    checkOptions(settings, "{ fault: 'command=get close' }");
    for (const [name, value] of pairsOf(settings)) checked(native.serverSet, this.#number, name, value);
  }

  /** Where it listens, as `servers` takes it. */
  get address() {
    return this.#address;
  }

  /** Stops it; its connections are closed. Any number of times. */
  close() {
    native.close(this.#number);
    this.#number = -1;
  }

  [Symbol.dispose]() {
    this.close();
  }
}

module.exports = { TestServer };
