// Every command, against memcached and the embedded server, over every protocol.
'use strict';

const assert = require('node:assert/strict');
const { describe, it, before, after } = require('node:test');
const { PartialError, ArgumentError, TooLargeError } = require('bmemc');
const { servers, clientOf, until } = require('./helpers.js');

let counter = 0;
/** A key that no other test has. */
const fresh = () => `commands:${process.pid}:${++counter}`;

for (const [name, start] of Object.entries(servers)) {
  for (const protocol of ['auto', 'text', 'meta', 'binary']) {
    describe(`${name}, ${protocol}`, () => {
      let server;
      before(async () => (server = await start()));
      after(() => server.close());
      const client = (t, options) => clientOf(t, server, { protocol, ...options });

      it('get, set', async (t) => {
        const c = client(t);
        const key = fresh();
        assert.equal(await c.get(key), undefined);
        assert.equal(await c.get(key, { default: 'none' }), 'none');
        assert.equal(await c.set(key, 'value'), true);
        assert.equal(await c.get(key, { encoding: 'utf8', default: 'none' }), 'value');
        assert.equal(await c.set(key, '', { flags: 77 }), true);
        assert.equal(await c.get(key, { encoding: 'latin1', raw: true }), '');
      });

      it('getMany, setMany, deleteMany', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const keys = Array.from({ length: 2500 }, fresh);
        assert.equal(await c.setMany(keys.map((key) => [key, `of ${key}`])), undefined);
        const missing = fresh();
        const found = await c.getMany([...keys, missing]);
        assert.equal(found.size, keys.length);
        for (const key of keys) assert.equal(found.get(key), `of ${key}`);
        assert.deepEqual([...found.keys()], keys);
        assert.equal(await c.deleteMany([...keys.slice(0, 100), missing]), 100);
        assert.equal((await c.getMany(new Set(keys))).size, keys.length - 100);
        assert.deepEqual(await c.getMany([]), new Map());
        assert.equal(await c.deleteMany([]), 0);
        await c.setMany({});
        await c.setMany({ [missing]: 'from an object' });
        await c.setMany(new Map([[missing, 'from a Map']]));
        assert.equal(await c.get(missing), 'from a Map');
      });

      it('one wrong key of many fails alone', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const key = fresh();
        await c.set(key, 'here');
        const error = await c.getMany([key, 'x'.repeat(251), 5]).then(assert.fail, (error) => error);
        assert.ok(error instanceof PartialError, error.stack);
        assert.deepEqual([...error.values], [[key, 'here']]);
        assert.deepEqual(new Set(error.errors.keys()), new Set(['x'.repeat(251), 5]));
        for (const each of error.errors.values()) assert.ok(each instanceof ArgumentError, each.stack);
        assert.match(error.message, /^2 of 3 failed, the first: /);
        assert.equal(error.code, 'BMEMC_E_ARGUMENT');
      });

      it('gets, getsMany, cas', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const key = fresh();
        assert.equal(await c.gets(key), undefined);
        assert.deepEqual(await c.gets(key, { default: 1, casDefault: 2n }), { value: 1, cas: 2n, flags: 0 });
        await c.set(key, 'first', { flags: 5 });
        const item = await c.gets(key, { raw: true });
        assert.equal(item.value, 'first');
        assert.equal(item.flags, 5);
        assert.ok(item.cas > 0n);
        assert.equal(await c.cas(key, 'second', item.cas), true);
        assert.equal(await c.cas(key, 'third', item.cas), false);
        assert.equal(await c.get(key), 'second');
        const items = await c.getsMany([key, fresh()]);
        assert.equal(items.size, 1);
        assert.notEqual(items.get(key).cas, item.cas);
        assert.equal(await c.cas(fresh(), 'no', item.cas), undefined);
      });

      it('casMany', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const [same, changed, gone, wrong] = Array.from({ length: 4 }, fresh);
        await c.setMany({ [same]: '1', [changed]: '2', [gone]: '3', [wrong]: '4' });
        const before = await c.getsMany([same, changed, gone]);
        await Promise.all([c.set(changed, 'other'), c.delete(gone)]);
        const entries = [...before].map(([key, { cas }]) => [key, `new ${key}`, cas]);
        assert.deepEqual(await c.casMany(entries, { ttl: 60 }), new Map([[same, true], [changed, false]]));
        assert.equal(await c.get(same), `new ${same}`);
        assert.equal(await c.get(changed), 'other');
        assert.equal(await c.get(gone), undefined);
        assert.deepEqual(await c.casMany([]), new Map());
        const { cas } = await c.gets(same);
        const error = await c.casMany([[same, 'x', cas], [wrong, 'x', 0n]]).then(assert.fail, (error) => error);
        assert.ok(error instanceof PartialError, error.stack);
        assert.deepEqual([...error.values], [[same, true]]);
        assert.match(error.errors.get(wrong).message, /cas is 0, which no item has/);
        assert.equal(await c.get(wrong), '4');
      });

      it('add, replace, append, prepend', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const key = fresh();
        assert.equal(await c.replace(key, 'no'), false);
        assert.equal(await c.append(key, 'no'), false);
        assert.equal(await c.prepend(key, 'no'), false);
        assert.equal(await c.add(key, 'b'), true);
        assert.equal(await c.add(key, 'no'), false);
        assert.equal(await c.append(key, 'c'), true);
        assert.equal(await c.prepend(key, 'a'), true);
        assert.equal(await c.get(key), 'abc');
        assert.equal(await c.replace(key, 'd'), true);
        assert.equal(await c.get(key), 'd');
      });

      it('delete', async (t) => {
        const c = client(t);
        const key = fresh();
        assert.equal(await c.delete(key), false);
        await c.set(key, 'x');
        assert.equal(await c.delete(key), true);
        assert.equal(await c.get(key), undefined);
      });

      it('increment, decrement', async (t) => {
        const c = client(t);
        const key = fresh();
        assert.equal(await c.increment(key), undefined);
        assert.equal(await c.decrement(key, 5), undefined);
        if (protocol === 'text') {
          await assert.rejects(c.increment(key, 5, { initial: 10 }), { code: 'BMEMC_E_UNSUPPORTED' });
          await c.set(key, 10);
        } else {
          assert.equal(await c.increment(key, 5, { initial: 10 }), 10);
        }
        assert.equal(await c.increment(key), 11);
        assert.equal(await c.increment(key, 5n), 16n);
        assert.equal(await c.decrement(key, 6), 10);
        assert.equal(await c.decrement(key, 100), 0);
        await c.set(key, 2n ** 64n - 1n);
        assert.equal(await c.decrement(key, 1n), 2n ** 64n - 2n);
        await assert.rejects(c.decrement(key, 1), { code: 'BMEMC_E_DECODE', message: /18446744073709551613/ });
      });

      it('touch, getAndTouch, ttl', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const key = fresh();
        assert.equal(await c.touch(key, 100), false);
        assert.equal(await c.getAndTouch(key, 100), undefined);
        await c.set(key, 'x', { ttl: 100 });
        assert.equal(await c.touch(key, 200), true);
        assert.equal(await c.getAndTouch(key, 300), 'x');
        const item = await c.getsAndTouch(key, 300);
        assert.equal(item.value, 'x');
        assert.ok(item.cas > 0n);
        await c.set(key, 'x', { ttl: -1 });
        assert.equal(await c.get(key), undefined);
      });

      it('version, noop', async (t) => {
        const c = client(t);
        assert.match(await c.version(), /^\d+\.\d+/);
        assert.equal(await c.noop(), undefined);
      });

      it('stats', async (t) => {
        const c = client(t);
        const all = await c.stats();
        assert.deepEqual([...all.keys()], [server.address]);
        const stats = all.get(server.address);
        assert.match(stats.version, /^\d+\.\d+/);
        assert.equal(typeof stats.pid, 'number');
        if (name !== 'the embedded server') assert.equal(typeof stats.rusage_user, 'number');
        const settings = (await c.stats('settings')).get(server.address);
        assert.equal(settings.cas_enabled, true);
        assert.equal(typeof settings.maxbytes, 'number');
        await assert.rejects(c.stats('no\r\nsuch'), { code: 'BMEMC_E_ARGUMENT' });
      });

      it('verbosity, cacheMemlimit, shutdown', async (t) => {
        const c = client(t);
        const expected = protocol === 'binary' ? 'BMEMC_E_UNSUPPORTED' : undefined;
        assert.equal(await c.verbosity(0).then(() => undefined, (error) => error.code), expected);
        assert.equal(await c.cacheMemlimit(64).then(() => undefined, (error) => error.code), expected);
        // It is not enabled.
        await assert.rejects(c.shutdown(), { code: expected ?? 'BMEMC_E_SERVER_ERROR' });
      });

      it('meta', async (t) => {
        const c = client(t);
        const key = fresh();
        if (protocol === 'text' || protocol === 'binary') {
          return assert.rejects(c.meta('mg', key, 'v'), { code: 'BMEMC_E_UNSUPPORTED', message: /meta/ });
        }
        assert.equal((await c.meta('mg', key, 'v')).status, 'BMEMC_NOT_FOUND');
        assert.equal((await c.meta('ms', key, 'T100 F5', { value: 'value' })).status, 'BMEMC_OK');
        const answer = await c.meta('mg', key, 'v t f s c h', { encoding: 'utf8' });
        assert.equal(answer.value, 'value');
        assert.deepEqual([answer.flags, answer.size, answer.fetched], [5, 5, false]);
        assert.ok(answer.ttl > 90 && answer.ttl <= 100 && answer.cas > 0n);
        assert.equal((await c.meta('md', key)).status, 'BMEMC_OK');
        await assert.rejects(c.meta('mg', key, 'q'), { code: 'BMEMC_E_ARGUMENT' });
        await assert.rejects(c.meta('xx', key), { code: 'BMEMC_E_ARGUMENT' });
      });

      it('raw', async (t) => {
        const c = client(t);
        if (protocol === 'binary') return assert.rejects(c.raw('version'), { code: 'BMEMC_E_UNSUPPORTED' });
        assert.match(await c.raw('version'), /^VERSION \d/);
        assert.match(await c.raw('stats', { end: 'END\r\n' }), /^STAT pid \d+\r\n/);
        await assert.rejects(c.raw('nonsense'), { code: 'BMEMC_E_UNKNOWN_COMMAND' });
        await assert.rejects(c.raw('get a\r\nget b'), { code: 'BMEMC_E_ARGUMENT' });
        await assert.rejects(c.raw(''), { code: 'BMEMC_E_ARGUMENT' });
      });

      it('flushAll', async (t) => {
        const c = client(t);
        const key = fresh();
        await c.set(key, 'x');
        await c.flushAll();
        assert.equal(await c.get(key), undefined);
      });

      it('values from 0 to a megabyte, large ones too', async (t) => {
        const c = client(t);
        const sizes = [0, 1, 100, 4096, 4097, 16384, 16385, 65535, 65536, 65537, 200_000, 1_000_000];
        const values = sizes.map((size) => Buffer.alloc(size, `${size} bytes, `));
        const keys = sizes.map(fresh);
        await Promise.all(keys.map((key, i) => c.set(key, values[i])));
        const found = await Promise.all(keys.map((key) => c.get(key)));
        for (let i = 0; i < sizes.length; i++) assert.ok(found[i].equals(values[i]), `${sizes[i]} bytes`);
        const many = await c.getMany(keys);
        for (let i = 0; i < sizes.length; i++) assert.ok(many.get(keys[i]).equals(values[i]), `${sizes[i]} bytes of many`);
        const text = 'é'.repeat(100_000);
        await c.set(keys[0], text);
        assert.equal(await c.get(keys[0], { encoding: 'utf8' }), text);
        await assert.rejects(c.set(keys[0], Buffer.alloc(3 << 20)), TooLargeError);
        assert.equal(await c.get(keys[1]).then((value) => value.length), 1);
      });

      it('a value is its own: what comes later does not change it', async (t) => {
        const c = client(t);
        const keys = Array.from({ length: 300 }, fresh);
        await c.setMany(keys.map((key) => [key, Buffer.from(`value of ${key}`)]));
        const values = await Promise.all(keys.map((key) => c.get(key)));
        for (const value of values.slice(1)) value.fill(0);
        assert.equal(values[0].toString(), `value of ${keys[0]}`);
        await Promise.all(keys.map((key) => c.get(key)));
        assert.equal(values[0].toString(), `value of ${keys[0]}`);
      });

      it('what was begun in one turn keeps its order', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const key = fresh();
        const answers = await Promise.all([
          c.get(key), c.set(key, '1'), c.get(key), c.set(key, '2'), c.get(key), c.delete(key), c.get(key),
        ]);
        assert.deepEqual(answers, [undefined, true, '1', true, '2', true, undefined]);
      });

      it('order holds with large values, with many operations, and over turns', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const keys = Array.from({ length: 300 }, fresh);
        const large = 'x'.repeat(200_000);
        const key = fresh();
        for (let round = 0; round < 5; round++) {
          const answers = [];
          for (const each of keys) answers.push(c.set(each, `${round}`), c.get(each), c.delete(each), c.get(each));
          answers.push(c.set(key, large), c.get(key), c.set(key, 'small'), c.get(key));
          await new Promise(setImmediate);
          answers.push(c.set(key, large), c.delete(key), c.get(key));
          const expected = keys.flatMap(() => [true, `${round}`, true, undefined]);
          expected.push(true, large, true, 'small', true, true, undefined);
          assert.ok((await Promise.all(answers)).every((answer, i) => answer === expected[i]), `round ${round}`);
        }
        const larger = 'x'.repeat(900_000);
        for (let round = 0; round < 30; round++) {
          const answers = await Promise.all([c.delete(key), c.set(key, larger), c.get(key)]);
          assert.equal(answers[2]?.length, larger.length, `round ${round}`);
        }
      });

      it('noReply', async (t) => {
        const c = client(t);
        const key = fresh();
        const told = [];
        c.on('quietFailure', (event) => told.push(event));
        for (const [method, ...args] of [['set', '1'], ['append', '2'], ['prepend', '3'], ['replace', '1'], ['increment', 4], ['touch', 100]]) {
          await c[method](key, ...args, { noReply: true });
        }
        assert.equal(await c.get(key, { raw: true, encoding: 'utf8' }), '5');
        await c.setMany({ [key]: '2' }, { noReply: true });
        await c.delete(key, { noReply: true });
        assert.equal(await c.get(key), undefined);
        const quiet = client(t, { noReply: true });
        await quiet.set(key, 'quiet');
        assert.equal(await quiet.get(key), 'quiet');
        assert.equal(await quiet.add(key, 'no', { noReply: false }), false);
        await c.set(key, Buffer.alloc(3 << 20), { noReply: true });
        assert.equal(await c.get(key), undefined);
        if (protocol === 'text') return; // there a server says nothing of it
        await until(() => c.counters().quietFailures === 1, 'a failure that is counted');
        await until(() => told.length === 1, 'a failure that is told of');
        assert.ok(told[0].error instanceof TooLargeError, told[0].message);
      });

      it('call, execute', async (t) => {
        const c = client(t, { encoding: 'utf8' });
        const key = fresh();
        const stored = await c.call({ opcode: 'set', key, value: 'x', flags: 9, ttl: 100 });
        assert.equal(stored.status, 'BMEMC_OK');
        const answer = await c.call({ opcode: 'get', key, wantCas: true, raw: true });
        assert.equal(answer.value, 'x');
        assert.equal(answer.flags, 9);
        assert.ok(answer.cas > 0n);
        const missed = await c.call({ opcode: 'get', key: fresh() });
        assert.equal(missed.status, 'BMEMC_NOT_FOUND');
        assert.equal(missed.value, undefined);
        const answers = await c.execute([
          { opcode: 'set', key, value: 'y' },
          { opcode: 'get', key },
          { opcode: 'get', key: 'x'.repeat(251) },
          { opcode: 'delete', key },
          { opcode: 'get', key },
        ]);
        assert.deepEqual(answers.map((each) => each.status), [
          'BMEMC_OK', 'BMEMC_OK', 'BMEMC_E_ARGUMENT', 'BMEMC_OK', 'BMEMC_NOT_FOUND',
        ]);
        assert.equal(answers[1].value, 'y');
        assert.ok(answers[2].error instanceof ArgumentError);
        await assert.rejects(c.call({ opcode: 'get', key: 'x'.repeat(251) }), ArgumentError);
        assert.deepEqual(await c.execute([]), []);
      });
    });
  }
}
