/* bmemc_easy.h: conveniences over bmemc.h for programs whose keys and values are C strings: short calls, a readable
 * dump of what was answered, and handles that free themselves. Header-only, C99 to C17, gcc and clang; it does nothing
 * that bmemc.h cannot do, and all that is there can be mixed with it.
 *
 *     #include <bmemc_easy.h>
 *
 *     bmemc_error error;
 *     BMEMC_AUTO(client) client = NULL;           // freed where the block ends
 *     if (bmemc_easy_client("127.0.0.1:11211", "timeout_ms=200", &client, &error) != BMEMC_OK)
 *         return bmemc_easy_print_error(stderr, &error), 1;
 *     char *value;
 *     switch (bmemc_easy_get(client, "greeting", &value, &error)) {
 *     case BMEMC_OK: puts(value); free(value); break;
 *     case BMEMC_NOT_FOUND: puts("a miss"); break;
 *     default: bmemc_easy_print_error(stderr, &error);
 *     }
 *
 * Rules are those of bmemc.h: a status below zero is a failure and fills `error` in, which may be NULL. A string that is
 * NULL counts as empty. Any thread may call anything here; a handle is used as bmemc.h says of its type. */
#ifndef BMEMC_EASY_H
#define BMEMC_EASY_H

#include <bmemc.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Handles that free themselves ---- */

static inline void bmemc_easy_end_options(bmemc_options **options) { bmemc_options_free(*options); }
static inline void bmemc_easy_end_client(bmemc_client **client) { bmemc_client_free(*client); }
static inline void bmemc_easy_end_value(bmemc_value **value) { bmemc_value_free(*value); }
static inline void bmemc_easy_end_results(bmemc_results **results) { bmemc_results_free(*results); }
static inline void bmemc_easy_end_queue(bmemc_queue **queue) { bmemc_queue_free(*queue); }
static inline void bmemc_easy_end_server(bmemc_server **server) { bmemc_server_free(*server); }

/* Declares a handle that is freed where its block ends, however it ends: `BMEMC_AUTO(client) client = NULL;`. The type is
 * one of options, client, value, results, queue, server. Always give it a value, NULL at least. */
#define BMEMC_AUTO(type) __attribute__((cleanup(bmemc_easy_end_##type))) bmemc_##type *

/* ---- Strings ---- */

/* The bytes of a string, without its zero byte; borrowed. */
static inline bmemc_bytes bmemc_easy_bytes(const char *text) {
    bmemc_bytes bytes = {(const uint8_t *)text, text ? strlen(text) : 0};
    return bytes;
}

/* Bytes as a string with a zero byte behind them, to be freed with free(). Bytes that hold a zero byte look cut. NULL where
 * there is no memory. */
static inline char *bmemc_easy_string(bmemc_bytes bytes) {
    char *text = (char *)malloc(bytes.len + 1);
    if (!text) return NULL;
    if (bytes.len) memcpy(text, bytes.data, bytes.len);
    text[bytes.len] = 0;
    return text;
}

/* ---- Client ---- */

/* The next word of `*list`, whose words are parted by spaces and commas; an empty one where there is none left. */
static inline bmemc_bytes bmemc_easy_next_word(const char **list) {
    const char *word = *list + strspn(*list, " ,\t\r\n");
    size_t len = strcspn(word, " ,\t\r\n");
    bmemc_bytes bytes = {(const uint8_t *)word, len};
    *list = word + len;
    return bytes;
}

/* Sets options from words such as "timeout_ms=200 protocol=binary", parted by spaces or commas. Values that have spaces or
 * commas in them: bmemc_options_set(). BMEMC_E_ARGUMENT: as there; a word without "=" counts as a name without a value. */
static inline bmemc_status bmemc_easy_set_options(bmemc_options *options, const char *settings, bmemc_error *error) {
    const char *rest = settings ? settings : "";
    bmemc_bytes word;
    while ((word = bmemc_easy_next_word(&rest)).len > 0) {
        const uint8_t *equals = (const uint8_t *)memchr(word.data, '=', word.len);
        bmemc_bytes name = word, value = {NULL, 0};
        if (equals) {
            name.len = (size_t)(equals - word.data);
            value.data = equals + 1;
            value.len = word.len - name.len - 1;
        }
        bmemc_status status = bmemc_options_set(options, name, value, error);
        if (status != BMEMC_OK) return status;
    }
    return BMEMC_OK;
}

