package bmemc

// #include "bridge.h"
import "C"

// Counters are what a client has done since it was made. They only grow; read together they may be a few operations apart.
type Counters struct {
	// Operations that were begun, whatever became of them.
	Operations uint64
	// Hits are reads that the server answered with a value, even if too late for their callers.
	Hits uint64
	// Misses are reads that the server answered with none.
	Misses uint64
	// Failures are operations that failed, time-outs among them.
	Failures uint64
	// Timeouts are operations that failed with [ErrTimeout].
	Timeouts uint64
	// QuietFailures are failures of operations with [FlagNoReply].
	QuietFailures uint64
	// BytesSent are those of requests. What opening a connection takes is not in them.
	BytesSent uint64
	// BytesReceived are those of replies.
	BytesReceived uint64
	// Batches are groups of operations that were sent together.
	Batches uint64
	// Connects are connections that were opened.
	Connects uint64
	// Disconnects are connections that were closed, for whatever reason.
	Disconnects uint64
	// SystemCalls are those that were made on connections; waiting for the queue is not in it.
	SystemCalls uint64
	// BreakerOpened is how often calls to a server began to fail at once.
	BreakerOpened uint64
	// FailedFast are calls that failed at once.
	FailedFast uint64
}

// Counters returns what the client has done, with all servers.
func (c *Client) Counters() (Counters, error) { return c.ServerCounters(-1) }

// ServerCounters returns what the client has done with one server, by its index; -1: with all.
func (c *Client) ServerCounters(server int) (Counters, error) {
	if server < -1 || server > 1<<31-1 {
		return Counters{}, refused("server is %d; it is -1 for all, or the index of a server", server)
	}
	var from C.bmemc_counters
	err := c.with(func(handle *C.bmemc_client, words *C.bmemc_error) error {
		return asError(C.int32_t(C.bmemc_client_counters(handle, C.int32_t(server), &from, words)), words)
	})
	return Counters{
		Operations: uint64(from.operations), Hits: uint64(from.hits), Misses: uint64(from.misses),
		Failures: uint64(from.failures), Timeouts: uint64(from.timeouts), QuietFailures: uint64(from.quiet_failures),
		BytesSent: uint64(from.bytes_sent), BytesReceived: uint64(from.bytes_received), Batches: uint64(from.batches),
		Connects: uint64(from.connects), Disconnects: uint64(from.disconnects), SystemCalls: uint64(from.system_calls),
		BreakerOpened: uint64(from.breaker_opened), FailedFast: uint64(from.failed_fast),
	}, err
}
