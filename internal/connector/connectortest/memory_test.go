// SPDX-License-Identifier: Apache-2.0

package connectortest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
)

var stock = connector.ObjectInfo{Name: "stock", Key: []string{"sku"}, Fields: []connector.FieldInfo{
	{Name: "sku", Type: connector.TypeText},
	{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
}}

func open(t *testing.T, m *connectortest.Memory, consumer string) connector.System {
	t.Helper()
	s, err := m.Open(t.Context(), nil, connector.Env{Consumer: consumer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	m := connectortest.NewMemory(stock)
	s := open(t, m, "svc_a")
	write := func(q int64) error {
		_, err := s.(connector.Writer).Write(t.Context(), "stock", []connector.Write{{Op: record.Upsert, Create: true, Fields: record.Fields{"sku": fmt.Sprint("W", q), "quantity": record.Int(q)}}})
		return err
	}
	m.Plant(connectortest.Fault{On: connectortest.OnWrite, Class: connector.Reconnect}, connectortest.Fault{On: connectortest.OnWrite, Applied: true})
	if err := write(1); connector.Classify(err).Class != connector.Reconnect || m.User("stock").Get("W1") != nil {
		t.Errorf("the first planted fault gave %v", err)
	}
	if err := write(2); connector.Classify(err).Class != connector.Retry || m.User("stock").Get("W2") == nil {
		t.Errorf("the second planted fault gave %v, want Retry with the write applied", err)
	}
	if err := write(3); err != nil || m.Planted() != 0 {
		t.Errorf("after the planted faults: %v", err)
	}
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	m.SetClock(func() time.Time { return now })
	m.LimitRate(1, time.Minute)
	if err := write(4); err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Second)
	if err := connector.Classify(write(5)); err.Class != connector.SlowDown || err.After != 40*time.Second {
		t.Errorf("over the rate: %s after %s, want slow_down after 40s", err.Class, err.After)
	}
	now = now.Add(40 * time.Second)
	if err := write(5); err != nil {
		t.Errorf("in the next period: %v", err)
	}
}

// A reader that is spared its own echoes must still hear of somebody else's change to a record that it wrote later.
func TestEchoesAreSuppressedButNotWhatOthersChanged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := connectortest.NewMemory(stock)
	m.SuppressEchoes(true)
	s := open(t, m, "svc_a")
	page, err := s.(connector.Reader).Read(ctx, connector.ReadRequest{Object: "stock", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	m.User("stock").Put("A", record.Fields{"quantity": record.Int(1)})
	for i := range int64(1000) { // enough to make the log forget what it may
		if _, err := s.(connector.Writer).Write(ctx, "stock", []connector.Write{
			{Op: record.Upsert, Key: "A", Fields: record.Fields{"quantity": record.Int(i + 2)}},
			{Op: record.Upsert, Create: true, Fields: record.Fields{"sku": "B", "quantity": record.Int(i)}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	page, err = s.(connector.Reader).Read(ctx, connector.ReadRequest{Object: "stock", Cursor: page.Cursor, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Changes) != 1 || page.Changes[0].Key != "A" || !record.Equal(page.Changes[0].Fields["quantity"], record.Int(1001)) {
		t.Errorf("the reader saw %+v, want A as it is now", page.Changes)
	}
}
