// Package bmemctest has a memcached for tests: real sockets, all protocols, nothing to install.
package bmemctest

import (
	"testing"

	"github.com/libbmemc/bmemc"
)

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB) *bmemc.EmbeddedServer {
	t.Helper()
	server, err := bmemc.StartServer("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// NewClient makes a client of these servers that ends with the test; with none, of a server of its own.
func NewClient(t testing.TB, servers ...*bmemc.EmbeddedServer) *bmemc.Client {
	t.Helper()
	if len(servers) == 0 {
		servers = append(servers, NewServer(t))
	}
	var options bmemc.Options
	for _, server := range servers {
		options.Servers = append(options.Servers, bmemc.Server{Address: server.Address()})
	}
	client, err := bmemc.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
