/* easy VERSION: stores and reads a value through an embedded server, by bmemc_easy.h. */
#include <bmemc_easy.h>

int main(int argc, char **argv) {
    bmemc_error error;
    BMEMC_AUTO(server) server = NULL;
    BMEMC_AUTO(client) client = NULL;
    char *value = NULL;
    if (argc != 2 || strcmp(argv[1], bmemc_version()) != 0) return puts(bmemc_version()), 1;
    if (bmemc_server_start(bmemc_easy_bytes(""), &server, &error) != BMEMC_OK ||
        bmemc_easy_client(bmemc_server_address(server), "timeout_ms=5000", &client, &error) != BMEMC_OK ||
        bmemc_easy_set(client, "key", "value", 60, &error) != BMEMC_OK ||
        bmemc_easy_get(client, "key", &value, &error) != BMEMC_OK) return bmemc_easy_print_error(stderr, &error), 1;
    int same = strcmp(value, "value") == 0;
    free(value);
    return !same;
}
