package bmemc

// #include "bridge.h"
import "C"

import (
	"context"
	"unsafe"
)

// ServerInfo is one server of a client in use.
type ServerInfo struct {
	Server
	// Index is what answers, events and counters call it.
	Index int
}

// Servers lists the servers.
func (c *Client) Servers() ([]ServerInfo, error) {
	var servers []ServerInfo
	err := c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		var results *C.bmemc_results
		if status := C.bmemc_client_servers(handle, &results, words); status != C.BMEMC_OK {
			return asError(C.int32_t(status), words)
		}
		defer C.bmemc_results_free(results)
		servers = serverInfos(results)
		return nil
	})
	return servers, err
}

func serverInfos(results *C.bmemc_results) []ServerInfo {
	var servers []ServerInfo
	for _, item := range itemsOf(results) {
		servers = append(servers, serverInfo(&item))
	}
	return servers
}

func serverInfo(item *C.bmemc_item) ServerInfo {
	return ServerInfo{Server{stringOf(item.value), stringOf(item.key), int(item.number)}, int(item.server)}
}

// itemsOf are borrowed from the results.
func itemsOf(results *C.bmemc_results) []C.bmemc_item {
	var count C.size_t
	return unsafe.Slice(C.bmemc_results_items(results, &count), int(count))
}

// AddServer adds a server to a client in use. Keys move to it as the ring says.
func (c *Client) AddServer(server Server) error {
	weight, err := server.weight()
	if err != nil {
		return err
	}
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(server.Address, server.Name, func(address, name C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_client_add_server(handle, address, name, weight, words)), words)
		})
	})
}

// RemoveServer removes the server of this name; what it was asked already is still answered. [ErrNotFound]: there is none.
func (c *Client) RemoveServer(name string) error {
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(name, "", func(name, _ C.bmemc_bytes) error {
			return asError(C.int32_t(C.bmemc_client_remove_server(handle, name, words)), words)
		})
	})
}

// DisconnectAll drops every connection, and forgets which servers have failed; later calls open new ones. Calls under way may
// fail with [ErrConnection].
func (c *Client) DisconnectAll() error {
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return asError(C.int32_t(C.bmemc_disconnect_all(handle, words)), words)
	})
}

// ReplaceServers makes these the servers of a client in use, in one step. Servers whose name and address are there already
// keep their index and their connections.
func (c *Client) ReplaceServers(servers []Server) error {
	from := Options{Servers: servers}
	built, hooks, err := from.build()
	if err != nil {
		return err
	}
	defer hooks.close()
	defer C.bmemc_options_free(built)
	return c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return asError(C.int32_t(C.bmemc_client_replace_servers(handle, built, words)), words)
	})
}

// ServerFor says which server has a key; of replicas and of a fallback client, the first.
func (c *Client) ServerFor(key string) (ServerInfo, error) {
	var server ServerInfo
	err := c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return withBytes(key, "", func(key, _ C.bmemc_bytes) error {
			var out *C.bmemc_value
			status := C.bmemc_client_server_for(handle, key, &out, words)
			defer C.bmemc_value_free(out)
			if status == C.BMEMC_OK {
				server = serverInfo(C.bmemc_value_item(out))
			}
			return asError(C.int32_t(status), words)
		})
	})
	return server, err
}

// ExecuteEach runs one operation on each server at once, whatever its key: answer i is that of server i of
// [Client.Servers]. It holds a thread while it waits.
func (c *Client) ExecuteEach(ctx context.Context, op Op) ([]Answer, error) {
	if failed := c.check(ctx); failed != nil {
		return nil, failed.about(op.Opcode, op.Key)
	}
	if failed := op.check(); failed != nil {
		return nil, failed.about(op.Opcode, op.Key)
	}
	b := newBatch()
	b.add(&op, 0, c.milliseconds(ctx))
	var answers []Answer
	err := c.aside(ctx, op.Opcode, func(handle *C.bmemc_client, words *C.bmemc_error) error {
		var results *C.bmemc_results
		status := C.bridge_execute_each(handle, &b.ops[0], (*C.uint8_t)(unsafe.SliceData(b.bytes)), &results, words)
		defer C.bmemc_results_free(results)
		for _, item := range itemsOf(results) {
			answers = append(answers, answerOf(&item))
		}
		return asError(status, words)
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// answerOf is an answer with copies of its bytes.
func answerOf(item *C.bmemc_item) Answer {
	var answer Answer
	answer.read(item)
	answer.Value, answer.Key, answer.Detail = bytesOf(item.value), stringOf(item.key), stringOf(item.detail)
	return answer
}
