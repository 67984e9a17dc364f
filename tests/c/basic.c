// basic.c: what a client is for, over one protocol to one server.
//
//   basic SERVER PROTOCOL             SERVER: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>

static bmemc_client *client;

// The value of a key, which must be there.
static void expect_value(bmemc_bytes key, bmemc_bytes value, uint32_t flags) {
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_get(client, key, &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    EXPECT(item && item->status == BMEMC_OK && item->flags == flags && same(item->value, value));
    bmemc_value_free(out);
}

static void expect_miss(bmemc_bytes key) {
    bmemc_value *out = (bmemc_value *)&key;
    STATUS(BMEMC_NOT_FOUND, bmemc_get(client, key, &out, e));
    EXPECT(out == NULL);
}

static void set_get_delete(void) {
    STATUS(BMEMC_OK, bmemc_set(client, key("a"), text("value"), 0, 60, e));
    expect_value(key("a"), text("value"), 0);
    STATUS(BMEMC_OK, bmemc_set(client, key("a"), text("another value"), 4294967295u, 0, e));
    expect_value(key("a"), text("another value"), 4294967295u);
    STATUS(BMEMC_OK, bmemc_delete(client, key("a"), e));
    STATUS(BMEMC_NOT_FOUND, bmemc_delete(client, key("a"), e));
    expect_miss(key("a"));
}

static void a_miss_is_no_failure(void) {
    uint8_t room[8];
    uint32_t flags = 7;
    size_t len = 7;
    memset(&error, 0x55, sizeof error);
    bmemc_error before = error;
    bmemc_value *out = NULL;
    EXPECT(bmemc_get(client, key("none"), &out, e) == BMEMC_NOT_FOUND);
    EXPECT(bmemc_get_into(client, key("none"), room, sizeof room, &len, &flags, e) == BMEMC_NOT_FOUND);
    EXPECT(len == 0 && flags == 0 && memcmp(&error, &before, sizeof error) == 0);
}

static void values_are_any_bytes(void) {
    uint8_t all[512];
    for (size_t i = 0; i < sizeof all; i++) all[i] = (uint8_t)(i * 7);
    STATUS(BMEMC_OK, bmemc_set(client, key("all"), bytes(all, sizeof all), 0, 60, e));
    expect_value(key("all"), bytes(all, sizeof all), 0);
    bmemc_bytes lines = text("\r\nEND\r\nVALUE x 0 1\r\n");
    STATUS(BMEMC_OK, bmemc_set(client, key("lines"), lines, 0, 60, e));
    expect_value(key("lines"), lines, 0);
    STATUS(BMEMC_OK, bmemc_set(client, key("empty"), bytes(NULL, 0), 9, 60, e));
    expect_value(key("empty"), text(""), 9);
}

static void values_of_every_size(void) {
    static const size_t sizes[] = {1, 100, 4095, 4096, 16383, 16384, 16385, 65536, 100000, 1000000};
    uint8_t *value = malloc(1000000), *room = malloc(1000000);
    for (size_t i = 0; i < 1000000; i++) value[i] = (uint8_t)(i * 31 + i / 256);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t flags = 0;
        size_t len = 0;
        bmemc_bytes expected = bytes(value + i, sizes[i] - (sizes[i] == 1000000 ? i : 0));
        STATUS(BMEMC_OK, bmemc_set(client, key("size"), expected, (uint32_t)i, 60, e));
        expect_value(key("size"), expected, (uint32_t)i);
        STATUS(BMEMC_OK, bmemc_get_into(client, key("size"), room, 1000000, &len, &flags, e));
        EXPECT(flags == i && same(bytes(room, len), expected));
    }
    STATUS(BMEMC_OK, bmemc_delete(client, key("size"), e));
    free(value);
    free(room);
}

