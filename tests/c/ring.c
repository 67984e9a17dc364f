// ring.c: rings and key hashes without a client: what other clients choose (tests/vectors/rings.json), and what is refused.
//
//   ring                              runs where the source is, for the vectors

#include "check.h"
#include <stdbool.h>

#define ARGUMENT(word, call) REFUSED(BMEMC_E_ARGUMENT, word, call)

static const bmemc_bytes nothing = {NULL, 3};

// --- the vectors: as much of JSON as the file has ---------------------------------------------------

static char *json;
static char keys[64][64];
static size_t key_count;

static void read_json(void) {
    FILE *file = fopen("tests/vectors/rings.json", "rb");
    EXPECT(file != NULL);
    if (!file) exit(1);
    json = calloc(1, 1 << 16);
    EXPECT(fread(json, 1, (1 << 16) - 1, file) > 1000);
    fclose(file);
}

// What follows `"name": [` behind `from`.
static const char *list(const char *from, const char *name) {
    char words[64];
    snprintf(words, sizeof words, "\"%s\": [", name);
    const char *at = strstr(from, words);
    if (!at) complain(__FILE__, __LINE__, name, " is not in the file"), exit(1);
    return at + strlen(words);
}

static void read_keys(void) {
    const char *at = list(json, "keys");
    for (key_count = 0; key_count < 64 && *at == '"'; key_count++) {
        char *to = keys[key_count];
        for (at++; *at != '"'; at++) *to++ = *at == '\\' ? *++at : *at;
        at += at[1] == ',' ? 3 : 1;
    }
    EXPECT(key_count == 50);
}

// --- rings ------------------------------------------------------------------------------------------

// A list of the file: of which distribution and key hash it is, and the weights of the servers.
static const struct vector {
    const char *name, *distribution, *key_hash;
    uint32_t weights[4];
} vectors[] = {
    {"pymemcache_rendezvous", "rendezvous", "auto", {1, 1, 1, 1}},
    {"libmemcached_modula", "modulo", "auto", {1, 1, 1, 1}},
    {"libmemcached_ketama", "ketama_unweighted", "default", {1, 1, 1, 1}},
    {"libmemcached_ketama_md5", "ketama_unweighted", "md5", {1, 1, 1, 1}},
    {"libmemcached_ketama_weighted", "ketama", "auto", {1, 3, 7, 100}},
    {"libmemcached_ketama_weighted_equal", "ketama", "auto", {1, 1, 1, 1}},
    {"libmemcached_ketama_spy_weighted", "ketama_spy", "auto", {1, 3, 7, 100}},
    {"spymemcached_ketama", "spymemcached", "auto", {1, 1, 1, 1}},
    {"spymemcached_ketama_libmemcached_format", "ketama", "auto", {1, 1, 1, 1}},
    {"spymemcached_ketama_weighted", "ketama", "auto", {1, 3, 7, 100}},
    {"spymemcached_arraymod", "modulo", "java", {1, 1, 1, 1}},
    {"twemproxy_ketama_fnv1a_64", "twemproxy", "auto", {1, 3, 7, 100}},
    {"twemproxy_ketama_equal", "twemproxy", "auto", {1, 1, 1, 1}},
    {"gomemcache", "gomemcache", "auto", {1, 1, 1, 1}},
    {"mc_go", "memcachier", "auto", {1, 1, 1, 1}},
    {"dalli", "dalli", "auto", {1, 1, 1, 1}},
    {"dalli_weighted", "dalli", "auto", {1, 3, 7, 100}},
    {"mcrouter_ch3", "ch3", "auto", {1, 1, 1, 1}},
    {"mcrouter_wch3", "weighted_ch3", "auto", {10, 5, 3, 10}},
    {"mcrouter_crc32", "mcrouter_crc32", "auto", {1, 1, 1, 1}},
    {"mcrouter_rendezvous", "mcrouter_rendezvous", "auto", {1, 1, 1, 1}},
    {"mcrouter_weighted_rendezvous", "mcrouter_weighted_rendezvous", "auto", {10, 5, 1, 7}},
    {"memjs", "memjs", "auto", {1, 1, 1, 1}},
    {"uhashring_bmemcached", "bmemcached", "auto", {1, 1, 1, 1}},
};

