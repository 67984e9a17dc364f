// bmemc.h: a memcached client for C, and for every language that can call C.
//
// Chapters, from simple to expert; stop reading where you have what you need:
//   1 status and errors    2 bytes    3 options    4 client    5 values and results    6 commands
//   7 every operation    8 statistics, lists of keys, meta    9 servers of a client in use
//   10 queue    11 counters and events    12 embedded server
//   13 values that other clients can read    14 rings    15 connections    16 discovery
//
// What holds everywhere:
// - Bytes in, bytes out: keys and values are a pointer and a length; no zero byte ends them.
// - A status tells how a call went: 0 done; positive: the server said no (a miss, say); negative:
//   it failed. A failure is never a miss.
// - The last parameter of a call that can fail is a bmemc_error of the caller's, or NULL. It is
//   written on failure only.
// - `T **out` is the caller's on BMEMC_OK, to be freed with T's own ..._free(), and is set to NULL
//   on anything else. A `const T *` that is returned is borrowed: it lives as long as what it came
//   from. Freeing NULL does nothing.
// - NULL for any other pointer is BMEMC_E_ARGUMENT, and the message names the parameter; where NULL
//   is allowed, it is said. A handle must be one that the library made and that was not freed.
// - Each type says which threads may use it. The library has no threads of its own but for name
//   lookups and embedded servers.
// - bmemc_op must be zeroed before it is filled in: a field that an operation does not use must be
//   zero, so that it can get a meaning later; a reserved one that is not is BMEMC_E_ARGUMENT.
// - Enums may grow, and reserved fields get names; nothing that is here changes its meaning.
// - What a protocol or a kind of client does not have answers BMEMC_E_UNSUPPORTED, with what has it.
//
// Made from src/ffi (tests/header.rs); do not edit.

#ifndef BMEMC_H
#define BMEMC_H

#include <stddef.h>
#include <stdint.h>

// The version of this header; bmemc_version() is that of the library that is running.
#define BMEMC_VERSION_MAJOR 0
#define BMEMC_VERSION_MINOR 1
#define BMEMC_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

// ================================================================================================
// Chapter 1
// Status and errors: how a call went, and why.
// ================================================================================================

// How a call went. Zero: done. Positive: the server said no, and nothing is wrong. Negative: it
// failed. The numbers never change; more may come, and bmemc_status_text() of the library that is
// running knows them.
typedef enum {
    // Done; for a read: a hit.
    BMEMC_OK = 0,
    // A miss: there is no such key.
    BMEMC_NOT_FOUND = 1,
    // The condition of add, replace, append or prepend did not hold.
    BMEMC_NOT_STORED = 2,
    // The item has changed since the cas that a write or a delete names was read.
    BMEMC_EXISTS = 3,
    // An argument or an option is NULL, missing, too long or out of range; the message names it.
    BMEMC_E_ARGUMENT = -1,
    // The deadline passed; the bits tell whether the server may have done it.
    BMEMC_E_TIMEOUT = -2,
    // The server's name could not be looked up.
    BMEMC_E_DNS = -3,
    // No connection could be made, or it was lost.
    BMEMC_E_CONNECTION = -4,
    // TLS could not be agreed on, or the certificate was refused.
    BMEMC_E_TLS = -5,
    // The server wants authentication, or refused it.
    BMEMC_E_AUTH = -6,
    // The server sent what the protocol does not allow, or an answer to another request.
    BMEMC_E_PROTOCOL = -7,
    // The server answered CLIENT_ERROR: it found the request malformed.
    BMEMC_E_CLIENT_ERROR = -8,
    // The server answered SERVER_ERROR: it could not do it now.
    BMEMC_E_SERVER_ERROR = -9,
    // The server does not know the command.
    BMEMC_E_UNKNOWN_COMMAND = -10,
    // The value is larger than the server or this client takes.
    BMEMC_E_TOO_LARGE = -11,
    // The caller's buffer is smaller than the value.
    BMEMC_E_BUFFER = -12,
    // Too many operations are waiting already (option max_waiting).
    BMEMC_E_BUSY = -13,
    // The value was received but could not be decoded.
    BMEMC_E_DECODE = -14,
    // The caller cancelled the operation.
    BMEMC_E_CANCELLED = -15,
    // The client was closed.
    BMEMC_E_CLOSED = -16,
    // The handle was made before a fork(), in the parent.
    BMEMC_E_FORKED = -17,
    // A bug in this library. The handle can only be freed.
    BMEMC_E_BUG = -18,
    // The library, this kind of client or this protocol does not have it.
    BMEMC_E_UNSUPPORTED = -19,
} bmemc_status;

// Bits of `bmemc_error.bits` and `bmemc_item.bits`; more may come.
typedef enum {
    // The request left this process in full. Without it, it was certainly not executed.
    BMEMC_BIT_SENT = 1,
    // Not one byte of the request was sent: sending it again is safe.
    BMEMC_BIT_NOT_SENT = 2,
    // The request may or may not have been executed, or may still be.
    BMEMC_BIT_UNKNOWN_OUTCOME = 4,
    // Meta protocol: the item is stale.
    BMEMC_BIT_STALE = 8,
    // Meta protocol: this caller won the right to refill the item.
    BMEMC_BIT_WIN = 16,
    // Meta protocol: another caller has won the right to refill the item.
    BMEMC_BIT_WON_BY_OTHER = 32,
    // Several servers were asked, as with mode=replicated, and their answers were not the same; this
    // is the one that counts.
    BMEMC_BIT_PARTLY = 64,
} bmemc_bit;

// What went wrong, in words. It lives with the caller, needs no initialisation, and is written in
// full, and only, by a call that returns a negative status. Every parameter of this type may be
// NULL. One thread at a time.
typedef struct {
    // A bmemc_status, always negative.
    int32_t status;
    // errno of the system call that failed, else zero.
    int32_t os_error;
    // Of bmemc_bit: whether the request was sent.
    uint32_t bits;
    // UTF-8: the value at fault and what is accepted. Cut where it is too long; always ends with a
    // zero byte.
    char message[244];
} bmemc_error;

// The version of the library that is running, as "1.2.3". Never NULL, never freed; any thread.
const char *bmemc_version(void);

// A few words for a status, such as "timed out"; "unknown status" for a number that the library
// does not know. Never NULL, never freed; any thread.
const char *bmemc_status_text(int32_t status);

// The name of a status as it is written here, such as "BMEMC_E_TIMEOUT"; "unknown status" for a
// number that the library does not know. Never NULL, never freed; any thread.
const char *bmemc_status_name(int32_t status);

// ================================================================================================
// Chapter 2
// Bytes: how keys, values and words cross.
// ================================================================================================

// Bytes that are only looked at. As an argument: `len` readable bytes, which stay as they are
// during the call and are not kept after it; `data` may be NULL only where `len` is zero. As a
// result: `data` is never NULL but where it is said.
typedef struct {
    const uint8_t *data;
    size_t len;
} bmemc_bytes;

// ================================================================================================
// Chapter 3
// Options: how a client is to be. They are set by name, with values written as in a configuration
// file; docs/options.md lists them, and bmemc_option_at() does so for programs.
// ================================================================================================

// How a client is to be: its servers and its options. One thread at a time.
typedef struct bmemc_options bmemc_options;

// One option there is. Everything in it is text that ends with a zero byte, is never NULL and is
// never freed.
typedef struct {
    // What bmemc_options_set() calls it, as "timeout_ms".
    const char *name;
    // Its value where none is set, as "1000".
    const char *default_value;
    // What values it accepts, as "a whole number from 1 to 86400000".
    const char *accepts;
    // What it does, in one line, with its unit.
    const char *about;
} bmemc_option;

// Makes options: no server, everything at its default. Never NULL; the caller's, to be freed.
bmemc_options *bmemc_options_new(void);

// Frees options. A client that was made from them stays as it is.
void bmemc_options_free(bmemc_options *options);

// Sets an option: "timeout_ms" to "500", "protocol" to "binary". The last value counts.
// BMEMC_E_ARGUMENT: there is no such option, or it does not accept the value; the message names
// both, with what is accepted.
bmemc_status bmemc_options_set(bmemc_options *options,
                               bmemc_bytes name,
                               bmemc_bytes value,
                               bmemc_error *error);

