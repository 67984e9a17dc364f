// A failure is never a miss, nor anything else that a method resolves to: every method, every kind of failure, every protocol.
'use strict';

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { BmemcError, PartialError } = require('bmemc');
const { TestServer } = require('bmemc/testing');
const { promised, clientOf } = require('./helpers.js');

/** What a protocol does not have, and says so. */
const unsupported = {
  text: ['meta'],
  meta: [],
  binary: ['meta', 'raw', 'verbosity', 'cacheMemlimit', 'shutdown'],
};

/** Each kind of failure: how a server that works becomes one that fails, options of the call, and the codes that it may have. */
const failures = {
  'nobody listens': { begin: (server) => server.close(), codes: ['CONNECTION'] },
  'the connection is closed': { begin: (server) => server.set({ fault: 'close' }), codes: ['CONNECTION'] },
  'no answer in time': { begin: (server) => server.set({ fault: 'stall' }), options: { timeoutMs: 300 }, codes: ['TIMEOUT'] },
  'aborted under way': {
    begin: (server) => server.set({ fault: 'stall' }),
    options: () => ({ signal: AbortSignal.timeout(100) }),
    codes: ['CANCELLED'],
  },
  'aborted before': { begin: () => {}, options: { signal: AbortSignal.abort() }, codes: ['CANCELLED'] },
  'garbage': { begin: (server) => server.set({ fault: 'garbage' }), codes: ['PROTOCOL'] },
  "the server's own words": {
    begin: (server) => server.set({ fault: 'error=SERVER_ERROR out of luck' }),
    codes: ['SERVER_ERROR'],
    words: /out of luck/,
  },
};

/** What is no failure: a server that is shut down hangs up, and a line of the user's is answered by whatever line comes. */
const success = { 'the connection is closed': ['shutdown'], 'garbage': ['raw'] };

/** The error that a promise is rejected with; it is settled soon. */
async function errorOf(promise, what) {
  let timer;
  const late = new Promise((resolve, reject) => (timer = setTimeout(() => reject(new Error(`${what} is not settled`)), 10_000)));
  try {
    return await Promise.race([promise.then((value) => assert.fail(`${what} resolved to ${String(value)}`), (error) => error), late]);
  } finally {
    clearTimeout(timer);
  }
}

for (const [kind, { begin, options, codes, words }] of Object.entries(failures)) {
  describe(kind, () => {
    for (const protocol of Object.keys(unsupported)) {
      it(`every method rejects, ${protocol}`, async (t) => {
        const server = new TestServer();
        t.after(() => server.close());
        const own = clientOf(t, server, { protocol });
        await own.set('a', '1'); // a hit, were it answered
        begin(server);
        // Over binary a miss or write that is one of several has no reply of which this fault could make another one.
        const isQuiet = protocol === 'binary' && words !== undefined;
        const given = () => (typeof options === 'function' ? options() : options);
        if (kind !== 'aborted before') {
          const { timeoutMs, signal } = given() ?? {};
          const operations = ['a', 'a'].map((key) => ({ opcode: 'get', key, timeoutMs }));
          const answers = await clientOf(t, server, { protocol, timeoutMs: 10_000 }).execute(operations, { signal });
          for (const { status, error, value } of answers) {
            assert.ok(error instanceof BmemcError && value === undefined && codes.includes(status.slice('BMEMC_E_'.length)), status);
          }
        }
        const tried = async (name, call) => {
          const client = clientOf(t, server, { protocol, timeoutMs: 10_000 });
          const error = await errorOf(call(client), name);
          const has = !unsupported[protocol].includes(name);
          const expected = [...codes, ...(has ? [] : ['UNSUPPORTED'])].map((code) => `BMEMC_E_${code}`);
          assert.ok(expected.includes(error.code), `${name}: ${error.stack}`);
          for (const each of error instanceof PartialError ? error.errors.values() : [error]) {
            assert.ok(each instanceof BmemcError && expected.includes(each.code), `${name}: ${each.stack}`);
            if (words && has) assert.match(each.message, words, name);
            if (each.code === 'BMEMC_E_CANCELLED') assert.equal(each.name, 'AbortError');
          }
          if (error instanceof PartialError && name !== 'stats' && !isQuiet) assert.deepEqual([error.values.size, error.errors.size], [0, 2], name);
          assert.equal(client.counters().hits, 0);
        };
        const methods = Object.entries(promised).filter(([name]) => !(success[kind] ?? []).includes(name));
        await Promise.all(methods.map(([name, method]) => tried(name, (client) => method(client, given()))));
      });
    }
  });
}
