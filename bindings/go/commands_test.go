package bmemc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

func TestSetAndGet(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		values := []string{"", "a", "VALUE x 0 3\r\n\r\nEND\r\n\x00\xff", strings.Repeat("x", 10_000), strings.Repeat("y", 900_000)}
		for _, value := range values {
			key := newKey()
			wantOK(t, c.Set(background, &bmemc.Item{Key: key, Value: []byte(value), Flags: 77}))
			item, err := c.Get(background, key)
			wantOK(t, err)
			if item.Key != key || string(item.Value) != value || item.Flags != 77 {
				t.Fatalf("%d bytes: %.60v", len(value), item)
			}
		}
		_, err := c.Get(background, newKey())
		if err != bmemc.ErrNotFound || !bmemc.IsRefusal(err) {
			t.Fatalf("a miss is %v", err)
		}
	})
}

func TestConditions(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		item := &bmemc.Item{Key: newKey(), Value: []byte("middle")}
		wantError(t, c.Replace(background, item), bmemc.ErrNotStored)
		wantError(t, c.Append(background, item), bmemc.ErrNotStored)
		wantError(t, c.Prepend(background, item), bmemc.ErrNotStored)
		wantOK(t, c.Add(background, item))
		wantError(t, c.Add(background, item), bmemc.ErrNotStored)
		wantOK(t, c.Append(background, &bmemc.Item{Key: item.Key, Value: []byte(">")}))
		wantOK(t, c.Prepend(background, &bmemc.Item{Key: item.Key, Value: []byte("<")}))
		mustGet(t, c, item.Key, "<middle>")
		wantOK(t, c.Replace(background, &bmemc.Item{Key: item.Key, Value: []byte("new")}))
		mustGet(t, c, item.Key, "new")
		wantOK(t, c.Delete(background, item.Key))
		wantError(t, c.Delete(background, item.Key), bmemc.ErrNotFound)
	})
}

// Failures, and keys that are bad, are in TestBadArgumentsAtADeadServer and the tests of everyCall.
func TestAnotherValueOnAMiss(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		key, none, other := newKey(), newKey(), &bmemc.Item{Value: []byte("other"), CAS: 7}
		mustSet(t, c, key, "one")
		held, err := c.Gets(background, key)
		wantOK(t, err)
		for name, read := range map[string]func(context.Context, string, *bmemc.Item) (*bmemc.Item, error){
			"GetOr": c.GetOr, "GetsOr": c.GetsOr,
		} {
			item, err := read(background, key, other)
			if err != nil || string(item.Value) != "one" || name == "GetsOr" && item.CAS != held.CAS {
				t.Fatal(name, item, err)
			}
			if item, err := read(background, none, other); err != nil || item != other {
				t.Fatal(name, item, err)
			}
			if item, err := read(background, none, nil); err != nil || item != nil {
				t.Fatal(name, item, err)
			}
		}
		if value, err := bmemc.GetValueOr(background, c, key, "other"); err != nil || value != "one" {
			t.Fatal(value, err)
		}
		if value, err := bmemc.GetValueOr(background, c, none, 42); err != nil || value != 42 {
			t.Fatal(value, err)
		}
		// What is no miss is told as ever.
		_, err = bmemc.GetValueOr(background, c, key, 42)
		wantError(t, err, bmemc.ErrDecode)
		dead := newClient(t, bmemc.Options{Servers: bmemc.Servers("127.0.0.1:1")})
		_, err = dead.GetOr(background, key, other)
		wantError(t, err, bmemc.ErrConnection)
		_, err = dead.GetsOr(background, key, other)
		wantError(t, err, bmemc.ErrConnection)
		_, err = bmemc.GetValueOr(background, dead, key, 42)
		wantError(t, err, bmemc.ErrConnection)
	})
}

func TestCompareAndSwap(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		key := newKey()
		mustSet(t, c, key, "one")
		item, err := c.Gets(background, key)
		wantOK(t, err)
		if item.CAS == 0 {
			t.Fatal("no CAS")
		}
		item.Value = []byte("two")
		wantOK(t, c.CompareAndSwap(background, item))
		item.Value = []byte("three")
		wantError(t, c.CompareAndSwap(background, item), bmemc.ErrExists)
		mustGet(t, c, key, "two")
		wantOK(t, c.Delete(background, key))
		wantError(t, c.CompareAndSwap(background, item), bmemc.ErrNotFound)
		wantError(t, c.CompareAndSwap(background, &bmemc.Item{Key: key}), bmemc.ErrArgument)
	})
}

