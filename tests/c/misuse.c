// misuse.c: whatever a caller does wrong, or a server, gives a status and a message that names the culprit.
//
//   misuse                            what needs no server, and servers that misbehave, which are made here
//   misuse SERVER PROTOCOL            that, and what needs a server: its address, or "embedded"

#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>

#define ARGUMENT(word, call) REFUSED(BMEMC_E_ARGUMENT, word, call)

static const bmemc_bytes nothing = {NULL, 3};
static bmemc_client *client;
static bmemc_queue *queue;

// Chapter by chapter: NULL for each pointer, and bytes that are not there.

static void null_options(void) {
    bmemc_options *options = bmemc_options_new();
    EXPECT(options != NULL);
    ARGUMENT("options is NULL", bmemc_options_set(NULL, text("timeout_ms"), text("5"), e));
    ARGUMENT("name: data is NULL", bmemc_options_set(options, nothing, text("5"), e));
    ARGUMENT("value: data is NULL", bmemc_options_set(options, text("timeout_ms"), nothing, e));
    ARGUMENT("options is NULL", bmemc_options_add_server(NULL, text("::1"), text(""), 1, e));
    ARGUMENT("address: data is NULL", bmemc_options_add_server(options, nothing, text(""), 1, e));
    ARGUMENT("name: data is NULL", bmemc_options_add_server(options, text("::1"), nothing, 1, e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text("::1"), bytes(NULL, 0), 1, e));
    EXPECT(bmemc_option_at(SIZE_MAX) == NULL);
    bmemc_options_free(options);
    bmemc_options_free(NULL);
}

static void null_client(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_client *out = client;
    ARGUMENT("options is NULL", bmemc_client_new(NULL, &out, e));
    EXPECT(out == NULL);
    ARGUMENT("out is NULL", bmemc_client_new(options, NULL, e));
    bmemc_options_free(options);
    bmemc_client_close(NULL);
    bmemc_client_free(NULL);
}

static void null_results(void) {
    size_t count = 7;
    EXPECT(bmemc_value_item(NULL) == NULL);
    EXPECT(bmemc_results_items(NULL, &count) == NULL && count == 0);
    EXPECT(bmemc_results_items(NULL, NULL) == NULL);
    bmemc_value_free(NULL);
    bmemc_results_free(NULL);
}

static void null_one(void) {
    uint8_t room[8];
    size_t len = 7;
    uint32_t flags = 7;
    bmemc_value *value = (bmemc_value *)room;
    ARGUMENT("client is NULL", bmemc_get(NULL, text("k"), &value, e));
    EXPECT(value == NULL);
    ARGUMENT("key: data is NULL", bmemc_get(client, nothing, &value, e));
    ARGUMENT("out is NULL", bmemc_get(client, text("k"), NULL, e));
    ARGUMENT("client is NULL", bmemc_get_into(NULL, text("k"), room, sizeof room, &len, &flags, e));
    EXPECT(len == 0 && flags == 0);
    ARGUMENT("key: data is NULL", bmemc_get_into(client, nothing, room, sizeof room, &len, &flags, e));
    ARGUMENT("buffer is NULL", bmemc_get_into(client, text("k"), NULL, sizeof room, &len, &flags, e));
    ARGUMENT("capacity is", bmemc_get_into(client, text("k"), room, SIZE_MAX, &len, &flags, e));
    ARGUMENT("len is NULL", bmemc_get_into(client, text("k"), room, sizeof room, NULL, &flags, e));
    ARGUMENT("client is NULL", bmemc_set(NULL, text("k"), text("v"), 0, 0, e));
    ARGUMENT("key: data is NULL", bmemc_set(client, nothing, text("v"), 0, 0, e));
    ARGUMENT("value: data is NULL", bmemc_set(client, text("k"), nothing, 0, 0, e));
    ARGUMENT("value: len is", bmemc_set(client, text("k"), bytes("v", SIZE_MAX), 0, 0, e));
    ARGUMENT("client is NULL", bmemc_delete(NULL, text("k"), e));
    ARGUMENT("key: data is NULL", bmemc_delete(client, nothing, e));
    ARGUMENT("client is NULL", bmemc_client_version(NULL, &value, e));
    ARGUMENT("out is NULL", bmemc_client_version(client, NULL, e));
}

