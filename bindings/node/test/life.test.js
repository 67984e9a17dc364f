// The life of a client: deadlines, cancelling, closing, servers that die or lie, and what becomes of the process.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const { describe, it, before, after } = require('node:test');
const { setFlagsFromString } = require('node:v8');
const vm = require('node:vm');
const { Worker } = require('node:worker_threads');
const {
  Client, TimeoutError, CancelledError, ClosedError, ConnectionError, DnsError, BusyError, BmemcError,
  ServerError, ClientError,
} = require('bmemc');
const { TestServer } = require('bmemc/testing');
const { promised, startMemcached, startScripted, clientOf, until, run } = require('./helpers.js');

const fails = (promise) => promise.then((value) => assert.fail(`it answered ${value}`), (error) => error);

describe('deadlines', () => {
  it('a server that says nothing: TimeoutError, by the client and by the call', async (t) => {
    const server = await startScripted(() => null);
    t.after(() => server.close());
    const client = clientOf(t, server, { protocol: 'text', timeoutMs: 100 });
    const error = await fails(client.get('a'));
    assert.ok(error instanceof TimeoutError, error.stack);
    assert.equal(error.code, 'BMEMC_E_TIMEOUT');
    const slow = clientOf(t, server, { protocol: 'text', timeoutMs: 60_000 });
    assert.ok((await fails(slow.get('a', { timeoutMs: 50 }))) instanceof TimeoutError);
    assert.ok((await fails(slow.getMany(['a', 'b'], { timeoutMs: 50 }))).errors.get('b') instanceof TimeoutError);
    const written = await fails(slow.set('a', 'b', { timeoutMs: 50 }));
    assert.ok(written instanceof TimeoutError && written.outcomeUnknown && !written.notSent, written.stack);
  });

  it('nobody listens, and a name that is none', async (t) => {
    const server = new TestServer();
    server.close();
    const refused = clientOf(t, server);
    const error = await fails(refused.get('a'));
    assert.ok(error instanceof ConnectionError, error.stack);
    assert.ok(error.notSent && !error.outcomeUnknown && error.osError > 0);
    assert.ok((await fails(refused.set('a', 'b'))) instanceof ConnectionError);
    const nowhere = clientOf(t, { address: 'no-such-host.invalid:11211' });
    assert.ok((await fails(nowhere.get('a'))) instanceof DnsError);
    const gone = clientOf(t, { address: '/nonexistent/memcached.sock' });
    assert.ok((await fails(gone.get('a'))) instanceof ConnectionError);
  });
});

describe('cancelling', () => {
  let server;
  before(async () => (server = await startScripted(() => null)));
  after(() => server.close());

  it('before and while a call is under way', async (t) => {
    const client = clientOf(t, server, { protocol: 'text' });
    const early = await fails(client.get('a', { signal: AbortSignal.abort('why') }));
    assert.ok(early instanceof CancelledError);
    assert.equal(early.name, 'AbortError');
    assert.equal(early.cause, 'why');
    assert.ok(early.notSent);
    for (const turn of ['the same', 'a later']) {
      const controller = new AbortController();
      const calls = [
        client.get('a', { signal: controller.signal }),
        client.set('a', 'b', { signal: controller.signal }),
        client.increment('a', 1, { signal: controller.signal }),
        client.call({ opcode: 'get', key: 'a', signal: controller.signal }),
      ];
      const many = client.getMany(['a', 'b', 'c'], { signal: controller.signal });
      if (turn === 'a later') await new Promise((resolve) => setTimeout(resolve, 20));
      controller.abort(new Error('enough'));
      for (const call of calls) {
        const error = await fails(call);
        assert.ok(error instanceof CancelledError, `${turn}: ${error.stack}`);
        assert.equal(error.cause.message, 'enough');
      }
      const error = await fails(many);
      assert.equal(error.errors.size, 3);
      for (const each of error.errors.values()) assert.ok(each instanceof CancelledError);
    }
  });

  it('a signal of AbortSignal.timeout; others are not touched', async (t) => {
    const client = clientOf(t, server, { protocol: 'text', timeoutMs: 300 });
    const other = fails(client.get('other'));
    const error = await fails(client.get('a', { signal: AbortSignal.timeout(30) }));
    assert.ok(error instanceof CancelledError);
    assert.equal(error.cause.name, 'TimeoutError');
    assert.ok((await other) instanceof TimeoutError);
  });

  it('an abort after the end does nothing, and no listener is left', async (t) => {
    const embedded = new TestServer();
    t.after(() => embedded.close());
    const client = clientOf(t, embedded);
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const [add, remove] = [signal.addEventListener, signal.removeEventListener];
    signal.addEventListener = (...args) => (listeners++, add.apply(signal, args));
    signal.removeEventListener = (...args) => (listeners--, remove.apply(signal, args));
    for (let i = 0; i < 20; i++) await client.get('a', { signal });
    await fails(client.get('a b', { signal, timeoutMs: 1000 }));
    await fails(client.set('x'.repeat(5000), 'b', { signal }));
    await client.set('a', Buffer.alloc(100_000), { signal });
    assert.equal(listeners, 0);
    controller.abort();
    assert.equal((await client.get('a')).length, 100_000);
  });
});