func TestCompareAndSwapMulti(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		same, changed, gone := newKey(), newKey(), newKey()
		wantOK(t, c.SetMulti(background, []*bmemc.Item{{Key: same}, {Key: changed}, {Key: gone}}))
		found, err := c.GetsMulti(background, []string{same, changed, gone})
		wantOK(t, err)
		mustSet(t, c, changed, "other")
		wantOK(t, c.Delete(background, gone))
		items := []*bmemc.Item{found[same], found[changed], found[gone]}
		for _, item := range items {
			item.Value = []byte("new")
		}
		err = c.CompareAndSwapMulti(background, items)
		var many *bmemc.MultiError
		if !errors.As(err, &many) || len(many.Failed) != 2 || !errors.Is(err, bmemc.ErrExists) || !errors.Is(err, bmemc.ErrNotFound) {
			t.Fatal(err)
		}
		for _, failed := range many.Failed {
			if want := map[bmemc.Status]string{bmemc.ErrExists: changed, bmemc.ErrNotFound: gone}; len(failed.Keys) != 1 || failed.Keys[0] != want[failed.Status] {
				t.Fatal(failed)
			}
		}
		mustGet(t, c, same, "new")
		mustGet(t, c, changed, "other")
		wantOK(t, c.CompareAndSwapMulti(background, nil))
		wantError(t, c.CompareAndSwapMulti(background, []*bmemc.Item{found[same], nil}), bmemc.ErrArgument)
		wantError(t, c.CompareAndSwapMulti(background, []*bmemc.Item{found[same], {Key: changed}}), bmemc.ErrArgument)
		mustGet(t, c, same, "new")
	})
}

func TestCounters(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		key := newKey()
		_, err := c.Increment(background, key, 1)
		wantError(t, err, bmemc.ErrNotFound)
		create := c.IncrementOrCreate
		if strings.HasSuffix(t.Name(), "/text") { // which has no such command
			_, err := c.IncrementOrCreate(background, key, 5, 10, time.Hour)
			wantError(t, err, bmemc.ErrUnsupported)
			_, err = c.DecrementOrCreate(background, key, 5, 10, time.Hour)
			wantError(t, err, bmemc.ErrUnsupported)
			create = func(_ context.Context, key string, delta, initial uint64, _ time.Duration) (uint64, error) {
				if err := c.Add(background, &bmemc.Item{Key: key, Value: fmt.Append(nil, initial)}); err != nil {
					return c.Increment(background, key, delta)
				}
				return initial, nil
			}
		} else if number, err := c.DecrementOrCreate(background, newKey(), 1, 3, time.Hour); err != nil || number != 3 {
			t.Fatal(number, err)
		}
		for _, step := range []struct {
			count  func() (uint64, error)
			wanted uint64
		}{
			{func() (uint64, error) { return create(background, key, 5, 10, time.Hour) }, 10},
			{func() (uint64, error) { return create(background, key, 5, 10, time.Hour) }, 15},
			{func() (uint64, error) { return c.Increment(background, key, 7) }, 22},
			{func() (uint64, error) { return c.Decrement(background, key, 2) }, 20},
			{func() (uint64, error) { return c.Decrement(background, key, 100) }, 0},
			{func() (uint64, error) { return c.Increment(background, key, math.MaxUint64) }, math.MaxUint64},
			{func() (uint64, error) { return c.Increment(background, key, 2) }, 1},
		} {
			number, err := step.count()
			if err != nil || number != step.wanted {
				t.Fatalf("%d, %v; not %d", number, err, step.wanted)
			}
		}
		mustSet(t, c, key, "words")
		_, err = c.Increment(background, key, 1)
		wantError(t, err, bmemc.ErrClientError)
	})
}

