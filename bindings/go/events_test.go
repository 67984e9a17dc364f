package bmemc_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []bmemc.Event
}

func (r *recorder) add(event bmemc.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

func (r *recorder) has(kind bmemc.EventKind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events {
		if event.Kind == kind {
			return true
		}
	}
	return false
}

func TestEvents(t *testing.T) {
	server := bmemctest.NewServer(t)
	r := &recorder{}
	var c *bmemc.Client
	c = newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address()), OnEvent: func(event bmemc.Event) {
		r.add(event)
		_, _ = c.Counters() // it may use the client
	}})
	mustSet(t, c, "k", "v")
	eventually(t, "connected", func() bool { return r.has(bmemc.EventConnected) })
	wantOK(t, server.Close())
	_, err := c.Get(background, "k")
	if err == nil {
		t.Fatal("it is closed")
	}
	eventually(t, "closed", func() bool { return r.has(bmemc.EventClosed) })
	_, _ = c.Get(background, "k")
	eventually(t, "connect failed", func() bool { return r.has(bmemc.EventConnectFailed) })
	for _, event := range r.events {
		if event.Kind == bmemc.EventConnectFailed && (!errors.Is(event.Err, bmemc.ErrConnection) || !strings.Contains(event.Message, server.Address())) {
			t.Fatalf("%+v", event)
		}
	}
}

// A client may be closed by its own event, and a handler that takes its time holds nobody up.
func TestEventsMayClose(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	wantOK(t, err)
	address := listener.Addr().String()
	listener.Close()
	closed := make(chan struct{})
	var once sync.Once
	var c *bmemc.Client
	c = newClient(t, bmemc.Options{Servers: bmemc.Servers(address), OnEvent: func(bmemc.Event) {
		c.Close()
		once.Do(func() { close(closed) })
	}})
	_, err = c.Get(background, "k")
	if err == nil {
		t.Fatal("nobody listens there")
	}
	<-closed
	_, err = c.Get(background, "k")
	wantError(t, err, bmemc.ErrClosed)
}

func TestLogEvents(t *testing.T) {
	var out bytes.Buffer
	log := bmemc.LogEvents(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log(bmemc.Event{Kind: bmemc.EventConnected, Server: 2, Elapsed: 1500, Message: "10.0.0.1:11211"})
	log(bmemc.Event{Kind: bmemc.EventConnectFailed, Err: bmemc.ErrTimeout, Message: "no answer", Lost: 3})
	for _, words := range []string{"level=DEBUG", "event=connected", "server=2", "elapsed=1.5", "level=WARN", `event="connect failed"`, "timed out", "lost=3"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("no %s in\n%s", words, out.String())
		}
	}
	bmemc.LogEvents(nil)(bmemc.Event{Kind: 99})
}
