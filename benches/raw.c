// The limit that a client is measured against: sockets, requests built beforehand, and replies whose length is known.
// One connection a thread, blocking. It checks that the replies are what was asked for, and does nothing else.
#include "common.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

enum { HEAD_MAX = 64, BINARY_HEADER = 24 };
enum { OP_GET = 0x00, OP_SET = 0x01, OP_NOOP = 0x0a, OP_GETKQ = 0x0d };

// One round trip: the bytes to send, how long the reply is, how it begins, and where its first value stands.
typedef struct {
    uint8_t *bytes;
    size_t length, reply, head_length, value_at;
    char head[HEAD_MAX];
    const char *key;
} request;

static request *requests;
static long request_count;
static bool many, sets;

typedef struct {
    int fd;
    long next;
    uint8_t *buffer;
} connection;

static size_t put(uint8_t *to, const void *bytes, size_t length) {
    if (to) memcpy(to, bytes, length);
    return length;
}

static size_t put_binary(uint8_t *to, uint8_t opcode, const char *key, size_t extras, const uint8_t *value) {
    size_t key_length = key ? KEY_LENGTH : 0, body = extras + key_length + (value ? plan.value : 0);
    uint8_t header[BINARY_HEADER + 8] = {0x80, opcode, 0, (uint8_t)key_length, (uint8_t)extras};
    for (int i = 0; i < 4; i++) header[8 + i] = (uint8_t)(body >> (24 - 8 * i));
    size_t at = put(to, header, BINARY_HEADER + extras);
    if (key) at += put(to ? to + at : NULL, key, KEY_LENGTH);
    if (value) at += put(to ? to + at : NULL, value, plan.value);
    return at;
}

static bool wire_is(const char *wire) { return !strcmp(plan.wire ? plan.wire : "text", wire); }

// Writes the part of a request that asks for one key, or only measures it where `to` is NULL.
static size_t put_get(uint8_t *to, const char *key) {
    char text[64];
    if (wire_is("binary")) return put_binary(to, many ? OP_GETKQ : OP_GET, key, 0, NULL);
    if (wire_is("meta")) return put(to, text, (size_t)sprintf(text, many ? "mg %s k q v\r\n" : "mg %s v\r\n", key));
    return put(to, text, (size_t)sprintf(text, " %s", key));
}

static size_t put_set(uint8_t *to, const char *key) {
    char text[64];
    uint8_t *value = must_allocate(plan.value);
    value_make(value, key);
    size_t at;
    if (wire_is("binary")) {
        at = put_binary(to, OP_SET, key, 8, value);
    } else {
        const char *format = wire_is("meta") ? "ms %s %zu\r\n" : "set %s 0 0 %zu\r\n";
        at = put(to, text, (size_t)sprintf(text, format, key, plan.value));
        at += put(to ? to + at : NULL, value, plan.value);
        at += put(to ? to + at : NULL, "\r\n", 2);
    }
    free(value);
    return at;
}

static size_t put_request(uint8_t *to, uint64_t first, long count) {
    size_t at = 0;
    bool text_get = !sets && wire_is("text");
    if (text_get) at += put(to, "get", 3);
    for (long i = 0; i < count; i++) {
        uint8_t *place = to ? to + at : NULL;
        at += sets ? put_set(place, key_at(first + (uint64_t)i)) : put_get(place, key_at(first + (uint64_t)i));
    }
    uint8_t *place = to ? to + at : NULL;
    if (text_get) return at + put(place, "\r\n", 2);
    if (sets || !many) return at;
    return at + (wire_is("meta") ? put(place, "mn\r\n", 4) : put_binary(place, OP_NOOP, NULL, 0, NULL));
}

static void expect_binary(request *made, long count) {
    size_t extras = sets ? 0 : 4, key = many && !sets ? KEY_LENGTH : 0, body = sets ? 0 : extras + key + plan.value;
    uint8_t head[] = {0x81, sets ? OP_SET : many ? OP_GETKQ : OP_GET, 0, (uint8_t)key, (uint8_t)extras, 0, 0, 0,
                      (uint8_t)(body >> 24), (uint8_t)(body >> 16), (uint8_t)(body >> 8), (uint8_t)body};
    memcpy(made->head, head, made->head_length = sizeof head);
    made->value_at = BINARY_HEADER + extras + key;
    made->reply = (size_t)count * (BINARY_HEADER + body) + (many && !sets ? BINARY_HEADER : 0);
}

static void expect_lines(request *made, long count) {
    bool meta = wire_is("meta");
    if (sets) {
        made->head_length = (size_t)sprintf(made->head, meta ? "HD\r\n" : "STORED\r\n");
        made->reply = (size_t)count * made->head_length;
        return;
    }
    if (!meta) made->head_length = (size_t)sprintf(made->head, "VALUE %s 0 %zu\r\n", made->key, plan.value);
    else if (many) made->head_length = (size_t)sprintf(made->head, "VA %zu k%s\r\n", plan.value, made->key);
    else made->head_length = (size_t)sprintf(made->head, "VA %zu\r\n", plan.value);
    made->value_at = made->head_length;
    size_t end = !meta ? strlen("END\r\n") : many ? strlen("MN\r\n") : 0;
    made->reply = (size_t)count * (made->head_length + plan.value + 2) + end;
}

