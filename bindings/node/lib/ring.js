// Rings: which of several servers a key belongs to, without a client; and key hashes.
'use strict';

const { native, nameOf } = require('./engine.js');
const { keyHash: hash, address: parse } = require('./native.js');
const { checked } = require('./errors.js');
const { serversOf, serverOf, optionsOf, functionsOf, checkOptions } = require('./options.js');
const { text } = require('./settings.js');

const collected = new FinalizationRegistry((number) => native.close(number));

class HashRing {
  #number;

  constructor(options = {}) {
    checkOptions(options, "{ servers: ['a:11211', 'b:11211'], distribution: 'ketama' }");
    const given = optionsOf(options, ['servers', 'route']);
    this.#number = checked(native.ring, serversOf(options.servers), given, functionsOf({ route: options.route }));
    collected.register(this, this.#number);
  }

  add(server) {
    checked(native.ringAdd, this.#number, ...serverOf(server));
  }

  remove(name) {
    return checked(native.ringRemove, this.#number, text('name', name));
  }

  get(key) {
    const index = checked(native.ringGet, this.#number, nameOf(key, 'key'));
    return index < 0 ? undefined : index;
  }

  successors(key, most = undefined) {
    return checked(native.ringSuccessors, this.#number, nameOf(key, 'key'), most);
  }

  get servers() {
    return checked(native.ringServers, this.#number);
  }
}

/** The hash of a key, by a name that option keyHash accepts, as a bigint. */
function keyHash(name, key) {
  return checked(hash, text('name', name), nameOf(key, 'key'));
}

/** A server string taken apart: its kind, host and port. */
function parseAddress(address) {
  return checked(parse, text('address', address));
}

module.exports = { HashRing, keyHash, parseAddress };
