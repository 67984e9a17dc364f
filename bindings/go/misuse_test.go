package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

// everyCall is every call there is that takes a context.
func everyCall(c *bmemc.Client, ctx context.Context) map[string]func() error {
	item := &bmemc.Item{Key: "k", Value: []byte("v"), CAS: 1}
	return map[string]func() error{
		"Get":                 func() error { _, err := c.Get(ctx, "k"); return err },
		"Gets":                func() error { _, err := c.Gets(ctx, "k"); return err },
		"GetOr":               func() error { _, err := c.GetOr(ctx, "k", item); return err },
		"GetsOr":              func() error { _, err := c.GetsOr(ctx, "k", item); return err },
		"GetAndTouch":         func() error { _, err := c.GetAndTouch(ctx, "k", time.Hour); return err },
		"GetInto":             func() error { _, err := c.GetInto(ctx, "k", make([]byte, 9)); return err },
		"GetMulti":            func() error { _, err := c.GetMulti(ctx, []string{"k", "l"}); return err },
		"GetsMulti":           func() error { _, err := c.GetsMulti(ctx, []string{"k"}); return err },
		"Set":                 func() error { return c.Set(ctx, item) },
		"Add":                 func() error { return c.Add(ctx, item) },
		"Replace":             func() error { return c.Replace(ctx, item) },
		"Append":              func() error { return c.Append(ctx, item) },
		"Prepend":             func() error { return c.Prepend(ctx, item) },
		"CompareAndSwap":      func() error { return c.CompareAndSwap(ctx, item) },
		"SetMulti":            func() error { return c.SetMulti(ctx, []*bmemc.Item{item}) },
		"CompareAndSwapMulti": func() error { return c.CompareAndSwapMulti(ctx, []*bmemc.Item{item}) },
		"Delete":              func() error { return c.Delete(ctx, "k") },
		"DeleteMulti":         func() error { return c.DeleteMulti(ctx, []string{"k"}) },
		"Touch":               func() error { return c.Touch(ctx, "k", time.Hour) },
		"Increment":           func() error { _, err := c.Increment(ctx, "k", 1); return err },
		"Decrement":           func() error { _, err := c.Decrement(ctx, "k", 1); return err },
		"IncrementOrCreate":   func() error { _, err := c.IncrementOrCreate(ctx, "k", 1, 1, 0); return err },
		"DecrementOrCreate":   func() error { _, err := c.DecrementOrCreate(ctx, "k", 1, 1, 0); return err },
		"Do":                  func() error { _, err := c.Do(ctx, bmemc.Op{Opcode: bmemc.OpNoop}); return err },
		"Execute":             func() error { return firstError(c.Execute(ctx, []bmemc.Op{{Opcode: bmemc.OpNoop}})) },
		"GetValue":            func() error { _, err := bmemc.GetValue[int](ctx, c, "k"); return err },
		"GetValueOr":          func() error { _, err := bmemc.GetValueOr(ctx, c, "k", 1); return err },
		"SetValue":            func() error { return bmemc.SetValue(ctx, c, "k", 1, 0) },
		"Version":             func() error { _, err := c.Version(ctx); return err },
	}
}

func firstError(answers []bmemc.Answer, err error) error {
	if err == nil {
		err = answers[0].Err()
	}
	return err
}

// everyOther is every call that takes none.
func everyOther(c *bmemc.Client) map[string]func() error {
	return map[string]func() error{
		"Servers":        func() error { _, err := c.Servers(); return err },
		"AddServer":      func() error { return c.AddServer(bmemc.Server{Address: "h"}) },
		"RemoveServer":   func() error { return c.RemoveServer("h") },
		"DisconnectAll":  func() error { return c.DisconnectAll() },
		"ReplaceServers": func() error { return c.ReplaceServers(bmemc.Servers("h")) },
		"ServerFor":      func() error { _, err := c.ServerFor("k"); return err },
		"NewFallback":    func() error { _, err := bmemc.NewFallback(c); return err },
		"SetCredentials": func() error { return c.SetCredentials("u", "p") },
		"SetOption":      func() error { return c.SetOption("reconnect_delay_ms", "5") },
		"Counters":       func() error { _, err := c.Counters(); return err },
		"ServerCounters": func() error { _, err := c.ServerCounters(0); return err },
		"Health":         func() error { _, err := c.Health(0); return err },
		"Encode":         func() error { _, _, err := c.Encode(bmemc.Op{}); return err },
		"Decode":         func() error { _, err := c.Decode(nil, 0); return err },
	}
}

