#!/usr/bin/env node
// After npm has unpacked the package: the prebuilt addon that is in it is used where it loads; elsewhere the addon is
// compiled against a libbmemc that is installed. Nothing is downloaded.
'use strict';

const { build } = require('./build.js');
const { load } = require('../lib/native-path.js');

try {
  load();
} catch (why) {
  try {
    load(build());
  } catch (error) {
    console.error(`bmemc: no addon for this machine: ${why.message}`);
    console.error(`bmemc: and it could not be compiled: ${error.message}`);
    process.exitCode = 1;
  }
}
