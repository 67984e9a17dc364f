package bmemc_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

func speaks(t *testing.T, protocols ...string) bool {
	for _, protocol := range protocols {
		if strings.HasSuffix(t.Name(), "/"+protocol) {
			return true
		}
	}
	return false
}

func TestAdministration(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		version, err := c.Version(background)
		if err != nil || !strings.HasPrefix(version, "1.") {
			t.Fatal(version, err)
		}
		servers, err := c.Servers()
		if err != nil || len(servers) != 1 || servers[0].Weight != 1 || servers[0].Name != servers[0].Address {
			t.Fatal(servers, err)
		}
		wantOK(t, c.Ping(background))
		mustSet(t, c, "flushed", "x")
		wantOK(t, c.FlushAll(background, time.Hour))
		mustGet(t, c, "flushed", "x")
		wantOK(t, c.FlushAll(background, 0))
		_, err = c.Get(background, "flushed")
		wantError(t, err, bmemc.ErrNotFound)
		wantOK(t, c.DisconnectAll())
		mustSet(t, c, newKey(), "still there")
		for _, err := range []error{c.Verbosity(background, 0), c.CacheMemlimit(background, 64)} {
			if speaks(t, "binary") {
				wantError(t, err, bmemc.ErrUnsupported)
			} else {
				wantOK(t, err)
			}
		}
	})
}

func TestShutdown(t *testing.T) {
	server := startMemcached(t, "tcp", "-A")
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.address), Timeout: 10 * time.Second})
	if err := c.Shutdown(background, true); err != nil && !errors.Is(err, bmemc.ErrConnection) {
		t.Fatal(err)
	}
	eventually(t, "it has ended", func() bool { return c.Ping(background) != nil })
	refuses := newClient(t, bmemc.Options{Servers: bmemc.Servers(startMemcached(t, "tcp").address), Protocol: "text"})
	wantError(t, refuses.Shutdown(background, false), bmemc.ErrServerError)
}

func TestStats(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		general, err := c.Stats(background, "")
		servers, listed := c.Servers()
		wantOK(t, listed)
		if err != nil || len(general) != 1 {
			t.Fatal(general, err)
		}
		all := general[servers[0].Name]
		pid, isNumber := all["pid"].(int64)
		_, isText := all["version"].(string)
		usage, isTold := all["rusage_user"] // memcached tells, the embedded server does not
		_, isFraction := usage.(float64)
		if !isNumber || pid == 0 || !isText || isTold != isFraction {
			t.Fatal(all)
		}
		settings, err := c.Stats(background, "settings")
		own := settings[servers[0].Name]
		if size, isNumber := own["maxbytes"].(int64); err != nil || !isNumber || size == 0 {
			t.Fatal(settings, err)
		}
		if cas, isTold := own["cas_enabled"]; isTold && cas != true {
			t.Fatal(own)
		}
		answer, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpStats})
		wantOK(t, err)
		parsed, err := bmemc.ParseStats(answer.Value)
		if err != nil || parsed["pid"] != all["pid"] {
			t.Fatal(parsed, err)
		}
		_, err = c.Stats(background, "bogus")
		wantError(t, err, bmemc.ErrUnknownCommand)
		if words := err.Error(); !strings.HasPrefix(words, `bmemc: stats "bogus": the server said`) {
			t.Fatal(words)
		}
		_, err = c.Stats(background, "no\r\nsuch")
		wantError(t, err, bmemc.ErrArgument)
	})
	for name, wanted := range map[string]bmemc.StatType{"pid": bmemc.StatInteger, "version": bmemc.StatText,
		"rusage_user": bmemc.StatSeconds, "cas_enabled": bmemc.StatSwitch, "no such": bmemc.StatInteger} {
		if found := bmemc.StatTypeOf(name); found != wanted {
			t.Errorf("%s: %d", name, found)
		}
	}
}

// The types are pymemcache's.
func TestStatValues(t *testing.T) {
	for _, each := range []struct {
		name, text string
		wanted     any
	}{
		{"curr_items", "12", int64(12)}, {"bytes", "-1", int64(-1)}, {"limit", "18446744073709551615", uint64(1<<64 - 1)},
		{"libevent", "2.1.12-stable", "2.1.12-stable"}, {"version", "1", "1"}, {"growth_factor", "1.25", 1.25},
		{"rusage_user", "0.5", 0.5}, {"rusage_system", "1:25", 1.25}, {"cas_enabled", "1", true}, {"detail_enabled", "0", false},
		{"auth_enabled_sasl", "yes", true}, {"auth_enabled_sasl", "no", false}, {"umask", "700", int64(0o700)},
		{"growth_factor", "?", "?"},
	} {
		if found := bmemc.StatValue(each.name, each.text); found != each.wanted {
			t.Errorf("%s %s: %v (%T)", each.name, each.text, found, found)
		}
	}
}