func TestTTL(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		key := newKey()
		wantOK(t, c.Set(background, &bmemc.Item{Key: key, Value: []byte("x"), TTL: time.Minute}))
		item, err := c.GetAndTouch(background, key, time.Hour)
		wantOK(t, err)
		if string(item.Value) != "x" {
			t.Fatal(item)
		}
		wantOK(t, c.Touch(background, key, time.Nanosecond)) // rounded up to a second
		mustGet(t, c, key, "x")
		wantOK(t, c.Touch(background, key, -1))
		_, err = c.Get(background, key)
		wantError(t, err, bmemc.ErrNotFound)
		wantError(t, c.Touch(background, key, time.Hour), bmemc.ErrNotFound)
		_, err = c.GetAndTouch(background, key, time.Hour)
		wantError(t, err, bmemc.ErrNotFound)
	})
}

// Values of every size around those that share memory with their item: each is what was stored, and the caller's alone.
func TestValuesOfEverySize(t *testing.T) {
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(bmemctest.NewServer(t).Address())})
	kept := map[string]*bmemc.Item{}
	value := func(size int) string { return strings.Repeat(fmt.Sprintf("%d.", size), size/2+1)[:size] }
	for _, size := range []int{0, 1, 55, 56, 57, 119, 120, 121, 247, 248, 249, 439, 440, 441, 1024, 16 << 10, 300_000} {
		key := fmt.Sprint("sized-", size)
		mustSet(t, c, key, value(size))
		item, err := c.Get(background, key)
		wantOK(t, err)
		kept[key] = item
		if item.Value == nil || cap(item.Value) != len(item.Value) && size <= 440 {
			t.Errorf("%d bytes: a value of %d with room for %d", size, len(item.Value), cap(item.Value))
		}
		answer, err := c.Do(background, bmemc.Op{Opcode: bmemc.OpGet, Key: key})
		wantOK(t, err)
		if string(answer.Value) != value(size) {
			t.Errorf("%d bytes: Do has %.40q", size, answer.Value)
		}
		for i := range answer.Value {
			answer.Value[i] = 0
		}
	}
	for key, item := range kept {
		size, _ := strconv.Atoi(strings.TrimPrefix(key, "sized-"))
		if item.Key != key || string(item.Value) != value(size) {
			t.Errorf("%s: %s, %.40q", key, item.Key, item.Value)
		}
	}
}

func TestGetInto(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		for _, size := range []int{0, 1, 100, 300_000} {
			key, value := newKey(), strings.Repeat("v", size)
			mustSet(t, c, key, value)
			buffer := make([]byte, size+3)
			for round := range 20 { // some go through the loop, some do not
				length, err := c.GetInto(background, key, buffer)
				if err != nil || length != size || string(buffer[:length]) != value {
					t.Fatalf("round %d: %d bytes, %v; not %d", round, length, err, size)
				}
			}
			if size > 0 {
				length, err := c.GetInto(background, key, buffer[:size-1])
				wantError(t, err, bmemc.ErrBuffer)
				if length != size {
					t.Fatalf("needs %d, not %d", length, size)
				}
			}
		}
		_, err := c.GetInto(background, newKey(), nil)
		wantError(t, err, bmemc.ErrNotFound)
	})
}

func TestMulti(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		items, names := []*bmemc.Item{}, []string{}
		for i := range 4500 {
			name := newKey()
			names = append(names, name)
			if i%3 != 0 {
				items = append(items, &bmemc.Item{Key: name, Value: bytes.Repeat([]byte(name), 1+i%40), Flags: uint32(i)})
			}
		}
		wantOK(t, c.SetMulti(background, items))
		for _, read := range []func() (map[string]*bmemc.Item, error){
			func() (map[string]*bmemc.Item, error) { return c.GetMulti(background, names) },
			func() (map[string]*bmemc.Item, error) { return c.GetsMulti(background, names) },
		} {
			found, err := read()
			wantOK(t, err)
			if len(found) != len(items) {
				t.Fatalf("%d of %d", len(found), len(items))
			}
			for _, item := range items {
				if got := found[item.Key]; got == nil || !bytes.Equal(got.Value, item.Value) || got.Flags != item.Flags {
					t.Fatalf("%s: %.60v", item.Key, got)
				}
			}
		}
		wantOK(t, c.DeleteMulti(background, names))
		found, err := c.GetMulti(background, names)
		if err != nil || len(found) != 0 {
			t.Fatal(len(found), err)
		}
	})
}