static void prepare(bool is_set, bool is_many) {
    sets = is_set;
    many = is_many;
    long batch = many ? plan.batch : 1;
    if (plan.keys < batch) fail("--batch %ld is more than --keys %ld", batch, plan.keys);
    request_count = plan.keys / batch;
    requests = must_allocate((size_t)request_count * sizeof *requests);
    for (long i = 0; i < request_count; i++) {
        uint64_t first = (uint64_t)(i * batch);
        request *made = &requests[i];
        made->key = key_at(first);
        made->length = put_request(NULL, first, batch);
        made->bytes = must_allocate(made->length);
        put_request(made->bytes, first, batch);
        if (wire_is("binary")) expect_binary(made, batch);
        else expect_lines(made, batch);
    }
}

static void prepare_get(void) { prepare(false, false); }
static void prepare_set(void) { prepare(true, false); }
static void prepare_get_many(void) { prepare(false, true); }
static void prepare_set_many(void) { prepare(true, true); }

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) fail("server %s: the path is too long", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("server %s: %s", path, strerror(errno));
    return fd;
}

static int connect_tcp(const char *server) {
    char host[256];
    const char *colon = strrchr(server, ':');
    if (!colon || (size_t)(colon - server) >= sizeof host) fail("server \"%s\" is not host:port or /path", server);
    memcpy(host, server, (size_t)(colon - server));
    host[colon - server] = 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int wrong = getaddrinfo(host, colon + 1, &hints, &found);
    if (wrong) fail("server %s: %s", server, gai_strerror(wrong));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen)) fail("server %s: %s", server, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(found);
    return fd;
}

static void *open_connection(long thread) {
    connection *self = must_allocate(sizeof *self);
    const char *path = strncmp(plan.server, "unix:", 5) ? plan.server : plan.server + 5;
    self->fd = *path == '/' ? connect_unix(path) : connect_tcp(plan.server);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(self->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    size_t most = 0;
    for (long i = 0; i < request_count; i++) most = requests[i].reply > most ? requests[i].reply : most;
    self->buffer = must_allocate(most);
    self->next = thread * 37 % request_count;
    return self;
}

static void send_all(int fd, const uint8_t *bytes, size_t length) {
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0) fail("send: %s", strerror(errno));
        bytes += sent;
        length -= (size_t)sent;
    }
}

static void receive_all(int fd, uint8_t *buffer, size_t length) {
    for (size_t got = 0; got < length;) {
        ssize_t more = recv(fd, buffer + got, length - got, 0);
        if (more <= 0)
            fail("a reply of %zu bytes ended after %zu (%s); it begins \"%.*s\"", length, got,
                 more ? strerror(errno) : "closed", (int)(got < 40 ? got : 40), (char *)buffer);
        got += (size_t)more;
    }
}

static uint64_t round_trip(void *state) {
    connection *self = state;
    const request *made = &requests[self->next];
    if (++self->next == request_count) self->next = 0;
    send_all(self->fd, made->bytes, made->length);
    receive_all(self->fd, self->buffer, made->reply);
    if (memcmp(self->buffer, made->head, made->head_length) != 0)
        fail("key %s: unexpected reply \"%.*s\"", made->key, (int)made->head_length, (char *)self->buffer);
    if (!sets) value_check(self->buffer + made->value_at, plan.value, made->key);
    return many ? (uint64_t)plan.batch : 1;
}

static void close_connection(void *state) {
    connection *self = state;
    const request *last = &requests[(self->next + request_count - 1) % request_count];
    if (!sets) value_check_whole(self->buffer + last->value_at, plan.value, last->key);
    close(self->fd);
    free(self->buffer);
    free(self);
}

static void finish(void) {
    for (long i = 0; i < request_count; i++) free(requests[i].bytes);
    free(requests);
}

static void fill(void) {
    prepare(true, false);
    bench_usage from = bench_usage_now();
    connection *self = open_connection(0);
    for (long i = 0; i < request_count; i++) round_trip(self);
    long sockets = open_sockets();
    close_connection(self);
    bench_usage to = bench_usage_now();
    bench_report((uint64_t)request_count, &from, &to, sockets);
}

static const bench_case cases[] = {
    {"fill", "store the keys that the other cases read", NULL, NULL, NULL, NULL, finish, fill},
    {"get", "one get, its reply, the next: the ping-pong; a connection per thread", prepare_get, open_connection,
     round_trip, close_connection, finish, NULL},
    {"set", "one set, its reply, the next", prepare_set, open_connection, round_trip, close_connection, finish, NULL},
    {"get-many", "get k1 … kN (text), mg … mn (meta), GETKQ … NOOP (binary) in one send", prepare_get_many,
     open_connection, round_trip, close_connection, finish, NULL},
    {"set-many", "N sets in one send, each with its reply", prepare_set_many, open_connection, round_trip,
     close_connection, finish, NULL},
    {0}};

int main(int count, char **arguments) { return bench_main(count, arguments, cases, ""); }
