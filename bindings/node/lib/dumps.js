// Dumps: which items the servers hold, piece by piece, as an async generator asks for them. The event loop goes on between
// two pieces, however fast they come.
'use strict';

const { setTimeout: moment, setImmediate: turn } = require('node:timers/promises');
const { native, constants } = require('./engine.js');
const { CancelledError, checked } = require('./errors.js');
const { acceptsOnly, text } = require('./settings.js');

const forDump = acceptsOnly('signal', 'server', 'timeoutMs');

/** How long it looks away from a server that has sent nothing, at most: in milliseconds, twice as long each time. */
const LONGEST = 16;

/** A dump of a generator that was left in the middle, and that nobody refers to any more, is ended. */
const collected = new FinalizationRegistry((number) => native.close(number));

/** A dump of the library's, by its number, which is nobody else's until it is closed here. */
class Dump {
  #number;

  constructor(client, classes, { server, timeoutMs }) {
    this.#number = checked(native.dump, client, classes, server, timeoutMs);
    collected.register(this, this.#number, this);
  }

  /** The items that came; undefined: there are no more. */
  next() {
    return checked(native.dumpNext, this.#number);
  }

  close() {
    collected.unregister(this);
    native.close(this.#number);
  }
}

async function* dumped(session, classes, options) {
  const settings = forDump(options);
  const { signal } = settings;
  const dump = new Dump(session.number, text('classes', classes), settings);
  let pause = 1;
  try {
    for (;;) {
      if (signal?.aborted) {
        throw new CancelledError('the signal was aborted', { status: constants.E_CANCELLED, cause: signal.reason });
      }
      const piece = dump.next();
      if (piece === undefined) return;
      yield* piece;
      if (piece.length > 0) {
        pause = 1;
        await turn();
      } else {
        await moment(pause);
        pause = Math.min(2 * pause, LONGEST);
      }
    }
  } finally {
    dump.close();
  }
}

module.exports = { dumped };
