// values.c: what a client with a codec stores and reads, over one protocol to one server.
//
//   values SERVER PROTOCOL            SERVER: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"

#define ARGUMENT(word, call) REFUSED(BMEMC_E_ARGUMENT, word, call)
#define TIMES(count) for (int time = 0; time < (count); time++)

enum { LONG_LENGTH = 200000 };

static const bmemc_bytes nothing = {NULL, 3};
// One without a codec, and one whose codec is python-binary-memcached's.
static bmemc_client *plain, *coded;
static char long_text[LONG_LENGTH];

static bmemc_op op_of(int32_t opcode, bmemc_bytes key) {
    bmemc_op op;
    memset(&op, 0, sizeof op);
    op.opcode = opcode;
    op.key = key;
    return op;
}

static bmemc_op set_of(bmemc_bytes key, bmemc_bytes value, uint32_t value_type) {
    bmemc_op op = op_of(BMEMC_OP_SET, key);
    op.value = value;
    op.value_type = value_type;
    return op;
}

static void store(bmemc_client *client, bmemc_op op) {
    bmemc_value *answer = NULL;
    STATUS(BMEMC_OK, bmemc_call(client, &op, &answer, e));
    bmemc_value_free(answer);
}

// What a client reads under a key.
static void expect_read(bmemc_client *client, bmemc_bytes key, bmemc_bytes value, uint32_t value_type, uint32_t flags) {
    bmemc_value *out = NULL;
    STATUS(BMEMC_OK, bmemc_get(client, key, &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    EXPECT(item && same(item->value, value) && item->value_type == value_type && item->flags == flags);
    bmemc_value_free(out);
}

static void every_type_comes_back(void) {
    const struct {
        const char *value;
        uint32_t type, flags;
    } cases[] = {
        {"bytes", BMEMC_TYPE_BYTES, 16},    {"t\xc3\xa9xt", BMEMC_TYPE_TEXT, 0}, {"-12", BMEMC_TYPE_INTEGER, 2},
        {"123456", BMEMC_TYPE_LONG, 4},     {"pickled", BMEMC_TYPE_OBJECT, 1},   {"", BMEMC_TYPE_TEXT, 0},
    };
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        bmemc_bytes value = text(cases[at].value);
        store(coded, set_of(key("typed"), value, cases[at].type));
        expect_read(coded, key("typed"), value, cases[at].type, cases[at].flags);
        expect_read(plain, key("typed"), value, BMEMC_TYPE_BYTES, cases[at].flags);
    }
}

static void long_values_are_compressed(void) {
    size_t count = 0, stored;
    bmemc_results *results = NULL;
    bmemc_op ops[2] = {set_of(key("long"), bytes(long_text, LONG_LENGTH), BMEMC_TYPE_TEXT), op_of(BMEMC_OP_GET, key("long"))};
    STATUS(BMEMC_OK, bmemc_execute(coded, ops, 2, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 2 && items[0].status == BMEMC_OK && items[1].status == BMEMC_OK);
    EXPECT(items[1].flags == 8 && items[1].value_type == BMEMC_TYPE_TEXT && same(items[1].value, ops[0].value));
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_get_into(plain, key("long"), (uint8_t[4096]){0}, 4096, &stored, NULL, e));
    EXPECT(stored < 4096);
    ops[0].compress_level = -1;
    store(coded, ops[0]);
    expect_read(coded, key("long"), ops[0].value, BMEMC_TYPE_TEXT, 0);
    // Level 1 is larger than level 9, and both come back.
    size_t length[2];
    TIMES(2) {
        ops[0].compress_level = time ? 9 : 1;
        store(coded, ops[0]);
        STATUS(BMEMC_OK, bmemc_get_into(plain, key("long"), (uint8_t[8192]){0}, 8192, &length[time], NULL, e));
        expect_read(coded, key("long"), ops[0].value, BMEMC_TYPE_TEXT, 8);
    }
    EXPECT(length[1] < length[0]);
}

static void a_buffer_takes_what_was_decoded(void) {
    static uint8_t room[LONG_LENGTH];
    uint32_t flags = 0;
    size_t len = 0;
    store(coded, set_of(key("into"), bytes(long_text, LONG_LENGTH), BMEMC_TYPE_BYTES));
    STATUS(BMEMC_OK, bmemc_get_into(coded, key("into"), room, sizeof room, &len, &flags, e));
    EXPECT(len == LONG_LENGTH && flags == 24 && memcmp(room, long_text, len) == 0);
    bmemc_counters before, after;
    STATUS(BMEMC_OK, bmemc_client_counters(coded, -1, &before, e));
    REFUSED(BMEMC_E_BUFFER, "the value has 200000 bytes", bmemc_get_into(coded, key("into"), room, LONG_LENGTH - 1, &len, &flags, e));
    EXPECT(len == LONG_LENGTH && flags == 24);
    REFUSED(BMEMC_E_BUFFER, "the value has 200000 bytes", bmemc_get_into(coded, key("into"), NULL, 0, &len, NULL, e));
    store(coded, set_of(key("into"), text("12"), BMEMC_TYPE_INTEGER));
    STATUS(BMEMC_OK, bmemc_get_into(coded, key("into"), room, 2, &len, &flags, e));
    EXPECT(len == 2 && flags == 2 && memcmp(room, "12", 2) == 0);
    STATUS(BMEMC_OK, bmemc_client_counters(coded, -1, &after, e));
    EXPECT(before.connects == after.connects);
}

static void what_cannot_be_decoded_is_no_miss(void) {
    const struct {
        const char *value, *words;
        uint32_t flags;
    } cases[] = {{"no zlib", "a compressed value of 7 bytes", 8}, {"\xff", "flags 0 say text", 0}, {"ten", "flags 2 say integer", 2}};
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        uint8_t room[16];
        size_t len = 7;
        bmemc_value *out = NULL;
        STATUS(BMEMC_OK, bmemc_set(plain, key("bad"), text(cases[at].value), cases[at].flags, 60, e));
        REFUSED(BMEMC_E_DECODE, cases[at].words, bmemc_get(coded, key("bad"), &out, e));
        EXPECT(out == NULL && error.bits == BMEMC_BIT_SENT);
        REFUSED(BMEMC_E_DECODE, cases[at].words, bmemc_get_into(coded, key("bad"), room, sizeof room, &len, NULL, e));
        EXPECT(len == 0);
        bmemc_op op = op_of(BMEMC_OP_GET, key("bad"));
        op.op_flags = BMEMC_FLAG_EXPLICIT_FLAGS;
        STATUS(BMEMC_OK, bmemc_call(coded, &op, &out, e));
        EXPECT(same(bmemc_value_item(out)->value, text(cases[at].value)));
        bmemc_value_free(out);
    }
}

