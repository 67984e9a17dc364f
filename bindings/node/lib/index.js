// What `require('bmemc')` gives.
'use strict';

const native = require('./native.js');
const { Client } = require('./client.js');
const { errorOf, checked, ...errors } = require('./errors.js');

/** Every option of a client: its name, default, what it accepts, and what it does. */
const options = native.options().map((option) => ({
  ...option,
  name: option.name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()),
}));

module.exports = { Client, options, version: native.version, ...errors };