static void null_many(void) {
    bmemc_bytes keys[1] = {text("k")};
    bmemc_results *results = (bmemc_results *)keys;
    ARGUMENT("client is NULL", bmemc_get_many(NULL, keys, 1, &results, e));
    EXPECT(results == NULL);
    ARGUMENT("keys is NULL", bmemc_get_many(client, NULL, 1, &results, e));
    ARGUMENT("keys: no memory holds", bmemc_get_many(client, keys, SIZE_MAX / 16 + 2, &results, e));
    ARGUMENT("out is NULL", bmemc_get_many(client, keys, 1, NULL, e));
    ARGUMENT("client is NULL", bmemc_set_many(NULL, keys, keys, 1, 0, 0, &results, e));
    ARGUMENT("keys is NULL", bmemc_set_many(client, NULL, keys, 1, 0, 0, &results, e));
    ARGUMENT("values is NULL", bmemc_set_many(client, keys, NULL, 1, 0, 0, &results, e));
    ARGUMENT("out is NULL", bmemc_set_many(client, keys, keys, 1, 0, 0, NULL, e));
    ARGUMENT("client is NULL", bmemc_delete_many(NULL, keys, 1, &results, e));
    ARGUMENT("keys is NULL", bmemc_delete_many(client, NULL, 1, &results, e));
    ARGUMENT("out is NULL", bmemc_delete_many(client, keys, 1, NULL, e));
}

static void null_operations(void) {
    bmemc_op op = {0};
    bmemc_value *value = NULL;
    bmemc_results *results = NULL;
    op.opcode = BMEMC_OP_GET;
    op.key = text("k");
    ARGUMENT("client is NULL", bmemc_call(NULL, &op, &value, e));
    ARGUMENT("op is NULL", bmemc_call(client, NULL, &value, e));
    ARGUMENT("answer is NULL", bmemc_call(client, &op, NULL, e));
    ARGUMENT("client is NULL", bmemc_execute(NULL, &op, 1, &results, e));
    ARGUMENT("ops is NULL", bmemc_execute(client, NULL, 1, &results, e));
    ARGUMENT("ops: no memory holds", bmemc_execute(client, &op, SIZE_MAX / 160 + 1, &results, e));
    ARGUMENT("answers is NULL", bmemc_execute(client, &op, 1, NULL, e));
}

static void null_servers(void) {
    bmemc_results *results = NULL;
    ARGUMENT("client is NULL", bmemc_disconnect_all(NULL, e));
    ARGUMENT("client is NULL", bmemc_client_add_server(NULL, text("::1"), text(""), 1, e));
    ARGUMENT("address: data is NULL", bmemc_client_add_server(client, nothing, text(""), 1, e));
    ARGUMENT("name: data is NULL", bmemc_client_add_server(client, text("::1"), nothing, 1, e));
    ARGUMENT("client is NULL", bmemc_client_remove_server(NULL, text("::1"), e));
    ARGUMENT("name: data is NULL", bmemc_client_remove_server(client, nothing, e));
    ARGUMENT("client is NULL", bmemc_client_servers(NULL, &results, e));
    ARGUMENT("out is NULL", bmemc_client_servers(client, NULL, e));
}

static uint8_t *nowhere(size_t len, void *context) {
    (void)len, (void)context;
    return NULL;
}

