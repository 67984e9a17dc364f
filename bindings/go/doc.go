// Package bmemc is a memcached client: libbmemc for Go.
//
//	client, err := bmemc.New(bmemc.Options{Servers: bmemc.Servers("127.0.0.1:11211")})
//	err = client.Set(ctx, &bmemc.Item{Key: "greeting", Value: []byte("hello"), TTL: time.Minute})
//	item, err := client.Get(ctx, "greeting")
//
// A hit, a miss, a refusal and a failure are four different things: a miss is [ErrNotFound], other refusals are
// [ErrNotStored] and [ErrExists], and a failure is an [*Error], never a miss. [errors.Is] tells them apart.
//
// A call ends when its context does, at once, and whatever happens after [Options.Timeout]. Its late reply harms nobody.
//
// One client is for all goroutines: what they ask for at the same time goes to the server together, which is what makes
// it fast. No goroutine holds a thread while it waits for a server.
//
// The package needs libbmemc, which pkg-config finds as "bmemc"; with the build tag bmemc_static the archive is linked.
package bmemc