// Adds a server: `address` is "host", "host:port", "1.2.3.4:port", "[::1]:port", "::1" or
// "/path/of/socket"; the port is 11211 where none is given. `name` is what a hash ring knows it
// by; empty: the address as it is written. `weight` is its share of the keys, from 1 to 1000000;
// bmemc_client_new() refuses one that the distribution does not have. A host name is looked up when
// it is first needed, not here.
// BMEMC_E_ARGUMENT: the address is none of these, or the weight is 0; the message quotes it.
bmemc_status bmemc_options_add_server(bmemc_options *options,
                                      bmemc_bytes address,
                                      bmemc_bytes name,
                                      uint32_t weight,
                                      bmemc_error *error);

// Option `index` of all there are, in the order of docs/options.md; NULL past the last one. Any
// thread.
const bmemc_option *bmemc_option_at(size_t index);

// ================================================================================================
// Chapter 4
// Client: what talks to the servers.
// ================================================================================================

// A client of one or more servers. Any number of threads may use one at once, which is why it is
// `const` everywhere: one client a program is usual, and the fastest. After a fork() the child may
// use it too: it opens connections of its own.
typedef struct bmemc_client bmemc_client;

// Makes a client of the servers and options as they are now. No connection is opened until the
// first call.
// On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_ARGUMENT: the options have no server, two of
// one name, a weight that the distribution does not take, or do not go together; the message says what.
bmemc_status bmemc_client_new(const bmemc_options *options,
                              bmemc_client **out,
                              bmemc_error *error);

// Makes a client that reads each key from the first of `clients`, 1 to 16 of them, that has it, and
// writes to the first alone. A client that fails does not keep a key from being found in the next;
// where none has it and one could not say, the answer is that one's failure. Commands without a key
// go to the first. With option fallback_copy_ttl of the first client, what an older one had is put
// into the first (as BMEMC_OP_ADD does, for so many seconds). Its other options and its codec are
// the first one's; an answer's `server` is the index that the server has in its own client.
// On BMEMC_OK `*out` is the caller's, to be freed; it holds references of its own to the others,
// which may be freed before or after. Closing one of them ends it for calls of this one too, though
// not for a queue's connections; closing this one leaves them as they are.
// BMEMC_E_ARGUMENT: `count` is 0 or more than 16, or one is NULL.
bmemc_status bmemc_client_new_fallback(const bmemc_client *const *clients,
                                       size_t count,
                                       bmemc_client **out,
                                       bmemc_error *error);

// Changes whom new connections log in as, those of queues too, and lets credentials that a server
// has refused be tried again; both empty: new connections do not log in. Connections that are open
// stay as they are: bmemc_disconnect_all() ends them. Any thread. The password is kept in memory
// that is wiped when it is given back, and is shown in no message.
// BMEMC_E_ARGUMENT: only one of the two is empty, or one is too long or has a zero byte.
bmemc_status bmemc_client_set_credentials(const bmemc_client *client,
                                          bmemc_bytes username,
                                          bmemc_bytes password,
                                          bmemc_error *error);

// Changes an option of a client in use, its queues too: reconnect_delay_ms, which then counts for
// attempts to connect that have failed already as well, so that 0 ends a wait. Of a fallback client
// it is the first one's. Any thread.
// BMEMC_E_ARGUMENT: as bmemc_options_set(). BMEMC_E_UNSUPPORTED: the option is fixed when the client
// is made, or has a function of its own; the message says which.
bmemc_status bmemc_client_set_option(const bmemc_client *client,
                                     bmemc_bytes name,
                                     bmemc_bytes value,
                                     bmemc_error *error);

// Ends a client: calls that wait and calls that come later answer BMEMC_E_CLOSED. From any thread,
// also while others are inside a call; any number of times. It must still be freed. Of a fallback
// client, calls that come later do; those that wait share connections with its clients, and are answered
// or time out, unless these are closed too. NULL is ignored.
void bmemc_client_close(const bmemc_client *client);

// Closes a client and gives the caller's reference back. No other thread may be inside a call with
// it, nor begin one: close it and join them first. Operations on a queue hold a reference of their
// own, so queues may be freed before or after; a client that a fallback client reads from ends
// with that one.
void bmemc_client_free(bmemc_client *client);

// ================================================================================================
// Chapter 5
// Values and results: what was answered. An item is always reached by a pointer, so that it can
// grow.
// ================================================================================================

// Items and their bytes. Any number of threads may look at it; any one may free it.
typedef struct bmemc_results bmemc_results;

// One item and its bytes. Any number of threads may look at it; any one may free it.
typedef struct bmemc_value bmemc_value;

// Everything that an operation can be answered; what it was not is zero or empty. Borrowed from
// the bmemc_value or the bmemc_results that it belongs to, and never written to.
typedef struct {
    // A bmemc_status. Where it is negative, `detail` tells why, `os_error` and `bits` are as in
    // bmemc_error.
    int32_t status;
    // errno of the system call that failed, else zero.
    int32_t os_error;
    // The flags that the item was stored with.
    uint32_t flags;
    // A bmemc_value_type: what the codec found the value to be (chapter 13); bytes where the client
    // has no codec.
    uint32_t value_type;
    // Index of the server that answered, from zero.
    uint32_t server;
    // Of bmemc_bit.
    uint32_t bits;
    // The item's version, for compare-and-swap; zero where the protocol gave none (ask with
    // BMEMC_FLAG_WANT_CAS; text tells it with reads alone), or the server keeps none.
    uint64_t cas;
    // The counter after increment or decrement.
    uint64_t number;
    // Seconds that the item has left, -1 for ever; zero where it was not asked for (meta flag `t`).
    int64_t ttl;
    // The key, where the answer is about one that the operation did not name.
    bmemc_bytes key;
    bmemc_bytes value;
    // The server's own words; this library's where it failed.
    bmemc_bytes detail;
    // Bytes of the value; zero where meta flag `s` did not ask for it.
    uint32_t size;
    // Seconds since the item was last read; zero where meta flag `l` did not ask for it.
    uint32_t last_access;
    // 1: the item was read before; zero where meta flag `h` did not ask for it, too.
    uint32_t fetched;
    // Zero.
    uint32_t reserved[3];
} bmemc_item;

// The item of a value, borrowed from it: gone once the value is freed. NULL for NULL.
const bmemc_item *bmemc_value_item(const bmemc_value *value);

// Frees a value, its item and its bytes. It does not need its client any more.
void bmemc_value_free(bmemc_value *value);

// The items in the order of what was asked, `*count` of them, borrowed from the results: gone once
// they are freed. NULL and a count of zero for NULL; `count` may not be NULL: then the answer is
// NULL.
const bmemc_item *bmemc_results_items(const bmemc_results *results, size_t *count);

// Frees results, their items and their bytes. They do not need their client any more.
void bmemc_results_free(bmemc_results *results);

// ================================================================================================
// Chapter 6
// Commands: shorthands for what is wanted most, with the client's defaults. Each is one of chapter
// 7's operations; what cannot be told here (cas, a deadline of its own, no reply ...) is said
// there. Keys have 1 to 250 bytes; over the text and meta protocols without spaces and control
// characters, over binary any bytes.
// A call blocks its own thread alone, for up to option timeout_ms. What any of them can answer, and
// is not said again: BMEMC_E_ARGUMENT (a bad key; nothing is sent), BMEMC_E_BUSY (option max_waiting)
// and BMEMC_E_CLOSED; and what the servers and the way to them do: BMEMC_E_TIMEOUT, DNS, CONNECTION,
// TLS, AUTH, PROTOCOL and SERVER_ERROR, whose bits tell whether it may have been done.
// ================================================================================================

// Reads the value of a key. On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_NOT_FOUND: a
// miss, `*out` is NULL.
bmemc_status bmemc_get(const bmemc_client *client,
                       bmemc_bytes key,
                       bmemc_value **out,
                       bmemc_error *error);

// Reads the value of a key with its cas, for bmemc_cas(). Else as bmemc_get().
bmemc_status bmemc_gets(const bmemc_client *client,
                        bmemc_bytes key,
                        bmemc_value **out,
                        bmemc_error *error);

// Reads the value of a key and gives the item a new `ttl` (as bmemc_set()). Else as bmemc_get().
bmemc_status bmemc_get_and_touch(const bmemc_client *client,
                                 bmemc_bytes key,
                                 int64_t ttl,
                                 bmemc_value **out,
                                 bmemc_error *error);

