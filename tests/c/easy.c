// easy.c: bindings/c/bmemc_easy.h, over one protocol to one server.
//
//   easy SERVER PROTOCOL             SERVER: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"
#include <bmemc_easy.h>

static bmemc_client *client;

static const char *name(const char *of) {
    return (const char *)key(of).data;
}

// What was printed, which must be `expected`.
static char printed[4096];
#define PRINTS(expected, call) \
    do { \
        FILE *file = fmemopen(printed, sizeof printed, "w"); \
        call; \
        fclose(file); \
        if (strcmp(printed, expected) != 0) complain(__FILE__, __LINE__, #call, ": %s", printed); \
    } while (0)

static void strings(void) {
    char *out = NULL;
    STATUS(BMEMC_OK, bmemc_easy_set(client, name("s"), "a string", 60, e));
    STATUS(BMEMC_OK, bmemc_easy_get(client, name("s"), &out, e));
    EXPECT(out && strcmp(out, "a string") == 0);
    free(out);
    STATUS(BMEMC_OK, bmemc_easy_set(client, name("s"), NULL, 60, e));
    STATUS(BMEMC_OK, bmemc_easy_get(client, name("s"), &out, e));
    EXPECT(out && *out == 0);
    free(out);
    STATUS(BMEMC_OK, bmemc_easy_delete(client, name("s"), e));
    STATUS(BMEMC_NOT_FOUND, bmemc_easy_delete(client, name("s"), e));
    out = (char *)&client;
    STATUS(BMEMC_NOT_FOUND, bmemc_easy_get(client, name("s"), &out, e));
    EXPECT(out == NULL);
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_easy_get(client, NULL, &out, e));
    REFUSED(BMEMC_E_ARGUMENT, "client", bmemc_easy_get(NULL, "k", &out, e));
    EXPECT(out == NULL);
}

static void another_string_on_a_miss_alone(void) {
    char *out = NULL;
    STATUS(BMEMC_OK, bmemc_easy_set(client, name("o"), "held", 60, e));
    STATUS(BMEMC_OK, bmemc_easy_get_or(client, name("o"), "other", &out, e));
    EXPECT(out && strcmp(out, "held") == 0);
    free(out);
    STATUS(BMEMC_OK, bmemc_easy_get_or(client, name("none"), "other", &out, e));
    EXPECT(out && strcmp(out, "other") == 0);
    free(out);
    STATUS(BMEMC_OK, bmemc_easy_get_or(client, name("none"), NULL, &out, e));
    EXPECT(out && *out == 0);
    free(out);
    BMEMC_AUTO(client) dead = NULL;
    STATUS(BMEMC_OK, bmemc_easy_client("127.0.0.1:1", NULL, &dead, e));
    REFUSED(BMEMC_E_CONNECTION, "127.0.0.1:1", bmemc_easy_get_or(dead, "k", "other", &out, e));
    EXPECT(out == NULL);
    REFUSED(BMEMC_E_ARGUMENT, "key", bmemc_easy_get_or(client, NULL, "other", &out, e));
    EXPECT(out == NULL);
}