func wantAll(t *testing.T, wanted error, calls ...map[string]func() error) {
	t.Helper()
	for _, group := range calls {
		for name, call := range group {
			err := call()
			var failed *bmemc.Error
			if !errors.Is(err, wanted) || !errors.As(err, &failed) || failed.Message == "" {
				t.Errorf("%s: %v, not %v", name, err, wanted)
			}
		}
	}
}

func TestNoClient(t *testing.T) {
	for _, c := range []*bmemc.Client{nil, {}} {
		wantAll(t, bmemc.ErrArgument, everyCall(c, background), everyOther(c))
		wantError(t, c.Close(), bmemc.ErrArgument)
	}
	var server *bmemc.EmbeddedServer
	wantError(t, server.Close(), bmemc.ErrArgument)
	wantError(t, server.Set("users", ""), bmemc.ErrArgument)
	if server.Address() != "" {
		t.Fatal(server.Address())
	}
}

func TestNoContext(t *testing.T) {
	wantAll(t, bmemc.ErrArgument, everyCall(bmemctest.NewClient(t), nil))
}

func TestClosedClient(t *testing.T) {
	c := bmemctest.NewClient(t)
	mustSet(t, c, "k", "1")
	wantOK(t, c.Close())
	wantOK(t, c.Close())
	wantAll(t, bmemc.ErrClosed, everyCall(c, background), everyOther(c))
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	wantOK(t, err)
	address := listener.Addr().String()
	listener.Close()
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(address)})
	wantAll(t, bmemc.ErrConnection, everyCall(c, background))
	_, err = c.Get(background, "k")
	var failed *bmemc.Error
	if !errors.As(err, &failed) || !failed.NotSent() || !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), address) {
		t.Fatalf("%v: %+v", err, failed)
	}
	_, err = c.GetMulti(background, []string{"k", "l"})
	var many *bmemc.MultiError
	if !errors.As(err, &many) || len(many.Failed) != 1 || len(many.Failed[0].Keys) != 2 {
		t.Fatalf("%v: %+v", err, many)
	}
}

func TestBadOptions(t *testing.T) {
	good := bmemc.Servers("127.0.0.1")
	for words, options := range map[string]bmemc.Options{
		"server":                              {},
		`""`:                                  {Servers: bmemc.Servers("")},
		`"host:99999"`:                        {Servers: bmemc.Servers("host:99999")},
		"weight -1; a weight is 1 to 1000000": {Servers: []bmemc.Server{{Address: "h", Weight: -1}}},
		"timeout_ms":                          {Servers: good, Timeout: -time.Second},
		"1.5ms is not a whole number of 1ms":  {Servers: good, Timeout: 1500 * time.Microsecond},
		"connect_timeout_ms":                  {Servers: good, ConnectTimeout: 1000 * time.Hour},
		"connections":                         {Servers: good, Connections: -1},
		"auto, text, meta, binary":            {Servers: good, Protocol: "ascii"},
		"max_waiting":                         {Servers: good, MaxWaiting: math.MaxInt64},
		"none of Default, On and Off":         {Servers: good, NoDelay: 7},
		`unknown option "tiemout"`:            {Servers: good, Named: map[string]string{"tiemout": "1"}},
		`option no_delay: "maybe" is not`:     {Servers: good, Named: map[string]string{"no_delay": "maybe"}},
	} {
		c, err := bmemc.New(options)
		if c != nil || !errors.Is(err, bmemc.ErrArgument) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
	}
}

