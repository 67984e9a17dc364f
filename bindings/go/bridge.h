// bridge.h: what Go and libbmemc hand to each other. Go's memory may not hold pointers that C is given to follow, so an
// operation crosses as numbers (bridge_op) beside one run of bytes, and becomes a bmemc_op here. Nothing here knows of
// memcached.
#ifndef BMEMC_BRIDGE_H
#define BMEMC_BRIDGE_H

#include <bmemc.h>
#include <stdbool.h>

#if BMEMC_VERSION_MAJOR != 0 || BMEMC_VERSION_MINOR != 1
#error "this binding is for version 0.1 of bmemc.h"
#endif

// One operation without its bytes. Key, value, routing key and meta flags stand one behind the other, from `at` on.
typedef struct {
    uint64_t tag;
    size_t at;
    uint32_t key_len, op_flags, timeout_ms;
    int32_t opcode;
    // Whether what follows counts. A plain get, which there are many of, has nothing there.
    bool more;
    uint32_t routing_len, meta_len, flags, value_type, server;
    int32_t compress_level;
    size_t value_len;
    uint64_t cas, delta, initial;
    int64_t ttl;
} bridge_op;

// Where the answers of a fetch and their values go, and how it went. All of it is C's memory.
typedef struct {
    bmemc_answer *answers;
    uint8_t *slab;
    size_t count;
    int32_t status;
    bmemc_error error;
} bridge_inbox;

// The same as an argument: of what cgo knows nothing of it does not look for pointers to Go's memory at each call.
typedef struct bridge_inbox_argument bridge_inbox_argument;

enum {
    // Answers of one fetch.
    BRIDGE_ANSWERS = 512,
    // Bytes of their values; longer ones come in memory of the library's.
    BRIDGE_SLAB = 256 << 10,
};

bridge_inbox *bridge_inbox_new(void);
void bridge_inbox_free(bridge_inbox *inbox);

// Submits operations whose bytes count from `bytes`; where they are ordered, they reach the server in their order.
// *accepted as bmemc_queue_submit() has it.
int32_t bridge_submit(bmemc_queue *queue, const bmemc_client *client, const bridge_op *ops, size_t count,
                      const uint8_t *bytes, bool ordered, size_t *accepted, bmemc_error *error);

// Submits one operation that has a key and a value and no other bytes, each where it is.
int32_t bridge_submit_one(bmemc_queue *queue, const bmemc_client *client, const bridge_op *op, const uint8_t *key,
                          const uint8_t *value, size_t *accepted, bmemc_error *error);

// Room for the operations of one crossing, which need not be cleared each time.
typedef struct bridge_room bridge_room;

bridge_room *bridge_room_new(void);
void bridge_room_free(bridge_room *room);

// Submits an operation for each of many keys, which stand one behind the other: `like` but for key and tag, which counts up.
// It makes them in `room`, where no others are made.
int32_t bridge_submit_keys(bmemc_queue *queue, const bmemc_client *client, const bridge_op *like, const uint8_t *keys,
                           const uint32_t *lengths, size_t count, bridge_room *room, size_t *accepted,
                           bmemc_error *error);

// Fetches into the inbox; waits for the first answer for up to wait_ms.
void bridge_fetch(bmemc_queue *queue, bridge_inbox_argument *inbox, int32_t wait_ms);

// Submits, and where all was accepted waits for the first answers: one crossing for a caller who is alone.
int32_t bridge_submit_fetch(bmemc_queue *queue, const bmemc_client *client, const bridge_op *ops, size_t count,
                            const uint8_t *bytes, bool ordered, size_t *accepted, bmemc_error *error,
                            bridge_inbox_argument *inbox, int32_t wait_ms);

// Events that wait for Go. The library calls bridge_events_add() on whatever thread is inside it; Go takes them out
// afterwards, so that no C code ever calls Go.
typedef struct bridge_events bridge_events;

// One event that waits; `message` is cut at its size.
typedef struct {
    int32_t kind, status, os_error;
    uint32_t server;
    uint64_t elapsed_us;
    size_t message_len;
    uint8_t message[256];
} bridge_event;

bridge_events *bridge_events_new(void);
void bridge_events_free(bridge_events *events);
// To be given to bmemc_options_on_event().
void bridge_events_add(const bmemc_event *event, void *events);
// Whether there are any.
bool bridge_events_waiting(bridge_events *events);
// Takes the oldest one out; false where there is none. Adds to *lost how many did not find room.
bool bridge_events_take(bridge_events *events, bridge_event *out, uint64_t *lost);
int32_t bridge_options_on_event(bmemc_options *options, bridge_events *events, bmemc_error *error);

// What the user gave for the library to call; `handle` is a cgo.Handle of it.
int32_t bridge_options_on_connect(bmemc_options *options, uintptr_t handle, bmemc_error *error);
int32_t bridge_options_on_route(bmemc_options *options, uintptr_t handle, bmemc_error *error);
int32_t bridge_options_on_discover(bmemc_options *options, uintptr_t handle, bmemc_error *error);
int32_t bridge_options_set_compressor(bmemc_options *options, uintptr_t handle, bmemc_error *error);

// bmemc_execute_each() of an operation whose bytes are here.
int32_t bridge_execute_each(const bmemc_client *client, const bridge_op *op, const uint8_t *bytes,
                            bmemc_results **answers, bmemc_error *error);

// bmemc_dump_of() of one whose classes are here.
int32_t bridge_dump(const bmemc_client *client, const bridge_op *op, const uint8_t *classes, bmemc_dump **out,
                    bmemc_error *error);

// bmemc_value_encode() of an operation whose value is here.
int32_t bridge_encode(const bmemc_client *client, const bridge_op *op, const uint8_t *value, bmemc_value **out,
                      bmemc_error *error);

#endif
