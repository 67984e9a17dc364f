// Several servers: every mode, servers that come and go, one that is dead, and calls about servers.
'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { setFlagsFromString } = require('node:v8');
const vm = require('node:vm');
const { Client, HashRing, parseAddress, PartialError, ConnectionError, ArgumentError } = require('bmemc');
const { TestServer } = require('bmemc/testing');
const { clientOf, dumpOf, run, startMemcached } = require('./helpers.js');

const keys = Array.from({ length: 300 }, (_, i) => `servers:${i}`);

async function start(t, count) {
  const servers = [await startMemcached({ unix: true })];
  while (servers.length < count) servers.push(new TestServer());
  for (const server of servers) t.after(() => server.close());
  return servers;
}

/** A client of all of them. */
function all(t, servers, options) {
  return clientOf(t, { address: servers.map((server) => server.address) }, options);
}

describe('mode hashed', () => {
  it('each key is where the ring says, alone and with others', async (t) => {
    const servers = await start(t, 3);
    for (const distribution of ['rendezvous', 'ketama']) {
      const client = all(t, servers, { mode: 'hashed', distribution });
      const ring = new HashRing({ servers: servers.map((server) => server.address), distribution });
      await client.setMany(keys.map((key) => [key, `of ${key}`]));
      const single = servers.map((server) => clientOf(t, server));
      const there = await Promise.all(single.map((each) => each.getMany(keys)));
      for (const key of keys) assert.deepEqual(there.map((found) => found.has(key)), [0, 1, 2].map((i) => i === ring.get(key)), key);
      const found = await client.getMany(keys);
      assert.deepEqual([...found.keys()], keys);
      for (const key of keys) assert.equal(await client.get(key), `of ${key}`);
      assert.equal(await client.deleteMany(keys), keys.length);
    }
  });

  it('routingKey and server', async (t) => {
    const servers = await start(t, 3);
    const client = all(t, servers, { mode: 'hashed' });
    const together = { routingKey: 'user:1' };
    await client.setMany(keys.map((key) => [key, 1]), together);
    const counts = await Promise.all(servers.map((server) => clientOf(t, server).getMany(keys)));
    assert.deepEqual(counts.map((found) => found.size).sort(), [0, 0, keys.length]);
    assert.equal((await client.getMany(keys, together)).size, keys.length);
    for (let server = 0; server < 3; server++) {
      const answer = await client.call({ opcode: 'get', key: keys[0], server });
      assert.equal(answer.server, server);
    }
    await assert.rejects(client.version({ server: 3 }), ArgumentError);
    for (const server of [-1, 1.5, '1', null]) await assert.rejects(client.version({ server }), ArgumentError);
  });

  it("a user's route", async (t) => {
    const servers = await start(t, 3);
    const client = all(t, servers, { mode: 'hashed', route: (key, count) => Number(key.toString().split(':')[1]) % count });
    await client.setMany(keys.map((key) => [key, 1]));
    const found = await clientOf(t, servers[1]).getMany(keys);
    assert.deepEqual([...found.keys()], keys.filter((_, i) => i % 3 === 1));
  });

  it("a user's route that chooses none, or throws, costs that key", async (t) => {
    const servers = await start(t, 2);
    const none = { far: 2, less: -1, half: 'x', nothing: undefined };
    const route = (key) => {
      const name = key.toString();
      if (name === 'throws') throw new Error('mine');
      return name in none ? none[name] : Number(name);
    };
    const client = all(t, servers, { mode: 'hashed', route });
    for (const wrong of [...Object.keys(none), 'throws']) {
      const answers = await client.execute(['0', wrong, '1'].map((key) => ({ opcode: 'set', key, value: wrong })));
      assert.deepEqual(answers.map(({ error }) => error instanceof ConnectionError), [false, true, false], wrong);
      await assert.rejects(client.get(wrong), ConnectionError);
      assert.deepEqual(await Promise.all([client.get('0'), client.get('1')]), [wrong, wrong]);
    }
  });

  it('servers that an endpoint lists', async (t) => {
    const [endpoint, ...servers] = Array.from({ length: 3 }, () => new TestServer());
    for (const server of [endpoint, ...servers]) t.after(() => server.close());
    const list = (version, nodes) => endpoint.set({ cluster: `${version}\n${nodes.map(({ address }) => address.replace('127.0.0.1:', '127.0.0.1||')).join(' ')}` });
    list(1, [servers[0]]);
    const client = all(t, [endpoint], { discovery: 'elasticache', discoveryIntervalMs: 10 });
    const changed = [];
    client.on('serversChanged', ({ message }) => changed.push(message));
    const stats = await client.stats(); // the first call waits to know whom to ask
    assert.deepEqual([...stats.keys()], [servers[0].address]);
    assert.deepEqual(client.servers.map(({ address }) => address), [servers[0].address]);
    list(2, [servers[0], servers[1]]);
    while (client.servers.length < 2) {
      await client.set('k', 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await client.set('k', 1);
    assert.ok(changed.at(-1).endsWith(`+${servers[1].address}`), changed);
  });

  it('servers that a function finds', async (t) => {
    const servers = await start(t, 1);
    let asked = 0;
    const discover = () => {
      if (asked++ === 0) throw new Error('not yet');
      return [{ address: servers[0].address, name: 'one' }];
    };
    const client = all(t, [], { discover, discoveryIntervalMs: 10 });
    await assert.rejects(client.stats(), ConnectionError);
    while (!client.servers.length) {
      await client.set('k', 1).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(client.servers[0].name, 'one');
    assert.throws(() => all(t, [], { discover: 5 }), ArgumentError);
  });

  it('a dead server: its keys fail, the others are answered', async (t) => {
    const servers = await start(t, 3);
    const client = all(t, servers, { mode: 'hashed' });
    await client.setMany(keys.map((key) => [key, 1]));
    await servers[0].close();
    const error = await client.getMany(keys).then(assert.fail, (error) => error);
    assert.ok(error instanceof PartialError, error.stack);
    assert.equal(error.values.size + error.errors.size, keys.length);
    assert.ok(error.values.size > 100 && error.errors.size > 30);
    for (const each of error.errors.values()) assert.ok(each instanceof ConnectionError && each.server === 0, each.stack);
    const unstored = await client.setMany(keys.map((key) => [key, 2])).then(assert.fail, (error) => error);
    assert.deepEqual([...unstored.errors.keys()], keys.filter((key) => client.serverFor(key).server === 0));
  });
});

describe('mode replicated', () => {
  it('all have all keys; the first that has it answers', async (t) => {
    const servers = await start(t, 3);
    const client = all(t, servers, { mode: 'replicated' });
    await client.set('a', 'b');
    for (const server of servers) assert.equal(await clientOf(t, server).get('a'), 'b');
    await clientOf(t, servers[0]).delete('a');
    assert.equal(await client.get('a'), 'b');
    await servers[0].close();
    assert.equal(await client.get('a'), 'b');
  });

  it('each tells its own result where it is asked by name', async (t) => {
    const servers = await start(t, 2);
    const client = all(t, servers, { mode: 'replicated' });
    await clientOf(t, servers[1]).set('a', 'b');
    for (const opcode of ['get', 'delete']) {
      const answers = await client.execute([0, 1].map((server) => ({ opcode, key: 'a', server })));
      assert.deepEqual(answers.map(({ server, status }) => [server, status]), [[0, 'BMEMC_NOT_FOUND'], [1, 'BMEMC_OK']], opcode);
    }
  });
});

describe('a client of clients', () => {
  it('reads the first that has it, writes to the first', async (t) => {
    const servers = await start(t, 2);
    const [current, former] = servers.map((server) => clientOf(t, server, { encoding: 'latin1' }));
    const client = new Client({ clients: [current, former] });
    t.after(() => client.close());
    await former.set('old', { from: 'former' });
    await client.set('new', 'to current');
    assert.deepEqual(await client.get('old'), { from: 'former' });
    assert.deepEqual(await client.getMany(['old', 'new', 'none']), new Map([['old', { from: 'former' }], ['new', 'to current']]));
    assert.equal(await former.get('new'), undefined);
    assert.equal(await client.get('none'), undefined);
    await client.set('bytes', Buffer.from([255]));
    assert.equal(await client.get('bytes'), '\xff');
    await former.close();
    for (const clients of [[], [5], 5, 'ab', [former], Array(17).fill(current)]) {
      assert.throws(() => new Client({ clients }), (error) => /ARGUMENT|CLOSED/.test(error.code), String(clients.length));
    }
    assert.throws(() => new Client({ clients: [current], timeoutMs: 5 }), /timeoutMs cannot be set/);
  });

  it('keeps its clients and their functions, however they were given', async (t) => {
    const servers = await start(t, 2);
    setFlagsFromString('--expose-gc');
    const gc = vm.runInNewContext('gc');
    const one = function* () { yield new Client({ servers: servers.map(({ address }) => address), route: () => 1 }); };
    const client = new Client({ clients: one() });
    t.after(() => client.close());
    for (let i = 0; i < 5; i++) {
      gc();
      await new Promise(setImmediate);
    }
    clientOf(t, servers[0]); // it has the next number that is free
    for (const key of keys) await client.set(key, 'kept');
    assert.deepEqual(await clientOf(t, servers[0]).getMany(keys), new Map());
    assert.equal((await clientOf(t, servers[1]).getMany(keys)).size, keys.length);
  });
});

describe('servers that come and go', () => {
  it('addServer, removeServer, replaceServers, serverFor', async (t) => {
    const servers = await start(t, 3);
    const client = all(t, servers.slice(0, 2), { mode: 'hashed' });
    const where = () => keys.map((key) => client.serverFor(key).address);
    const before = where();
    assert.deepEqual(new Set(before), new Set(servers.slice(0, 2).map((server) => server.address)));
    await client.setMany(keys.map((key) => [key, 1]));
    client.addServer({ address: servers[2].address, name: 'third', weight: 1 });
    assert.equal(client.servers.length, 3);
    const after = where();
    assert.ok(after.every((address, i) => address === before[i] || address === servers[2].address));
    const found = await client.getMany(keys);
    assert.deepEqual([...found.keys()], keys.filter((_, i) => after[i] === before[i]));
    assert.equal(client.removeServer('nobody'), false);
    assert.equal(client.removeServer('third'), true);
    assert.deepEqual(where(), before);
    assert.equal((await client.getMany(keys)).size, keys.length);
    client.replaceServers([servers[2].address]);
    assert.deepEqual(client.servers.map((server) => server.address), [servers[2].address]);
    assert.equal((await client.getMany(keys)).size, 0);
    assert.throws(() => client.replaceServers([servers[2].address, 'a b']), ArgumentError);
    assert.throws(() => client.replaceServers(5), ArgumentError);
    assert.throws(() => client.serverFor(5), ArgumentError);
    assert.equal(client.servers.length, 1);
    assert.throws(() => clientOf(t, servers[0]).addServer(servers[1].address), { code: 'BMEMC_E_UNSUPPORTED' });
  });
});

describe('connections', () => {
  it('pool, disconnectAll, checkKey, parseAddress, onConnect', async (t) => {
    const [server] = await start(t, 1);
    const seen = [];
    const client = clientOf(t, server, { onConnect: (fd, stage, address) => void seen.push([fd > 2, stage, address]) });
    assert.equal(client.pool().open, 0);
    await client.get('a');
    assert.deepEqual(client.pool(), { used: 0, free: 1, open: 1, waiting: 0 });
    const asked = client.get('a');
    await new Promise(setImmediate); // it is sent by then, and the loop has received nothing yet
    assert.deepEqual(client.pool(0), { used: 1, free: 0, open: 1, waiting: 0 });
    await asked;
    assert.deepEqual(seen, [[true, 'opened', server.address], [true, 'connected', server.address]]);
    client.disconnectAll();
    await client.get('a');
    const { connects, disconnects } = client.counters();
    assert.deepEqual([Number(connects), Number(disconnects), client.pool().free], [2, 1, 1]);
    client.checkKey('fine');
    assert.throws(() => client.checkKey('x'.repeat(251)), ArgumentError);
    assert.throws(() => client.checkKey(5), ArgumentError);
    assert.throws(() => client.pool(7), ArgumentError);
    for (const onConnect of [() => false, () => { throw new Error('no'); }]) {
      await assert.rejects(clientOf(t, server, { onConnect }).get('a'), ConnectionError);
    }
    assert.throws(() => clientOf(t, server, { onConnect: 5 }), ArgumentError);
    assert.deepEqual(parseAddress('[::1]:5000'), { kind: 'ipv6', host: '::1', port: 5000 });
    assert.deepEqual(parseAddress('/run/x'), { kind: 'unix', host: '/run/x', port: 0 });
    assert.deepEqual(parseAddress('Cache.Example'), { kind: 'name', host: 'cache.example', port: 11211 });
    for (const wrong of ['a b', '', undefined, 5]) assert.throws(() => parseAddress(wrong), ArgumentError);
  });

  it('health, and disconnectAll forgets it', async (t) => {
    const [server] = await start(t, 1);
    const client = clientOf(t, server, { servers: [server.address, '127.0.0.1:1'], mode: 'hashed' });
    const keyOf = (index) => Array.from({ length: 100 }, (_, i) => `k${i}`).find((key) => client.serverFor(key).server === index);
    await client.get(keyOf(0));
    await assert.rejects(client.get(keyOf(1)), ConnectionError);
    const good = client.health(0);
    assert.deepEqual({ ...good, sinceMs: 0 }, { state: 'up', failures: 0, sinceMs: 0, probeInMs: 0, why: undefined });
    const bad = client.health(1);
    assert.deepEqual([bad.state, bad.failures], ['out', 1]);
    assert.ok(bad.why instanceof ConnectionError && bad.why.message.includes('127.0.0.1:1') && bad.probeInMs <= 250, JSON.stringify(bad));
    client.disconnectAll();
    assert.deepEqual([client.health(1).state, client.health(1).failures], ['up', 0]);
    for (const number of [undefined, null, -1, 1.5, 'x', 2, 2 ** 40]) assert.throws(() => client.health(number), ArgumentError, String(number));
  });

  it('two of them: what was begun in one turn keeps its order, of this client and of others', async (t) => {
    const [server] = await start(t, 1);
    // In a process of its own: such a client changes how the others' calls go out.
    const ended = await run(`
      const { Client } = require('bmemc');
      const options = { servers: ${JSON.stringify(server.address)}, encoding: 'utf8', timeoutMs: 30000 };
      const one = new Client(options);
      const two = new Client({ ...options, connections: 2 });
      async function rounds(client, name) {
        const keys = Array.from({ length: 80 }, (_, i) => name + i);
        for (let round = 0; round < 40; round++) {
          const calls = [];
          const steps = [(key) => client.set(key, 'v' + round), (key) => client.get(key), (key) => client.delete(key), (key) => client.get(key)];
          for (const step of steps) calls.push(...keys.map(step));
          const answers = await Promise.all(calls);
          const wrong = answers.findIndex((answer, i) => answer !== [true, 'v' + round, true, undefined][Math.floor(i / keys.length)]);
          if (wrong >= 0) throw new Error(name + ', round ' + round + ': answer ' + wrong + ' is ' + answers[wrong]);
        }
      }
      (async () => {
        const all = [rounds(one, 'one')];
        for (const name of ['two', 'three']) {
          all.push(rounds(two, name));
          await new Promise(setImmediate); // the next ones find the first connection busy
        }
        await Promise.all(all);
        console.log('in order over', two.pool().open);
      })();`);
    assert.deepEqual([ended.code, ended.output.trim()], [0, 'in order over 2'], ended.output);
  });
});

describe('calls about servers', () => {
  it('stats, version, flushAll, metadump', async (t) => {
    const servers = await start(t, 3);
    const client = all(t, servers, { mode: 'hashed', protocol: 'text' });
    assert.deepEqual(client.servers.map((server) => server.address), servers.map((server) => server.address));
    await client.setMany(keys.map((key) => [key, 1]));
    const stats = await client.stats();
    assert.deepEqual([...stats.keys()], client.servers.map((server) => server.name));
    const items = [...stats.values()].map((each) => each.curr_items);
    assert.equal(items.reduce((sum, each) => sum + each), keys.length);
    assert.ok(items.every((each) => each > 0));
    const [, second] = client.servers;
    assert.deepEqual([...(await client.stats('', { server: 1 })).keys()], [second.name]);
    const dumped = await dumpOf(client, keys.length);
    assert.deepEqual(dumped.map((item) => item.key.toString()).sort(), [...keys].sort());
    for (const server of [0, 1]) {
      for await (const item of client.metadump('', { server })) assert.equal(item.server, server);
    }
    for (let server = 0; server < 3; server++) {
      assert.equal(dumped.filter((item) => item.server === server).length, items[server]);
      assert.match(await client.version({ server }), /^\d/);
      assert.equal(client.counters(server).disconnects >= 0, true);
    }
    await client.flushAll();
    assert.equal((await client.getMany(keys)).size, 0);
    assert.throws(() => client.counters(3), ArgumentError);
    await assert.rejects(client.stats('', { server: 9 }), { code: 'BMEMC_E_ARGUMENT' });
  });
});
