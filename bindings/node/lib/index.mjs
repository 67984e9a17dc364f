import bmemc from './index.js';

export const { Client, HashRing, keyHash, parseAddress, options, version } = bmemc;
export const {
  BmemcError, PartialError, ArgumentError, TimeoutError, DnsError, ConnectionError, TlsError, AuthError, ProtocolError,
  ClientError, ServerError, UnknownCommandError, TooLargeError, BufferError, BusyError, DecodeError, CancelledError,
  ClosedError, ForkedError, BugError, UnsupportedError,
} = bmemc;
