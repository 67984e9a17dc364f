package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

const stressed = "BMEMC_STRESS"

// The same process again, with a garbage collection at almost every allocation, freed memory overwritten, and every
// pointer that crosses to C checked: what Go's collector must not see, or frees too early, ends it.
func TestUnderGarbageCollection(t *testing.T) {
	if os.Getenv(stressed) != "" {
		t.Skip("this is the process that is watched")
	}
	self, err := os.Executable()
	wantOK(t, err)
	run := exec.Command(self, "-test.run=^TestStress$", "-test.count=1")
	run.Env = append(os.Environ(), stressed+"=1", "GOGC=1", "GODEBUG=cgocheck=1,clobberfree=1,invalidptr=1")
	if output, err := run.CombinedOutput(); err != nil || !strings.Contains(string(output), "PASS") {
		t.Fatalf("%v\n%.4000s", err, output)
	}
}

func TestStress(t *testing.T) {
	if os.Getenv(stressed) == "" {
		t.Skip("runs in a process of its own: TestUnderGarbageCollection")
	}
	server := bmemctest.NewServer(t)
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Add(1)
	go func() {
		defer collector.Done()
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	for range 3 {
		stressOne(t, server.Address())
	}
	close(stop)
	collector.Wait()
}

// stressOne is a client's life, which ends by being forgotten.
func stressOne(t *testing.T, address string) {
	c, err := bmemc.New(bmemc.Options{
		Servers: bmemc.Servers(address), Codec: "bmemcached", CompressThreshold: 500, Compressor: &deflate{},
		Timeout: 30 * time.Second, OnEvent: func(bmemc.Event) {},
	})
	wantOK(t, err)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			buffer := make([]byte, 100_000)
			for i := range 25 {
				key := fmt.Sprintf("stress-%d-%d", worker, i)
				value := strings.Repeat(key, 1+i*i*i%3000)
				if err := bmemc.SetValue(background, c, key, value, time.Hour); err != nil {
					t.Error(err)
					return
				}
				found, err := c.GetMulti(background, []string{key, key + "-not", key})
				if err != nil || string(found[key].Value) != value {
					t.Errorf("%s: %v, %.50v", key, err, found[key])
				}
				if length, err := c.GetInto(background, key, buffer); err != nil && !errors.Is(err, bmemc.ErrBuffer) || length != len(value) {
					t.Errorf("%s: %v, %d bytes", key, err, length)
				}
				ctx, cancel := context.WithTimeout(background, time.Duration(i)*20*time.Microsecond)
				if got, err := bmemc.GetValue[string](ctx, c, key); err == nil && got != value {
					t.Errorf("%s: %.50q", key, got)
				}
				cancel()
			}
		}()
	}
	group.Wait()
}

// What a get may allocate: the item, and its value.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
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
		{"Get", 2, func() error { _, err := c.Get(background, "k"); return err }},
		{"Get with a deadline", 2, func() error { _, err := c.Get(deadline, "k"); return err }},
		{"GetInto", 0, func() error { _, err := c.GetInto(background, "k", buffer); return err }},
		{"a miss", 0, func() error { _, err := c.GetInto(background, "nothing", buffer); return ignore(err, bmemc.ErrNotFound) }},
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
