package bmemc_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/libbmemc/bmemc"
)

// What other clients really computed: tests/vectors/rings.json.
type ringVectors struct {
	Servers    []string
	Weights    []int
	Keys       []string
	BinaryKeys []string `json:"binary_keys_hex"`
	Hash       map[string][]uint64
	Ring       map[string][]int
}

func readVectors(t *testing.T) ringVectors {
	t.Helper()
	text, err := os.ReadFile("../../tests/vectors/rings.json")
	wantOK(t, err)
	var vectors ringVectors
	wantOK(t, json.Unmarshal(text, &vectors))
	return vectors
}

func TestVectorsOfRings(t *testing.T) {
	vectors := readVectors(t)
	tests := map[string]struct {
		distribution, keyHash string
		weights               []int // nil: all 1
	}{
		"pymemcache_rendezvous":                   {"rendezvous", "", nil},
		"libmemcached_modula":                     {"modulo", "", nil},
		"libmemcached_ketama":                     {"ketama_unweighted", "", nil},
		"libmemcached_ketama_md5":                 {"ketama_unweighted", "md5", nil},
		"libmemcached_ketama_weighted":            {"ketama", "", vectors.Weights},
		"libmemcached_ketama_weighted_equal":      {"ketama", "", nil},
		"libmemcached_ketama_spy_weighted":        {"ketama_spy", "", vectors.Weights},
		"spymemcached_ketama":                     {"spymemcached", "", nil},
		"spymemcached_ketama_libmemcached_format": {"ketama", "", nil},
		"spymemcached_ketama_weighted":            {"ketama", "", vectors.Weights},
		"spymemcached_arraymod":                   {"modulo", "java", nil},
		"twemproxy_ketama_fnv1a_64":               {"twemproxy", "", vectors.Weights},
		"twemproxy_ketama_equal":                  {"twemproxy", "", nil},
		"gomemcache":                              {"gomemcache", "", nil},
		"mc_go":                                   {"memcachier", "", nil},
		"dalli":                                   {"dalli", "", nil},
		"dalli_weighted":                          {"dalli", "", vectors.Weights},
		"mcrouter_ch3":                            {"ch3", "", nil},
		"mcrouter_wch3":                           {"weighted_ch3", "", []int{10, 5, 3, 10}},
		"mcrouter_crc32":                          {"mcrouter_crc32", "", nil},
		"mcrouter_rendezvous":                     {"mcrouter_rendezvous", "", nil},
		"mcrouter_weighted_rendezvous":            {"mcrouter_weighted_rendezvous", "", []int{10, 5, 1, 7}},
		"memjs":                                   {"memjs", "", nil},
		"uhashring_bmemcached":                    {"bmemcached", "", nil},
	}
	for name, chosen := range vectors.Ring {
		test, ok := tests[name]
		if !ok {
			t.Errorf("%s is not tried", name)
			continue
		}
		options := bmemc.Options{Distribution: test.distribution, KeyHash: test.keyHash, Servers: bmemc.Servers(vectors.Servers...)}
		for i, weight := range test.weights {
			options.Servers[i].Weight = weight
		}
		ring := newRing(t, options)
		for i, key := range vectors.Keys {
			if server, err := ring.Get(key); err != nil || server != chosen[i] {
				t.Errorf("%s: %q goes to %d, %v; not %d", name, key, server, err, chosen[i])
			}
		}
	}
}

func TestVectorsOfKeyHashes(t *testing.T) {
	vectors := readVectors(t)
	var binary []string
	for _, written := range vectors.BinaryKeys {
		key, err := hex.DecodeString(written)
		wantOK(t, err)
		binary = append(binary, string(key))
	}
	if len(vectors.Hash) < 20 {
		t.Fatalf("only %d key hashes have vectors", len(vectors.Hash))
	}
	for name, hashes := range vectors.Hash {
		keys := vectors.Keys
		if strings.Contains(name, "_bin") {
			name, keys = strings.Replace(name, "_bin", "", 1), binary
		}
		for i, key := range keys {
			if hash, err := bmemc.KeyHash(name, key); err != nil || hash != hashes[i] {
				t.Errorf("%s of %q: %d, %v; not %d", name, key, hash, err, hashes[i])
			}
		}
	}
}

func newRing(t *testing.T, options bmemc.Options) *bmemc.Ring {
	t.Helper()
	ring, err := bmemc.NewRing(options)
	wantOK(t, err)
	t.Cleanup(func() { ring.Close() })
	return ring
}

func TestRingChanges(t *testing.T) {
	ring := newRing(t, bmemc.Options{Distribution: "ketama"})
	_, err := ring.Get("k")
	wantError(t, err, bmemc.ErrNotFound)
	for i := range 4 {
		wantOK(t, ring.Add(bmemc.Server{Address: fmt.Sprintf("10.0.0.%d", i+1), Name: fmt.Sprint("cache-", i)}))
	}
	wantError(t, ring.Add(bmemc.Server{Address: "h", Name: "cache-1"}), bmemc.ErrArgument)
	wantError(t, ring.Remove("nobody"), bmemc.ErrNotFound)
	first, err := ring.Get("k")
	wantOK(t, err)
	order, err := ring.Successors("k", 10)
	wantOK(t, err)
	if len(order) != 4 || order[0] != first {
		t.Fatal(order, first)
	}
	slices.Sort(order)
	if !slices.Equal(order, []int{0, 1, 2, 3}) {
		t.Fatal(order)
	}
	wantOK(t, ring.Remove(fmt.Sprint("cache-", first)))
	servers, err := ring.Servers()
	if err != nil || len(servers) != 3 || servers[0].Weight != 1 {
		t.Fatal(servers, err)
	}
}

func TestRingByACallback(t *testing.T) {
	route := func(key string, count int) int {
		switch key {
		case "none":
			return count
		case "wrong":
			return -1
		case "panics":
			panic(key)
		}
		return len(key) % count
	}
	options := bmemc.Options{Servers: bmemc.Servers("a", "b", "c"), Route: route}
	ring := newRing(t, options)
	for key, wanted := range map[string]int{"x": 1, "xx": 2, "xxx": 0} {
		if server, err := ring.Get(key); err != nil || server != wanted {
			t.Errorf("%s: %d, %v", key, server, err)
		}
	}
	for _, key := range []string{"none", "wrong", "panics"} {
		_, err := ring.Get(key)
		wantError(t, err, bmemc.ErrNotFound)
	}
}

func TestRingMisuse(t *testing.T) {
	closed := newRing(t, bmemc.Options{})
	wantOK(t, closed.Close())
	wantOK(t, closed.Close())
	for _, ring := range []*bmemc.Ring{nil, {}, closed} {
		for name, call := range map[string]func() error{
			"Add":        func() error { return ring.Add(bmemc.Server{Address: "h"}) },
			"Remove":     func() error { return ring.Remove("h") },
			"Get":        func() error { _, err := ring.Get("k"); return err },
			"Successors": func() error { _, err := ring.Successors("k", 3); return err },
			"Servers":    func() error { _, err := ring.Servers(); return err },
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), "the ring is nil, closed") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	var none *bmemc.Ring
	wantError(t, none.Close(), bmemc.ErrArgument)
	_, err := bmemc.NewRing(bmemc.Options{Distribution: "circle"})
	wantError(t, err, bmemc.ErrArgument)
	_, err = newRing(t, bmemc.Options{}).Successors("k", -1)
	wantError(t, err, bmemc.ErrArgument)
	_, err = bmemc.KeyHash("sha3", "k")
	wantError(t, err, bmemc.ErrArgument)
}