// A ring of that and the servers of the file.
static bmemc_ring *ring_of(const struct vector *like) {
    static const char *const servers[] = {"10.0.0.1:11211", "10.0.0.2:11212", "cache-3.example:11211", "10.0.0.4:11213"};
    bmemc_ring *ring = NULL;
    bmemc_options *options = bmemc_options_new();
    STATUS(BMEMC_OK, bmemc_options_set(options, text("distribution"), text(like->distribution), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("key_hash"), text(like->key_hash), e));
    for (size_t at = 0; at < 4; at++)
        STATUS(BMEMC_OK, bmemc_options_add_server(options, text(servers[at]), text(""), like->weights[at], e));
    STATUS(BMEMC_OK, bmemc_ring_new(options, &ring, e));
    bmemc_options_free(options);
    return ring;
}

static void rings_choose_as_other_clients_do(void) {
    const char *lists = strstr(json, "\"ring\": {");
    size_t count = sizeof vectors / sizeof *vectors, there = 0;
    for (const char *at = lists; (at = strstr(at, "\": [")); at++) there++;
    EXPECT(there == count);
    for (size_t number = 0; number < count; number++) {
        bmemc_ring *ring = ring_of(&vectors[number]);
        const char *at = list(lists, vectors[number].name);
        for (size_t index = 0; index < key_count; index++, at += 3) {
            uint32_t server = 99;
            STATUS(BMEMC_OK, bmemc_ring_get(ring, text(keys[index]), &server, e));
            if (server != (uint32_t)(*at - '0')) complain(__FILE__, __LINE__, vectors[number].name, ": %s", keys[index]);
        }
        bmemc_ring_free(ring);
    }
}

static void key_hashes_are_those_of_libhashkit(void) {
    static const char *const names[] = {"default", "md5", "crc", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32", "hsieh", "murmur", "jenkins", "murmur3"};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        const char *number = list(strstr(json, "\"hash\": {"), names[at]);
        for (size_t index = 0; index < key_count; index++) {
            char *end;
            uint64_t hash = 0, expected = strtoull(number, &end, 10);
            STATUS(BMEMC_OK, bmemc_key_hash(text(names[at]), text(keys[index]), &hash, e));
            if (hash != expected) complain(__FILE__, __LINE__, names[at], ": %s", keys[index]);
            number = end + 2;
        }
    }
    uint64_t hash = 0;
    STATUS(BMEMC_OK, bmemc_key_hash(text("murmur3_32"), text("The quick brown fox jumps over the lazy dog"), &hash, e));
    EXPECT(hash == 776992547);
    STATUS(BMEMC_OK, bmemc_key_hash(text("xxh3"), text(""), &hash, e));
    EXPECT(hash == UINT64_C(0x2d06800538d394c2));
}

// --- servers come and go ----------------------------------------------------------------------------

// Servers that have one letter as their name.
static void add_letters(bmemc_ring *ring, const char *letters) {
    for (; *letters; letters++) STATUS(BMEMC_OK, bmemc_ring_add(ring, text(""), bytes(letters, 1), 1, e));
}