// listed counts the items of a whole dump, and looks at each.
func listed(c *bmemc.Client, look func(bmemc.Dumped)) (count int, err error) {
	for item, err := range c.Metadump(background, "") {
		if err != nil {
			return count, err
		}
		count++
		look(item)
	}
	return count, nil
}

func TestMetadumpOfManyKeys(t *testing.T) {
	const many = 50_000
	server := startMemcached(t, "tcp")
	options := bmemc.Options{Servers: bmemc.Servers(server.address), Protocol: "text", Timeout: 10 * time.Second}
	whole := newClient(t, options)
	options.KeyPrefix = "own:"
	c := newClient(t, options)
	mustSet(t, whole, "other", "v")
	items := make([]*bmemc.Item, many)
	for i := range items {
		items[i] = &bmemc.Item{Key: fmt.Sprintf("a-key-that-is-rather-long-as-keys-go-%d", i), Value: []byte("v")}
	}
	wantOK(t, c.SetMulti(background, items))
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	eventually(t, "a dump with every key", func() bool { // memcached leaves out an item that somebody else holds
		most := uint64(0)
		count, err := listed(c, func(item bmemc.Dumped) {
			if !strings.HasPrefix(item.Key, "a-key-") || strings.Contains(item.Line, "own") {
				t.Fatal(item)
			}
			if most++; most%10_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&during)
				if during.HeapAlloc > before.HeapAlloc+1<<20 {
					t.Fatalf("%d bytes of heap for a dump under way", during.HeapAlloc-before.HeapAlloc)
				}
			}
		})
		return err == nil && count == many
	})
	eventually(t, "a dump of another client", func() bool {
		count, err := listed(whole, func(bmemc.Dumped) {})
		return err == nil && count == many+1
	})
	for range 10 { // a loop that is left, and a context that ends
		for range c.Metadump(background, "") {
			break
		}
		ctx, cancel := context.WithCancel(background)
		for range c.Metadump(ctx, "") {
			cancel()
		}
		cancel()
	}
	eventually(t, "the connections of dumps that were left are closed", func() bool {
		counters, err := c.Counters()
		return err == nil && counters.Connects-counters.Disconnects <= 2
	})
}

func TestMetadump(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		const many = 300
		for i := range many {
			mustSet(t, c, fmt.Sprint("dumped-", i), "v")
		}
		found := 0
		dump := func() error {
			found = 0
			for item, err := range c.Metadump(background, "") {
				if err != nil {
					return err
				}
				if strings.HasPrefix(item.Key, "dumped-") && item.Size > 0 && item.Line != "" {
					found++
				}
			}
			return nil
		}
		err := dump()
		if speaks(t, "binary") {
			wantError(t, err, bmemc.ErrUnsupported)
			return
		}
		// memcached leaves out an item that somebody else holds at that moment, its own threads too.
		again := func() bool { return err == nil && found < many || err != nil && strings.Contains(err.Error(), "BUSY") }
		for tries := 0; again() && tries < 100; tries++ {
			time.Sleep(10 * time.Millisecond)
			err = dump()
		}
		if err != nil || found != many {
			t.Fatal(found, err)
		}
		eventually(t, "a dump in one piece", func() bool { // one at a time: the server may be busy with the last one
			answer, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpMetadump})
			parsed, parsing := bmemc.ParseMetadump(answer.Value)
			return err == nil && parsing == nil && len(parsed) >= many && parsed[0].Key != "" && parsed[0].Size > 0
		})
		found = 0
		for _, err := range c.Metadump(background, "all") {
			wantOK(t, err)
			if found++; found == 3 {
				break
			}
		}
		ctx, cancel := context.WithCancel(background)
		for _, err = range c.Metadump(ctx, "all") {
			cancel()
		}
		cancel()
		if err != nil { // it may have come to its end
			wantError(t, err, context.Canceled)
		}
		eventually(t, "the dump before has ended", func() bool { return dump() == nil })
		for _, err := range c.Metadump(background, "a b") {
			wantError(t, err, bmemc.ErrArgument)
		}
		for _, op := range []bmemc.Op{{Opcode: bmemc.OpMetadump, Server: 8}, {Opcode: bmemc.OpMetadump, Server: -1}, {Opcode: bmemc.OpGet}} {
			for _, err := range c.MetadumpOf(background, op) {
				wantError(t, err, bmemc.ErrArgument)
			}
		}
		eventually(t, "a dump of the server that is named", func() bool {
			count := 0
			for item, err := range c.MetadumpOf(background, bmemc.Op{Opcode: bmemc.OpMetadump, Key: "all", Server: 1}) {
				if err != nil || item.Server != 0 {
					return false
				}
				count++
			}
			return count >= many
		})
	})
}

