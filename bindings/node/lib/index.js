// What `require('bmemc')` gives.
'use strict';

const native = require('./native.js');
const { Client } = require('./client.js');
const { HashRing, keyHash, parseAddress } = require('./ring.js');
const { camel } = require('./names.js');
const { errorOf, checked, ...errors } = require('./errors.js');

/** Every option of a client: its name, default, what it accepts, and what it does. */
const options = native.options().map((option) => ({
  ...option,
  name: camel(option.name),
}));

module.exports = { Client, HashRing, keyHash, parseAddress, options, version: native.version, ...errors };
