// loop.c: operations in, answers out. JavaScript fills the request table and has it submitted; libuv tells when the queue's
// descriptor is readable, then the answers are fetched into the answer table and JavaScript's slabs, and it is called once for
// all of them. The loop stays alive only while answers are awaited.
#include "addon.h"
#include <stdlib.h>
#include <string.h>

// A tag is which call and which of its operations.
static uint64_t tag_of(uint32_t slot, uint32_t index) { return (uint64_t)index << 32 | slot; }

static void follow_in_flight(addon *self) {
    if (self->in_flight) uv_ref((uv_handle_t *)&self->poll);
    else uv_unref((uv_handle_t *)&self->poll);
}

// --- submit ------------------------------------------------------------------

// The client of a request that cannot be: JavaScript's tables are wrong, or its key is half a surrogate pair.
enum { NOT_THERE = -2, NOT_UNICODE = -3 };

// What a request says, its bytes in `bytes`. False: they are not all there.
static bool to_operation(const request *from, const uint8_t *bytes, bmemc_op *op) {
    const uint32_t lens[] = {from->value_len, from->routing_key_len, from->meta_flags_len};
    bmemc_bytes *const fields[] = {&op->value, &op->routing_key, &op->meta_flags};
    uint64_t at = from->start;
    memset(op, 0, sizeof *op);
    if ((uint64_t)from->key_start + from->key_len > REQUEST_BYTES) return false;
    if (from->key_len) op->key = (bmemc_bytes){bytes + from->key_start, from->key_len};
    for (int i = 0; i < 3; i++) {
        if (at + lens[i] > REQUEST_BYTES) return false;
        if (lens[i]) *fields[i] = (bmemc_bytes){bytes + at, lens[i]};
        at += lens[i];
    }
    op->tag = tag_of(from->slot, from->index);
    op->cas = from->cas;
    op->delta = from->delta;
    op->initial = from->initial;
    op->ttl = (int64_t)from->ttl;
    op->opcode = from->opcode;
    op->flags = from->flags;
    op->value_type = from->value_type;
    op->op_flags = from->op_flags;
    op->timeout_ms = from->timeout_ms;
    op->compress_level = from->compress_level;
    op->server = from->server;
    return true;
}

// An answer of this side's: the operation was not taken.
static void refuse(addon *self, const request *from, const bmemc_error *error, uint32_t *refused, napi_value words) {
    self->answers[ANSWERS + *refused] = (answer){
        .slot = from->slot,
        .index = from->index,
        .status = error->status,
        .offset = -1,
        .bits = error->bits,
        .os_error = error->os_error,
    };
    napi_set_element(self->env, words, (*refused)++, make_text(self->env, error->message));
}

// Submits what is in the request table; `large` is the value of the last one where it is not in the table. Answers with how
// many were refused; each has its words in `words`.
static uint32_t submit(addon *self, const bmemc_bytes *large, napi_value words) {
    static const bmemc_error not_there = {.status = BMEMC_E_BUG, .message = "the request table is wrong"};
    static const bmemc_error not_unicode = {
        .status = BMEMC_E_ARGUMENT, .bits = BMEMC_BIT_NOT_SENT, .message = "key is not well-formed Unicode: half a surrogate pair"};
    static const bmemc_error no_client = {
        .status = BMEMC_E_CLOSED, .bits = BMEMC_BIT_NOT_SENT, .message = "the client is closed"};
    uint32_t count = self->counts->requests < REQUESTS ? self->counts->requests : REQUESTS, refused = 0;
    bmemc_op ops[REQUESTS];
    for (uint32_t i = 0; i < count; i++) {
        bool is_there = to_operation(&self->requests[i], self->request_bytes, &ops[i]);
        if (i + 1 == count && large) ops[i].value = *large;
        if (!is_there) self->requests[i].client = NOT_THERE;
    }
    // Neighbours of one client go together.
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        int32_t number = self->requests[begin].client;
        handle *client = handle_get(self, number, CLIENT);
        if (client) client->submitted = true;
        for (end = begin + 1; end < count && self->requests[end].client == number; end++) {}
        while (begin < end) {
            bmemc_error error = number == NOT_THERE ? not_there : number == NOT_UNICODE ? not_unicode : no_client;
            size_t accepted = 0;
            bmemc_status status = BMEMC_E_CLOSED;
            if (client) status = bmemc_queue_submit(self->queue, client->pointer, ops + begin, end - begin, &accepted, &error);
            self->in_flight += accepted;
            begin += accepted;
            // The next one was not taken; those behind it are offered anew.
            if (begin < end && status != BMEMC_OK) refuse(self, &self->requests[begin++], &error, &refused, words);
        }
    }
    memset(self->requests, 0, count * sizeof *self->requests);
    self->counts->requests = 0;
    self->counts->request_bytes = NAME_BYTES;
    follow_in_flight(self);
    return refused;
}