describe('closing', () => {
  it('what is under way and what comes later is a ClosedError; twice is once', async (t) => {
    const server = await startScripted(() => null);
    t.after(() => server.close());
    const client = new Client({ servers: server.address, protocol: 'text', timeoutMs: 60_000 });
    const sent = [client.get('a'), client.set('b', 'c'), client.set('large', Buffer.alloc(1 << 20))];
    await new Promise((resolve) => setTimeout(resolve, 20));
    const unsent = [client.get('d'), client.getMany(['e', 'f'])];
    const errors = Promise.all([...sent, ...unsent].map(fails));
    const closed = client.close();
    assert.equal(client.close(), closed);
    await closed;
    for (const error of await errors) assert.equal(error.code, 'BMEMC_E_CLOSED', error.stack);
    const after = await fails(client.get('a'));
    assert.ok(after instanceof ClosedError && after.notSent);
    await assert.rejects(client.getMany(['a']), { code: 'BMEMC_E_CLOSED' });
    await assert.rejects(client.call({ opcode: 'noop' }), ClosedError);
    assert.throws(() => client.servers, ClosedError);
    assert.throws(() => client.counters(), ClosedError);
    assert.throws(() => client.addServer('127.0.0.1:1'), ClosedError);
    assert.throws(() => client.removeServer('a'), ClosedError);
    await client[Symbol.asyncDispose]();
  });

  it('every method of a closed client fails; one that gives a promise does not throw', async (t) => {
    const server = new TestServer();
    t.after(() => server.close());
    const client = new Client({ servers: server.address });
    await client.close();
    const direct = {
      addServer: ['a:1'], removeServer: ['a'], pool: [], health: [0], disconnectAll: [], checkKey: ['a'], serverFor: ['a'],
      replaceServers: ['a:1'], setCredentials: ['a', 'b'], setOption: ['timeoutMs', 5], encode: ['a'], decode: ['a'], counters: [],
    };
    const others = ['constructor', 'servers', 'metadump', 'execute', 'close'];
    const all = Object.getOwnPropertyNames(Client.prototype).sort();
    assert.deepEqual([...Object.keys(promised), ...Object.keys(direct), ...others].sort(), all);
    for (const [name, method] of Object.entries(promised)) {
      let promise;
      assert.doesNotThrow(() => (promise = method(client)), name);
      assert.equal((await fails(promise)).code, 'BMEMC_E_CLOSED', name);
    }
    for (const [name, args] of Object.entries(direct)) assert.throws(() => client[name](...args), ClosedError, name);
    await assert.rejects(client.stats('', { server: 0 }), ClosedError);
    const [answer] = await client.execute([{ opcode: 'noop' }]);
    assert.ok(answer.error instanceof ClosedError);
    assert.throws(() => client.servers, ClosedError);
    const dump = client.metadump();
    await assert.rejects(dump.next(), ClosedError);
    assert.equal((await dump.next()).done, true);
  });

  it('await using, as a compiler of TypeScript writes it', async () => {
    const server = new TestServer();
    const client = new Client({ servers: server.address });
    try {
      assert.equal(await client.set('a', 'b'), true);
    } finally {
      await client[Symbol.asyncDispose]();
      server[Symbol.dispose]();
    }
    await assert.rejects(client.get('a'), ClosedError);
  });

  it('a closed client does not disturb the one that gets its place', async () => {
    const server = new TestServer();
    for (let i = 0; i < 50; i++) {
      const client = new Client({ servers: server.address });
      if (i % 3 === 0) await client.set(`k${i}`, 'v');
      const lost = i % 3 === 1 ? fails(client.get('a')) : undefined;
      client.close();
      const next = new Client({ servers: server.address });
      assert.equal(await next.get('nothing'), undefined);
      await next.close();
      if (lost) assert.ok((await lost) instanceof ClosedError);
    }
    server.close();
    server.close();
  });

  /** A dump of a client that is closed in the middle of it. */
  const dumpLeftOpen = async (server) => {
    for (let tries = 0; ; tries++) {
      const client = new Client({ servers: server.address, protocol: 'text' });
      const dump = client.metadump();
      const error = await dump.next().then(() => undefined, (error) => error);
      await client.close();
      if (error === undefined) return dump;
      if (tries === 500 || !/BUSY/.test(error.message)) throw error; // memcached is busy with the one before
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };

  it('a dump that ends later than its client does not disturb the clients that come meanwhile', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    await clientOf(t, server).setMany(Array.from({ length: 2000 }, (_, i) => [`k${i}`, 'v']));
    for (let i = 0; i < 5; i++) {
      const dump = await dumpLeftOpen(server);
      const others = Array.from({ length: 4 }, () => clientOf(t, server));
      if (i % 2) await dump.return();
      else await assert.rejects(async () => { for (;;) assert.ok(!(await dump.next()).done); }, ClosedError);
      for (const other of others) assert.equal((await other.get('k1')).toString(), 'v');
    }
  });

  it('a dump that is never ended gives its number back once it is collected', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    await clientOf(t, server).setMany(Array.from({ length: 2000 }, (_, i) => [`k${i}`, 'v']));
    const { native } = require('../lib/engine.js');
    const highest = () => {
      const numbers = Array.from({ length: 40 }, () => native.server('')[0]);
      numbers.forEach(native.close);
      return Math.max(...numbers);
    };
    setFlagsFromString('--expose-gc');
    const gc = vm.runInNewContext('gc');
    const before = highest();
    for (let i = 0; i < 10; i++) await dumpLeftOpen(server);
    await until(() => (gc(), highest() <= before), 'the numbers of 10 dumps');
  });
});