// Reads the value of a key into `buffer`, of `capacity` bytes: nothing is allocated. `*len`
// becomes the length of the value and `*flags` (which may be NULL) the item's flags; zero unless
// the status is BMEMC_OK or BMEMC_E_BUFFER. `buffer` may be NULL where `capacity` is zero.
// BMEMC_NOT_FOUND: a miss. BMEMC_E_BUFFER: `capacity` is less than `*len`; the buffer's content is
// undefined, and the connection is kept. A codec decodes first (chapter 13): `*len` is what the
// value has then, and memory is allocated for a compressed one.
bmemc_status bmemc_get_into(const bmemc_client *client,
                            bmemc_bytes key,
                            uint8_t *buffer,
                            size_t capacity,
                            size_t *len,
                            uint32_t *flags,
                            bmemc_error *error);

// Reads many keys in as few round trips as possible. Item `i` answers `keys[i]`, a miss and a
// failure too: each has its own status, and BMEMC_OK says only that there are results, which are
// the caller's, to be freed. `keys` may be NULL where `count` is zero.
bmemc_status bmemc_get_many(const bmemc_client *client,
                            const bmemc_bytes *keys,
                            size_t count,
                            bmemc_results **out,
                            bmemc_error *error);

// Stores a value, whatever was there before. `flags`: any number, which comes back with the value;
// zero where the client has a codec, for which the value is bytes.
// `ttl`: seconds to live; 0: until evicted; negative: gone at once; up to 999,999,999: from now
// on, over 30 days too; from 1,000,000,000 on: a Unix time.
// BMEMC_E_TOO_LARGE: the value is larger than the server takes (memcached's -I), which then drops
// what the key had, too, so that nobody reads what is out of date; or than option max_value_bytes.
bmemc_status bmemc_set(const bmemc_client *client,
                       bmemc_bytes key,
                       bmemc_bytes value,
                       uint32_t flags,
                       int64_t ttl,
                       bmemc_error *error);

// Stores a value if there is none; else as bmemc_set(). BMEMC_NOT_STORED: there is one.
bmemc_status bmemc_add(const bmemc_client *client,
                       bmemc_bytes key,
                       bmemc_bytes value,
                       uint32_t flags,
                       int64_t ttl,
                       bmemc_error *error);

// Stores a value if there is one; else as bmemc_set(). BMEMC_NOT_STORED: there is none.
bmemc_status bmemc_replace(const bmemc_client *client,
                           bmemc_bytes key,
                           bmemc_bytes value,
                           uint32_t flags,
                           int64_t ttl,
                           bmemc_error *error);

// Stores a value if the item still has this cas, which bmemc_gets() tells; else as bmemc_set().
// BMEMC_EXISTS: it has changed. BMEMC_NOT_FOUND: it is gone. BMEMC_E_ARGUMENT: `cas` is 0, which no
// item has.
bmemc_status bmemc_cas(const bmemc_client *client,
                       bmemc_bytes key,
                       bmemc_bytes value,
                       uint32_t flags,
                       int64_t ttl,
                       uint64_t cas,
                       bmemc_error *error);

// Puts bytes behind a value; its flags and ttl stay. BMEMC_NOT_STORED: there is none, or both
// together are larger than the server takes.
bmemc_status bmemc_append(const bmemc_client *client,
                          bmemc_bytes key,
                          bmemc_bytes value,
                          bmemc_error *error);

// Puts bytes before a value; else as bmemc_append().
bmemc_status bmemc_prepend(const bmemc_client *client,
                           bmemc_bytes key,
                           bmemc_bytes value,
                           bmemc_error *error);

// Stores many values in as few round trips as possible, all with the same `flags` and `ttl` (as
// bmemc_set()): `values[i]` under `keys[i]`. Results as those of bmemc_get_many(). Each with its
// cas: bmemc_cas_many(); with a ttl of its own, or some with a cas: bmemc_execute().
bmemc_status bmemc_set_many(const bmemc_client *client,
                            const bmemc_bytes *keys,
                            const bmemc_bytes *values,
                            size_t count,
                            uint32_t flags,
                            int64_t ttl,
                            bmemc_results **out,
                            bmemc_error *error);

// Stores many values in as few round trips as possible, `values[i]` under `keys[i]` if the item still
// has `cas[i]`, as bmemc_cas() does with one. Results as those of bmemc_get_many(): the `status` of
// item `i` is that of bmemc_cas(), and its `cas` the new one; 0 over text, which does
// not tell it.
bmemc_status bmemc_cas_many(const bmemc_client *client,
                            const bmemc_bytes *keys,
                            const bmemc_bytes *values,
                            const uint64_t *cas,
                            size_t count,
                            uint32_t flags,
                            int64_t ttl,
                            bmemc_results **out,
                            bmemc_error *error);

// Deletes a key. BMEMC_NOT_FOUND: there was none.
bmemc_status bmemc_delete(const bmemc_client *client, bmemc_bytes key, bmemc_error *error);

// Deletes many keys in as few round trips as possible. Results as those of bmemc_get_many().
bmemc_status bmemc_delete_many(const bmemc_client *client,
                               const bmemc_bytes *keys,
                               size_t count,
                               bmemc_results **out,
                               bmemc_error *error);

// Gives an item a new `ttl` (as bmemc_set()). BMEMC_NOT_FOUND: there is none.
bmemc_status bmemc_touch(const bmemc_client *client,
                         bmemc_bytes key,
                         int64_t ttl,
                         bmemc_error *error);

// Adds `delta` to a counter, a value of decimal digits; it wraps at 64 bits. `*out` becomes the new
// number, zero on anything but BMEMC_OK. BMEMC_NOT_FOUND: there is none, and none is made (see
// BMEMC_FLAG_CREATE). BMEMC_E_CLIENT_ERROR: the value is no number.
bmemc_status bmemc_increment(const bmemc_client *client,
                             bmemc_bytes key,
                             uint64_t delta,
                             uint64_t *out,
                             bmemc_error *error);

// Subtracts `delta` from a counter; it stops at zero. Else as bmemc_increment().
bmemc_status bmemc_decrement(const bmemc_client *client,
                             bmemc_bytes key,
                             uint64_t delta,
                             uint64_t *out,
                             bmemc_error *error);

// Asks the first server for its version (bmemc_execute_each(): all of them): the item's `value` is
// text such as "1.6.18". On BMEMC_OK `*out` is the caller's, to be freed.
bmemc_status bmemc_client_version(const bmemc_client *client,
                                  bmemc_value **out,
                                  bmemc_error *error);

// Drops every item of every server, in `delay` seconds (as the `ttl` of bmemc_set()); 0 or less: now.
bmemc_status bmemc_flush_all(const bmemc_client *client,
                             int64_t delay,
                             bmemc_error *error);

// Asks every server for nothing, in one round trip: whether they answer.
bmemc_status bmemc_noop(const bmemc_client *client, bmemc_error *error);

// ================================================================================================
// Chapter 7
// Every operation: all that a call can be told is a field of bmemc_op, all that it can answer a
// field of bmemc_item.
// ================================================================================================

