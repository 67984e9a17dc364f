// TLS, against memcached with certificates that are made here.
'use strict';

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { Client, TlsError, ArgumentError } = require('bmemc');
const { startMemcached, clientOf, scratch } = require('./helpers.js');

const folder = path.join(scratch, 'tls');
const file = (name) => path.join(folder, name);

const text = (name) => fs.readFileSync(file(name), 'utf8');

/** A memcached that speaks TLS and wants a certificate of its clients. */
async function startSecure(t) {
  execFileSync(path.join(__dirname, '../../../tests/lib/certificates'), [folder]);
  const given = { chain_cert: file('server.pem'), key: file('server.key'), ca_cert: file('ca.pem'), verify_mode: '2' };
  const args = ['-Z', ...Object.entries(given).flatMap(([name, value]) => ['-o', `ssl_${name}=${value}`])];
  const server = await startMemcached({ args });
  t.after(() => server.close());
  return server;
}

test('values go over TLS, and servers that nobody knows are refused', async (t) => {
  const server = await startSecure(t);
  const options = {
    timeoutMs: 30_000, connectTimeoutMs: 30_000, failover: 'none', tls: true, tlsCaFile: file('ca.pem'),
    tlsCertFile: file('client.pem'), tlsKeyFile: file('client.key'), tlsServerName: 'localhost', tlsMinVersion: '1.3',
  };
  const roundTrip = async (own) => {
    const client = clientOf(t, server, { ...options, ...own });
    const value = 'secret'.repeat(100_000);
    await client.set('tls', value);
    assert.strictEqual(String(await client.get('tls')), value);
  };
  for (const protocol of ['auto', 'text', 'meta', 'binary']) await roundTrip({ protocol });
  const files = { tlsCaFile: undefined, tlsCertFile: undefined, tlsKeyFile: undefined };
  await roundTrip({ ...files, tlsCa: text('ca.pem'), tlsCert: text('client.pem'), tlsKey: text('client.key') });
  await roundTrip({ tlsCaFile: file('other-ca.pem'), tlsServerName: 'elsewhere.example', tlsVerify: 'none' });

  const refusals = [
    [/UnknownIssuer/, { tlsCaFile: file('other-ca.pem') }],
    [/elsewhere\.example/, { tlsServerName: 'elsewhere.example' }],
    [/CertificateRequired/, { tlsCertFile: undefined, tlsKeyFile: undefined }],
  ];
  for (const [word, own] of refusals) {
    const client = clientOf(t, server, { ...options, ...own });
    await assert.rejects(client.get('tls'), (error) => error instanceof TlsError && word.test(error.message));
  }
  const mistakes = [
    [/tlsCaFile is set/, { tls: false }],
    [/nowhere\.pem/, { tlsCaFile: file('nowhere.pem') }],
    [/tlsVerify/, { tlsVerify: 'maybe' }],
  ];
  for (const [word, own] of mistakes) {
    assert.throws(() => new Client({ servers: server.address, ...options, ...own }),
      (error) => error instanceof ArgumentError && word.test(error.message));
  }
});
