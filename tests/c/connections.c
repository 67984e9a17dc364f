// connections.c: logins, the embedded server's settings, the connect callback, what a client has open, and checks of
// addresses and keys, against embedded servers that are started here.

#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENT(word, call) REFUSED(BMEMC_E_ARGUMENT, word, call)

static const bmemc_bytes nothing = {NULL, 3};
static bmemc_server *server;

static void set(const char *name, const char *value) {
    STATUS(BMEMC_OK, bmemc_server_set(server, text(name), text(value), e));
}

static int32_t read_of(bmemc_client *client, const char *key) {
    bmemc_value *value = NULL;
    int32_t status = bmemc_get(client, text(key), &value, &error);
    bmemc_value_free(value);
    return status;
}

// A client of the server here, as this user.
static bmemc_client *user(const char *name, const char *password) {
    bmemc_client *client = NULL;
    bmemc_options *options = bmemc_options_new();
    STATUS(BMEMC_OK, bmemc_options_set(options, text("timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("connect_timeout_ms"), text("30000"), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("username"), text(name), e));
    STATUS(BMEMC_OK, bmemc_options_set(options, text("password"), text(password), e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(bmemc_server_address(server)), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    return client;
}

static void wrong_arguments(void) {
    bmemc_client *client = client_of("127.0.0.1", NULL, NULL);
    bmemc_options *options = bmemc_options_new();
    bmemc_pool pool;
    bmemc_health health;
    bmemc_address parsed;
    ARGUMENT("client is NULL", bmemc_client_set_credentials(NULL, text("u"), text("p"), e));
    ARGUMENT("username: data is NULL", bmemc_client_set_credentials(client, nothing, text("p"), e));
    ARGUMENT("password: data is NULL", bmemc_client_set_credentials(client, text("u"), nothing, e));
    ARGUMENT("password is empty", bmemc_client_set_credentials(client, text("u"), text(""), e));
    ARGUMENT("username is empty", bmemc_client_set_credentials(client, text(""), text("p"), e));
    ARGUMENT("username has", bmemc_client_set_credentials(client, bytes("a\0b", 3), text("p"), e));
    ARGUMENT("client is NULL", bmemc_client_set_option(NULL, text("reconnect_delay_ms"), text("0"), e));
    ARGUMENT("name: data is NULL", bmemc_client_set_option(client, nothing, text("0"), e));
    ARGUMENT("value: data is NULL", bmemc_client_set_option(client, text("reconnect_delay_ms"), nothing, e));
    ARGUMENT("unknown option", bmemc_client_set_option(client, text("retry_delay"), text("0"), e));
    ARGUMENT("option reconnect_delay_ms", bmemc_client_set_option(client, text("reconnect_delay_ms"), text("-1"), e));
    STATUS(BMEMC_E_UNSUPPORTED, bmemc_client_set_option(client, text("timeout_ms"), text("1"), e));
    STATUS(BMEMC_OK, bmemc_client_set_option(client, text("reconnect_delay_ms"), text("5000"), e));
    ARGUMENT("client is NULL", bmemc_client_pool(NULL, -1, &pool, e));
    ARGUMENT("out is NULL", bmemc_client_pool(client, -1, NULL, e));
    ARGUMENT("server 1", bmemc_client_pool(client, 1, &pool, e));
    EXPECT(pool.open == 0 && pool.waiting == 0);
    ARGUMENT("server ", bmemc_client_pool(client, -2, &pool, e));
    ARGUMENT("client is NULL", bmemc_client_health(NULL, 0, &health, e));
    EXPECT(health.state == BMEMC_HEALTH_UP && health.failures == 0 && health.why.message[0] == 0);
    ARGUMENT("out is NULL", bmemc_client_health(client, 0, NULL, e));
    ARGUMENT("server 1: the client has 1", bmemc_client_health(client, 1, &health, e));
    ARGUMENT("server 4294967295", bmemc_client_health(client, UINT32_MAX, &health, e));
    ARGUMENT("options is NULL", bmemc_options_on_connect(NULL, NULL, NULL, e));
    STATUS(BMEMC_OK, bmemc_options_on_connect(options, NULL, NULL, e));
    ARGUMENT("server is NULL", bmemc_server_set(NULL, text("auth"), text("none"), e));
    ARGUMENT("name: data is NULL", bmemc_server_set(server, nothing, text("none"), e));
    ARGUMENT("value: data is NULL", bmemc_server_set(server, text("auth"), nothing, e));
    ARGUMENT("advance_seconds", bmemc_server_set(server, text("weather"), text("none"), e));
    ARGUMENT("sasl, ascii", bmemc_server_set(server, text("auth"), text("maybe"), e));
    ARGUMENT("client is NULL", bmemc_check_key(NULL, text("k"), e));
    ARGUMENT("key: data is NULL", bmemc_check_key(client, nothing, e));
    ARGUMENT("out is NULL", bmemc_address_parse(text("host"), NULL, e));
    ARGUMENT("text: data is NULL", bmemc_address_parse(nothing, &parsed, e));
    bmemc_options_free(options);
    bmemc_client_free(client);
}

static void a_password_is_in_no_message(void) {
    bmemc_options *options = bmemc_options_new();
    ARGUMENT("password", bmemc_options_set(options, text("password"), bytes("secret\xff", 7), e));
    EXPECT(!strstr(error.message, "secret"));
    ARGUMENT("password", bmemc_options_set(options, text("password"), bytes("secret\0x", 8), e));
    EXPECT(!strstr(error.message, "secret"));
    ARGUMENT("users: line 1", bmemc_server_set(server, text("users"), text("secret"), e));
    bmemc_options_free(options);
}

static void logins(void) {
    const char *kinds[] = {"sasl", "ascii", "memcachier"};
    set("users", "alice:right");
    // SCRAM hashes for seconds under valgrind; tests/auth.rs has it.
    set("mechanisms", "PLAIN CRAM-MD5");
    for (int kind = 0; kind < 3; kind++) {
        set("auth", kinds[kind]);
        // MemCachier's form has to be asked for.
        bmemc_client *right = user("alice", "right"), *wrong = user("alice", "wrong"), *nobody = user("", "");
        if (kind < 2) STATUS(BMEMC_NOT_FOUND, read_of(right, "k"));
        STATUS(BMEMC_E_AUTH, read_of(wrong, "k"));
        EXPECT(!strstr(error.message, "wrong"));
        STATUS(BMEMC_E_AUTH, read_of(wrong, "k"));
        EXPECT(error.bits == BMEMC_BIT_NOT_SENT);
        if (kind < 2) {
            STATUS(BMEMC_OK, bmemc_client_set_credentials(wrong, text("alice"), text("right"), e));
            STATUS(BMEMC_NOT_FOUND, read_of(wrong, "k"));
        }
        STATUS(BMEMC_E_AUTH, read_of(nobody, "k"));
        bmemc_client_free(right);
        bmemc_client_free(wrong);
        bmemc_client_free(nobody);
    }
    set("auth", "none");
    bmemc_client *client = user("alice", "right");
    STATUS(BMEMC_E_AUTH, read_of(client, "k"));
    EXPECT(strstr(error.message, "auth_optional") != NULL);
    STATUS(BMEMC_OK, bmemc_client_set_credentials(client, text(""), text(""), e));
    STATUS(BMEMC_NOT_FOUND, read_of(client, "k"));
    bmemc_client_free(client);
}

// In a child the client goes on with the credentials that its parent set, and the server is the parent's.
static void forked(void) {
    set("auth", "sasl");
    // Where valgrind finds it in the child too.
    static bmemc_client *client;
    client = user("alice", "wrong");
    STATUS(BMEMC_OK, bmemc_client_set_credentials(client, text("alice"), text("right"), e));
    STATUS(BMEMC_NOT_FOUND, read_of(client, "k"));
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int read = read_of(client, "k"), set = bmemc_server_set(server, text("auth"), text("none"), NULL);
        // valgrind would count what the server's thread held as lost: the child is left without it.
        const char *program = read == BMEMC_NOT_FOUND && set == BMEMC_E_FORKED ? "true" : "false";
        execlp(program, program, (char *)NULL);
        _exit(98);
    }
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bmemc_client_free(client);
    set("auth", "none");
}

static void faults_and_the_clock(void) {
    bmemc_client *client = client_of(bmemc_server_address(server), "protocol", "binary");
    STATUS(BMEMC_OK, bmemc_set(client, text("k"), text("v"), 0, 100, e));
    set("fault", "command=get count=1 close");
    STATUS(BMEMC_E_CONNECTION, read_of(client, "k"));
    set("fault", "command=get count=1 error=out of order");
    STATUS(BMEMC_E_SERVER_ERROR, read_of(client, "k"));
    EXPECT(strstr(error.message, "out of order") != NULL);
    STATUS(BMEMC_OK, read_of(client, "k"));
    ARGUMENT("delay=MILLISECONDS", bmemc_server_set(server, text("fault"), text("explode"), e));
    set("fault", "");
    set("advance_seconds", "101");
    STATUS(BMEMC_NOT_FOUND, read_of(client, "k"));
    bmemc_client_free(client);
}

struct sockets {
    int opened, connected, refuse;
    char address[64];
};

static int32_t see(int32_t fd, int32_t stage, bmemc_bytes address, void *context) {
    struct sockets *sockets = context;
    EXPECT(fcntl(fd, F_GETFD) >= 0);
    snprintf(sockets->address, sizeof sockets->address, "%.*s", (int)address.len, (const char *)address.data);
    if (stage == BMEMC_CONNECT_OPENED) sockets->opened++;
    if (stage == BMEMC_CONNECT_CONNECTED) sockets->connected++;
    return sockets->refuse;
}

static void the_callback_and_the_pool(void) {
    struct sockets sockets = {0, 0, 0, ""};
    bmemc_options *options = bmemc_options_new();
    bmemc_client *client = NULL;
    bmemc_pool pool;
    STATUS(BMEMC_OK, bmemc_options_set(options, text("protocol"), text("text"), e));
    // What the callback refuses is a connection that could not be made, and the next call is to try again at once.
    STATUS(BMEMC_OK, bmemc_options_set(options, text("failover"), text("none"), e));
    STATUS(BMEMC_OK, bmemc_options_on_connect(options, see, &sockets, e));
    STATUS(BMEMC_OK, bmemc_options_add_server(options, text(bmemc_server_address(server)), text(""), 1, e));
    STATUS(BMEMC_OK, bmemc_client_new(options, &client, e));
    bmemc_options_free(options);
    sockets.refuse = 9;
    STATUS(BMEMC_E_CONNECTION, read_of(client, "k"));
    EXPECT(strstr(error.message, "refused it (9)") != NULL);
    EXPECT(sockets.opened == 1 && sockets.connected == 0);
    sockets.refuse = 0;
    STATUS(BMEMC_NOT_FOUND, read_of(client, "k"));
    EXPECT(sockets.opened == 2 && sockets.connected == 1);
    EXPECT(strcmp(sockets.address, bmemc_server_address(server)) == 0);
    STATUS(BMEMC_OK, bmemc_client_pool(client, -1, &pool, e));
    EXPECT(pool.used == 0 && pool.free == 1 && pool.open == 1 && pool.waiting == 0);
    STATUS(BMEMC_OK, bmemc_disconnect_all(client, e));
    STATUS(BMEMC_OK, bmemc_client_pool(client, 0, &pool, e));
    EXPECT(pool.open == 0 && pool.free == 0);
    STATUS(BMEMC_NOT_FOUND, read_of(client, "k"));
    EXPECT(sockets.opened == 3);
    bmemc_client_free(client);
}

// Nobody listens on port 1: the breaker opens, and disconnect_all() forgets it.
static void the_health_of_a_server(void) {
    bmemc_client *client = client_of("127.0.0.1:1", "protocol", "text");
    bmemc_health health;
    STATUS(BMEMC_OK, bmemc_client_health(client, 0, &health, e));
    EXPECT(health.state == BMEMC_HEALTH_UP && health.failures == 0 && health.probe_in_ms == 0);
    EXPECT(health.why.status == BMEMC_OK && health.why.message[0] == 0);
    STATUS(BMEMC_E_CONNECTION, read_of(client, "k"));
    STATUS(BMEMC_OK, bmemc_client_health(client, 0, &health, e));
    EXPECT(health.state == BMEMC_HEALTH_OUT && health.failures == 1 && health.probe_in_ms <= 250);
    EXPECT(health.why.status == BMEMC_E_CONNECTION && health.why.os_error == ECONNREFUSED && health.why.bits == 0);
    EXPECT(strstr(health.why.message, "127.0.0.1:1") != NULL);
    STATUS(BMEMC_OK, bmemc_disconnect_all(client, e));
    STATUS(BMEMC_OK, bmemc_client_health(client, 0, &health, e));
    EXPECT(health.state == BMEMC_HEALTH_UP && health.failures == 0);
    EXPECT(health.why.os_error == ECONNREFUSED); // what was the last failure is still said
    for (int i = 0; i < 5; i++) EXPECT(health.reserved[i] == 0);
    bmemc_client_free(client);
}

static void keys(void) {
    bmemc_client *client = client_of("127.0.0.1", "protocol", "text");
    char longest[251];
    memset(longest, 'x', sizeof longest);
    STATUS(BMEMC_OK, bmemc_check_key(client, text("good"), e));
    STATUS(BMEMC_OK, bmemc_check_key(client, bytes(longest, 250), e));
    ARGUMENT("251", bmemc_check_key(client, bytes(longest, 251), e));
    ARGUMENT("empty", bmemc_check_key(client, text(""), e));
    ARGUMENT("0x20", bmemc_check_key(client, text("a b"), e));
    bmemc_client_free(client);
}

static void addresses(void) {
    static const struct {
        const char *text, *host;
        int32_t kind;
        uint32_t port;
    } good[] = {
        {"LocalHost", "localhost", BMEMC_ADDRESS_NAME, 11211},
        {"127.0.0.1:5000", "127.0.0.1", BMEMC_ADDRESS_IPV4, 5000},
        {"::1", "::1", BMEMC_ADDRESS_IPV6, 11211},
        {"[::1]:5000", "::1", BMEMC_ADDRESS_IPV6, 5000},
        {"/run/x.sock", "/run/x.sock", BMEMC_ADDRESS_UNIX, 0},
        {"unix:/run/x.sock", "/run/x.sock", BMEMC_ADDRESS_UNIX, 0},
    };
    bmemc_address parsed;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        STATUS(BMEMC_OK, bmemc_address_parse(text(good[i].text), &parsed, e));
        EXPECT(parsed.kind == good[i].kind && parsed.port == good[i].port && strcmp(parsed.host, good[i].host) == 0);
    }
    const char *bad[] = {"", "host:blah", "host:-1", "host:99999", "[::1", "user@host", "unix:x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        parsed.port = 7;
        ARGUMENT("[::1]:port", bmemc_address_parse(text(bad[i]), &parsed, e));
        EXPECT(parsed.port == 0 && parsed.host[0] == 0);
    }
}

int main(void) {
    if (bmemc_server_start(text(""), &server, &error) != BMEMC_OK) {
        printf("the embedded server does not start: %s\n", error.message);
        return 1;
    }
    RUN(wrong_arguments);
    RUN(a_password_is_in_no_message);
    RUN(logins);
    RUN(forked);
    RUN(faults_and_the_clock);
    RUN(the_callback_and_the_pool);
    RUN(the_health_of_a_server);
    RUN(keys);
    RUN(addresses);
    bmemc_server_free(server);
    return finish();
}