// What is asked of the server: `bmemc_op.opcode`. In brackets the fields that it uses beside
// `key`; the numbers never change. What the protocol spoken does not have answers
// BMEMC_E_UNSUPPORTED, and the message says which one has it.
typedef enum {
    // Reads a value.
    BMEMC_OP_GET = 1,
    // Reads a value and gives it a new ttl. [ttl]
    BMEMC_OP_GET_AND_TOUCH = 2,
    // Stores a value, whatever was there; with a cas, only if the item still has it. [value,
    // flags, ttl, cas]
    BMEMC_OP_SET = 3,
    // Stores a value if there is none. [value, flags, ttl]
    BMEMC_OP_ADD = 4,
    // Stores a value if there is one. [value, flags, ttl, cas]
    BMEMC_OP_REPLACE = 5,
    // Puts bytes behind a value. [value, cas]
    BMEMC_OP_APPEND = 6,
    // Puts bytes before a value. [value, cas]
    BMEMC_OP_PREPEND = 7,
    // Deletes a key. [cas]
    BMEMC_OP_DELETE = 8,
    // Adds to a counter, a value of decimal digits; it wraps at 64 bits. The item's `number` is the
    // new one. With BMEMC_FLAG_CREATE a missing counter is made with `initial` (`delta` is not
    // applied) and `ttl`: not over text, where it is an add and then an increment. [delta, cas;
    // initial and ttl with BMEMC_FLAG_CREATE]
    BMEMC_OP_INCREMENT = 9,
    // Subtracts from a counter; it stops at zero. [as increment]
    BMEMC_OP_DECREMENT = 10,
    // Gives an item a new ttl. [ttl]
    BMEMC_OP_TOUCH = 11,
    // Drops every item of the server. No key. [ttl: in so many seconds]
    BMEMC_OP_FLUSH_ALL = 12,
    // Asks for statistics: `value` has a line "NAME VALUE" for each, which bmemc_stats_items()
    // takes apart. [key: which; empty: the general ones]
    BMEMC_OP_STATS = 13,
    // Asks for the server's version. No key.
    BMEMC_OP_VERSION = 14,
    // Sets how much the server logs. No key. Not over binary. [delta: the level]
    BMEMC_OP_VERBOSITY = 15,
    // Does nothing, in one round trip. No key.
    BMEMC_OP_NOOP = 16,
    // Sets the server's memory limit. No key. Not over binary. [delta: megabytes]
    BMEMC_OP_CACHE_MEMLIMIT = 17,
    // Shuts the server down, where it allows that (memcached's -A). Not over binary. [key: empty,
    // or "graceful"]
    BMEMC_OP_SHUTDOWN = 18,
    // Lists what the server holds: `value` has its lines, up to option max_value_bytes;
    // bmemc_metadump_items() takes them apart, and bmemc_dump_new() gets them as they come. Not
    // over binary. It has a connection to itself. [key: "all" or empty, "hash", or slab classes
    // such as "1,2"]
    BMEMC_OP_METADUMP = 19,
    // A meta command: `meta_flags` is its word and its flags, as "mg v t"; see bmemc_meta(). Not
    // over text and binary. [value, meta_flags]
    BMEMC_OP_META = 20,
    // A line of the caller's own, CR LF is added: `value` is what comes back up to the end, which
    // is not in it. More than one line only where the end is given. ERROR, CLIENT_ERROR and
    // SERVER_ERROR are failures. Not over binary. It has a connection to itself. [value; key: with
    // what the reply ends, up to 250 bytes; empty: CR LF]
    BMEMC_OP_RAW = 21,
} bmemc_opcode;

// Bits of `bmemc_op.op_flags`.
typedef enum {
    // Set, add, replace, append, prepend, delete, increment, decrement, touch, flush_all: answer
    // once the kernel has the request. BMEMC_OK says no more than that: what the server refuses
    // is not told, what fails is counted (`quiet_failures`) and told of by
    // BMEMC_EVENT_QUIET_FAILURE, and never the answer of another call. Over protocol=text the
    // server is silent about most failures: a value that is too large for it is lost, and the one
    // that the key had with it. A call over another connection may overtake it (option
    // connections). Other commands take no notice of this flag.
    BMEMC_FLAG_NO_REPLY = 1,
    // Answer with the item's cas.
    BMEMC_FLAG_WANT_CAS = 2,
    // Increment, decrement: create a missing counter with `initial` and `ttl`. Classic text has no
    // such command: BMEMC_E_UNSUPPORTED over protocol=text.
    BMEMC_FLAG_CREATE = 4,
    // As if there were no codec: store `value` and `flags` as they are; read the value as it is
    // stored.
    BMEMC_FLAG_EXPLICIT_FLAGS = 8,
    // Wait for the reply though option no_reply is on.
    BMEMC_FLAG_WANT_REPLY = 16,
} bmemc_op_flag;

// What a value is, for the client's codec: `value_type` of bmemc_op and bmemc_item.
typedef enum {
    // Bytes as they are; what every value is where the client has no codec.
    BMEMC_TYPE_BYTES = 0,
    // UTF-8.
    BMEMC_TYPE_TEXT = 1,
    // A whole number, in decimal digits.
    BMEMC_TYPE_INTEGER = 2,
    // A long of Python 2, in decimal digits.
    BMEMC_TYPE_LONG = 3,
    // Something that a language serialised, or has a type of its own for; the flags tell.
    BMEMC_TYPE_OBJECT = 4,
} bmemc_value_type;

// One operation. Zero it first, then fill in what it needs: zero is every field's default, but the
// opcode's.
typedef struct {
    // Comes back with the answer of a queue; the library does not look at it.
    uint64_t tag;
    // 1 to 250 bytes (see chapter 6).
    bmemc_bytes key;
    bmemc_bytes value;
    // Hashed instead of the key to choose the server; empty: the key.
    bmemc_bytes routing_key;
    // Flags of meta commands, separated by spaces, which are added to those of the operation:
    // "t l h s" to a get, "I T30" to a delete, "N30" to an append. Not over text and binary.
    bmemc_bytes meta_flags;
    // The item must still have this cas, else BMEMC_EXISTS; zero: any.
    uint64_t cas;
    // By how much a counter changes.
    uint64_t delta;
    // What a counter starts with, with BMEMC_FLAG_CREATE.
    uint64_t initial;
    // Seconds to live, as bmemc_set() has it.
    int64_t ttl;
    // A bmemc_opcode.
    int32_t opcode;
    // The item's flags; must be zero where the client's codec makes them (chapter 13).
    uint32_t flags;
    // A bmemc_value_type: what the codec is told. Without a codec it says nothing.
    uint32_t value_type;
    // Of bmemc_op_flag.
    uint32_t op_flags;
    // Milliseconds that the operation may take, any number; zero: option timeout_ms.
    uint32_t timeout_ms;
    // 0: the client's option; 1 (fast) to 9 (small): zlib's level; -1: do not compress.
    int32_t compress_level;
    // 0: the servers that have the key, as the client's mode says. What has no key goes to all servers
    // (FLUSH_ALL, NOOP, VERBOSITY, CACHE_MEMLIMIT) or to the first; a server must be named for SHUTDOWN,
    // METADUMP and RAW where there are several. Else one more than the index of the server to be
    // asked, whatever the key and the mode: `bmemc_item.server` + 1. An index that no server has is
    // BMEMC_E_ARGUMENT. Of a fallback client it is one of the first client's.
    uint32_t server;
    // Must be zero.
    uint32_t reserved[7];
} bmemc_op;

// Runs one operation and returns its status; where that is a failure, `error` has the answer's
// words.
// On BMEMC_OK `*answer` is the caller's, to be freed; it is there for a write, too, with the cas
// or the number.
bmemc_status bmemc_call(const bmemc_client *client,
                        const bmemc_op *op,
                        bmemc_value **answer,
                        bmemc_error *error);

// Runs any mix of operations in as few round trips as possible: item `i` answers `ops[i]`, and
// operations on one key keep their order. An operation that is wrong in itself fails alone,
// unsent. BMEMC_OK says only that there are answers, which are the caller's, to be freed. `ops`
// may be NULL where `count` is zero.
bmemc_status bmemc_execute(const bmemc_client *client,
                           const bmemc_op *ops,
                           size_t count,
                           bmemc_results **answers,
                           bmemc_error *error);

// Runs one operation on each server of the client at once, whatever its key: an item for each, in the
// order of bmemc_client_servers(), with the server's index as `server`. Of a client that knows no server,
// as discovery has found none, there is one item, which says why. BMEMC_OK says only that there are
// answers, which are the caller's, to be freed.
bmemc_status bmemc_execute_each(const bmemc_client *client,
                                const bmemc_op *op,
                                bmemc_results **answers,
                                bmemc_error *error);

// ================================================================================================
// Chapter 8
// What is about servers rather than one key: statistics and lists of keys, taken apart; and meta
// commands.
// ================================================================================================

// A dump that is taken piece by piece. One thread at a time may use it.
typedef struct bmemc_dump bmemc_dump;

// Called for each item of a dump, on the thread that called bmemc_metadump(); `item` is borrowed
// and gone when the callback returns. `context` is what bmemc_metadump() was given. 0: go on;
// anything else ends the dump.
typedef int32_t (*bmemc_metadump_callback)(const bmemc_item *item, void *context);

// Asks every server for its statistics: an item for each, with the name as `key`, the value as
// `value` and the server's index as `server`. `argument`: which ("settings", "items", "slabs",
// "cachedump 1 10" ...); empty: the general ones; "reset" sets them back and has none. On
// BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_UNKNOWN_COMMAND: the server does not have
// these (over binary it has fewer).
bmemc_status bmemc_client_stats(const bmemc_client *client,
                                bmemc_bytes argument,
                                bmemc_results **out,
                                bmemc_error *error);

// Takes the value of a BMEMC_OP_STATS answer apart, which has a line "NAME VALUE" for each
// statistic: items as bmemc_client_stats() has them. `*out` is the caller's, to be freed.
bmemc_status bmemc_stats_items(bmemc_bytes text, bmemc_results **out, bmemc_error *error);