describe('servers that die or lie', () => {
  it('a server that is killed and comes back', async (t) => {
    const server = await startMemcached({ unix: true });
    const client = clientOf(t, server);
    await client.set('a', 'b');
    await server.close();
    assert.ok((await fails(client.get('a'))) instanceof ConnectionError);
    assert.ok((await fails(client.get('a'))) instanceof ConnectionError);
    const again = new TestServer({ listen: server.address });
    t.after(() => again.close());
    await until(() => true, 'nothing');
    let value = 'not asked';
    await until(() => (client.get('a').then((got) => (value = got), () => {}), value === undefined), 'a miss');
  });

  it('a server that stops in mid-answer: every promise is settled', async (t) => {
    let answered = 0;
    const server = await startScripted((chunk, socket) => {
      if (++answered > 1) return null;
      socket.end('VALUE a 0 100\r\nonly this');
      return null;
    });
    t.after(() => server.close());
    const client = clientOf(t, server, { protocol: 'text', timeoutMs: 200 });
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => client.get('a')));
    assert.ok(results.every((result) => result.status === 'rejected' && result.reason instanceof BmemcError));
  });

  for (const [what, answer] of Object.entries({
    'noise': 'HTTP/1.1 400 Bad Request\r\n\r\n',
    'another key': 'VALUE b 0 1\r\nx\r\nEND\r\n',
    'a negative length': 'VALUE a 0 -1\r\n\r\nEND\r\n',
    'a length beyond any memory': 'VALUE a 0 99999999999999999999\r\n',
    'a value larger than is accepted': 'VALUE a 0 1073741824\r\n',
    'no end of a line': 'x'.repeat(100_000),
  })) {
    it(`a server that answers ${what}`, async (t) => {
      const server = await startScripted(() => answer);
      t.after(() => server.close());
      const client = clientOf(t, server, { protocol: 'text', timeoutMs: 2000 });
      const error = await fails(client.get('a'));
      assert.ok(error instanceof BmemcError, error.stack);
      assert.ok(!(error instanceof TimeoutError), error.stack);
    });
  }

  it("the server's own words", async (t) => {
    let answer = 'SERVER_ERROR out of memory reading request\r\n';
    const server = await startScripted(() => answer);
    t.after(() => server.close());
    const client = clientOf(t, server, { protocol: 'text' });
    const error = await fails(client.get('a'));
    assert.ok(error instanceof ServerError, error.stack);
    assert.match(error.message, /out of memory reading request/);
    answer = 'CLIENT_ERROR nonsense\r\n';
    const other = await fails(client.get('a'));
    assert.ok(other instanceof ClientError, other.stack);
    assert.match(other.message, /nonsense/);
  });

  it('more than maxWaiting: BusyError for these, answers for the others', async (t) => {
    const server = new TestServer();
    t.after(() => server.close());
    const client = clientOf(t, server, { maxWaiting: 10 });
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => client.get('a')));
    const busy = results.filter((result) => result.reason instanceof BusyError).length;
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 50 - busy);
    assert.ok(busy >= 1 && busy <= 40, `${busy} were refused`);
    assert.equal(await client.get('a'), undefined);
  });
});

