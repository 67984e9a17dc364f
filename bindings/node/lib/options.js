// Options: what a user writes for clients and rings, as the library takes it. Which options there are, and what they accept,
// the library says.
'use strict';

const { kindOf, guarded } = require('./engine.js');
const { ArgumentError } = require('./errors.js');
const { snake, camel, options: known } = require('./names.js');
const { whole } = require('./settings.js');

/** [[address, name, weight], ...] of what a user writes. */
function serversOf(servers) {
  if (servers === undefined) return [];
  return (Array.isArray(servers) ? servers : [servers]).map(serverOf);
}

function serverOf(server) {
  if (typeof server === 'string') return [server, '', 1];
  if (typeof server !== 'object' || server === null) throw serverError(server);
  const { address, name = '', weight = 1 } = server;
  if (typeof address !== 'string') throw serverError(server);
  if (typeof name !== 'string') throw new ArgumentError(`name of a server is ${kindOf(name)}; a string is accepted`);
  return [address, name, whole('weight', weight, 1, 0xffffffff)];
}

function serverError(server) {
  return new ArgumentError(`server is ${kindOf(server)}; 'host:port', '/path' or { address, name, weight } is accepted`);
}

/** The same where there has to be one at least. */
function someServersOf(servers) {
  const list = serversOf(servers);
  if (list.length > 0) return list;
  throw new ArgumentError("servers has none; 'host:port', '/path', { address, name, weight } or an array of these is accepted");
}

/** The same for options of clients and rings, each of which must be one of the library's or of `own`. */
function optionsOf(options, own) {
  const unknown = Object.keys(options).find((name) => !own.includes(name) && !known.has(snake(name)));
  if (unknown === undefined) return pairsOf(options, own);
  throw new ArgumentError(`there is no option ${unknown}; there are ${[...own, ...[...known].map(camel)].join(', ')}`);
}

/** [[name, value], ...] for the library, which checks them; `own` are not for it. */
function pairsOf(options, own = []) {
  return Object.entries(options)
    .filter(([name, value]) => !own.includes(name) && value !== undefined)
    .map(([name, value]) => {
      if (!['string', 'number', 'boolean', 'bigint'].includes(typeof value)) {
        throw new ArgumentError(`${name} is ${kindOf(value)}; a string, a number or true or false is accepted`);
      }
      return [snake(name), String(value)];
    });
}

/** {compress, decompress, route, onConnect, discover}: functions of the user's that the library calls. */
function functionsOf({ compressor, route, onConnect, discover }) {
  const functions = {};
  if (compressor !== undefined) {
    for (const name of ['compress', 'decompress']) {
      if (typeof compressor?.[name] !== 'function') {
        throw new ArgumentError(`compressor is ${kindOf(compressor)}; { compress(bytes, level), decompress(bytes) } is accepted`);
      }
      functions[name] = guarded(compressor[name].bind(compressor));
    }
  }
  if (route !== undefined) {
    if (typeof route !== 'function') throw new ArgumentError(`route is ${kindOf(route)}; a function (key, count) is accepted`);
    functions.route = guarded(route);
  }
  if (onConnect !== undefined) {
    if (typeof onConnect !== 'function') throw new ArgumentError(`onConnect is ${kindOf(onConnect)}; a function is accepted`);
    functions.onConnect = guarded(onConnect);
  }
  if (discover !== undefined) {
    if (typeof discover !== 'function') throw new ArgumentError(`discover is ${kindOf(discover)}; a function is accepted`);
    functions.discover = guarded(() => serversOf(discover()));
  }
  return functions;
}

function checkOptions(options, example) {
  if (typeof options !== 'object' || options === null) {
    throw new ArgumentError(`options is ${kindOf(options)}; an object is accepted, such as ${example}`);
  }
}

module.exports = { serversOf, someServersOf, serverOf, pairsOf, optionsOf, functionsOf, checkOptions };
