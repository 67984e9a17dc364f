// Keyv's own test suite for stores, against memcached at BMEMC_SERVER; test/adapters.test.js runs it.
import { keyvApiTests, keyvNamespaceTest, keyvValueTests } from '@keyv/test-suite';
import { KeyvBmemc } from 'bmemc/keyv';
import Keyv from 'keyv';
import * as vitest from 'vitest';

const servers = process.env.BMEMC_SERVER;

vitest.describe('without a namespace', () => {
  keyvApiTests(vitest, Keyv, () => new KeyvBmemc(servers));
  keyvValueTests(vitest, Keyv, () => new KeyvBmemc({ servers }));
});
vitest.describe('with namespaces', () => keyvNamespaceTest(vitest, Keyv, () => new KeyvBmemc(servers)));
