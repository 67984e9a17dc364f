// The binding beside include/bmemc.h: nothing that is there may be missing here, and the documents name all of it.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');
const bmemc = require('bmemc');
const { TestServer } = require('bmemc/testing');
const native = require('../lib/native.js');
const types = require('../scripts/options.js');

const root = path.join(__dirname, '..');
const read = (...names) => fs.readFileSync(path.join(root, ...names), 'utf8');
const header = read('..', '..', 'include', 'bmemc.h');
const readme = read('README.md');
const declarations = ['index', 'calls', 'errors'].map((name) => read('lib', `${name}.d.ts`)).join('\n');
const camel = (name) => name.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Names and numbers of the header's enums. */
const enums = new Map([...header.matchAll(/^ {4}BMEMC_(\w+) = (-?\d+),$/gm)].map(([, name, number]) => [name, Number(number)]));

describe('bmemc.h', () => {
  it('has no constant that JavaScript does not know, nor the other way round', () => {
    assert.ok(enums.size > 50);
    assert.deepEqual(new Map(Object.entries(native.constants)), enums);
  });

  it('has no failure without a class', () => {
    for (const [name, status] of enums) {
      if (!name.startsWith('E_')) continue;
      const error = require('../lib/errors.js').errorOf(status, 'words');
      assert.notEqual(error.constructor, bmemc.BmemcError, name);
      assert.equal(error.code, `BMEMC_${name}`);
      assert.equal(bmemc[error.constructor.name], error.constructor);
      assert.match(declarations, new RegExp(`class ${error.constructor.name} `));
      assert.ok(readme.includes(error.constructor.name), `${error.constructor.name} in README.md`);
    }
  });

  it('has no opcode that `call` does not take', () => {
    for (const name of enums.keys()) {
      if (name.startsWith('OP_')) assert.ok(declarations.includes(`'${camel(name.slice(3))}'`), `${name} in index.d.ts`);
    }
  });

  it('has no event without a name', () => {
    for (const name of enums.keys()) {
      if (name.startsWith('EVENT_')) assert.ok(declarations.includes(`  ${camel(name.slice(6))}: [ClientEvent];`), name);
    }
  });

  it('has no counter that is left out', async () => {
    const [, body] = /typedef struct \{((?:(?!typedef)[\s\S])*?)\} bmemc_counters;/.exec(header);
    const names = [...body.matchAll(/uint64_t (\w+);/g)].map(([, name]) => camel(name));
    const client = new bmemc.Client({ servers: '127.0.0.1:1' });
    assert.deepEqual(Object.keys(client.counters()), names);
    await client.close();
    for (const name of names) assert.ok(declarations.includes(`  ${name}: number;`), name);
  });

  it('has no function that is neither used nor left out for a reason', () => {
    // What Node has no use for, and why. What blocks for one command is a method that does it by the queue.
    const without = {
      bmemc_get_into: 'blocks', bmemc_call: 'blocks', bmemc_execute: 'blocks', bmemc_queue_fetch: 'fetch_to is used',
      bmemc_queue_fetch_into: 'fetch_to is used',
      bmemc_client_close: 'bmemc_client_free closes',
      bmemc_execute_each: 'blocks; each operation takes the index of a server',
      bmemc_metadump: 'bmemc_dump_of is used', bmemc_dump_new: 'bmemc_dump_of is used', bmemc_metadump_items: 'bmemc_dump_next is used',
    };
    const sources = fs.readdirSync(path.join(root, 'src')).map((name) => read('src', name)).join('\n');
    const functions = new Set([...header.matchAll(/^[a-z].*?\b(bmemc_[a-z_]+)\(/gm)].map(([, name]) => name));
    assert.ok(functions.size > 40);
    for (const name of functions) {
      const used = new RegExp(`\\b${name}\\(`).test(sources);
      const method = camel(name.replace(/^bmemc_(client_)?/, ''));
      if (used) assert.ok(!(name in without), `${name} is used, but is listed as left out`);
      else assert.ok(name in without || method in bmemc.Client.prototype, `${name} is not used`);
    }
  });
});

describe('documents', () => {
  const methodsOf = (Class) => Object.getOwnPropertyNames(Class.prototype).filter((name) => name !== 'constructor');

  it('lib/options.d.ts is as the library has it (node scripts/options.js writes it)', () => {
    assert.equal(fs.readFileSync(types.file, 'utf8'), types.text());
  });

  it('every option is taken by its name here, and a wrong value is refused by this name', async () => {
    assert.ok(bmemc.options.length > 50);
    for (const { name, default: value, accepts } of bmemc.options) {
      const create = (given) => new bmemc.Client({ servers: '127.0.0.1:1', [name]: given });
      try {
        if (value !== '') await create(value).close();
      } catch (error) {
        assert.match(error.message, new RegExp(`^${name} is set, but `)); // it goes with another one alone
      }
      assert.throws(() => create({}), new RegExp(`^ArgumentError: ${name} is an object`));
      if (/^(one of|a whole number|true or false|two ASCII)/.test(accepts)) {
        assert.throws(() => create('no such value'), new RegExp(`^ArgumentError: option ${name}: "no such value" is not `));
      } else {
        assert.match(accepts, /text|path|name/, name);
        assert.throws(() => create('\0'), new RegExp(`^ArgumentError: option ${name}: `));
      }
    }
  });

  it('every method is in index.d.ts with words, and in README.md', () => {
    for (const name of methodsOf(bmemc.Client)) {
      assert.match(declarations, new RegExp(`(\\*/|get<.*>.*;|;)\\n  (readonly )?${name}[(<:?]`), `${name} in index.d.ts`);
      assert.match(readme, new RegExp(`\\b${name}\\b`), `${name} in README.md`);
    }
    for (const name of methodsOf(bmemc.HashRing)) assert.match(readme, new RegExp(`ring\\.${name}\\b`), `${name} in README.md`);
    for (const name of methodsOf(TestServer)) assert.match(readme, new RegExp(`\\b${name}\\b`), `${name} in README.md`);
  });

  it('what is exported is the same for require, import and TypeScript', async () => {
    for (const name of ['', '/testing', '/keyv', '/express-session']) {
      const required = Object.keys(require(`bmemc${name}`)).sort();
      const imported = Object.keys(await import(`bmemc${name}`)).filter((each) => each !== 'default').sort();
      assert.deepEqual(imported, required, `bmemc${name}`);
      const file = name === '' ? declarations : read('lib', `${name.slice(1)}.d.ts`);
      for (const each of required) assert.match(file, new RegExp(`export (class|const|function) ${each}\\b`), each);
    }
  });
});