func TestBadArguments(t *testing.T) {
	c := bmemctest.NewClient(t)
	var noContext context.Context
	item := func(change func(*bmemc.Item)) *bmemc.Item {
		item := &bmemc.Item{Key: "k", Value: []byte("v")}
		change(item)
		return item
	}
	for words, call := range map[string]func() error{
		"the item is nil": func() error { return c.Set(background, nil) },
		"item 1 is nil":   func() error { return c.SetMulti(background, []*bmemc.Item{{Key: "k"}, nil}) },
		"it is at most":   func() error { return c.Set(background, item(func(i *bmemc.Item) { i.TTL = math.MaxInt64 })) },
		"no CAS":          func() error { return c.CompareAndSwap(background, item(func(*bmemc.Item) {})) },
		"opcode is 0":     func() error { _, err := c.Do(background, bmemc.Op{}); return err },
		"compress_level": func() error {
			_, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", CompressLevel: math.MaxInt})
			return err
		},
		"op_flags": func() error {
			_, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", OpFlags: 1 << 31})
			return err
		},
		"value_type": func() error {
			_, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", Type: 1 << 31})
			return err
		},
		"has 1048577 bytes; a key has 1 to 250": func() error { _, err := c.Get(background, strings.Repeat("k", 1<<20+1)); return err },
		"the routing key has 1048577 bytes; it has at most 1048576": func() error {
			_, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", RoutingKey: strings.Repeat("k", 1<<20+1)})
			return err
		},
		"meta_flags has 1048577 bytes; it has at most 1048576": func() error {
			_, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", MetaFlags: strings.Repeat("k", 1<<20+1)})
			return err
		},
		"the context is nil; context.Background()": func() error { _, err := c.Get(noContext, "k"); return err },
		"server is -2": func() error { _, err := c.ServerCounters(-2); return err },
		"server is -1": func() error { _, err := c.Health(-1); return err },
		"server 7":     func() error { _, err := c.Health(7); return err },
	} {
		err := call()
		var failed *bmemc.Error
		if !errors.Is(err, bmemc.ErrArgument) || !errors.As(err, &failed) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
	}
	mustSet(t, c, "k", "1")
}

