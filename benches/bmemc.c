// The library, through include/bmemc.h as a C program uses it: blocking calls on one client that all threads share, and
// queues, one a thread, on that client. --wire is the option "protocol"; any other option of the client by --option.
#include "common.h"
#include "../include/bmemc.h"

enum { CLIENTS_AT_REST = 64 };

static bmemc_client *client;

static bmemc_bytes bytes(const void *data, size_t length) { return (bmemc_bytes){data, length}; }
static bmemc_bytes text(const char *words) { return bytes(words, strlen(words)); }
static bmemc_bytes key_bytes(uint64_t index) { return bytes(key_at(index), KEY_LENGTH); }

static void must(bmemc_status status, const bmemc_error *error, const char *what) {
    if (status < 0) fail("%s: %s: %s", what, bmemc_status_name(status), error->message);
    if (status > 0) fail("%s: %s", what, bmemc_status_name(status));
}

static bmemc_client *new_client(const char *connections) {
    bmemc_error error;
    bmemc_client *made;
    bmemc_options *options = bmemc_options_new();
    must(bmemc_options_add_server(options, text(plan.server), text(""), 1, &error), &error, plan.server);
    if (connections) must(bmemc_options_set(options, text("connections"), text(connections), &error), &error, "connections");
    if (plan.wire) must(bmemc_options_set(options, text("protocol"), text(plan.wire), &error), &error, "protocol");
    for (int i = 0; i < plan.option_count; i++) {
        const char *option = plan.options[i], *equals = strchr(option, '=');
        must(bmemc_options_set(options, bytes(option, (size_t)(equals - option)), text(equals + 1), &error), &error, option);
    }
    must(bmemc_client_new(options, &made, &error), &error, "bmemc_client_new");
    bmemc_options_free(options);
    return made;
}

static void prepare(void) { client = new_client(NULL); }
static void finish(void) { bmemc_client_free(client); }

// What one thread owns for blocking calls.
typedef struct {
    uint64_t next;
    uint8_t *buffer;             // the value that was got
    uint8_t *values;             // the values to set, one for each of the batch
    bmemc_bytes *keys, *pointers; // of a batch; `pointers` are to `values`
} caller;

static void *open_caller(long thread) {
    caller *self = must_allocate(sizeof *self);
    self->next = (uint64_t)thread * 37;
    self->buffer = must_allocate(plan.value);
    self->values = must_allocate(plan.value * (size_t)plan.batch);
    self->keys = must_allocate((size_t)plan.batch * sizeof *self->keys);
    self->pointers = must_allocate((size_t)plan.batch * sizeof *self->pointers);
    for (long i = 0; i < plan.batch; i++) {
        uint8_t *value = self->values + (size_t)i * plan.value;
        value_make(value, key_at(0));
        self->pointers[i] = bytes(value, plan.value);
    }
    return self;
}

static void close_caller(void *state) {
    caller *self = state;
    free(self->buffer);
    free(self->values);
    free(self->keys);
    free(self->pointers);
    free(self);
}

static uint64_t get(void *state) {
    caller *self = state;
    bmemc_error error;
    bmemc_bytes key = key_bytes(self->next++);
    size_t length;
    must(bmemc_get_into(client, key, self->buffer, plan.value, &length, NULL, &error), &error, "bmemc_get_into");
    value_check(self->buffer, length, (const char *)key.data);
    return 1;
}

static void close_getter(void *state) {
    caller *self = state;
    if (self->next) value_check_whole(self->buffer, plan.value, key_at(self->next - 1));
    close_caller(state);
}

static void set_head(uint8_t *value, const char *key) { memcpy(value, key, plan.value < KEY_LENGTH ? plan.value : KEY_LENGTH); }

static uint64_t set(void *state) {
    caller *self = state;
    bmemc_error error;
    bmemc_bytes key = key_bytes(self->next++);
    set_head(self->values, (const char *)key.data);
    must(bmemc_set(client, key, self->pointers[0], 0, 0, &error), &error, "bmemc_set");
    return 1;
}

// The items of a batch: each must be done. Returns them, and frees nothing.
static const bmemc_item *all_done(const bmemc_results *results, const char *what) {
    size_t count;
    const bmemc_item *items = bmemc_results_items(results, &count);
    if (count != (size_t)plan.batch) fail("%s: %zu answers to %ld keys", what, count, plan.batch);
    for (size_t i = 0; i < count; i++)
        if (items[i].status != BMEMC_OK)
            fail("%s: key %zu: %s: %.*s", what, i, bmemc_status_name(items[i].status), (int)items[i].detail.len, items[i].detail.data);
    return items;
}