// The names of pymemcache's own tests, which are no addresses.
static void servers_come_and_go(void) {
    static const struct { const char *key; uint32_t all, without_1, with_3; } cases[] = {
        {"ok", 0, 0, 0}, {"mykey", 1, 0, 0}, {"wat", 2, 1, 1}, {"lol", 2, 1, 2},
    };
    bmemc_options *options = bmemc_options_new();
    bmemc_ring *ring = NULL;
    uint32_t server = 99, order[4] = {99, 99, 99, 99};
    size_t count = 99;
    STATUS(BMEMC_OK, bmemc_ring_new(options, &ring, e));
    bmemc_options_free(options);
    STATUS(BMEMC_NOT_FOUND, bmemc_ring_get(ring, text("ok"), &server, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_ring_successors(ring, text("ok"), order, 4, &count, e));
    EXPECT(server == 0 && count == 0 && order[0] == 99);
    add_letters(ring, "012");
    for (size_t at = 0; at < 4; at++) {
        STATUS(BMEMC_OK, bmemc_ring_get(ring, text(cases[at].key), &server, e));
        EXPECT(server == cases[at].all);
        STATUS(BMEMC_OK, bmemc_ring_successors(ring, text(cases[at].key), order, 4, &count, e));
        EXPECT(count == 3 && order[0] == cases[at].all && order[0] + order[1] + order[2] == 3);
    }
    STATUS(BMEMC_OK, bmemc_ring_successors(ring, text("ok"), order, 1, &count, e));
    EXPECT(count == 1 && order[0] == 0);
    STATUS(BMEMC_OK, bmemc_ring_successors(ring, text("ok"), NULL, 0, &count, e));
    EXPECT(count == 0);
    STATUS(BMEMC_OK, bmemc_ring_remove(ring, text("1"), e));
    STATUS(BMEMC_NOT_FOUND, bmemc_ring_remove(ring, text("1"), e));
    for (size_t at = 0; at < 4; at++) {
        STATUS(BMEMC_OK, bmemc_ring_get(ring, text(cases[at].key), &server, e));
        EXPECT(server == cases[at].without_1);
    }
    STATUS(BMEMC_OK, bmemc_ring_add(ring, text(""), text("3"), 1, e));
    for (size_t at = 0; at < 4; at++) {
        STATUS(BMEMC_OK, bmemc_ring_get(ring, text(cases[at].key), &server, e));
        EXPECT(server == cases[at].with_3);
    }
    bmemc_ring_free(ring);
}

static void servers_are_listed(void) {
    bmemc_ring *ring = ring_of(&(struct vector){"", "ketama", "auto", {1, 3, 7, 100}});
    bmemc_results *results = NULL;
    size_t count = 0;
    STATUS(BMEMC_OK, bmemc_ring_add(ring, text("10.0.0.9"), text("cache-9"), 9, e));
    STATUS(BMEMC_OK, bmemc_ring_servers(ring, &results, e));
    bmemc_ring_free(ring);
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 5 && items[4].server == 4 && items[4].number == 9 && items[1].number == 3);
    EXPECT(same(items[4].key, text("cache-9")) && same(items[4].value, text("10.0.0.9")));
    EXPECT(same(items[0].key, text("10.0.0.1:11211")) && same(items[0].value, text("10.0.0.1:11211")));
    bmemc_results_free(results);
}

// --- a ring of the caller's own ---------------------------------------------------------------------

static size_t by_length(bmemc_bytes key, size_t count, void *context) {
    EXPECT(context == (void *)&json && count == 4);
    return key.len;
}

static void a_callback_chooses(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_ring *ring = NULL;
    uint32_t server = 99;
    STATUS(BMEMC_OK, bmemc_options_on_route(options, by_length, &json, e));
    STATUS(BMEMC_OK, bmemc_ring_new(options, &ring, e));
    STATUS(BMEMC_OK, bmemc_options_on_route(options, NULL, NULL, e));
    bmemc_options_free(options);
    add_letters(ring, "abcd");
    STATUS(BMEMC_OK, bmemc_ring_get(ring, text("abc"), &server, e));
    EXPECT(server == 3);
    STATUS(BMEMC_OK, bmemc_ring_get(ring, text(""), &server, e));
    EXPECT(server == 0);
    STATUS(BMEMC_NOT_FOUND, bmemc_ring_get(ring, text("abcd"), &server, e));
    bmemc_ring_free(ring);
}

static size_t by_first(bmemc_bytes key, size_t count, void *context) {
    ++*(int *)context;
    return key.data[0] == 'n' ? count : key.data[0] == 'f' ? SIZE_MAX : (size_t)(key.data[0] - '0');
}