describe('the process', () => {
  const prelude = `
    const { Client } = require('bmemc'); const { TestServer } = require('bmemc/testing');
    const server = new TestServer(); const client = new Client({ servers: server.address });
  `;

  it('an idle client does not keep it alive', async () => {
    const ended = await run(`${prelude} client.set('a', 'b').then(() => client.get('a')).then((v) => console.log(v.toString()));`);
    assert.deepEqual([ended.code, ended.signal, ended.output.trim()], [0, null, 'b'], ended.output);
    const unused = await run(prelude);
    assert.equal(unused.code, 0, unused.output);
    const loaded = await run(`require('bmemc'); import('bmemc/testing').then(() => console.log('ok'))`);
    assert.deepEqual([loaded.code, loaded.output.trim()], [0, 'ok']);
  });

  it('a call under way does, until it is answered', async () => {
    const ended = await run(`
      const { Client } = require('bmemc');
      const silent = require('net').createServer(() => {}).listen(0, '127.0.0.1', () => {
        silent.unref();
        const client = new Client({ servers: '127.0.0.1:' + silent.address().port, timeoutMs: 300, protocol: 'text' });
        client.get('a').catch((error) => console.log(error.code));
      });`);
    assert.deepEqual([ended.code, ended.output.trim()], [0, 'BMEMC_E_TIMEOUT'], ended.output);
  });

  it('process.exit in mid-flight', async () => {
    for (const when of ['', 'setImmediate(() => {', 'client.get("a").then(() => {']) {
      const ended = await run(`${prelude}
        for (let i = 0; i < 2000; i++) { client.get('a').catch(() => {}); client.set('b', Buffer.alloc(70000)).catch(() => {}); }
        ${when} process.exit(7) ${when && '})'}`);
      assert.deepEqual([ended.code, ended.signal, ended.output], [7, null, '']);
    }
  });

  it('an exception that nobody catches is told as always', async () => {
    const ended = await run(`${prelude} client.get('a').then(() => { throw new Error('mine'); });`);
    assert.equal(ended.code, 1);
    assert.match(ended.output, /Error: mine/);
    const survived = await run(`${prelude}
      process.on('uncaughtException', (error) => console.log('caught', error.message));
      client.get('a').then(() => { process.nextTick(() => { throw new Error('mine'); }); return client.get('b'); })
        .then((value) => console.log('still', value));`);
    assert.equal(survived.code, 0, survived.output);
    assert.match(survived.output, /caught mine/);
    assert.match(survived.output, /still undefined/);
  });

  it('fork: the addon in a child process is its own', async () => {
    const ended = await run(`${prelude}
      const { execFileSync } = require('child_process');
      client.set('a', 'b').then(() => {
        const child = execFileSync(process.execPath, ['-e', \`
          const { Client } = require('bmemc');
          new Client({ servers: process.argv[1], encoding: 'utf8' }).get('a').then(console.log);\`, server.address]);
        console.log(child.toString().trim());
      });`);
    assert.deepEqual([ended.code, ended.output.trim()], [0, 'b'], ended.output);
  });
});

