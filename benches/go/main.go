// Measures a Go client as the programs in C measure theirs: goroutines that call one after the other, every value compared,
// one line of JSON at the end. `raw --case fill` must have stored the keys.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A plan is what the command line asked for.
type plan struct {
	client, name, server string
	seconds              float64
	ops, warmup          uint64
	goroutines, batch    int
	value                int
}

// client is what both libraries can do.
type client interface {
	get(key string) ([]byte, error)
	getMulti(keys []string, found func(key string, value []byte)) error
}

// run is one measurement under way.
type run struct {
	*plan
	client client
	keys   []string
	// Goroutines end when this is set, or when so many operations were begun.
	over  atomic.Bool
	begun atomic.Uint64
	limit uint64
	done  atomic.Uint64
}

type usage struct {
	clock     time.Time
	user, sys time.Duration
	allocs    uint64
}

func main() {
	p := &plan{}
	flag.StringVar(&p.client, "client", "bmemc", "bmemc or gomemcache")
	flag.StringVar(&p.name, "case", "get", "get or get-multi")
	flag.StringVar(&p.server, "server", "127.0.0.1:11211", "host:port, or /path of a socket")
	flag.Float64Var(&p.seconds, "seconds", 1, "how long to measure")
	flag.Uint64Var(&p.ops, "ops", 0, "how many operations to measure, instead of a time")
	flag.Uint64Var(&p.warmup, "warmup", 3000, "operations of all goroutines before that")
	flag.IntVar(&p.goroutines, "goroutines", 1, "goroutines")
	flag.IntVar(&p.batch, "batch", 100, "keys in one get-multi")
	flag.IntVar(&p.value, "value", 100, "bytes of a value")
	flag.Parse()
	if err := p.measure(); err != nil {
		fmt.Fprintln(os.Stderr, "go_clients:", err)
		os.Exit(1)
	}
}

func (p *plan) measure() error {
	make := map[string]func(*plan) (client, error){"bmemc": newBmemc, "gomemcache": newGomemcache}[p.client]
	if make == nil {
		return fmt.Errorf("--client %q is not bmemc or gomemcache", p.client)
	}
	client, err := make(p)
	if err != nil {
		return err
	}
	r := &run{plan: p, client: client, keys: keysOf(p.value)}
	if err := r.loop(0, p.warmup); err != nil {
		return err
	}
	runtime.GC()
	from := now()
	if err := r.loop(p.seconds, p.ops); err != nil {
		return err
	}
	return r.report(from, now())
}

// keysOf are the keys that `raw --case fill` stores for values of this size.
func keysOf(value int) []string {
	keys := make([]string, min(max(4_000_000/max(value, 1), 4), 1000))
	for i := range keys {
		keys[i] = fmt.Sprintf("bench%07d:%07d", value, i)
	}
	return keys
}

// loop runs the goroutines for so long, or for so many operations where ops is not zero.
func (r *run) loop(seconds float64, ops uint64) error {
	r.over.Store(false)
	r.begun.Store(0)
	r.done.Store(0)
	r.limit = ops
	if ops == 0 {
		timer := time.AfterFunc(time.Duration(seconds*float64(time.Second)), func() { r.over.Store(true) })
		defer timer.Stop()
	}
	step := r.get
	if r.name == "get-multi" {
		step = r.getMulti
	} else if r.name != "get" {
		return fmt.Errorf("--case %q is not get or get-multi", r.name)
	}
	failed := make(chan error, r.goroutines)
	var group sync.WaitGroup
	for i := range r.goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := r.caller(i, step); err != nil {
				failed <- err
			}
		}()
	}
	group.Wait()
	close(failed)
	return <-failed
}

// caller is one goroutine.
func (r *run) caller(index int, step func(next int) (int, error)) error {
	next, done := index*37, uint64(0)
	defer func() { r.done.Add(done) }()
	for !r.over.Load() && (r.limit == 0 || r.begun.Add(1) <= r.limit) {
		count, err := step(next)
		if err != nil {
			return err
		}
		next += count
		done += uint64(count)
	}
	return nil
}

func (r *run) get(next int) (int, error) {
	key := r.keys[next%len(r.keys)]
	value, err := r.client.get(key)
	if err != nil {
		return 0, err
	}
	return 1, r.check(key, value)
}

func (r *run) getMulti(next int) (int, error) {
	first := next % len(r.keys)
	if first+r.batch > len(r.keys) {
		first = 0
	}
	keys, found := r.keys[first:first+r.batch], 0
	var wrong error
	err := r.client.getMulti(keys, func(key string, value []byte) {
		found++
		if err := r.check(key, value); err != nil {
			wrong = err
		}
	})
	if err == nil {
		err = wrong
	}
	if err == nil && found != len(keys) {
		err = fmt.Errorf("%d of %d keys were found", found, len(keys))
	}
	return len(keys), err
}

// check: a value begins with its key, so that a value under the wrong key is noticed.
func (r *run) check(key string, value []byte) error {
	if len(value) != r.value || !bytes.HasPrefix(value, []byte(key)[:min(len(key), r.value)]) {
		return fmt.Errorf("key %s: %d bytes that are not what was stored", key, len(value))
	}
	return nil
}

func now() usage {
	var from syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &from)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return usage{time.Now(), time.Duration(from.Utime.Nano()), time.Duration(from.Stime.Nano()), memory.Mallocs}
}

func (r *run) report(from, to usage) error {
	ops, seconds := float64(max(r.done.Load(), 1)), to.clock.Sub(from.clock).Seconds()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"program": "go_clients " + r.plan.client, "case": r.name, "threads": r.goroutines, "value": r.value, "ops": r.done.Load(),
		"seconds": seconds, "ops_per_s": ops / seconds,
		"user_us_per_op": float64((to.user - from.user).Microseconds()) / ops,
		"sys_us_per_op":  float64((to.sys - from.sys).Microseconds()) / ops,
		"allocs_per_op":  float64(to.allocs-from.allocs) / ops,
	})
}
