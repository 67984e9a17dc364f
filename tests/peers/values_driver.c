// libbmemc on a leash: reads commands from standard input, one a line, and answers each with a line, so that a test in
// another language can put values in and out. usage: values_driver SERVER [OPTION=VALUE]...
//   set KEY TYPE LEVEL HEX    stored FLAGS
//   get KEY                   value TYPE FLAGS HEX, or miss
//   stat NAME                 stat TYPE
// TYPE is the number of a bmemc_value_type or bmemc_stat_type, HEX the bytes, "-" for none. A failure is answered by
// "failed STATUS WORDS".
#include <bmemc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bmemc_client *client;
static bmemc_error error;

static bmemc_bytes text(const char *text) {
    bmemc_bytes bytes = {(const uint8_t *)text, strlen(text)};
    return bytes;
}

static void must(bmemc_status status) {
    if (status == BMEMC_OK) return;
    fprintf(stderr, "values_driver: %s\n", error.message);
    exit(1);
}

static void open_client(int count, char **arguments) {
    bmemc_options *options = bmemc_options_new();
    must(bmemc_options_set(options, text("timeout_ms"), text("30000"), &error));
    must(bmemc_options_set(options, text("connect_timeout_ms"), text("30000"), &error));
    must(bmemc_options_add_server(options, text(arguments[1]), text(""), 1, &error));
    for (int at = 2; at < count; at++) {
        char *value = strchr(arguments[at], '=');
        if (!value) exit(2);
        *value++ = 0;
        must(bmemc_options_set(options, text(arguments[at]), text(value), &error));
    }
    must(bmemc_client_new(options, &client, &error));
    bmemc_options_free(options);
}

// Turns hexadecimal digits into bytes, where they stand.
static bmemc_bytes unhex(char *digits) {
    bmemc_bytes bytes = {(uint8_t *)digits, strcmp(digits, "-") == 0 ? 0 : strlen(digits) / 2};
    for (size_t at = 0; at < bytes.len; at++) {
        unsigned byte;
        if (sscanf(digits + 2 * at, "%2x", &byte) != 1) exit(2);
        ((uint8_t *)digits)[at] = (uint8_t)byte;
    }
    return bytes;
}

static void failed(bmemc_status status) {
    printf("failed %s %s\n", bmemc_status_name(status), error.message);
}

static void set(const char *key, const char *type, const char *level, char *hex) {
    bmemc_value *stored = NULL, *answer = NULL;
    bmemc_op op;
    memset(&op, 0, sizeof op);
    op.opcode = BMEMC_OP_SET;
    op.key = text(key);
    op.value = unhex(hex);
    op.value_type = (uint32_t)atoi(type);
    op.compress_level = atoi(level);
    bmemc_status status = bmemc_value_encode(client, &op, &stored, &error);
    if (status == BMEMC_OK) status = bmemc_call(client, &op, &answer, &error);
    if (status == BMEMC_OK) printf("stored %u\n", bmemc_value_item(stored)->flags);
    else failed(status);
    bmemc_value_free(stored);
    bmemc_value_free(answer);
}

static void get(const char *key) {
    bmemc_value *value = NULL;
    bmemc_status status = bmemc_get(client, text(key), &value, &error);
    if (status == BMEMC_NOT_FOUND) {
        printf("miss\n");
    } else if (status != BMEMC_OK) {
        failed(status);
    } else {
        const bmemc_item *item = bmemc_value_item(value);
        printf("value %u %u ", item->value_type, item->flags);
        for (size_t at = 0; at < item->value.len; at++) printf("%02x", item->value.data[at]);
        printf(item->value.len ? "\n" : "-\n");
    }
    bmemc_value_free(value);
}

int main(int count, char **arguments) {
    char *line = NULL;
    size_t room = 0;
    if (count < 2) return 2;
    open_client(count, arguments);
    while (getline(&line, &room, stdin) > 0) {
        char *words[5] = {0};
        for (int at = 0; at < 5; at++) words[at] = strtok(at ? NULL : line, " \n");
        if (words[4] && strcmp(words[0], "set") == 0) set(words[1], words[2], words[3], words[4]);
        else if (words[1] && strcmp(words[0], "get") == 0) get(words[1]);
        else if (words[1] && strcmp(words[0], "stat") == 0) printf("stat %d\n", (int)bmemc_stat_type_of(text(words[1])));
        else return 2;
        fflush(stdout);
    }
    free(line);
    bmemc_client_free(client);
    return 0;
}
