#!/usr/bin/env node
// Compiles the addon with the C compiler and the headers that came with Node; nothing is downloaded. By hand:
//
//     node scripts/build.js [--prebuilt [--check]] [--archive libbmemc.a --include DIR] [--out FILE]
//
// Without --archive, pkg-config finds libbmemc: the archive (bmemc-static) where there is one, else the shared library.
// --prebuilt: into the package, with the archive inside, so that it runs where there is no libbmemc. --check: only if it is
// not there yet.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { builtPath, prebuiltPath } = require('../lib/native-path.js');

const root = path.dirname(__dirname);

/** Runs a program and answers with what it prints, as words; throws what it says where it fails. */
function words(program, ...args) {
  const printed = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return printed.trim().split(/\s+/).filter(Boolean);
}

/** Where node_api.h and uv.h are: beside Node itself, where the user says, or where Debian puts them. */
function nodeHeaders() {
  const prefix = path.join(path.dirname(fs.realpathSync(process.execPath)), '..');
  const dirs = [process.env.npm_config_nodedir, process.env.NODEDIR, prefix, '/usr', '/usr/local'];
  const found = dirs.filter(Boolean).map((dir) => path.join(dir, 'include', 'node'));
  const dir = found.find((each) => fs.existsSync(path.join(each, 'node_api.h')) && fs.existsSync(path.join(each, 'uv.h')));
  if (!dir) throw new Error(`node_api.h and uv.h are in none of ${found.join(', ')}; set NODEDIR to Node's prefix`);
  return dir;
}

/** Flags for libbmemc. Its own symbols stay inside: another addon may have another version of it. */
function library({ archive, include, prebuilt }) {
  if (archive) return { cflags: [`-I${include}`], libs: [archive, '-lutil', '-lrt', '-lpthread', '-lm', '-ldl'] };
  const names = prebuilt ? ['bmemc-static'] : ['bmemc-static', 'bmemc'];
  for (const name of names) {
    try {
      return { cflags: words('pkg-config', '--cflags', name), libs: words('pkg-config', '--libs', name) };
    } catch {
      // The next one, then.
    }
  }
  throw new Error(`pkg-config finds no ${names.join(' or ')}: install libbmemc, or give --archive and --include`);
}

/** Compiles the addon into `out`. */
function build({ archive, include, prebuilt, check, out = prebuilt ? prebuiltPath() : builtPath() } = {}) {
  if (check && fs.existsSync(out)) return out;
  const { cflags, libs } = library({ archive, include, prebuilt });
  const sources = fs.readdirSync(path.join(root, 'src')).filter((name) => name.endsWith('.c')).sort();
  fs.mkdirSync(path.dirname(out), { recursive: true });
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-fPIC', '-fvisibility=hidden', '-ffunction-sections', '-shared'];
  // nodelete: threads of the library's may be inside it when the last environment that loaded it ends.
  const linked = ['-Wl,-z,nodelete', '-Wl,-z,noexecstack', '-Wl,--exclude-libs,ALL', '-Wl,--gc-sections'];
  const compiler = process.env.CC || 'cc';
  const args = [
    ...flags, ...(process.env.BMEMC_DEBUG ? ['-g'] : ['-s']),
    `-I${nodeHeaders()}`, ...cflags, ...sources.map((name) => path.join(root, 'src', name)),
    '-o', out, ...linked, ...libs,
  ];
  execFileSync(compiler, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  return out;
}

/** The command line's options. */
function parse(args) {
  const { values } = parseArgs({
    args,
    options: {
      archive: { type: 'string' },
      include: { type: 'string' },
      out: { type: 'string' },
      prebuilt: { type: 'boolean' },
      check: { type: 'boolean' },
    },
  });
  if (values.archive && !values.include) throw new Error('--archive needs --include');
  for (const name of ['archive', 'include', 'out']) if (values[name]) values[name] = path.resolve(values[name]);
  return values;
}

module.exports = { build };

if (require.main === module) {
  try {
    console.log(build(parse(process.argv.slice(2))));
  } catch (error) {
    console.error(`bmemc: ${error.message}`);
    process.exitCode = 1;
  }
}