static void null_queue(void) {
    size_t count = 7;
    bmemc_answer answer;
    uint8_t slab[8];
    ARGUMENT("out is NULL", bmemc_queue_new(NULL, e));
    ARGUMENT("queue is NULL", bmemc_queue_submit(NULL, client, NULL, 0, &count, e));
    EXPECT(count == 0);
    ARGUMENT("accepted is NULL", bmemc_queue_submit(NULL, client, NULL, 0, NULL, e));
    ARGUMENT("queue is NULL", bmemc_queue_fetch(NULL, &answer, 1, 0, &count, e));
    ARGUMENT("count is NULL", bmemc_queue_fetch(NULL, &answer, 1, 0, NULL, e));
    ARGUMENT("queue is NULL", bmemc_queue_fetch_into(NULL, &answer, 1, slab, sizeof slab, 0, &count, e));
    ARGUMENT("count is NULL", bmemc_queue_fetch_into(NULL, &answer, 1, slab, sizeof slab, 0, NULL, e));
    ARGUMENT("queue is NULL", bmemc_queue_fetch_to(NULL, &answer, 1, nowhere, NULL, 0, &count, e));
    ARGUMENT("count is NULL", bmemc_queue_fetch_to(NULL, &answer, 1, nowhere, NULL, 0, NULL, e));
    ARGUMENT("queue is NULL", bmemc_queue_cancel(NULL, 1, e));
    EXPECT(bmemc_queue_fd(NULL) == -1);
    bmemc_queue_free(NULL);
}

// What is NULL beside a queue that is there.
static void null_beside_a_queue(void) {
    size_t count = 7;
    bmemc_op op = {0};
    bmemc_answer answer;
    ARGUMENT("client is NULL", bmemc_queue_submit(queue, NULL, &op, 1, &count, e));
    ARGUMENT("ops is NULL", bmemc_queue_submit(queue, client, NULL, 1, &count, e));
    ARGUMENT("answers is NULL", bmemc_queue_fetch(queue, NULL, 1, 0, &count, e));
    ARGUMENT("answers is NULL", bmemc_queue_fetch_into(queue, NULL, 1, NULL, 0, 0, &count, e));
    ARGUMENT("slab is NULL", bmemc_queue_fetch_into(queue, &answer, 1, NULL, 8, 0, &count, e));
    ARGUMENT("answers is NULL", bmemc_queue_fetch_to(queue, NULL, 1, nowhere, NULL, 0, &count, e));
    ARGUMENT("place is NULL", bmemc_queue_fetch_to(queue, &answer, 1, NULL, NULL, 0, &count, e));
}

static void queue_arguments_that_are_wrong(void) {
    size_t count = 7, accepted = 7;
    bmemc_answer answer;
    uint8_t slab[8];
    bmemc_op op = {0};
    op.key = text("k");
    ARGUMENT("ops: no memory holds", bmemc_queue_submit(queue, client, &op, SIZE_MAX / 160 + 1, &accepted, e));
    ARGUMENT("opcode is 0", bmemc_queue_submit(queue, client, &op, 1, &accepted, e));
    EXPECT(accepted == 0 && error.bits == BMEMC_BIT_NOT_SENT);
    ARGUMENT("answers: no memory holds", bmemc_queue_fetch(queue, &answer, SIZE_MAX / 8, 0, &count, e));
    ARGUMENT("slab: no memory holds", bmemc_queue_fetch_into(queue, &answer, 1, slab, SIZE_MAX, 0, &count, e));
    EXPECT(count == 0);
    STATUS(BMEMC_OK, bmemc_queue_fetch(queue, NULL, 0, -1, &count, e));
    STATUS(BMEMC_OK, bmemc_queue_fetch_into(queue, &answer, 1, NULL, 0, -1, &count, e));
    STATUS(BMEMC_NOT_FOUND, bmemc_queue_cancel(queue, 0, e));
    EXPECT(bmemc_queue_fd(queue) >= 0);
}