static void ttl_below_zero_is_gone_at_once(void) {
    STATUS(BMEMC_OK, bmemc_set(client, key("gone"), text("v"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_set(client, key("gone"), text("v"), 0, -1, e));
    expect_miss(key("gone"));
}

static void ttl_beyond_thirty_days_is_from_now(void) {
    STATUS(BMEMC_OK, bmemc_set(client, key("long"), text("v"), 0, 60LL * 86400, e));
    expect_value(key("long"), text("v"), 0);
}

static void ttl_ends(void) {
    STATUS(BMEMC_OK, bmemc_set(client, key("short"), text("v"), 0, 1, e));
    sleep(3);
    expect_miss(key("short"));
}

// `count` keys, numbered; the caller frees the array and the text.
static bmemc_bytes *numbered(size_t count, char **words) {
    bmemc_bytes *keys = malloc(count * sizeof *keys);
    *words = malloc(count * 48);
    for (size_t i = 0; i < count; i++) {
        snprintf(*words + i * 48, 48, "bmemc-test:%d:many:%zu", (int)getpid(), i);
        keys[i] = text(*words + i * 48);
    }
    return keys;
}

static void many(size_t count) {
    char *words;
    size_t got = 0;
    bmemc_bytes *keys = numbered(count, &words);
    bmemc_results *results = NULL;
    // The keys are the values, too.
    STATUS(BMEMC_OK, bmemc_set_many(client, keys, keys, count, 5, 60, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &got);
    EXPECT(got == count);
    for (size_t i = 0; i < got; i++) EXPECT(items[i].status == BMEMC_OK);
    bmemc_results_free(results);

    for (size_t i = 0; i < count; i += 3) STATUS(BMEMC_OK, bmemc_delete(client, keys[i], e));
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, count, &results, e));
    items = bmemc_results_items(results, &got);
    EXPECT(got == count);
    for (size_t i = 0; i < got; i++) {
        int32_t status = i % 3 ? BMEMC_OK : BMEMC_NOT_FOUND;
        EXPECT(items[i].status == status && same(items[i].value, i % 3 ? keys[i] : text("")) && items[i].flags == (i % 3 ? 5 : 0));
    }
    bmemc_results_free(results);

    STATUS(BMEMC_OK, bmemc_delete_many(client, keys, count, &results, e));
    items = bmemc_results_items(results, &got);
    EXPECT(got == count);
    for (size_t i = 0; i < got; i++) EXPECT(items[i].status == (i % 3 ? BMEMC_OK : BMEMC_NOT_FOUND));
    bmemc_results_free(results);
    free(keys);
    free(words);
}

static void many_of_1(void) { many(1); }
static void many_of_100(void) { many(100); }
static void many_of_5000(void) { many(5000); }

static void the_same_key_twice(void) {
    bmemc_bytes keys[3] = {key("twice"), key("never"), key("twice")};
    bmemc_results *results = NULL;
    size_t count = 0;
    STATUS(BMEMC_OK, bmemc_set(client, key("twice"), text("v"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, 3, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 3 && same(items[0].value, text("v")) && same(items[2].value, text("v")));
    EXPECT(count == 3 && items[0].status == BMEMC_OK && items[1].status == BMEMC_NOT_FOUND && items[2].status == BMEMC_OK);
    bmemc_results_free(results);
}

static void many_large_values(void) {
    enum { COUNT = 40, SIZE = 60000 };
    bmemc_bytes keys[COUNT], values[COUNT];
    char words[COUNT][48];
    uint8_t *room = malloc(SIZE + COUNT);
    size_t count = 0;
    bmemc_results *results = NULL;
    for (size_t i = 0; i < SIZE + COUNT; i++) room[i] = (uint8_t)(i * 13 + i / 256);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(words[i], sizeof words[i], "bmemc-test:%d:large:%zu", (int)getpid(), i);
        keys[i] = text(words[i]);
        values[i] = bytes(room + i, SIZE);
    }
    STATUS(BMEMC_OK, bmemc_set_many(client, keys, values, COUNT, 0, 60, &results, e));
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, COUNT, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == COUNT);
    for (size_t i = 0; i < count; i++) EXPECT(items[i].status == BMEMC_OK && same(items[i].value, values[i]));
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_delete_many(client, keys, COUNT, &results, e));
    bmemc_results_free(results);
    free(room);
}