// What is wrong in itself is told whatever the server does: this one is not there.
func TestBadArgumentsAtADeadServer(t *testing.T) {
	for _, protocol := range []string{"auto", "text", "meta", "binary"} {
		c := newClient(t, bmemc.Options{Servers: bmemc.Servers("127.0.0.1:1"), Protocol: protocol})
		keys := []string{"", strings.Repeat("k", 251)}
		if protocol != "binary" { // where a key has any bytes
			keys = append(keys, "a b", "a\r\nflush_all", "\x00", "\x7f")
		}
		for _, key := range keys {
			item := &bmemc.Item{Key: key, Value: []byte("v"), CAS: 1}
			for name, call := range map[string]func() error{
				"Get":         func() error { _, err := c.Get(background, key); return err },
				"Gets":        func() error { _, err := c.Gets(background, key); return err },
				"GetOr":       func() error { _, err := c.GetOr(background, key, item); return err },
				"GetsOr":      func() error { _, err := c.GetsOr(background, key, item); return err },
				"GetAndTouch": func() error { _, err := c.GetAndTouch(background, key, time.Hour); return err },
				"GetInto":     func() error { _, err := c.GetInto(background, key, make([]byte, 9)); return err },
				"GetMulti":    func() error { _, err := c.GetMulti(background, []string{key}); return err },
				"GetsMulti":   func() error { _, err := c.GetsMulti(background, []string{key}); return err },
				"Set":         func() error { return c.Set(background, item) },
				"Add":         func() error { return c.Add(background, item) },
				"Replace":     func() error { return c.Replace(background, item) },
				"Append":      func() error { return c.Append(background, item) },
				"Prepend":     func() error { return c.Prepend(background, item) },
				"SetMulti":    func() error { return c.SetMulti(background, []*bmemc.Item{item}) },
				"Delete":      func() error { return c.Delete(background, key) },
				"DeleteMulti": func() error { return c.DeleteMulti(background, []string{key}) },
				"Touch":       func() error { return c.Touch(background, key, time.Hour) },
				"Increment":   func() error { _, err := c.Increment(background, key, 1); return err },
				"Decrement":   func() error { _, err := c.Decrement(background, key, 1); return err },
				"GetValue":    func() error { _, err := bmemc.GetValue[int](background, c, key); return err },
				"GetValueOr":  func() error { _, err := bmemc.GetValueOr(background, c, key, 1); return err },
				"SetValue":    func() error { return bmemc.SetValue(background, c, key, 1, 0) },
				"CheckKey":    func() error { return c.CheckKey(key) },
				"CompareAndSwap": func() error {
					return c.CompareAndSwap(background, item)
				},
				"CompareAndSwapMulti": func() error {
					return c.CompareAndSwapMulti(background, []*bmemc.Item{item})
				},
			} {
				if err := call(); !errors.Is(err, bmemc.ErrArgument) {
					t.Errorf("%s %s %.20q: %v", protocol, name, key, err)
				}
			}
		}
		_, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", Server: 8})
		wantError(t, err, bmemc.ErrArgument)
		_, err = c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: "k", Server: -1})
		wantError(t, err, bmemc.ErrArgument)
		err = c.Set(background, &bmemc.Item{Key: "good"})
		wantError(t, err, bmemc.ErrConnection)
		if protocol == "binary" { // which has none of these
			continue
		}
		for _, err := range c.Metadump(background, "a b") {
			wantError(t, err, bmemc.ErrArgument)
		}
		_, err = c.Raw(background, "a\r\nb", "")
		wantError(t, err, bmemc.ErrArgument)
		_, err = c.Stats(background, "a\r\nb")
		wantError(t, err, bmemc.ErrArgument)
	}
}

func TestTooLarge(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		key := newKey()
		err := c.Set(background, &bmemc.Item{Key: key, Value: make([]byte, 2<<20)})
		wantError(t, err, bmemc.ErrTooLarge)
		err = c.SetMulti(background, []*bmemc.Item{{Key: newKey()}, {Key: key, Value: make([]byte, 2<<20)}})
		var many *bmemc.MultiError
		if !errors.As(err, &many) || len(many.Failed) != 1 || many.Failed[0].Keys[0] != key || !errors.Is(err, bmemc.ErrTooLarge) {
			t.Fatal(err)
		}
		err = c.Set(background, &bmemc.Item{Key: key, Value: make([]byte, 200<<20)})
		wantError(t, err, bmemc.ErrTooLarge)
		mustSet(t, c, key, "small")
		mustGet(t, c, key, "small")
	})
}

func TestServerStartErrors(t *testing.T) {
	_, err := bmemc.StartServer("no such\x00host:1:2")
	wantError(t, err, bmemc.ErrArgument)
	_, err = bmemc.StartServer("/no/such/folder/socket")
	wantError(t, err, bmemc.ErrConnection)
	first := bmemctest.NewServer(t)
	_, err = bmemc.StartServer(first.Address())
	wantError(t, err, syscall.EADDRINUSE)
	wantError(t, first.Set("no such thing", "1"), bmemc.ErrArgument)
	wantOK(t, first.Close())
	wantOK(t, first.Close())
	wantError(t, first.Set("users", ""), bmemc.ErrClosed)
}