/* Makes a client. `servers`: addresses as bmemc_options_add_server() takes them, parted by spaces or commas; `settings` as
 * bmemc_easy_set_options(), or NULL. On BMEMC_OK `*out` is the caller's; else it is NULL. */
static inline bmemc_status bmemc_easy_client(const char *servers, const char *settings, bmemc_client **out,
                                             bmemc_error *error) {
    BMEMC_AUTO(options) options = bmemc_options_new();
    const char *rest = servers ? servers : "";
    bmemc_bytes address, none = {NULL, 0};
    if (out) *out = NULL;
    bmemc_status status = bmemc_easy_set_options(options, settings, error);
    while (status == BMEMC_OK && (address = bmemc_easy_next_word(&rest)).len > 0)
        status = bmemc_options_add_server(options, address, none, 1, error);
    return status == BMEMC_OK ? bmemc_client_new(options, out, error) : status;
}

/* ---- Commands ---- */

/* An operation with nothing but an opcode and a key, to be filled in for bmemc_call() and the like. */
static inline bmemc_op bmemc_easy_op(bmemc_opcode opcode, const char *key) {
    bmemc_op op;
    memset(&op, 0, sizeof op);
    op.opcode = (int32_t)opcode;
    op.key = bmemc_easy_bytes(key);
    return op;
}

/* A string of its own with these bytes: BMEMC_OK, or BMEMC_E_BUFFER and NULL where there is no memory. */
static inline bmemc_status bmemc_easy_copy(bmemc_bytes bytes, char **out, bmemc_error *error) {
    *out = bmemc_easy_string(bytes);
    if (*out) return BMEMC_OK;
    if (error) {
        memset(error, 0, sizeof *error);
        error->status = BMEMC_E_BUFFER;
        error->bits = BMEMC_BIT_SENT;
        snprintf(error->message, sizeof error->message, "no memory for the value, %zu bytes", bytes.len);
    }
    return BMEMC_E_BUFFER;
}

/* Reads a value as a string, which is the caller's on BMEMC_OK, to be freed with free(); else it is NULL.
 * BMEMC_NOT_FOUND: a miss. BMEMC_E_BUFFER: there is no memory. Values that may hold zero bytes: bmemc_get(). */
static inline bmemc_status bmemc_easy_get(const bmemc_client *client, const char *key, char **out, bmemc_error *error) {
    BMEMC_AUTO(value) value = NULL;
    *out = NULL;
    bmemc_status status = bmemc_get(client, bmemc_easy_bytes(key), &value, error);
    if (status != BMEMC_OK) return status;
    return bmemc_easy_copy(bmemc_value_item(value)->value, out, error);
}

/* bmemc_easy_get(), but a miss is BMEMC_OK too, with a copy of `other`. A failure is still one. */
static inline bmemc_status bmemc_easy_get_or(const bmemc_client *client, const char *key, const char *other, char **out,
                                             bmemc_error *error) {
    bmemc_status status = bmemc_easy_get(client, key, out, error);
    if (status != BMEMC_NOT_FOUND) return status;
    return bmemc_easy_copy(bmemc_easy_bytes(other), out, error);
}

/* Stores a string, without its zero byte, for `ttl` seconds (as bmemc_set()). */
static inline bmemc_status bmemc_easy_set(const bmemc_client *client, const char *key, const char *value, int64_t ttl,
                                          bmemc_error *error) {
    return bmemc_set(client, bmemc_easy_bytes(key), bmemc_easy_bytes(value), 0, ttl, error);
}

/* Runs an operation whose status is all that is wanted. */
static inline bmemc_status bmemc_easy_status(const bmemc_client *client, const bmemc_op *op, bmemc_error *error) {
    BMEMC_AUTO(value) answer = NULL;
    return bmemc_call(client, op, &answer, error);
}

/* Stores a string if there is none under this key. BMEMC_NOT_STORED: there is one. */
static inline bmemc_status bmemc_easy_add(const bmemc_client *client, const char *key, const char *value, int64_t ttl,
                                          bmemc_error *error) {
    bmemc_op op = bmemc_easy_op(BMEMC_OP_ADD, key);
    op.value = bmemc_easy_bytes(value);
    op.ttl = ttl;
    return bmemc_easy_status(client, &op, error);
}

/* Deletes a key. BMEMC_NOT_FOUND: there was none. */
static inline bmemc_status bmemc_easy_delete(const bmemc_client *client, const char *key, bmemc_error *error) {
    return bmemc_delete(client, bmemc_easy_bytes(key), error);
}