// Lists what the servers hold, without values: calls `callback(item, context)` for each item as it
// comes, however many there are. `classes`: "all" or empty, "hash", or numbers of slab classes
// such as "1,2". An item has `key`, `ttl`, `last_access`, `cas`, `fetched`, `size` (as the server
// stores it), `flags` where the server tells them, its slab class as `number`, its `server`, and
// the server's line as `detail`. A client with a key_prefix sees its own keys alone, `key` and
// `detail` without the prefix; a key that long_keys=hash has shortened is what became of it. An
// item that several servers hold, as with mode=replicated, comes from each of them. It takes a
// connection of its own; option timeout_ms is for each piece that comes, not for the whole. Not
// over the binary protocol: BMEMC_E_UNSUPPORTED. BMEMC_E_SERVER_ERROR: "BUSY ...", another dump is
// under way.
bmemc_status bmemc_metadump(const bmemc_client *client,
                            bmemc_bytes classes,
                            bmemc_metadump_callback callback,
                            void *context,
                            bmemc_error *error);

// Begins a dump as bmemc_metadump() has it, whose items are asked for by bmemc_dump_next(): for
// loops of the caller's own, and for languages that do not like callbacks. Nothing is sent yet. On
// BMEMC_OK `*out` is the caller's, to be freed; the client may be freed before, and the next call
// is BMEMC_E_CLOSED then.
bmemc_status bmemc_dump_new(const bmemc_client *client,
                            bmemc_bytes classes,
                            bmemc_dump **out,
                            bmemc_error *error);

// Begins a dump as an operation says it: `op` is a BMEMC_OP_METADUMP, of which `key` (the classes),
// `server` (zero: all of them) and `timeout_ms` (for each piece that comes) count. Else as
// bmemc_dump_new(). BMEMC_E_ARGUMENT: it is another operation; a server that the client does not
// have is told by bmemc_dump_next().
bmemc_status bmemc_dump_of(const bmemc_client *client,
                           const bmemc_op *op,
                           bmemc_dump **out,
                           bmemc_error *error);

// The items that have come, some hundred at most, after waiting for some for up to `timeout_ms`
// milliseconds if there are none (0: not at all, for event loops; negative: as long as it takes,
// within option timeout_ms for each piece). BMEMC_OK: `*out` is the caller's, to be freed, and has
// no items where none came in time. BMEMC_NOT_FOUND: there are no more. Failures are those of
// bmemc_metadump(), and BMEMC_E_FORKED in the child of a fork; nothing comes after one.
bmemc_status bmemc_dump_next(bmemc_dump *dump,
                             int32_t timeout_ms,
                             bmemc_results **out,
                             bmemc_error *error);

// Ends a dump, early or not, and closes its connection.
void bmemc_dump_free(bmemc_dump *dump);

// Takes the value of a BMEMC_OP_METADUMP answer apart, which has a line for each item, of the
// client's own keys without its key_prefix: items as bmemc_metadump() has them, all of server 0.
// `*out` is the caller's, to be freed.
bmemc_status bmemc_metadump_items(bmemc_bytes text, bmemc_results **out, bmemc_error *error);

// Runs a meta command: `command` is "mg", "ms", "md", "ma", "me" or "mn", `flags` are its flags as
// they are written, separated by spaces; "ms" stores `value`. O and q are the library's and are
// refused. In the item: `value` (with flag v; of "me" the line), `flags` (f), `cas` (c), `ttl`
// (t), `size` (s), `last_access` (l), `fetched` (h), `key` (k), and the bits of W, X and Z.
// HD and VA are BMEMC_OK, EN and NF BMEMC_NOT_FOUND, NS BMEMC_NOT_STORED, EX BMEMC_EXISTS. On
// BMEMC_OK `*answer` is the caller's, to be freed. BMEMC_E_UNSUPPORTED: another protocol is
// spoken.
bmemc_status bmemc_meta(const bmemc_client *client,
                        bmemc_bytes command,
                        bmemc_bytes key,
                        bmemc_bytes flags,
                        bmemc_bytes value,
                        bmemc_value **answer,
                        bmemc_error *error);

// ================================================================================================
// Chapter 9
// Servers of a client in use: listing them, changing them while calls go on, and dropping
// connections.
// ================================================================================================

// Drops every connection, those of queues too, and forgets which servers have failed: the next call
// opens new ones, also where calls fail at once (an open breaker, reconnect_delay_ms). Operations under
// way may fail with BMEMC_E_CONNECTION. Nothing is said to the servers (no "quit"): the end of a
// connection says it all. A queue closes its connections at its next fetch, for which
// bmemc_queue_fd() becomes readable: until then they are open, and counted.
bmemc_status bmemc_disconnect_all(const bmemc_client *client,
                                  bmemc_error *error);

// Adds a server to a client in use, with mode=hashed or mode=replicated; parameters as
// bmemc_options_add_server(). Keys move to it as the ring says; calls that have begun do not know
// of it.
// BMEMC_E_ARGUMENT: the address is none, the name is there already, or the ring does not take it.
// BMEMC_E_UNSUPPORTED: the client has one server (mode=single), or is a fallback client.
bmemc_status bmemc_client_add_server(const bmemc_client *client,
                                     bmemc_bytes address,
                                     bmemc_bytes name,
                                     uint32_t weight,
                                     bmemc_error *error);

// Removes the server of this name from a client in use; what it was asked already is still
// answered, and then its connections are closed. Its keys move as the ring says.
// BMEMC_NOT_FOUND: there is none of this name. BMEMC_E_UNSUPPORTED: as bmemc_client_add_server().
bmemc_status bmemc_client_remove_server(const bmemc_client *client,
                                        bmemc_bytes name,
                                        bmemc_error *error);

// Makes the servers of `options` those of a client in use, in one step; nothing else of the options
// counts. Servers whose name and address are there already keep their index and their connections.
// Errors as those of bmemc_client_add_server(); the servers are as before then.
bmemc_status bmemc_client_replace_servers(const bmemc_client *client,
                                          const bmemc_options *options,
                                          bmemc_error *error);

// The server that has a key, as bmemc_client_servers() lists it: the one that the ring gives it to;
// of replicas, and of a fallback client, the first. On BMEMC_OK `*out` is the caller's, to be
// freed.
bmemc_status bmemc_client_server_for(const bmemc_client *client,
                                     bmemc_bytes key,
                                     bmemc_value **out,
                                     bmemc_error *error);

// Lists a client's servers: each item has the name as `key`, the address as `value`, the weight as
// `number` and, as `server`, the index by which items, events and counters call it. A server keeps
// its index as long as it is there; one that is added later may get that of one that was removed.
// On BMEMC_OK `*out` is the caller's, to be freed.
bmemc_status bmemc_client_servers(const bmemc_client *client,
                                  bmemc_results **out,
                                  bmemc_error *error);

// ================================================================================================
// Chapter 10
// Queue: operations in, answers out, for event loops, schedulers and whoever keeps many under way
// at once. Nothing blocks but a fetch that is told to wait, and the library needs no thread. A
// queue opens connections of its own for each client, up to option connections a server.
// ================================================================================================

// Operations under way, and answers that wait to be fetched. Any number of threads and clients may
// submit and cancel; one thread at a time fetches. In the child of a fork() every call on it
// answers BMEMC_E_FORKED; it can be freed there.
typedef struct bmemc_queue bmemc_queue;

// One answer.
typedef struct {
    // The operation's.
    uint64_t tag;
    // What it was answered; where its status is negative, `item.detail` has the words.
    bmemc_item item;
    // What the item's bytes belong to: the caller's, to be freed. NULL where it has none, or where
    // they are in the slab.
    bmemc_value *owner;
    // bmemc_queue_fetch_into(): where in the slab the value begins; SIZE_MAX where it is not
    // there, but with `owner`.
    size_t offset;
    // Zero.
    uint32_t reserved[4];
} bmemc_answer;

// Says where a value of `len` bytes is to go: room for as many, which is written during the fetch;
// or NULL. `context` is what bmemc_queue_fetch_to() was given. It is called on the thread that
// fetches, and must neither block nor use a client or a queue.
typedef uint8_t *(*bmemc_place_callback)(size_t len, void *context);

// Makes a queue. On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_CONNECTION: the process
// has no descriptor left; a queue takes three, and one for each connection.
bmemc_status bmemc_queue_new(bmemc_queue **out, bmemc_error *error);

