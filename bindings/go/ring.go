package bmemc

// #include "bridge.h"
import "C"

import (
	"runtime"
	"sync"
)

// Ring tells which of several servers a key belongs to, without a client; docs/rings.md says which ring shares a cache
// with which client. Any number of goroutines may use one.
type Ring struct {
	mu      sync.RWMutex
	handle  *C.bmemc_ring
	hooks   *hooks
	cleanup runtime.Cleanup
}

// NewRing makes a ring of the servers that the options have, in their order, as Distribution, KeyHash, HashTag, KeyForm,
// HashSeed, WeightUnit and Route say; the other options do not count. There may be no server yet.
func NewRing(options Options) (*Ring, error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	built, hooks, err := options.build()
	if err != nil {
		return nil, err
	}
	defer C.bmemc_options_free(built)
	r := &Ring{hooks: hooks}
	var words C.bmemc_error
	if status := C.bmemc_ring_new(built, &r.handle, &words); status != C.BMEMC_OK {
		hooks.close()
		return nil, failure(C.int32_t(status), &words)
	}
	r.cleanup = runtime.AddCleanup(r, freeRing, ringParts{r.handle, hooks})
	return r, nil
}

type ringParts struct {
	handle *C.bmemc_ring
	hooks  *hooks
}

func freeRing(r ringParts) {
	C.bmemc_ring_free(r.handle)
	r.hooks.close()
}

// Close frees the ring. It may be called more than once; a ring that is forgotten is freed by the garbage collector.
func (r *Ring) Close() error {
	if r == nil {
		return noRing()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handle != nil {
		r.cleanup.Stop()
		freeRing(ringParts{r.handle, r.hooks})
		r.handle = nil
	}
	return nil
}

func noRing() *Error { return refused("the ring is nil, closed, or was not made by NewRing") }

// Add adds a server at the end of the list. With a name its address may be empty.
func (r *Ring) Add(server Server) error {
	weight, err := server.weight()
	if err != nil {
		return err
	}
	return r.change(func(words *C.bmemc_error) error {
		return withBytes(server.Address, server.Name, func(address, name C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_ring_add(r.handle, address, name, weight, words)), words)
		})
	})
}

// Remove removes the server of this name, or of this address where it was given none. [ErrNotFound]: there is none.
func (r *Ring) Remove(name string) error {
	return r.change(func(words *C.bmemc_error) error {
		return withBytes(name, "", func(name, _ C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_ring_remove(r.handle, name, words)), words)
		})
	})
}

func (r *Ring) change(change func(*C.bmemc_error) error) error {
	if r == nil {
		return noRing()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handle == nil {
		return noRing()
	}
	var words C.bmemc_error
	return change(&words)
}

func (r *Ring) look(look func(*C.bmemc_error) error) error {
	if r == nil {
		return noRing()
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.handle == nil {
		return noRing()
	}
	var words C.bmemc_error
	return look(&words)
}

// Get returns the index, in the list of servers, of the one that has the key. [ErrNotFound]: the ring has no server.
func (r *Ring) Get(key string) (int, error) {
	var server C.uint32_t
	err := r.look(func(words *C.bmemc_error) error {
		return withBytes(key, "", func(key, _ C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_ring_get(r.handle, key, &server, words)), words)
		})
	})
	return int(server), err
}

// Successors returns the indices of at most so many servers: first the one that has the key, then those that it should
// try when that one is out, each once.
func (r *Ring) Successors(key string, most int) ([]int, error) {
	if most < 0 {
		return nil, refused("most is %d; it is 0 or more", most)
	}
	most = min(most, 1<<20)
	found := make([]C.uint32_t, max(most, 1))
	var count C.size_t
	err := r.look(func(words *C.bmemc_error) error {
		return withBytes(key, "", func(key, _ C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_ring_successors(r.handle, key, &found[0], C.size_t(most), &count, words)), words)
		})
	})
	servers := make([]int, count)
	for i := range servers {
		servers[i] = int(found[i])
	}
	return servers, err
}

// Servers lists the servers.
func (r *Ring) Servers() ([]ServerInfo, error) {
	var servers []ServerInfo
	err := r.look(func(words *C.bmemc_error) error {
		var results *C.bmemc_results
		if status := C.bmemc_ring_servers(r.handle, &results, words); status != C.BMEMC_OK {
			return asError(C.int32_t(status), words)
		}
		defer C.bmemc_results_free(results)
		servers = serverInfos(results)
		return nil
	})
	return servers, err
}

// KeyHash returns the hash of a key; name is one that Options.KeyHash accepts, but "auto". All have 32 bits, but xxh3 64.
func KeyHash(name, key string) (uint64, error) {
	var hash C.uint64_t
	var words C.bmemc_error
	err := withBytes(name, key, func(name, key C.bmemc_bytes) error {
		return asError(C.int32_t(C.bmemc_key_hash(name, key, &hash, &words)), &words)
	})
	return uint64(hash), err
}
