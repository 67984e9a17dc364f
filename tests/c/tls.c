// tls.c: TLS through the ABI, against a memcached that is started here with certificates that are made here: every
// protocol, calls and queues, what is refused, and a fork, whose child says nothing on its parent's connections.

#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/bmemc-tls.XXXXXX", where[64];
static pid_t memcached;

// The path of a file in the folder.
static bmemc_bytes file(const char *name) {
    static char room[4][128];
    static unsigned next;
    char *place = room[next++ % 4];
    snprintf(place, sizeof room[0], "%s/%s", folder, name);
    return text(place);
}

static void start_memcached(void) {
    char chain[160], key[160], ports[160], line[80];
    EXPECT(mkdtemp(folder));
    snprintf(line, sizeof line, "tests/lib/certificates %s", folder);
    EXPECT(system(line) == 0);
    snprintf(chain, sizeof chain, "ssl_chain_cert=%s/server.pem", folder);
    snprintf(key, sizeof key, "ssl_key=%s/server.key", folder);
    snprintf(ports, sizeof ports, "%s/ports", folder);
    setenv("MEMCACHED_PORT_FILENAME", ports, 1);
    if ((memcached = fork()) == 0) {
        execlp("memcached", "memcached", "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-u", "root", "-Z", "-o", chain, "-o", key, NULL);
        _exit(127);
    }
    for (int tries = 0; tries < 2000 && !*where; tries++) {
        int port = 0;
        FILE *written = fopen(ports, "r");
        if (written && fscanf(written, "TCP INET: %d", &port) == 1) snprintf(where, sizeof where, "127.0.0.1:%d", port);
        if (written) fclose(written);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    EXPECT(*where);
}

static void stop_memcached(void) {
    char line[80];
    kill(memcached, SIGTERM);
    waitpid(memcached, NULL, 0);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    EXPECT(system(line) == 0);
}

// Options of a client that trusts this file's authority.
static bmemc_options *options_of(const char *ca) {
    bmemc_options *options = bmemc_options_new();
    STATUS(BMEMC_OK, bmemc_options_set(options, text("tls"), text("true"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("tls_ca_file"), file(ca), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("connect_timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("connections"), text("1"), e));
    // Each call is to show what happens by itself.
    STATUS(BMEMC_OK, bmemc_options_set(options, text("failover"), text("none"), e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(where), text(""), 1, e));
    return options;
}

static bmemc_client *made(bmemc_options *options) {
    bmemc_client *client = NULL;
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    return client;
}

// Stores and reads back a value that names who did it.
static void works(bmemc_client *client, const char *who) {
    uint8_t room[64];
    size_t len = 0;
    STATUS(BMEMC_OK, bmemc_set(client, key(who), text(who), 0, 60, e));
    STATUS(BMEMC_OK, bmemc_get_into(client, key(who), room, sizeof room, &len, NULL, e));
    EXPECT(same(bytes(room, len), text(who)));
}

static void every_protocol_works(void) {
    static const char *const protocols[] = {"auto", "text", "meta", "binary"};
    for (int i = 0; i < 4; i++) {
        bmemc_options *options = options_of("ca.pem");
        STATUS(BMEMC_OK, bmemc_options_set(options, text("protocol"), text(protocols[i]), e));
        bmemc_client *client = made(options);
        works(client, protocols[i]);
        bmemc_client_free(client);
    }
}

static void who_is_not_trusted_is_refused(void) {
    bmemc_value *value = NULL;
    bmemc_client *client = made(options_of("other-ca.pem"));
    REFUSED(BMEMC_E_TLS, "UnknownIssuer", bmemc_get(client, text("k"), &value, e));
    EXPECT(strstr(error.message, where));
    bmemc_client_free(client);
}

static void bad_options_are_refused(void) {
    bmemc_client *client = NULL;
    bmemc_options *options = options_of("nowhere.pem");
    REFUSED(BMEMC_E_ARGUMENT, "nowhere.pem", bmemc_client_new(options, &client, e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("tls"), text("false"), e));
    REFUSED(BMEMC_E_ARGUMENT, "tls_ca_file is set", bmemc_client_new(options, &client, e));
    REFUSED(BMEMC_E_ARGUMENT, "tls_verify", bmemc_options_set(options, text("tls_verify"), text("maybe"), e));
    REFUSED(BMEMC_E_ARGUMENT, "tls_key", bmemc_options_set(options, text("tls_key"), bytes("secret\0", 7), e));
    EXPECT(!strstr(error.message, "secret"));
    bmemc_options_free(options);
}

// The child opens a connection of its own and ends; the parent's goes on, the same one as before.
static void a_child_leaves_its_parents_session_alone(void) {
    bmemc_counters counters;
    bmemc_client *client = made(options_of("ca.pem"));
    works(client, "parent");
    for (int round = 0; round < 5; round++) {
        pid_t child = fork();
        if (child == 0) {
            complaints = 0;
            works(client, "child");
            bmemc_client_free(client);
            _exit(complaints != 0);
        }
        int how = 0;
        EXPECT(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
        works(client, "parent");
    }
    STATUS(BMEMC_OK, bmemc_client_counters(client, -1, &counters, e));
    EXPECT(counters.connects == 1 && counters.failures == 0);
    bmemc_client_free(client);
}

int main(void) {
    start_memcached();
    RUN(every_protocol_works);
    RUN(who_is_not_trusted_is_refused);
    RUN(bad_options_are_refused);
    RUN(a_child_leaves_its_parents_session_alone);
    stop_memcached();
    return finish();
}