static void what_is_not_of_its_type_is_refused(void) {
    bmemc_value *out = (bmemc_value *)&out;
    bmemc_op op = set_of(key("unfit"), text("caf\xe9"), BMEMC_TYPE_TEXT);
    ARGUMENT("not UTF-8 from byte 3 on", bmemc_call(coded, &op, &out, e));
    EXPECT(out == NULL && error.bits == BMEMC_BIT_NOT_SENT);
    op.value_type = BMEMC_TYPE_INTEGER;
    ARGUMENT("value_type is integer", bmemc_call(coded, &op, &out, e));
    op.value_type = 5;
    ARGUMENT("value_type is 5; it is 0 to 4", bmemc_call(coded, &op, &out, e));
    ARGUMENT("flags is 7, but codec bmemcached", bmemc_set(coded, key("unfit"), text("x"), 7, 60, e));
    op.value_type = BMEMC_TYPE_TEXT;
    op.flags = 7;
    op.op_flags = BMEMC_FLAG_EXPLICIT_FLAGS;
    store(coded, op);
    expect_read(plain, key("unfit"), op.value, BMEMC_TYPE_BYTES, 7);
}

static void a_queue_encodes_and_decodes(void) {
    static uint8_t slab[LONG_LENGTH + 100];
    bmemc_queue *queue = NULL;
    bmemc_answer answers[4];
    size_t count = 0, accepted = 0, got = 0;
    unsigned seen = 0;
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    bmemc_op ops[4] = {set_of(key("queued"), bytes(long_text, LONG_LENGTH), BMEMC_TYPE_TEXT), op_of(BMEMC_OP_GET, key("queued")),
                       op_of(BMEMC_OP_GET, key("queued")), set_of(key("queued"), text("\xff"), BMEMC_TYPE_TEXT)};
    for (uint64_t at = 0; at < 4; at++) ops[at].tag = at;
    STATUS(BMEMC_E_ARGUMENT, bmemc_queue_submit(queue, coded, ops, 4, &accepted, e));
    EXPECT(accepted == 3 && strstr(error.message, "not UTF-8"));
    while (got < 3 && !complaints) {
        STATUS(BMEMC_OK, bmemc_queue_fetch_into(queue, answers, 4, slab, sizeof slab, 30000, &count, e));
        for (size_t at = 0; at < count; at++, got++) {
            const bmemc_item *item = &answers[at].item;
            EXPECT(item->status == BMEMC_OK);
            seen |= 1 << answers[at].tag;
            if (answers[at].tag == 0) continue;
            EXPECT(item->flags == 8 && item->value_type == BMEMC_TYPE_TEXT && item->value.len == LONG_LENGTH);
            // Two of one fetch do not both fit into the slab.
            const uint8_t *value = answers[at].owner ? item->value.data : slab + answers[at].offset;
            EXPECT((answers[at].owner != NULL) == (answers[at].offset == SIZE_MAX));
            EXPECT(memcmp(value, long_text, LONG_LENGTH) == 0);
            bmemc_value_free(answers[at].owner);
        }
    }
    EXPECT(got == 3 && seen == 7);
    bmemc_queue_free(queue);
}

