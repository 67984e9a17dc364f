// Caches a file line by line: stores each line under a key, reads all of them back in batches, and compares.
//
//     node cache_file.mjs FILE [SERVER]
//
// SERVER is HOST:PORT, [::1]:PORT or /path/of/socket; without it, a server is started inside this process. Lines may hold any
// bytes. One that the server finds too large (usually over 1 MB) is named and left out. The status is 0 where every stored
// line came back as it was, or was evicted meanwhile; 1 where something failed; 2 for wrong usage.
import { readFileSync } from 'node:fs';
import { Client, TooLargeError } from 'bmemc';
import { TestServer } from 'bmemc/testing';

const BATCH = 100;
const BATCH_BYTES = 1 << 22;
const TTL_SECONDS = 600;
const MEANWHILE = 1000; // sets that are under way at once

const keyOf = (index) => `cache_file:${index + 1}`;

/** Each line in the file's own bytes, without its newline. */
function split(file) {
  const lines = [];
  for (let at = 0, end; at < file.length; at = end + 1) {
    end = file.indexOf(10, at);
    if (end < 0) end = file.length; // the last line need not end in a newline
    lines.push(file.subarray(at, end));
  }
  return lines;
}

/** Says how far it is: on a terminal ten times a second, elsewhere once a second. */
function progress(what, total) {
  const { isTTY } = process.stderr;
  let last = Date.now();
  return (done) => {
    if (isTTY && done === total) process.stderr.write('\r\x1b[K'); // erases what it said last
    if (done === total || Date.now() - last < (isTTY ? 100 : 1000)) return;
    last = Date.now();
    process.stderr.write(`${what} ${done} of ${total} lines${isTTY ? '\r' : '\n'}`);
  };
}

/** Stores the lines, many at once; answers with those that were too large. */
async function store(client, lines) {
  const tooLarge = new Set();
  const tell = progress('stored', lines.length);
  for (let first = 0; first < lines.length; first += MEANWHILE) {
    const some = lines.slice(first, first + MEANWHILE);
    await Promise.all(some.map(async (line, i) => {
      try {
        await client.set(keyOf(first + i), line, { ttl: TTL_SECONDS });
      } catch (error) {
        if (!(error instanceof TooLargeError)) throw error;
        console.error(`line ${first + i + 1} is left out: ${line.length} bytes, ${error.message}`);
        tooLarge.add(first + i);
      }
    }));
    tell(first + some.length);
  }
  return tooLarge;
}

/** Indices in batches: not many lines, and not many bytes, in one call. */
function* batches(lines) {
  for (let at = 0; at < lines.length;) {
    const indices = [];
    for (let size = 0; indices.length < BATCH && size < BATCH_BYTES && at < lines.length; at++) {
      indices.push(at);
      size += lines[at].length;
    }
    yield indices;
  }
}

/** Reads the lines back and compares. */
async function read(client, lines, tooLarge) {
  const sum = { hits: 0, misses: 0, differ: 0 };
  const tell = progress('read', lines.length);
  for (const indices of batches(lines)) {
    const found = await client.getMany(indices.map(keyOf)); // a Map of the hits; a failure rejects
    for (const i of indices.filter((index) => !tooLarge.has(index))) {
      const got = found.get(keyOf(i));
      if (got === undefined) sum.misses++;
      else if (got.equals(lines[i])) sum.hits++;
      else sum.differ++;
    }
    tell(indices.at(-1) + 1);
  }
  return sum;
}

const WORDS = { ENOENT: 'No such file or directory', EISDIR: 'Is a directory' };

function readWhole(name) {
  try {
    return readFileSync(name);
  } catch (error) {
    throw new Error(`${name}: ${WORDS[error.code] ?? error.message}`);
  }
}

async function main(name, server) {
  const file = readWhole(name);
  if (file.length === 0) throw new Error(`${name}: the file is empty: there is no line to cache`);
  const lines = split(file);
  const embedded = server === undefined ? new TestServer() : undefined;
  const address = embedded?.address ?? server;
  const client = new Client({ servers: address, timeoutMs: 10_000 });

  const began = performance.now();
  const tooLarge = await store(client, lines);
  const stored = performance.now();
  const sum = await read(client, lines, tooLarge);
  const ended = performance.now();

  const rate = (from, to) => ((lines.length * 1000) / (to - from)).toFixed(0);
  console.log(`${name}: ${lines.length} lines, ${file.length} bytes, by ${address}${embedded ? ' (embedded)' : ''}`);
  console.log(`stored ${lines.length - tooLarge.size}, ${rate(began, stored)} a second; ${tooLarge.size} too large`);
  console.log(`read   ${sum.hits} hits, ${sum.misses} misses, ${sum.differ} different, ${rate(stored, ended)} a second`);
  await client.close();
  embedded?.close();
  return sum.differ === 0 ? 0 : 1;
}

const args = process.argv.slice(2);
if (args.length < 1 || args.length > 2) {
  console.error('usage: cache_file.mjs FILE [SERVER]');
  process.exitCode = 2;
} else {
  main(...args).then(
    (status) => (process.exitCode = status),
    (error) => {
      console.error(`cache_file: ${error.message}`);
      process.exitCode = 1;
    },
  );
}
