package bmemc_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

func TestServersThatAnEndpointLists(t *testing.T) {
	endpoint, one, two := bmemctest.NewServer(t), bmemctest.NewServer(t), bmemctest.NewServer(t)
	list := func(version int, addresses ...string) {
		text := strings.ReplaceAll(strings.Join(addresses, " "), "127.0.0.1:", "127.0.0.1||")
		wantOK(t, endpoint.Set("cluster", fmt.Sprintf("%d\n%s", version, text)))
	}
	list(1, one.Address())
	c := newClient(t, bmemc.Options{
		Servers: bmemc.Servers(endpoint.Address()), Discovery: "elasticache", DiscoveryInterval: 10 * time.Millisecond,
	})
	stats, err := c.Stats(background, "") // the first call waits to know whom to ask
	wantOK(t, err)
	servers, err := c.Servers()
	if err != nil || len(stats) != 1 || stats[servers[0].Name]["pid"] == nil {
		t.Fatal(stats)
	}
	wantOK(t, c.Set(background, &bmemc.Item{Key: "k", Value: []byte("v")}))
	list(2, one.Address(), two.Address())
	eventually(t, "two servers", func() bool {
		wantOK(t, c.Set(background, &bmemc.Item{Key: "k", Value: []byte("v")}))
		servers, err := c.Servers()
		wantOK(t, err)
		return len(servers) == 2
	})
}

func TestServersThatAFunctionFinds(t *testing.T) {
	server, asked := bmemctest.NewServer(t), atomic.Int32{}
	c := newClient(t, bmemc.Options{DiscoveryInterval: 10 * time.Millisecond, Discover: func() ([]bmemc.Server, error) {
		switch asked.Add(1) {
		case 1:
			return nil, errors.New("not yet")
		case 2:
			panic("never crosses C")
		}
		return []bmemc.Server{{Address: server.Address(), Name: "one"}}, nil
	}})
	_, err := c.Stats(background, "")
	wantError(t, err, bmemc.ErrConnection)
	eventually(t, "a server", func() bool { return c.Set(background, &bmemc.Item{Key: "k", Value: []byte("v")}) == nil })
	if asked.Load() < 3 {
		t.Fatal(asked.Load())
	}
}
