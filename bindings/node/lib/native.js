// The addon's module, loaded once for each environment, and bmemc.h's numbers by name.
'use strict';

const module_ = require('./native-path.js').load();

module.exports = { ...module_, constants: Object.freeze(module_.constants) };
