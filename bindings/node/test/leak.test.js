// Nothing grows: a process of its own works on, collects its garbage, and compares.
'use strict';

const assert = require('node:assert/strict');
const { describe, it, before, after } = require('node:test');
const { startMemcached, run } = require('./helpers.js');

/** Runs `work` until the memory has settled, then as often again; prints by how many bytes it grew, and the descriptors. */
const program = (work) => `
  const { Client } = require('bmemc'); const { TestServer } = require('bmemc/testing'); const fs = require('node:fs');
  const client = new Client({ servers: process.env.BMEMC_SERVER, maxWaiting: 1000000 });
  const turn = () => new Promise(setImmediate);
  async function settle() { for (let i = 0; i < 8; i++) { gc(); await turn(); } }
  async function work() { ${work} }
  const all = () => { const { rss, heapUsed, external } = process.memoryUsage(); return { rss, heapUsed, external }; };
  const descriptors = () => fs.readdirSync('/proc/self/fd').length;
  (async () => {
    await client.set('small', 'x'.repeat(100)); await client.set('large', Buffer.alloc(300000));
    for (let i = 0; i < 3; i++) await work();
    await settle();
    const [before, open] = [all(), descriptors()];
    for (let i = 0; i < 6; i++) await work();
    await settle();
    const after = all();
    console.log(JSON.stringify({ rss: after.rss - before.rss, heap: after.heapUsed - before.heapUsed,
      external: after.external - before.external, open: descriptors() - open }));
    process.exit(0);
  })();`;

const works = {
  'gets and sets': `for (let round = 0; round < 60; round++)
    await Promise.all(Array.from({ length: 300 }, (_, i) => i % 2 ? client.get('small') : client.set('k' + i, 'v' + i)));`,
  'large values': `for (let round = 0; round < 20; round++)
    await Promise.all([client.get('large'), client.set('l2', Buffer.alloc(200000)), client.getMany(['large', 'l2'])]);`,
  'failures and aborted calls': `for (let round = 0; round < 300; round++) {
    const controller = new AbortController();
    const calls = [client.get('a b'), client.get(''), client.get('small', { signal: controller.signal }), client.getMany(['', 'small']),
      client.get('small', { signal: AbortSignal.abort() }), client.set('n', NaN)].map((call) => call.catch(() => {}));
    controller.abort();
    await Promise.all(calls);
  }`,
  'clients that come and go, some without being closed': `for (let round = 0; round < 60; round++) {
    const each = new Client({ servers: process.env.BMEMC_SERVER });
    each.on('connected', () => {});
    await each.get('small');
    if (round % 2) await each.close();
    if (round % 20 === 0) await settle();
  }
  await settle(); await client.get('small'); await client.get('small');`,
  'servers that come and go': `for (let round = 0; round < 20; round++) {
    const server = new TestServer();
    const each = new Client({ servers: server.address });
    await each.set('a', Buffer.alloc(1000));
    server.close();
    await each.get('a').catch(() => {});
    await each.close();
  }
  await settle(); await client.get('small'); await client.get('small');`,
};

describe('memory and descriptors, after garbage collection', () => {
  let server;
  before(async () => (server = await startMemcached({ unix: true })));
  after(() => server.close());

  for (const [name, work] of Object.entries(works)) {
    it(name, async () => {
      const env = { BMEMC_SERVER: server.address };
      const { code, output } = await run(program(work), { args: ['--expose-gc'], env, timeout: 120_000 });
      assert.equal(code, 0, output);
      const grown = JSON.parse(output);
      assert.ok(grown.heap < 1 << 20, output);
      assert.ok(grown.external < 1 << 20, output);
      assert.ok(grown.rss < 24 << 20, output);
      assert.ok(grown.open <= 2, output);
    });
  }
});
