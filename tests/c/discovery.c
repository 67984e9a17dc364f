// discovery.c: servers that are found by asking an endpoint, or by a function, by calls, queues and in the child of a fork,
// against embedded servers that are started here.

#define _GNU_SOURCE
#include "check.h"
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

static bmemc_server *endpoint, *nodes[2];

static bmemc_options *options_with(const char *name, const char *value) {
    bmemc_options *options = bmemc_options_new();
    STATUS(BMEMC_OK, bmemc_options_set(options, text("timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("connect_timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("discovery_interval_ms"), text("10"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text(name), text(value), e));
    return options;
}

static bmemc_client *made_of(bmemc_options *options) {
    bmemc_client *client = NULL;
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    return client;
}

static size_t servers_of(bmemc_client *client) {
    bmemc_results *list = NULL;
    STATUS(BMEMC_OK, bmemc_client_servers(client, &list, e));
    size_t count = 0;
    bmemc_results_items(list, &count);
    bmemc_results_free(list);
    return count;
}

// Has the endpoint list the first `count` nodes.
static void list(int version, int count) {
    char words[300];
    int at = snprintf(words, sizeof words, "%d\n", version);
    for (int i = 0; i < count; i++) {
        const char *address = bmemc_server_address(nodes[i]);
        at += snprintf(words + at, sizeof words - (size_t)at, "127.0.0.1|127.0.0.1|%s ", strrchr(address, ':') + 1);
    }
    STATUS(BMEMC_OK, bmemc_server_set(endpoint, text("cluster"), text(words), e));
}

static void an_endpoint_says_which(void) {
    list(1, 1);
    bmemc_options *options = options_with("discovery", "elasticache");
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(bmemc_server_address(endpoint)), text(""), 1, e));
    bmemc_client *client = made_of(options);
    STATUS(BMEMC_OK, bmemc_set(client, text("k"), text("v"), 0, 0, e));
    EXPECT(servers_of(client) == 1);
    list(2, 2);
    while (servers_of(client) != 2) {
        STATUS(BMEMC_OK, bmemc_set(client, text("k"), text("v"), 0, 0, e));
        usleep(1000);
    }
    REFUSED(BMEMC_E_UNSUPPORTED, "discovery", bmemc_client_remove_server(client, text("k"), e));
    // A child asks on a connection of its own. (The embedded server is the parent's, and so are its settings.)
    pid_t child = fork();
    if (child == 0) {
        int changed = 0;
        for (int i = 0; i < 20000 && !changed; i++) {
            bmemc_set(client, text("k"), text("v"), 0, 0, NULL);
            changed = servers_of(client) == 1;
            usleep(1000);
        }
        // Not by exit: valgrind would count what the parent's other threads held as lost.
        execlp(changed ? "true" : "false", changed ? "true" : "false", (char *)NULL);
        _exit(98);
    }
    list(3, 1);
    int status = 1;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    bmemc_client_free(client);
}

struct finder {
    bool fails;
    int asked;
};

static int32_t find(bmemc_options *servers, void *context) {
    struct finder *finder = context;
    finder->asked++;
    if (finder->fails) return 7;
    bmemc_options_add_server(servers, text(bmemc_server_address(nodes[0])), text("one"), 1, NULL);
    return 0;
}

static void a_function_says_which(void) {
    struct finder finder = {true, 0};
    bmemc_options *options = options_with("discovery", "none");
    REFUSED(BMEMC_E_ARGUMENT, "options is NULL", bmemc_options_on_discover(NULL, find, &finder, e));
    STATUS(BMEMC_OK, bmemc_options_on_discover(options, find, &finder, e));
    bmemc_client *client = made_of(options);
    REFUSED(BMEMC_E_CONNECTION, "the discovery callback: it failed (7)", bmemc_set(client, text("k"), text("v"), 0, 0, e));
    finder.fails = false;
    while (bmemc_set(client, text("k"), text("v"), 0, 0, NULL) != BMEMC_OK) usleep(1000);
    EXPECT(servers_of(client) == 1 && finder.asked > 1);
    bmemc_client_free(client);
}

int main(void) {
    bmemc_server **servers[] = {&endpoint, &nodes[0], &nodes[1]};
    for (int i = 0; i < 3; i++) {
        if (bmemc_server_start(text(""), servers[i], &error) == BMEMC_OK) continue;
        printf("the embedded server does not start: %s\n", error.message);
        return 1;
    }
    RUN(an_endpoint_says_which);
    RUN(a_function_says_which);
    for (int i = 0; i < 3; i++) bmemc_server_free(*servers[i]);
    return finish();
}
