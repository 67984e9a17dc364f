package bmemc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

// several starts so many memcacheds, named cache-0, cache-1 …
func several(t *testing.T, count int) ([]bmemc.Server, []*daemon) {
	var servers []bmemc.Server
	var daemons []*daemon
	for i := range count {
		daemons = append(daemons, startMemcached(t, "tcp"))
		servers = append(servers, bmemc.Server{Address: daemons[i].address, Name: fmt.Sprint("cache-", i)})
	}
	return servers, daemons
}

func someKeys(count int) []string {
	var keys []string
	for range count {
		keys = append(keys, newKey())
	}
	return keys
}

// Each key is where the ring says, and a server that is gone takes only its own keys with it.
func TestHashedServers(t *testing.T) {
	servers, daemons := several(t, 3)
	c := newClient(t, bmemc.Options{Servers: servers, Distribution: "ketama", Timeout: 10 * time.Second, ConnectTimeout: 5 * time.Second})
	ring := newRing(t, bmemc.Options{Servers: servers, Distribution: "ketama"})
	names := someKeys(300)
	onServer := map[int][]string{}
	for _, name := range names {
		mustSet(t, c, name, name)
		index, err := ring.Get(name)
		wantOK(t, err)
		onServer[index] = append(onServer[index], name)
		if server, err := c.ServerFor(name); err != nil || server.Index != index || server.Name != servers[index].Name {
			t.Fatalf("%s: %+v, %v; not %d", name, server, err, index)
		}
	}
	for i, daemon := range daemons {
		alone := newClient(t, bmemc.Options{Servers: bmemc.Servers(daemon.address)})
		found, err := alone.GetMulti(background, names)
		if err != nil || len(found) != len(onServer[i]) || len(found) == 0 {
			t.Fatalf("server %d has %d keys, not %d: %v", i, len(found), len(onServer[i]), err)
		}
	}
	stats, err := c.Stats(background, "")
	wantOK(t, err)
	for i, server := range servers {
		if len(stats) != len(servers) || stats[server.Name]["curr_items"] != int64(len(onServer[i])) {
			t.Fatalf("%s: %v of %d", server.Name, stats[server.Name]["curr_items"], len(stats))
		}
	}
	daemons[1].stop()
	found, err := c.GetMulti(background, names)
	var failed *bmemc.MultiError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 {
		t.Fatalf("%v: %+v", err, failed)
	}
	failure := failed.Failed[0]
	slices.Sort(failure.Keys)
	slices.Sort(onServer[1])
	if failure.Server != 1 || !slices.Equal(failure.Keys, onServer[1]) || len(found) != len(names)-len(failure.Keys) {
		t.Fatalf("%d found; server %d, %d keys", len(found), failure.Server, len(failure.Keys))
	}
	mustGet(t, c, onServer[0][0], onServer[0][0])
	// Of a write, every key that was not stored is told too.
	var items []*bmemc.Item
	for _, name := range names {
		items = append(items, &bmemc.Item{Key: name, Value: []byte("again")})
	}
	failed = nil
	if err := c.SetMulti(background, items); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	var unstored []string
	for _, failure := range failed.Failed {
		unstored = append(unstored, failure.Keys...)
	}
	slices.Sort(unstored)
	if !slices.Equal(unstored, onServer[1]) {
		t.Fatalf("%d of %d keys", len(unstored), len(onServer[1]))
	}
	answers, err := c.ExecuteEach(background, bmemc.Op{Opcode: bmemc.OpNoop})
	wantOK(t, err)
	if len(answers) != 3 || answers[0].Err() != nil || answers[1].Err() == nil || answers[2].Err() != nil {
		t.Fatalf("%+v", answers)
	}
}

func TestRouteOfOnesOwn(t *testing.T) {
	servers, daemons := several(t, 2)
	route := func(key string, count int) int {
		switch key[0] {
		case 'n':
			return count
		case 'l':
			return -1
		case 'p':
			panic(key)
		}
		return int(key[0] - '0')
	}
	c := newClient(t, bmemc.Options{Servers: servers, Route: route, Timeout: 10 * time.Second})
	for i, name := range []string{"0a", "1a", "0b", "1b"} {
		mustSet(t, c, name, name)
		mustGet(t, c, name, name)
		mustGet(t, newClient(t, bmemc.Options{Servers: bmemc.Servers(daemons[i%2].address)}), name, name)
	}
	for _, wrong := range []string{"none", "less", "panics"} {
		_, err := c.Get(background, wrong)
		wantError(t, err, bmemc.ErrConnection)
		found, err := c.GetMulti(background, []string{"0a", wrong, "1b"})
		wantError(t, err, bmemc.ErrConnection)
		if len(found) != 2 || found["0a"] == nil || found["1b"] == nil {
			t.Fatal(wrong, found)
		}
	}
}

