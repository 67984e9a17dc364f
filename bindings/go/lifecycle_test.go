package bmemc_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

// Who waits when the client is closed, and who comes later, is told so at once.
func TestCloseWhileCallsWait(t *testing.T) {
	for name, close := range map[string]func(*bmemc.Client){
		"once":  func(c *bmemc.Client) { c.Close() },
		"often": func(c *bmemc.Client) { go c.Close(); go c.Close(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, bmemc.Options{Servers: bmemc.Servers(silentServer(t)), Protocol: "text", Timeout: time.Hour})
			var group sync.WaitGroup
			for i := range 50 {
				group.Add(1)
				go func() {
					defer group.Done()
					var err error
					if i%2 == 0 {
						_, err = c.Get(background, "k")
					} else {
						_, err = c.GetMulti(background, []string{"k", "l"})
					}
					if !errors.Is(err, bmemc.ErrClosed) {
						t.Errorf("%v", err)
					}
				}()
			}
			time.Sleep(20 * time.Millisecond)
			close(c)
			group.Wait()
			_, err := c.Get(background, "k")
			wantError(t, err, bmemc.ErrClosed)
		})
	}
}

// Calls and Close at the same time, again and again.
func TestCloseRaces(t *testing.T) {
	server := bmemctest.NewServer(t)
	for range 100 {
		c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address())})
		var group sync.WaitGroup
		for range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					_, err := c.Get(background, "k")
					if errors.Is(err, bmemc.ErrClosed) {
						return
					}
					if !errors.Is(err, bmemc.ErrNotFound) {
						t.Error(err)
						return
					}
				}
			}()
		}
		runtime.Gosched()
		c.Close()
		group.Wait()
	}
}

// A client is closed while callers are inside the library, or hand each other the right to be: each of them is told, once,
// Close returns, and nothing is left of the client.
func TestCloseWhileCallersAreInside(t *testing.T) {
	server := startMemcached(t, "tcp")
	rounds := 40
	if testing.Short() {
		rounds = 4
	}
	descriptors := openDescriptors(t)
	for _, processors := range []int{1, 2} {
		for _, goroutines := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprintf("%d processors, %d goroutines", processors, goroutines), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
				for round := range rounds {
					closeUnderCallers(t, server.address, goroutines, round)
				}
			})
		}
	}
	eventually(t, "all is gone", func() bool { return openDescriptors(t) <= descriptors })
}

// closeUnderCallers closes a client once its callers have made so many calls that they wait inside the library.
func closeUnderCallers(t *testing.T, address string, goroutines, round int) {
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(address), Timeout: 30 * time.Second})
	mustSet(t, c, "inside", "value")
	var group sync.WaitGroup
	var calls atomic.Int64
	for worker := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				var err error
				switch (worker + round) % 3 {
				case 0:
					_, err = c.Get(background, "inside")
				case 1:
					_, err = c.GetMulti(background, []string{"inside", "outside"})
				default:
					err = c.Set(background, &bmemc.Item{Key: "inside", Value: []byte("value")})
				}
				if errors.Is(err, bmemc.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		}()
	}
	for calls.Load() < int64(60+round) {
		time.Sleep(100 * time.Microsecond)
	}
	if round%2 == 0 {
		go c.Close()
	}
	c.Close()
	group.Wait()
}

// The one inside waits for a server that hangs: it is told at once all the same.
func TestCloseWhileTheOneInsideHangs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	server := startMemcached(t, "tcp")
	for _, after := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond} {
		c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: time.Hour})
		mustSet(t, c, "k", "v")
		for range 100 {
			mustGet(t, c, "k", "v") // so that calls are led by their callers
		}
		server.pause(t)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Get(background, "k")
			failed <- err
		}()
		time.Sleep(after)
		began := time.Now()
		c.Close()
		err := <-failed
		wantError(t, err, bmemc.ErrClosed)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		server.resume()
	}
}

// A client that was forgotten, and one that was closed, leave nothing behind: no goroutine, no descriptor, no thread.
func TestNothingIsLeft(t *testing.T) {
	server := bmemctest.NewServer(t)
	make := func(forget bool) {
		c, err := bmemc.New(bmemc.Options{Servers: bmemc.Servers(server.Address()), OnEvent: func(bmemc.Event) {}})
		wantOK(t, err)
		mustSet(t, c, "k", "v")
		mustGet(t, c, "k", "v")
		if !forget {
			c.Close()
		}
	}
	make(false)
	goroutines, descriptors, before := runtime.NumGoroutine(), openDescriptors(t), threads(t)
	for i := range 50 {
		make(i%2 == 0)
	}
	// Go keeps threads of its own, but not one for each of these.
	if now := threads(t); now > before+10 {
		t.Errorf("%d threads, and %d before", now, before)
	}
	eventually(t, "all is gone", func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= goroutines && openDescriptors(t) <= descriptors
	})
}

func openDescriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	wantOK(t, err)
	return len(entries)
}

// A forgotten client is not closed under a call that is still running: nothing but the call knows of it while garbage is
// collected.
func TestForgottenDuringACall(t *testing.T) {
	server := startMemcached(t, "tcp")
	for name, call := range map[string]func(*bmemc.Client) error{
		"get":    func(c *bmemc.Client) error { _, err := c.Get(background, "k"); return err },
		"multi":  func(c *bmemc.Client) error { _, err := c.GetMulti(background, []string{"k", "l"}); return err },
		"delete": func(c *bmemc.Client) error { return c.Delete(background, "k") },
		"execute": func(c *bmemc.Client) error {
			_, err := c.Execute(background, []bmemc.Op{{Opcode: bmemc.OpNoop}})
			return err
		},
		"stats": func(c *bmemc.Client) error { _, err := c.Stats(background, ""); return err },
	} {
		c, err := bmemc.New(bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: 30 * time.Second})
		wantOK(t, err)
		mustSet(t, c, "other", "")
		server.pause(t)
		go func() {
			defer server.resume()
			for range 10 {
				runtime.GC()
				time.Sleep(2 * time.Millisecond) // for what is done behind a collection
			}
		}()
		if err := call(c); err != nil && err != bmemc.ErrNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// resident is the memory that the process has, in bytes, after what is garbage has been given back.
func resident(t *testing.T) int {
	t.Helper()
	for range 3 {
		runtime.GC()
	}
	statm, err := os.ReadFile("/proc/self/statm")
	wantOK(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	wantOK(t, err)
	return pages * os.Getpagesize()
}

// Servers that go away and come back: failures while it is gone, answers afterwards, never a wrong one.
func TestServerRestarts(t *testing.T) {
	first := startMemcached(t, "tcp")
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(first.address), Timeout: 10 * time.Second})
	mustSet(t, c, "k", "v")
	first.stop()
	_, err := c.Get(background, "k")
	if err == nil || bmemc.IsRefusal(err) {
		t.Fatalf("%v", err)
	}
	server, err := bmemc.StartServer(first.address)
	if err != nil {
		t.Skip("the port was taken meanwhile:", err)
	}
	defer server.Close()
	eventually(t, "it is found again", func() bool {
		_, err := c.Get(background, "k")
		return err == bmemc.ErrNotFound
	})
}
