package bmemc_test

import (
	"context"
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

// Few goroutines on one processor hand each other the right to fetch: each gets its own answers, also while calls are given
// up in between.
func TestFewGoroutinesOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	server := startMemcached(t, "tcp")
	for _, goroutines := range []int{1, 2, 3} {
		c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: 30 * time.Second})
		var group sync.WaitGroup
		for worker := range goroutines {
			group.Add(1)
			go func() {
				defer group.Done()
				key := fmt.Sprintf("%s-%d", newKey(), worker)
				mustSet(t, c, key, key)
				for i := range 3000 {
					ctx, cancel := background, func() {}
					if i%7 == worker {
						ctx, cancel = context.WithTimeout(background, time.Duration(i%60)*time.Microsecond)
					}
					item, err := c.Get(ctx, key)
					cancel()
					if ctx == background && err != nil || err == nil && string(item.Value) != key {
						t.Errorf("%d goroutines, %s: %v, %v", goroutines, key, item, err)
						return
					}
				}
			}()
		}
		group.Wait()
	}
}

// Who fetches for another leaves when its own context ends, although answers for the other keep coming; and who asks again
// and again gets on although a call beside it has no answer.
func TestWhoLeadsCanLeave(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	good, hanging := startMemcached(t, "tcp"), startMemcached(t, "tcp")
	c := newClient(t, bmemc.Options{
		Servers: bmemc.Servers(good.address, hanging.address), Timeout: time.Minute,
		Route: func(key string, count int) int { return int(key[0] - '0') },
	})
	mustSet(t, c, "0", "good")
	mustSet(t, c, "1", "hanging")
	for range 100 {
		mustGet(t, c, "0", "good") // so that calls are led by their callers
	}
	hanging.pause(t)
	over := make(chan struct{})
	calls := make(chan int, 1)
	go func() {
		count := 0
		defer func() { calls <- count }()
		for ; ; count++ {
			select {
			case <-over:
				return
			default:
				mustGet(t, c, "0", "good")
			}
		}
	}()
	for range 20 {
		ctx, cancel := context.WithCancel(background) // the library would know of a deadline
		time.AfterFunc(20*time.Millisecond, cancel)
		began := time.Now()
		_, err := c.Get(ctx, "1")
		wantError(t, err, bmemc.ErrCancelled)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("it took %v to leave", took)
		}
	}
	close(over)
	if count := <-calls; count < 20 {
		t.Fatalf("%d calls while 20 were cancelled", count)
	}
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
