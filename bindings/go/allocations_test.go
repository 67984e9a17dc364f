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

func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