static void version_of_the_server(void) {
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_client_version(client, &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    EXPECT(item && item->value.len >= 3 && item->value.data[0] >= '0' && item->value.data[0] <= '9' && contains(item->value, "."));
    bmemc_value_free(out);
}

static bmemc_op operation(int32_t opcode, bmemc_bytes key) {
    bmemc_op op = {0};
    op.opcode = opcode;
    op.key = key;
    return op;
}

static void call(void) {
    bmemc_value *answer = NULL;
    bmemc_op set = operation(BMEMC_OP_SET, key("call"));
    set.value = text("value");
    set.flags = 3;
    set.ttl = 60;
    set.timeout_ms = 2000;
    STATUS(BMEMC_OK, bmemc_call(client, &set, &answer, e));
    EXPECT(bmemc_value_item(answer) && bmemc_value_item(answer)->value.len == 0);
    bmemc_value_free(answer);
    bmemc_op get = operation(BMEMC_OP_GET, key("call"));
    STATUS(BMEMC_OK, bmemc_call(client, &get, &answer, e));
    EXPECT(bmemc_value_item(answer) && same(bmemc_value_item(answer)->value, text("value")) && bmemc_value_item(answer)->flags == 3);
    bmemc_value_free(answer);
    bmemc_op delete_it = operation(BMEMC_OP_DELETE, key("call"));
    STATUS(BMEMC_OK, bmemc_call(client, &delete_it, &answer, e));
    bmemc_value_free(answer);
    STATUS(BMEMC_NOT_FOUND, bmemc_call(client, &delete_it, &answer, e));
    EXPECT(answer == NULL);
    STATUS(BMEMC_NOT_FOUND, bmemc_call(client, &get, &answer, e));
    EXPECT(answer == NULL);
}

static void execute_any_mix(void) {
    bmemc_op ops[7] = {
        operation(BMEMC_OP_SET, key("mix")),    operation(BMEMC_OP_GET, key("mix")), operation(BMEMC_OP_VERSION, text("")),
        operation(BMEMC_OP_DELETE, key("mix")), operation(BMEMC_OP_GET, key("mix")), operation(BMEMC_OP_DELETE, key("mix")),
        operation(BMEMC_OP_GET, key("other")),
    };
    static const int32_t expected[7] = {BMEMC_OK, BMEMC_OK, BMEMC_OK, BMEMC_OK, BMEMC_NOT_FOUND, BMEMC_NOT_FOUND, BMEMC_OK};
    bmemc_results *results = NULL;
    size_t count = 0;
    ops[0].value = text("mixed");
    ops[0].ttl = 60;
    STATUS(BMEMC_OK, bmemc_set(client, key("other"), text("else"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_execute(client, ops, 7, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 7);
    for (size_t i = 0; i < count; i++)
        if (items[i].status != expected[i]) complain(__FILE__, __LINE__, "execute", ": %zu: %s", i, bmemc_status_name(items[i].status));
    EXPECT(count == 7 && same(items[1].value, text("mixed")) && contains(items[2].value, ".") && same(items[6].value, text("else")));
    bmemc_results_free(results);
}

static void servers_are_listed(void) {
    bmemc_client *named = NULL;
    bmemc_options *options = bmemc_options_new();
    bmemc_results *results = NULL;
    size_t count = 0;
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(address), text("first"), 3, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &named, e));
    STATUS(BMEMC_OK, bmemc_client_servers(named, &results, e));
    bmemc_client_free(named);
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 1 && same(items[0].key, text("first")) && same(items[0].value, text(address)) && items[0].number == 3);
    bmemc_results_free(results);
    // Alone it may have any weight; the usual ring of several has none.
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text("[::1]:1"), text(""), 1, e));
    REFUSED(BMEMC_E_ARGUMENT, "has no weights", bmemc_client_new(options, &named, e));
    bmemc_options_free(options);
}

// A thread's own keys, through the one client; the result is how many calls went wrong.
static void *use(void *argument) {
    size_t wrong = 0;
    for (int round = 0; round < 300; round++) {
        char words[2][64];
        uint8_t room[64];
        size_t len = 0;
        snprintf(words[0], 64, "bmemc-test:%d:thread:%d", (int)getpid(), *(int *)argument);
        snprintf(words[1], 64, "%d in round %d", *(int *)argument, round);
        wrong += bmemc_set(client, text(words[0]), text(words[1]), 0, 60, NULL) != BMEMC_OK;
        wrong += bmemc_get_into(client, text(words[0]), room, sizeof room, &len, NULL, NULL) != BMEMC_OK;
        wrong += !same(bytes(room, len), text(words[1]));
    }
    return (void *)wrong;
}

