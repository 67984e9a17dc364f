// Package otel reports what a bmemc client does to OpenTelemetry: a span for each call, how long calls take, and the
// client's counters. It is a module of its own, so that the client depends on nothing.
//
//	observer, err := otel.New()
//	client, err := bmemc.New(bmemc.Options{Servers: servers, Observe: observer.Observe})
//	err = observer.Counters(client)
package otel

import (
	"context"
	"errors"
	"time"

	"github.com/libbmemc/bmemc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/libbmemc/bmemc/otel"

// Observer reports calls. Any number of clients and goroutines may share one.
type Observer struct {
	tracer   trace.Tracer
	meter    metric.Meter
	duration metric.Float64Histogram
	keys     bool
}

// Option changes what [New] makes.
type Option func(*settings)

type settings struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	keys    bool
}

// WithTracerProvider reports spans to this one, instead of the global one.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(s *settings) { s.tracers = provider }
}

// WithMeterProvider reports metrics to this one, instead of the global one.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(s *settings) { s.meters = provider }
}

// WithKeys puts the first key of a call into its span. Keys may tell more than a trace should: off by default.
func WithKeys() Option { return func(s *settings) { s.keys = true } }

// New makes an observer.
func New(options ...Option) (*Observer, error) {
	s := settings{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider()}
	for _, option := range options {
		option(&s)
	}
	meter := s.meters.Meter(scope)
	duration, err := meter.Float64Histogram("db.client.operation.duration",
		metric.WithUnit("s"), metric.WithDescription("How long calls take"),
		metric.WithExplicitBucketBoundaries(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5))
	if err != nil {
		return nil, err
	}
	return &Observer{s.tracers.Tracer(scope), meter, duration, s.keys}, nil
}

// Observe is for [bmemc.Options.Observe].
func (o *Observer) Observe(ctx context.Context, call bmemc.Call) (context.Context, func(error)) {
	name := call.Op.String()
	about := []attribute.KeyValue{attribute.String("db.system.name", "memcached"), attribute.String("db.operation.name", name)}
	inSpan := about
	if call.Count > 1 {
		inSpan = append(inSpan, attribute.Int("db.operation.batch.size", call.Count))
	}
	if o.keys {
		inSpan = append(inSpan, attribute.String("db.memcached.key", call.Key))
	}
	began := time.Now()
	ctx, span := o.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(inSpan...))
	return ctx, func(err error) {
		if kind := errorType(err); kind != "" {
			about = append(about, attribute.String("error.type", kind))
			span.SetAttributes(attribute.String("error.type", kind))
			span.SetStatus(codes.Error, err.Error())
		} else if errors.Is(err, bmemc.ErrNotFound) {
			span.SetAttributes(attribute.Bool("db.memcached.miss", true))
		}
		span.End()
		o.duration.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(about...))
	}
}

// errorType is the name of the status; empty for what is no failure.
func errorType(err error) string {
	if err == nil || bmemc.IsRefusal(err) {
		return ""
	}
	var status bmemc.Status
	if errors.As(err, &status) {
		return status.Name()
	}
	return "unknown"
}

// Counters reports the client's counters, whenever metrics are collected, until the client is closed.
func (o *Observer) Counters(client *bmemc.Client) error {
	if _, err := client.Counters(); err != nil {
		return err
	}
	counters := []struct {
		name, about string
		value       func(bmemc.Counters) uint64
	}{
		{"bmemc.operations", "Operations that were begun", func(c bmemc.Counters) uint64 { return c.Operations }},
		{"bmemc.hits", "Reads that were answered with a value", func(c bmemc.Counters) uint64 { return c.Hits }},
		{"bmemc.misses", "Reads that were answered with none", func(c bmemc.Counters) uint64 { return c.Misses }},
		{"bmemc.failures", "Operations that failed", func(c bmemc.Counters) uint64 { return c.Failures }},
		{"bmemc.timeouts", "Operations that timed out", func(c bmemc.Counters) uint64 { return c.Timeouts }},
		{"bmemc.quiet_failures", "Operations without a reply that failed", func(c bmemc.Counters) uint64 { return c.QuietFailures }},
		{"bmemc.bytes_sent", "Bytes of requests", func(c bmemc.Counters) uint64 { return c.BytesSent }},
		{"bmemc.bytes_received", "Bytes of replies", func(c bmemc.Counters) uint64 { return c.BytesReceived }},
		{"bmemc.batches", "Groups of operations that were sent together", func(c bmemc.Counters) uint64 { return c.Batches }},
		{"bmemc.connects", "Connections that were opened", func(c bmemc.Counters) uint64 { return c.Connects }},
		{"bmemc.disconnects", "Connections that were closed", func(c bmemc.Counters) uint64 { return c.Disconnects }},
		{"bmemc.system_calls", "System calls on connections", func(c bmemc.Counters) uint64 { return c.SystemCalls }},
	}
	instruments := make([]metric.Observable, len(counters))
	for i, counter := range counters {
		made, err := o.meter.Int64ObservableCounter(counter.name, metric.WithDescription(counter.about))
		if err != nil {
			return err
		}
		instruments[i] = made
	}
	_, err := o.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		now, err := client.Counters()
		if err != nil {
			return nil // it was closed
		}
		for i, counter := range counters {
			to.ObserveInt64(instruments[i].(metric.Int64Observable), int64(counter.value(now)))
		}
		return nil
	}, instruments...)
	return err
}