// Frees a queue, what is under way on it and the answers that were not fetched. No other thread
// may be inside a call with it.
void bmemc_queue_free(bmemc_queue *queue);

// A descriptor that is readable when bmemc_queue_fetch() has something to do. Poll it, level- or
// edge-triggered; one fetch for each wake-up is enough. Do not read it or close it: it is the
// queue's. -1 for NULL, and in the child of a fork().
int bmemc_queue_fd(const bmemc_queue *queue);

// Submits operations, without blocking: keys and values are copied before it returns, and sent at
// once where the connection takes them; what waits goes out with a later fetch. `*accepted` says
// how many were taken, from the first on. Each of these is answered exactly once, by a failure too
// (a key that the protocol cannot carry, say); the others never. Less than `count`: `error` says
// why the next one was not taken, and its status is returned: BMEMC_E_BUSY (option max_waiting:
// fetch first), BMEMC_E_CLOSED, or BMEMC_E_ARGUMENT (a field of the bmemc_op is wrong in itself).
// What one call submits reaches the server in its order. `ops` may be NULL where `count` is zero.
bmemc_status bmemc_queue_submit(const bmemc_queue *queue,
                                const bmemc_client *client,
                                const bmemc_op *ops,
                                size_t count,
                                size_t *accepted,
                                bmemc_error *error);

// Receives what has come, on the caller's thread, and writes up to `capacity` answers in the order
// in which they came; `*count` says how many. It waits for the first one for up to `timeout_ms`
// milliseconds (0: not at all; negative: as long as something is under way), and returns at once
// with none where nothing is under way. BMEMC_OK says only that `*count` is right. BMEMC_E_BUSY:
// another thread is fetching.
bmemc_status bmemc_queue_fetch(const bmemc_queue *queue,
                               bmemc_answer *answers,
                               size_t capacity,
                               int32_t timeout_ms,
                               size_t *count,
                               bmemc_error *error);

// As bmemc_queue_fetch(), but values are written into `slab`, of `slab_size` bytes, and nothing is
// allocated for them: `offset` says where a value begins and `item.value.len` how long it is;
// `item.value.data` is NULL, so that the slab may move in memory. What does not fit comes as
// bmemc_queue_fetch() gives it, with an `owner` and offset SIZE_MAX. Keys and details always come
// with an `owner`. `slab` may be NULL where `slab_size` is zero.
bmemc_status bmemc_queue_fetch_into(const bmemc_queue *queue,
                                    bmemc_answer *answers,
                                    size_t capacity,
                                    uint8_t *slab,
                                    size_t slab_size,
                                    int32_t timeout_ms,
                                    size_t *count,
                                    bmemc_error *error);

// As bmemc_queue_fetch(), but `place` is asked where each value that is not empty is to go:
// `item.value` is there then, and the answer has no `owner` unless it has a key or a detail. Where
// it says NULL the value comes as bmemc_queue_fetch() gives it. For hosts whose memory comes in
// pieces of their own.
bmemc_status bmemc_queue_fetch_to(const bmemc_queue *queue,
                                  bmemc_answer *answers,
                                  size_t capacity,
                                  bmemc_place_callback place,
                                  void *context,
                                  int32_t timeout_ms,
                                  size_t *count,
                                  bmemc_error *error);

// Cancels all that is under way with this tag: each is still answered once, by BMEMC_E_CANCELLED
// (or by its answer, if that was there already); the bits tell whether the server may have done
// it. BMEMC_NOT_FOUND: there is none.
bmemc_status bmemc_queue_cancel(const bmemc_queue *queue, uint64_t tag, bmemc_error *error);

// ================================================================================================
// Chapter 11
// Counters and events: what a client does, for metrics and logs.
// ================================================================================================

// Kinds of events; more may come.
typedef enum {
    // A connection was opened.
    BMEMC_EVENT_CONNECTED = 1,
    // A connection was closed; `status` and `message` say why.
    BMEMC_EVENT_CLOSED = 2,
    // A call took at least as long as option slow_ms says. Operations of queues are not timed.
    BMEMC_EVENT_SLOW = 3,
    // Operations with BMEMC_FLAG_NO_REPLY failed; `status` and `message` say of what.
    BMEMC_EVENT_QUIET_FAILURE = 4,
    // A server is out (option failover): calls to it fail at once, until it answers a probe. `status`
    // and `message` say why.
    BMEMC_EVENT_BREAKER_OPENED = 5,
    // A server that was out answers again.
    BMEMC_EVENT_BREAKER_CLOSED = 6,
    // A connection could not be opened; `status` and `message` say why.
    BMEMC_EVENT_CONNECT_FAILED = 7,
    // Nobody could be asked which servers there are, or the answer was no use (docs/discovery.md):
    // those that are known stay. `status` and `message` say why.
    BMEMC_EVENT_DISCOVERY_FAILED = 8,
    // Discovery has found other servers; `message` says which came (+) and went (-).
    BMEMC_EVENT_SERVERS_CHANGED = 9,
} bmemc_event_kind;

// What a client has done since it was made. They only grow; read together they may be a few
// operations apart.
typedef struct {
    // Operations that were begun, whatever became of them.
    uint64_t operations;
    // Reads that the server answered with a value, even if too late for their callers.
    uint64_t hits;
    // Reads that the server answered with none.
    uint64_t misses;
    // Operations that failed, time-outs among them.
    uint64_t failures;
    // Operations that failed with BMEMC_E_TIMEOUT.
    uint64_t timeouts;
    // Operations with BMEMC_FLAG_NO_REPLY that failed after they were sent: the server said so, or
    // their connection was lost before it had said that they were done.
    uint64_t quiet_failures;
    // Bytes of requests, and of replies. What opening a connection takes is not in them.
    uint64_t bytes_sent;
    uint64_t bytes_received;
    // Groups of operations that were sent together.
    uint64_t batches;
    // Connections that were opened.
    uint64_t connects;
    // Connections that were closed, for whatever reason.
    uint64_t disconnects;
    // System calls that were made for all this: on connections, from socket() to close(), and of
    // callers that wait for each other. Not in it: name lookups, and a queue's waiting.
    uint64_t system_calls;
    // How often a server was found to be out (option failover).
    uint64_t breaker_opened;
    // Calls that failed at once because it was.
    uint64_t failed_fast;
    // Zero.
    uint64_t reserved[18];
} bmemc_counters;

// One event, borrowed: it is gone when the callback returns.
typedef struct {
    // A bmemc_event_kind.
    int32_t kind;
    // Index of the server that it is about; zero for what discovery tells.
    uint32_t server;
    // A bmemc_status: why; BMEMC_OK where nothing failed.
    int32_t status;
    // errno of the system call that failed, else zero.
    int32_t os_error;
    // How long it took, in microseconds: connecting, or the call; zero for the others.
    uint64_t elapsed_us;
    // The same in words, UTF-8.
    bmemc_bytes message;
    // Zero.
    uint32_t reserved[6];
} bmemc_event;

// Called for each event, on the thread that was inside a call with the client just then, with no
// lock held. It must not block, call the same client, or fork. `context` is what
// bmemc_options_on_event() was given.
typedef void (*bmemc_event_callback)(const bmemc_event *event, void *context);

// Writes what a client has done, with server `server` (as in `bmemc_item.server`) or, with -1,
// with all of them; what its queues have done is in it. Any thread. In the child of a fork() the
// counters begin at zero.
// BMEMC_E_ARGUMENT: the client has no such server.
bmemc_status bmemc_client_counters(const bmemc_client *client,
                                   int32_t server,
                                   bmemc_counters *out,
                                   bmemc_error *error);

// Has `callback(event, context)` called for the events of the clients that are made of these
// options; NULL: none. The callback and its `context`, which may be NULL, must outlive these
// clients and be fit for every thread that uses them.
bmemc_status bmemc_options_on_event(bmemc_options *options,
                                    bmemc_event_callback callback,
                                    void *context,
                                    bmemc_error *error);

// ================================================================================================
// Chapter 12
// Embedded server: a small memcached inside the process, for tests, examples and machines that
// have none.
// ================================================================================================

// A server with a thread of its own. Any number of threads may use it at once; it may be freed on
// any.
typedef struct bmemc_server bmemc_server;