func TestMetaAndRaw(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		line, err := c.Raw(background, "version", "")
		if speaks(t, "binary") {
			wantError(t, err, bmemc.ErrUnsupported)
		} else if err != nil || !strings.HasPrefix(string(line), "VERSION ") {
			t.Fatalf("%q, %v", line, err)
		}
		key := newKey()
		_, err = c.Meta(background, "ms", key, "T60 F5", []byte("meta"))
		if speaks(t, "text", "binary") {
			wantError(t, err, bmemc.ErrUnsupported)
			return
		}
		wantOK(t, err)
		answer, err := c.Meta(background, "mg", key, "v f c t s h l", nil)
		wantOK(t, err)
		if string(answer.Value) != "meta" || answer.Flags != 5 || answer.CAS == 0 || answer.TTL <= 0 || answer.Size != 4 || answer.Fetched {
			t.Fatalf("%+v", answer)
		}
		answer, err = c.Meta(background, "mg", newKey(), "v N30", nil)
		if err != nil || answer.Bits&bmemc.BitWin == 0 {
			t.Fatalf("%+v, %v", answer, err)
		}
		answer, err = c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: key, MetaFlags: "t h"})
		if err != nil || answer.TTL <= 0 || !answer.Fetched || string(answer.Value) != "meta" {
			t.Fatalf("%+v, %v", answer, err)
		}
		_, err = c.Meta(background, "mg", key, "v q", nil)
		wantError(t, err, bmemc.ErrArgument)
	})
}

func TestValuesOfACodec(t *testing.T) {
	server := bmemctest.NewServer(t)
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address()), Codec: "pymemcache"})
	plain := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address())})
	wantOK(t, bmemc.SetValue(background, c, "n", 42, 0))
	item, err := plain.Get(background, "n")
	if err != nil || string(item.Value) != "42" || item.Flags == 0 {
		t.Fatal(item, err)
	}
	any, err := bmemc.GetValue[any](background, c, "n")
	if err != nil || any != int64(42) {
		t.Fatal(any, err)
	}
	// What was read can be stored again, although the codec makes the flags.
	item, err = c.Gets(background, "n")
	wantOK(t, err)
	item.Value = []byte("43")
	wantOK(t, c.CompareAndSwap(background, item))
	number, err := bmemc.GetValue[uint16](background, c, "n")
	if err != nil || number != 43 {
		t.Fatal(number, err)
	}
	value, flags, err := c.Encode(bmemc.Op{Value: []byte("7"), Type: bmemc.TypeInteger})
	if err != nil || string(value) != "7" || flags != item.Flags {
		t.Fatal(value, flags, err)
	}
	decoded, err := c.Decode(value, flags)
	if err != nil || string(decoded.Value) != "7" || decoded.Type != bmemc.TypeInteger {
		t.Fatal(decoded, err)
	}
	_, _, err = c.Encode(bmemc.Op{Value: []byte("seven"), Type: bmemc.TypeInteger})
	wantError(t, err, bmemc.ErrArgument)
}

func TestValues(t *testing.T) {
	type user struct {
		Name string
		Age  int
	}
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		roundTrip(t, c, "text")
		roundTrip(t, c, []byte("bytes"))
		roundTrip(t, c, -7)
		roundTrip(t, c, uint8(200))
		roundTrip(t, c, 1.5)
		roundTrip(t, c, true)
		roundTrip(t, c, user{"Ada", 36})
		roundTrip(t, c, []user{{"Ada", 36}})
		roundTrip(t, c, map[string]int{"a": 1})
		roundTrip(t, c, 90*time.Second)
		mustSet(t, c, "words", "no number")
		_, err := bmemc.GetValue[int](background, c, "words")
		wantError(t, err, bmemc.ErrDecode)
		_, err = bmemc.GetValue[user](background, c, "words")
		wantError(t, err, bmemc.ErrDecode)
		_, err = bmemc.GetValue[user](background, c, newKey())
		wantError(t, err, bmemc.ErrNotFound)
		wantError(t, bmemc.SetValue(background, c, "f", func() {}, 0), bmemc.ErrArgument)
	})
}

