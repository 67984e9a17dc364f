// memjs on a leash, as values_driver.c is libbmemc: "set KEY HEX" and "get KEY" from standard input, a line for each.
// usage: node values_memjs.js SERVER        (NODE_PATH says where memjs is)
const memjs = require('memjs');
const lines = require('readline').createInterface({ input: process.stdin });
const client = memjs.Client.create(process.argv[2], { timeout: 30, conntimeout: 30, retries: 0 });
const hex = (bytes) => (bytes.length ? bytes.toString('hex') : '-');
const unhex = (digits) => Buffer.from(digits === '-' ? '' : digits, 'hex');

async function answer(line) {
  const [command, key, digits] = line.split(' ');
  if (command === 'set') return `stored ${await client.set(key, unhex(digits), { expires: 0 })}`;
  const { value, flags } = await client.get(key);
  return value === null ? 'miss' : `value ${flags.readUInt32BE(0)} ${hex(value)}`;
}

(async () => {
  for await (const line of lines) {
    console.log(await answer(line).catch((error) => `failed ${error}`));
  }
  client.quit();
})();