// Starts a server. `listen`: empty for the loopback address and a port of the system's choosing,
// else "host:port" (port 0: of the system's choosing) or "/path" of a Unix socket. On BMEMC_OK it
// accepts connections, and `*out` is the caller's, to be freed.
// BMEMC_E_ARGUMENT: `listen` is none of these. BMEMC_E_CONNECTION: it cannot listen there;
// `os_error` says why.
bmemc_status bmemc_server_start(bmemc_bytes listen, bmemc_server **out, bmemc_error *error);

// Where a server listens, as bmemc_options_add_server() takes it; ends with a zero byte; gone once
// the server is freed. NULL for NULL.
const char *bmemc_server_address(const bmemc_server *server);

// Changes something of a running server, by name; requests that arrive after this call meet it.
// Any thread.
//   "advance_seconds"  moves the server's clock forward by so many seconds: items expire
//   "auth"             "none", "sasl" (binary alone), "ascii" (memcached's -Y, text alone) or
//                      "memcachier": who may use it
//   "cluster"          what "config get cluster" answers, as an ElastiCache endpoint: a version, a new
//                      line, and nodes host|ip|port with spaces between; empty: no such command
//   "users"            a line "name:password" for each
//   "mechanisms"       the SASL mechanisms that are offered, with spaces between
//   "idle_timeout"     seconds after which an idle connection is closed; 0: never
//   "max_connections"  the most connections at a time; more are told so, and closed
//   "version"          what the version command says
//   "fault"            what goes wrong from now on; empty: nothing
// A fault is "[command=NAME] [skip=N] [count=N] HARM": of the commands of this name (as in text and
// meta; binary ones go by the same names; without it: of all) it lets N be, and then hits N, or all.
// HARM is "delay=MILLISECONDS" (the reply comes late), "close" (the connection ends instead),
// "stall" (it never answers again), "garbage" (instead of the reply), or "error=LINE", a line to the
// end of the value, which in binary becomes a frame of status 0x84.
// BMEMC_E_ARGUMENT: there is no such name, or it does not accept the value; the message says what
// it accepts. BMEMC_E_FORKED: the server is the parent's.
bmemc_status bmemc_server_set(const bmemc_server *server,
                              bmemc_bytes name,
                              bmemc_bytes value,
                              bmemc_error *error);

// Stops a server, closes its connections, joins its thread and frees it with all that it held.
void bmemc_server_free(bmemc_server *server);

// ================================================================================================
// Chapter 13
// Values that other clients can read. With option codec, a client writes values and flags as
// another client does (docs/values.md says which codec for which), and reads them back: bmemc_op
// tells by `value_type` what a value is, bmemc_item tells what it was found to be. Long values are
// compressed on the way (options compression, compress_threshold, compress_level), and unpacked up
// to option max_decompressed_bytes. A value that is corrupt, or not what its flags say, is
// BMEMC_E_DECODE, never a miss; BMEMC_FLAG_EXPLICIT_FLAGS reads it as it is stored.
// ================================================================================================

// How a statistic's value is to be read, for those who want it typed; more may come.
typedef enum {
    // A whole number in decimal digits, or text where it is none.
    BMEMC_STAT_INTEGER = 0,
    // Text, whatever it looks like.
    BMEMC_STAT_TEXT = 1,
    // A number with a fraction.
    BMEMC_STAT_FLOAT = 2,
    // Seconds with a fraction, in which old servers write a colon for the point.
    BMEMC_STAT_SECONDS = 3,
    // A whole number that is a truth: zero is false.
    BMEMC_STAT_SWITCH = 4,
    // The word "yes" is true; anything else is false.
    BMEMC_STAT_YES_NO = 5,
    // A whole number in octal digits.
    BMEMC_STAT_OCTAL = 6,
} bmemc_stat_type;

// What a compressor writes to. It lives during the call of the compressor; one thread at a time.
typedef struct bmemc_output bmemc_output;

// A compressor, or its reverse: writes what it makes of `value` to `output` by
// bmemc_output_write(), in as many pieces as it likes, and returns 0. `level` is 1 (fast) to 9
// (small), and 0 when decompressing. `context` is what bmemc_options_set_compressor() was given.
// It must not keep `value` or `output`, nor use the client.
typedef int (*bmemc_compressor)(bmemc_bytes value,
                                int32_t level,
                                bmemc_output *output,
                                void *context);

// Has values compressed by `compress` and unpacked by `decompress` instead of the codec's own zlib
// or gzip, by the clients that are made of these options and have a codec that compresses. When to
// compress and the bit of the flags stay the codec's. They run on the thread that makes the call,
// submits or fetches, with no lock held; they and `context`, which may be NULL, must outlive these
// clients and be fit for every thread that uses them. Both NULL: the codec's own again.
// `compress`: anything but 0, or more bytes than the value has: it is stored as it is.
// `decompress`: anything but 0, or more bytes than option max_decompressed_bytes: the operation
// fails with BMEMC_E_DECODE.
// BMEMC_E_ARGUMENT: one of the two is NULL.
bmemc_status bmemc_options_set_compressor(bmemc_options *options,
                                          bmemc_compressor compress,
                                          bmemc_compressor decompress,
                                          void *context,
                                          bmemc_error *error);

// Appends bytes, which are copied. BMEMC_E_TOO_LARGE: that is more than is allowed, or than there
// is memory; what was written is of no use then, and the compressor should return.
bmemc_status bmemc_output_write(bmemc_output *output, bmemc_bytes bytes);

// Makes of `op` what the client would store, without a server: the item has the bytes as `value`,
// and the flags. Of `op` the value, value_type, flags, op_flags and compress_level count. On
// BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_ARGUMENT: the value is not of its type, or
// flags are given although the client has a codec.
bmemc_status bmemc_value_encode(const bmemc_client *client,
                                const bmemc_op *op,
                                bmemc_value **out,
                                bmemc_error *error);

// Makes of bytes and flags that are stored what the client would read, without a server: the item
// has `value`, `value_type` and `flags`. On BMEMC_OK `*out` is the caller's, to be freed.
// BMEMC_E_DECODE: they do not fit together.
bmemc_status bmemc_value_decode(const bmemc_client *client,
                                bmemc_bytes value,
                                uint32_t flags,
                                bmemc_value **out,
                                bmemc_error *error);

// How the value of the statistic of this name is to be read: BMEMC_STAT_INTEGER for a name that is
// not known, and for bytes that are none. Any thread.
bmemc_stat_type bmemc_stat_type_of(bmemc_bytes name);

// ================================================================================================
// Chapter 14
// Rings: which of several servers a key belongs to, without a client; key hashes; and a ring of the
// caller's own for a client. docs/rings.md tells which ring shares a cache with which client.
// ================================================================================================

// A ring. Any number of threads may look keys up at once while none of them changes it.
typedef struct bmemc_ring bmemc_ring;

// Chooses a server: the index, from 0 on, of the one among `count` that has the key; anything from
// `count` on: none, and the operation fails. `context` is what bmemc_options_on_route() was given.
typedef size_t (*bmemc_route_callback)(bmemc_bytes key, size_t count, void *context);

// Makes a ring of the servers that the options have, in their order, as the options "distribution",
// "key_hash", "hash_tag", "key_form", "hash_seed" and "weight_unit" say; for "bmemcached" the credentials
// are a part of the names that the ring makes. There may be no server yet.
// On BMEMC_OK `*out` is the caller's, to be freed. BMEMC_E_ARGUMENT: two servers go by one name, or
// the distribution does not have the key hash or a weight.
bmemc_status bmemc_ring_new(const bmemc_options *options,
                            bmemc_ring **out,
                            bmemc_error *error);

// Frees a ring.
void bmemc_ring_free(bmemc_ring *ring);

// Adds a server at the end of the list. `address` is written as for bmemc_options_add_server();
// `name` is what the ring hashes, whatever text it may be, and with a name the address may be empty.
// With an empty name the ring makes one of the address, as the client that it matches does. `weight`
// is its share of the keys, from 1 to 1000000; not every distribution has weights other than 1.
// BMEMC_E_ARGUMENT: there is neither name nor address, the address is none, a server goes by this name
// already, or there is no such weight; the message quotes it, and the ring stays as it was.
bmemc_status bmemc_ring_add(bmemc_ring *ring,
                            bmemc_bytes address,
                            bmemc_bytes name,
                            uint32_t weight,
                            bmemc_error *error);

// Removes the server that goes by this name: the one that it was given, else its address as it was
// written. Those after it in the list move up by one.
// BMEMC_NOT_FOUND: there is none of this name.
bmemc_status bmemc_ring_remove(bmemc_ring *ring, bmemc_bytes name, bmemc_error *error);

