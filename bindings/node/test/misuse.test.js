// Bad input on purpose, for every entry point: a promise is rejected with an error that names what is wrong and what is
// accepted; nothing is thrown by a method that answers with a promise, and the client works as before.
'use strict';

const assert = require('node:assert/strict');
const { describe, it, before, after } = require('node:test');
const bmemc = require('bmemc');
const { Client, ArgumentError, BmemcError } = bmemc;
const { BmemcStore } = require('bmemc/express-session');
const { KeyvBmemc } = require('bmemc/keyv');
const { TestServer } = require('bmemc/testing');
const { clientOf } = require('./helpers.js');

const hostile = {
  get a() {
    throw new Error('a getter');
  },
};
const proxy = new Proxy({}, {
  get() {
    throw new Error('a proxy');
  },
});
const wrongTypes = [undefined, null, 5, 1n, true, Symbol('s'), () => 1, {}, [], new Date(0), hostile, proxy];
const badKeys = ['', 'x'.repeat(251), 'x'.repeat(5000), 'x'.repeat(1 << 20), 'a b', 'a\nb', 'a\r\nset b 0 0 1\r\nx', 'a\0', '\x7f', '\ud800',
  Buffer.alloc(0), Buffer.alloc(251, 'x'), Buffer.from('a b'), Buffer.alloc(1 << 20, 'x')];

/** Every method that takes a key: how it is called. */
const keyed = {
  get: (client, key, ...rest) => client.get(key, ...rest),
  gets: (client, key, ...rest) => client.gets(key, ...rest),
  getAndTouch: (client, key, ...rest) => client.getAndTouch(key, 1, ...rest),
  getsAndTouch: (client, key, ...rest) => client.getsAndTouch(key, 1, ...rest),
  set: (client, key, ...rest) => client.set(key, 'x', ...rest),
  add: (client, key, ...rest) => client.add(key, 'x', ...rest),
  replace: (client, key, ...rest) => client.replace(key, 'x', ...rest),
  append: (client, key, ...rest) => client.append(key, 'x', ...rest),
  prepend: (client, key, ...rest) => client.prepend(key, 'x', ...rest),
  cas: (client, key, ...rest) => client.cas(key, 'x', 1n, ...rest),
  delete: (client, key, ...rest) => client.delete(key, ...rest),
  increment: (client, key, ...rest) => client.increment(key, 1, ...rest),
  decrement: (client, key, ...rest) => client.decrement(key, 1, ...rest),
  touch: (client, key, ...rest) => client.touch(key, 1, ...rest),
  getMany: (client, key, ...rest) => client.getMany([key], ...rest),
  getsMany: (client, key, ...rest) => client.getsMany([key], ...rest),
  setMany: (client, key, ...rest) => client.setMany([[key, 'x']], ...rest),
  casMany: (client, key, ...rest) => client.casMany([[key, 'x', 1n]], ...rest),
  deleteMany: (client, key, ...rest) => client.deleteMany([key], ...rest),
  call: (client, key) => client.call({ opcode: 'get', key: key === undefined ? null : key }),
};
/** Those without. */
const keyless = {
  version: (client, ...rest) => client.version(...rest),
  noop: (client, ...rest) => client.noop(...rest),
  flushAll: (client, ...rest) => client.flushAll(...rest),
  verbosity: (client, ...rest) => client.verbosity(1, ...rest),
  cacheMemlimit: (client, ...rest) => client.cacheMemlimit(64, ...rest),
  stats: (client, ...rest) => client.stats('', ...rest),
  shutdown: (client, ...rest) => client.shutdown(...rest),
};

