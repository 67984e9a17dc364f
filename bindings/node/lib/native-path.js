// Where the addon is: compiled on this machine, or prebuilt inside the package.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const root = path.dirname(__dirname);

/** Such as linux-x64-glibc: what an addon is made for. */
function target() {
  const { glibcVersionRuntime } = process.report?.getReport ? header() : {};
  const libc = process.platform === 'linux' ? `-${glibcVersionRuntime ? 'glibc' : 'musl'}` : '';
  return `${process.platform}-${process.arch}${libc}`;
}

/** The report's header; the network's part, which may look names up, is left out. */
function header() {
  const { report } = process;
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    return report.getReport().header;
  } finally {
    report.excludeNetwork = before;
  }
}

/** Where scripts/build.js puts what it compiles. */
function builtPath() {
  return path.join(root, 'build', 'bmemc.node');
}

/** Where the package has its prebuilt one for this machine. */
function prebuiltPath() {
  return path.join(root, 'prebuilds', target(), 'bmemc.node');
}

/** Loads the addon, from `file` or from where it is found. */
function load(file) {
  if (file) return require(file);
  if (fs.existsSync(builtPath())) return require(builtPath());
  const prebuilt = prebuiltPath();
  if (fs.existsSync(prebuilt)) return require(prebuilt);
  throw new Error(`bmemc has no addon for ${target()}: install libbmemc and run "npm rebuild bmemc"`);
}

module.exports = { builtPath, prebuiltPath, target, load };
