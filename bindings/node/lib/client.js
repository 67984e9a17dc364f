// Client: what a program uses. Each method is an operation of bmemc.h with JavaScript's arguments and results.
'use strict';

const { EventEmitter } = require('node:events');
const { native, constants, begin, nameOf, toBytes, kindOf } = require('./engine.js');
const { ArgumentError, CancelledError, checked, errorOf } = require('./errors.js');
const { camel } = require('./names.js');
const { someServersOf, serverOf, optionsOf, checkOptions } = require('./options.js');
const { Settings, accepts, acceptsOnly, readers, refuse, text, truth, unsigned, whole } = require('./settings.js');
const {
  Call, valueOf, itemOf, doneOf, casOf, nothingOf, counterOf, bigCounterOf, textOf, answerOf,
  ManyCall, SetManyCall, DeleteManyCall, AnswersCall, StatsCall,
} = require('./calls.js');
const { dumped } = require('./dumps.js');
const { Session, create, createOf } = require('./session.js');

// Each by itself: looking them up in `constants` would take longer than the rest of a call.
const {
  OP_GET, OP_GET_AND_TOUCH, OP_SET, OP_ADD, OP_REPLACE, OP_APPEND, OP_PREPEND, OP_DELETE, OP_INCREMENT, OP_DECREMENT, OP_TOUCH,
  OP_FLUSH_ALL, OP_STATS, OP_VERSION, OP_VERBOSITY, OP_NOOP, OP_CACHE_MEMLIMIT, OP_SHUTDOWN, E_CANCELLED, TYPE_OBJECT,
} = constants;

/** An operation without a value. */
const NONE = Symbol('none');

// --- what each kind of call accepts ------------------------------------------

const forRead = accepts('encoding', 'raw', 'default', 'ttl');
const forItem = accepts('encoding', 'raw', 'default', 'casDefault', 'ttl', 'wantCas');
const forManyReads = accepts('encoding', 'raw', 'wantCas');
const forManyCas = accepts('ttl', 'flags', 'compressLevel');
const forWrite = accepts('ttl', 'flags', 'cas', 'noReply', 'compressLevel');
const forChange = accepts('cas', 'noReply');
const forTouch = accepts('ttl', 'noReply');
const forCounter = accepts('delta', 'initial', 'ttl', 'cas', 'noReply');
const forServer = accepts('server');
const forFlush = accepts('server', 'ttl', 'noReply');
const forVerbosity = accepts('server', 'level', 'noReply');
const forMemlimit = accepts('server', 'megabytes', 'noReply');
const forOperation = accepts(...Object.keys(readers).filter((name) => !/default|^level$|megabytes/i.test(name)));
const forOperations = accepts(); // each operation has its own
const forEncode = acceptsOnly('compressLevel');

/** What a method was given, with what it sets itself. */
function and(options, own) {
  if (options === undefined) return own;
  if (typeof options !== 'object' || options === null) {
    throw new ArgumentError(`options is ${kindOf(options)}; an object is accepted`);
  }
  return { ...options, ...own };
}

/** One option by itself, and the others. What is no object is left to whoever reads it. */
function apart(options, name) {
  if (typeof options !== 'object' || options === null) return [undefined, options];
  const { [name]: own, ...rest } = options;
  return [own, rest];
}

// --- names -------------------------------------------------------------------

const healthStates = { [constants.HEALTH_UP]: 'up', [constants.HEALTH_SUSPECT]: 'suspect', [constants.HEALTH_OUT]: 'out', [constants.HEALTH_DEAD]: 'dead' };
const opcodes = new Map();
for (const [name, number] of Object.entries(constants)) {
  if (name.startsWith('OP_')) opcodes.set(camel(name.slice('OP_'.length)), number);
}

// --- the client --------------------------------------------------------------

class Client extends EventEmitter {
  #session;

