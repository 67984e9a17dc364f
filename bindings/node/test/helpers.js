// What several tests need: servers to talk to, and a server that answers what it is told.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { Client } = require('bmemc');
const { TestServer } = require('bmemc/testing');

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'bmemc-node-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

async function until(condition, what, ms = 10_000) {
  for (const began = Date.now(); !(await condition()); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() - began > ms) throw new Error(`waited ${ms} ms for ${what}`);
  }
}

/** Whether somebody listens on a socket; its file is there a moment before that. */
function isListening(file) {
  return new Promise((resolve) => {
    const socket = net.connect(file, () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

let started = 0;

/** Starts memcached on a Unix socket, or on a port of the system's choosing. */
async function startMemcached({ unix = false, args = [] } = {}) {
  const base = path.join(scratch, `memcached-${process.pid}-${++started}`);
  const where = unix ? ['-s', `${base}.sock`, '-a', '0700'] : ['-l', '127.0.0.1', '-p', '-1', '-U', '0'];
  const user = process.getuid() === 0 ? ['-u', 'root'] : [];
  const env = { ...process.env, MEMCACHED_PORT_FILENAME: `${base}.ports` };
  const child = spawn('memcached', [...user, ...where, ...args], { stdio: 'ignore', env });
  child.on('error', (error) => console.error(`memcached: ${error.message}`));
  const ended = once(child, 'exit');
  const file = unix ? `${base}.sock` : `${base}.ports`;
  const hasPort = () => fs.existsSync(file) && /TCP INET: \d+/.test(fs.readFileSync(file, 'utf8'));
  await until(() => (unix ? isListening(file) : hasPort()), 'memcached');
  const address = unix ? file : `127.0.0.1:${/TCP INET: (\d+)/.exec(fs.readFileSync(file, 'utf8'))[1]}`;
  const close = async () => {
    child.kill();
    await ended;
  };
  return { address, pid: child.pid, close };
}

/** One of each kind of server. */
const servers = {
  'memcached, TCP': () => startMemcached(),
  'memcached, Unix socket': () => startMemcached({ unix: true }),
  'the embedded server': async () => new TestServer(),
};

/** A server that answers each chunk that it receives with what `answer(chunk, socket)` gives. */
async function startScripted(answer) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      const reply = answer(chunk.toString('latin1'), socket);
      if (reply !== undefined && reply !== null) socket.write(reply);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  return { address: `127.0.0.1:${server.address().port}`, close, sockets };
}

/** A client of one server, closed with the test. */
function clientOf(t, server, options) {
  const client = new Client({ servers: server.address, timeoutMs: 10_000, ...options });
  t.after(() => client.close());
  return client;
}

/** Every method of a client that answers with one promise, with options of that call. */
const promised = {
  get: (client, options) => client.get('a', options),
  gets: (client, options) => client.gets('a', options),
  getMany: (client, options) => client.getMany(['a', 'b'], options),
  getsMany: (client, options) => client.getsMany(['a', 'b'], options),
  getAndTouch: (client, options) => client.getAndTouch('a', 1, options),
  getsAndTouch: (client, options) => client.getsAndTouch('a', 1, options),
  set: (client, options) => client.set('a', 1, options),
  add: (client, options) => client.add('a', 1, options),
  replace: (client, options) => client.replace('a', 1, options),
  append: (client, options) => client.append('a', 'b', options),
  prepend: (client, options) => client.prepend('a', 'b', options),
  cas: (client, options) => client.cas('a', 1, 1n, options),
  casMany: (client, options) => client.casMany([['a', 1, 1n], ['b', 1, 1n]], options),
  setMany: (client, options) => client.setMany({ a: 1, b: 2 }, options),
  delete: (client, options) => client.delete('a', options),
  deleteMany: (client, options) => client.deleteMany(['a', 'b'], options),
  increment: (client, options) => client.increment('a', 1, options),
  decrement: (client, options) => client.decrement('a', 1n, options),
  touch: (client, options) => client.touch('a', 1, options),
  version: (client, options) => client.version(options),
  stats: (client, options) => client.stats('', options),
  noop: (client, options) => client.noop(options),
  flushAll: (client, options) => client.flushAll(options),
  verbosity: (client, options) => client.verbosity(0, options),
  cacheMemlimit: (client, options) => client.cacheMemlimit(64, options),
  shutdown: (client, options) => client.shutdown(options),
  meta: (client, options) => client.meta('mg', 'a', 'v', options),
  raw: (client, options) => client.raw('version', options),
  call: (client, options) => client.call({ opcode: 'get', key: 'a', ...options }),
};

/** Runs a program in Node; answers with its code, signal and output. */
async function run(program, { args = [], env = {}, cwd, timeout = 60_000 } = {}) {
  const child = spawn(process.execPath, [...args, '-e', program], {
    cwd: cwd ?? path.dirname(__dirname), env: { ...process.env, ...env }, timeout,
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const [code, signal] = await once(child, 'close');
  return { code, signal, output };
}

/** A dump of so many items: memcached leaves out an item that somebody else holds at that moment, its own threads too. */
async function dumpOf(client, count) {
  for (let tries = 0; ; tries++) {
    const items = [];
    try {
      for await (const item of client.metadump()) items.push(item);
    } catch (error) {
      if (tries === 100 || !/BUSY/.test(error.message)) throw error;
    }
    if (items.length >= count || tries === 100) return items;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

module.exports = { promised, servers, startMemcached, startScripted, clientOf, dumpOf, until, run, scratch };
