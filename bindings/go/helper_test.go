package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
)

var background = context.Background()

// daemon is a memcached of the test's own.
type daemon struct {
	address string
	process *exec.Cmd
}

// startMemcached starts one that ends with the test, on a port of the system's choosing, or on a socket for "unix".
func startMemcached(t testing.TB, network string, arguments ...string) *daemon {
	t.Helper()
	program, err := exec.LookPath("memcached")
	if err != nil {
		t.Skip("memcached is not installed")
	}
	dir, err := os.MkdirTemp("", "bmemc") // shorter than t.TempDir: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, ports := filepath.Join(dir, "s"), filepath.Join(dir, "ports")
	line := append([]string{"-U", "0"}, arguments...)
	if os.Geteuid() == 0 {
		line = append(line, "-u", "root")
	}
	if network == "unix" {
		line = append(line, "-s", socket)
	} else {
		line = append(line, "-l", "127.0.0.1", "-p", "-1")
	}
	d := &daemon{address: socket, process: exec.Command(program, line...)}
	d.process.Env = append(os.Environ(), "MEMCACHED_PORT_FILENAME="+ports)
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	eventually(t, "memcached starts", func() bool {
		if network == "unix" {
			conn, err := net.Dial("unix", socket)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}
		written, _ := os.ReadFile(ports)
		found := regexp.MustCompile(`TCP INET: (\d+)\n`).FindSubmatch(written)
		if found != nil {
			d.address = "127.0.0.1:" + string(found[1])
		}
		return found != nil
	})
	return d
}

// threads is how many the process has.
func threads(t testing.TB) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func (d *daemon) signal(signal syscall.Signal) { _ = d.process.Process.Signal(signal) }

// pause stops it, and waits until all of its threads have stopped.
func (d *daemon) pause(t testing.TB) {
	t.Helper()
	d.signal(syscall.SIGSTOP)
	eventually(t, "memcached stops", func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.process.Process.Pid))
		for _, task := range tasks {
			if stat, _ := os.ReadFile(task); !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return len(tasks) > 0
	})
}

func (d *daemon) resume() { d.signal(syscall.SIGCONT) }

func (d *daemon) stop() {
	d.resume()
	_ = d.process.Process.Kill()
	_ = d.process.Wait()
}

// eventually waits up to ten seconds for something to become true.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func newClient(t testing.TB, options bmemc.Options) *bmemc.Client {
	t.Helper()
	client, err := bmemc.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// everywhere runs a test against memcached and the embedded server, over every protocol, TCP and a Unix socket.
func everywhere(t *testing.T, test func(*testing.T, *bmemc.Client)) {
	servers := []struct {
		name    string
		address func(*testing.T) string
	}{
		{"memcached", func(t *testing.T) string { return startMemcached(t, "tcp").address }},
		{"memcached-unix", func(t *testing.T) string { return startMemcached(t, "unix").address }},
		{"embedded", func(t *testing.T) string { return bmemctest.NewServer(t).Address() }},
	}
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			address := server.address(t)
			for _, protocol := range []string{"auto", "text", "meta", "binary"} {
				t.Run(protocol, func(t *testing.T) {
					test(t, newClient(t, bmemc.Options{Servers: bmemc.Servers(address), Protocol: protocol, Timeout: 10 * time.Second}))
				})
			}
		})
	}
}

var keys atomic.Int64

// newKey is a key that no other test uses.
func newKey() string { return fmt.Sprintf("key-%d", keys.Add(1)) }

func mustSet(t testing.TB, client *bmemc.Client, key, value string) {
	t.Helper()
	if err := client.Set(background, &bmemc.Item{Key: key, Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t testing.TB, client *bmemc.Client, key, wanted string) {
	t.Helper()
	item, err := client.Get(background, key)
	if err != nil {
		t.Fatal(err)
	}
	if string(item.Value) != wanted {
		t.Fatalf("%s: %.40q, not %.40q", key, item.Value, wanted)
	}
}

func wantError(t testing.TB, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("%v, not %v", err, wanted)
	}
}

func wantOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
