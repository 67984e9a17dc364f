// Dumps: which items the servers hold, piece by piece, as an async generator asks for them. The event loop goes on between
// two pieces, however fast they come.
'use strict';

const { setTimeout: moment, setImmediate: turn } = require('node:timers/promises');
const { native, constants, kindOf } = require('./engine.js');
const { ArgumentError, CancelledError, checked } = require('./errors.js');
const { acceptsOnly } = require('./settings.js');

const forDump = acceptsOnly('signal');

/** A dump of a generator that was left in the middle, and that nobody refers to any more, is ended. */
const collected = new FinalizationRegistry((number) => native.close(number));

/** A dump of the library's, by its number, which is nobody else's until it is closed here. */
class Dump {
  #number;

  constructor(client, classes) {
    this.#number = checked(native.dump, client, classes);
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
  const { signal } = forDump(options);
  if (typeof classes !== 'string') throw new ArgumentError(`classes is ${kindOf(classes)}; a string is accepted`);
  const dump = new Dump(session.number, classes);
  try {
    for (;;) {
      if (signal?.aborted) {
        throw new CancelledError('the signal was aborted', { status: constants.E_CANCELLED, cause: signal.reason });
      }
      const piece = dump.next();
      if (piece === undefined) return;
      yield* piece;
      await (piece.length === 0 ? moment() : turn());
    }
  } finally {
    dump.close();
  }
}

module.exports = { dumped };