func roundTrip[T any](t *testing.T, c *bmemc.Client, value T) {
	t.Helper()
	key := newKey()
	wantOK(t, bmemc.SetValue(background, c, key, value, time.Hour))
	got, err := bmemc.GetValue[T](background, c, key)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(value) {
		t.Fatalf("%v, %v; not %v", got, err, value)
	}
}

func TestMarshalOfTheUsers(t *testing.T) {
	c := newClient(t, bmemc.Options{
		Servers:   bmemc.Servers(bmemctest.NewServer(t).Address()),
		Marshal:   func(value any) ([]byte, error) { return fmt.Append(nil, "<", value, ">"), nil },
		Unmarshal: func(from []byte, into any) error { *into.(*float64) = float64(len(from)); return nil },
	})
	wantOK(t, bmemc.SetValue(background, c, "k", 2.5, 0))
	mustGet(t, c, "k", "<2.5>")
	value, err := bmemc.GetValue[float64](background, c, "k")
	if err != nil || value != 5 {
		t.Fatal(value, err)
	}
}

// deflate is a compressor of the test's own; what begins with "panic" makes it panic.
type deflate struct{ calls atomic.Int64 }

func (d *deflate) Compress(value []byte, level int) ([]byte, error) {
	d.calls.Add(1)
	if bytes.HasPrefix(value, []byte("panic")) {
		panic("as it was told")
	}
	var out bytes.Buffer
	writer, err := flate.NewWriter(&out, level)
	if err != nil {
		return nil, err
	}
	_, err = writer.Write(value)
	if err == nil {
		err = writer.Close()
	}
	return out.Bytes(), err
}

func (d *deflate) Decompress(value []byte) ([]byte, error) {
	d.calls.Add(1)
	grow(100) // the stack moves while C is below
	return io.ReadAll(flate.NewReader(bytes.NewReader(value)))
}

func grow(depth int) int {
	var space [1024]byte
	if depth > 0 {
		space[depth] = byte(grow(depth - 1))
	}
	return int(space[depth])
}

func TestCompressor(t *testing.T) {
	server, compressor := bmemctest.NewServer(t), &deflate{}
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address()), Codec: "bmemcached", CompressThreshold: 100, Compressor: compressor})
	plain := newClient(t, bmemc.Options{Servers: bmemc.Servers(server.Address())})
	for _, long := range []string{strings.Repeat("long ", 1000), strings.Repeat("longer ", 10_000)} {
		wantOK(t, bmemc.SetValue(background, c, "k", long, 0))
		stored, err := plain.Get(background, "k")
		if err != nil || len(stored.Value) >= len(long) {
			t.Fatal(len(stored.Value), err)
		}
		for range 40 { // some wait inside the library, some in the netpoller
			value, err := bmemc.GetValue[string](background, c, "k")
			if err != nil || value != long {
				t.Fatal(len(value), err)
			}
		}
	}
	if compressor.calls.Load() < 80 {
		t.Fatalf("%d calls", compressor.calls.Load())
	}
	panics := strings.Repeat("panic", 1000)
	wantOK(t, bmemc.SetValue(background, c, "p", panics, 0))
	mustGet(t, plain, "p", panics)
	stored, err := plain.Get(background, "k")
	wantOK(t, err)
	mustCorrupt := &bmemc.Item{Key: "k", Value: bytes.Repeat([]byte{0xff}, len(stored.Value)), Flags: stored.Flags}
	wantOK(t, plain.Set(background, mustCorrupt))
	_, err = c.Get(background, "k")
	wantError(t, err, bmemc.ErrDecode)
}

// Without a reply: it is done, failures are counted and told of, and the next answers are right.
func TestNoReply(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		for i := range 50 {
			key := newKey()
			answer, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpSet, Key: key, Value: []byte(key), OpFlags: bmemc.FlagNoReply})
			if err != nil || answer.Status != 0 {
				t.Fatal(i, err)
			}
			eventually(t, "it is there", func() bool {
				item, err := c.Get(background, key)
				return err == nil && string(item.Value) == key
			})
		}
		big := bmemc.Op{Opcode: bmemc.OpSet, Key: newKey(), Value: make([]byte, 2<<20), OpFlags: bmemc.FlagNoReply}
		if _, err := c.Do(background, big); err != nil && !errors.Is(err, bmemc.ErrTooLarge) {
			t.Fatal(err)
		}
		eventually(t, "the failure is counted", func() bool {
			mustSet(t, c, newKey(), "next")
			counters, err := c.Counters()
			return err == nil && (counters.QuietFailures > 0 || speaks(t, "text"))
		})
	})
}
