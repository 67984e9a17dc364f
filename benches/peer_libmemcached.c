// The peer: libmemcached, used as its documentation says and tuned as well as it can be (TCP_NODELAY, results reused,
// its own pool for threads). --option sets any of the behaviours named below, so that a better tuning can be tried.
#include "common.h"
#include <libmemcached-1.0/memcached.h>
#include <libmemcachedutil-1.0/util.h>

static const struct { const char *name; memcached_behavior_t behavior; } behaviors[] = {
    {"tcp_nodelay", MEMCACHED_BEHAVIOR_TCP_NODELAY}, {"no_block", MEMCACHED_BEHAVIOR_NO_BLOCK},
    {"buffer_requests", MEMCACHED_BEHAVIOR_BUFFER_REQUESTS}, {"noreply", MEMCACHED_BEHAVIOR_NOREPLY},
    {"poll_timeout", MEMCACHED_BEHAVIOR_POLL_TIMEOUT}, {"socket_send_size", MEMCACHED_BEHAVIOR_SOCKET_SEND_SIZE},
    {"socket_recv_size", MEMCACHED_BEHAVIOR_SOCKET_RECV_SIZE}, {"verify_key", MEMCACHED_BEHAVIOR_VERIFY_KEY}};

typedef struct {
    memcached_st *client; // NULL where the pool is used
    uint64_t next;
    uint8_t *value;
    const char **keys;
    size_t *lengths;
    memcached_result_st result;
} worker;

static memcached_st *master;
static memcached_pool_st *pool;

static void must(memcached_return_t code, const char *what) {
    if (memcached_failed(code)) fail("%s: %s", what, memcached_strerror(NULL, code));
}

static void set_option(memcached_st *client, const char *option) {
    const char *equals = strchr(option, '=');
    for (size_t i = 0; i < sizeof behaviors / sizeof *behaviors; i++)
        if (strlen(behaviors[i].name) == (size_t)(equals - option) && !strncmp(option, behaviors[i].name, (size_t)(equals - option))) {
            must(memcached_behavior_set(client, behaviors[i].behavior, strtoull(equals + 1, NULL, 10)), option);
            return;
        }
    fail("--option %s: unknown here; --help names them", option);
}

static memcached_st *new_client(void) {
    memcached_st *client = memcached_create(NULL);
    if (!client) fail("memcached_create");
    if (plan.wire && !strcmp(plan.wire, "meta")) fail("libmemcached does not speak meta");
    must(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1), "TCP_NODELAY");
    if (plan.wire && !strcmp(plan.wire, "binary"))
        must(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1), "BINARY_PROTOCOL");
    for (int i = 0; i < plan.option_count; i++) set_option(client, plan.options[i]);
    const char *path = strncmp(plan.server, "unix:", 5) ? plan.server : plan.server + 5;
    char host[256];
    const char *colon = strrchr(plan.server, ':');
    if (*path == '/') {
        must(memcached_server_add_unix_socket(client, path), plan.server);
    } else {
        if (!colon || (size_t)(colon - plan.server) >= sizeof host) fail("server \"%s\" is not host:port or /path", plan.server);
        snprintf(host, sizeof host, "%.*s", (int)(colon - plan.server), plan.server);
        must(memcached_server_add(client, host, (in_port_t)atoi(colon + 1)), plan.server);
    }
    return client;
}

// One thread has a client of its own; several share a pool with as many clients as threads.
static void prepare(void) {
    if (plan.threads == 1) return;
    master = new_client();
    pool = memcached_pool_create(master, (uint32_t)plan.threads, (uint32_t)plan.threads);
    if (!pool) fail("memcached_pool_create for %ld threads", plan.threads);
}

static void finish(void) {
    if (!pool) return;
    memcached_pool_destroy(pool);
    memcached_free(master);
}

static void *open_worker(long thread) {
    worker *self = must_allocate(sizeof *self);
    self->client = pool ? NULL : new_client();
    self->next = (uint64_t)thread * 37;
    self->value = must_allocate(plan.value);
    value_make(self->value, key_at(0));
    self->keys = must_allocate((size_t)plan.batch * sizeof *self->keys);
    self->lengths = must_allocate((size_t)plan.batch * sizeof *self->lengths);
    if (self->client) memcached_result_create(self->client, &self->result);
    return self;
}

static void close_worker(void *state) {
    worker *self = state;
    if (self->client) {
        memcached_result_free(&self->result);
        memcached_free(self->client);
    }
    free(self->value);
    free(self->keys);
    free(self->lengths);
    free(self);
}

static memcached_st *borrow(worker *self) {
    if (self->client) return self->client;
    memcached_return_t code;
    memcached_st *client = memcached_pool_pop(pool, true, &code);
    if (!client) fail("memcached_pool_pop: %s", memcached_strerror(NULL, code));
    return client;
}

static void give_back(worker *self, memcached_st *client) {
    if (!self->client) must(memcached_pool_push(pool, client), "memcached_pool_push");
}

static uint64_t get(void *state) {
    worker *self = state;
    const char *key = key_at(self->next++);
    size_t length = 0;
    uint32_t flags = 0;
    memcached_return_t code;
    memcached_st *client = borrow(self);
    char *value = memcached_get(client, key, KEY_LENGTH, &length, &flags, &code);
    give_back(self, client);
    if (code != MEMCACHED_SUCCESS) fail("get %s: %s", key, memcached_strerror(NULL, code));
    value_check(value, length, key);
    free(value);
    return 1;
}

static uint64_t set(void *state) {
    worker *self = state;
    const char *key = key_at(self->next++);
    memcpy(self->value, key, plan.value < KEY_LENGTH ? plan.value : KEY_LENGTH);
    memcached_st *client = borrow(self);
    must(memcached_set(client, key, KEY_LENGTH, (char *)self->value, plan.value, 0, 0), "set");
    give_back(self, client);
    return 1;
}

static uint64_t get_many(void *state) {
    worker *self = state;
    if (!self->client) fail("get-many is for one thread");
    for (long i = 0; i < plan.batch; i++) {
        self->keys[i] = key_at(self->next++);
        self->lengths[i] = KEY_LENGTH;
    }
    must(memcached_mget(self->client, self->keys, self->lengths, (size_t)plan.batch), "mget");
    memcached_return_t code;
    long got = 0;
    while (memcached_fetch_result(self->client, &self->result, &code)) {
        value_check(memcached_result_value(&self->result), memcached_result_length(&self->result), memcached_result_key_value(&self->result));
        got++;
    }
    if (got != plan.batch) fail("mget: %ld of %ld values: %s", got, plan.batch, memcached_strerror(NULL, code));
    return (uint64_t)got;
}

static const bench_case cases[] = {
    {"get", "memcached_get; with several threads through memcached_pool", prepare, open_worker, get, close_worker, finish, NULL},
    {"set", "memcached_set; with several threads through memcached_pool", prepare, open_worker, set, close_worker, finish, NULL},
    {"get-many", "memcached_mget and memcached_fetch_result", prepare, open_worker, get_many, close_worker, finish, NULL},
    {0}};

int main(int count, char **arguments) {
    return bench_main(count, arguments, cases,
                      "                  here: tcp_nodelay no_block buffer_requests noreply poll_timeout\n"
                      "                  socket_send_size socket_recv_size verify_key, each a number\n");
}
