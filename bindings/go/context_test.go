package bmemc_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

// A call whose context ends returns at once: its server does not answer for a long time.
func TestContextEndsTheCall(t *testing.T) {
	server := startMemcached(t, "tcp")
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: time.Minute})
	mustSet(t, c, "a", "old")
	server.pause(t)

	cancelled, cancel := context.WithCancel(background)
	time.AfterFunc(50*time.Millisecond, cancel)
	expired, cancelExpired := context.WithTimeout(background, 50*time.Millisecond)
	defer cancelExpired()
	cause := errors.New("we are shutting down")
	caused, cancelCaused := context.WithCancelCause(background)
	time.AfterFunc(50*time.Millisecond, func() { cancelCaused(cause) })
	for _, test := range []struct {
		context context.Context
		wanted  []error
	}{
		{cancelled, []error{bmemc.ErrCancelled, context.Canceled}},
		{expired, []error{bmemc.ErrTimeout, context.DeadlineExceeded}},
		{caused, []error{bmemc.ErrCancelled, cause}},
	} {
		for name, call := range map[string]func() error{
			"get":   func() error { _, err := c.Get(test.context, "a"); return err },
			"set":   func() error { return c.Set(test.context, &bmemc.Item{Key: "b", Value: []byte("late")}) },
			"multi": func() error { _, err := c.GetMulti(test.context, []string{"a", "b"}); return err },
		} {
			began := time.Now()
			err := call()
			if took := time.Since(began); took > time.Second { // a minute would be the client's own
				t.Errorf("%s took %v", name, took)
			}
			for _, wanted := range test.wanted {
				if !errors.Is(err, wanted) {
					t.Errorf("%s: %v is not %v", name, err, wanted)
				}
			}
			var failed *bmemc.Error
			if !errors.As(err, &failed) || failed.Bits == 0 {
				t.Errorf("%s: %+v does not say whether it was sent", name, failed)
			}
		}
	}

	// Late replies harm nobody.
	server.resume()
	for range 100 {
		key := newKey()
		mustSet(t, c, key, key)
		mustGet(t, c, key, key)
		mustGet(t, c, "a", "old")
	}
}

// The same where the caller is alone and waits inside the library, on its thread: it hears of the end there too.
func TestContextEndsACallThatLeads(t *testing.T) {
	server := startMemcached(t, "tcp")
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: time.Minute})
	mustSet(t, c, "a", "old")
	for name, call := range map[string]func(context.Context) error{
		"get":   func(ctx context.Context) error { _, err := c.Get(ctx, "a"); return err },
		"into":  func(ctx context.Context) error { _, err := c.GetInto(ctx, "a", make([]byte, 9)); return err },
		"set":   func(ctx context.Context) error { return c.Set(ctx, &bmemc.Item{Key: "b", Value: []byte("late")}) },
		"multi": func(ctx context.Context) error { _, err := c.GetMulti(ctx, []string{"a", "b"}); return err },
	} {
		for range 100 {
			mustGet(t, c, "a", "old") // so that calls are led by their callers
		}
		server.pause(t)
		ctx, cancel := context.WithCancel(background) // the library would know of a deadline
		began := time.Now()
		time.AfterFunc(20*time.Millisecond, cancel)
		err := call(ctx)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
		var failed *bmemc.Error
		if !errors.Is(err, bmemc.ErrCancelled) || !errors.As(err, &failed) || failed.Bits != bmemc.BitUnknownOutcome {
			t.Errorf("%s: %v, %+v", name, err, failed)
		}
		server.resume()
		for range 20 { // beside the late reply
			key := newKey()
			mustSet(t, c, key, key)
			mustGet(t, c, key, key)
			mustGet(t, c, "a", "old")
		}
	}
}

func TestContextAlreadyOver(t *testing.T) {
	c := bmemctest.NewClient(t)
	cancelled, cancel := context.WithCancel(background)
	cancel()
	past, cancelPast := context.WithDeadline(background, time.Now().Add(-time.Hour))
	defer cancelPast()
	for ctx, wanted := range map[context.Context]error{cancelled: context.Canceled, past: context.DeadlineExceeded} {
		for name, call := range everyCall(c, ctx) {
			err := call()
			var failed *bmemc.Error
			if !errors.Is(err, wanted) || !errors.As(err, &failed) || !failed.NotSent() {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	counters, err := c.Counters()
	wantOK(t, err)
	if counters.Operations != 0 {
		t.Fatalf("%d operations were begun", counters.Operations)
	}
}

// The earlier of the context's deadline and Options.Timeout counts.
func TestDeadlines(t *testing.T) {
	address := silentServer(t)
	for _, test := range []struct{ option, context time.Duration }{
		{100 * time.Millisecond, 0},
		{100 * time.Millisecond, time.Hour},
		{time.Hour, 100 * time.Millisecond},
	} {
		c := newClient(t, bmemc.Options{Servers: bmemc.Servers(address), Timeout: test.option, ConnectTimeout: 50 * time.Millisecond})
		ctx, cancel := background, func() {}
		if test.context > 0 {
			ctx, cancel = context.WithTimeout(background, test.context)
		}
		began := time.Now()
		_, err := c.Get(ctx, "a")
		took := time.Since(began)
		cancel()
		wantError(t, err, bmemc.ErrTimeout)
		if took < 40*time.Millisecond || took > 20*time.Second {
			t.Errorf("%+v: took %v", test, took)
		}
	}
}

// Many calls are cancelled at random moments while others go on: nobody gets the value of another key, nothing leaks.
func TestCancelStorm(t *testing.T) {
	server := startMemcached(t, "tcp")
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: 30 * time.Second})
	names := make([]string, 64)
	for i := range names {
		names[i] = newKey()
		mustSet(t, c, names[i], names[i])
	}
	var group sync.WaitGroup
	for worker := range 32 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 200 {
				ctx, cancel := background, func() {}
				if worker%2 == 0 {
					ctx, cancel = context.WithTimeout(background, time.Duration((worker*200+i)%300)*time.Microsecond)
				}
				name := names[(worker+i)%len(names)]
				item, err := c.Get(ctx, name)
				if err == nil && string(item.Value) != name {
					t.Errorf("%s has %q", name, item.Value)
				}
				if err != nil && (worker%2 != 0 || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("worker %d: %v", worker, err)
				}
				cancel()
			}
		}()
	}
	group.Wait()
}

// silentServer accepts and never answers.
func silentServer(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
		}
	}()
	return listener.Addr().String()
}