static uint64_t get_many(void *state) {
    caller *self = state;
    bmemc_error error;
    bmemc_results *results;
    for (long i = 0; i < plan.batch; i++) self->keys[i] = key_bytes(self->next++);
    must(bmemc_get_many(client, self->keys, (size_t)plan.batch, &results, &error), &error, "bmemc_get_many");
    const bmemc_item *items = all_done(results, "bmemc_get_many");
    for (long i = 0; i < plan.batch; i++) value_check(items[i].value.data, items[i].value.len, (const char *)self->keys[i].data);
    bmemc_results_free(results);
    return (uint64_t)plan.batch;
}

static uint64_t set_many(void *state) {
    caller *self = state;
    bmemc_error error;
    bmemc_results *results;
    for (long i = 0; i < plan.batch; i++) {
        self->keys[i] = key_bytes(self->next++);
        set_head(self->values + (size_t)i * plan.value, (const char *)self->keys[i].data);
    }
    must(bmemc_set_many(client, self->keys, self->pointers, (size_t)plan.batch, 0, 0, &results, &error), &error, "bmemc_set_many");
    all_done(results, "bmemc_set_many");
    bmemc_results_free(results);
    return (uint64_t)plan.batch;
}

// What one thread owns for a queue: as many operations as may be in flight, and room for their answers. A tag is the
// index of the operation's key.
typedef struct {
    bmemc_queue *queue;
    bmemc_client *client;
    uint64_t next;
    size_t in_flight;
    bmemc_op *ops;
    bmemc_answer *answers;
    uint8_t *slab, *values;
    bool sets;
} pipeline;

static void submit(pipeline *self, size_t count) {
    for (size_t i = 0; i < count; i++, self->next++) {
        self->ops[i].tag = self->next;
        self->ops[i].key = key_bytes(self->next);
        if (self->sets) set_head(self->values + i * plan.value, key_at(self->next));
    }
    bmemc_error error;
    size_t accepted;
    must(bmemc_queue_submit(self->queue, self->client, self->ops, count, &accepted, &error), &error, "bmemc_queue_submit");
    if (accepted != count) fail("bmemc_queue_submit: %zu of %zu accepted, and no error", accepted, count);
    self->in_flight += count;
}

static void check_answer(const pipeline *self, const bmemc_answer *answer) {
    if (answer->item.status != BMEMC_OK)
        fail("key %s: %s: %.*s", key_at(answer->tag), bmemc_status_name(answer->item.status), (int)answer->item.detail.len,
             answer->item.detail.data);
    if (self->sets) return;
    if (answer->offset == SIZE_MAX) fail("key %s: the value is not in the slab, though there is room", key_at(answer->tag));
    value_check(self->slab + answer->offset, answer->item.value.len, key_at(answer->tag));
}

static size_t fetch(pipeline *self) {
    bmemc_error error;
    size_t count, room = (size_t)plan.in_flight;
    must(bmemc_queue_fetch_into(self->queue, self->answers, room, self->slab, room * plan.value, -1, &count, &error), &error,
         "bmemc_queue_fetch_into");
    for (size_t i = 0; i < count; i++) {
        check_answer(self, &self->answers[i]);
        bmemc_value_free(self->answers[i].owner);
    }
    self->in_flight -= count;
    return count;
}

static pipeline *new_pipeline(bmemc_client *of, long thread, bool sets) {
    size_t most = (size_t)plan.in_flight;
    bmemc_error error;
    pipeline *self = must_allocate(sizeof *self);
    *self = (pipeline){.client = of, .next = (uint64_t)thread * 37, .sets = sets};
    self->ops = must_allocate(most * sizeof *self->ops);
    self->answers = must_allocate(most * sizeof *self->answers);
    self->slab = must_allocate(most * plan.value);
    self->values = must_allocate(most * plan.value);
    for (size_t i = 0; i < most; i++) {
        self->ops[i].opcode = sets ? BMEMC_OP_SET : BMEMC_OP_GET;
        if (!sets) continue;
        value_make(self->values + i * plan.value, key_at(0));
        self->ops[i].value = bytes(self->values + i * plan.value, plan.value);
    }
    must(bmemc_queue_new(&self->queue, &error), &error, "bmemc_queue_new");
    return self;
}

