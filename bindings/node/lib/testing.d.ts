/** What can be changed of a running server: bmemc_server_set in bmemc.h has all of it. */
export interface TestServerSettings {
  /** Moves the server's clock forward by so many seconds: items expire. */
  advanceSeconds?: number;
  /** Who may use it: `sasl` over binary alone, `ascii` (memcached's -Y) over text alone. Default: anybody. */
  auth?: 'none' | 'sasl' | 'ascii' | 'memcachier';
  /** What `config get cluster` answers: a version, a new line, nodes `host|ip|port`. Empty: there is no such command. */
  cluster?: string;
  /** A line `name:password` for each. */
  users?: string;
  /** The SASL mechanisms that are offered, with spaces between. */
  mechanisms?: string;
  /** Seconds after which an idle connection is closed. Default: 0, never. */
  idleTimeout?: number;
  /** The most connections at a time; more are told so, and closed. */
  maxConnections?: number;
  /** What the version command says. */
  version?: string;
  /**
   * What goes wrong from now on: `[command=NAME] [skip=N] [count=N] HARM`, where HARM is `delay=MILLISECONDS`, `close`, `stall`,
   * `garbage` or `error=LINE`. Empty: nothing.
   */
  fault?: string;
}

/** Where and how an embedded server runs. */
export interface TestServerOptions extends TestServerSettings {
  /** `host:port` (port 0: of the system's choosing) or `/path` of a Unix socket. Default: the loopback address, any port. */
  listen?: string;
}

/**
 * A small memcached inside the process, for tests: real sockets, the text, meta and binary protocols, a thread of its own.
 * It runs until `close`, or until the process or worker ends.
 */
export class TestServer {
  /** @throws ArgumentError where an option does not accept its value; ConnectionError where it cannot listen there. */
  constructor(options?: TestServerOptions);
  /** Where it listens, as a client's `servers` takes it. */
  readonly address: string;
  /** Changes it; requests that arrive after this call meet it. @throws ArgumentError, ClosedError */
  set(settings: TestServerSettings): void;
  /** Stops it and closes its connections. Any number of times. */
  close(): void;
  [Symbol.dispose](): void;
}
