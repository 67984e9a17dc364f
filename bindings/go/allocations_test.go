//go:build !race

package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

// What a get may allocate: the item with its value.
func TestAllocations(t *testing.T) {
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(bmemctest.NewServer(t).Address()), Timeout: 30 * time.Second})
	mustSet(t, c, "k", strings.Repeat("v", 100))
	item, buffer := &bmemc.Item{Key: "s", Value: make([]byte, 100)}, make([]byte, 200)
	deadline, cancel := context.WithTimeout(background, time.Hour)
	defer cancel()
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint("multi-", i)
		mustSet(t, c, names[i], names[i])
	}
	for _, test := range []struct {
		name string
		most float64
		call func() error
	}{
		{"Get", 1, func() error { _, err := c.Get(background, "k"); return err }},
		{"Get with a deadline", 1, func() error { _, err := c.Get(deadline, "k"); return err }},
		{"GetInto", 0, func() error { _, err := c.GetInto(background, "k", buffer); return err }},
		{"a miss", 0, func() error {
			_, err := c.GetInto(background, "nothing", buffer)
			return ignore(err, bmemc.ErrNotFound)
		}},
		{"Set", 0, func() error { return c.Set(background, item) }},
		{"GetMulti of 100", 15, func() error { _, err := c.GetMulti(background, names); return err }},
	} {
		if got := testing.AllocsPerRun(2000, func() { wantOK(t, test.call()) }); got > test.most {
			t.Errorf("%s: %v allocations, more than %v", test.name, got, test.most)
		}
	}
}

// Memory does not grow with what is done: every kind of call, long values and failures too. (The race detector's own does.)
func TestMemoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	c := newClient(t, bmemc.Options{Servers: bmemc.Servers(bmemctest.NewServer(t).Address())})
	long := strings.Repeat("x", 300_000) // longer than the slab
	mustSet(t, c, "long", long)
	round := func(count int) {
		for range count {
			mustSet(t, c, "k", "v")
			mustGet(t, c, "k", "v")
			mustGet(t, c, "long", long)
			_, err := c.GetMulti(background, []string{"k", "l", "long"})
			wantOK(t, err)
			_, err = c.Get(background, "not a key")
			wantError(t, err, bmemc.ErrArgument)
		}
	}
	round(300)
	before := resident(t)
	round(1500)
	if grown := resident(t) - before; grown > 8<<20 {
		t.Fatalf("%d more bytes are resident after 7500 more calls", grown)
	}
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