// What servers must not say is a failure, never a value or a miss, and the client goes on.
func TestHostileServers(t *testing.T) {
	for name, reply := range map[string]string{
		"another key":    "VALUE other 0 1\r\nx\r\nEND\r\n",
		"no number":      "VALUE k 0 x\r\nEND\r\n",
		"huge":           "VALUE k 0 99999999999999999999\r\n",
		"wrong end":      "VALUE k 0 1\r\nxyz",
		"garbage":        "\x00\xff\x00\xff\r\n",
		"server error":   "SERVER_ERROR out of \"memory\"\r\n",
		"client error":   "CLIENT_ERROR \xff\xfe\r\n",
		"unknown":        "ERROR\r\n",
		"too much":       "END\r\nEND\r\nEND\r\n",
		"an endless one": strings.Repeat("x", 1<<16),
		"nothing":        "",
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, bmemc.Options{Servers: bmemc.Servers(hostileServer(t, reply)), Protocol: "text", Timeout: 5 * time.Second})
			for round := range 3 {
				item, err := c.Get(background, "k")
				if name == "too much" && errors.Is(err, bmemc.ErrNotFound) {
					continue
				}
				if err == nil || bmemc.IsRefusal(err) {
					t.Fatalf("round %d: %v, %v", round, item, err)
				}
			}
		})
	}
}

// hostileServer answers whatever it reads with the same words, and closes.
func hostileServer(t *testing.T, reply string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	wantOK(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 4096)); err == nil {
					fmt.Fprint(conn, reply)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// What can go wrong on the way is a failure with the right name, and the client goes on when it is over.
func TestFaults(t *testing.T) {
	server := bmemctest.NewServer(t)
	for fault, wanted := range map[string]error{
		"command=get delay=3000":          bmemc.ErrTimeout,
		"stall":                           bmemc.ErrTimeout,
		"close":                           bmemc.ErrConnection,
		"garbage":                         bmemc.ErrProtocol,
		"error=SERVER_ERROR out of order": bmemc.ErrServerError,
	} {
		t.Run(fault, func(t *testing.T) {
			// Each call is to meet the fault itself, however many there were before.
			c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address()), Protocol: "text", Timeout: 300 * time.Millisecond, Failover: "none"})
			mustSet(t, c, "k", "v")
			wantOK(t, server.Set("fault", fault))
			var group sync.WaitGroup
			for range 8 {
				group.Add(1)
				go func() {
					defer group.Done()
					if _, err := c.Get(background, "k"); !errors.Is(err, wanted) {
						t.Errorf("%v, not %v", err, wanted)
					}
				}()
			}
			group.Wait()
			_, err := c.GetMulti(background, []string{"k", "l"})
			wantError(t, err, wanted)
			wantOK(t, server.Set("fault", ""))
			eventually(t, "it works again", func() bool {
				item, err := c.Get(background, "k")
				return err == nil && string(item.Value) == "v"
			})
		})
	}
}

func TestLogins(t *testing.T) {
	server := bmemctest.NewServer(t)
	wantOK(t, server.Set("users", "ada:lovelace"))
	wantOK(t, server.Set("auth", "sasl"))
	options := bmemc.Options{Servers: bmemc.Servers(server.Address()), Username: "ada", Password: "lovelace",
		Timeout: 30 * time.Second, ConnectTimeout: 30 * time.Second}
	c := newClient(t, options)
	mustSet(t, c, "k", "v")
	options.Password = "byron-the-secret"
	stranger := newClient(t, options)
	_, err := stranger.Get(background, "k")
	wantError(t, err, bmemc.ErrAuth)
	if strings.Contains(err.Error(), options.Password) {
		t.Fatal("the message shows the password:", err)
	}
	wantOK(t, stranger.SetCredentials("ada", "lovelace"))
	mustGet(t, stranger, "k", "v")
	wantError(t, stranger.SetCredentials("ada", ""), bmemc.ErrArgument)
	wantOK(t, stranger.SetOption("reconnect_delay_ms", "5"))
	wantError(t, stranger.SetOption("reconnect_delay_ms", "soon"), bmemc.ErrArgument)
	wantError(t, stranger.SetOption("timeout_ms", "5"), bmemc.ErrUnsupported)
}
