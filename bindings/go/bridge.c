#include "_cgo_export.h"
#include "bridge.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 128, EVENTS = 256 };

static void make(bmemc_op *op, const bridge_op *from, const uint8_t *key, const uint8_t *value) {
    *op = (bmemc_op){
        .tag = from->tag,
        .key = {key, from->key_len},
        .opcode = from->opcode,
        .op_flags = from->op_flags,
        .timeout_ms = from->timeout_ms,
    };
    if (!from->more) return;
    op->value = (bmemc_bytes){value, from->value_len};
    op->cas = from->cas, op->delta = from->delta, op->initial = from->initial, op->ttl = from->ttl;
    op->flags = from->flags, op->value_type = from->value_type, op->compress_level = from->compress_level;
    op->server = from->server;
}

static void make_from(bmemc_op *op, const bridge_op *from, const uint8_t *bytes) {
    const uint8_t *key = bytes + from->at, *value = key + from->key_len;
    make(op, from, key, value);
    if (!from->more) return;
    const uint8_t *routing = value + from->value_len;
    op->routing_key = (bmemc_bytes){routing, from->routing_len};
    op->meta_flags = (bmemc_bytes){routing + from->routing_len, from->meta_len};
}

static int32_t submit(bmemc_queue *queue, const bmemc_client *client, const bridge_op *ops, size_t count,
                      const uint8_t *bytes, bmemc_op *list, size_t *accepted, bmemc_error *error) {
    for (size_t i = 0; i < count; i++) make_from(&list[i], &ops[i], bytes);
    return bmemc_queue_submit(queue, client, list, count, accepted, error);
}

// In equal parts, so that the server is at work on the first while the next is made.
static int32_t submit_parts(bmemc_queue *queue, const bmemc_client *client, const bridge_op *ops, size_t count,
                            const uint8_t *bytes, size_t *accepted, bmemc_error *error) {
    bmemc_op list[AT_ONCE];
    size_t parts = (count + AT_ONCE - 1) / AT_ONCE, taken;
    int32_t status = BMEMC_OK;
    for (*accepted = 0; status == BMEMC_OK && parts > 0; parts--) {
        size_t part = (count - *accepted) / parts;
        status = submit(queue, client, ops + *accepted, part, bytes, list, &taken, error);
        *accepted += taken;
    }
    return status;
}

int32_t bridge_submit(bmemc_queue *queue, const bmemc_client *client, const bridge_op *ops, size_t count,
                      const uint8_t *bytes, bool ordered, size_t *accepted, bmemc_error *error) {
    if (count == 1) {
        bmemc_op one;
        return submit(queue, client, ops, 1, bytes, &one, accepted, error);
    }
    if (!ordered || count <= AT_ONCE) return submit_parts(queue, client, ops, count, bytes, accepted, error);
    bmemc_op *list = malloc(count * sizeof *list);
    if (!list) abort(); // as Go does where there is no memory
    int32_t status = submit(queue, client, ops, count, bytes, list, accepted, error);
    free(list);
    return status;
}

int32_t bridge_submit_one(bmemc_queue *queue, const bmemc_client *client, const bridge_op *op, const uint8_t *key,
                          const uint8_t *value, size_t *accepted, bmemc_error *error) {
    bmemc_op one;
    make(&one, op, key, value);
    return bmemc_queue_submit(queue, client, &one, 1, accepted, error);
}

struct bridge_room {
    bmemc_op ops[AT_ONCE];
};

bridge_room *bridge_room_new(void) {
    bridge_room *room = calloc(1, sizeof *room);
    if (!room) abort();
    return room;
}

void bridge_room_free(bridge_room *room) {
    free(room);
}

int32_t bridge_submit_keys(bmemc_queue *queue, const bmemc_client *client, const bridge_op *like, const uint8_t *keys,
                           const uint32_t *lengths, size_t count, bridge_room *room, size_t *accepted,
                           bmemc_error *error) {
    int32_t status = BMEMC_OK;
    size_t parts = (count + AT_ONCE - 1) / AT_ONCE, taken;
    for (*accepted = 0; status == BMEMC_OK && parts > 0; parts--) {
        size_t part = (count - *accepted) / parts;
        for (size_t i = 0; i < part; i++) {
            size_t at = *accepted + i;
            bmemc_op *op = &room->ops[i]; // its other fields are zero, and nobody changes them
            op->tag = like->tag + at, op->key = (bmemc_bytes){keys, lengths[at]};
            op->opcode = like->opcode, op->op_flags = like->op_flags, op->timeout_ms = like->timeout_ms;
            keys += lengths[at];
        }
        status = bmemc_queue_submit(queue, client, room->ops, part, &taken, error);
        *accepted += taken;
    }
    return status;
}

bridge_inbox *bridge_inbox_new(void) {
    bridge_inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox || !(inbox->answers = calloc(BRIDGE_ANSWERS, sizeof *inbox->answers))) abort();
    if (!(inbox->slab = malloc(BRIDGE_SLAB))) abort();
    return inbox;
}

void bridge_inbox_free(bridge_inbox *inbox) {
    free(inbox->answers);
    free(inbox->slab);
    free(inbox);
}