static void null_events(void) {
    bmemc_counters counters;
    ARGUMENT("client is NULL", bmemc_client_counters(NULL, -1, &counters, e));
    ARGUMENT("out is NULL", bmemc_client_counters(client, -1, NULL, e));
    ARGUMENT("options is NULL", bmemc_options_on_event(NULL, NULL, NULL, e));
}

static void null_server(void) {
    bmemc_server *server = (bmemc_server *)&server;
    ARGUMENT("out is NULL", bmemc_server_start(text(""), NULL, e));
    ARGUMENT("listen: data is NULL", bmemc_server_start(nothing, &server, e));
    EXPECT(server == NULL);
    EXPECT(bmemc_server_address(NULL) == NULL);
    bmemc_server_free(NULL);
}

// Options and operations that are wrong in themselves.

static void options_that_are_wrong(void) {
    bmemc_options *options = bmemc_options_new();
    bmemc_client *out = client;
    ARGUMENT("tiemout_ms", bmemc_options_set(options, text("tiemout_ms"), text("5"), e));
    EXPECT(strstr(error.message, "timeout_ms") && error.os_error == 0);
    ARGUMENT("timeout_ms", bmemc_options_set(options, text("timeout_ms"), text("0"), e));
    EXPECT(strstr(error.message, "\"0\"") && strstr(error.message, "from 1 to 86400000"));
    ARGUMENT("protocol", bmemc_options_set(options, text("protocol"), text("ascii"), e));
    EXPECT(strstr(error.message, "ascii") && strstr(error.message, "binary"));
    ARGUMENT("name: \"\\xff\" is not UTF-8", bmemc_options_set(options, text("\xff"), text("5"), e));
    ARGUMENT("\\xff", bmemc_options_add_server(options, text("\xff"), text(""), 1, e));
    ARGUMENT("host:99999", bmemc_options_add_server(options, text("host:99999"), text(""), 1, e));
    EXPECT(strstr(error.message, "[::1]:port"));
    ARGUMENT("\"\"", bmemc_options_add_server(options, text(""), text(""), 1, e));
    ARGUMENT("weight 0", bmemc_options_add_server(options, text("::1"), text(""), 0, e));
    ARGUMENT("needs a server", bmemc_client_new(options, &out, e));
    EXPECT(out == NULL);
    bmemc_options_free(options);
}

static void every_option_takes_its_default(void) {
    bmemc_options *options = bmemc_options_new();
    const bmemc_option *option;
    size_t index = 0;
    char accepts[120];
    static char endless[4 << 20];
    memset(endless, 'x', sizeof endless);
    for (; (option = bmemc_option_at(index)) != NULL; index++) {
        EXPECT(*option->name && *option->accepts && *option->about);
        STATUS(BMEMC_OK, bmemc_options_set(options, text(option->name), text(option->default_value), e));
        // What accepts any text does not accept endless text, and nothing accepts a zero byte; a message has room for the
        // beginning of a long list.
        snprintf(accepts, sizeof accepts, "%s", option->accepts);
        STATUS(BMEMC_E_ARGUMENT, bmemc_options_set(options, text(option->name), bytes("a\0", 2), e));
        bool any_text = strstr(accepts, "text") || strstr(accepts, "path") || strstr(accepts, "host name");
        bmemc_bytes bad = any_text ? bytes(endless, sizeof endless) : text("\x1f");
        STATUS(BMEMC_E_ARGUMENT, bmemc_options_set(options, text(option->name), bad, e));
        EXPECT(any_text || strstr(error.message, accepts));
    }
    EXPECT(index > 5);
    bmemc_options_free(options);
}