describe('misuse', () => {
  let server;
  before(() => (server = new TestServer()));
  after(() => server.close());

  async function refused(promise, what, pattern) {
    const error = await promise.then((value) => assert.fail(`${what} answered ${value}`), (error) => error);
    const each = error.errors ? [...error.errors.values()][0] : error;
    assert.ok(each instanceof Error, what);
    if (!/a getter|a proxy/.test(each.message)) assert.ok(each instanceof BmemcError, `${what}: ${each.stack}`);
    if (pattern) assert.match(error.message, pattern, what);
    return error;
  }

  it('keys of wrong types, empty, long, with spaces and control characters', async (t) => {
    const client = clientOf(t, server, { protocol: 'text' });
    await client.set('before', 'works');
    for (const [name, method] of Object.entries(keyed)) {
      for (const key of wrongTypes) await refused(method(client, key), `${name}(a key of a wrong type)`);
      for (const key of badKeys) {
        const error = await refused(method(client, key), `${name}(${String(key).slice(0, 20)})`);
        assert.equal(error.code, 'BMEMC_E_ARGUMENT', error.stack);
        assert.ok(error.notSent);
      }
    }
    assert.equal(await client.get('before'), 'works');
    assert.equal(client.counters().disconnects, 0);
  });

  it('the same where no server is: what is wrong is told first', async (t) => {
    for (const protocol of ['auto', 'text', 'meta', 'binary']) {
      const client = clientOf(t, { address: '127.0.0.1:1' }, { protocol });
      // Over binary a key has any bytes.
      const bad = protocol === 'binary' ? ['', 'x'.repeat(251), Buffer.alloc(0)] : badKeys;
      const told = async (promise, what) => {
        const error = await refused(promise, `${protocol}: ${what}`);
        assert.equal(error.code, 'BMEMC_E_ARGUMENT', `${protocol}: ${what}: ${error.stack}`);
        assert.ok(error.notSent);
      };
      for (const [name, method] of Object.entries(keyed)) {
        for (const key of bad) await told(method(client, key), `${name}(${String(key).slice(0, 20)})`);
        const error = await refused(method(client, 'good'), name);
        assert.equal(error.code, 'BMEMC_E_CONNECTION', error.stack);
      }
      for (const cas of [0, -1, 'x', undefined]) await told(client.casMany([['good', 'x', cas]]), `casMany(${cas})`);
      await told(client.set('good', 'x', { ttl: 'x' }), 'ttl');
      await told(client.set('good', 'x', { server: 7 }), 'server');
      const all = await client.execute([{ opcode: 'get', key: '' }, { opcode: 'get', key: 'good' }]);
      assert.deepEqual(all.map(({ status }) => status), ['BMEMC_E_ARGUMENT', 'BMEMC_E_CONNECTION']);
      if (protocol === 'binary') continue; // which has none of these
      await told(client.stats('a\r\nb'), 'stats');
      await told(client.raw('a\r\nb'), 'raw');
      await told(client.metadump('a b').next(), 'metadump');
    }
  });

  it('options of wrong types, unknown ones, values out of range', async (t) => {
    const client = clientOf(t, server);
    for (const [name, method] of Object.entries({ ...keyed, ...keyless })) {
      if (name === 'call') continue;
      const withOptions = (options) => (keyed[name] ? method(client, 'key', options) : method(client, options));
      for (const options of [null, 5, 'ttl', true, Symbol('s'), () => 1]) {
        await refused(withOptions(options), `${name}(options ${String(options)})`, /options is .* an object is accepted/);
      }
      await refused(withOptions({ tll: 5 }), name, /there is no option tll here; there are timeoutMs, signal/);
      for (const timeoutMs of [0, -1, 1.5, NaN, 'x', 86_400_001, 5n, null]) {
        await refused(withOptions({ timeoutMs }), name, /timeoutMs is .*; a whole number from 1 to 86400000 is accepted/);
      }
      for (const signal of [null, 5, {}, 'abort']) await refused(withOptions({ signal }), name, /signal is .* an AbortSignal/);
      await refused(withOptions({ routingKey: 5 }), name, /routingKey is a number \(5\)/);
      await refused(withOptions(hostile), name, /a getter/);
    }
    for (const ttl of [1.5, NaN, '60', 2 ** 60, null, 5n]) await refused(client.set('a', 'b', { ttl }), 'set', /ttl is/);
    for (const flags of [-1, 2 ** 32, 1.5, '1']) await refused(client.set('a', 'b', { flags }), 'set', /flags is/);
    for (const cas of [-1, 2n ** 64n, 1.5, '1', null, {}]) await refused(client.cas('a', 'b', cas), 'cas', /cas is/);
    for (const cas of [0, 0n, undefined]) await refused(client.cas('a', 'b', cas), 'cas', /cas is/);
    for (const delta of [-1, 1.5, NaN, '1', null, {}, 2n ** 64n]) await refused(client.increment('a', delta), 'increment', /delta is/);
    for (const initial of [-1, '1']) await refused(client.increment('a', 1, { initial }), 'increment', /initial is/);
    for (const ttl of [undefined, '1', null]) {
      await refused(client.touch('a', ttl), 'touch', /ttl is/);
      await refused(client.getAndTouch('a', ttl), 'getAndTouch', /ttl is/);
    }
    for (const encoding of ['utf-9', 5, null]) await refused(client.get('a', { encoding }), 'get', /encoding is/);
    for (const raw of ['yes', 1, null]) await refused(client.get('a', { raw }), 'get', /raw is/);
    for (const compressLevel of [-2, 10, 'x']) await refused(client.set('a', 'b', { compressLevel }), 'set', /compressLevel is/);
    for (const level of [undefined, -1, 'x']) await refused(client.verbosity(level), 'verbosity', /level is/);
  });

  it('lists that are none', async (t) => {
    const client = clientOf(t, server);
    for (const list of [undefined, null, 5, 'abc', {}, true, proxy]) {
      for (const name of ['getMany', 'getsMany', 'deleteMany', 'execute']) await refused(client[name](list), `${name}(${typeof list})`);
    }
    for (const entries of [undefined, null, 5, 'abc', [['key']], ['ab'], [5], [null], proxy]) {
      await refused(client.setMany(entries), 'setMany');
      await refused(client.casMany(entries), 'casMany');
    }
    await refused(client.casMany([['key', 'value']]), 'casMany', /\[key, value, cas\] is accepted/);
    const thrower = (function* () {
      yield 'a';
      throw new Error('a getter in the middle');
    })();
    await refused(client.getMany(thrower), 'getMany', /in the middle/);
    assert.equal((await client.getMany([])).size, 0);
  });

  it('operations that are none', async (t) => {
    const client = clientOf(t, server);
    for (const operation of [...wrongTypes, { opcode: 'GET', key: 'a' }, { opcode: 1, key: 'a' }, { key: 'a' }]) {
      await refused(client.call(operation), 'call');
      await refused(client.execute([operation]), 'execute');
    }
    await refused(client.call({ opcode: 'get', key: 'a', tll: 1 }), 'call', /there is no option tll/);
    await refused(client.call({ opcode: 'set', key: 'a', value: NaN }), 'call', /NaN/);
    await refused(client.call({ opcode: 'get', key: 'a', metaFlags: 5 }), 'call', /metaFlags is a number/);
    for (const options of [null, 5, 'x', hostile]) {
      await refused(client.raw('version', options), 'raw');
      await refused(client.meta('mg', 'a', 'v', options), 'meta');
    }
    for (const word of [undefined, null, 5, {}, '']) {
      await refused(client.raw(word), 'raw');
      await refused(client.meta(word, 'a'), 'meta');
      await refused(client.meta('mg', word), 'meta');
    }
    await refused(client.raw('version', { end: 5 }), 'raw', /end is a number \(5\)/);
    await refused(client.execute([{ opcode: 'get', key: 'a', signal: AbortSignal.abort() }]), 'execute', /signal is an option of execute/);
  });

  it('a client of nothing, of nonsense, with options that there are not', () => {
    const create = (options) => () => new Client(options);
    for (const options of [null, 5, 'localhost', Symbol('s')]) assert.throws(create(options), ArgumentError);
    for (const servers of [undefined, [], '', 'host:99999', 'a b', ['ok', ''], 'x'.repeat(100_000)]) {
      assert.throws(create({ servers }), ArgumentError, String(servers));
    }
    for (const servers of [5, null, [5], [null], {}, { address: 5 }, { address: 'a', weight: 0 }, { address: 'a', weight: 1.5 },
      { address: 'a', weight: '1' }, { address: 'a', name: 5 }, [['a', 'b']]]) {
      assert.throws(create({ servers }), /server is|name of a server is|weight is/, String(servers));
    }
    const servers = '127.0.0.1:1';
    assert.throws(create({ servers, timeoutMS: 5 }), { code: 'BMEMC_E_ARGUMENT', message: /no option timeoutMS; there are servers, .*timeoutMs, connectTimeoutMs/ });
    assert.throws(create({ servers, timeoutMs: 0 }), /option timeoutMs: "0" is not .* 1 to 86400000/);
    assert.throws(create({ servers, timeoutMs: 'soon' }), /soon/);
    assert.throws(create({ servers, protocol: 'http' }), /http.*auto, text, meta, binary/);
    assert.throws(create({ servers, timeoutMs: {} }), /timeoutMs is an object/);
    assert.throws(create({ servers, timeoutMs: null }), /timeoutMs is null/);
    assert.throws(create({ servers, encoding: 'utf-9' }), /encoding is/);
    assert.throws(create({ servers, serializer: 'json' }), /serializer is/);
    assert.throws(create({ servers, deserializer: {} }), /deserializer is/);
    assert.throws(() => Client({ servers }), TypeError);
    const method = Client.prototype.get;
    assert.throws(() => method.call({}, 'a'), TypeError);
  });

  it('the words name what is wrong as it is called here, and what is accepted', async (t) => {
    const client = clientOf(t, server, { protocol: 'meta' });
    const hashed = clientOf(t, server, { mode: 'hashed', servers: [server.address] });
    const store = (options) => new BmemcStore({ client, ...options });
    const cases = [
      [() => new Client({}), /servers has none; 'host:port', .* is accepted/],
      [() => new Client({ servers: 'a', keyPrefix: 'a b' }), /option keyPrefix: "a b" is not text of up to 249 bytes/],
      [() => new Client({ servers: 'a', tls: true, tlsCaFile: '/timeout_ms' }), /^tlsCaFile: "\/timeout_ms" cannot be read/],
      [() => client.setOption('timeoutMs', 5), /option timeoutMs is fixed .* reconnectDelayMs alone/],
      [() => client.setOption('timeout', 5), /there is no option timeout; there are profile, protocol, timeoutMs/],
      [() => client.setOption('reconnectDelayMs'), /reconnectDelayMs is undefined; a string, a number or true or false/],
      [() => client.setOption(), /name is undefined; a string/],
      [() => client.setCredentials('x'.repeat(5000), 'y'), /username has 5000 bytes or more; it may have 4096/],
      [() => client.setCredentials('x', 123456), /^password is number; a string or a Buffer is accepted$/], // not shown
      [() => client.encode('x', null), /options is null; an object/],
      [() => client.pool('x'), /server is a string \(x\); a whole number from -1/],
      [() => hashed.removeServer(), /name is undefined; a string/],
      [() => hashed.replaceServers(), /servers has none; 'host:port'/],
      [() => client.touch('a'), /ttl is undefined; a whole number of seconds/],
      [() => client.getsAndTouch('a'), /ttl is undefined; a whole number of seconds/],
      [() => client.cas('a', 'b'), /cas is undefined; a whole number or bigint from 0/],
      [() => client.verbosity(), /level is undefined; a whole number from 0 to 4294967295/],
      [() => client.cacheMemlimit('64m'), /megabytes is a string \(64m\); a whole number or bigint from 0/],
      [() => client.flushAll({ delta: 1 }), /no option delta here; there are .*server, ttl, noReply/],
      [() => client.version({ ttl: 1 }), /no option ttl here; there are .*server$/],
      [() => client.shutdown({ graceful: 1 }), /graceful is a number \(1\); true or false/],
      [() => client.stats('bogus'), /stats bogus: /],
      [() => client.meta(5, 'a'), /command is a number \(5\); a string/],
      [() => client.meta('mg', 'a', 5), /flags is a number \(5\); a string/],
      [() => client.meta('xx', 'a'), /^metaFlags begins with "xx"; it begins with mg, ms/],
      [() => client.raw(5), /line is a number \(5\); a string or a Buffer/],
      [() => client.raw('mn\r\nmn'), /more than one line; then `end` must say/],
      [() => client.get('x'.repeat(5000)), /key has 5000 bytes or more; a key has 1 to 250, and up to 4096 where longKeys hashes it/],
      [() => client.get('timeout_ms "no_delay" compress_level'), /^key "timeout_ms \\"no_delay\\" compress_level": byte 0x20/],
      [() => new TestServer(null), /options is null; an object is accepted, such as \{ listen/],
      [() => new TestServer({ nothing: 1 }), /"nothing" cannot be set; there are advanceSeconds, /],
      [() => server.set({ advanceSeconds: 'x' }), /^advanceSeconds: "x" is not a number of seconds/],
      [() => store({ client: 5 }), /client is a number \(5\); a Client/],
      [() => store({ prefix: 5 }), /prefix is a number \(5\); a string/],
      [() => store({ ttl: '60' }), /ttl is a string \(60\); a whole number from 0 to 999999999/],
      [() => new BmemcStore(null), /options is null; an object/],
      [() => new KeyvBmemc(), /servers has none/],
    ];
    for (const [call, words] of cases) {
      const error = await (async () => call())().then((value) => assert.fail(`${call} answered ${value}`), (error) => error);
      assert.ok(error instanceof BmemcError, `${call}: ${error.stack}`);
      assert.match(error.message, words, `${call}`);
    }
  });

  it('servers, counters, test servers', async (t) => {
    const client = clientOf(t, server);
    for (const number of [-2, 1, 99, 1.5, 'x', null, 2 ** 40]) assert.throws(() => client.counters(number), ArgumentError, String(number));
    for (const bad of [undefined, null, 5, '', { address: 5 }]) assert.throws(() => client.addServer(bad), BmemcError);
    for (const listen of [null, 5, {}, 'host:x', 'a b:0']) assert.throws(() => new TestServer({ listen }), ArgumentError, String(listen));
    assert.throws(() => new TestServer({ listen: server.address }), { code: 'BMEMC_E_CONNECTION', osError: 98 });
    assert.throws(() => new TestServer({ listen: '/nonexistent/x.sock' }), bmemc.ConnectionError);
    assert.equal(await client.get('still'), undefined);
  });
});