// submit(words, [large]) -> how many were refused at once; their answers stand behind the fetched ones.
napi_value loop_submit(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    bmemc_bytes large;
    void *owned = NULL;
    if (!get_bytes(env, args[1], &large, &owned)) return NULL;
    uint32_t refused = submit(self, large.data ? &large : NULL, args[0]);
    free(owned);
    return make_number(env, refused);
}

// cancel(slot, count): operations 0 to count - 1 of a call.
napi_value loop_cancel(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    uint32_t slot = 0, count = 0;
    napi_get_value_uint32(env, args[0], &slot);
    napi_get_value_uint32(env, args[1], &count);
    for (uint32_t i = 0; i < count; i++) bmemc_queue_cancel(self->queue, tag_of(slot, i), NULL);
    return NULL;
}

// --- fetch -------------------------------------------------------------------

// slab(number, ArrayBuffer): memory for values; it takes the place of what this slab was.
napi_value loop_slab(napi_env env, napi_callback_info info) {
    napi_value args[MAX_ARGUMENTS];
    addon *self = arguments(env, info, args);
    uint32_t number = 0;
    void *data = NULL;
    size_t len = 0;
    napi_get_value_uint32(env, args[0], &number);
    napi_get_arraybuffer_info(env, args[1], &data, &len);
    if (number >= 2 * SLABS || len != (number < SLABS ? SMALL_SLAB_BYTES : LARGE_SLAB_BYTES)) {
        return throw_argument(env, "the slabs of lib/engine.js and of the addon differ");
    }
    self->slabs[number] = data;
    self->counts->used[number] = 0;
    return NULL;
}

// Where a value goes: into the slab that is being filled, or into the next one. NULL: it is too long for any, or all are full.
static uint8_t *place(size_t len, void *context) {
    addon *self = context;
    counts *counts = self->counts;
    int kind = len > SMALL_BYTES;
    uint32_t size = kind ? LARGE_SLAB_BYTES : SMALL_SLAB_BYTES, *current = &counts->current[kind];
    if (len > LARGE_BYTES) return NULL;
    if (counts->slabs[kind] == 0) return counts->missed[kind]++, NULL;
    if (counts->used[kind * SLABS + *current] + len > size) {
        uint32_t next = (*current + 1) % counts->slabs[kind];
        // The first one is being filled already, and those behind it have values of this very fetch.
        if (next == self->first[kind]) return counts->missed[kind]++, NULL;
        *current = next;
    }
    uint32_t number = kind * SLABS + *current, offset = counts->used[number];
    counts->used[number] += (uint32_t)len;
    return self->slabs[number] + offset;
}

// Which slab of its size a value is in; they are looked through from the `at`th on. False: it is in none.
static bool find(const addon *self, bmemc_bytes value, uint32_t at[2], answer *to) {
    int kind = value.len > SMALL_BYTES;
    size_t size = kind ? LARGE_SLAB_BYTES : SMALL_SLAB_BYTES;
    for (;; at[kind] = (at[kind] + 1) % self->counts->slabs[kind]) {
        uint32_t number = kind * SLABS + at[kind];
        uintptr_t offset = (uintptr_t)value.data - (uintptr_t)self->slabs[number];
        to->slab = number;
        to->offset = (int32_t)offset;
        if (offset < size) return true;
        if (at[kind] == self->counts->current[kind]) break;
    }
    to->offset = -1;
    return false;
}

static void record(answer *to, const bmemc_answer *from) {
    *to = (answer){
        .slot = (uint32_t)from->tag,
        .index = (uint32_t)(from->tag >> 32),
        .status = from->item.status,
        .offset = -1,
        .length = (uint32_t)from->item.value.len,
        .flags = from->item.flags,
        .value_type = from->item.value_type,
        .bits = from->item.bits,
        .cas = from->item.cas,
        .number = from->item.number,
        .ttl = from->item.ttl,
        .server = from->item.server,
        .os_error = from->item.os_error,
        .size = from->item.size,
        .last_access = from->item.last_access,
        .fetched = from->item.fetched,
    };
}

// Fetches into the tables; `*owned` becomes an array with what did not fit there, or stays undefined.
static uint32_t fetch(addon *self, napi_value *owned) {
    bmemc_answer came[ANSWERS];
    size_t count = 0;
    bool has_owned = false;
    uint32_t at[2];
    memcpy(self->first, self->counts->current, sizeof self->first);
    memcpy(at, self->first, sizeof at);
    bmemc_queue_fetch_to(self->queue, came, ANSWERS, place, self, 0, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        bmemc_bytes *value = &came[i].item.value;
        record(&self->answers[i], &came[i]);
        // What is in a slab is no longer beside it.
        if (value->len && value->len <= LARGE_BYTES && find(self, *value, at, &self->answers[i])) *value = (bmemc_bytes){NULL, 0};
        if (!came[i].owner) continue;
        if (!has_owned) has_owned = napi_create_array(self->env, owned) == napi_ok;
        napi_set_element(self->env, *owned, (uint32_t)i, make_owned(self->env, &came[i].item, came[i].owner));
    }
    self->fetches++;
    self->in_flight -= count < self->in_flight ? count : self->in_flight;
    self->older = self->in_flight;
    return (uint32_t)count;
}