// Writes the index, in the list of servers, of the one that has the key. The first look-up after a
// change builds the ring; the others allocate nothing.
// BMEMC_NOT_FOUND: the ring has no server, or its callback chose one that there is not.
bmemc_status bmemc_ring_get(const bmemc_ring *ring,
                            bmemc_bytes key,
                            uint32_t *server,
                            bmemc_error *error);

// Writes up to `capacity` indices of servers to `servers`, and to `*count` how many: first the one
// that has the key, then those that the key should try when that one is out, each server once.
// BMEMC_NOT_FOUND: the ring has no server, or its callback chose one that there is not.
bmemc_status bmemc_ring_successors(const bmemc_ring *ring,
                                   bmemc_bytes key,
                                   uint32_t *servers,
                                   size_t capacity,
                                   size_t *count,
                                   bmemc_error *error);

// Lists a ring's servers as bmemc_client_servers() does those of a client. On BMEMC_OK `*out` is the
// caller's, to be freed.
bmemc_status bmemc_ring_servers(const bmemc_ring *ring,
                                bmemc_results **out,
                                bmemc_error *error);

// Writes the hash of a key: `name` is one that option "key_hash" accepts, but "auto". All have 32
// bits, but xxh3 64. Any thread.
// BMEMC_E_ARGUMENT: there is no such key hash; the message lists those that there are.
bmemc_status bmemc_key_hash(bmemc_bytes name, bmemc_bytes key, uint64_t *hash, bmemc_error *error);

// Has `callback(key, count, context)` choose the server for each key of the clients and rings that
// are made of these options, instead of what "distribution" says; NULL: that again. It is called on
// the thread of the call, for the same key it must always give the same index, and it must not
// block. The callback and its `context`, which may be NULL, must outlive these clients and rings and
// be fit for every thread that uses them.
bmemc_status bmemc_options_on_route(bmemc_options *options,
                                    bmemc_route_callback callback,
                                    void *context,
                                    bmemc_error *error);

// ================================================================================================
// Chapter 15
// Connections: what a client has open, how its servers are, a callback that sees every new socket, and checks of
// addresses and keys as the client itself makes them.
// ================================================================================================

// How a server is. More may come.
typedef enum {
    // It has answered since it last failed; or nothing was asked of it yet.
    BMEMC_HEALTH_UP = 0,
    // It has failed since it last answered. Calls go to it.
    BMEMC_HEALTH_SUSPECT = 1,
    // Calls to it fail at once until a probe is answered: the breaker is open, or failover=pymemcache
    // retries it. With eject=true its keys go to others.
    BMEMC_HEALTH_OUT = 2,
    // The same with failover=pymemcache, once `retry_attempts` probes have failed: its keys go to others.
    BMEMC_HEALTH_DEAD = 3,
} bmemc_health_state;

// When a connect callback is called.
typedef enum {
    // The socket is there, and connects next.
    BMEMC_CONNECT_OPENED = 1,
    // It is connected, and nothing was said yet.
    BMEMC_CONNECT_CONNECTED = 2,
} bmemc_connect_stage;

// Kinds of addresses.
typedef enum {
    // A name that has to be looked up.
    BMEMC_ADDRESS_NAME = 0,
    BMEMC_ADDRESS_IPV4 = 1,
    BMEMC_ADDRESS_IPV6 = 2,
    // The path of a Unix socket.
    BMEMC_ADDRESS_UNIX = 3,
} bmemc_address_kind;

// What the connections of a client do just now, those of its queues too.
typedef struct {
    // Connections with a call, or with replies to come.
    uint64_t used;
    // Connections that are open and idle.
    uint64_t free;
    // All that are open: both.
    uint64_t open;
    // Calls that are under way, each on its caller's thread; option max_waiting bounds them.
    uint64_t waiting;
    // Zero.
    uint64_t reserved[4];
} bmemc_pool;

// What a client knows of a server's health.
typedef struct {
    // A bmemc_health_state.
    int32_t state;
    // Connections that could not be made, were lost or were given up, and probes that failed, since
    // the server last answered.
    uint32_t failures;
    // For how many milliseconds it has been up, has been failing, or has been out; from out to dead it
    // goes on.
    uint64_t since_ms;
    // Out or dead: in how many milliseconds the next probe is due; 0: the next call begins it, or it
    // is under way. Else 0.
    uint64_t probe_in_ms;
    // Zero.
    uint64_t reserved[5];
    // The last failure, also of a server that is up again; its status is BMEMC_OK if there was none.
    bmemc_error why;
} bmemc_health;

// Called with each new socket, twice: `stage` is a bmemc_connect_stage, and `address` is where it
// connects to, "1.2.3.4:11211", "[::1]:11211" or "/path", borrowed. Anything but 0 refuses the socket:
// it is closed, and where no other address of the server's name is left, calls fail with
// BMEMC_E_CONNECTION. It is called on a thread that is inside a call with the client, or submits to
// or fetches from a queue. It must not block, keep or close the socket, or use the client or a queue.
typedef int32_t (*bmemc_connect_callback)(int32_t fd,
                                          int32_t stage,
                                          bmemc_bytes address,
                                          void *context);

// A server string taken apart.
typedef struct {
    // A bmemc_address_kind.
    int32_t kind;
    // The port, 11211 where none is given; 0 for a Unix socket.
    uint32_t port;
    // The name in lower case, the address without brackets, or the path; ends with a zero byte.
    char host[256];
} bmemc_address;

// Writes what the connections to server `server` (as in `bmemc_item.server`) do, or with -1 those
// to all servers. Any thread. bmemc_disconnect_all() closes them, a queue's at its next fetch.
// BMEMC_E_ARGUMENT: the client has no such server.
bmemc_status bmemc_client_pool(const bmemc_client *client,
                               int32_t server,
                               bmemc_pool *out,
                               bmemc_error *error);

// Writes how server `server` (as in `bmemc_item.server`) is, as far as this client's calls and queues
// have shown: nothing is sent, and a server that nobody calls is not probed. Any thread.
// bmemc_disconnect_all() makes all servers BMEMC_HEALTH_UP.
// BMEMC_E_ARGUMENT: the client has no such server.
bmemc_status bmemc_client_health(const bmemc_client *client,
                                 uint32_t server,
                                 bmemc_health *out,
                                 bmemc_error *error);

// Has `callback` called with the new sockets of the clients that are made of these options; NULL:
// none. The callback and its `context`, which may be NULL, must outlive these clients and be fit for
// every thread that uses them.
bmemc_status bmemc_options_on_connect(bmemc_options *options,
                                      bmemc_connect_callback callback,
                                      void *context,
                                      bmemc_error *error);

// Takes a server string apart, as bmemc_options_add_server() does; nothing is looked up.
// BMEMC_E_ARGUMENT: it is none; the message quotes it and says what is accepted.
bmemc_status bmemc_address_parse(bmemc_bytes text, bmemc_address *out, bmemc_error *error);

// Whether a key can be used with a client: BMEMC_OK, or BMEMC_E_ARGUMENT with the words that a call
// with it would fail with, its key_prefix with it. Nothing is sent. With protocol=auto: to a server
// that knows meta, or, with SASL's credentials, binary.
bmemc_status bmemc_check_key(const bmemc_client *client, bmemc_bytes key, bmemc_error *error);

// ================================================================================================
// Chapter 16
// Discovery by a function of the caller's.
// ================================================================================================

// Says which servers there are: it adds each of them to `servers`, which are empty options, with
// bmemc_options_add_server(), and returns 0. Anything else, or no server: it could not say, and
// those that are known stay. `servers` is gone when it returns. It is called on a thread that is
// inside a call with the client, or submits to or fetches from a queue; it must not block, or use
// the client or a queue.
typedef int32_t (*bmemc_discover_callback)(bmemc_options *servers, void *context);

// Has `callback` say which servers the clients that are made of these options have, when they are
// first used and then every discovery_interval_ms; NULL: none. By difference: servers of the same
// name and address keep their connections. The option discovery must be none then. The callback and
// its `context`, which may be NULL, must outlive these clients and be fit for every thread that uses
// them.
bmemc_status bmemc_options_on_discover(bmemc_options *options,
                                       bmemc_discover_callback callback,
                                       void *context,
                                       bmemc_error *error);

#ifdef __cplusplus
}
#endif

#endif // BMEMC_H
