import { SessionData, Store } from 'express-session';
import { Client, ClientOptions } from './index.js';

export interface StoreOptions extends Partial<ClientOptions> {
  /** A client of yours; else the store makes one of the other options. */
  client?: Client;
  /** Before each session's id. Default: `sess:`. */
  prefix?: string;
  /** Seconds that a session lives whose cookie does not say; others live as long as their cookie. Default: a day. */
  ttl?: number;
}

/**
 * A store for express-session:
 *
 * ```js
 * app.use(session({ store: new BmemcStore({ servers: '127.0.0.1:11211' }), secret, resave: false, saveUninitialized: false }));
 * ```
 */
export class BmemcStore extends Store {
  constructor(options: StoreOptions);
  readonly client: Client;
  get(id: string, done?: (error: any, session?: SessionData | null) => void): void;
  set(id: string, session: SessionData, done?: (error?: any) => void): void;
  touch(id: string, session: SessionData, done?: (error?: any) => void): void;
  destroy(id: string, done?: (error?: any) => void): void;
  /** Drops everything that the servers hold, which is more than sessions where they are shared. */
  clear(done?: (error?: any) => void): void;
  /** Closes the client, if the store made it. */
  close(): Promise<void>;
}