// An operation that must be refused alone and in a batch, by a message with `word` in it.
static void refused(bmemc_op op, const char *word) {
    bmemc_value *value = (bmemc_value *)&op;
    bmemc_results *results = NULL;
    size_t count = 0;
    ARGUMENT(word, bmemc_call(client, &op, &value, e));
    EXPECT(value == NULL && error.bits == BMEMC_BIT_NOT_SENT);
    STATUS(BMEMC_OK, bmemc_execute(client, &op, 1, &results, e));
    const bmemc_item *item = bmemc_results_items(results, &count);
    EXPECT(count == 1 && item->status == BMEMC_E_ARGUMENT && contains(item->detail, word));
    EXPECT(count == 1 && item->bits == BMEMC_BIT_NOT_SENT && item->value.len == 0);
    bmemc_results_free(results);
}

static bmemc_op get_k(void) {
    bmemc_op op = {0};
    op.opcode = BMEMC_OP_GET;
    op.key = text("k");
    return op;
}

static void operations_that_are_wrong(void) {
    static const int32_t opcodes[] = {0, -1, 22, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
        char word[64];
        bmemc_op op = get_k();
        op.opcode = opcodes[i];
        snprintf(word, sizeof word, "opcode is %d; it is 1 (BMEMC_OP_GET) to 21", opcodes[i]);
        refused(op, word);
    }
    for (size_t i = 0; i < sizeof((bmemc_op *)0)->reserved / sizeof(uint32_t); i++) {
        bmemc_op op = get_k();
        op.reserved[i] = 5;
        refused(op, "reserved is [");
    }
    bmemc_op op = get_k();
    op.op_flags = BMEMC_FLAG_WANT_CAS | 0x40;
    refused(op, "op_flags is 0x42, of which 0x40 is unknown");
    op = get_k();
    op.value_type = 5;
    refused(op, "value_type is 5; it is 0 to 4");
    op = get_k();
    op.compress_level = 10;
    refused(op, "compress_level is 10; it is -1 to 9");
    op.compress_level = -2;
    refused(op, "compress_level is -2");
    op = get_k();
    op.key = nothing;
    refused(op, "key: data is NULL and len is 3");
    op = get_k();
    op.value = nothing;
    refused(op, "value: data is NULL");
    op = get_k();
    op.routing_key = nothing;
    refused(op, "routing_key: data is NULL");
    op = get_k();
    op.meta_flags = nothing;
    refused(op, "meta_flags: data is NULL");
}

static void nothing_asked_nothing_answered(void) {
    bmemc_results *results = NULL;
    size_t count = 7;
    STATUS(BMEMC_OK, bmemc_get_many(client, NULL, 0, &results, e));
    EXPECT(bmemc_results_items(results, &count) != NULL && count == 0);
    bmemc_results_free(results);
    STATUS(BMEMC_OK, bmemc_execute(client, NULL, 0, &results, e));
    bmemc_results_free(results);
}

// The embedded server's own failures, and that what it listens on is what it says.
static void servers_that_cannot_be(void) {
    bmemc_server *server = NULL, *second = NULL;
    static const char *const bad[] = {":0", "host:1:0", "a b", "[::1", "\x01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ARGUMENT("server \"", bmemc_server_start(text(bad[i]), &server, e));
        EXPECT(server == NULL);
    }
    REFUSED(BMEMC_E_CONNECTION, "/nowhere/at/all.sock", bmemc_server_start(text("/nowhere/at/all.sock"), &server, e));
    EXPECT(error.os_error == ENOENT);
    STATUS(BMEMC_OK, bmemc_server_start(text("127.0.0.1:0"), &server, e));
    const char *where = bmemc_server_address(server);
    EXPECT(where && strncmp(where, "127.0.0.1:", 10) == 0);
    REFUSED(BMEMC_E_CONNECTION, "127.0.0.1", bmemc_server_start(text(where ? where : ""), &second, e));
    EXPECT(error.os_error == EADDRINUSE && second == NULL);
    bmemc_server_free(server);
}

static void success_leaves_the_error_alone(void) {
    bmemc_error untouched, before;
    bmemc_results *results = NULL;
    memset(&untouched, 0xaa, sizeof untouched);
    before = untouched;
    STATUS(BMEMC_OK, bmemc_client_servers(client, &results, &untouched));
    EXPECT(memcmp(&untouched, &before, sizeof before) == 0);
    bmemc_results_free(results);
}