// ---- A compressor of the caller's: the first byte, and how often it comes ----

static int calls;

static int shorten(bmemc_bytes value, int32_t level, bmemc_output *output, void *context) {
    uint64_t length = value.len;
    calls++;
    if (context != &calls || level != 3) return -1;
    return bmemc_output_write(output, bytes(value.data, 1)) || bmemc_output_write(output, bytes(&length, sizeof length));
}

static int lengthen(bmemc_bytes value, int32_t level, bmemc_output *output, void *context) {
    uint64_t length = 0;
    calls++;
    if (context != &calls || level != 0 || value.len != 9) return 7;
    memcpy(&length, value.data + 1, sizeof length);
    // It goes on although it is told that there is no more room.
    while (length--) bmemc_output_write(output, bytes(value.data, 1));
    return 0;
}

static int grow(bmemc_bytes value, int32_t level, bmemc_output *output, void *context) {
    (void)level, (void)context;
    TIMES(3) bmemc_output_write(output, value);
    return 0;
}

static bmemc_client *client_with(bmemc_compressor compress, bmemc_compressor decompress) {
    bmemc_client *client = NULL;
    bmemc_options *options = bmemc_options_new();
    const char *settings[][2] = {
        {"codec", "pymemcache"}, {"compress_level", "3"}, {"max_decompressed_bytes", "10000"}, {"timeout_ms", "30000"}, {"protocol", protocol}};
    for (size_t at = 0; at < sizeof settings / sizeof *settings; at++)
        STATUS(BMEMC_OK, bmemc_options_set(options, text(settings[at][0]), text(settings[at][1]), e));
    STATUS(BMEMC_OK, bmemc_options_set_compressor(options, compress, decompress, &calls, e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(address), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    return client;
}

static void a_compressor_of_the_callers(void) {
    char same_bytes[5000];
    uint64_t length = 10001;
    bmemc_value *out = NULL;
    bmemc_client *client = client_with(shorten, lengthen);
    memset(same_bytes, 'c', sizeof same_bytes);
    calls = 0;
    store(client, set_of(key("own"), bytes(same_bytes, sizeof same_bytes), BMEMC_TYPE_BYTES));
    expect_read(client, key("own"), bytes(same_bytes, sizeof same_bytes), BMEMC_TYPE_BYTES, 8);
    EXPECT(calls == 2);
    // A bomb, and one that the compressor refuses.
    char bomb[9] = "b";
    memcpy(bomb + 1, &length, sizeof length);
    STATUS(BMEMC_OK, bmemc_set(plain, key("own"), bytes(bomb, 9), 8, 60, e));
    REFUSED(BMEMC_E_DECODE, "more than 10000 bytes", bmemc_get(client, key("own"), &out, e));
    STATUS(BMEMC_OK, bmemc_set(plain, key("own"), bytes(bomb, 8), 8, 60, e));
    REFUSED(BMEMC_E_DECODE, "refused", bmemc_get(client, key("own"), &out, e));
    // One that declines, by its level here, or makes the value larger: it is stored as it is.
    bmemc_op op = set_of(key("own"), bytes(same_bytes, sizeof same_bytes), BMEMC_TYPE_BYTES);
    op.compress_level = 4;
    store(client, op);
    expect_read(client, key("own"), op.value, BMEMC_TYPE_BYTES, 0);
    bmemc_client_free(client);
    client = client_with(grow, grow);
    store(client, op);
    expect_read(client, key("own"), op.value, BMEMC_TYPE_BYTES, 0);
    bmemc_client_free(client);
    // None: zlib again.
    client = client_with(NULL, NULL);
    store(client, op);
    expect_read(client, key("own"), op.value, BMEMC_TYPE_BYTES, 8);
    bmemc_client_free(client);
}

static void values_without_a_server(void) {
    bmemc_value *out = NULL;
    bmemc_op op = set_of(bytes(NULL, 0), bytes(long_text, LONG_LENGTH), BMEMC_TYPE_TEXT);
    op.opcode = 0;
    STATUS(BMEMC_OK, bmemc_value_encode(coded, &op, &out, e));
    const bmemc_item *item = bmemc_value_item(out);
    EXPECT(item->flags == 8 && item->value.len < 4096 && item->value_type == BMEMC_TYPE_TEXT);
    bmemc_value *back = NULL;
    STATUS(BMEMC_OK, bmemc_value_decode(coded, item->value, item->flags, &back, e));
    EXPECT(same(bmemc_value_item(back)->value, op.value) && bmemc_value_item(back)->value_type == BMEMC_TYPE_TEXT);
    bmemc_value_free(back);
    REFUSED(BMEMC_E_DECODE, "it is cut", bmemc_value_decode(coded, bytes(item->value.data, 10), 8, &back, e));
    EXPECT(back == NULL);
    bmemc_value_free(out);
    op.flags = 99;
    STATUS(BMEMC_OK, bmemc_value_encode(plain, &op, &out, e));
    EXPECT(same(bmemc_value_item(out)->value, op.value) && bmemc_value_item(out)->flags == 99);
    bmemc_value_free(out);
    ARGUMENT("client is NULL", bmemc_value_encode(NULL, &op, &out, e));
    ARGUMENT("op is NULL", bmemc_value_encode(coded, NULL, &out, e));
    ARGUMENT("out is NULL", bmemc_value_encode(coded, &op, NULL, e));
    ARGUMENT("flags is 99", bmemc_value_encode(coded, &op, &out, e));
    op.value = nothing;
    ARGUMENT("value: data is NULL", bmemc_value_encode(coded, &op, &out, e));
    ARGUMENT("client is NULL", bmemc_value_decode(NULL, text("1"), 2, &out, e));
    ARGUMENT("value: data is NULL", bmemc_value_decode(coded, nothing, 2, &out, e));
    ARGUMENT("out is NULL", bmemc_value_decode(coded, text("1"), 2, NULL, e));
}

static void options_and_arguments_are_checked(void) {
    bmemc_options *options = bmemc_options_new();
    ARGUMENT("none, bmemcached, pymemcache, pylibmc, spymemcached, dalli, memjs",
             bmemc_options_set(options, text("codec"), text("json"), e));
    ARGUMENT("from 1 to 9", bmemc_options_set(options, text("compress_level"), text("10"), e));
    ARGUMENT("from 1024", bmemc_options_set(options, text("max_decompressed_bytes"), text("0"), e));
    ARGUMENT("compress_threshold", bmemc_options_set(options, text("compress_threshold"), text("-1"), e));
    ARGUMENT("true or false", bmemc_options_set(options, text("compression"), text("on"), e));
    ARGUMENT("options is NULL", bmemc_options_set_compressor(NULL, grow, grow, NULL, e));
    ARGUMENT("decompress is NULL", bmemc_options_set_compressor(options, grow, NULL, NULL, e));
    ARGUMENT("compress is NULL", bmemc_options_set_compressor(options, NULL, grow, NULL, e));
    STATUS(BMEMC_E_ARGUMENT, bmemc_output_write(NULL, text("x")));
    EXPECT(bmemc_stat_type_of(text("version")) == BMEMC_STAT_TEXT && bmemc_stat_type_of(text("umask")) == BMEMC_STAT_OCTAL);
    EXPECT(bmemc_stat_type_of(text("uptime")) == BMEMC_STAT_INTEGER && bmemc_stat_type_of(nothing) == BMEMC_STAT_INTEGER);
    bmemc_options_free(options);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: values SERVER PROTOCOL\n"), 2;
    bmemc_server *server = server_of(argv[1]);
    protocol = argv[2];
    for (size_t at = 0; at < LONG_LENGTH; at++) long_text[at] = "Some words, not all the same. "[at % (29 + at / 50000)];
    plain = client_of(address, NULL, NULL);
    coded = client_of(address, "codec", "bmemcached");
    RUN(every_type_comes_back);
    RUN(long_values_are_compressed);
    RUN(a_buffer_takes_what_was_decoded);
    RUN(what_cannot_be_decoded_is_no_miss);
    RUN(what_is_not_of_its_type_is_refused);
    RUN(a_queue_encodes_and_decodes);
    RUN(a_compressor_of_the_callers);
    RUN(values_without_a_server);
    RUN(options_and_arguments_are_checked);
    bmemc_client_free(plain);
    bmemc_client_free(coded);
    bmemc_server_free(server);
    return finish();
}
