// Names: the library writes its options and fields in snake_case, JavaScript in camelCase.
'use strict';

const native = require('./native.js');

/** timeoutMs as the library has it. */
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
/** BREAKER_OPENED and timeout_ms as they are called here. */
const camel = (name) => name.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** The library's options of a client or ring, as it calls them. */
const options = new Set(native.options().map(({ name }) => name));
const others = new Set(['meta_flags', 'compress_level', 'value_type', 'advance_seconds', 'idle_timeout', 'max_connections']);

/** What the library says, with the names that a user knows; what stands in quotes is the user's. */
function inCamel(words) {
  return words.replace(/"(?:[^"\\]|\\.)*"|\b[a-z]+(?:_[a-z]+)+\b/g, (word) => (options.has(word) || others.has(word) ? camel(word) : word));
}

module.exports = { snake, camel, inCamel, options };
