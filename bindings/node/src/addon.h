// addon.h: what the files of the addon share. The addon puts bmemc.h behind N-API: a queue of operations for each
// environment (a thread's, a worker's), whose descriptor libuv polls in the loop's own thread, and handles by number. It
// knows nothing of memcached; what JavaScript and C tell each other goes through tables in memory that both see.
#ifndef BMEMC_NODE_ADDON_H
#define BMEMC_NODE_ADDON_H

#define NAPI_VERSION 8
#include <bmemc.h>
#include <node_api.h>
#include <stdbool.h>
#include <uv.h>

// --- the tables; lib/engine.js has the same numbers, and compares the sizes ---

enum {
    REQUESTS = 1024,           // operations that are submitted together at most
    REQUEST_BYTES = 256 << 10, // their keys and values
    NAME_BYTES = 64 << 10,     // of these, the first ones are for keys that are strings
    ANSWERS = 1024,            // answers that are fetched together at most
    SMALL_BYTES = 4 << 10,     // up to here values go into slabs of SMALL_SLAB_BYTES,
    LARGE_BYTES = 16 << 10,    // up to here into slabs of LARGE_SLAB_BYTES; longer ones get memory of their own
    SMALL_SLAB_BYTES = 8 << 10,
    LARGE_SLAB_BYTES = 32 << 10,
    SLABS = 64, // of each size
};

// One operation, as JavaScript writes it. Its key stands in the request bytes from `key_start` on, everything else from `start`
// on, one behind the other.
typedef struct {
    int32_t client;
    uint32_t slot, index; // the tag: which call, and which of its operations
    int32_t opcode;
    uint32_t op_flags, flags, value_type, timeout_ms;
    int32_t compress_level;
    uint32_t start, key_len, value_len, routing_key_len, meta_flags_len;
    uint32_t server, key_start;
    uint64_t cas, delta, initial;
    double ttl;
} request;

// One answer, as JavaScript reads it. `offset` is the value's place in slab number `slab`; -1: it is not there.
typedef struct {
    uint32_t slot, index;
    int32_t status, offset;
    uint32_t length, flags, value_type, bits;
    uint64_t cas, number;
    int64_t ttl;
    uint32_t server;
    int32_t os_error;
    uint32_t size, last_access, fetched, slab;
} answer;

// What both sides count.
typedef struct {
    uint32_t requests, request_bytes; // how much of the tables is filled
    uint32_t awake;                   // JavaScript runs inside a wake-up, after which requests are submitted anyway
    uint32_t events;                  // events that wait to be taken
    // Of small slabs and of large ones: how many there are, and which is being filled. Behind it comes the next one; behind the
    // last, the first.
    uint32_t slabs[2], current[2];
    uint32_t missed[2]; // how many values of a fetch found none
    uint32_t used[2 * SLABS]; // how far each is filled: the small ones, then the large ones
} counts;

// --- the environment ---------------------------------------------------------

// ENDED: a dump whose client was closed. Its number is not given to another before JavaScript has closed it.
typedef enum { NOTHING, CLIENT, SERVER, RING, DUMP, ENDED } handle_kind;
// Functions of the user's that the library calls.
typedef enum { COMPRESS, DECOMPRESS, ROUTE, CONNECT, DISCOVER, USER_FUNCTIONS } user_function;

typedef struct addon addon;

// What a number of JavaScript's stands for. It is never moved: the library's callbacks refer to it.
typedef struct {
    addon *owner;
    handle_kind kind;
    uint32_t number;
    uint32_t client; // of a dump: the number of its client, which ends it
    void *pointer;
    napi_ref functions[USER_FUNCTIONS];
    bool submitted;     // the queue knows the client
    uint64_t free_from; // before so many fetches a closed client may still tell something
} handle;

typedef struct event event;

// All that one environment has.
struct addon {
    napi_env env;
    uv_poll_t poll;
    napi_async_cleanup_hook_handle cleanup;
    napi_async_context context;
    napi_ref on_answers, flush; // functions of JavaScript's: (count, owned), ()
    bmemc_queue *queue;
    size_t in_flight;
    size_t older;     // of these, how many a fetch has left: what was begun behind it does not count
    uint32_t without; // so many wake-ups fetch only once
    uint64_t fetches;
    handle **handles;
    uint32_t handle_count;
    event *first_event, **last_event;
    // Memory of JavaScript's: typed arrays that it keeps for as long as the environment lives.
    counts *counts;
    request *requests;
    uint8_t *request_bytes;
    answer *answers;  // fetched; behind them as many that failed at once
    uint8_t *slabs[2 * SLABS];
    uint32_t first[2]; // the slabs that were being filled when a fetch began
};

// --- values.c: between C and JavaScript --------------------------------------