// Calls JavaScript, and what waits for it runs too: promises and process.nextTick.
static void call(addon *self, napi_ref which, size_t count, const napi_value *args) {
    napi_value function, receiver;
    napi_get_reference_value(self->env, which, &function);
    napi_get_global(self->env, &receiver);
    napi_status status = napi_make_callback(self->env, self->context, receiver, function, count, args, NULL);
    if (status != napi_pending_exception) return;
    napi_value thrown;
    // While the environment ends there is nothing to be had, nor told.
    if (napi_get_and_clear_last_exception(self->env, &thrown) == napi_ok) napi_fatal_exception(self->env, thrown);
}

// Fetches once, calls JavaScript for what came, and submits what that began. Answers with how many answers it were.
static uint32_t take(addon *self) {
    napi_handle_scope scope;
    if (napi_open_handle_scope(self->env, &scope) != napi_ok) return 0;
    napi_value args[2];
    napi_get_undefined(self->env, &args[1]);
    uint32_t count = fetch(self, &args[1]);
    napi_create_uint32(self->env, count, &args[0]);
    self->counts->awake = 1;
    if (count || self->counts->events) call(self, self->on_answers, 2, args);
    self->counts->awake = 0;
    if (self->counts->requests) call(self, self->flush, 0, NULL);
    napi_close_handle_scope(self->env, scope);
    return count;
}

// Operations that were in flight when the others were answered are often answered once these are worked off: they need no wake-up
// of their own. Where they were not, it is tried again after some wake-ups. The rest of the loop has its turn soon.
enum { MOST_FETCHES = 8, WAKE_UPS_WITHOUT = 16 };

static void on_readable(uv_poll_t *poll, int status, int events) {
    addon *self = poll->data;
    (void)status, (void)events;
    uint32_t count = take(self);
    if (self->without) self->without--;
    for (int fetches = 1; count && self->older && !self->without && fetches < MOST_FETCHES; fetches++) {
        count = take(self);
        if (!count) self->without = WAKE_UPS_WITHOUT;
    }
    follow_in_flight(self);
}

// --- the beginning and the end -----------------------------------------------

bool loop_start(addon *self, uv_loop_t *loop) {
    self->poll.data = self;
    return uv_poll_init(loop, &self->poll, bmemc_queue_fd(self->queue)) == 0;
}

void loop_stop(addon *self, uv_close_cb closed) { uv_close((uv_handle_t *)&self->poll, closed); }

// The memory of a typed array or ArrayBuffer of exactly `size` bytes; NULL: it is none.
static void *memory_of(napi_env env, napi_value tables, const char *name, size_t size) {
    napi_value buffer;
    void *data = NULL;
    size_t len = 0;
    if (napi_get_named_property(env, tables, name, &buffer) != napi_ok) return NULL;
    if (napi_get_arraybuffer_info(env, buffer, &data, &len) != napi_ok) return NULL;
    return len == size ? data : NULL;
}

// The tables are ArrayBuffers of JavaScript's, which are kept; it is called by `on_answers` and `flush`.
bool loop_attach(addon *self, napi_value tables, napi_value on_answers, napi_value flush) {
    napi_env env = self->env;
    napi_value name;
    napi_ref kept;
    counts *found = memory_of(env, tables, "counts", sizeof *self->counts);
    self->requests = memory_of(env, tables, "requests", REQUESTS * sizeof *self->requests);
    self->request_bytes = memory_of(env, tables, "requestBytes", REQUEST_BYTES);
    self->answers = memory_of(env, tables, "answers", 2 * ANSWERS * sizeof *self->answers);
    napi_create_string_utf8(env, "bmemc", NAPI_AUTO_LENGTH, &name);
    if (!found || !self->requests || !self->request_bytes || !self->answers ||
        napi_async_init(env, NULL, name, &self->context) != napi_ok ||
        napi_create_reference(env, tables, 1, &kept) != napi_ok ||
        napi_create_reference(env, on_answers, 1, &self->on_answers) != napi_ok ||
        napi_create_reference(env, flush, 1, &self->flush) != napi_ok) {
        throw_argument(env, "the tables of lib/engine.js and of the addon differ");
        return false;
    }
    self->counts = found;
    self->counts->request_bytes = NAME_BYTES;
    uv_poll_start(&self->poll, UV_READABLE, on_readable);
    follow_in_flight(self);
    return true;
}