static void add_touch_and_count(void) {
    uint64_t number = 7;
    STATUS(BMEMC_OK, bmemc_easy_add(client, name("n"), "41", 60, e));
    STATUS(BMEMC_NOT_STORED, bmemc_easy_add(client, name("n"), "1", 60, e));
    STATUS(BMEMC_OK, bmemc_easy_count(client, name("n"), 1, &number, e));
    EXPECT(number == 42);
    STATUS(BMEMC_OK, bmemc_easy_count(client, name("n"), -2, &number, e));
    EXPECT(number == 40);
    STATUS(BMEMC_OK, bmemc_easy_count(client, name("n"), INT64_MIN, &number, e));
    EXPECT(number == 0);
    STATUS(BMEMC_OK, bmemc_easy_count(client, name("n"), 5, NULL, e));
    STATUS(BMEMC_OK, bmemc_easy_touch(client, name("n"), -1, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_easy_touch(client, name("n"), 60, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_easy_count(client, name("n"), 1, &number, e));
    EXPECT(number == 0);
}

static void clients_are_made_of_words(void) {
    char servers[512];
    BMEMC_AUTO(client) own = NULL;
    snprintf(servers, sizeof servers, " %s , ", address);
    STATUS(BMEMC_OK, bmemc_easy_client(servers, "timeout_ms=20000, connections=1", &own, e));
    STATUS(BMEMC_OK, bmemc_easy_set(own, name("w"), "x", 60, e));
    bmemc_client *none = client;
    REFUSED(BMEMC_E_ARGUMENT, "timeout_mss", bmemc_easy_client(address, "timeout_mss=1", &none, e));
    EXPECT(none == NULL);
    REFUSED(BMEMC_E_ARGUMENT, "timeout_ms", bmemc_easy_client(address, "timeout_ms", &none, e));
    REFUSED(BMEMC_E_ARGUMENT, "timeout_ms", bmemc_easy_client(address, "timeout_ms=", &none, e));
    REFUSED(BMEMC_E_ARGUMENT, "server", bmemc_easy_client("", NULL, &none, e));
    REFUSED(BMEMC_E_ARGUMENT, "server", bmemc_easy_client(NULL, NULL, &none, e));
    REFUSED(BMEMC_E_ARGUMENT, "h:99999", bmemc_easy_client("h:99999", NULL, &none, e));
    REFUSED(BMEMC_E_ARGUMENT, "out", bmemc_easy_client(address, NULL, NULL, e));
}

static void handles_free_themselves(void) {
    // Nothing to see but by valgrind.
    BMEMC_AUTO(options) options = bmemc_options_new();
    BMEMC_AUTO(value) value = NULL;
    BMEMC_AUTO(results) results = NULL;
    BMEMC_AUTO(queue) queue = NULL;
    BMEMC_AUTO(server) server = NULL;
    bmemc_bytes keys[1] = {key("h")};
    STATUS(BMEMC_OK, bmemc_easy_set(client, name("h"), "x", 60, e));
    STATUS(BMEMC_OK, bmemc_get(client, key("h"), &value, e));
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, 1, &results, e));
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    STATUS(BMEMC_OK, bmemc_server_start(text(""), &server, e));
    EXPECT(options && value && results && queue && server);
}

static void dumps(void) {
    BMEMC_AUTO(results) results = NULL;
    char long_value[301];
    memset(long_value, 'x', 300);
    long_value[300] = 0;
    bmemc_bytes keys[2] = {key("d"), key("none")};
    STATUS(BMEMC_OK, bmemc_set(client, keys[0], bytes("a\"\\\n\0\xff", 6), 5, 60, e));
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, 2, &results, e));
    FILE *file = fmemopen(printed, sizeof printed, "w");
    bmemc_easy_print_results(file, results);
    fclose(file);
    // What comes along differs from protocol to protocol.
    const char *hit = "0: BMEMC_OK value=\"a\\\"\\\\\\x0a\\x00\\xff\" flags=5";
    EXPECT(strncmp(printed, hit, strlen(hit)) == 0);
    EXPECT(strstr(printed, "\n1: BMEMC_NOT_FOUND"));
    bmemc_item item = {.status = BMEMC_EXISTS, .cas = 9, .number = 8, .ttl = -1, .key = text("k"), .detail = text("words")};
    PRINTS("BMEMC_EXISTS key=\"k\" cas=9 number=8 ttl=-1 detail=\"words\"\n", bmemc_easy_print_item(file, &item));
    PRINTS("no results\n", bmemc_easy_print_results(file, NULL));
    PRINTS("no item\n", bmemc_easy_print_item(file, NULL));
    PRINTS("no error\n", bmemc_easy_print_error(file, NULL));
    bmemc_error why = {BMEMC_E_TIMEOUT, 110, BMEMC_BIT_UNKNOWN_OUTCOME, "too late"};
    PRINTS("BMEMC_E_TIMEOUT: too late (errno 110) (it may have been done)\n", bmemc_easy_print_error(file, &why));
    file = fmemopen(printed, sizeof printed, "w");
    bmemc_easy_print_bytes(file, text(long_value));
    fclose(file);
    EXPECT(strlen(printed) == 200 + 2 + strlen("... (300 bytes)") && strstr(printed, "x\"... (300 bytes)"));
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: easy SERVER PROTOCOL\n"), 2;
    bmemc_server *server = server_of(argv[1]);
    protocol = argv[2];
    client = client_of(address, NULL, NULL);
    RUN(strings);
    RUN(another_string_on_a_miss_alone);
    RUN(add_touch_and_count);
    RUN(clients_are_made_of_words);
    RUN(handles_free_themselves);
    RUN(dumps);
    bmemc_client_free(client);
    bmemc_server_free(server);
    return finish();
}
