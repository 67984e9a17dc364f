// servers.c: a client of several servers, which are embedded: by calls that wait and by a queue. It takes no arguments.

#define _GNU_SOURCE
#include "check.h"

#define SERVERS 3
#define KEYS 30

static bmemc_server *servers[SERVERS];
static char names[KEYS][32];

// A client of the first `count` servers.
static bmemc_client *client_of_some(size_t first, size_t count, const char *mode) {
    bmemc_client *client = NULL;
    bmemc_options *options = bmemc_options_new();
    STATUS(BMEMC_OK, bmemc_options_set(options, text("timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("connect_timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("mode"), text(mode), e));
    for (size_t i = first; i < first + count; i++)
        STATUS(BMEMC_OK, bmemc_options_add_server(options, text(bmemc_server_address(servers[i])), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    return client;
}

static bmemc_op op_of(int32_t opcode, const char *key) {
    bmemc_op op;
    memset(&op, 0, sizeof op);
    op.opcode = opcode;
    op.key = text(key);
    return op;
}

// The server that has a key.
static uint32_t owner_of(const bmemc_client *client, const char *key) {
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_client_server_for(client, text(key), &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    uint32_t index = item ? item->server : 99;
    EXPECT(index < SERVERS && same(item->key, text(bmemc_server_address(servers[index]))) && item->number == 1);
    bmemc_value_free(out);
    return index;
}

static void keys_are_shared_by_calls_that_wait(void) {
    bmemc_client *client = client_of_some(0, SERVERS, "auto");
    bmemc_bytes keys[KEYS], values[KEYS];
    for (int i = 0; i < KEYS; i++) keys[i] = values[i] = text(names[i]);
    bmemc_results *results = NULL;
    STATUS(BMEMC_OK, bmemc_set_many(client, keys, values, KEYS, 5, 0, &results, e));
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, KEYS, &results, e));
    size_t count = 0;
    const bmemc_item *items = bmemc_results_items(results, &count);
    unsigned seen = 0;
    EXPECT(count == KEYS);
    for (size_t i = 0; i < count; i++) {
        uint32_t owner = owner_of(client, names[i]);
        seen |= 1u << owner;
        EXPECT(items[i].status == BMEMC_OK && items[i].server == owner && same(items[i].value, values[i]));
    }
    EXPECT(seen == 7);
    bmemc_results_free(results);
    // The statistics of all, each with its server.
    int there = 0;
    STATUS(BMEMC_OK, bmemc_client_stats(client, text(""), &results, e));
    items = bmemc_results_items(results, &count);
    seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (!same(items[i].key, text("curr_items"))) continue;
        seen |= 1u << items[i].server;
        char number[16];
        snprintf(number, sizeof number, "%.*s", (int)items[i].value.len, (const char *)items[i].value.data);
        there += atoi(number);
    }
    EXPECT(seen == 7 && there == KEYS);
    bmemc_results_free(results);
    bmemc_counters counters;
    for (int32_t i = 0; i < SERVERS; i++) {
        STATUS(BMEMC_OK, bmemc_client_counters(client, i, &counters, e));
        EXPECT(counters.operations > 0);
    }
    bmemc_client_free(client);
}

static void keys_are_shared_by_a_queue(void) {
    bmemc_client *client = client_of_some(0, SERVERS, "hashed");
    bmemc_queue *queue = NULL;
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    bmemc_op ops[KEYS];
    bmemc_answer answers[KEYS];
    for (int i = 0; i < KEYS; i++) {
        ops[i] = op_of(BMEMC_OP_SET, names[i]);
        ops[i].value = text(names[i]);
        ops[i].tag = (uint64_t)i;
    }
    for (int round = 0; round < 2; round++) {
        size_t accepted = 0, seen = 0, count = 0;
        STATUS(BMEMC_OK, bmemc_queue_submit(queue, client, ops, KEYS, &accepted, e));
        EXPECT(accepted == KEYS);
        while (bmemc_queue_fetch(queue, answers, KEYS, -1, &count, e) == BMEMC_OK && count > 0) {
            for (size_t i = 0; i < count; i++, seen++) {
                const char *name = names[answers[i].tag];
                EXPECT(answers[i].item.status == BMEMC_OK && answers[i].item.server == owner_of(client, name));
                EXPECT(round == 0 || same(answers[i].item.value, text(name)));
                bmemc_value_free(answers[i].owner);
            }
        }
        EXPECT(seen == KEYS);
        for (int i = 0; i < KEYS; i++) ops[i].opcode = BMEMC_OP_GET, ops[i].value = text("");
    }
    bmemc_queue_free(queue);
    bmemc_client_free(client);
}

static void servers_come_and_go(void) {
    bmemc_client *client = client_of_some(0, 1, "hashed");
    const char *second = bmemc_server_address(servers[1]);
    STATUS(BMEMC_OK, bmemc_client_add_server(client, text(second), text("b"), 1, e));
    REFUSED(BMEMC_E_ARGUMENT, "\"b\"", bmemc_client_add_server(client, text("127.0.0.1:1"), text("b"), 1, e));
    REFUSED(BMEMC_E_ARGUMENT, "weight 0", bmemc_client_add_server(client, text(second), text("c"), 0, e));
    REFUSED(BMEMC_E_ARGUMENT, "host:99999", bmemc_client_add_server(client, text("host:99999"), text("c"), 1, e));
    bmemc_results *results = NULL;
    size_t count = 0;
    STATUS(BMEMC_OK, bmemc_client_servers(client, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 2 && items[0].server == 0 && items[1].server == 1 && same(items[1].key, text("b")));
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_client_remove_server(client, text(bmemc_server_address(servers[0])), e));
    STATUS(BMEMC_NOT_FOUND, bmemc_client_remove_server(client, text("b0"), e));
    bmemc_op op = op_of(BMEMC_OP_VERSION, "");
    op.server = 1;
    bmemc_value *answer = NULL;
    REFUSED(BMEMC_E_ARGUMENT, "server 0: the client has 1", bmemc_call(client, &op, &answer, e));
    bmemc_options *options = bmemc_options_new();
    for (int i = 0; i < SERVERS; i++)
        STATUS(BMEMC_OK, bmemc_options_add_server(options, text(bmemc_server_address(servers[i])), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_client_replace_servers(client, options, e));
    STATUS(BMEMC_OK, bmemc_client_servers(client, &results, e));
    bmemc_results_items(results, &count);
    EXPECT(count == SERVERS);
    bmemc_results_free(results);
    REFUSED(BMEMC_E_ARGUMENT, "client is NULL", bmemc_client_replace_servers(NULL, options, e));
    REFUSED(BMEMC_E_ARGUMENT, "options is NULL", bmemc_client_replace_servers(client, NULL, e));
    bmemc_options_free(options);
    bmemc_client_free(client);
    client = client_of_some(0, 1, "auto");
    REFUSED(BMEMC_E_UNSUPPORTED, "mode=hashed", bmemc_client_add_server(client, text(second), text(""), 1, e));
    REFUSED(BMEMC_E_UNSUPPORTED, "mode=hashed", bmemc_client_remove_server(client, text(second), e));
    bmemc_client_free(client);
}

static void each_server_tells_its_own_result(void) {
    bmemc_client *client = client_of_some(0, SERVERS, "replicated"), *one = client_of_some(1, 1, "auto");
    STATUS(BMEMC_OK, bmemc_set(client, text("k"), text("v"), 0, 0, e));
    STATUS(BMEMC_OK, bmemc_delete(one, text("k"), e));
    bmemc_op op = op_of(BMEMC_OP_DELETE, "k");
    bmemc_results *results = NULL;
    size_t count = 0;
    STATUS(BMEMC_OK, bmemc_execute_each(client, &op, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 3 && items[0].status == BMEMC_OK && items[1].status == BMEMC_NOT_FOUND && items[2].status == BMEMC_OK);
    for (size_t i = 0; i < count; i++) EXPECT(items[i].server == i);
    bmemc_results_free(results);
    bmemc_value *answer = NULL;
    STATUS(BMEMC_OK, bmemc_set(one, text("k"), text("v"), 0, 0, e));
    STATUS(BMEMC_OK, bmemc_call(client, &op, &answer, e));
    EXPECT(bmemc_value_item(answer)->bits & BMEMC_BIT_PARTLY);
    bmemc_value_free(answer);
    op.cas = 1;
    REFUSED(BMEMC_E_UNSUPPORTED, "replicated", bmemc_call(client, &op, &answer, e));
    REFUSED(BMEMC_E_ARGUMENT, "client is NULL", bmemc_execute_each(NULL, &op, &results, e));
    REFUSED(BMEMC_E_ARGUMENT, "op is NULL", bmemc_execute_each(client, NULL, &results, e));
    REFUSED(BMEMC_E_ARGUMENT, "answers is NULL", bmemc_execute_each(client, &op, NULL, e));
    bmemc_client_free(one);
    bmemc_client_free(client);
}

// By a queue: an operation for each, which names it.
static void each_server_tells_its_own_result_to_a_queue(void) {
    bmemc_client *client = client_of_some(0, SERVERS, "replicated"), *one = client_of_some(1, 1, "auto");
    bmemc_queue *queue = NULL;
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    STATUS(BMEMC_OK, bmemc_set(client, text("k"), text("v"), 0, 0, e));
    STATUS(BMEMC_OK, bmemc_set(one, text("k"), text("other"), 0, 0, e));
    for (int round = 0; round < 2; round++) {
        bmemc_op ops[SERVERS];
        for (uint32_t i = 0; i < SERVERS; i++) {
            ops[i] = op_of(round == 0 ? BMEMC_OP_GET : BMEMC_OP_DELETE, "k");
            ops[i].tag = i;
            ops[i].server = i + 1;
        }
        size_t accepted = 0, count = 0, seen = 0;
        STATUS(BMEMC_OK, bmemc_queue_submit(queue, client, ops, SERVERS, &accepted, e));
        bmemc_answer answers[SERVERS];
        while (bmemc_queue_fetch(queue, answers, SERVERS, -1, &count, e) == BMEMC_OK && count > 0) {
            for (size_t i = 0; i < count; i++, seen++) {
                const bmemc_item *item = &answers[i].item;
                const char *value = item->server == 1 ? "other" : "v";
                EXPECT(item->status == (round == 1 && item->server == 1 ? BMEMC_NOT_FOUND : BMEMC_OK));
                EXPECT(item->server == answers[i].tag && (round == 1 || same(item->value, text(value))));
                bmemc_value_free(answers[i].owner);
            }
        }
        EXPECT(seen == SERVERS);
        if (round == 0) STATUS(BMEMC_OK, bmemc_delete(one, text("k"), e));
    }
    bmemc_queue_free(queue);
    bmemc_client_free(one);
    bmemc_client_free(client);
}

static void a_fallback_client_outlives_its_clients(void) {
    bmemc_client *clients[2] = {client_of_some(0, 1, "auto"), client_of_some(1, 2, "hashed")}, *fallback = NULL;
    STATUS(BMEMC_OK, bmemc_set(clients[1], text("old"), text("value"), 9, 0, e));
    STATUS(BMEMC_OK, bmemc_client_new_fallback((const bmemc_client *const *)clients, 2, &fallback, e));
    bmemc_client_free(clients[0]);
    bmemc_client_free(clients[1]);
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_get(fallback, text("old"), &out, e));
    EXPECT(out && same(bmemc_value_item(out)->value, text("value")) && bmemc_value_item(out)->flags == 9);
    bmemc_value_free(out);
    STATUS(BMEMC_NOT_FOUND, bmemc_get(fallback, text("nowhere"), &out, e));
    REFUSED(BMEMC_E_UNSUPPORTED, "mode=hashed", bmemc_client_add_server(fallback, text("::1"), text(""), 1, e));
    bmemc_client_close(fallback);
    STATUS(BMEMC_E_CLOSED, bmemc_get(fallback, text("old"), &out, e));
    bmemc_client_free(fallback);
    const bmemc_client *none[1] = {NULL};
    REFUSED(BMEMC_E_ARGUMENT, "clients[0] is NULL", bmemc_client_new_fallback(none, 1, &fallback, e));
    REFUSED(BMEMC_E_ARGUMENT, "clients is NULL", bmemc_client_new_fallback(NULL, 1, &fallback, e));
    REFUSED(BMEMC_E_ARGUMENT, "needs a client", bmemc_client_new_fallback(none, 0, &fallback, e));
    REFUSED(BMEMC_E_ARGUMENT, "out is NULL", bmemc_client_new_fallback(none, 1, NULL, e));
    REFUSED(BMEMC_E_ARGUMENT, "client is NULL", bmemc_client_server_for(NULL, text("k"), &out, e));
}

int main(void) {
    for (int i = 0; i < SERVERS; i++) {
        if (bmemc_server_start(text(""), &servers[i], &error) != BMEMC_OK) {
            printf("  the embedded server does not start: %s\n", error.message);
            return 1;
        }
    }
    for (int i = 0; i < KEYS; i++) snprintf(names[i], sizeof names[i], "key:%d", i);
    RUN(keys_are_shared_by_calls_that_wait);
    RUN(keys_are_shared_by_a_queue);
    RUN(servers_come_and_go);
    RUN(each_server_tells_its_own_result);
    RUN(each_server_tells_its_own_result_to_a_queue);
    RUN(a_fallback_client_outlives_its_clients);
    for (int i = 0; i < SERVERS; i++) bmemc_server_free(servers[i]);
    return finish();
}
