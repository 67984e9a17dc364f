// Rings and key hashes, by the shared vectors; and routing by a function of the user's.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const { HashRing, keyHash, ArgumentError } = require('bmemc');

const file = path.join(__dirname, '..', '..', '..', 'tests', 'vectors', 'rings.json');
const vectors = JSON.parse(fs.readFileSync(file, 'utf8'));

/** Each ring of the vectors as options; weights 1 where none are given. */
const rings = {
  pymemcache_rendezvous: { distribution: 'rendezvous' },
  libmemcached_modula: { distribution: 'modulo' },
  libmemcached_ketama: { distribution: 'ketama_unweighted' },
  libmemcached_ketama_md5: { distribution: 'ketama_unweighted', keyHash: 'md5' },
  libmemcached_ketama_weighted: { distribution: 'ketama', weights: vectors.weights },
  libmemcached_ketama_weighted_equal: { distribution: 'ketama' },
  libmemcached_ketama_spy_weighted: { distribution: 'ketama_spy', weights: vectors.weights },
  spymemcached_ketama: { distribution: 'spymemcached' },
  spymemcached_ketama_libmemcached_format: { distribution: 'ketama' },
  spymemcached_ketama_weighted: { distribution: 'ketama', weights: vectors.weights },
  spymemcached_arraymod: { distribution: 'modulo', keyHash: 'java' },
  twemproxy_ketama_fnv1a_64: { distribution: 'twemproxy', weights: vectors.weights },
  twemproxy_ketama_equal: { distribution: 'twemproxy' },
  gomemcache: { distribution: 'gomemcache' },
  mc_go: { distribution: 'memcachier' },
  dalli: { distribution: 'dalli' },
  dalli_weighted: { distribution: 'dalli', weights: vectors.weights },
  mcrouter_ch3: { distribution: 'ch3' },
  mcrouter_wch3: { distribution: 'weighted_ch3', weights: [10, 5, 3, 10] },
  mcrouter_crc32: { distribution: 'mcrouter_crc32' },
  mcrouter_rendezvous: { distribution: 'mcrouter_rendezvous' },
  mcrouter_weighted_rendezvous: { distribution: 'mcrouter_weighted_rendezvous', weights: [10, 5, 1, 7] },
  memjs: { distribution: 'memjs' },
  uhashring_bmemcached: { distribution: 'bmemcached' },
};

describe('vectors', () => {
  for (const [name, chosen] of Object.entries(vectors.ring)) {
    it(`ring ${name}`, () => {
      assert.ok(rings[name], `${name} is not tried`);
      const { weights = [1, 1, 1, 1], ...options } = rings[name];
      const servers = vectors.servers.map((address, i) => ({ address, weight: weights[i] }));
      const ring = new HashRing({ ...options, servers });
      assert.deepEqual(vectors.keys.map((key) => ring.get(key)), chosen);
      const grown = new HashRing(options);
      for (const server of servers) grown.add(server);
      assert.deepEqual(vectors.keys.map((key) => grown.get(Buffer.from(key))), chosen);
    });
  }

  for (const [name, hashes] of Object.entries(vectors.hash)) {
    it(`key hash ${name}`, () => {
      const binary = name.includes('_bin');
      const keys = binary ? vectors.binary_keys_hex.map((key) => Buffer.from(key, 'hex')) : vectors.keys;
      assert.deepEqual(keys.map((key) => keyHash(name.replace('_bin', ''), key)), hashes.map(BigInt));
    });
  }
});

describe('rings', () => {
  it('change', () => {
    const ring = new HashRing({ distribution: 'ketama' });
    assert.equal(ring.get('key'), undefined);
    assert.deepEqual(ring.successors('key'), []);
    for (let i = 0; i < 4; i++) ring.add({ address: `10.0.0.${i + 1}`, name: `cache-${i}`, weight: 1 });
    const first = ring.get('key');
    const order = ring.successors('key');
    assert.equal(order[0], first);
    assert.deepEqual([...order].sort(), [0, 1, 2, 3]);
    assert.deepEqual(ring.successors('key', 2), order.slice(0, 2));
    assert.throws(() => ring.add({ address: 'h', name: 'cache-1' }), ArgumentError);
    assert.equal(ring.remove('nobody'), false);
    assert.equal(ring.remove(`cache-${first}`), true);
    assert.equal(ring.servers.length, 3);
    assert.ok(ring.servers.every(({ name, weight }) => name !== `cache-${first}` && weight === 1));
  });

  it('by a function', () => {
    const servers = ['a:1', 'b:1', 'c:1'];
    const ring = new HashRing({ servers, route: (key, count) => (key.toString() === 'none' ? count : key.length % count) });
    assert.deepEqual(['a', 'ab', 'abc', 'none'].map((key) => ring.get(key)), [1, 2, 0, undefined]);
    for (const wrong of [() => 'x', () => -1, () => undefined, () => { throw new Error('mine'); }]) {
      assert.equal(new HashRing({ servers, route: wrong }).get('a'), undefined);
    }
  });

  it('refuse what is none', () => {
    for (const options of [null, 5, 'a']) assert.throws(() => new HashRing(options), ArgumentError);
    assert.throws(() => new HashRing({ distribution: 'none' }), /none.*ketama/);
    assert.throws(() => new HashRing({ servers: ['a:1', 'a:1'] }), ArgumentError);
    assert.throws(() => new HashRing({ servers: [5] }), ArgumentError);
    assert.throws(() => new HashRing({ route: 5 }), ArgumentError);
    const ring = new HashRing({ servers: 'a:1' });
    for (const key of [undefined, null, 5, {}, 'x'.repeat(5000)]) assert.throws(() => ring.get(key), ArgumentError);
    for (const name of [undefined, 5, null]) assert.throws(() => ring.remove(name), ArgumentError);
    assert.throws(() => keyHash('none', 'a'), /none.*murmur/);
    for (const key of [undefined, 5]) assert.throws(() => keyHash('md5', key), ArgumentError);
  });
});