/* Gives a key a new ttl. BMEMC_NOT_FOUND: there is none. */
static inline bmemc_status bmemc_easy_touch(const bmemc_client *client, const char *key, int64_t ttl, bmemc_error *error) {
    bmemc_op op = bmemc_easy_op(BMEMC_OP_TOUCH, key);
    op.ttl = ttl;
    return bmemc_easy_status(client, &op, error);
}

/* Adds `delta`, which may be negative, to a counter; `*number` (which may be NULL) becomes what it is now, 0 on anything
 * but BMEMC_OK. A counter stops at zero and wraps at 64 bits. BMEMC_NOT_FOUND: there is none. */
static inline bmemc_status bmemc_easy_count(const bmemc_client *client, const char *key, int64_t delta, uint64_t *number,
                                            bmemc_error *error) {
    BMEMC_AUTO(value) answer = NULL;
    bmemc_op op = bmemc_easy_op(delta < 0 ? BMEMC_OP_DECREMENT : BMEMC_OP_INCREMENT, key);
    op.delta = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta;
    bmemc_status status = bmemc_call(client, &op, &answer, error);
    if (number) *number = status == BMEMC_OK ? bmemc_value_item(answer)->number : 0;
    return status;
}

/* ---- A readable dump ---- */

/* How many bytes of a value are shown. */
#ifndef BMEMC_EASY_SHOWN
#define BMEMC_EASY_SHOWN 200
#endif

/* Prints bytes in quotes, with \xNN for what is not printable ASCII; long ones are cut, and their length is told. */
static inline void bmemc_easy_print_bytes(FILE *file, bmemc_bytes bytes) {
    size_t shown = bytes.len < BMEMC_EASY_SHOWN ? bytes.len : BMEMC_EASY_SHOWN;
    fputc('"', file);
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = bytes.data[i];
        if (byte == '"' || byte == '\\') fprintf(file, "\\%c", byte);
        else if (byte >= 0x20 && byte < 0x7f) fputc(byte, file);
        else fprintf(file, "\\x%02x", byte);
    }
    fputc('"', file);
    if (shown < bytes.len) fprintf(file, "... (%zu bytes)", bytes.len);
}

/* Prints an item in one line: its status and whatever is not zero or empty. NULL: "no item". */
static inline void bmemc_easy_print_item(FILE *file, const bmemc_item *item) {
    if (!item) {
        fputs("no item\n", file);
        return;
    }
    fputs(bmemc_status_name(item->status), file);
    if (item->key.len) {
        fputs(" key=", file);
        bmemc_easy_print_bytes(file, item->key);
    }
    if (item->value.len || item->status == BMEMC_OK) {
        fputs(" value=", file);
        bmemc_easy_print_bytes(file, item->value);
    }
    if (item->flags) fprintf(file, " flags=%" PRIu32, item->flags);
    if (item->value_type) fprintf(file, " type=%" PRIu32, item->value_type);
    if (item->cas) fprintf(file, " cas=%" PRIu64, item->cas);
    if (item->number) fprintf(file, " number=%" PRIu64, item->number);
    if (item->ttl) fprintf(file, " ttl=%" PRId64, item->ttl);
    if (item->server) fprintf(file, " server=%" PRIu32, item->server);
    if (item->bits) fprintf(file, " bits=%" PRIu32, item->bits);
    if (item->detail.len) {
        fputs(" detail=", file);
        bmemc_easy_print_bytes(file, item->detail);
    }
    fputc('\n', file);
}

/* Prints results: a line for each item, with its number. NULL: "no results". */
static inline void bmemc_easy_print_results(FILE *file, const bmemc_results *results) {
    size_t count = 0;
    const bmemc_item *items = bmemc_results_items(results, &count);
    if (!results) fputs("no results\n", file);
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%zu: ", i);
        bmemc_easy_print_item(file, &items[i]);
    }
}

/* Prints an error that a call has filled in, in one line. NULL: "no error". */
static inline void bmemc_easy_print_error(FILE *file, const bmemc_error *error) {
    if (!error) {
        fputs("no error\n", file);
        return;
    }
    fprintf(file, "%s: %s", bmemc_status_name(error->status), error->message);
    if (error->os_error) fprintf(file, " (errno %" PRId32 ")", error->os_error);
    if (error->bits & BMEMC_BIT_NOT_SENT) fputs(" (nothing was sent)", file);
    if (error->bits & BMEMC_BIT_UNKNOWN_OUTCOME) fputs(" (it may have been done)", file);
    fputc('\n', file);
}

#ifdef __cplusplus
}
#endif

#endif /* BMEMC_EASY_H */
