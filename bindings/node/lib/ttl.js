// Milliseconds, as caches of JavaScript have them, as memcached's seconds to live.
'use strict';

/** More would be a Unix time. */
const MAX_TTL = 999_999_999;

/**
 * Seconds in which nothing is gone before its time: rounded up, and one more, since memcached's clock goes by whole seconds
 * and its next one may come at once. Nothing is kept where the time is over.
 */
function secondsOf(ms) {
  return ms > 0 ? Math.min(Math.ceil(ms / 1000) + 1, MAX_TTL) : -1;
}

module.exports = { secondsOf, MAX_TTL };
