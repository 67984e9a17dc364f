package otel_test

import (
	"context"
	"testing"

	"github.com/libbmemc/bmemc"
	"github.com/libbmemc/bmemc/bmemctest"
	"github.com/libbmemc/bmemc/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestObserver(t *testing.T) {
	ctx := context.Background()
	spans, reader := tracetest.NewSpanRecorder(), metric.NewManualReader()
	observer, err := otel.New(otel.WithKeys(),
		otel.WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans))),
		otel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	client, err := bmemc.New(bmemc.Options{
		Servers: bmemc.Servers(bmemctest.NewServer(t).Address()), Observe: observer.Observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := observer.Counters(client); err != nil {
		t.Fatal(err)
	}
	_ = client.Set(ctx, &bmemc.Item{Key: "a", Value: []byte("x")})
	_, _ = client.Get(ctx, "nothing")
	_, _ = client.Get(ctx, "not a key")
	_, _ = client.GetMulti(ctx, []string{"a", "b", "c"})

	metrics := collect(t, reader)
	if got := metrics["bmemc.misses"].(metricdata.Sum[int64]).DataPoints[0].Value; got != 3 {
		t.Errorf("%d misses", got)
	}
	var counted uint64
	for _, point := range metrics["db.client.operation.duration"].(metricdata.Histogram[float64]).DataPoints {
		counted += point.Count
	}
	if counted != 4 {
		t.Errorf("%d calls were timed", counted)
	}
	ended := spans.Ended()
	if len(ended) != 4 {
		t.Fatalf("%d spans", len(ended))
	}
	for i, wanted := range []struct {
		name, attribute, value string
		status                 codes.Code
	}{
		{"set", "db.memcached.key", "a", codes.Unset},
		{"get", "db.memcached.miss", "true", codes.Unset},
		{"get", "error.type", "BMEMC_E_ARGUMENT", codes.Error},
		{"get", "db.operation.batch.size", "3", codes.Unset},
	} {
		span := ended[i]
		found := map[string]string{}
		for _, attribute := range span.Attributes() {
			found[string(attribute.Key)] = attribute.Value.Emit()
		}
		if span.Name() != wanted.name || found[wanted.attribute] != wanted.value || span.Status().Code != wanted.status {
			t.Errorf("span %d: %s %v %v", i, span.Name(), found, span.Status())
		}
	}
	client.Close()
	if metrics := collect(t, reader); metrics["bmemc.misses"] != nil {
		if points := metrics["bmemc.misses"].(metricdata.Sum[int64]).DataPoints; len(points) > 1 {
			t.Errorf("%v after the end", points)
		}
	}
	if err := observer.Counters(nil); err == nil {
		t.Error("counters of no client")
	}
}

func collect(t *testing.T, reader *metric.ManualReader) map[string]metricdata.Aggregation {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	found := map[string]metricdata.Aggregation{}
	for _, scope := range all.ScopeMetrics {
		for _, each := range scope.Metrics {
			found[each.Name] = each.Data
		}
	}
	return found
}