// Throws an Error with the code and the message of a failure; answers with NULL.
napi_value throw_error(napi_env env, const bmemc_error *error);
napi_value throw_argument(napi_env env, const char *message);
// The bytes of a Buffer, of a string in UTF-8 (`*owned` is to be freed), or of undefined. False: something was thrown.
bool get_bytes(napi_env env, napi_value value, bmemc_bytes *bytes, void **owned);
napi_value make_string(napi_env env, bmemc_bytes text);
napi_value make_text(napi_env env, const char *text);
napi_value make_number(napi_env env, double number);
napi_value make_u64(napi_env env, uint64_t number);
napi_value make_buffer(napi_env env, bmemc_bytes bytes);
void set_property(napi_env env, napi_value object, const char *name, napi_value value);
// What an answer has beside the slabs, as {value, key, detail}. The owner is freed, or becomes JavaScript's.
napi_value make_owned(napi_env env, const bmemc_item *item, bmemc_value *owner);

// --- loop.c: the queue and its descriptor ------------------------------------

bool loop_start(addon *self, uv_loop_t *loop);
void loop_stop(addon *self, uv_close_cb closed);
bool loop_attach(addon *self, napi_value tables, napi_value on_answers, napi_value flush); // false: it was thrown why not
napi_value loop_submit(napi_env env, napi_callback_info info);
napi_value loop_slab(napi_env env, napi_callback_info info);
napi_value loop_cancel(napi_env env, napi_callback_info info);

// --- handles.c: clients, servers, and the table of all handles ---------------

handle *handle_get(addon *self, int64_t number, handle_kind kind); // NULL: there is none
// The same for an argument; NULL: it was thrown that there is none.
handle *handle_of(addon *self, napi_value number, handle_kind kind);
// A place for a handle, which is free until it is kept; NULL: it was thrown that there is no memory.
handle *handle_new(addon *self);
napi_value handle_keep(handle *which, handle_kind kind, void *pointer); // its number
void handles_free(addon *self);
napi_value handle_close(napi_env env, napi_callback_info info);
napi_value make_servers(napi_env env, bmemc_results *results); // frees the results
napi_value client_new(napi_env env, napi_callback_info info);
napi_value client_fallback(napi_env env, napi_callback_info info);
napi_value client_replace_servers(napi_env env, napi_callback_info info);
napi_value client_server_for(napi_env env, napi_callback_info info);
napi_value client_servers(napi_env env, napi_callback_info info);
napi_value client_add_server(napi_env env, napi_callback_info info);
napi_value client_remove_server(napi_env env, napi_callback_info info);
napi_value client_set_credentials(napi_env env, napi_callback_info info);
napi_value client_set_option(napi_env env, napi_callback_info info);
napi_value client_counters(napi_env env, napi_callback_info info);
napi_value server_start(napi_env env, napi_callback_info info);
napi_value server_set(napi_env env, napi_callback_info info);

// --- options.c ---------------------------------------------------------------

// Options of [[address, name, weight], ...], [[name, value], ...] and functions, which are `of`'s; both
// of these may be NULL. NULL: it was thrown why not.
bmemc_options *make_options(addon *self, handle *of, napi_value servers, napi_value values, napi_value functions);
napi_value option_list(napi_env env, napi_callback_info info);

// --- rings.c -----------------------------------------------------------------

napi_value ring_new(napi_env env, napi_callback_info info);
napi_value ring_add(napi_env env, napi_callback_info info);
napi_value ring_remove(napi_env env, napi_callback_info info);
napi_value ring_get(napi_env env, napi_callback_info info);
napi_value ring_successors(napi_env env, napi_callback_info info);
napi_value ring_servers(napi_env env, napi_callback_info info);
napi_value key_hash(napi_env env, napi_callback_info info);

// --- items.c -----------------------------------------------------------------

napi_value stats_items(napi_env env, napi_callback_info info);
napi_value make_dumped(napi_env env, const bmemc_results *results); // [{key, ...}, ...] of a dump's items
napi_value value_encode(napi_env env, napi_callback_info info);
napi_value value_decode(napi_env env, napi_callback_info info);

// --- dumps.c -----------------------------------------------------------------

napi_value dump_new(napi_env env, napi_callback_info info);
napi_value dump_next(napi_env env, napi_callback_info info);

// --- connections.c -----------------------------------------------------------

napi_value client_pool(napi_env env, napi_callback_info info);
napi_value client_health(napi_env env, napi_callback_info info);
napi_value client_disconnect_all(napi_env env, napi_callback_info info);
napi_value client_check_key(napi_env env, napi_callback_info info);
napi_value address_parse(napi_env env, napi_callback_info info);

// --- events.c: what clients tell ---------------------------------------------

void on_event(const bmemc_event *what, void *context);
napi_value events_take(napi_env env, napi_callback_info info);
void events_free(addon *self);

// --- constants.c -------------------------------------------------------------

// The names and numbers of bmemc.h's enums, without "BMEMC_".
napi_value make_constants(napi_env env);

// --- for all -----------------------------------------------------------------

enum { MAX_ARGUMENTS = 4 };

// The environment's addon; the arguments, undefined where there are none.
addon *arguments(napi_env env, napi_callback_info info, napi_value args[MAX_ARGUMENTS]);

#endif
