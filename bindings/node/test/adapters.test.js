// The adapters, by the interface tests of what they are for: Keyv's own suite for stores, and express-session itself.
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const path = require('node:path');
const { describe, it, before, after } = require('node:test');
const { promisify } = require('node:util');
const session = require('express-session');
const Keyv = require('keyv').default;
const { BmemcStore } = require('bmemc/express-session');
const { KeyvBmemc } = require('bmemc/keyv');
const { Client } = require('bmemc');
const { TestServer } = require('bmemc/testing');
const { startMemcached, clientOf } = require('./helpers.js');

let server;
before(async () => (server = await startMemcached()));
after(() => server.close());

describe('Keyv', () => {
  it("passes Keyv's own test suite for stores", async () => {
    const root = path.dirname(__dirname);
    const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const env = { ...process.env, BMEMC_SERVER: server.address, CI: '1', NO_COLOR: '1' };
    // Some of its tests leave deletes behind that they do not await, which may take the next test's key: hence again.
    const args = [vitest, 'run', '--root', root, '--retry', '2', 'test/keyv.spec.mjs'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env }).catch((error) => error);
    assert.match(stdout, /Tests {2}38 passed \(38\)/, stdout);
  });

  it('any key, a ttl, another client, and a namespace that is cleared alone', async (t) => {
    const client = clientOf(t, server);
    const [one, two] = ['one', 'two'].map((namespace) => new Keyv({ store: new KeyvBmemc(client), namespace }));
    const keys = ['plain', 'with spaces', 'é', 'x'.repeat(1000), 'a\r\nb', ''];
    for (const key of keys) await one.set(key, { key });
    await two.set('plain', 'of two');
    for (const key of keys) assert.deepEqual(await one.get(key), { key });
    assert.deepEqual(await one.get(['plain', 'none']), [{ key: 'plain' }, undefined]);
    await one.clear();
    for (const key of keys) assert.equal(await one.get(key), undefined);
    assert.equal(await one.has('plain'), false);
    assert.equal(await two.get('plain'), 'of two');
    await one.set('short', 'x', 1000);
    assert.equal(await one.get('short'), 'x');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assert.equal(await one.get('short'), undefined);
    await one.disconnect();
    assert.equal(await client.get('none'), undefined);
  });

  it('nothing is gone before its time, wherever in its second the clock of the server is', async (t) => {
    const embedded = new TestServer();
    t.after(() => embedded.close());
    const store = new KeyvBmemc(clientOf(t, embedded));
    await store.set('one', 'x', 1000);
    await store.setMany([{ key: 'many', value: 'x', ttl: 1 }]);
    embedded.set({ advanceSeconds: 1 });
    assert.deepEqual(await store.getMany(['one', 'many']), ['x', 'x']);
    embedded.set({ advanceSeconds: 2 });
    assert.deepEqual(await store.getMany(['one', 'many']), [undefined, undefined]);
  });

  it('a failure is an error, not a miss', async () => {
    const store = new KeyvBmemc({ servers: '/nonexistent.sock' });
    const keyv = new Keyv({ store, throwOnErrors: true });
    for (const call of [store.get('a'), store.set('a', 'b'), store.delete('a'), store.has('a'), store.clear(), keyv.get('a')]) {
      await assert.rejects(call, { code: 'BMEMC_E_CONNECTION' });
    }
    await keyv.disconnect();
  });
});

