// How TypeScript sees the package: compiled by test/package.test.js as CommonJS and as a module, and run as both.
import { Client, BmemcError, PartialError, TimeoutError, options, version } from 'bmemc';
import type { Answer, ClientOptions, Item } from 'bmemc';
import { BmemcStore } from 'bmemc/express-session';
import { KeyvBmemc } from 'bmemc/keyv';
import { TestServer } from 'bmemc/testing';
import type { Store } from 'express-session';

interface User {
  name: string;
}

function is<T>(value: T): T {
  return value;
}

/** What must not compile; it is never called. */
function wrong(client: Client): void {
  // @ts-expect-error
  new Client({ servers: 'a', timeoutMS: 5 });
  // @ts-expect-error
  new Client({ servers: 'a', protocol: 'http' });
  // @ts-expect-error
  client.get(5).catch(() => {});
  // @ts-expect-error
  client.set('a', 'b', { ttl: '60' }).catch(() => {});
  // @ts-expect-error
  client.call({ opcode: 'GET' }).catch(() => {});
  // @ts-expect-error
  new TestServer({ listen: 5 });
  // @ts-expect-error
  new KeyvBmemc(5);
  // @ts-expect-error
  new BmemcStore({ servers: 'a', ttl: '60' });
}

async function main(): Promise<void> {
  const server = new TestServer();
  const about: ClientOptions = { servers: [server.address], protocol: 'meta', timeoutMs: 5000, noDelay: true, codec: 'pylibmc' };
  const client = new Client({ ...about, servers: [{ address: server.address, name: 'one', weight: 2 }] });
  client.on('connected', (event) => is<number>(event.server));

  is<boolean>(await client.set('user', { name: 'Ada' } satisfies User, { ttl: 60 }));
  const user = is<User | undefined>(await client.get<User>('user'));
  if (user?.name !== 'Ada') throw new Error('not stored');
  is<User | null>(await client.get<User, null>('none', { default: null }));
  const item = is<Item<User> | undefined>(await client.gets<User>('user'));
  is<boolean | undefined>(await client.cas('user', user, item!.cas));
  const many = is<Map<string, User>>(await client.getMany<string, User>(['user']));
  is<Map<Buffer, any>>(await client.getMany([Buffer.from('user')]));
  await client.setMany(new Map([['a', 1]]));
  await client.setMany({ a: 1 });
  is<number>(await client.deleteMany(many.keys()));
  is<number | undefined>(await client.increment('n'));
  is<bigint | undefined>(await client.increment('n', 1n, { initial: 5n }));
  const answer = is<Answer>(await client.call({ opcode: 'get', key: 'user' }));
  is<string>(answer.status);
  is<Answer[]>(await client.execute([{ opcode: 'set', key: 'a', value: 'b' }, { opcode: 'delete', key: 'a' }]));
  try {
    await client.get('', { signal: new AbortController().signal, timeoutMs: 100 });
    throw new Error('an empty key was accepted');
  } catch (error) {
    if (error instanceof TimeoutError || !(error instanceof BmemcError)) throw error;
    is<string>(error.code);
  }
  await client.getMany(['', 'a']).catch((error: PartialError<string>) => is<Map<string, BmemcError>>(error.errors));

  await new KeyvBmemc(client).set('a', 'b', 1000);
  is<Client>(new KeyvBmemc(server.address).client);
  const store = is<Store>(new BmemcStore({ client, prefix: 'sess:', ttl: 60 }));
  await new Promise<void>((resolve, reject) => store.destroy('id', (error?: unknown) => (error ? reject(error) : resolve())));
  server.set({ fault: '', advanceSeconds: 1 });
  for await (const { key, size } of client.metadump('all', { server: 0 })) is<[Buffer, number]>([key, size]);
  is<readonly { name: string }[]>(options);
  {
    await using closing = new Client({ servers: server.address });
    await closing.get('a');
  }
  await client.close();
  server.close();
  console.log(`typed ${version}`);
}

main();
is<Function>(wrong);
