// Session: the inside of a client. The library's client and how its values are made, how many calls are under way, and the end.
'use strict';

const { native, constants, flush, keepTurnsWhole, listen } = require('./engine.js');
const { ArgumentError, checked, errorOf } = require('./errors.js');
const { camel } = require('./names.js');
const { serversOf, someServersOf, optionsOf, functionsOf } = require('./options.js');
const { Values } = require('./values.js');

const eventNames = new Map();
for (const [name, number] of Object.entries(constants)) {
  if (name.startsWith('EVENT_')) eventNames.set(number, camel(name.slice('EVENT_'.length)));
}

/** Options that are not the library's. */
const own = ['servers', 'encoding', 'serializer', 'deserializer', 'compressor', 'route', 'onConnect', 'discover'];

/** What is otherwise here than in the library, where the user says nothing. */
const defaults = {
  // Keeps strings, Buffers, whole numbers and objects apart, and compresses nothing unless it is told to.
  codec: 'pylibmc',
  // One thread fills one: all of a turn go out in one batch, and in their order. A second one would halve the batches.
  connections: '1',
};

/** The library's client for these options, as its number, and how values are made. */
function create(options) {
  const given = optionsOf(options, own);
  for (const [name, value] of Object.entries(defaults)) {
    if (!given.some(([each]) => each === name)) given.push([name, value]);
  }
  const [, codec] = given.findLast(([name]) => name === 'codec');
  const [, connections] = given.findLast(([name]) => name === 'connections');
  if (connections !== defaults.connections) keepTurnsWhole();
  const values = new Values(codec !== 'none', options);
  const servers = options.discover === undefined ? someServersOf(options.servers) : serversOf(options.servers);
  const number = checked(native.client, servers, given, functionsOf(options));
  return { number, values };
}

/** The same for a client of clients, of these sessions; what is not set is as the first one has it. */
function createOf(sessions, options) {
  const unknown = Object.keys(options).find((name) => !['clients', 'encoding', 'serializer', 'deserializer'].includes(name));
  if (unknown !== undefined) throw new ArgumentError(`${unknown} cannot be set beside clients: it is as the first of them has it`);
  const typed = sessions[0]?.values.typed ?? true;
  const values = new Values(typed, { ...sessions[0]?.values.given, ...options });
  return { number: checked(native.fallback, sessions.map((session) => session.number)), values, sessions };
}

/** A client for its calls: its number, how it makes values, and how many calls are under way. */
class Session {
  constructor(client, { number, values, sessions }) {
    this.client = client; // not collected while calls are under way
    this.sessions = sessions; // of its clients, which are not collected before it
    this.values = values;
    this.number = number;
    this.pending = 0;
    this.closing = undefined;
    this.settled = undefined;
    listen(this.number, this);
    collected.register(client, number, this);
  }

  enter() {
    this.pending++;
  }

  leave() {
    if (--this.pending === 0 && this.settled !== undefined) this.settled();
  }

  told({ kind, server, status, osError, elapsedUs, message }) {
    const error = status < 0 ? errorOf(status, message, { osError, server, bits: 0 }) : undefined;
    this.client.emit(eventNames.get(kind) ?? `event${kind}`, { server, message, elapsedUs, error });
  }

  servers() {
    return checked(native.servers, this.number);
  }

  close() {
    if (this.closing !== undefined) return this.closing;
    flush(); // what was begun is answered, as closed
    collected.unregister(this);
    native.close(this.number);
    this.number = -1;
    this.closing = this.pending === 0 ? Promise.resolve() : new Promise((resolve) => (this.settled = resolve));
    return this.closing;
  }
}

/** A client that nobody refers to any more is closed. */
const collected = new FinalizationRegistry((number) => native.close(number));

module.exports = { Session, create, createOf };