  constructor(options = {}) {
    super();
    checkOptions(options, "{ servers: '127.0.0.1:11211' }");
    const { clients } = options;
    const made = clients === undefined ? create(options) : createOf(listOf('clients', clients).map(Client.#sessionOf), options);
    this.#session = new Session(this, made);
  }

  static #sessionOf(client) {
    if (!(client instanceof Client)) throw new ArgumentError(`one of clients is ${kindOf(client)}; a Client is accepted`);
    return client.#session;
  }

  // ---- reads ----

  get(key, options) {
    return this.#one(new Call(this.#session, valueOf), OP_GET, key, NONE, options, forRead);
  }

  gets(key, options) {
    const call = new Call(this.#session, itemOf);
    return this.#with(call, OP_GET, key, NONE, options, { wantCas: true }, forItem);
  }

  getMany(keys, options) {
    return this.#manyReads(valueOf, keys, options, {});
  }

  getsMany(keys, options) {
    return this.#manyReads(itemOf, keys, options, { wantCas: true });
  }

  getAndTouch(key, ttl, options) {
    const call = new Call(this.#session, valueOf);
    return this.#with(call, OP_GET_AND_TOUCH, key, NONE, options, { ttl }, forRead, 'ttl');
  }

  getsAndTouch(key, ttl, options) {
    const call = new Call(this.#session, itemOf);
    return this.#with(call, OP_GET_AND_TOUCH, key, NONE, options, { ttl, wantCas: true }, forItem, 'ttl');
  }

  // ---- writes ----

  set(key, value, options) {
    return this.#one(new Call(this.#session, doneOf), OP_SET, key, value, options, forWrite);
  }

  add(key, value, options) {
    return this.#one(new Call(this.#session, doneOf), OP_ADD, key, value, options, forWrite);
  }

  replace(key, value, options) {
    return this.#one(new Call(this.#session, doneOf), OP_REPLACE, key, value, options, forWrite);
  }

  append(key, value, options) {
    return this.#piece(OP_APPEND, key, value, options);
  }

  prepend(key, value, options) {
    return this.#piece(OP_PREPEND, key, value, options);
  }

  cas(key, value, cas, options) {
    const call = new Call(this.#session, casOf);
    try {
      return this.#with(call, OP_SET, key, value, options, { cas: casGiven(cas) }, forWrite);
    } catch (error) {
      return refused(call, error);
    }
  }

  setMany(entries, options) {
    const { values } = this.#session;
    return this.#many(new SetManyCall(this.#session, doneOf), options, forWrite, (settings) => {
      const pairs = entriesOf(entries);
      const types = pairs.map((pair) => values.typeOf(pair[1]));
      const payloads = pairs.map((pair, i) => values.encode(pair[1], types[i]));
      const keys = pairs.map((pair) => pair[0]);
      const begun = (call, i, client) => {
        const type = values.typed ? types[i] : 0;
        begin(call, i, client, OP_SET, nameOf(keys[i], 'key'), payloads[i], type, settings);
      };
      return { keys, begun };
    });
  }

  casMany(entries, options) {
    const { values } = this.#session;
    return this.#many(new ManyCall(this.#session, casOf), options, forManyCas, (settings = new Settings()) => {
      const items = entriesOf(entries, '[key, value, cas]');
      const begun = (call, i, client) => {
        const [key, value, cas] = items[i];
        const type = values.typeOf(value);
        const own = Object.assign(new Settings(), settings, { cas: casGiven(cas) });
        begin(call, i, client, OP_SET, nameOf(key, 'key'), values.encode(value, type), values.typed ? type : 0, own);
      };
      return { keys: items.map(([key]) => key), begun };
    });
  }

  delete(key, options) {
    return this.#one(new Call(this.#session, doneOf), OP_DELETE, key, NONE, options, forChange);
  }

  deleteMany(keys, options) {
    return this.#many(new DeleteManyCall(this.#session, doneOf), options, forChange, byKey(OP_DELETE, keys));
  }

  increment(key, delta = 1, options = undefined) {
    const call = new Call(this.#session, typeof delta === 'bigint' ? bigCounterOf : counterOf);
    return this.#with(call, OP_INCREMENT, key, NONE, options, { delta }, forCounter);
  }

  decrement(key, delta = 1, options = undefined) {
    const call = new Call(this.#session, typeof delta === 'bigint' ? bigCounterOf : counterOf);
    return this.#with(call, OP_DECREMENT, key, NONE, options, { delta }, forCounter);
  }

  touch(key, ttl, options) {
    const call = new Call(this.#session, doneOf);
    return this.#with(call, OP_TOUCH, key, NONE, options, { ttl }, forTouch, 'ttl');
  }

  // ---- the servers' own ----

  version(options) {
    return this.#one(new Call(this.#session, textOf), OP_VERSION, '', NONE, options, forServer);
  }

  stats(argument = '', options = undefined) {
    return this.#everywhere(new StatsCall(this.#session, argument), OP_STATS, argument, options);
  }

  noop(options) {
    return this.#one(new Call(this.#session, nothingOf), OP_NOOP, '', NONE, options, forServer);
  }

  flushAll(options) {
    return this.#one(new Call(this.#session, nothingOf), OP_FLUSH_ALL, '', NONE, options, forFlush);
  }

  verbosity(level, options) {
    const call = new Call(this.#session, nothingOf);
    return this.#with(call, OP_VERBOSITY, '', NONE, options, { level }, forVerbosity, 'level');
  }

  cacheMemlimit(megabytes, options) {
    const call = new Call(this.#session, nothingOf);
    return this.#with(call, OP_CACHE_MEMLIMIT, '', NONE, options, { megabytes }, forMemlimit, 'megabytes');
  }

  async shutdown(options) {
    const [graceful = false, rest] = apart(options, 'graceful');
    const word = truth('graceful', graceful) ? 'graceful' : '';
    return this.#one(new Call(this.#session, nothingOf), OP_SHUTDOWN, word, NONE, rest, forServer);
  }

  metadump(classes = '', options = {}) {
    return dumped(this.#session, classes, options);
  }

  // ---- every operation ----

  async meta(command, key, flags = '', options = undefined) {
    const metaFlags = [text('command', command), text('flags', flags)].join(' ').trimEnd();
    return this.call(and(options, { opcode: 'meta', key, metaFlags, raw: true }));
  }

  async raw(line, options = undefined) {
    const [end = '', rest] = apart(options, 'end');
    const value = typeof line === 'string' ? line : toBytes(line);
    if (value === undefined) throw refuse('line', line, 'a string or a Buffer');
    const operation = { encoding: 'latin1', ...and(rest, { opcode: 'raw', key: nameOf(end, 'end'), value }) };
    try {
      return (await this.call(operation)).value;
    } catch (error) {
      error.message = error.message.replace('`key`', '`end`'); // as it is called here
      throw error;
    }
  }

  call(operation) {
    const call = new Call(this.#session, answerOf);
    try {
      const { opcode, key, value, valueType, settings } = this.#operation(operation);
      return this.#start(call, opcode, key, value, valueType, settings);
    } catch (error) {
      return refused(call, error);
    }
  }

  execute(operations, options) {
    return this.#many(new AnswersCall(this.#session, answerOf), options, forOperations, () => {
      const list = listOf('operations', operations).map((operation) => this.#operation(operation));
      if (list.some((operation) => operation.settings.signal !== undefined)) {
        throw new ArgumentError('signal is an option of execute, not of one operation');
      }
      const begun = (call, i, client) => {
        const { opcode, key, value, valueType, settings } = list[i];
        begin(call, i, client, opcode, key, value, valueType, settings);
      };
      return { keys: list, begun };
    });
  }

  // ---- the client itself ----

  get servers() {
    return this.#session.servers();
  }

  addServer(server) {
    checked(native.addServer, this.#session.number, ...serverOf(server));
  }

  removeServer(name) {
    return checked(native.removeServer, this.#session.number, text('name', name));
  }

  pool(server = -1) {
    return checked(native.pool, this.#session.number, whole('server', server, -1, 0x7fffffff));
  }

  health(server) {
    const found = checked(native.health, this.#session.number, whole('server', server, 0, 0x7fffffff));
    const { state, why, ...rest } = found;
    return { state: healthStates[state] ?? 'unknown', ...rest, why: why.status ? errorOf(why.status, why.message, why) : undefined };
  }

  disconnectAll() {
    checked(native.disconnectAll, this.#session.number);
  }

  checkKey(key) {
    checked(native.checkKey, this.#session.number, nameOf(key, 'key'));
  }

  serverFor(key) {
    return checked(native.serverFor, this.#session.number, nameOf(key, 'key'));
  }

  replaceServers(servers) {
    checked(native.replaceServers, this.#session.number, someServersOf(servers));
  }

  setCredentials(username, password) {
    checked(native.setCredentials, this.#session.number, nameOf(username, 'username'), nameOf(password, 'password'));
  }

  setOption(name, value) {
    const [pair] = optionsOf({ [text('name', name)]: value }, []);
    if (pair === undefined) throw refuse(name, value, 'a string, a number or true or false');
    checked(native.setOption, this.#session.number, ...pair);
  }

  encode(value, options = {}) {
    const { values, number } = this.#session;
    const type = values.typeOf(value);
    const { compressLevel } = forEncode(options);
    const stored = checked(native.encode, number, values.encode(value, type), values.typed ? type : 0, compressLevel);
    return { value: stored.value, flags: stored.flags };
  }

  decode(bytes, flags = 0) {
    const { values, number } = this.#session;
    const stored = typeof bytes === 'string' ? bytes : toBytes(bytes);
    if (stored === undefined) throw new ArgumentError(`value is ${kindOf(bytes)}; a string or a Buffer is accepted`);
    const { value, type } = checked(native.decode, number, stored, whole('flags', flags, 0, 0xffffffff));
    return values.of(type, value, flags, values.encoding);
  }

  counters(server = -1) {
    return checked(native.counters, this.#session.number, whole('server', server, -1, 0x7fffffff));
  }

  close() {
    return this.#session.close();
  }

  [Symbol.asyncDispose]() {
    return this.#session.close();
  }

  // ---- how operations are begun ----

  /** One operation, with the options that `read` accepts. */
  #one(call, opcode, key, value, options, read) {
    try {
      const settings = options === undefined ? undefined : read(options);
      const name = nameOf(key, 'key');
      if (value === NONE) return this.#start(call, opcode, name, undefined, 0, settings);
      const { values } = this.#session;
      const type = values.typeOf(value);
      return this.#start(call, opcode, name, values.encode(value, type), values.typed ? type : 0, settings);
    } catch (error) {
      return refused(call, error);
    }
  }

  /** Bytes for what is there already, whatever type it has. */
  #piece(opcode, key, value, options) {
    const call = new Call(this.#session, doneOf);
    try {
      const { values } = this.#session;
      const type = values.typeOf(value);
      if (type === TYPE_OBJECT) throw new ArgumentError(`value is ${kindOf(value)}; a string or a Buffer is accepted`);
      const settings = options === undefined ? undefined : forChange(options);
      return this.#start(call, opcode, nameOf(key, 'key'), values.encode(value, type), 0, settings);
    } catch (error) {
      return refused(call, error);
    }
  }

  /** The same, with options of the method's own, of which `must` has to be there. */
  #with(call, opcode, key, value, options, own, read, must) {
    try {
      if (must !== undefined) readers[must](new Settings(), own[must], must); // which skips nothing, as reading options does
      return this.#one(call, opcode, key, value, and(options, own), read);
    } catch (error) {
      return refused(call, error);
    }
  }

  #start(call, opcode, key, value, valueType, settings) {
    const session = this.#session;
    if (settings !== undefined) {
      call.settings = settings;
      if (settings.signal?.aborted) throw aborted(settings.signal);
    }
    call.enter();
    try {
      begin(call, 0, session.number, opcode, key, value, valueType, settings);
    } catch (error) {
      call.leave();
      throw error;
    }
    if (settings?.signal !== undefined) call.follow(settings.signal);
    return call.promise;
  }

  #manyReads(resultOf, keys, options, own) {
    return this.#many(new ManyCall(this.#session, resultOf), options, forManyReads, byKey(OP_GET, keys), own);
  }

  /** Many operations with one promise. `make` answers with those of each key, as {keys, operations}. */
  #many(call, options, read, make, own = {}) {
    const { session } = call;
    try {
      const settings = options === undefined ? (own.wantCas ? read(own) : undefined) : read(and(options, own));
      if (settings?.signal?.aborted) throw aborted(settings.signal);
      const { keys, begun } = make(settings);
      call.settings = settings;
      call.about(keys);
      call.enter();
      if (keys.length === 0) call.finish();
      for (let i = 0; i < keys.length; i++) {
        try {
          begun(call, i, session.number);
        } catch (error) {
          call.failed(i, error);
        }
      }
      if (settings?.signal !== undefined) call.follow(settings.signal);
    } catch (error) {
      return refused(call, error);
    }
    return call.promise;
  }

  /** One operation for each server, or for the one that `options` names. */
  #everywhere(call, opcode, argument, options) {
    try {
      if (options?.server !== undefined || this.#session.servers().length > 0) {
        return this.#everywhereNow(call, opcode, argument, options);
      }
      // Discovery has found none yet; what waits for its first answer is told why there is none.
      return this.call({ ...options, opcode: 'version' }).then(() => this.#everywhereNow(call, opcode, argument, options));
    } catch (error) {
      return refused(call, error);
    }
  }

  #everywhereNow(call, opcode, argument, options) {
    return this.#many(call, options, forServer, (settings = new Settings()) => {
      const servers = this.#session.servers();
      const asked = settings.server === 0 ? servers : servers.filter(({ server }) => server === settings.server - 1);
      const keys = asked.length === 0 ? [settings.server - 1] : asked.map(({ name }) => name);
      const begun = (call, i, client) => {
        const each = asked.length === 0 ? settings : Object.assign(new Settings(), settings, { server: asked[i].server + 1 });
        begin(call, i, client, opcode, nameOf(argument, 'argument'), undefined, 0, each);
      };
      return { keys, begun };
    });
  }

  /** An operation as `call` and `execute` are given it. */
  #operation(operation) {
    if (typeof operation !== 'object' || operation === null) {
      throw new ArgumentError(`operation is ${kindOf(operation)}; an object is accepted, such as { opcode: 'get', key: 'a' }`);
    }
    const { opcode: name, key = '', value, ...options } = operation;
    const opcode = opcodes.get(name);
    if (opcode === undefined) {
      throw new ArgumentError(`opcode is ${kindOf(name)}; one of ${[...opcodes.keys()].join(', ')} is accepted`);
    }
    const { values } = this.#session;
    const type = value === undefined ? 0 : values.typeOf(value);
    return {
      opcode,
      key: nameOf(key, 'key'),
      value: value === undefined ? undefined : values.encode(value, type),
      valueType: values.typed ? type : 0,
      settings: forOperation(options),
    };
  }
}

/** A call that was never under way. */
function refused(call, error) {
  call.reject(error);
  return call.promise;
}

function aborted(signal) {
  return new CancelledError('the signal was aborted before anything was sent', {
    status: E_CANCELLED, cause: signal.reason,
  });
}

/** One operation for each key. */
function byKey(opcode, iterable) {
  return (settings) => {
    const keys = listOf('keys', iterable);
    const begun = (call, i, client) => {
      begin(call, i, client, opcode, nameOf(keys[i], 'key'), undefined, 0, settings);
    };
    return { keys, begun };
  };
}

function listOf(name, iterable) {
  if (typeof iterable === 'object' && typeof iterable?.[Symbol.iterator] === 'function') return [...iterable];
  throw new ArgumentError(`${name} is ${kindOf(iterable)}; an array or another iterable is accepted`);
}

/** A cas that an item can have. */
function casGiven(cas) {
  const given = unsigned('cas', cas);
  if (given === 0n) throw new ArgumentError('cas is 0, which no item has');
  return given;
}

/** Pairs of key and value of a Map, of an iterable of pairs, or of an object; or what `each` says instead of pairs. */
function entriesOf(entries, each = '[key, value]') {
  if (typeof entries !== 'object' || entries === null) {
    throw new ArgumentError(`entries is ${kindOf(entries)}; a Map, pairs of key and value, or an object is accepted`);
  }
  const pairs = typeof entries[Symbol.iterator] === 'function' ? [...entries] : Object.entries(entries);
  const { length } = each.split(',');
  const wrong = pairs.find((pair) => !Array.isArray(pair) || pair.length !== length);
  if (wrong !== undefined) throw new ArgumentError(`an entry is ${kindOf(wrong)}; ${each} is accepted`);
  return pairs;
}

module.exports = { Client };
