// commands.c: every command that the header has a function for, over one protocol to one server.
//
//   commands SERVER PROTOCOL          SERVER: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"

static bmemc_client *client;

static int is_protocol(const char *name) {
    return strcmp(protocol, name) == 0;
}

// The item of a key with its cas, which must be there and have this value; its cas.
static uint64_t expect_value(bmemc_bytes key, const char *value) {
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_gets(client, key, &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    EXPECT(item && same(item->value, text(value)) && item->cas != 0);
    uint64_t cas = item ? item->cas : 0;
    bmemc_value_free(out);
    return cas;
}

static void conditions_hold_or_not(void) {
    STATUS(BMEMC_NOT_STORED, bmemc_replace(client, key("c"), text("v"), 0, 60, e));
    STATUS(BMEMC_NOT_STORED, bmemc_append(client, key("c"), text("v"), e));
    STATUS(BMEMC_NOT_STORED, bmemc_prepend(client, key("c"), text("v"), e));
    STATUS(BMEMC_OK, bmemc_add(client, key("c"), text("one"), 7, 60, e));
    STATUS(BMEMC_NOT_STORED, bmemc_add(client, key("c"), text("two"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_replace(client, key("c"), text("three"), 7, 60, e));
    STATUS(BMEMC_OK, bmemc_append(client, key("c"), text(">"), e));
    STATUS(BMEMC_OK, bmemc_prepend(client, key("c"), text("<"), e));
    expect_value(key("c"), "<three>");
    STATUS(BMEMC_OK, bmemc_delete(client, key("c"), e));
}

static void compare_and_swap(void) {
    STATUS(BMEMC_NOT_FOUND, bmemc_cas(client, key("s"), text("v"), 0, 60, 12345, e));
    STATUS(BMEMC_OK, bmemc_set(client, key("s"), text("one"), 0, 60, e));
    uint64_t cas = expect_value(key("s"), "one");
    STATUS(BMEMC_EXISTS, bmemc_cas(client, key("s"), text("two"), 0, 60, cas + 1, e));
    STATUS(BMEMC_OK, bmemc_cas(client, key("s"), text("two"), 0, 60, cas, e));
    STATUS(BMEMC_EXISTS, bmemc_cas(client, key("s"), text("three"), 0, 60, cas, e));
    EXPECT(expect_value(key("s"), "two") != cas);
    REFUSED(BMEMC_E_ARGUMENT, "cas is 0", bmemc_cas(client, key("s"), text("v"), 0, 60, 0, e));
    STATUS(BMEMC_OK, bmemc_delete(client, key("s"), e));
}

static void compare_and_swap_many(void) {
    bmemc_bytes keys[] = {key("m1"), key("m2"), key("m3"), key("m4"), {NULL, 3}}, values[] = {text("1"), text("2"), text("3"), text("4"), text("5")};
    STATUS(BMEMC_OK, bmemc_set(client, keys[0], text("old"), 7, 60, e));
    STATUS(BMEMC_OK, bmemc_set(client, keys[1], text("old"), 7, 60, e));
    uint64_t cas[] = {expect_value(keys[0], "old"), expect_value(keys[1], "old") + 1, 12345, 0, 1};
    bmemc_results *results = NULL;
    size_t count = 0;
    STATUS(BMEMC_OK, bmemc_cas_many(client, keys, values, cas, 5, 5, 60, &results, e));
    const bmemc_item *item = bmemc_results_items(results, &count);
    const bmemc_status wanted[] = {BMEMC_OK, BMEMC_EXISTS, BMEMC_NOT_FOUND, BMEMC_E_ARGUMENT, BMEMC_E_ARGUMENT};
    EXPECT(count == 5);
    for (size_t i = 0; i < count; i++) EXPECT(item[i].status == (int32_t)wanted[i]);
    EXPECT(contains(item[3].detail, "cas is 0") && contains(item[4].detail, "data is NULL"));
    // The new cas is there to go on with, where the protocol tells it.
    EXPECT(item[0].cas == (is_protocol("text") ? 0 : expect_value(keys[0], "1")) && item[0].cas != cas[0]);
    expect_value(keys[0], "1");
    expect_value(keys[1], "old");
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_cas_many(client, NULL, NULL, NULL, 0, 0, 0, &results, e));
    bmemc_results_free(results);
    REFUSED(BMEMC_E_ARGUMENT, "cas is NULL", bmemc_cas_many(client, keys, values, NULL, 1, 0, 0, &results, e));
    REFUSED(BMEMC_E_ARGUMENT, "values is NULL", bmemc_cas_many(client, keys, NULL, cas, 1, 0, 0, &results, e));
    EXPECT(results == NULL);
    for (int i = 0; i < 2; i++) STATUS(BMEMC_OK, bmemc_delete(client, keys[i], e));
}

static void times_to_live(void) {
    bmemc_value *out = NULL;
    STATUS(BMEMC_NOT_FOUND, bmemc_touch(client, key("t"), 60, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_get_and_touch(client, key("t"), 60, &out, e));
    EXPECT(out == NULL);
    STATUS(BMEMC_OK, bmemc_set(client, key("t"), text("v"), 5, 60, e));
    STATUS(BMEMC_OK, bmemc_get_and_touch(client, key("t"), 1000, &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    EXPECT(item && same(item->value, text("v")) && item->flags == 5);
    bmemc_value_free(out);
    STATUS(BMEMC_OK, bmemc_touch(client, key("t"), -1, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_get(client, key("t"), &out, e));
}

static void counters(void) {
    uint64_t number = 7;
    STATUS(BMEMC_NOT_FOUND, bmemc_increment(client, key("n"), 1, &number, e));
    EXPECT(number == 0);
    STATUS(BMEMC_OK, bmemc_set(client, key("n"), text("18446744073709551615"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_increment(client, key("n"), 2, &number, e));
    EXPECT(number == 1);
    STATUS(BMEMC_OK, bmemc_increment(client, key("n"), 99, &number, e));
    EXPECT(number == 100);
    STATUS(BMEMC_OK, bmemc_decrement(client, key("n"), 1, &number, e));
    EXPECT(number == 99);
    STATUS(BMEMC_OK, bmemc_decrement(client, key("n"), 1000, &number, e));
    EXPECT(number == 0);
    STATUS(BMEMC_OK, bmemc_set(client, key("n"), text("abc"), 0, 60, e));
    number = 7;
    STATUS(BMEMC_E_CLIENT_ERROR, bmemc_increment(client, key("n"), 1, &number, e));
    EXPECT(number == 0 && strstr(error.message, "incr") != NULL);
    REFUSED(BMEMC_E_ARGUMENT, "out", bmemc_increment(client, key("n"), 1, NULL, e));
    STATUS(BMEMC_OK, bmemc_delete(client, key("n"), e));
}

static void a_counter_is_created(void) {
    bmemc_value *answer = NULL;
    bmemc_op op;
    memset(&op, 0, sizeof op);
    op.opcode = BMEMC_OP_INCREMENT, op.key = key("new"), op.delta = 5, op.initial = 40, op.ttl = 60;
    op.op_flags = BMEMC_FLAG_CREATE | BMEMC_FLAG_WANT_CAS;
    if (is_protocol("text")) {
        REFUSED(BMEMC_E_UNSUPPORTED, "add", bmemc_call(client, &op, &answer, e));
        return;
    }
    for (uint64_t expected = 40; expected <= 50; expected += 5) {
        STATUS(BMEMC_OK, bmemc_call(client, &op, &answer, e));
        const bmemc_item *item = bmemc_value_item(answer);
        EXPECT(item && item->number == expected && item->cas != 0);
        bmemc_value_free(answer);
    }
    STATUS(BMEMC_OK, bmemc_delete(client, key("new"), e));
}

// The value of a statistic, NULL where there is none.
static const bmemc_item *statistic(const bmemc_results *results, const char *name) {
    size_t count = 0;
    const bmemc_item *items = bmemc_results_items(results, &count);
    for (size_t i = 0; i < count; i++)
        if (same(items[i].key, text(name))) return &items[i];
    return NULL;
}

static void statistics(void) {
    bmemc_results *results = NULL;
    STATUS(BMEMC_OK, bmemc_client_stats(client, text(""), &results, e));
    const bmemc_item *version = statistic(results, "version");
    EXPECT(version && version->value.len > 2 && version->value.data[0] == '1' && version->server == 0);
    EXPECT(statistic(results, "curr_items") && !statistic(results, "none"));
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_client_stats(client, text("settings"), &results, e));
    EXPECT(statistic(results, "maxbytes") && !statistic(results, "curr_items"));
    bmemc_results_free(results);
    REFUSED(BMEMC_E_UNKNOWN_COMMAND, "stats \"bogus\"", bmemc_client_stats(client, text("bogus"), &results, e));
    EXPECT(results == NULL);
    REFUSED(BMEMC_E_ARGUMENT, "stats", bmemc_client_stats(client, text("a\r\nflush_all"), &results, e));
    STATUS(BMEMC_OK, bmemc_stats_items(text("a 1\nb two words\nblank \n"), &results, e));
    EXPECT(same(statistic(results, "b")->value, text("two words")) && statistic(results, "blank")->value.len == 0);
    bmemc_results_free(results);
    REFUSED(BMEMC_E_ARGUMENT, "NULL", bmemc_stats_items(bytes(NULL, 3), &results, e));
    STATUS(BMEMC_OK, bmemc_metadump_items(text("key=a%20b exp=-1 la=1 cas=7 fetch=yes cls=1 size=64\n\nodd\n"), &results, e));
    size_t count = 0;
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 1 && same(items[0].key, text("a b")) && items[0].cas == 7 && items[0].size == 64 && items[0].ttl == -1);
    bmemc_results_free(results);
    REFUSED(BMEMC_E_ARGUMENT, "NULL", bmemc_metadump_items(bytes(NULL, 3), &results, e));
}

struct dump {
    size_t seen;
    int found;
    bmemc_bytes wanted;
};

static int32_t each_item(const bmemc_item *item, void *context) {
    struct dump *dump = context;
    dump->seen++;
    if (!same(item->key, dump->wanted)) return 0;
    dump->found += item->ttl > 0 && item->ttl <= 60 && item->size > 3 && item->cas != 0 && contains(item->detail, "exp=");
    return 0;
}

static int32_t first_item(const bmemc_item *item, void *context) {
    ((struct dump *)context)->seen += item->key.len > 0;
    return 1;
}

// memcached crawls for one at a time, and a while longer than whoever asked for it listens.
static bmemc_status metadump(const char *classes, bmemc_metadump_callback callback, struct dump *dump) {
    bmemc_status status = BMEMC_OK;
    for (int tries = 0; tries < 500; tries++) {
        status = bmemc_metadump(client, text(classes), callback, dump, e);
        if (status != BMEMC_E_SERVER_ERROR || !strstr(error.message, "BUSY")) break;
        usleep(20000);
    }
    return status;
}

static void keys_are_listed(void) {
    struct dump dump = {0, 0, key("d")};
    STATUS(BMEMC_OK, bmemc_set(client, key("d"), text("v"), 0, 60, e));
    if (is_protocol("binary")) {
        REFUSED(BMEMC_E_UNSUPPORTED, "text has", bmemc_metadump(client, text(""), each_item, &dump, e));
        return;
    }
    // memcached leaves out an item that somebody else holds at that moment, its own threads too.
    for (int tries = 0; tries < 100 && dump.found == 0; tries++) STATUS(BMEMC_OK, metadump("", each_item, &dump));
    EXPECT(dump.seen >= 1 && dump.found == 1);
    dump.seen = 0;
    STATUS(BMEMC_OK, metadump("all", first_item, &dump));
    EXPECT(dump.seen == 1);
    STATUS(BMEMC_E_CLIENT_ERROR, metadump("999", each_item, &dump));
    EXPECT(strstr(error.message, "BADCLASS") != NULL);
    REFUSED(BMEMC_E_ARGUMENT, "metadump", bmemc_metadump(client, text("a b"), each_item, &dump, e));
    REFUSED(BMEMC_E_ARGUMENT, "callback", bmemc_metadump(client, text(""), NULL, &dump, e));
    STATUS(BMEMC_OK, bmemc_delete(client, key("d"), e));
}

static bmemc_status meta(const char *command, const char *name, const char *flags, const char *value, bmemc_value **answer) {
    return bmemc_meta(client, text(command), key(name), text(flags), text(value), answer, e);
}

static void meta_commands(void) {
    bmemc_value *answer = NULL;
    if (!is_protocol("meta") && !is_protocol("auto")) {
        REFUSED(BMEMC_E_UNSUPPORTED, "meta", meta("mg", "m", "v", "", &answer));
        return;
    }
    STATUS(BMEMC_OK, meta("ms", "m", "F5 T60", "value", &answer));
    bmemc_value_free(answer);
    STATUS(BMEMC_OK, meta("mg", "m", "v f c t s h k", "", &answer));
    const bmemc_item *item = bmemc_value_item(answer);
    EXPECT(item && same(item->value, text("value")) && same(item->key, key("m")));
    EXPECT(item->flags == 5 && item->cas != 0 && item->ttl > 0 && item->ttl <= 60 && item->size == 5 && item->fetched == 0);
    bmemc_value_free(answer);
    STATUS(BMEMC_OK, meta("md", "m", "I T30", "", &answer));
    bmemc_value_free(answer);
    STATUS(BMEMC_OK, meta("mg", "m", "v", "", &answer));
    EXPECT(bmemc_value_item(answer)->bits == (BMEMC_BIT_SENT | BMEMC_BIT_STALE | BMEMC_BIT_WIN));
    bmemc_value_free(answer);
    STATUS(BMEMC_NOT_STORED, meta("ms", "m", "ME", "other", &answer));
    REFUSED(BMEMC_E_ARGUMENT, "opaque", meta("mg", "m", "v O7", "", &answer));
    REFUSED(BMEMC_E_ARGUMENT, "quiet", meta("mg", "m", "v q", "", &answer));
    REFUSED(BMEMC_E_ARGUMENT, "printable", meta("mg", "m", "v\r\nflush_all", "", &answer));
    REFUSED(BMEMC_E_ARGUMENT, "mg, ms", meta("get", "m", "", "", &answer));
    STATUS(BMEMC_OK, meta("md", "m", "", "", &answer));
    bmemc_value_free(answer);
    STATUS(BMEMC_NOT_FOUND, meta("mg", "m", "v", "", &answer));
    EXPECT(answer == NULL);
}

// On a server of its own, since it empties it.
static void everything_is_dropped(void) {
    bmemc_server *server = NULL;
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_server_start(text(""), &server, e));
    bmemc_client *own = client_of(bmemc_server_address(server), NULL, NULL);
    STATUS(BMEMC_OK, bmemc_noop(own, e));
    STATUS(BMEMC_OK, bmemc_set(own, key("f"), text("v"), 0, 0, e));
    STATUS(BMEMC_OK, bmemc_flush_all(own, 1000, e));
    STATUS(BMEMC_OK, bmemc_get(own, key("f"), &out, e));
    bmemc_value_free(out);
    STATUS(BMEMC_OK, bmemc_flush_all(own, 0, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_get(own, key("f"), &out, e));
    bmemc_server_free(server);
    STATUS(BMEMC_E_CONNECTION, bmemc_noop(own, e));
    STATUS(BMEMC_E_CONNECTION, bmemc_flush_all(own, 0, e));
    bmemc_client_free(own);
    e = NULL;
    EXPECT(bmemc_noop(NULL, e) == BMEMC_E_ARGUMENT && bmemc_flush_all(NULL, 0, e) == BMEMC_E_ARGUMENT);
    e = &error;
}

// Every function, with what it must not be given.
static void bad_arguments(void) {
    bmemc_bytes none = bytes(NULL, 5), good = key("bad"), v = text("v");
    bmemc_value *out = (bmemc_value *)&good;
    uint64_t number = 7;
    REFUSED(BMEMC_E_ARGUMENT, "client", bmemc_gets(NULL, good, &out, e));
    EXPECT(out == NULL);
    REFUSED(BMEMC_E_ARGUMENT, "client", bmemc_add(NULL, good, v, 0, 0, e));
    REFUSED(BMEMC_E_ARGUMENT, "client", bmemc_increment(NULL, good, 1, &number, e));
    REFUSED(BMEMC_E_ARGUMENT, "out", bmemc_gets(client, good, NULL, e));
    REFUSED(BMEMC_E_ARGUMENT, "out", bmemc_get_and_touch(client, good, 1, NULL, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_gets(client, none, &out, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_get_and_touch(client, none, 1, &out, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_add(client, none, v, 0, 0, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_replace(client, none, v, 0, 0, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_cas(client, none, v, 0, 0, 1, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_append(client, none, v, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_prepend(client, none, v, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_touch(client, none, 1, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_increment(client, none, 1, &number, e));
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_decrement(client, none, 1, &number, e));
    REFUSED(BMEMC_E_ARGUMENT, "value", bmemc_add(client, good, none, 0, 0, e));
    REFUSED(BMEMC_E_ARGUMENT, "value", bmemc_append(client, good, none, e));
    REFUSED(BMEMC_E_ARGUMENT, "empty", bmemc_touch(client, text(""), 1, e));
    char *huge = calloc(1, 2000001);
    memset(huge, 'x', 2000000);
    STATUS(BMEMC_E_TOO_LARGE, bmemc_add(client, good, text(huge), 0, 60, e));
    REFUSED(BMEMC_E_ARGUMENT, "2000000", bmemc_touch(client, text(huge), 1, e));
    free(huge);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: commands SERVER PROTOCOL\n"), 2;
    bmemc_server *server = server_of(argv[1]);
    protocol = argv[2];
    client = client_of(address, NULL, NULL);
    RUN(conditions_hold_or_not);
    RUN(compare_and_swap);
    RUN(compare_and_swap_many);
    RUN(times_to_live);
    RUN(counters);
    RUN(a_counter_is_created);
    RUN(statistics);
    RUN(keys_are_listed);
    RUN(meta_commands);
    RUN(everything_is_dropped);
    RUN(bad_arguments);
    bmemc_client_free(client);
    bmemc_server_free(server);
    return finish();
}
