// The event loop: how operations go out, how answers come in, and what the rest of the program gets of its time. Counted, not timed.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { describe, it } = require('node:test');
const { startMemcached, clientOf } = require('./helpers.js');

/** Counts how often the addon has called JavaScript with answers: `saw` is called for each answer, from its promise. */
function callbacks() {
  const counted = { calls: 0, answers: 0, saw };
  let inside = false;
  function saw() {
    counted.answers++;
    if (inside) return;
    inside = true;
    counted.calls++;
    process.nextTick(() => (inside = false)); // it runs before the addon's call of JavaScript has returned
  }
  return counted;
}

/** What stands between a client and a server, and hands on what the server says in one piece once `count` lines have come. */
async function startHolding(t, server, count) {
  const proxy = net.createServer((socket) => {
    const upstream = net.connect(Number(server.address.split(':')[1]), '127.0.0.1');
    let held = '';
    socket.pipe(upstream);
    upstream.on('data', (chunk) => {
      held += chunk.toString('latin1');
      if (held.split('\r\n').length <= count()) return;
      socket.write(held, 'latin1');
      held = '';
    });
    for (const each of [socket, upstream]) each.on('error', () => {}).on('close', () => (socket.destroy(), upstream.destroy()));
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => proxy.close());
  return { address: `127.0.0.1:${proxy.address().port}` };
}

describe('the event loop', () => {
  it('operations of a turn go out by process.nextTick, in one batch; more than 32 in parts', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    const client = clientOf(t, server, { protocol: 'meta' });
    await client.get('a'); // it is connected
    for (const [count, batches] of [[1, 1], [20, 1], [32, 1], [33, 2], [64, 2]]) {
      await new Promise(setImmediate); // what is begun where an answer came goes out when all that came with it are worked off
      const before = client.counters().batches;
      const gets = Array.from({ length: count }, () => client.get('a'));
      assert.equal(client.counters().batches - before, Math.floor(count / 32), `${count} in the same turn`);
      await new Promise(process.nextTick);
      assert.equal(client.counters().batches - before, batches, `${count} behind the turn`);
      await Promise.all(gets);
      assert.equal(client.counters().batches - before, batches, `${count} in all`);
    }
  });

  it('answers that come together are one call of JavaScript', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    let lines = 0;
    const client = clientOf(t, await startHolding(t, server, () => lines), { protocol: 'text', encoding: 'utf8' });
    await client.set('a', 'b');
    for (const count of [1, 7, 30]) {
      lines = count;
      const counted = callbacks();
      const sets = Array.from({ length: count }, (_, i) => client.set(`k${i}`, 'v').then(counted.saw));
      await Promise.all(sets);
      assert.deepEqual([counted.calls, counted.answers], [1, count]);
    }
  });

  it('has its other turns after at most 8 fetches, however fast answers come', async (t) => {
    const server = await startMemcached({ unix: true });
    t.after(() => server.close());
    const client = clientOf(t, server, { encoding: 'utf8' });
    await client.set('a', 'x'.repeat(100));
    const IN_FLIGHT = 256;
    let [over, turns, most, mostAnswers, timers] = [false, 0, 0, 0, 0];
    const counted = callbacks();
    let [calls, answers] = [0, 0];
    // Each of these runs once in a turn of the loop; between two of them the poll for answers has had one.
    const turn = () => {
      turns++;
      most = Math.max(most, counted.calls - calls);
      mostAnswers = Math.max(mostAnswers, counted.answers - answers);
      [calls, answers] = [counted.calls, counted.answers];
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    const timer = setInterval(() => timers++, 1);
    const loop = async () => {
      while (!over) {
        await client.get('a');
        counted.saw();
        over ||= counted.answers >= 100_000;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
    clearInterval(timer);
    assert.ok(most > 1, 'never were there two fetches in a row: this shows nothing');
    assert.ok(most <= 8, `${most} fetches in a row`);
    assert.ok(mostAnswers <= 8 * IN_FLIGHT, `${mostAnswers} answers in a turn of the loop`);
    assert.ok(turns >= counted.answers / (8 * IN_FLIGHT), `${turns} turns`);
    assert.ok(timers > 0, 'a timer of 1 ms never ran');
  });
});
