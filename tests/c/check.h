// check.h: what the C tests share. A test is a function without parameters that EXPECTs; RUN runs it and prints
// "ok NAME" or what went wrong; `finish` prints the last line and says how main ends.

#ifndef CHECK_H
#define CHECK_H

#include <bmemc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int passed, failed, skipped;
static int complaints;
static const char *protocol = "", *address = "";
// Where calls put their failure; `e` points here, or nowhere while REFUSED tries that.
static bmemc_error error, *e = &error;

static inline void complain(const char *file, int line, const char *what, const char *words, ...) {
    va_list list;
    va_start(list, words);
    complaints++;
    printf("  %s:%d: %s", file, line, what);
    vprintf(words, list);
    printf("\n");
    va_end(list);
}

// A condition that must hold.
#define EXPECT(condition) \
    do { \
        if (!(condition)) complain(__FILE__, __LINE__, #condition, ""); \
    } while (0)

// A call, with `e` as its error, that must give this status.
#define STATUS(expected, call) \
    do { \
        error.message[0] = 0; \
        int32_t got_ = (call); \
        if (got_ != (expected)) \
            complain(__FILE__, __LINE__, #call, ": %s, not %s: %s", bmemc_status_name(got_), bmemc_status_name(expected), error.message); \
    } while (0)

// A call that must fail with this status and a message that has `word` in it, and in the same way without an error to fill in.
#define REFUSED(expected, word, call) \
    do { \
        e = NULL; \
        STATUS(expected, call); \
        e = &error; \
        STATUS(expected, call); \
        EXPECT(error.status == (expected)); \
        if (!strstr(error.message, word)) complain(__FILE__, __LINE__, #call, ": no %s in: %s", word, error.message); \
    } while (0)

#define RUN(test) run(#test, test)
#define SKIP(test, why) (skipped++, printf("skipped %s: %s\n", #test, why))

static inline void run(const char *name, void (*test)(void)) {
    complaints = 0;
    test();
    if (complaints) failed++;
    else passed++;
    printf("%s %s%s%s%s%s\n", complaints ? "FAILED" : "ok", name, *protocol ? " " : "", protocol, *address ? " " : "", address);
    fflush(stdout);
}

static inline int finish(void) {
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}

static inline bmemc_bytes bytes(const void *data, size_t len) {
    bmemc_bytes bytes = {(const uint8_t *)data, len};
    return bytes;
}

static inline bmemc_bytes text(const char *text) {
    return bytes(text, strlen(text));
}

static inline int same(bmemc_bytes left, bmemc_bytes right) {
    return left.len == right.len && memcmp(left.data, right.data, left.len) == 0;
}

static inline int contains(bmemc_bytes bytes, const char *word) {
    size_t len = strlen(word);
    for (size_t at = 0; at + len <= bytes.len; at++)
        if (memcmp(bytes.data + at, word, len) == 0) return 1;
    return 0;
}

// A key of this process, so that tests that share a server do not meet; good until the eighth call after it.
static inline bmemc_bytes key(const char *name) {
    static char room[8][64];
    static unsigned next;
    char *place = room[next++ % 8];
    snprintf(place, sizeof room[0], "bmemc-test:%d:%s", (int)getpid(), name);
    return text(place);
}

// A client of one server, with one option set where `name` is not NULL; NULL, and a complaint, if there cannot be one.
static inline bmemc_client *client_of(const char *server, const char *name, const char *value) {
    bmemc_client *client = NULL;
    bmemc_options *options = bmemc_options_new();
    if (*protocol) STATUS(BMEMC_OK, bmemc_options_set(options, text("protocol"), text(protocol), e));
    // A busy machine, or valgrind, is not what is tested.
    STATUS(BMEMC_OK, bmemc_options_set(options, text("timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("connect_timeout_ms"), text("30000"), e));
    if (name) STATUS(BMEMC_OK, bmemc_options_set(options, text(name), text(value), e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(server), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    return client;
}

// The server that main's arguments name: one that is running, or with "embedded" one that is started here.
static inline bmemc_server *server_of(const char *argument) {
    bmemc_server *server = NULL;
    address = argument;
    if (strcmp(argument, "embedded") != 0) return NULL;
    if (bmemc_server_start(text(""), &server, &error) != BMEMC_OK) {
        printf("  the embedded server does not start: %s\n", error.message);
        exit(1);
    }
    address = bmemc_server_address(server);
    return server;
}

#endif
