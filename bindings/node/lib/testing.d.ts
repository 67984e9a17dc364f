/** Where and how an embedded server runs. */
export interface TestServerOptions {
  /** `host:port` (port 0: of the system's choosing) or `/path` of a Unix socket. Default: the loopback address, any port. */
  listen?: string;
}

/**
 * A small memcached inside the process, for tests: real sockets, the text, meta and binary protocols, a thread of its own.
 * It stops with `close`, or when nobody refers to it any more.
 */
export class TestServer {
  /** @throws ArgumentError where `listen` is none; ConnectionError where it cannot listen there. */
  constructor(options?: TestServerOptions);
  /** Where it listens, as a client's `servers` takes it. */
  readonly address: string;
  /** Stops it and closes its connections. Any number of times. */
  close(): void;
  [Symbol.dispose](): void;
}
