package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/libbmemc/bmemc"
)

// exampleServer stands for the memcached of the reader's.
func exampleServer() *bmemc.EmbeddedServer {
	server, err := bmemc.StartServer("")
	if err != nil {
		panic(err)
	}
	return server
}

func exampleClient() (*bmemc.Client, func()) {
	server := exampleServer()
	client, err := bmemc.New(bmemc.Options{Servers: bmemc.Servers(server.Address())})
	if err != nil {
		panic(err)
	}
	return client, func() { client.Close(); server.Close() }
}

func ExampleNew() {
	server := exampleServer()
	defer server.Close()

	client, err := bmemc.New(bmemc.Options{
		Servers: bmemc.Servers(server.Address()), // "127.0.0.1:11211", say
		Timeout: 500 * time.Millisecond,
		OnEvent: bmemc.LogEvents(slog.Default()),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Ping(context.Background()))

	_, err = bmemc.New(bmemc.Options{Servers: bmemc.Servers("127.0.0.1"), Protocol: "ascii"})
	fmt.Println(err)
	// Output:
	// <nil>
	// bmemc: option protocol: "ascii" is not one of auto, text, meta, binary
}

func ExampleClient_Get() {
	client, end := exampleClient()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()

	item, err := client.Get(ctx, "greeting")
	switch {
	case errors.Is(err, bmemc.ErrNotFound):
		fmt.Println("a miss")
	case err != nil:
		fmt.Println("a failure, which is no miss:", err)
	default:
		fmt.Printf("%s\n", item.Value)
	}
	// Output: a miss
}

func ExampleClient_Set() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()

	err := client.Set(ctx, &bmemc.Item{Key: "greeting", Value: []byte("hello"), TTL: time.Hour})
	fmt.Println(err)
	item, err := client.Get(ctx, "greeting")
	fmt.Printf("%s %v\n", item.Value, err)
	// Output:
	// <nil>
	// hello <nil>
}

func ExampleClient_GetMulti() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	for _, name := range []string{"one", "two"} {
		_ = client.Set(ctx, &bmemc.Item{Key: name, Value: []byte(name)})
	}

	items, err := client.GetMulti(ctx, []string{"one", "two", "three"})
	var failed *bmemc.MultiError
	if errors.As(err, &failed) {
		for _, failure := range failed.Failed {
			fmt.Println("server", failure.Server, "did not answer for", failure.Keys)
		}
	}
	fmt.Println(len(items), string(items["one"].Value), string(items["two"].Value))
	// Output: 2 one two
}

func ExampleClient_CompareAndSwap() {
	client, end := exampleClient()
	defer end()
	ctx := context.Background()
	_ = client.Set(ctx, &bmemc.Item{Key: "list", Value: []byte("a")})

	for {
		item, err := client.Gets(ctx, "list")
		if err != nil {
			fmt.Println(err)
			return
		}
		item.Value = append(item.Value, ",b"...)
		err = client.CompareAndSwap(ctx, item)
		if errors.Is(err, bmemc.ErrExists) {
			continue // somebody else was faster
		}
		fmt.Println(string(item.Value), err)
		return
	}
	// Output: a,b <nil>
}

// Keys are spread over several servers as libmemcached does it.
func ExampleNew_hashed() {
	var servers []bmemc.Server
	for i := range 3 {
		server := exampleServer()
		defer server.Close()
		// A ring hashes the name: it may stay when the address changes.
		servers = append(servers, bmemc.Server{Address: server.Address(), Name: fmt.Sprint("cache-", i)})
	}
	client, err := bmemc.New(bmemc.Options{Servers: servers, Distribution: "ketama", Retries: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	var keys []string
	for i := range 30 {
		keys = append(keys, fmt.Sprint("key-", i))
		if err := client.Set(ctx, &bmemc.Item{Key: keys[i], Value: []byte("v")}); err != nil {
			fmt.Println(err)
			return
		}
	}
	items, err := client.GetMulti(ctx, keys)
	fmt.Println(len(items), err)
	// Output: 30 <nil>
}

func ExampleGetValue() {
	type user struct{ Name string }
	client, end := exampleClient()
	defer end()
	ctx := context.Background()

	fmt.Println(bmemc.SetValue(ctx, client, "user:1", user{"Ada"}, time.Hour))
	ada, err := bmemc.GetValue[user](ctx, client, "user:1")
	fmt.Println(ada.Name, err)
	// Output:
	// <nil>
	// Ada <nil>
}

func ExampleLogEvents() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, nil))
	bmemc.LogEvents(logger)(bmemc.Event{Kind: bmemc.EventConnectFailed, Err: bmemc.ErrTimeout, Message: "10.0.0.1:11211: no answer"})
	// The time is in it too.
}
