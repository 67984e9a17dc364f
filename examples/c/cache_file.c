/* Caches a file line by line: stores each line under a key, reads all of them back in batches, and compares.
 *
 *     cache_file FILE [SERVER]
 *
 * SERVER is HOST:PORT, [::1]:PORT or /path/of/socket; without it, a server is started inside this process. Lines may hold
 * any bytes. One that the server finds too large (usually over 1 MB) is named and left out. The status is 0 where every
 * stored line came back as it was, or was evicted meanwhile; 1 where something failed; 2 for wrong usage. */
#define _POSIX_C_SOURCE 200112L
#include <bmemc.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 100, BATCH_BYTES = 1 << 22, KEY_SIZE = 32, TTL_SECONDS = 600 };

typedef struct {
    bmemc_bytes *at;  /* each line, in the file's own bytes, without its newline */
    size_t count;
    size_t too_large; /* those that were not stored: their `data` is NULL */
} lines;

typedef struct { size_t hits, misses, differ; } tally;

static bmemc_bytes bytes(const char *text) {
    return (bmemc_bytes){(const uint8_t *)text, strlen(text)};
}

/* A failure ends the program: it is an example, and nothing is left to save. */
static void fail(const char *what, const char *why) {
    fprintf(stderr, "cache_file: %s: %s\n", what, why);
    exit(1);
}

static void *allocate(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (!memory) fail("memory", strerror(ENOMEM));
    return memory;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Says how far it is: on a terminal ten times a second, elsewhere once a second. `last` is when it spoke last. */
static void progress(const char *what, size_t done, size_t total, double *last) {
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDERR_FILENO);
    if (terminal && done == total) fputs("\r\033[K", stderr); /* erases what it said last */
    double time = now();
    if (done == total || time - *last < (terminal ? 0.1 : 1.0)) return;
    *last = time;
    fprintf(stderr, "%s %zu of %zu lines%s", what, done, total, terminal ? "\r" : "\n");
}

static bmemc_bytes read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path, strerror(errno));
    uint8_t *data = NULL;
    size_t len = 0, capacity = 0, got;
    do {
        if (len == capacity) data = allocate(data, capacity = capacity ? 2 * capacity : 65536);
        len += got = fread(data + len, 1, capacity - len, file);
    } while (got > 0);
    if (ferror(file)) fail(path, strerror(errno));
    fclose(file);
    if (len == 0) fail(path, "the file is empty: there is no line to cache");
    return (bmemc_bytes){data, len};
}

static lines split(bmemc_bytes file) {
    lines all = {NULL, 0, 0};
    size_t capacity = 0;
    const uint8_t *end = file.data + file.len, *next;
    for (const uint8_t *line = file.data; line < end; line = next + 1) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end; /* the last line need not end in a newline */
        if (all.count == capacity) all.at = allocate(all.at, (capacity = capacity ? 2 * capacity : 1024) * sizeof *all.at);
        all.at[all.count++] = (bmemc_bytes){line, (size_t)(next - line)};
    }
    return all;
}

static bmemc_bytes key_of(size_t index, char buffer[KEY_SIZE]) {
    snprintf(buffer, KEY_SIZE, "cache_file:%zu", index + 1);
    return bytes(buffer);
}

static void store(const bmemc_client *client, lines *all) {
    char key[KEY_SIZE];
    bmemc_error error;
    double last = now();
    for (size_t i = 0; i < all->count; i++) {
        bmemc_status status = bmemc_set(client, key_of(i, key), all->at[i], 0, TTL_SECONDS, &error);
        if (status == BMEMC_E_TOO_LARGE) {
            fprintf(stderr, "line %zu is left out: %zu bytes, %s\n", i + 1, all->at[i].len, error.message);
            all->at[i].data = NULL;
            all->too_large++;
        } else if (status != BMEMC_OK) {
            fail("set", status < 0 ? error.message : bmemc_status_text(status));
        }
        progress("stored", i + 1, all->count, &last);
    }
}

/* Reads the lines from `first` on in one call: at most BATCH of them, and not many bytes at once. */
static size_t read_batch(const bmemc_client *client, const lines *all, size_t first, tally *sum) {
    char buffers[BATCH][KEY_SIZE];
    bmemc_bytes keys[BATCH];
    size_t count = 0, size = 0;
    for (; count < BATCH && size < BATCH_BYTES && first + count < all->count; count++) {
        keys[count] = key_of(first + count, buffers[count]);
        size += all->at[first + count].len;
    }

    bmemc_results *results;
    bmemc_error error;
    if (bmemc_get_many(client, keys, count, &results, &error) != BMEMC_OK) fail("get_many", error.message);
    const bmemc_item *items = bmemc_results_items(results, &count);
    for (size_t i = 0; i < count; i++) { /* item i answers key i: a hit, a miss or a failure */
        bmemc_bytes line = all->at[first + i], got = items[i].value;
        if (items[i].status < 0) {
            snprintf(error.message, sizeof error.message, "%.*s", (int)items[i].detail.len, (const char *)items[i].detail.data);
            fail((const char *)keys[i].data, error.message);
        }
        if (!line.data) continue;
        if (items[i].status == BMEMC_NOT_FOUND) sum->misses++;
        else if (got.len == line.len && memcmp(got.data, line.data, line.len) == 0) sum->hits++;
        else sum->differ++;
    }
    bmemc_results_free(results);
    return count;
}

static bmemc_client *connect_to(const char *server) {
    bmemc_error error;
    bmemc_client *client;
    bmemc_options *options = bmemc_options_new();
    if (bmemc_options_add_server(options, bytes(server), bytes(""), 1, &error) != BMEMC_OK ||
        bmemc_client_new(options, &client, &error) != BMEMC_OK) fail(server, error.message);
    bmemc_options_free(options);
    return client;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: cache_file FILE [SERVER]\n");
        return 2;
    }
    bmemc_bytes file = read_file(argv[1]);
    lines all = split(file);
    bmemc_error error;
    bmemc_server *embedded = NULL;
    if (argc == 2 && bmemc_server_start(bytes(""), &embedded, &error) != BMEMC_OK) fail("server", error.message);
    const char *server = embedded ? bmemc_server_address(embedded) : argv[2];
    bmemc_client *client = connect_to(server);

    double began = now();
    store(client, &all);
    double stored = now(), last = stored;
    tally sum = {0, 0, 0};
    for (size_t done = 0; done < all.count; progress("read", done, all.count, &last))
        done += read_batch(client, &all, done, &sum);
    double ended = now();

    printf("%s: %zu lines, %zu bytes, by %s%s\n", argv[1], all.count, file.len, server, embedded ? " (embedded)" : "");
    printf("stored %zu, %.0f a second; %zu too large\n", all.count - all.too_large, (double)all.count / (stored - began),
           all.too_large);
    printf("read   %zu hits, %zu misses, %zu different, %.0f a second\n", sum.hits, sum.misses, sum.differ,
           (double)all.count / (ended - stored));
    bmemc_client_free(client);
    bmemc_server_free(embedded);
    free(all.at);
    free((void *)file.data);
    return sum.differ != 0;
}
