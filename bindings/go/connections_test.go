package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

func TestConnections(t *testing.T) {
	server := bmemctest.NewServer(t)
	var opened, connected atomic.Int32
	var refuse atomic.Bool
	c, err := bmemc.New(bmemc.Options{
		Servers:  bmemc.Servers(server.Address()),
		Protocol: "text",
		// What the callback refuses is a connection that could not be made; the next call is to try again at once.
		Failover: "none",
		OnConnect: func(fd int, stage bmemc.ConnectStage, address string) error {
			if stage == bmemc.ConnectOpened {
				opened.Add(1)
			} else {
				connected.Add(1)
			}
			if fd < 0 || address != server.Address() || refuse.Load() {
				return errors.New("refused")
			}
			return nil
		},
	})
	wantOK(t, err)
	defer c.Close()
	refuse.Store(true)
	if _, err := c.Get(context.Background(), "k"); !errors.Is(err, bmemc.ErrConnection) {
		t.Fatal(err)
	}
	refuse.Store(false)
	if _, err := c.Get(context.Background(), "k"); !errors.Is(err, bmemc.ErrNotFound) {
		t.Fatal(err)
	}
	if opened.Load() != 2 || connected.Load() != 1 {
		t.Fatal(opened.Load(), connected.Load())
	}
	pool, err := c.Pool()
	wantOK(t, err)
	if pool.Open != 1 || pool.Free != 1 || pool.Used != 0 {
		t.Fatal(pool)
	}
	// Cleared: the next call has a connection of its own.
	wantOK(t, c.DisconnectAll())
	if _, err := c.Get(context.Background(), "k"); !errors.Is(err, bmemc.ErrNotFound) {
		t.Fatal(err)
	}
	pool, err = c.Pool()
	wantOK(t, err)
	if pool.Open != 1 || pool.Free != 1 || opened.Load() != 3 || connected.Load() != 2 {
		t.Fatal(pool, opened.Load(), connected.Load())
	}
	wantOK(t, c.CheckKey("good"))
	if err := c.CheckKey("not good"); !errors.Is(err, bmemc.ErrArgument) {
		t.Fatal(err)
	}
	address, err := bmemc.ParseAddress("[::1]:5000")
	wantOK(t, err)
	if address != (bmemc.Address{Kind: bmemc.AddressIPv6, Host: "::1", Port: 5000}) {
		t.Fatal(address)
	}
	if _, err := bmemc.ParseAddress("host:blah"); !errors.Is(err, bmemc.ErrArgument) {
		t.Fatal(err)
	}
}

func TestHealth(t *testing.T) {
	server := bmemctest.NewServer(t)
	c, err := bmemc.New(bmemc.Options{
		Servers: []bmemc.Server{{Address: server.Address()}, {Address: "127.0.0.1:1", Name: "nobody"}},
	})
	wantOK(t, err)
	defer c.Close()
	ctx := context.Background()
	var keys [2]string
	for i := 0; keys[0] == "" || keys[1] == ""; i++ {
		key := fmt.Sprint("k", i)
		owner, err := c.ServerFor(key)
		wantOK(t, err)
		keys[owner.Index] = key
	}
	if _, err := c.Get(ctx, keys[0]); !errors.Is(err, bmemc.ErrNotFound) {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Get(ctx, keys[1]); !errors.Is(err, bmemc.ErrConnection) {
			t.Fatal(err)
		}
	}
	good, err := c.Health(0)
	wantOK(t, err)
	if good.State != bmemc.HealthUp || good.Failures != 0 || good.Why != nil || good.ProbeIn != 0 {
		t.Fatalf("%+v", good)
	}
	bad, err := c.Health(1)
	wantOK(t, err)
	if bad.State.String() != "out" || bad.Failures < 1 || !errors.Is(bad.Why, bmemc.ErrConnection) || bad.ProbeIn > 10*time.Second {
		t.Fatalf("%+v", bad)
	}
	counters, err := c.ServerCounters(1)
	wantOK(t, err)
	if counters.BreakerOpened != 1 || counters.FailedFast < 1 {
		t.Fatalf("%+v", counters)
	}
	wantOK(t, c.DisconnectAll())
	again, err := c.Health(1)
	wantOK(t, err)
	if again.State != bmemc.HealthUp || again.Failures != 0 || again.Why == nil {
		t.Fatalf("%+v", again)
	}
}
