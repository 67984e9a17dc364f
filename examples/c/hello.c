#include <bmemc.h>
#include <stdio.h>
#include <string.h>

static bmemc_bytes bytes(const char *text) { return (bmemc_bytes){(const uint8_t *)text, strlen(text)}; }

int main(int argc, char **argv) {
    bmemc_options *options = bmemc_options_new();
    bmemc_client *client = NULL;
    bmemc_value *value = NULL;
    bmemc_error error;
    const char *server = argc > 1 ? argv[1] : "127.0.0.1:11211";
    bmemc_status status = bmemc_options_add_server(options, bytes(server), bytes(""), 1, &error);
    if (status == BMEMC_OK) status = bmemc_client_new(options, &client, &error);
    if (status == BMEMC_OK) status = bmemc_set(client, bytes("greeting"), bytes("hello, world\n"), 0, 60, &error);
    if (status == BMEMC_OK) status = bmemc_get(client, bytes("greeting"), &value, &error);
    if (status == BMEMC_OK) fwrite(bmemc_value_item(value)->value.data, 1, bmemc_value_item(value)->value.len, stdout);
    else fprintf(stderr, "%s\n", status < 0 ? error.message : bmemc_status_text(status));
    bmemc_value_free(value);
    bmemc_client_free(client);
    bmemc_options_free(options);
    return status != BMEMC_OK;
}