// Servers that are not there, or that misbehave.

static int listener(char *server, size_t size) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 16) == 0);
    EXPECT(getsockname(fd, (struct sockaddr *)&name, &len) == 0);
    snprintf(server, size, "127.0.0.1:%d", ntohs(name.sin_port));
    return fd;
}

// Every call with this server must fail so; many-forms fail item by item or as a whole.
static void every_call_fails(const char *server, int32_t status) {
    bmemc_client *client = client_of(server, "timeout_ms", "300");
    bmemc_value *value = (bmemc_value *)server;
    bmemc_results *results = NULL;
    bmemc_bytes keys[2] = {text("a"), text("b")};
    uint8_t room[8];
    size_t len = 7, count = 0;
    REFUSED(status, server, bmemc_get(client, text("k"), &value, e));
    EXPECT(value == NULL);
    REFUSED(status, server, bmemc_get_into(client, text("k"), room, sizeof room, &len, NULL, e));
    EXPECT(len == 0);
    REFUSED(status, server, bmemc_set(client, text("k"), text("v"), 0, 0, e));
    REFUSED(status, server, bmemc_delete(client, text("k"), e));
    REFUSED(status, server, bmemc_client_version(client, &value, e));
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, 2, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 2);
    for (size_t i = 0; i < count; i++) EXPECT(items[i].status == status && contains(items[i].detail, server));
    bmemc_results_free(results);
    bmemc_client_free(client);
}

static void no_server_listens(void) {
    char server[64];
    close(listener(server, sizeof server));
    every_call_fails(server, BMEMC_E_CONNECTION);
    bmemc_client *client = client_of(server, NULL, NULL);
    REFUSED(BMEMC_E_CONNECTION, server, bmemc_delete(client, text("k"), e));
    EXPECT(error.os_error == ECONNREFUSED && error.bits == BMEMC_BIT_NOT_SENT);
    bmemc_client_free(client);
}

static void no_such_socket(void) {
    every_call_fails("/nowhere/at/all.sock", BMEMC_E_CONNECTION);
    bmemc_client *client = client_of("/nowhere/at/all.sock", NULL, NULL);
    REFUSED(BMEMC_E_CONNECTION, "/nowhere/at/all.sock", bmemc_delete(client, text("k"), e));
    EXPECT(error.os_error == ENOENT && error.bits == BMEMC_BIT_NOT_SENT);
    bmemc_client_free(client);
}

static void *accept_and_close(void *listening) {
    int fd;
    while ((fd = accept(*(int *)listening, NULL, NULL)) >= 0) close(fd);
    return NULL;
}

static void server_closes_at_once(void) {
    char server[64];
    pthread_t thread;
    int fd = listener(server, sizeof server);
    EXPECT(pthread_create(&thread, NULL, accept_and_close, &fd) == 0);
    every_call_fails(server, BMEMC_E_CONNECTION);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fd);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void server_never_answers(void) {
    char server[64];
    int fd = listener(server, sizeof server);
    bmemc_client *client = client_of(server, "timeout_ms", "200");
    bmemc_value *value = NULL;
    double start = seconds();
    STATUS(BMEMC_E_TIMEOUT, bmemc_get(client, text("k"), &value, e));
    double took = seconds() - start;
    EXPECT(strstr(error.message, server) && took > 0.19 && took < 1.0);
    bmemc_client_free(client);
    close(fd);
}

// With a server.

static void closed_client_answers_closed(void) {
    bmemc_client *client = client_of(address, NULL, NULL);
    bmemc_value *value = NULL;
    bmemc_client_close(client);
    bmemc_client_close(client);
    REFUSED(BMEMC_E_CLOSED, "closed", bmemc_get(client, text("k"), &value, e));
    REFUSED(BMEMC_E_CLOSED, "closed", bmemc_set(client, text("k"), text("v"), 0, 0, e));
    bmemc_client_free(client);
}

