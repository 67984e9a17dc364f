// memjs' choices: node memjs.js SERVERS KEYS; see libmemcached.c for what is read and printed.
const fs = require('fs');
const {Client} = require('memjs');

const lines = (path) => fs.readFileSync(path, 'utf8').trimEnd().split('\n');
const servers = lines(process.argv[2]).map((line, index) => ({index}));
const client = new Client(servers, {});
console.log('distribution=memjs\t' + lines(process.argv[3]).map((key) => client.server(key).index).join(' '));