// Each key of a client is where its function says, and one that it has no server for fails alone: by calls and by a queue.
static void a_callback_chooses_for_a_client(void) {
    bmemc_server *servers[2] = {NULL, NULL};
    bmemc_client *client = NULL;
    bmemc_queue *queue = NULL;
    bmemc_options *options = bmemc_options_new();
    int asked = 0;
    for (int i = 0; i < 2; i++) {
        STATUS(BMEMC_OK, bmemc_server_start(text(""), &servers[i], e));
        STATUS(BMEMC_OK, bmemc_options_add_server(options, text(bmemc_server_address(servers[i])), text(""), 1, e));
    }
    STATUS(BMEMC_OK, bmemc_options_on_route(options, by_first, &asked, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    bmemc_options_free(options);
    const char *keys[] = {"0:a", "1:a", "none", "far", "1:b"};
    for (int round = 0; round < 2; round++) {
        bmemc_op ops[5];
        memset(ops, 0, sizeof ops);
        for (uint64_t i = 0; i < 5; i++) {
            ops[i].opcode = BMEMC_OP_SET, ops[i].tag = i;
            ops[i].key = ops[i].value = text(keys[i]);
        }
        bmemc_item items[5];
        size_t count = 0, seen = 0;
        bmemc_results *results = NULL;
        bmemc_answer answers[5];
        if (round == 0) {
            STATUS(BMEMC_OK, bmemc_execute(client, ops, 5, &results, e));
            memcpy(items, bmemc_results_items(results, &seen), sizeof items);
        } else {
            STATUS(BMEMC_OK, bmemc_queue_submit(queue, client, ops, 5, &count, e));
            while (bmemc_queue_fetch(queue, answers, 5, -1, &count, e) == BMEMC_OK && count > 0)
                for (size_t i = 0; i < count; i++, seen++) {
                    items[answers[i].tag] = answers[i].item;
                    bmemc_value_free(answers[i].owner);
                }
        }
        EXPECT(seen == 5);
        for (int i = 0; i < 5; i++) {
            bool none = i == 2 || i == 3;
            EXPECT(items[i].status == (none ? BMEMC_E_CONNECTION : BMEMC_OK));
            EXPECT(none ? items[i].bits & BMEMC_BIT_NOT_SENT : items[i].server == (uint32_t)(keys[i][0] - '0'));
        }
        bmemc_results_free(results);
    }
    EXPECT(asked >= 10);
    bmemc_value *value = NULL;
    REFUSED(BMEMC_E_CONNECTION, "chose none", bmemc_get(client, text("none"), &value, e));
    bmemc_queue_free(queue);
    bmemc_client_free(client);
    for (int i = 0; i < 2; i++) bmemc_server_free(servers[i]);
}

// --- what is refused --------------------------------------------------------------------------------

static void null_for_each_pointer(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_ring *ring = ring_of(&(struct vector){"", "rendezvous", "auto", {1, 1, 1, 1}}), *out = ring;
    bmemc_results *results = (bmemc_results *)ring;
    uint32_t server = 7;
    size_t count = 7;
    uint64_t hash = 7;
    ARGUMENT("options is NULL", bmemc_ring_new(NULL, &out, e));
    EXPECT(out == NULL);
    ARGUMENT("out is NULL", bmemc_ring_new(options, NULL, e));
    ARGUMENT("ring is NULL", bmemc_ring_add(NULL, text("::1"), text(""), 1, e));
    ARGUMENT("address: data is NULL", bmemc_ring_add(ring, nothing, text(""), 1, e));
    ARGUMENT("name: data is NULL", bmemc_ring_add(ring, text("::1"), nothing, 1, e));
    ARGUMENT("ring is NULL", bmemc_ring_remove(NULL, text("::1"), e));
    ARGUMENT("name: data is NULL", bmemc_ring_remove(ring, nothing, e));
    ARGUMENT("ring is NULL", bmemc_ring_get(NULL, text("k"), &server, e));
    EXPECT(server == 0);
    ARGUMENT("key: data is NULL", bmemc_ring_get(ring, nothing, &server, e));
    ARGUMENT("key: len is", bmemc_ring_get(ring, bytes("k", SIZE_MAX), &server, e));
    ARGUMENT("server is NULL", bmemc_ring_get(ring, text("k"), NULL, e));
    ARGUMENT("ring is NULL", bmemc_ring_successors(NULL, text("k"), &server, 1, &count, e));
    EXPECT(count == 0);
    ARGUMENT("key: data is NULL", bmemc_ring_successors(ring, nothing, &server, 1, &count, e));
    ARGUMENT("servers is NULL", bmemc_ring_successors(ring, text("k"), NULL, 1, &count, e));
    ARGUMENT("capacity is", bmemc_ring_successors(ring, text("k"), &server, SIZE_MAX, &count, e));
    ARGUMENT("count is NULL", bmemc_ring_successors(ring, text("k"), &server, 1, NULL, e));
    ARGUMENT("ring is NULL", bmemc_ring_servers(NULL, &results, e));
    EXPECT(results == NULL);
    ARGUMENT("out is NULL", bmemc_ring_servers(ring, NULL, e));
    ARGUMENT("name: data is NULL", bmemc_key_hash(nothing, text("k"), &hash, e));
    EXPECT(hash == 0);
    ARGUMENT("key: data is NULL", bmemc_key_hash(text("md5"), nothing, &hash, e));
    ARGUMENT("hash is NULL", bmemc_key_hash(text("md5"), text("k"), NULL, e));
    ARGUMENT("options is NULL", bmemc_options_on_route(NULL, by_length, NULL, e));
    bmemc_ring_free(NULL);
    bmemc_ring_free(ring);
    bmemc_options_free(options);
}

static void what_is_wrong_is_named(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_ring *ring = ring_of(&(struct vector){"", "ketama", "auto", {1, 1, 1, 1}});
    uint64_t hash;
    uint32_t before = 99, after = 98;
    STATUS(BMEMC_OK, bmemc_ring_get(ring, text("k"), &before, e));
    ARGUMENT("without a name", bmemc_ring_add(ring, text(""), text(""), 1, e));
    ARGUMENT("server \"10.0.0.1:x\"", bmemc_ring_add(ring, text("10.0.0.1:x"), text("a"), 1, e));
    ARGUMENT("\"10.0.0.1\"", bmemc_ring_add(ring, text("10.0.0.1"), text(""), 1, e));
    ARGUMENT("weight 0 is not from 1 to 1000000", bmemc_ring_add(ring, text("a"), text(""), 0, e));
    ARGUMENT("weight 1000001", bmemc_ring_add(ring, text("a"), text(""), 1000001, e));
    ARGUMENT("not UTF-8", bmemc_ring_add(ring, text(""), text("\xff"), 1, e));
    STATUS(BMEMC_OK, bmemc_ring_get(ring, text("k"), &after, e));
    EXPECT(before == after);
    bmemc_ring_free(ring);
    ARGUMENT("there is no key hash \"sha1\"; there are one_at_a_time, md5", bmemc_key_hash(text("sha1"), text("k"), &hash, e));
    ARGUMENT("\"auto\"", bmemc_key_hash(text("auto"), text("k"), &hash, e));
    ARGUMENT("distribution: \"ring\" is not one of rendezvous, ketama", bmemc_options_set(options, text("distribution"), text("ring"), e));
    ARGUMENT("hash_tag", bmemc_options_set(options, text("hash_tag"), text("{"), e));
    ARGUMENT("key_hash", bmemc_options_set(options, text("key_hash"), text("sha1"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("distribution"), text("jump"), e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text("10.0.0.1"), text(""), 2, e));
    ARGUMENT("ring jump has no weights", bmemc_ring_new(options, &ring, e));
    EXPECT(ring == NULL);
    STATUS(BMEMC_OK, bmemc_options_set(options, text("distribution"), text("dalli"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("key_hash"), text("md5"), e));
    ARGUMENT("key_hash: \"md5\"; ring dalli", bmemc_ring_new(options, &ring, e));
    bmemc_options_free(options);
}

static void a_thousand_servers(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_ring *ring = NULL;
    uint32_t order[1000];
    size_t count = 0;
    char name[32];
    STATUS(BMEMC_OK, bmemc_options_set(options, text("distribution"), text("ketama"), e));
    STATUS(BMEMC_OK, bmemc_ring_new(options, &ring, e));
    for (int index = 0; index < 1000; index++) {
        snprintf(name, sizeof name, "server-%d", index);
        STATUS(BMEMC_OK, bmemc_ring_add(ring, text(""), text(name), 1, e));
    }
    STATUS(BMEMC_OK, bmemc_ring_successors(ring, text("k"), order, 1000, &count, e));
    uint64_t sum = 0;
    for (size_t at = 0; at < count; at++) sum += order[at];
    EXPECT(count == 1000 && sum == 499500);
    bmemc_ring_free(ring);
    bmemc_options_free(options);
}

int main(void) {
    read_json();
    read_keys();
    RUN(rings_choose_as_other_clients_do);
    RUN(key_hashes_are_those_of_libhashkit);
    RUN(servers_come_and_go);
    RUN(servers_are_listed);
    RUN(a_callback_chooses);
    RUN(a_callback_chooses_for_a_client);
    RUN(null_for_each_pointer);
    RUN(what_is_wrong_is_named);
    RUN(a_thousand_servers);
    free(json);
    return finish();
}
