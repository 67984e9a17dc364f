// The package as a user installs it: packed, into an empty project outside the tree, where there is no libbmemc; required,
// imported, compiled by TypeScript, and built from the sources that are in it.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it, before } = require('node:test');
const { scratch } = require('./helpers.js');
const { prebuiltPath } = require('../lib/native-path.js');

const root = path.dirname(__dirname);
const project = path.join(scratch, 'project');
const installed = path.join(project, 'node_modules', 'bmemc');

// Nothing of this machine that would find libbmemc, and no registry.
const { PKG_CONFIG_PATH, LD_LIBRARY_PATH, NODE_PATH, ...bare } = process.env;
const env = { ...bare, npm_config_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false' };

function run(program, args, options = {}) {
  try {
    return execFileSync(program, args, { cwd: project, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
  } catch (error) {
    assert.fail(`${program} ${args.join(' ')}: ${error.message}\n${error.stdout}`);
  }
}

const roundTrip = `
  const server = new TestServer();
  const client = new Client({ servers: server.address });
  const done = client.set('a', { b: 1 }).then(() => client.get('a')).then((value) => console.log(JSON.stringify(value)));`;

describe('the packed package', () => {
  before(() => {
    fs.mkdirSync(project, { recursive: true });
    run('npm', ['pack', '--pack-destination', scratch], { cwd: root, env: { ...env, PKG_CONFIG_PATH } });
    fs.writeFileSync(path.join(project, 'package.json'), '{ "name": "user", "private": true }');
    run('npm', ['install', '--no-package-lock', path.join(scratch, 'bmemc-0.1.0.tgz')]);
  });

  it('has what it needs and nothing else', () => {
    const files = fs.readdirSync(installed).sort();
    assert.deepEqual(files, ['README.md', 'lib', 'package.json', 'prebuilds', 'scripts', 'src']);
    assert.equal(fs.existsSync(path.join(installed, 'build')), false, 'the prebuilt addon was not used');
    const { version } = JSON.parse(fs.readFileSync(path.join(installed, 'package.json')));
    const cargo = fs.readFileSync(path.join(root, '..', '..', 'Cargo.toml'), 'utf8');
    assert.equal(version, /^version = "(.*)"$/m.exec(cargo)[1]);
  });

  it('needs no library but those of every system', () => {
    const needed = run('readelf', ['-d', path.relative(root, prebuiltPath())], { cwd: installed });
    const names = [...needed.matchAll(/NEEDED.*\[(.*)\]/g)].map(([, name]) => name);
    for (const name of names) assert.match(name, /^(lib(c|m|dl|rt|pthread|util|gcc_s)\.so\.\d+|ld-linux.*)$/);
    const symbols = run('nm', ['-D', '--defined-only', path.relative(root, prebuiltPath())], { cwd: installed });
    const exported = symbols.trim().split('\n').map((line) => line.split(' ').at(-1));
    assert.deepEqual(exported.filter((name) => !name.startsWith('napi_') && !name.startsWith('node_api_')), []);
  });

  it('is required', () => {
    const program = `const { Client } = require('bmemc'); const { TestServer } = require('bmemc/testing'); ${roundTrip}`;
    assert.equal(run(process.execPath, ['-e', program]), '{"b":1}\n');
  });

  it('is imported', () => {
    const program = `import { Client } from 'bmemc'; import { TestServer } from 'bmemc/testing'; ${roundTrip} await done; await client.close();`;
    assert.equal(run(process.execPath, ['--input-type=module', '-e', program]), '{"b":1}\n');
  });

  it('is compiled by TypeScript, as CommonJS and as a module, and runs', () => {
    const modules = path.join(root, 'node_modules');
    const copy = (name) => {
      const to = path.join(project, 'node_modules', name);
      if (fs.existsSync(to)) return;
      fs.cpSync(path.join(modules, name), to, { recursive: true });
      const about = path.join(to, 'package.json');
      if (fs.existsSync(about)) Object.keys(JSON.parse(fs.readFileSync(about)).dependencies ?? {}).forEach(copy);
    };
    ['@types', 'undici-types', 'express-session'].forEach(copy);
    const tsc = path.join(modules, 'typescript', 'bin', 'tsc');
    const strict = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
    const library = ['--lib', 'es2022,esnext.disposable', '--target', 'es2022', '--types', 'node'];
    for (const extension of ['cts', 'mts']) {
      fs.copyFileSync(path.join(__dirname, 'types', 'use.ts'), path.join(project, `use.${extension}`));
      run(process.execPath, [tsc, ...strict, ...library, '--module', 'node16', `use.${extension}`]);
      assert.match(run(process.execPath, [`use.${extension.replace('t', 'j')}`]), /^typed \d/);
    }
    // As a bundler finds the types.
    fs.copyFileSync(path.join(__dirname, 'types', 'use.ts'), path.join(project, 'use.ts'));
    run(process.execPath, [tsc, ...strict, ...library, '--module', 'esnext', '--moduleResolution', 'bundler', '--noEmit', 'use.ts']);
  });

  it('is built from its sources where the prebuilt addon does not load', () => {
    if (!PKG_CONFIG_PATH) assert.fail('PKG_CONFIG_PATH must lead to an installed libbmemc');
    fs.rmSync(path.join(installed, 'prebuilds'), { recursive: true });
    const library = { ...env, PKG_CONFIG_PATH };
    run('npm', ['rebuild', 'bmemc'], { env: library });
    assert.ok(fs.existsSync(path.join(installed, 'build', 'bmemc.node')));
    const program = `const { Client } = require('bmemc'); const { TestServer } = require('bmemc/testing'); ${roundTrip}`;
    assert.equal(run(process.execPath, ['-e', program]), '{"b":1}\n');
  });

  it('says what is missing where it can neither be loaded nor built', () => {
    fs.rmSync(path.join(installed, 'build'), { recursive: true, force: true });
    fs.rmSync(path.join(installed, 'prebuilds'), { recursive: true, force: true });
    const nothing = { ...env, PKG_CONFIG_LIBDIR: '/nonexistent' };
    assert.throws(
      () => execFileSync(process.execPath, ['scripts/install.js'], { cwd: installed, env: nothing, stdio: 'pipe' }),
      (error) => /no addon for .*linux/.test(error.stderr) && /pkg-config finds no bmemc-static or bmemc/.test(error.stderr),
    );
    assert.throws(
      () => execFileSync(process.execPath, ['-e', "require('bmemc')"], { cwd: project, env, stdio: 'pipe' }),
      (error) => /bmemc has no addon for linux.*npm rebuild bmemc/.test(error.stderr),
    );
  });
});
