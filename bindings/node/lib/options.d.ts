// Made from the library's table by scripts/options.js; do not edit.

/** The options of the library, by the names of docs/options.md in camelCase. */
export interface LibraryOptions {
  /** Defaults as those of this Python client, for all that is not set, before or after. Default: none; one of none, bmemcached, pymemcache. */
  profile?: 'none' | 'bmemcached' | 'pymemcache';
  /** Wire protocol; auto: what the server is found to understand best. Default: auto; one of auto, text, meta, binary. */
  protocol?: 'auto' | 'text' | 'meta' | 'binary';
  /** Milliseconds that a call may take in all, from name lookup to the last byte of the answer. Default: 1000; a whole number from 1 to 86400000. */
  timeoutMs?: number;
  /** Milliseconds of a call that opening a connection may take: lookup, every address, handshake. Default: 500; a whole number from 1 to 86400000. */
  connectTimeoutMs?: number;
  /** Connections to each server at most; opened when they are first needed. Default: 2; a whole number from 1 to 1024. */
  connections?: number;
  /** Milliseconds after which an unused connection is closed instead of used; 0: never. Default: 60000; a whole number from 0 to 86400000. */
  connectionsIdleMs?: number;
  /** Calls that may be under way to one server at once; the next one fails with BUSY. Default: 100000; a whole number from 1 to 1000000. */
  maxWaiting?: number;
  /** Longest value that is accepted from a server or sent to it, in bytes as they are on the wire. Default: 134217728; a whole number from 1024 to 1073741824. */
  maxValueBytes?: number;
  /** TCP_NODELAY: small requests are sent at once. Default: true; true or false. */
  noDelay?: boolean;
  /** Seconds of silence on a TCP connection after which the kernel asks whether the server is still there; 0: never. Default: 0; a whole number from 0 to 32767. */
  keepaliveS?: number;
  /** Seconds after which `keepalive_s` asks again. Default: 1; a whole number from 1 to 32767. */
  keepaliveIntervalS?: number;
  /** Questions of `keepalive_s` without an answer that end the connection. Default: 5; a whole number from 1 to 127. */
  keepaliveCount?: number;
  /** Milliseconds after a failed attempt to connect in which calls fail at once instead of trying again; 0: none. A profile's is not for Unix sockets. Default: 0; a whole number from 0 to 86400000. */
  reconnectDelayMs?: number;
  /** Milliseconds from which on a call is told of by the event `slow`; 0: none is. Default: 0; a whole number from 0 to 86400000. */
  slowMs?: number;
  /** Put before every key, and taken off keys that come back; the ring hashes the key without it, but for distribution dalli. Default: none; text of up to 249 bytes, without spaces and control characters. */
  keyPrefix?: string;
  /** Keys of over 250 bytes with key_prefix, or of 186 that go by base64; hash: their first 212 bytes (213 with a prefix; 148 and 149 by base64; no UTF-8 character is cut), :md5: and the MD5 of the whole, as dalli. Default: error; one of error, hash. */
  longKeys?: 'error' | 'hash';
  /** What keys may have over text and meta, never spaces or control characters over text; any: over meta by base64, up to 186 bytes. Default: ascii; one of ascii, utf8, any. */
  keyBytes?: 'ascii' | 'utf8' | 'any';
  /** Writes, touch and flush_all go without reply, but for incr, decr and those that name or want a cas, or the reply. Default: false; true or false. */
  noReply?: boolean;
  /** incr and decr create a missing counter, with counter_initial and counter_ttl. Default: false; true or false. */
  counterCreate?: boolean;
  /** What a counter begins with that counter_create creates. Default: 0; a whole number from 0 to 18446744073709551615. */
  counterInitial?: number;
  /** Seconds that such a counter lives; 0: until evicted. Default: 0; a whole number from 0 to 4294967295. */
  counterTtl?: number;
  /** A read that failed is answered as a miss, by calls and queues; not a bad argument, nor what was cancelled. Default: false; true or false. */
  failureIsMiss?: boolean;
  /** User that new connections log in as; needs `password`; empty: they do not log in. Default: none; text of up to 250 bytes, without a zero byte. */
  username?: string;
  /** Password of `username`. Default: none; text of up to 4096 bytes, without a zero byte; it is shown nowhere. */
  password?: string;
  /** How to log in; auto: SASL over binary, memcached's -Y over text and meta; the others force SASL, -Y or MemCachier's form. Default: auto; one of auto, sasl, ascii, memcachier. */
  auth?: 'auto' | 'sasl' | 'ascii' | 'memcachier';
  /** SASL mechanism; auto: the first of this list that the server offers. Default: auto; one of auto, SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN. */
  saslMechanism?: 'auto' | 'SCRAM-SHA-512' | 'SCRAM-SHA-256' | 'SCRAM-SHA-1' | 'CRAM-MD5' | 'PLAIN';
  /** A server without authentication is used as well where credentials are set. Default: false; true or false. */
  authOptional?: boolean;
  /** PLAIN and ASCII logins show the password on the way: allow them to other hosts than this one; not needed with tls and tls_verify=full. Default: false; true or false. */
  allowPlaintextAuth?: boolean;
  /** Connections are encrypted, and servers show certificates (docs/tls.md); for TCP alone. Default: false; true or false. */
  tls?: boolean;
  /** File of the authorities that sign servers' certificates, in PEM; empty: those that the system trusts. Default: none; path, without a zero byte. */
  tlsCaFile?: string;
  /** The same as text. Default: none; PEM text, without a zero byte. */
  tlsCa?: string;
  /** File of the client's certificate, in PEM, with those that lead to its authority; needs a key; empty: it shows none. Default: none; path, without a zero byte. */
  tlsCertFile?: string;
  /** File of the key of that certificate, in PEM, without a password. Default: none; path, without a zero byte. */
  tlsKeyFile?: string;
  /** The client's certificate as text. Default: none; PEM text, without a zero byte. */
  tlsCert?: string;
  /** The key of the client's certificate as text. Default: none; text of up to 1048576 bytes, without a zero byte; it is shown nowhere. */
  tlsKey?: string;
  /** The name that servers' certificates must be for; empty: the host of the server's address. Default: none; host name or IP address, without a zero byte. */
  tlsServerName?: string;
  /** Whether a server's certificate is looked at; none: not at all, which is unsafe, since anybody on the way can be the server. Default: full; one of full, none. */
  tlsVerify?: 'full' | 'none';
  /** The oldest version of TLS that is spoken. Default: 1.2; one of 1.2, 1.3. */
  tlsMinVersion?: '1.2' | '1.3';
  /** What several servers are for: hashed, each key is on one of them; replicated, all have all keys; auto: single for one, hashed for several. Default: auto; one of auto, single, hashed, replicated. */
  mode?: 'auto' | 'single' | 'hashed' | 'replicated';
  /** Servers are found (docs/discovery.md): elasticache, by asking the configuration endpoint that was added as the server; dns, one for each address of the name that was. Default: none; one of none, elasticache, dns. */
  discovery?: 'none' | 'elasticache' | 'dns';
  /** Milliseconds between two looks of discovery, while there are calls. Default: 60000; a whole number from 10 to 86400000. */
  discoveryIntervalMs?: number;
  /** With discovery=elasticache: what the servers are connected to and called on the ring, host:port or, as pymemcache's use_vpc, ip:port; where a node has only one of them, that one. Default: host; one of host, ip. */
  discoveryNames?: 'host' | 'ip';
  /** What is done about a server that fails (docs/failover.md): calls to it fail at once, until a probe is answered; the same in pymemcache's steps; or nothing. Default: breaker; one of breaker, pymemcache, none. */
  failover?: 'breaker' | 'pymemcache' | 'none';
  /** With failover=breaker and mode=hashed: the keys of a server that is out go to the next one on the ring, unless more than half are out. Default: false; true or false. */
  eject?: boolean;
  /** With failover=breaker: connections given up by a time-out, in a row, after which a server is out; one that cannot be made is enough. Default: 3; a whole number from 1 to 1000. */
  breakerTimeouts?: number;
  /** With failover=breaker: milliseconds until the first probe, less up to half of them by chance; each further one comes twice as late. Default: 250; a whole number from 1 to 86400000. */
  probeMinMs?: number;
  /** With failover=breaker: milliseconds between two probes at most. Default: 10000; a whole number from 1 to 86400000. */
  probeMaxMs?: number;
  /** With failover=pymemcache: probes that must fail before a server is dead and its keys go to others; 0: it is at once. Default: 2; a whole number from 0 to 1000. */
  retryAttempts?: number;
  /** With failover=pymemcache: milliseconds before each of these probes. Default: 1000; a whole number from 0 to 86400000. */
  retryTimeoutMs?: number;
  /** With failover=pymemcache: milliseconds before each probe of a server that is dead. Default: 60000; a whole number from 0 to 86400000. */
  deadTimeoutMs?: number;
  /** Which of several servers has a key: as the client of this name decides it (docs/rings.md). Default: rendezvous; one of rendezvous, ketama, ketama_unweighted, ketama_spy, spymemcached, twemproxy, modulo, gomemcache, memcachier, memjs, dalli, bmemcached, jump, ch3, weighted_ch3, mcrouter_crc32, mcrouter_rendezvous, mcrouter_weighted_rendezvous. */
  distribution?: 'rendezvous' | 'ketama' | 'ketama_unweighted' | 'ketama_spy' | 'spymemcached' | 'twemproxy' | 'modulo' | 'gomemcache' | 'memcachier' | 'memjs' | 'dalli' | 'bmemcached' | 'jump' | 'ch3' | 'weighted_ch3' | 'mcrouter_crc32' | 'mcrouter_rendezvous' | 'mcrouter_weighted_rendezvous';
  /** How the ring hashes keys, where its kind has a choice; auto: as it usually does. Default: auto; one of auto, one_at_a_time, md5, crc, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, murmur3, jenkins, one_at_a_time_unsigned, fnv1_64_unsigned, fnv1a_64_unsigned, fnv1_32_unsigned, fnv1a_32_unsigned, hsieh_unsigned, crc32, murmur3_32, java, xxh3, default. */
  keyHash?: 'auto' | 'one_at_a_time' | 'md5' | 'crc' | 'fnv1_64' | 'fnv1a_64' | 'fnv1_32' | 'fnv1a_32' | 'hsieh' | 'murmur' | 'murmur3' | 'jenkins' | 'one_at_a_time_unsigned' | 'fnv1_64_unsigned' | 'fnv1a_64_unsigned' | 'fnv1_32_unsigned' | 'fnv1a_32_unsigned' | 'hsieh_unsigned' | 'crc32' | 'murmur3_32' | 'java' | 'xxh3' | 'default';
  /** Two characters; the ring hashes only what stands between them, where a key has both. Default: none; two ASCII characters, as {}, or nothing. */
  hashTag?: string;
  /** For rings of Python clients: whether keys were str or bytes there, which hash differently. Default: text; one of text, bytes. */
  keyForm?: 'text' | 'bytes';
  /** The seed that pymemcache's RendezvousHash was made with, for distribution rendezvous. Default: 0; a whole number from 0 to 4294967295. */
  hashSeed?: number;
  /** The weight that stands for mcrouter's 1.0, for distribution weighted_ch3; 0: the largest one. Default: 0; a whole number from 0 to 1000000. */
  weightUnit?: number;
  /** Whose values and flags are written and read (docs/values.md); none: bytes, and the caller's flags. Default: none; one of none, bmemcached, pymemcache, pylibmc, spymemcached, dalli, memjs. */
  codec?: 'none' | 'bmemcached' | 'pymemcache' | 'pylibmc' | 'spymemcached' | 'dalli' | 'memjs';
  /** Whether a codec compresses long values; those that are compressed are read in any case. Default: true; true or false. */
  compression?: boolean;
  /** Bytes of which a value must have more to be compressed; 0: as the codec's client does by default. Default: 0; a whole number from 0 to 1073741824. */
  compressThreshold?: number;
  /** How hard a codec compresses, from 1 (fast) to 9 (small). Default: 6; a whole number from 1 to 9. */
  compressLevel?: number;
  /** Bytes to which a compressed value may unpack; a longer one is the failure DECODE. Default: 67108864; a whole number from 1024 to 1073741824. */
  maxDecompressedBytes?: number;
  /** How often an operation that failed is sent again within its time: only one that was not sent, or harms nobody when it is done twice. Default: 0; a whole number from 0 to 10. */
  retries?: number;
  /** Milliseconds before an operation is sent again, from half as many to one and a half times as many. Default: 10; a whole number from 0 to 60000. */
  retryDelayMs?: number;
  /** Seconds that what a fallback client has found in an older client lives in the first, where it is put; 0: it is not put there. Default: 0; a whole number from 0 to 999999999. */
  fallbackCopyTtl?: number;
}
