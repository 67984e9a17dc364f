/* consumer VERSION: stores and reads a value through an embedded server. Valid C and C++: it is built as both. */
#include <bmemc.h>
#include <stdio.h>
#include <string.h>

static bmemc_bytes bytes(const char *text) {
    bmemc_bytes all;
    all.data = (const uint8_t *)text;
    all.len = strlen(text);
    return all;
}

int main(int argc, char **argv) {
    bmemc_options *options = bmemc_options_new();
    bmemc_server *server = NULL;
    bmemc_client *client = NULL;
    bmemc_value *value = NULL;
    bmemc_error error;
    bmemc_status status = BMEMC_OK;
    const bmemc_item *item;
    int same = 0;

    if (argc != 2 || strcmp(argv[1], bmemc_version()) != 0) {
        fprintf(stderr, "the library is %s, not %s\n", bmemc_version(), argc > 1 ? argv[1] : "named");
        return 1;
    }
    status = bmemc_server_start(bytes(""), &server, &error);
    if (status == BMEMC_OK) status = bmemc_options_add_server(options, bytes(bmemc_server_address(server)), bytes(""), 1, &error);
    if (status == BMEMC_OK) status = bmemc_client_new(options, &client, &error);
    if (status == BMEMC_OK) status = bmemc_set(client, bytes("key"), bytes("value"), 7, 0, &error);
    if (status == BMEMC_OK) status = bmemc_get(client, bytes("key"), &value, &error);
    if (status == BMEMC_OK) {
        item = bmemc_value_item(value);
        same = item->flags == 7 && item->value.len == 5 && memcmp(item->value.data, "value", 5) == 0;
    }
    if (!same) fprintf(stderr, "%s\n", status < 0 ? error.message : "the value came back wrong");
    bmemc_value_free(value);
    bmemc_client_free(client);
    bmemc_server_free(server);
    bmemc_options_free(options);
    return !same;
}
