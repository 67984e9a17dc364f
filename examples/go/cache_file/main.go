// Caches a file line by line: stores each line under a key, reads all of them back in batches, and compares.
//
//	cache_file FILE [SERVER]
//
// SERVER is HOST:PORT, [::1]:PORT or /path/of/socket; without it, a server is started inside this process. Lines may hold
// any bytes. One that the server finds too large (usually over 1 MB) is named and left out. The status is 0 where every
// stored line came back as it was, or was evicted meanwhile; 1 where something failed; 2 for wrong usage.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/libbmemc/bmemc"
)

const (
	batch      = 100
	batchBytes = 1 << 22
	ttl        = 10 * time.Minute
)

// tally is how the lines were found.
type tally struct{ hits, misses, different int }

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: cache_file FILE [SERVER]")
		os.Exit(2)
	}
	sum, err := cacheFile(context.Background(), os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "cache_file:", err)
		os.Exit(1)
	}
	if sum.different > 0 {
		os.Exit(1)
	}
}

func cacheFile(ctx context.Context, file string, server []string) (tally, error) {
	lines, size, err := readLines(file)
	if err != nil {
		return tally{}, err
	}
	client, where, closeAll, err := connect(server)
	if err != nil {
		return tally{}, err
	}
	defer closeAll()

	began := time.Now()
	large, err := store(ctx, client, lines)
	if err != nil {
		return tally{}, err
	}
	stored := time.Now()
	sum, err := read(ctx, client, lines)
	if err != nil {
		return tally{}, err
	}
	fmt.Printf("%s: %d lines, %d bytes, by %s\n", file, len(lines), size, where)
	fmt.Printf("stored %d, %.0f a second; %d too large\n", len(lines)-large, rate(lines, stored.Sub(began)), large)
	fmt.Printf("read   %d hits, %d misses, %d different, %.0f a second\n", sum.hits, sum.misses, sum.different, rate(lines, time.Since(stored)))
	return sum, nil
}

func rate(lines [][]byte, took time.Duration) float64 { return float64(len(lines)) / took.Seconds() }

func readLines(file string) ([][]byte, int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, 0, err
	}
	if len(data) == 0 {
		return nil, 0, fmt.Errorf("%s: the file is empty: there is no line to cache", file)
	}
	// The last line need not end in a newline.
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")), len(data), nil
}

// connect makes a client of the server that was named, or of one inside this process.
func connect(server []string) (client *bmemc.Client, where string, closeAll func(), err error) {
	if len(server) == 1 {
		client, err = bmemc.New(bmemc.Options{Servers: bmemc.Servers(server...)})
		return client, server[0], func() { client.Close() }, err
	}
	embedded, err := bmemc.StartServer("")
	if err != nil {
		return nil, "", nil, err
	}
	client, err = bmemc.New(bmemc.Options{Servers: bmemc.Servers(embedded.Address())})
	return client, embedded.Address() + " (embedded)", func() { client.Close(); embedded.Close() }, err
}

func keyOf(line int) string { return fmt.Sprint("cache_file:", line+1) }

// store returns how many lines are too large, which become nil.
func store(ctx context.Context, client *bmemc.Client, lines [][]byte) (int, error) {
	large := 0
	for i, line := range lines {
		err := client.Set(ctx, &bmemc.Item{Key: keyOf(i), Value: line, TTL: ttl})
		if errors.Is(err, bmemc.ErrTooLarge) {
			fmt.Fprintf(os.Stderr, "line %d is left out: %d bytes, %v\n", i+1, len(line), err)
			lines[i] = nil
			large++
		} else if err != nil {
			return 0, err
		}
	}
	return large, nil
}

// read reads all lines, many in one call, but not too many bytes.
func read(ctx context.Context, client *bmemc.Client, lines [][]byte) (tally, error) {
	var sum tally
	for first := 0; first < len(lines); {
		var keys []string
		for size := 0; first+len(keys) < len(lines) && len(keys) < batch && size < batchBytes; {
			size += len(lines[first+len(keys)])
			keys = append(keys, keyOf(first+len(keys)))
		}
		items, err := client.GetMulti(ctx, keys)
		if err != nil {
			return tally{}, err
		}
		for i, key := range keys {
			sum.add(lines[first+i], items[key])
		}
		first += len(keys)
	}
	return sum, nil
}

func (t *tally) add(line []byte, item *bmemc.Item) {
	switch {
	case line == nil: // it was not stored
	case item == nil:
		t.misses++
	case bytes.Equal(line, item.Value):
		t.hits++
	default:
		t.different++
	}
}