describe('worker threads', () => {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Client } = require(${JSON.stringify(require.resolve('bmemc'))});
    const client = new Client({ servers: workerData.address, encoding: 'utf8', timeoutMs: 30000 });
    let done = 0;
    async function loop(id) {
      for (let i = 0; workerData.rounds === 0 || i < workerData.rounds; i++) {
        const key = 'w' + workerData.id + ':' + id;
        await client.set(key, String(i));
        const value = await client.get(key);
        if (value !== String(i)) throw new Error(key + ' is ' + value + ', not ' + i);
        if (++done % 500 === 0) parentPort.postMessage(done);
      }
    }
    Promise.all(Array.from({ length: 50 }, (_, id) => loop(id))).then(() => parentPort.postMessage('done'));`;
  const start = (data) => {
    const worker = new Worker(program, { eval: true, workerData: data });
    const messages = [];
    worker.on('message', (message) => messages.push(message));
    const ended = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
    return { worker, messages, ended };
  };

  it('several at once, each with its own queue', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    const workers = [1, 2, 3].map((id) => start({ address: server.address, id, rounds: 40 }));
    for (const { ended, messages } of workers) {
      assert.equal(await ended, 0);
      assert.equal(messages.at(-1), 'done');
    }
  });

  it('terminated in mid-flight, again and again', async (t) => {
    const server = new TestServer();
    t.after(() => server.close());
    const client = clientOf(t, server);
    for (let round = 0; round < 8; round++) {
      const one = start({ address: server.address, id: round, rounds: 0 });
      await until(() => one.messages.length > 0, 'a worker to work');
      await one.worker.terminate();
      assert.equal(await client.get('nothing'), undefined);
    }
  });

  it('a worker whose embedded server is ended with it', async () => {
    const worker = new Worker(`
      const { TestServer } = require(${JSON.stringify(require.resolve('bmemc/testing'))});
      const { Client } = require(${JSON.stringify(require.resolve('bmemc'))});
      const client = new Client({ servers: new TestServer().address });
      client.set('a', 'b').then(() => require('node:worker_threads').parentPort.postMessage('stored'));
      setInterval(() => client.get('a'), 1);`, { eval: true });
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    await worker.terminate();
  });
});

describe('vm contexts', () => {
  it('keys, values, options and signals of another realm', async (t) => {
    const server = new TestServer();
    t.after(() => server.close());
    const client = clientOf(t, server);
    const context = vm.createContext({ client, AbortController, Buffer });
    const found = await vm.runInContext(`(async () => {
      const bytes = new Uint8Array([1, 2, 3]);
      await client.set(new Uint8Array([107]), bytes, { ttl: 100 });
      await client.set('view', new DataView(bytes.buffer, 1));
      await client.set('words', new Uint16Array([0x4142]));
      await client.set('buffer', bytes.buffer);
      await client.setMany(new Map([['map', 'm']]));
      const aborted = new AbortController();
      aborted.abort();
      const error = await client.get('k', { signal: aborted.signal }).catch((error) => error);
      return [await client.get('k'), await client.get('view'), await client.get('words'), await client.get('buffer'),
              (await client.getMany(['map'], { encoding: 'utf8' })).get('map'), error.name];
    })()`, context);
    assert.deepEqual([...found].map((each) => (Buffer.isBuffer(each) ? [...each] : each)),
      [[1, 2, 3], [2, 3], [0x42, 0x41], [1, 2, 3], 'm', 'AbortError']);
  });

  it('the package itself loaded in a context of its own, as Jest does', async (t) => {
    const server = new TestServer();
    t.after(() => server.close());
    const context = vm.createContext({ process, Buffer, AbortController, setTimeout, setImmediate, WeakRef });
    const modules = new Map();
    const load = (file) => {
      if (modules.has(file)) return modules.get(file).exports;
      const module = { exports: {} };
      modules.set(file, module);
      const own = createRequire(file);
      const inside = (name) => (name.startsWith('.') && name.endsWith('.js') ? load(own.resolve(name)) : own(name));
      const names = ['exports', 'require', 'module', '__filename', '__dirname'];
      vm.compileFunction(fs.readFileSync(file, 'utf8'), names, { filename: file, parsingContext: context })(
        module.exports, inside, module, file, path.dirname(file));
      return module.exports;
    };
    context.bmemc = load(require.resolve('bmemc'));
    assert.notEqual(context.bmemc.Client, Client);
    context.address = server.address;
    const found = await vm.runInContext(`(async () => {
      const client = new bmemc.Client({ servers: address });
      await client.set('object', { a: [1] });
      await client.set('bytes', new Uint8Array([1, 2]));
      const [object, bytes] = await Promise.all([client.get('object'), client.get('bytes')]);
      const error = await client.get('').catch((error) => error);
      const controller = new AbortController();
      const aborted = client.getMany(['a'], { signal: controller.signal }).catch((error) => error);
      controller.abort();
      const many = await client.getMany(['object', 'none']);
      await client.close();
      return [
        object instanceof Object && object.a instanceof Array, Buffer.isBuffer(bytes) && bytes.length === 2,
        error instanceof Error && error instanceof bmemc.ArgumentError, (await aborted).errors.get('a').name, many instanceof Map && many.size,
      ];
    })()`, context);
    assert.deepEqual([...found], [true, true, true, 'AbortError', 1]);
  });

  it('the package loaded twice, as test runners do', async (t) => {
    const server = new TestServer();
    t.after(() => server.close());
    const client = clientOf(t, server, { encoding: 'utf8' });
    const kept = { ...require.cache };
    for (const name of Object.keys(require.cache)) if (name.includes('/lib/')) delete require.cache[name];
    const again = require('bmemc');
    Object.assign(require.cache, kept);
    assert.notEqual(again.Client, Client);
    const second = new again.Client({ servers: server.address, encoding: 'utf8' });
    await Promise.all([client.set('a', '1'), second.set('b', '2')]);
    assert.deepEqual(await Promise.all([client.get('b'), second.get('a')]), ['2', '1']);
    await second.close();
  });
});

describe('events', () => {
  it('connected, closed, connectFailed, slow', async (t) => {
    const server = await startMemcached({ unix: true });
    const client = clientOf(t, server);
    const told = [];
    for (const kind of ['connected', 'closed', 'connectFailed']) client.on(kind, (event) => told.push([kind, event]));
    await client.get('a');
    await server.close();
    await fails(client.get('a'));
    await fails(client.get('a'));
    await until(() => told.some(([kind]) => kind === 'connectFailed'), 'a connection that fails');
    assert.equal(told[0][0], 'connected');
    assert.equal(told[0][1].server, 0);
    assert.ok(told[0][1].elapsedUs > 0 && told[0][1].error === undefined);
    assert.ok(told.some(([kind]) => kind === 'closed'));
    const [, failed] = told.find(([kind]) => kind === 'connectFailed');
    assert.ok(failed.error instanceof ConnectionError && failed.message.includes(server.address));
  });

  it('a listener may use the client, and what it throws is its own', async () => {
    const ended = await run(`
      const { Client } = require('bmemc'); const { TestServer } = require('bmemc/testing');
      const server = new TestServer(); const client = new Client({ servers: server.address });
      process.on('uncaughtException', (error) => console.log('caught', error.message));
      client.on('connected', async () => { console.log('in', await client.get('b')); client.close(); });
      client.on('connected', () => { throw new Error('mine'); });
      client.get('a').then((value) => console.log('a', value));`);
    assert.equal(ended.code, 0, ended.output);
    for (const line of ['in undefined', 'caught mine', 'a undefined']) assert.ok(ended.output.includes(line), ended.output);
  });
});