void bridge_fetch(bmemc_queue *queue, bridge_inbox_argument *argument, int32_t wait_ms) {
    bridge_inbox *inbox = (bridge_inbox *)argument;
    inbox->status = bmemc_queue_fetch_into(queue, inbox->answers, BRIDGE_ANSWERS, inbox->slab, BRIDGE_SLAB, wait_ms,
                                           &inbox->count, &inbox->error);
}

int32_t bridge_submit_fetch(bmemc_queue *queue, const bmemc_client *client, const bridge_op *ops, size_t count,
                            const uint8_t *bytes, bool ordered, size_t *accepted, bmemc_error *error,
                            bridge_inbox_argument *argument, int32_t wait_ms) {
    bridge_inbox *inbox = (bridge_inbox *)argument;
    int32_t status = bridge_submit(queue, client, ops, count, bytes, ordered, accepted, error);
    inbox->count = 0, inbox->status = BMEMC_OK;
    if (status == BMEMC_OK) bridge_fetch(queue, argument, wait_ms);
    return status;
}

// A ring of the newest that found room; those that did not are counted.
struct bridge_events {
    pthread_mutex_t lock;
    size_t first;
    atomic_size_t count;
    uint64_t lost;
    bridge_event ring[EVENTS];
};

bridge_events *bridge_events_new(void) {
    bridge_events *events = calloc(1, sizeof *events);
    if (!events) abort();
    pthread_mutex_init(&events->lock, NULL);
    return events;
}

void bridge_events_free(bridge_events *events) {
    if (!events) return;
    pthread_mutex_destroy(&events->lock);
    free(events);
}

void bridge_events_add(const bmemc_event *event, void *context) {
    bridge_events *events = context;
    pthread_mutex_lock(&events->lock);
    if (events->count == EVENTS) {
        events->lost++;
    } else {
        bridge_event *to = &events->ring[(events->first + events->count++) % EVENTS];
        size_t len = event->message.len < sizeof to->message ? event->message.len : sizeof to->message;
        *to = (bridge_event){.kind = event->kind, .status = event->status, .os_error = event->os_error,
                             .server = event->server, .elapsed_us = event->elapsed_us, .message_len = len};
        memcpy(to->message, event->message.data, len);
    }
    pthread_mutex_unlock(&events->lock);
}

bool bridge_events_waiting(bridge_events *events) {
    return events->count > 0;
}

bool bridge_events_take(bridge_events *events, bridge_event *out, uint64_t *lost) {
    pthread_mutex_lock(&events->lock);
    *lost += events->lost;
    events->lost = 0;
    bool any = events->count > 0;
    if (any) {
        *out = events->ring[events->first];
        events->first = (events->first + 1) % EVENTS;
        events->count--;
    }
    pthread_mutex_unlock(&events->lock);
    return any;
}

int32_t bridge_options_on_event(bmemc_options *options, bridge_events *events, bmemc_error *error) {
    return bmemc_options_on_event(options, bridge_events_add, events, error);
}

static size_t route(bmemc_bytes key, size_t count, void *context) {
    return bridgeRoute((uintptr_t)context, (uint8_t *)key.data, key.len, count);
}

int32_t bridge_options_on_route(bmemc_options *options, uintptr_t handle, bmemc_error *error) {
    return bmemc_options_on_route(options, route, (void *)handle, error);
}

static int32_t connecting(int32_t fd, int32_t stage, bmemc_bytes address, void *context) {
    return bridgeConnect((uintptr_t)context, fd, stage, (uint8_t *)address.data, address.len);
}

int32_t bridge_options_on_connect(bmemc_options *options, uintptr_t handle, bmemc_error *error) {
    return bmemc_options_on_connect(options, connecting, (void *)handle, error);
}

static int32_t discover(bmemc_options *servers, void *context) {
    return bridgeDiscover((uintptr_t)context, servers);
}

int32_t bridge_options_on_discover(bmemc_options *options, uintptr_t handle, bmemc_error *error) {
    return bmemc_options_on_discover(options, discover, (void *)handle, error);
}

static int compress(bmemc_bytes value, int32_t level, bmemc_output *output, void *context) {
    return bridgeCompress((uintptr_t)context, (uint8_t *)value.data, value.len, level, output);
}

int32_t bridge_options_set_compressor(bmemc_options *options, uintptr_t handle, bmemc_error *error) {
    return bmemc_options_set_compressor(options, compress, compress, (void *)handle, error);
}

int32_t bridge_execute_each(const bmemc_client *client, const bridge_op *op, const uint8_t *bytes,
                            bmemc_results **answers, bmemc_error *error) {
    bmemc_op one;
    make_from(&one, op, bytes);
    return bmemc_execute_each(client, &one, answers, error);
}

int32_t bridge_encode(const bmemc_client *client, const bridge_op *op, const uint8_t *value, bmemc_value **out,
                      bmemc_error *error) {
    bmemc_op one;
    make(&one, op, NULL, value);
    return bmemc_value_encode(client, &one, out, error);
}

int32_t bridge_dump(const bmemc_client *client, const bridge_op *op, const uint8_t *classes, bmemc_dump **out,
                    bmemc_error *error) {
    bmemc_op one;
    make_from(&one, op, classes);
    return bmemc_dump_of(client, &one, out, error);
}
