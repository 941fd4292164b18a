// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/record"
)

// users work in the account directly.
type users struct {
	server *sandbox.Server
	made   atomic.Int64
}

func wire(t testing.TB, v record.Value) any {
	t.Helper()
	switch x := v.(type) {
	case string:
		return map[string]any{"S": x}
	case record.Number:
		return map[string]any{"N": string(x)}
	case bool:
		return map[string]any{"BOOL": x}
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = wire(t, e)
		}
		return map[string]any{"M": out}
	case []any:
		out := []any{}
		for _, e := range x {
			out = append(out, wire(t, e))
		}
		return map[string]any{"L": out}
	}
	return map[string]any{"NULL": true}
}

func (u *users) Insert(t testing.TB, o record.Object, rows ...record.Fields) {
	u.server.Do(t.Context(), func(x *sandbox.Exchange) {
		for _, r := range rows {
			it := map[string]any{}
			for k, v := range r {
				it[k] = wire(t, v)
			}
			Put(x.W, string(o), it)
		}
	})
}

func (u *users) with(t testing.TB, o record.Object, key record.Key, f func(w *sandbox.World, r *sandbox.Record)) {
	t.Helper()
	u.server.Do(t.Context(), func(x *sandbox.Exchange) {
		schema := sandbox.List(x.W.Get(tables, string(o)).Fields["key"])
		parts, err := key.Parts(len(schema) / 2)
		if err != nil {
			t.Error(err)
			return
		}
		k := map[string]any{}
		for i, p := range parts {
			k[sandbox.Text(schema[2*i])] = map[string]any{sandbox.Text(schema[2*i+1]): p}
		}
		r := Item(x.W, string(o), k)
		if r == nil {
			t.Errorf("a user does not find %s in %s", key, o)
			return
		}
		f(x.W, r)
	})
}

func (u *users) Update(t testing.TB, o record.Object, key record.Key, set record.Fields) {
	t.Helper()
	u.with(t, o, key, func(w *sandbox.World, r *sandbox.Record) {
		it := map[string]any{}
		for k, v := range r.Fields {
			it[k] = v
		}
		for k, v := range set {
			it[k] = wire(t, v)
		}
		Remove(w, r)
		Put(w, string(o), it)
	})
}

func (u *users) Delete(t testing.TB, o record.Object, keys ...record.Key) {
	t.Helper()
	for _, k := range keys {
		u.with(t, o, k, Remove)
	}
}

func (u *users) Begin(t testing.TB) connectortest.Transaction {
	t.Fatal("users have no transactions here")
	return nil
}

func TestSuite(t *testing.T) {
	t.Parallel()
	t.Run("hash", func(t *testing.T) { testSuite(t, "hash") })
	t.Run("stream", func(t *testing.T) { testSuite(t, "stream") })
}

func testSuite(t *testing.T, detection string) {
	t.Parallel()
	judge := sandboxtest.NewShapes(t, "dynamodb", "api-2.json", "streams-api-2.json")
	server := sandbox.NewServer(&Simulator{Page: 50, Sparse: true}, sandbox.NewWorld(nil, 1), false)
	server.Judge = judge.See
	u := &users{server: server}
	good := connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret"}
	var lose func(*testing.T, record.Object, string)
	if detection == "stream" { // the stream was disabled and enabled again, and a day went by: it is another one
		lose = func(t *testing.T, o record.Object, _ string) {
			server.Do(t.Context(), func(x *sandbox.Exchange) {
				for _, s := range ofTable(x.W, string(o)) {
					delete(x.W.Table(shards).Records, s.ID)
				}
				Stream(x.W, string(o))
			})
		}
	}
	connectortest.Run(t, connectortest.Harness{
		Connector: New(), Settings: good, Detection: detection, Users: u, Judge: "simulator; Amazon's service description", Objects: "tables", Env: connector.Env{Sandbox: server}, Not: map[card.Line]string{card.Webhook: connectortest.NoHooks},
		Bad: []connector.Settings{{"accessKeyId": "somebody", "secretAccessKey": "sandbox_other-secret"}},
		Create: func(t *testing.T, shape connectortest.Shape) record.Object {
			name := fmt.Sprintf("%s-%d", shape.Name, u.made.Add(1))
			var key []any
			for _, k := range shape.Key {
				f, _ := shape.Field(k)
				kind := "S"
				if f.Type == connector.TypeInteger {
					kind = "N"
				}
				key = append(key, k, kind)
			}
			server.Do(t.Context(), func(x *sandbox.Exchange) {
				MakeTable(x.W, name, key...)
				if detection == "stream" {
					Stream(x.W, name)
				}
			})
			return record.Object(name)
		},
		Types:     []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeBoolean, connector.TypeJSON, connector.TypeArray},
		Unfit:     func(_ connector.Type, v record.Value) bool { n, ok := v.(record.Number); return ok && len(n) > 38 },
		LosePlace: lose,
		Can:       connectortest.Can{Deletes: true, Independent: true, Finds: true, Rekeys: true, Schemaless: true},
	})
}

// A write that is asked for too often is left for later, and what moved in the instant between is not overwritten.
func TestTrouble(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "dynamodb", card.Limit)
	server := sandbox.NewServer(&Simulator{}, sandbox.NewWorld(nil, 1), true)
	checked, err := New().Spec().Check(connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret"})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := New().Open(t.Context(), checked, connector.Env{Sandbox: server})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	write := func() ([]connector.Receipt, error) {
		return sys.(connector.Writer).Write(t.Context(), "contacts", []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "c-1", Fields: record.Fields{"name": "Maria G."}, Expect: record.Fields{"name": "Maria Garcia"}}})
	}
	server.Plant(sandbox.Fault{Status: http.StatusBadRequest, Header: map[string]string{"Content-Type": "application/x-amz-json-1.0"}, Body: `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`})
	if _, err := write(); err == nil || connector.Classify(err).Class != connector.SlowDown {
		t.Errorf("throttling gave %v", err)
	}
	server.Heal()
	done := false
	server.Judge = func(r *http.Request, _ []byte) {
		if r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.UpdateItem" && !done {
			done = true
			(&users{server: server}).Update(t, "contacts", "c-1", record.Fields{"name": "by a person"})
		}
	}
	receipts, err := write()
	if err != nil || receipts[0].Outcome != connector.Moved || receipts[0].Stored["name"] != "by a person" {
		t.Errorf("the receipts are %+v, %v", receipts, err)
	}
	b, _ := json.Marshal(server.Calls()) // counts
	if !done {
		t.Errorf("no item was updated: %s", b)
	}
}