// A key that must be refused by every call, with a message that has `word` in it; in a batch, alone.
static void key_refused(bmemc_bytes bad, const char *word) {
    bmemc_value *value = (bmemc_value *)word;
    bmemc_results *results = NULL;
    uint8_t room[8];
    size_t len = 7, count = 0;
    ARGUMENT(word, bmemc_get(client, bad, &value, e));
    EXPECT(value == NULL && error.bits == BMEMC_BIT_NOT_SENT);
    ARGUMENT(word, bmemc_get_into(client, bad, room, sizeof room, &len, NULL, e));
    EXPECT(len == 0);
    ARGUMENT(word, bmemc_set(client, bad, text("v"), 0, 0, e));
    ARGUMENT(word, bmemc_delete(client, bad, e));
    bmemc_bytes keys[3] = {key("good"), bad, key("good")};
    STATUS(BMEMC_OK, bmemc_set(client, keys[0], text("v"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_get_many(client, keys, 3, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 3 && items[1].status == BMEMC_E_ARGUMENT && contains(items[1].detail, word));
    for (size_t i = 0; i < count; i += 2) EXPECT(items[i].status == BMEMC_OK && same(items[i].value, text("v")));
    bmemc_results_free(results);
}

static void key_allowed(bmemc_bytes good) {
    bmemc_value *value = NULL;
    STATUS(BMEMC_OK, bmemc_set(client, good, text("v"), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_get(client, good, &value, e));
    EXPECT(value && same(bmemc_value_item(value)->value, text("v")));
    bmemc_value_free(value);
    STATUS(BMEMC_OK, bmemc_delete(client, good, e));
}

static void keys_of_every_length(void) {
    char room[251];
    memset(room, 'k', sizeof room);
    snprintf(room, 32, "%d", (int)getpid());
    room[strlen(room)] = 'k';
    key_refused(text(""), "1 to 250");
    key_refused(bytes(NULL, 0), "1 to 250");
    key_allowed(bytes(room, 250));
    key_refused(bytes(room, 251), "251");
}

static void keys_with_spaces_and_line_ends(void) {
    static const char *const bad[] = {"a b", "a\r\nb", "a\nb", "\tk", "k ", "a\x7f", "x\r\nset y 0 0 1\r\nz"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (strcmp(protocol, "binary") == 0) key_allowed(text(bad[i]));
        else key_refused(text(bad[i]), "key \"");
    }
    if (strcmp(protocol, "binary") == 0) key_allowed(bytes("a\0b", 3));
    else key_refused(bytes("a\0b", 3), "key \"");
}

static void one_bad_operation_fails_alone(void) {
    bmemc_op ops[4] = {{0}, {0}, {0}, {0}};
    bmemc_results *results = NULL;
    size_t count = 0;
    for (size_t i = 0; i < 4; i++) ops[i].opcode = BMEMC_OP_SET, ops[i].key = key("alone"), ops[i].value = text("v"), ops[i].ttl = 60;
    ops[1].opcode = 99;
    ops[2].reserved[0] = 1;
    ops[3].opcode = BMEMC_OP_GET;
    ops[3].value = text("");
    ops[3].ttl = 0;
    STATUS(BMEMC_OK, bmemc_execute(client, ops, 4, &results, e));
    const bmemc_item *items = bmemc_results_items(results, &count);
    EXPECT(count == 4 && items[0].status == BMEMC_OK && items[1].status == BMEMC_E_ARGUMENT);
    EXPECT(count == 4 && contains(items[1].detail, "99") && items[2].status == BMEMC_E_ARGUMENT && contains(items[2].detail, "reserved"));
    EXPECT(count == 4 && items[3].status == BMEMC_OK && same(items[3].value, text("v")));
    bmemc_results_free(results);
}

static void values_that_are_too_large(void) {
    size_t size = 2 << 20;
    uint8_t *value = calloc(size, 1);
    STATUS(BMEMC_OK, bmemc_set(client, key("large"), text("old"), 0, 60, e));
    // memcached's limit is 1 MB unless -I says otherwise.
    REFUSED(BMEMC_E_TOO_LARGE, "2097152", bmemc_set(client, key("large"), bytes(value, size), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_set(client, key("large"), text("new"), 0, 60, e));
    bmemc_client *small = client_of(address, "max_value_bytes", "1024");
    REFUSED(BMEMC_E_TOO_LARGE, "max_value_bytes", bmemc_set(small, key("large"), bytes(value, 1025), 0, 60, e));
    EXPECT(error.bits == BMEMC_BIT_NOT_SENT);
    STATUS(BMEMC_OK, bmemc_set(client, key("large"), bytes(value, 1025), 0, 60, e));
    bmemc_value *out = NULL;
    REFUSED(BMEMC_E_TOO_LARGE, "max_value_bytes", bmemc_get(small, key("large"), &out, e));
    STATUS(BMEMC_OK, bmemc_set(small, key("large"), bytes(value, 1024), 0, 60, e));
    bmemc_client_free(small);
    free(value);
}

static void buffers_that_are_too_small(void) {
    uint8_t room[200];
    uint32_t flags = 0;
    size_t len = 0;
    memset(room, 'v', sizeof room);
    STATUS(BMEMC_OK, bmemc_set(client, key("buffer"), bytes(room, 100), 7, 60, e));
    for (size_t capacity = 0; capacity < 100; capacity += 33) {
        memset(room, '.', sizeof room);
        REFUSED(BMEMC_E_BUFFER, "100", bmemc_get_into(client, key("buffer"), capacity ? room : NULL, capacity, &len, &flags, e));
        EXPECT(len == 100 && flags == 7 && room[capacity] == '.');
    }
    STATUS(BMEMC_OK, bmemc_get_into(client, key("buffer"), room, 100, &len, &flags, e));
    EXPECT(len == 100 && flags == 7 && room[99] == 'v' && room[100] == '.');
}

int main(int argc, char **argv) {
    bmemc_server *server = NULL;
    if (argc != 1 && argc != 3) return fprintf(stderr, "usage: misuse [SERVER PROTOCOL]\n"), 2;
    client = client_of("127.0.0.1:1", NULL, NULL);
    RUN(null_options);
    RUN(null_client);
    RUN(null_results);
    RUN(null_one);
    RUN(null_many);
    RUN(null_operations);
    RUN(null_servers);
    RUN(null_queue);
    STATUS(BMEMC_OK, bmemc_queue_new(&queue, e));
    RUN(null_beside_a_queue);
    RUN(queue_arguments_that_are_wrong);
    bmemc_queue_free(queue);
    RUN(null_events);
    RUN(null_server);
    RUN(options_that_are_wrong);
    RUN(every_option_takes_its_default);
    RUN(operations_that_are_wrong);
    RUN(nothing_asked_nothing_answered);
    RUN(servers_that_cannot_be);
    RUN(success_leaves_the_error_alone);
    bmemc_client_free(client);
    if (argc == 3) {
        server = server_of(argv[1]);
        protocol = argv[2];
        RUN(no_server_listens);
        RUN(no_such_socket);
        RUN(server_closes_at_once);
        RUN(server_never_answers);
        RUN(closed_client_answers_closed);
        client = client_of(address, NULL, NULL);
        RUN(keys_of_every_length);
        RUN(keys_with_spaces_and_line_ends);
        RUN(one_bad_operation_fails_alone);
        RUN(values_that_are_too_large);
        RUN(buffers_that_are_too_small);
        bmemc_client_free(client);
    }
    bmemc_server_free(server);
    return finish();
}
