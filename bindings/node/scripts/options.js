#!/usr/bin/env node
// Writes lib/options.d.ts: the types of a client's options, from the library's own table. test/header.test.js compares.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { options } = require('../lib/index.js');

const file = path.join(path.dirname(__dirname), 'lib', 'options.d.ts');

/** The type for what an option accepts. */
function typeOf(accepts) {
  if (accepts === 'true or false') return 'boolean';
  if (accepts.startsWith('a whole number')) return 'number';
  const words = /^one of (.*)$/.exec(accepts)?.[1].split(', ');
  if (words && words.every((word) => /^[\w.-]+$/.test(word))) return words.map((word) => `'${word}'`).join(' | ');
  return 'string';
}

function text() {
  const lines = options.map(
    ({ name, default: value, accepts, about }) =>
      `  /** ${about}. Default: ${value === '' ? 'none' : value}; ${accepts}. */\n  ${name}?: ${typeOf(accepts)};`,
  );
  const about = '/** The options of the library, by the names of docs/options.md in camelCase. */';
  return `// Made from the library's table by scripts/options.js; do not edit.\n\n${about}\n` +
    `export interface LibraryOptions {\n${lines.join('\n')}\n}\n`;
}

module.exports = { file, text };

if (require.main === module) fs.writeFileSync(file, text());
