package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
)

const stressed = "BMEMC_STRESS"

// The same process again, with a garbage collection at almost every allocation, freed memory overwritten, and every
// pointer that crosses to C checked: what Go's collector must not see, or frees too early, ends it.
func TestUnderGarbageCollection(t *testing.T) {
	self, err := os.Executable()
	wantOK(t, err)
	run := exec.Command(self)
	run.Env = append(os.Environ(), stressed+"=1", "GOGC=1", "GODEBUG=cgocheck=1,clobberfree=1,invalidptr=1")
	if output, err := run.CombinedOutput(); err != nil || !strings.Contains(string(output), "no pointer was lost") {
		t.Fatalf("%v\n%.4000s", err, output)
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(stressed) == "" {
		os.Exit(m.Run())
	}
	if err := stress(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("no pointer was lost")
}

func stress() error {
	server, err := bmemc.StartServer("")
	if err != nil {
		return err
	}
	defer server.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
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
		if err = errors.Join(err, stressOne(server.Address())); err != nil {
			break
		}
	}
	close(stop)
	<-stopped
	return err
}

// stressOne is a client's life, which ends by being forgotten.
func stressOne(address string) error {
	c, err := bmemc.New(bmemc.Options{
		Servers: bmemc.Servers(address), Codec: "bmemcached", CompressThreshold: 500, Compressor: &deflate{},
		Timeout: 30 * time.Second, OnEvent: func(bmemc.Event) {},
	})
	if err != nil {
		return err
	}
	failures := make(chan error, 8)
	for worker := range cap(failures) {
		go func() { failures <- stressWorker(c, worker) }()
	}
	for range cap(failures) {
		err = errors.Join(err, <-failures)
	}
	return err
}

func stressWorker(c *bmemc.Client, worker int) error {
	buffer := make([]byte, 100_000)
	for i := range 25 {
		key := fmt.Sprintf("stress-%d-%d", worker, i)
		value := strings.Repeat(key, 1+i*i*i%3000)
		if err := bmemc.SetValue(background, c, key, value, time.Hour); err != nil {
			return err
		}
		found, err := c.GetMulti(background, []string{key, key + "-not", key})
		if err != nil || string(found[key].Value) != value {
			return fmt.Errorf("%s: %v, %.50v", key, err, found[key])
		}
		length, err := c.GetInto(background, key, buffer)
		if err != nil && !errors.Is(err, bmemc.ErrBuffer) || length != len(value) {
			return fmt.Errorf("%s: %v, %d bytes", key, err, length)
		}
		ctx, cancel := context.WithTimeout(background, time.Duration(i)*20*time.Microsecond)
		got, err := bmemc.GetValue[string](ctx, c, key)
		cancel()
		if err == nil && got != value {
			return fmt.Errorf("%s: %.50q", key, got)
		}
	}
	return nil
}
