// The examples in the documents: each method of Client has one, and all do what is written behind them.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { describe, it } = require('node:test');
const { inspect } = require('node:util');
const { Client } = require('bmemc');
const { startMemcached, clientOf, scratch } = require('./helpers.js');

const root = path.dirname(__dirname);
const read = (...names) => fs.readFileSync(path.join(root, ...names), 'utf8');
const AsyncFunction = (async () => {}).constructor;

/** Code whose expressions with words behind them are compared with these: `value(expression, words)`. */
const checked = (line) => {
  const [, code, words] = /^(.*?);?(?: \/\/ (.*))?$/.exec(line);
  return words === undefined ? `${code};` : `value(${code}, ${JSON.stringify(words)});`;
};

/** Words begin with the value as Node shows it. */
function value(got, words) {
  const bare = (text) => text.replaceAll(' ', '');
  assert.ok(bare(words).startsWith(bare(inspect(got))), `${inspect(got)} is not ${words}`);
}

const quiet = { log() {} };

const blocks = [...read('README.md').matchAll(/```js\n([^]*?)```/g)].map(([, block]) => block);
const blockOf = (words) => blocks.find((block) => block.includes(words));

describe('examples', () => {
  it('of every method in index.d.ts', async (t) => {
    const server = await startMemcached({ args: ['-A'] });
    t.after(() => server.close());
    const made = (options) => clientOf(t, server, { mode: 'hashed', encoding: 'utf8', ...options });
    const shared = made();
    await shared.setMany({ 'user:1': { name: 'Ada' }, log: 'words' });
    const declared = read('lib', 'index.d.ts');
    const found = [...declared.matchAll(/@example (.*)\n   \*\/\n  (?:readonly )?(\w+)/g)].map(([, line, name]) => [name, line]);
    const methods = Object.getOwnPropertyNames(Client.prototype).filter((name) => name !== 'constructor');
    assert.deepEqual(methods.filter((name) => !found.some(([of]) => of === name)), [], 'methods without an example');
    const last = ['shutdown', 'close']; // what ends something
    found.sort(([one], [other]) => last.indexOf(one) - last.indexOf(other));
    for (const [name, line] of found) {
      assert.match(line, new RegExp(`\\bclient\\.${name}\\b`));
      const client = name === 'setCredentials' ? made() : shared;
      await new AsyncFunction('client', 'value', 'console', checked(line))(client, value, quiet).catch((error) => {
        assert.fail(`${line}: ${error.message}`);
      });
    }
  });

  it('of README.md', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    const tried = blocks.filter((block) => /timeoutMs: 500|HashRing/.test(block));
    assert.equal(tried.length, 2);
    for (const block of tried) {
      const lines = block.replaceAll('127.0.0.1:11211', server.address).split('\n');
      const code = lines.map((line) => (/^(const|import|ring\.add)/.test(line) ? line : checked(line)));
      await new AsyncFunction('require', 'value', code.join('\n'))(require, value);
    }
  });

  it('of docs/, whose clients come to a server that speaks TLS', async (t) => {
    const folder = path.join(scratch, 'docs');
    execFileSync(path.join(root, '../../tests/lib/certificates'), [folder]);
    const args = ['-Z', '-o', `ssl_chain_cert=${folder}/server.pem`, '-o', `ssl_key=${folder}/server.key`];
    const server = await startMemcached({ args });
    t.after(() => server.close());
    const docs = path.join(root, '../../docs');
    const pages = fs.readdirSync(docs).map((page) => fs.readFileSync(path.join(docs, page), 'utf8'));
    const blocks = pages.flatMap((page) => [...page.matchAll(/```js\n([^]*?)```/g)].map(([, block]) => block));
    assert.ok(blocks.length > 0);
    const here = { 'cache.example.com:11211': server.address, 'ca.pem': `${folder}/ca.pem` };
    for (const block of blocks) {
      const code = Object.entries(here).reduce((code, [there, place]) => code.replaceAll(`'${there}'`, JSON.stringify(place)), block);
      const client = await new AsyncFunction('Client', `${code}\nreturn client;`)(Client);
      t.after(() => client.close());
      await client.set('docs', block);
      assert.equal(String(await client.get('docs')), block);
    }
  });

  it('of README.md: bmemc/testing', async () => {
    // What the reader does there with the client, before the end.
    const used = `const first = await client.get('a').catch((error) => error.code);
      const second = await client.get('a');
      await client.close();
      server.close();
      return [first, second];`;
    const code = blockOf('bmemc/testing').replace('server.close();', used);
    assert.deepEqual(await new AsyncFunction('require', 'Client', code)(require, Client), ['BMEMC_E_CONNECTION', undefined]);
  });

  it('of README.md: Keyv and express-session', async (t) => {
    const server = await startMemcached();
    t.after(() => server.close());
    const code = `${blockOf('bmemc/keyv').replaceAll('127.0.0.1:11211', server.address)}\nreturn keyv;`;
    let middleware;
    const app = { use: (made) => (middleware = made) };
    const names = { require, Keyv: require('keyv').Keyv, session: require('express-session'), secret: 'secret', app };
    const keyv = await new AsyncFunction(...Object.keys(names), code)(...Object.values(names));
    t.after(() => keyv.disconnect());
    await keyv.set('ada', { born: 1815 });
    assert.deepEqual(await keyv.get('ada'), { born: 1815 });
    const web = http.createServer((request, response) => {
      middleware(request, response, () => response.end(String((request.session.views = (request.session.views ?? 0) + 1))));
    });
    t.after(() => web.close());
    web.listen(0, '127.0.0.1');
    await once(web, 'listening');
    const address = `http://127.0.0.1:${web.address().port}`;
    const first = await fetch(address, { headers: { connection: 'close' } });
    const cookie = first.headers.get('set-cookie').split(';')[0];
    const second = await fetch(address, { headers: { connection: 'close', cookie } });
    assert.deepEqual([await first.text(), await second.text()], ['1', '2']);
  });

  it('of README.md: no other block is left out', () => {
    assert.equal(blocks.length, 4);
  });
});
