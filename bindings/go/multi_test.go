package bmemc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libbmemc/bmemc"
)

// A queue that has room for few keys at a time is asked again for the rest.
func TestMultiOfMoreThanThereIsRoomFor(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		servers, err := c.Servers()
		wantOK(t, err)
		narrow := newClient(t, bmemc.Options{Servers: bmemc.Servers(servers[0].Address), MaxWaiting: 7, Timeout: 30 * time.Second})
		var names []string
		for i := range 300 {
			names = append(names, newKey())
			if i%2 == 0 {
				mustSet(t, c, names[i], names[i])
			}
		}
		for range 20 { // by the caller and by the loop
			found, err := narrow.GetMulti(background, names)
			if err != nil || len(found) != 150 {
				t.Fatalf("%d found: %v", len(found), err)
			}
			for name, item := range found {
				if item.Key != name || string(item.Value) != name {
					t.Fatalf("%s: %+v", name, item)
				}
			}
		}
	})
}

// A key that cannot be one fails alone, however long it is.
func TestMultiWithKeysThatCannotBe(t *testing.T) {
	everywhere(t, func(t *testing.T, c *bmemc.Client) {
		good, missing := newKey(), newKey()
		mustSet(t, c, good, "value")
		for _, length := range []int{251, 1 << 10, 1<<10 + 1, 1<<20 + 1} {
			long := strings.Repeat("k", length)
			found, err := c.GetMulti(background, []string{good, long, missing, good})
			var failed *bmemc.MultiError
			if !errors.As(err, &failed) || len(failed.Failed) != 1 || !errors.Is(err, bmemc.ErrArgument) {
				t.Fatalf("%d bytes: %v", length, err)
			}
			if !slices.Equal(failed.Failed[0].Keys, []string{long}) || !failed.Failed[0].NotSent() {
				t.Fatalf("%d bytes: %.80q", length, failed.Failed[0].Keys)
			}
			if len(found) != 1 || string(found[good].Value) != "value" {
				t.Fatalf("%d bytes: %v", length, found)
			}
		}
	})
}

// What has come when the context ends is in the map; the error names the other keys, and no more.
func TestMultiKeepsWhatHasCome(t *testing.T) {
	servers, daemons := several(t, 2)
	c := newClient(t, bmemc.Options{Servers: servers, Distribution: "ketama", Timeout: time.Minute})
	names := someKeys(200)
	var there, hung []string
	for i, name := range names {
		mustSet(t, c, name, strings.Repeat(name, 1+i%300)) // some are longer than what values share
		server, err := c.ServerFor(name)
		wantOK(t, err)
		if server.Index == 0 {
			there = append(there, name)
		} else {
			hung = append(hung, name)
		}
	}
	daemons[1].pause(t)
	defer daemons[1].resume()
	for _, wanted := range []error{context.DeadlineExceeded, context.Canceled} {
		ctx, cancel := context.WithTimeout(background, time.Second)
		if wanted == context.Canceled {
			cancel()
			ctx, cancel = context.WithCancel(background)
			time.AfterFunc(time.Second, cancel)
		}
		found, err := c.GetMulti(ctx, names)
		cancel()
		var failed *bmemc.MultiError
		if !errors.As(err, &failed) || !errors.Is(err, wanted) {
			t.Fatalf("%v is not %v", err, wanted)
		}
		var unread []string
		for _, failure := range failed.Failed {
			unread = append(unread, failure.Keys...)
		}
		slices.Sort(unread)
		slices.Sort(hung)
		if !slices.Equal(unread, hung) || len(found) != len(there) {
			t.Fatalf("%v: %d found, %d named; %d and %d", wanted, len(found), len(unread), len(there), len(hung))
		}
		for i, name := range names {
			if item := found[name]; item != nil && string(item.Value) != strings.Repeat(name, 1+i%300) {
				t.Fatalf("%s has %d bytes", name, len(item.Value))
			}
		}
	}
}

// Who observes calls is told of what a call of many keys returns.
func TestObserveSeesWhatManyReturn(t *testing.T) {
	server := startMemcached(t, "tcp")
	var told []string
	c := newClient(t, bmemc.Options{
		Servers: bmemc.Servers(server.address), Timeout: 5 * time.Second, ConnectTimeout: 5 * time.Second,
		Observe: func(ctx context.Context, call bmemc.Call) (context.Context, func(error)) {
			return nil, func(err error) { told = append(told, fmt.Sprint(call.Op, " of ", call.Count, ": ", err != nil)) }
		},
	})
	names := []string{newKey(), newKey()}
	items := []*bmemc.Item{{Key: names[0]}, {Key: names[1]}}
	wantOK(t, c.SetMulti(background, items))
	_, err := c.GetMulti(background, names)
	wantOK(t, err)
	server.stop()
	_, err = c.GetMulti(background, names)
	if err == nil || c.SetMulti(background, items) == nil || c.DeleteMulti(background, names) == nil {
		t.Fatal("the server is gone")
	}
	wanted := []string{"set of 2: false", "get of 2: false", "get of 2: true", "set of 2: true", "delete of 2: true"}
	if !slices.Equal(told, wanted) {
		t.Fatalf("%q, not %q", told, wanted)
	}
}