func TestServersChangeInUse(t *testing.T) {
	servers, _ := several(t, 3)
	c := newClient(t, bmemc.Options{Servers: servers[:1], Mode: "hashed", Timeout: 10 * time.Second})
	names := someKeys(100)
	set := func() {
		for _, name := range names {
			mustSet(t, c, name, name)
			mustGet(t, c, name, name)
		}
	}
	set()
	wantOK(t, c.AddServer(servers[1]))
	wantError(t, c.AddServer(servers[1]), bmemc.ErrArgument)
	set()
	wantOK(t, c.RemoveServer("cache-0"))
	wantError(t, c.RemoveServer("cache-0"), bmemc.ErrNotFound)
	set()
	wantOK(t, c.ReplaceServers(servers[1:]))
	set()
	listed, err := c.Servers()
	slices.SortFunc(listed, func(a, b bmemc.ServerInfo) int { return strings.Compare(a.Name, b.Name) })
	if err != nil || len(listed) != 2 || listed[0].Name != "cache-1" || listed[1].Name != "cache-2" || listed[0].Index == listed[1].Index {
		t.Fatal(listed, err)
	}
	if err := c.ReplaceServers(bmemc.Servers("host:99999")); !errors.Is(err, bmemc.ErrArgument) || !strings.Contains(err.Error(), "99999") {
		t.Fatal(err)
	}
}

func TestReplicas(t *testing.T) {
	servers, daemons := several(t, 2)
	c := newClient(t, bmemc.Options{Servers: servers, Mode: "replicated", Protocol: "binary", Timeout: 10 * time.Second})
	mustSet(t, c, "k", "v")
	for _, daemon := range daemons {
		mustGet(t, newClient(t, bmemc.Options{Servers: bmemc.Servers(daemon.address)}), "k", "v")
	}
	daemons[0].stop()
	mustGet(t, c, "k", "v")
}

func TestResultsOfEachReplica(t *testing.T) {
	servers, daemons := several(t, 2)
	c := newClient(t, bmemc.Options{Servers: servers, Mode: "replicated", Timeout: 10 * time.Second})
	one := newClient(t, bmemc.Options{Servers: bmemc.Servers(daemons[1].address)})
	byQueue := func(op bmemc.Op) ([]bmemc.Answer, error) {
		named := []bmemc.Op{op, op}
		named[0].Server, named[1].Server = 1, 2
		return c.Execute(background, named)
	}
	together := func(op bmemc.Op) ([]bmemc.Answer, error) { return c.ExecuteEach(background, op) }
	for name, run := range map[string]func(bmemc.Op) ([]bmemc.Answer, error){"queue": byQueue, "call": together} {
		mustSet(t, one, "k", "v")
		for _, opcode := range []bmemc.Opcode{bmemc.OpGet, bmemc.OpDelete} {
			answers, err := run(bmemc.Op{Opcode: opcode, Key: "k"})
			if err != nil || len(answers) != 2 || answers[0].Server != 0 || answers[1].Server != 1 ||
				answers[0].Status != bmemc.ErrNotFound || answers[1].Status != 0 {
				t.Fatal(name, opcode, answers, err)
			}
		}
	}
}

func TestFallback(t *testing.T) {
	servers, _ := several(t, 2)
	fresh := newClient(t, bmemc.Options{Servers: servers[:1], FallbackCopyTTL: time.Hour, Timeout: 10 * time.Second})
	old := newClient(t, bmemc.Options{Servers: servers[1:], Timeout: 10 * time.Second, OnEvent: func(bmemc.Event) {}})
	c, err := bmemc.NewFallback(fresh, old)
	wantOK(t, err)
	defer c.Close()
	mustSet(t, old, "moved", "from the old one")
	mustGet(t, c, "moved", "from the old one")
	eventually(t, "it is in the first", func() bool {
		item, err := fresh.Get(background, "moved")
		return err == nil && string(item.Value) == "from the old one"
	})
	mustSet(t, c, "new", "x")
	_, err = old.Get(background, "new")
	wantError(t, err, bmemc.ErrNotFound)
	_, err = c.Get(background, "nowhere")
	wantError(t, err, bmemc.ErrNotFound)
	wantOK(t, old.Close())
	_, err = c.Get(background, "nowhere")
	wantError(t, err, bmemc.ErrClosed)
	mustGet(t, c, "new", "x")
	wantOK(t, c.Close())
	mustGet(t, fresh, "new", "x")

	_, err = bmemc.NewFallback()
	wantError(t, err, bmemc.ErrArgument)
	_, err = bmemc.NewFallback(fresh, nil)
	wantError(t, err, bmemc.ErrArgument)
	_, err = bmemc.NewFallback(make([]*bmemc.Client, 17)...)
	wantError(t, err, bmemc.ErrArgument)
}

// Many clients, one after the other and at once, each with a queue of its own.
func TestManyClients(t *testing.T) {
	server := bmemctest.NewServer(t)
	for range 20 {
		c := bmemctest.NewClient(t, server)
		mustSet(t, c, "k", "v")
		mustGet(t, c, "k", "v")
	}
}