// The values of one GetMulti share memory: appending to one must not change another.
func TestMultiValuesDoNotTouch(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		names := []string{newKey(), newKey(), newKey()}
		for _, name := range names {
			mustSet(t, c, name, name)
		}
		found, err := c.GetMulti(background, names)
		wantOK(t, err)
		for _, name := range names {
			_ = append(found[name].Value, "overwritten"...)
		}
		for _, name := range names {
			if string(found[name].Value) != name {
				t.Fatalf("%q, not %q", found[name].Value, name)
			}
		}
	})
}

func TestExecuteMixes(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		key := newKey()
		answers, err := c.Execute(background, []bmemc.Op{
			{Opcode: bmemc.OpSet, Key: key, Value: []byte("first"), Flags: 5},
			{Opcode: bmemc.OpGet, Key: key},
			{Opcode: bmemc.OpGet, Key: strings.Repeat("k", 251)},
			{Opcode: bmemc.OpSet, Key: key, Value: bytes.Repeat([]byte("s"), 100_000)},
			{Opcode: bmemc.OpGet, Key: key},
			{Opcode: 99},
			{Opcode: bmemc.OpGet, Key: key, CompressLevel: 10},
			{Opcode: bmemc.OpDelete, Key: key},
			{Opcode: bmemc.OpGet, Key: key},
		})
		wantOK(t, err)
		wanted := []bmemc.Status{0, 0, bmemc.ErrArgument, 0, 0, bmemc.ErrArgument, bmemc.ErrArgument, 0, bmemc.ErrNotFound}
		for i, answer := range answers {
			if answer.Status != wanted[i] {
				t.Errorf("%d: %v", i, answer.Err())
			}
		}
		if string(answers[1].Value) != "first" || answers[1].Flags != 5 || len(answers[4].Value) != 100_000 {
			t.Fatalf("%.50v, %d bytes", answers[1], len(answers[4].Value))
		}
		var failed *bmemc.Error
		if !errors.As(answers[2].Err(), &failed) || !strings.Contains(failed.Message, "251") || !failed.NotSent() {
			t.Fatalf("%+v", failed)
		}
		if answers, err := c.Execute(background, nil); err != nil || answers == nil || len(answers) != 0 {
			t.Fatal(answers, err)
		}
	})
}

func TestCountersOfTheClient(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		mustSet(t, c, newKey(), "x")
		_, err := c.Get(background, newKey())
		wantError(t, err, bmemc.ErrNotFound)
		counters, err := c.Counters()
		if err != nil || counters.Operations != 2 || counters.Misses != 1 || counters.Connects == 0 || counters.BytesSent == 0 {
			t.Fatalf("%+v, %v", counters, err)
		}
		_, err = c.ServerCounters(1)
		wantError(t, err, bmemc.ErrArgument)
	})
}

func TestKeysOfEveryLength(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		for _, length := range []int{1, 249, 250} {
			key := strings.Repeat("k", length)
			mustSet(t, c, key, fmt.Sprint(length))
			mustGet(t, c, key, fmt.Sprint(length))
		}
		for _, key := range []string{"", strings.Repeat("k", 251), strings.Repeat("k", 1<<20)} {
			_, err := c.Get(background, key)
			wantError(t, err, bmemc.ErrArgument)
			wantError(t, c.Set(background, &bmemc.Item{Key: key}), bmemc.ErrArgument)
		}
	})
}

func TestPrefixAndProfile(t *testing.T) {
	address := startMemcached(t, "tcp").address
	plain := newClient(t, bmemc.Options{Servers: bmemc.Servers(address)})
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(address), KeyPrefix: "app:", CounterCreate: bmemc.On, CounterInitial: 7, CounterTTL: time.Hour})
	mustSet(t, c, "k", "v")
	mustGet(t, plain, "app:k", "v")
	found, err := c.GetMulti(background, []string{"k", "l"})
	if err != nil || found["k"] == nil || found["k"].Key != "k" {
		t.Fatal(found, err)
	}
	if number, err := c.Increment(background, "counter", 1); err != nil || number != 7 {
		t.Fatal(number, err)
	}
	python := newClient(t, bmemc.Options{Servers: bmemc.Servers(address), Profile: "pymemcache", Timeout: 10 * time.Second})
	wantOK(t, bmemc.SetValue(background, python, "n", 12, 0))
	eventually(t, "a write without reply is there", func() bool {
		item, err := plain.Get(background, "n")
		return err == nil && string(item.Value) == "12" && item.Flags == 2
	})
}
