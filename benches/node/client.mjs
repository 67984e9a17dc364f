// One client, one case, one run: prints a line of JSON as the programs in C do. `in-flight` loops, each awaiting one call
// after the other; every value is compared with what was stored. `socket` is no client but the floor: the same exchange by
// a socket of Node's whose bytes are counted and not read.
import { once } from 'node:events';
import net from 'node:net';
import { parseArgs } from 'node:util';

const { values: plan } = parseArgs({
  options: {
    client: { type: 'string' },
    case: { type: 'string' },
    server: { type: 'string' },
    'in-flight': { type: 'string', default: '1' },
    value: { type: 'string', default: '100' },
    batch: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '1' },
    ops: { type: 'string', default: '0' },
    warmup: { type: 'string', default: '3000' },
  },
});

const inFlight = Number(plan['in-flight']);
const batch = Number(plan.batch);
const KEYS = 1000;
const keys = Array.from({ length: KEYS }, (_, i) => `node-bench:${String(i).padStart(9, '0')}`); // 20 bytes
const value = Buffer.alloc(Number(plan.value), 'v');
const batches = Array.from({ length: 10 }, (_, i) => keys.slice((i * batch) % KEYS, ((i * batch) % KEYS) + batch));

/** Each client as its own documents use it: get, set and many as promises. `found`: the value's length. */
const clients = {
  async bmemc() {
    const { Client } = await import('../../bindings/node/lib/index.mjs');
    const client = new Client({ servers: plan.server, timeoutMs: 20_000 });
    return {
      get: (key) => client.get(key),
      set: (key) => client.set(key, value),
      many: (list) => client.getMany(list),
      found: (got) => got.length,
      each: (found, key) => found.get(key).length,
      close: () => client.close(),
    };
  },
  async memjs() {
    const { default: memjs } = await import('memjs');
    const client = memjs.Client.create(plan.server, { timeout: 20 });
    return {
      get: (key) => client.get(key), set: (key) => client.set(key, value, {}), found: (got) => got.value.length, close: () => client.quit(),
    };
  },
  async memcached() {
    const { default: Memcached } = await import('memcached');
    const client = new Memcached(plan.server, { timeout: 20_000 });
    const text = value.toString();
    const promised = (start) => new Promise((resolve, reject) => start((error, got) => (error ? reject(error) : resolve(got))));
    return {
      get: (key) => promised((done) => client.get(key, done)),
      set: (key) => promised((done) => client.set(key, text, 0, done)),
      many: (list) => promised((done) => client.getMulti(list, done)),
      found: (got) => got.length,
      each: (found, key) => found[key].length,
      close: () => client.end(),
    };
  },
  async memcache() {
    const { Memcache } = await import('memcache');
    const client = new Memcache({ nodes: [plan.server], timeout: 20_000 });
    const text = value.toString();
    return {
      get: (key) => client.get(key),
      set: (key) => client.set(key, text),
      many: (list) => client.gets(list),
      found: (got) => got.length,
      each: (found, key) => found.get(key).length,
      close: () => client.disconnect(),
    };
  },
  async 'memcache-client'() {
    const { MemcacheClient } = await import('memcache-client');
    const client = new MemcacheClient({ server: plan.server, cmdTimeout: 20_000 });
    return {
      get: (key) => client.get(key),
      set: (key) => client.set(key, value),
      many: (list) => client.get(list),
      found: (got) => got.value.length,
      each: (found, key) => found[key].value.length,
      close: () => client.shutdown(),
    };
  },
};

let done = 0;
let stop = () => false;

/** The floor: what is answered is asked for again at once, all of it in one request. */
async function floor() {
  const [host, port] = plan.server.split(':');
  const socket = net.connect(Number(port), host).setNoDelay();
  await once(socket, 'connect');
  const many = plan.case === 'many';
  const reply = plan.case === 'set' ? 'STORED\r\n'.length : `VALUE ${keys[0]} 0 ${value.length}\r\n\r\n`.length + value.length;
  const end = plan.case === 'set' ? 0 : 'END\r\n'.length;
  const writes = keys.map((key) => Buffer.concat([Buffer.from(`set ${key} 0 0 ${value.length}\r\n`), value, Buffer.from('\r\n')]));
  const asked = []; // how many replies each request has still to get
  let next = 0;
  let came = 0;
  let ended = () => {};

  function ask(count) {
    const first = next;
    next += count;
    asked.push(count);
    if (plan.case === 'set') socket.write(Buffer.concat(Array.from({ length: count }, (_, i) => writes[(first + i) % KEYS])));
    else socket.write(`get ${Array.from({ length: count }, (_, i) => keys[(first + i) % KEYS]).join(' ')}\r\n`, 'latin1');
  }

  socket.on('data', (chunk) => {
    came += chunk.length;
    let count = 0;
    while (asked.length > 0) {
      const whole = Math.min(asked[0], Math.floor(came / reply));
      count += whole;
      came -= whole * reply;
      asked[0] -= whole;
      if (asked[0] > 0 || came < end) break;
      came -= end;
      asked.shift();
    }
    done += count;
    if (stop()) return asked.length === 0 && ended();
    if (!many) return count > 0 && ask(count);
    if (asked.length === 0) ask(batch);
  });
  return {
    async store() {
      const filler = net.connect(Number(port), host);
      filler.write(Buffer.concat(writes));
      for (let left = KEYS * 'STORED\r\n'.length; left > 0; ) left -= (await once(filler, 'data'))[0].length;
      filler.destroy();
    },
    run: () => new Promise((resolve) => ((ended = resolve), ask(many ? batch : inFlight))),
    close: () => socket.destroy(),
  };
}

const client = plan.client === 'socket' ? await floor() : await clients[plan.client]();

/** What one loop does again and again. */
const steps = {
  async get(i) {
    if (client.found(await client.get(keys[i % KEYS])) !== value.length) throw new Error('another value');
    done++;
  },
  async set(i) {
    await client.set(keys[i % KEYS]);
    done++;
  },
  async many(i) {
    const list = batches[i % batches.length];
    const found = await client.many(list);
    for (const key of list) if (client.each(found, key) !== value.length) throw new Error('another value');
    done += list.length;
  },
};
const step = steps[plan.case];

async function loop(first) {
  for (let i = first; !stop(); i += 7) await step(i);
}

async function run(until) {
  done = 0;
  stop = until;
  if (client.run) await client.run();
  else await Promise.all(Array.from({ length: inFlight }, (_, i) => loop(i * 31)));
  return done;
}

await (client.store?.() ?? Promise.all(keys.map((key) => client.set(key))));
await run(() => done >= Number(plan.warmup));

let now = performance.now();
const began = now;
const cpu = process.cpuUsage();
const deadline = began + Number(plan.seconds) * 1000;
// The clock is read now and then: it is the same for all.
let asked = 0;
const timed = () => ((++asked & 31) === 0 ? (now = performance.now()) : now) >= deadline;
const counted = () => done >= Number(plan.ops);
const ops = await run(Number(plan.ops) > 0 ? counted : timed);
const seconds = (performance.now() - began) / 1000;
const used = process.cpuUsage(cpu);
console.log(JSON.stringify({
  program: plan.client, case: plan.case, ops, seconds, ops_per_s: ops / seconds,
  user_us_per_op: used.user / ops, sys_us_per_op: used.system / ops,
}));
client.close();
setTimeout(() => process.exit(0), 50).unref();