static void *open_gets(long thread) {
    pipeline *self = new_pipeline(client, thread, false);
    submit(self, (size_t)plan.in_flight);
    return self;
}

static void *open_sets(long thread) {
    pipeline *self = new_pipeline(client, thread, true);
    submit(self, (size_t)plan.in_flight);
    return self;
}

// Takes what has come and sends as many anew, so that --in-flight operations are always under way.
static uint64_t turn(void *state) {
    size_t done = fetch(state);
    if (!done) fail("bmemc_queue_fetch_into: no answer, and %zu are under way", ((pipeline *)state)->in_flight);
    submit(state, done);
    return done;
}

static void drain(pipeline *self) {
    while (self->in_flight)
        if (!fetch(self)) fail("bmemc_queue_fetch_into: no answer, and %zu are under way", self->in_flight);
}

static void close_pipeline(void *state) {
    pipeline *self = state;
    drain(self);
    bmemc_queue_free(self->queue);
    free(self->ops);
    free(self->answers);
    free(self->slab);
    free(self->values);
    free(self);
}

// Uses a client of one connection in every blocking way, so that it then rests with whatever it keeps.
static void exercise_calls(void) {
    caller *self = open_caller(0);
    for (int i = 0; i < 100; i++) get(self);
    for (int i = 0; i < 10; i++) set(self);
    get_many(self);
    set_many(self);
    close_caller(self);
}

static void exercise_queue(bmemc_client *of, bmemc_queue **kept) {
    pipeline *self = new_pipeline(of, 0, false);
    for (int i = 0; i < 10; i++) {
        submit(self, (size_t)plan.in_flight);
        drain(self);
    }
    *kept = self->queue;
    self->queue = NULL;
    close_pipeline(self);
}

// Heap of clients that were used and rest, one connection each; what the library makes once is not counted.
static void at_rest(bool with_queue) {
    if (plan.keys < plan.batch) plan.batch = plan.keys; // a batch of large values is as long as there are keys
    bmemc_client *clients[CLIENTS_AT_REST + 1];
    bmemc_queue *queues[CLIENTS_AT_REST + 1] = {NULL};
    bench_usage from = bench_usage_now();
    for (int i = 0; i <= CLIENTS_AT_REST; i++) {
        if (i == 1) from = bench_usage_now();
        client = clients[i] = new_client("1");
        if (with_queue) exercise_queue(client, &queues[i]);
        else exercise_calls();
    }
    bench_usage to = bench_usage_now();
    long sockets = open_sockets() - 1; // the first client's
    for (int i = 0; i <= CLIENTS_AT_REST; i++) {
        bmemc_queue_free(queues[i]);
        bmemc_client_free(clients[i]);
    }
    bench_report(CLIENTS_AT_REST, &from, &to, sockets);
}

static void clients_at_rest(void) { at_rest(false); }
static void queues_at_rest(void) { at_rest(true); }

static const bench_case cases[] = {
    {"get", "bmemc_get_into; all threads on one client", prepare, open_caller, get, close_getter, finish, NULL},
    {"set", "bmemc_set", prepare, open_caller, set, close_caller, finish, NULL},
    {"get-many", "bmemc_get_many of --batch keys", prepare, open_caller, get_many, close_caller, finish, NULL},
    {"set-many", "bmemc_set_many of --batch keys", prepare, open_caller, set_many, close_caller, finish, NULL},
    {"queue-get", "gets by bmemc_queue_submit and bmemc_queue_fetch_into, --in-flight at once", prepare, open_gets, turn,
     close_pipeline, finish, NULL},
    {"queue-set", "sets, each acknowledged, the same way", prepare, open_sets, turn, close_pipeline, finish, NULL},
    {"memory", "heap of 64 clients of one connection, used and at rest", NULL, NULL, NULL, NULL, NULL, clients_at_rest},
    {"memory-queue", "the same for 64 queues, each with a client", NULL, NULL, NULL, NULL, NULL, queues_at_rest},
    {0}};

int main(int count, char **arguments) {
    return bench_main(count, arguments, cases, "                  here: any option of the library (docs/options.md)\n");
}
