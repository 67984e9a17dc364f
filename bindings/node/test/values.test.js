// Values: every type there and back, by the codec and by the user's functions; and what cannot be stored.
'use strict';

const assert = require('node:assert/strict');
const { describe, it, before, after } = require('node:test');
const { DecodeError, ArgumentError } = require('bmemc');
const { startMemcached, clientOf, run } = require('./helpers.js');

let counter = 0;
const fresh = () => `values:${process.pid}:${++counter}`;

/** An object with the prototype that JSON gives. */
const structuredOf = (value) => (value && typeof value === 'object' ? JSON.parse(JSON.stringify(value)) : value);

describe('values', () => {
  let server;
  before(async () => (server = await startMemcached()));
  after(() => server.close());

  const cases = [
    'text', '', 'é 日本語 😀', 'x'.repeat(47), 'x'.repeat(48), 'x'.repeat(49), `${'x'.repeat(60)}é`, 'é'.repeat(33_000), 'x'.repeat(70_000),
    'line\r\nEND\r\n', '\0', '12', ' 12 ',
    0, 1, -1, 42, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER,
    2n ** 63n, -(2n ** 70n), 2n ** 64n,
    1.5, -0.25, 1e300, 2 ** 60, true, false, null,
    {}, [], { a: 1, b: ['two', null, { c: 3.5 }] }, { then: 'not a promise' }, { __proto__: null, a: 1 },
    'a long text '.repeat(20_000), { long: 'x'.repeat(100_000) },
  ];
  const buffers = [Buffer.alloc(0), Buffer.from([0, 1, 255, 13, 10]), Buffer.alloc(5000, 'b'), Buffer.alloc(70_000, 'c')];

  for (const codec of [undefined, 'pylibmc', 'pymemcache', 'bmemcached']) {
    it(`come back as they were, codec ${codec}`, async (t) => {
      const client = clientOf(t, server, { codec });
      for (const value of cases) {
        const key = fresh();
        await client.set(key, value);
        assert.deepEqual(await client.get(key), structuredOf(value));
      }
      for (const value of buffers) {
        const key = fresh();
        await client.set(key, value);
        const got = await client.get(key);
        assert.ok(Buffer.isBuffer(got) && got.equals(value), `${value.length} bytes`);
      }
      const all = new Map(cases.map((value) => [fresh(), value]));
      await client.setMany(all);
      const found = await client.getMany(all.keys());
      for (const [key, value] of all) assert.deepEqual(found.get(key), structuredOf(value));
    });
  }

  it('a number where it is exact, a bigint where it is not', async (t) => {
    const client = clientOf(t, server);
    const key = fresh();
    await client.set(key, 5n);
    assert.equal(await client.get(key), 5);
    await client.set(key, 2n ** 53n);
    assert.equal(await client.get(key), 2n ** 53n);
  });

  it('other views of bytes', async (t) => {
    const client = clientOf(t, server);
    const bytes = new Uint8Array([1, 2, 3, 4]);
    for (const [value, expected] of [
      [bytes, [1, 2, 3, 4]], [bytes.subarray(1, 3), [2, 3]], [bytes.buffer, [1, 2, 3, 4]],
      [new DataView(bytes.buffer, 2), [3, 4]], [new Uint16Array(bytes.buffer, 2, 1), [3, 4]],
      [new Float32Array(0), []], [new SharedArrayBuffer(2), [0, 0]],
    ]) {
      const key = fresh();
      await client.set(key, value);
      assert.deepEqual([...(await client.get(key))], expected);
    }
  });

  it('what is written after set has returned is not stored', async (t) => {
    const client = clientOf(t, server);
    for (const size of [10, 100_000]) {
      const value = Buffer.alloc(size, 'a');
      const key = Buffer.from(fresh());
      const name = key.toString();
      const stored = client.set(key, value);
      value.fill('b');
      key.fill('x');
      await stored;
      assert.ok((await client.get(name)).equals(Buffer.alloc(size, 'a')));
    }
  });

  it('codec none: bytes, whatever went in', async (t) => {
    const client = clientOf(t, server, { codec: 'none' });
    const key = fresh();
    await client.set(key, 'text');
    assert.deepEqual(await client.get(key), Buffer.from('text'));
    await client.set(key, 12n);
    assert.equal(await client.get(key, { encoding: 'utf8' }), '12');
    assert.equal(await client.get(key, { encoding: 'hex' }), '3132');
    await assert.rejects(client.set(key, { a: 1 }), { name: 'ArgumentError', message: /without a codec/ });
    assert.throws(() => clientOf(t, server, { codec: 'none', serializer: String }), { message: /serializer needs a codec/ });
    const binary = clientOf(t, server, { codec: 'none', encoding: 'latin1' });
    await binary.set(key, Buffer.from([255, 0]));
    assert.equal(await binary.get(key), '\xff\0');
  });

  it("the user's serializer and deserializer", async (t) => {
    const client = clientOf(t, server, {
      serializer: (value) => (value instanceof Date ? Buffer.from(`D${value.toJSON()}`) : `J${JSON.stringify(value)}`),
      deserializer: (bytes, flags) => {
        assert.equal(flags, 1);
        const text = bytes.toString();
        return text[0] === 'D' ? new Date(text.slice(1)) : JSON.parse(text.slice(1));
      },
    });
    const [date, object] = [new Date(86_400_000), { a: [1] }];
    const key = fresh();
    await client.set(key, date);
    assert.deepEqual(await client.get(key), date);
    await client.set(key, object);
    assert.deepEqual(await client.get(key), object);
    await client.set(key, 'text is not serialized');
    assert.equal(await client.get(key), 'text is not serialized');
  });

  it('functions of the user that fail: the call fails, and nothing else', async (t) => {
    const client = clientOf(t, server, {
      serializer: (value) => {
        if (value.bad) throw new RangeError('no');
        return value.number ? 5 : JSON.stringify(value);
      },
      deserializer: (bytes) => {
        throw new SyntaxError(`not ${bytes}`);
      },
    });
    const key = fresh();
    await assert.rejects(client.set(key, { bad: true }), RangeError);
    await assert.rejects(client.set(key, { number: true }), { name: 'ArgumentError', message: /serializer answered with a number \(5\)/ });
    assert.equal(await client.get(key), undefined);
    await client.set(key, { good: true });
    const results = await Promise.allSettled([client.get(key), client.set('other', 'x'), client.get('other'), client.getMany([key, 'other'])]);
    assert.ok(results[0].reason instanceof DecodeError);
    assert.ok(results[0].reason.cause instanceof SyntaxError);
    assert.equal(results[2].value, 'x');
    assert.ok(results[3].reason.errors.get(key) instanceof DecodeError);
    assert.equal(results[3].reason.values.get('other'), 'x');
  });

  it('a serializer that uses the client disturbs nothing', async (t) => {
    const inner = [];
    const client = clientOf(t, server, {
      serializer: (value) => (inner.push(client.set('inner', 'of the serializer')), JSON.stringify(value)),
      deserializer: (bytes) => (inner.push(client.get('inner')), JSON.parse(bytes)),
    });
    const keys = Array.from({ length: 20 }, fresh);
    await client.setMany(keys.map((key) => [key, { key }]));
    const found = await Promise.all(keys.map((key) => client.get(key)));
    assert.deepEqual(found, keys.map((key) => ({ key })));
    assert.ok((await Promise.all(inner)).every((value) => value === true || value === 'of the serializer'));
    assert.equal(inner.length, 40);
  });

  it('what cannot be stored is refused, not changed', async (t) => {
    const client = clientOf(t, server);
    const circular = {};
    circular.self = circular;
    const key = fresh();
    for (const value of [undefined, () => 1, Symbol('s'), NaN, Infinity, '\ud800', `${'x'.repeat(70_000)}\udc00`]) {
      await assert.rejects(client.set(key, value), ArgumentError, String(value));
      await assert.rejects(client.setMany([[key, value]]), (error) => error.code === 'BMEMC_E_ARGUMENT');
    }
    await assert.rejects(client.set(key, { big: 1n }), TypeError);
    await assert.rejects(client.set(key, circular), TypeError);
    await assert.rejects(client.set(key, { toJSON() { throw new Error('mine'); } }), { message: 'mine' });
    await assert.rejects(client.append(key, { a: 1 }), ArgumentError);
    assert.equal(await client.get(key), undefined);
  });

  it('a value that is not what its flags say is a DecodeError, never a miss', async (t) => {
    const client = clientOf(t, server);
    const key = fresh();
    for (const [value, flags] of [['not json', 1], ['12x', 2], [Buffer.from([0xff]), 16], ['not zlib', 8], ['x', 3]]) {
      await client.set(key, value, { flags });
      await assert.rejects(client.get(key), DecodeError, `${value} with flags ${flags}`);
      const item = await client.gets(key, { raw: true });
      assert.deepEqual([item.value.toString('latin1'), item.flags], [Buffer.from(value).toString('latin1'), flags]);
    }
  });

  it('compression, by options and by call', async (t) => {
    const client = clientOf(t, server, { codec: 'pymemcache', compressThreshold: 100 });
    const key = fresh();
    const text = 'again and again '.repeat(100);
    await client.set(key, text);
    const stored = await client.gets(key, { raw: true });
    assert.equal(stored.flags & 8, 8);
    assert.ok(stored.value.length < text.length / 4);
    assert.equal(await client.get(key), text);
    await client.set(key, text, { compressLevel: -1 });
    assert.equal((await client.gets(key, { raw: true })).flags & 8, 0);
  });

  it('Buffers are their own: equal to what was stored, and not changed by what comes or by whoever writes into another', async (t) => {
    const client = clientOf(t, server);
    const sizes = [0, 1, 100, 4095, 4096, 4097, 10_000, 20_000, 32_768, 40_000, 300_000, 900_000];
    const values = Array.from({ length: 120 }, (_, i) => Buffer.alloc(sizes[i % sizes.length], `${i}:`));
    const entries = values.map((value) => [fresh(), value]);
    await client.setMany(entries);
    const keys = entries.map(([key]) => key);
    const [one, many] = await Promise.all([Promise.all(keys.map((key) => client.get(key))), client.getMany(keys)]);
    one.forEach((got, i) => assert.ok(Buffer.isBuffer(got) && got.equals(values[i]), `${i}: ${got.length} bytes`));
    assert.deepEqual(one[2], values[2]);
    // Twice as many others come into the same memory of the library's; and half of the Buffers are written over.
    await client.setMany(keys.map((key) => [key, Buffer.alloc(10_000, 'other')]));
    for (let i = 0; i < 2; i++) await client.getMany(keys);
    keys.forEach((key, i) => i % 2 && many.get(key).fill(0xee));
    keys.forEach((key, i) => assert.ok(i % 2 || many.get(key).equals(values[i]), `${i} was changed`));
    one.forEach((got, i) => assert.ok(got.equals(values[i]), `${i} was changed`));
  });

  it('a Buffer of a few KB holds at most 32 KB besides', async (t) => {
    const client = clientOf(t, server);
    const keys = Array.from({ length: 64 }, fresh);
    for (const [size, most] of [[10, 8 << 10], [5000, 32 << 10], [20_000, 32 << 10], [50_000, 50_000]]) {
      await client.setMany(keys.map((key) => [key, Buffer.alloc(size, 'x')]));
      for (const got of (await client.getMany(keys)).values()) {
        assert.ok(got.length === size && got.buffer.byteLength <= most, `${size} bytes hold ${got.buffer.byteLength}`);
      }
    }
  });

  it('a Buffer that is transferred leaves its neighbours whole', async (t) => {
    const client = clientOf(t, server);
    for (const size of [10, 3000, 5000, 20_000, 32_768, 40_000]) {
      const keys = Array.from({ length: 16 }, fresh);
      await client.setMany(keys.map((key, i) => [key, Buffer.alloc(size, `${i}:`)]));
      const values = [...(await client.getMany(keys)).values()];
      const [first, ...others] = values;
      // Node 20 copies what cannot be transferred, later ones throw.
      const given = () => structuredClone(first, { transfer: [first.buffer] });
      try {
        assert.ok(Buffer.from(given()).equals(Buffer.alloc(size, '0:')), `${size}`);
      } catch (error) {
        assert.equal(error.name, 'DataCloneError', `${size}: ${error.stack}`);
      }
      others.forEach((value, i) => assert.ok(value.equals(Buffer.alloc(size, `${i + 1}:`)), `${i + 1} of ${size} bytes`));
      // What has memory of its own is the user's.
      assert.equal(first.length, size > 16_384 ? 0 : size);
    }
  });

  it('values that need work and values that need none are answered in their order', async (t) => {
    const client = clientOf(t, server, { codec: 'pymemcache', encoding: 'utf8' });
    const values = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? `${i} again and again `.repeat(100) : i % 3 === 1 ? `${i}` : i));
    const keys = values.map(fresh);
    await client.setMany(keys.map((key, i) => [key, values[i]]));
    const order = [];
    const got = await Promise.all(keys.map((key, i) => client.get(key).finally(() => order.push(i))));
    assert.deepEqual(got, values);
    assert.deepEqual(order, values.map((_, i) => i));
    assert.equal((await client.gets(keys[0], { raw: true })).flags & 8, 8);
  });

  it('text that is not UTF-8 is a DecodeError, whatever its length', async (t) => {
    const client = clientOf(t, server);
    for (const length of [1, 16_384, 16_385, 70_000]) {
      const value = Buffer.alloc(length, 'a');
      value[length - 1] = 0xff;
      const key = fresh();
      await client.set(key, value, { flags: 16 });
      await assert.rejects(client.get(key), { name: 'DecodeError', message: new RegExp(`not UTF-8 from byte ${length - 1} on`) });
      await client.set(key, value.fill('a'), { flags: 16 });
      assert.equal(await client.get(key), 'a'.repeat(length));
    }
  });

  it('a Node whose Buffer has no species of its own', async () => {
    for (const species of ['undefined', 'Buffer', 'Uint8Array']) {
      const ended = await run(`
        Object.defineProperty(Buffer, Symbol.species, { value: ${species} });
        const { Client } = require('bmemc');
        const client = new Client({ servers: ${JSON.stringify(server.address)} });
        (async () => {
          await client.set('species', Buffer.from('bytes'));
          const got = await client.get('species');
          console.log(Buffer.isBuffer(got), got.toString());
        })();`);
      assert.deepEqual([ended.code, ended.output.trim()], [0, 'true bytes'], species);
    }
  });
});
