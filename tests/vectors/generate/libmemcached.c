// libmemcached's choices: its key hashes, and every one of them under modulo and both kinds of ketama.
//
//   libmemcached SERVERS KEYS         files: "host port weight" a line, a key a line; prints "options<TAB>numbers"

#include <libmemcached/memcached.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; memcached_hash_t hash; int is_signed; } hashes[] = {
    {"one_at_a_time", MEMCACHED_HASH_DEFAULT, 1}, {"md5", MEMCACHED_HASH_MD5, 0}, {"crc", MEMCACHED_HASH_CRC, 0},
    {"fnv1_64", MEMCACHED_HASH_FNV1_64, 1}, {"fnv1a_64", MEMCACHED_HASH_FNV1A_64, 1}, {"fnv1_32", MEMCACHED_HASH_FNV1_32, 1},
    {"fnv1a_32", MEMCACHED_HASH_FNV1A_32, 1}, {"hsieh", MEMCACHED_HASH_HSIEH, 1}, {"murmur", MEMCACHED_HASH_MURMUR, 0},
    {"murmur3", MEMCACHED_HASH_MURMUR3, 0}, {"jenkins", MEMCACHED_HASH_JENKINS, 0},
};
static const size_t hash_count = sizeof hashes / sizeof *hashes;

static char *keys[4096];
static size_t key_count;

static void read_keys(const char *path) {
    char line[1024];
    FILE *file = fopen(path, "rb");
    while (file && fgets(line, sizeof line, file) && key_count < 4096) {
        line[strcspn(line, "\n")] = 0;
        keys[key_count++] = strdup(line);
    }
    if (file) fclose(file);
}

static void add_servers(memcached_st *client, const char *path) {
    char host[256];
    unsigned port, weight;
    FILE *file = fopen(path, "rb");
    while (file && fscanf(file, "%255s %u %u", host, &port, &weight) == 3) {
        if (*host == '/') memcached_server_add_unix_socket_with_weight(client, host, weight);
        else memcached_server_add_with_weight(client, host, (in_port_t)port, weight);
    }
    if (file) fclose(file);
}

// Debian's library lacks some.
static int has(memcached_hash_t hash) {
    memcached_st *client = memcached_create(NULL);
    int has = memcached_behavior_set(client, MEMCACHED_BEHAVIOR_HASH, hash) == MEMCACHED_SUCCESS;
    memcached_free(client);
    return has;
}

static void name_of(char *words, size_t size, size_t hash) {
    snprintf(words, size, "%s%s", hashes[hash].name, hashes[hash].is_signed && CHAR_MIN == 0 ? "_unsigned" : "");
}

static void choices(const char *path, const char *distribution, memcached_behavior_t behavior, uint64_t value) {
    for (size_t hash = 0; hash < hash_count; hash++) {
        char name[64];
        if (!has(hashes[hash].hash)) continue;
        // The order matters: weighted ketama sets the hash, a distribution makes its points with the hash that is set, and a
        // weight that comes after it turns weights on. KETAMA_SPY has ketama's points only where weights are on.
        memcached_st *client = memcached_create(NULL);
        int is_spy = value == MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY;
        if (is_spy) memcached_behavior_set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
        if (behavior == MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED) memcached_behavior_set(client, behavior, value);
        memcached_behavior_set(client, MEMCACHED_BEHAVIOR_HASH, hashes[hash].hash);
        if (behavior != MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED) memcached_behavior_set(client, behavior, value);
        add_servers(client, path);
        name_of(name, sizeof name, hash);
        printf("distribution=%s key_hash=%s\t", distribution, name);
        for (size_t at = 0; at < key_count; at++)
            printf("%u ", memcached_generate_hash(client, keys[at], strlen(keys[at])));
        printf("\n");
        memcached_free(client);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    read_keys(argv[2]);
    for (size_t hash = 0; hash < hash_count; hash++) {
        char name[64];
        if (!has(hashes[hash].hash)) continue;
        name_of(name, sizeof name, hash);
        printf("key_hash=%s\t", name);
        for (size_t at = 0; at < key_count; at++)
            printf("%u ", memcached_generate_hash_value(keys[at], strlen(keys[at]), hashes[hash].hash));
        printf("\n");
    }
    choices(argv[1], "modulo", MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_MODULA);
    choices(argv[1], "ketama_unweighted", MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT);
    choices(argv[1], "ketama", MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    choices(argv[1], "ketama_spy", MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY);
    return 0;
}