static void one_client_many_threads(void) {
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        EXPECT(pthread_create(&threads[i], NULL, use, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        EXPECT(wrong == NULL);
    }
}

static void values_outlive_their_client(void) {
    bmemc_client *brief = client_of(address, NULL, NULL);
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_set(brief, key("outlive"), text("still here"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_get(brief, key("outlive"), &out, e));
    bmemc_client_free(brief);
    EXPECT(bmemc_value_item(out) && same(bmemc_value_item(out)->value, text("still here")));
    bmemc_value_free(out);
}

static void connections_are_dropped_and_opened_again(void) {
    STATUS(BMEMC_OK, bmemc_set(client, key("dropped"), text("value"), 0, 60, e));
    for (int i = 0; i < 3; i++) {
        STATUS(BMEMC_OK, bmemc_disconnect_all(client, e));
        expect_value(key("dropped"), text("value"), 0);
    }
}

static void a_closed_client_answers_closed(void) {
    bmemc_client *brief = client_of(address, NULL, NULL);
    STATUS(BMEMC_OK, bmemc_set(brief, key("closed"), text("value"), 0, 60, e));
    bmemc_client_close(brief);
    bmemc_client_close(brief);
    REFUSED(BMEMC_E_CLOSED, "closed", bmemc_set(brief, key("closed"), text("value"), 0, 60, e));
    bmemc_client_free(brief);
}

static int connected, ended, badly;

static void on_event(const bmemc_event *event, void *context) {
    connected += event->kind == BMEMC_EVENT_CONNECTED && event->status == BMEMC_OK;
    ended += event->kind == BMEMC_EVENT_CLOSED && event->status == BMEMC_E_CLOSED && contains(event->message, "closed");
    badly += context != &badly || !contains(event->message, address) || event->server != 0;
}

static void counters_and_events(void) {
    bmemc_client *own = NULL;
    bmemc_options *options = bmemc_options_new();
    bmemc_counters counters;
    uint8_t room[8];
    size_t len = 0;
    STATUS(BMEMC_OK, bmemc_options_set(options, text("protocol"), text(protocol), e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(address), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_options_on_event(options, on_event, &badly, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &own, e));
    bmemc_options_free(options);
    EXPECT(connected == 0);
    STATUS(BMEMC_OK, bmemc_set(own, key("counted"), text("v"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_get_into(own, key("counted"), room, 8, &len, NULL, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_get_into(own, key("none"), room, 8, &len, NULL, e));
    EXPECT(connected == 1 && ended == 0);
    memset(&counters, 0x55, sizeof counters);
    STATUS(BMEMC_OK, bmemc_client_counters(own, 0, &counters, e));
    EXPECT(counters.operations == 3 && counters.hits == 1 && counters.misses == 1 && counters.failures == 0);
    EXPECT(counters.connects == 1 && counters.disconnects == 0 && counters.batches == 3);
    for (size_t i = 0; i < sizeof counters.reserved / sizeof *counters.reserved; i++) EXPECT(counters.reserved[i] == 0);
    REFUSED(BMEMC_E_ARGUMENT, "server", bmemc_client_counters(own, 1, &counters, e));
    REFUSED(BMEMC_E_ARGUMENT, "server", bmemc_client_counters(own, -2, &counters, e));
    EXPECT(counters.operations == 0);
    bmemc_client_close(own);
    EXPECT(ended == 1 && badly == 0);
    STATUS(BMEMC_OK, bmemc_client_counters(own, -1, &counters, e));
    EXPECT(counters.operations == 3 && counters.disconnects == 1);
    bmemc_client_free(own);
    EXPECT(connected == 1 && ended == 1 && badly == 0);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: basic SERVER PROTOCOL\n"), 2;
    bmemc_server *server = server_of(argv[1]);
    protocol = argv[2];
    client = client_of(address, NULL, NULL);
    RUN(set_get_delete);
    RUN(a_miss_is_no_failure);
    RUN(values_are_any_bytes);
    RUN(values_of_every_size);
    RUN(ttl_below_zero_is_gone_at_once);
    RUN(ttl_beyond_thirty_days_is_from_now);
    RUN(ttl_ends);
    RUN(many_of_1);
    RUN(many_of_100);
    RUN(many_of_5000);
    RUN(the_same_key_twice);
    RUN(many_large_values);
    RUN(version_of_the_server);
    RUN(call);
    RUN(execute_any_mix);
    RUN(servers_are_listed);
    RUN(one_client_many_threads);
    RUN(values_outlive_their_client);
    RUN(connections_are_dropped_and_opened_again);
    RUN(a_closed_client_answers_closed);
    RUN(counters_and_events);
    bmemc_client_free(client);
    bmemc_server_free(server);
    return finish();
}