describe('express-session', () => {
  const call = (store, method, ...args) =>
    new Promise((resolve, reject) => store[method](...args, (error, value) => (error ? reject(error) : resolve(value))));

  it("the store's methods", async (t) => {
    const store = new BmemcStore({ servers: server.address, prefix: 'test:' });
    t.after(() => store.close());
    assert.ok(store instanceof session.Store);
    const data = { cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000).toISOString() }, views: 1 };
    assert.equal(await call(store, 'get', 'id'), undefined);
    assert.equal(await call(store, 'set', 'id', data), undefined);
    assert.deepEqual(await call(store, 'get', 'id'), data);
    assert.equal(await call(store, 'touch', 'id', data), undefined);
    assert.equal(await call(store, 'destroy', 'id'), undefined);
    assert.equal(await call(store, 'get', 'id'), undefined);
    await call(store, 'set', 'gone', { cookie: { expires: new Date(Date.now() - 1000).toISOString() } });
    assert.equal(await call(store, 'get', 'gone'), undefined);
    await call(store, 'set', 'id', { cookie: {} });
    await call(store, 'clear');
    assert.equal(await call(store, 'get', 'id'), undefined);
    store.set('id', data); // without a callback
  });

  it('no session is gone before its cookie is, wherever in its second the clock of the server is', async (t) => {
    const embedded = new TestServer();
    t.after(() => embedded.close());
    const store = new BmemcStore({ client: clientOf(t, embedded), ttl: 100 });
    const inMs = (ms) => ({ cookie: { expires: new Date(Date.now() + ms) } });
    const seconds = async (id) => (await store.client.meta('mg', `sess:${id}`, 't')).ttl;
    await call(store, 'set', 'one', inMs(1000));
    await call(store, 'set', 'two', {});
    await call(store, 'touch', 'two', inMs(1000));
    embedded.set({ advanceSeconds: 1 });
    assert.ok((await call(store, 'get', 'one')) && (await call(store, 'get', 'two')));
    embedded.set({ advanceSeconds: 2 });
    assert.deepEqual([await call(store, 'get', 'one'), await call(store, 'get', 'two')], [undefined, undefined]);
    // A cookie that lives for ever, one for centuries, which is no Unix time, and one that makes no sense.
    for (const [expires, from, to] of [[null, 99, 100], [new Date('2400-01-01'), 9e7, 999_999_999], ['no date', 99, 100]]) {
      await call(store, 'set', 'long', { cookie: { expires } });
      const left = Number(await seconds('long'));
      assert.ok(left >= from && left <= to, `${expires}: ${left}`);
    }
  });

  it('a failure is an error', async (t) => {
    const store = new BmemcStore({ servers: '/nonexistent.sock' });
    t.after(() => store.close());
    await assert.rejects(call(store, 'get', 'id'), { code: 'BMEMC_E_CONNECTION' });
    await assert.rejects(call(store, 'set', 'id', {}), { code: 'BMEMC_E_CONNECTION' });
  });

  it('sessions of a real server, over two stores', async (t) => {
    const client = clientOf(t, server);
    const listener = () => {
      const middleware = session({
        store: new BmemcStore({ client, ttl: 60 }), secret: 'secret', resave: false, saveUninitialized: false, rolling: true,
        cookie: { maxAge: 60_000 },
      });
      return http.createServer((request, response) => {
        middleware(request, response, (error) => {
          if (error) return response.writeHead(500).end(error.message);
          if (request.url === '/leave') return request.session.destroy(() => response.end('left'));
          request.session.views = (request.session.views ?? 0) + 1;
          response.end(String(request.session.views));
        });
      });
    };
    let cookie;
    const visit = async (port, url = '/') => {
      const response = await fetch(`http://127.0.0.1:${port}${url}`, { headers: cookie ? { cookie } : {} });
      cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie;
      return response.text();
    };
    const ports = [];
    for (const each of [listener(), listener()]) {
      each.listen(0, '127.0.0.1');
      await once(each, 'listening');
      t.after(() => each.close());
      t.after(() => each.closeAllConnections());
      ports.push(each.address().port);
    }
    assert.equal(await visit(ports[0]), '1');
    assert.equal(await visit(ports[1]), '2');
    assert.equal(await visit(ports[0]), '3');
    assert.equal(await visit(ports[1], '/leave'), 'left');
    assert.equal(await visit(ports[0]), '1');
  });
});

it('a store closes the client that it made, and no other', async () => {
  const client = new Client({ servers: server.address });
  await new BmemcStore({ client }).close();
  await new KeyvBmemc(client).disconnect();
  assert.equal(await client.get('a'), undefined);
  await client.close();
  const store = new KeyvBmemc(server.address);
  await store.disconnect();
  await assert.rejects(store.get('a'), { code: 'BMEMC_E_CLOSED' });
});
