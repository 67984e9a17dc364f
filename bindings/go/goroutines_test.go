package bmemc_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
)

// Any number of goroutines, all kinds of calls at once: each gets the answer to what it asked.
func TestManyGoroutines(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		var group sync.WaitGroup
		for worker := range 60 {
			group.Add(1)
			go func() {
				defer group.Done()
				for i := range 20 {
					if err := mixed(c, fmt.Sprintf("%s-%d", newKey(), worker), i); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		group.Wait()
	})
}

// mixed stores and reads in one of several ways, and says what was wrong.
func mixed(c *bmemc.Client, key string, way int) error {
	value := strings.Repeat(key+";", 1+way*way%50)
	if way%10 == 9 {
		value = strings.Repeat(key, 2_000) // too long for a batch
	}
	item := &bmemc.Item{Key: key, Value: []byte(value), Flags: uint32(way)}
	switch way % 3 {
	case 0:
		if err := c.SetMulti(background, []*bmemc.Item{item, {Key: key + "-2", Value: []byte("second")}}); err != nil {
			return err
		}
	default:
		if err := c.Set(background, item); err != nil {
			return err
		}
	}
	var got *bmemc.Item
	var err error
	if way%2 == 0 {
		got, err = c.Get(background, key)
	} else {
		var found map[string]*bmemc.Item
		found, err = c.GetMulti(background, []string{"nothing", key, key})
		got = found[key]
	}
	if err != nil {
		return err
	}
	if got == nil || string(got.Value) != value || got.Flags != uint32(way) {
		return fmt.Errorf("%s: %.60v", key, got)
	}
	return nil
}

// No thread is blocked for a goroutine that waits: a thousand of them wait at once, and there are few threads.
func TestNoThreadPerGoroutine(t *testing.T) {
	server := startMemcached(t, "tcp")
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: time.Minute})
	mustSet(t, c, "k", "v")
	server.pause(t)
	before := threads(t)
	var group sync.WaitGroup
	for range 1000 {
		group.Add(1)
		go func() {
			defer group.Done()
			mustGet(t, c, "k", "v")
		}()
	}
	time.Sleep(50 * time.Millisecond)
	more := threads(t) - before
	server.resume()
	group.Wait()
	if limit := 4 * runtime.GOMAXPROCS(0); more > limit {
		t.Fatalf("%d more threads for 1000 goroutines", more)
	}
}
