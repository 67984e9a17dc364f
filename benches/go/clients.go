package main

import (
	"context"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/libbmemc/bmemc"
)

type bmemcClient struct{ *bmemc.Client }

func newBmemc(p *plan) (client, error) {
	made, err := bmemc.New(bmemc.Options{Servers: bmemc.Servers(p.server), Timeout: 20 * time.Second})
	return bmemcClient{made}, err
}

func (c bmemcClient) get(key string) ([]byte, error) {
	item, err := c.Get(context.Background(), key)
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

func (c bmemcClient) getMulti(keys []string, found func(key string, value []byte)) error {
	items, err := c.GetMulti(context.Background(), keys)
	for key, item := range items {
		found(key, item.Value)
	}
	return err
}

type gomemcacheClient struct{ *memcache.Client }

// As many idle connections as there are goroutines: with fewer it would dial all the time.
func newGomemcache(p *plan) (client, error) {
	made := memcache.New(p.server)
	made.MaxIdleConns, made.Timeout = max(p.goroutines, 2), 20*time.Second
	return gomemcacheClient{made}, nil
}

func (c gomemcacheClient) get(key string) ([]byte, error) {
	item, err := c.Get(key)
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

func (c gomemcacheClient) getMulti(keys []string, found func(key string, value []byte)) error {
	items, err := c.GetMulti(keys)
	for key, item := range items {
		found(key, item.Value)
	}
	return err
}
