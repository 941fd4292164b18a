// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

type cluster struct {
	settings connector.Settings
	admin    *kadm.Client
	client   *kgo.Client
	made     atomic.Int64
}

const password = "a-password-of-the-test"

func start(t *testing.T) *cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "syncline", password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	out := &cluster{settings: connector.Settings{"brokers": strings.Join(c.ListenAddrs(), ","), "mechanism": "scram-sha-256", "user": "syncline", "password": password,
		"key": "natural-*=sku; regions-*=country,shelf"}}
	out.client, err = kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.SASL(mechanism(out.settings)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.client.Close)
	out.admin = kadm.NewClient(out.client)
	return out
}

func (c *cluster) topic(t testing.TB, name string, partitions int32) record.Object {
	t.Helper()
	name = fmt.Sprintf("%s-%d", name, c.made.Add(1))
	compact := "compact"
	if _, err := c.admin.CreateTopic(t.Context(), partitions, 1, map[string]*string{"cleanup.policy": &compact}, name); err != nil {
		t.Fatal(err)
	}
	return record.Object(name)
}

func with(s connector.Settings, name, value string) connector.Settings {
	out := connector.Settings{}
	for k, v := range s {
		out[k] = v
	}
	out[name] = value
	return out
}

// users write messages as other programs do: whole records, without transactions.
type users struct {
	c   *cluster
	sys *system // to know what a record holds
}

func (u *users) produce(t testing.TB, object record.Object, key record.Key, f record.Fields) {
	t.Helper()
	m := &kgo.Record{Topic: string(object), Key: []byte(key)}
	if f != nil {
		m.Value = record.AppendJSON(nil, map[string]any(f))
	}
	if err := u.c.client.ProduceSync(t.Context(), m).FirstErr(); err != nil {
		t.Fatalf("a user's message: %v", err)
	}
}

func (u *users) keyOf(object record.Object, f record.Fields) record.Key {
	return (&view{key: u.sys.key(string(object))}).keyOf(f)
}

func (u *users) Insert(t testing.TB, object record.Object, rows ...record.Fields) {
	t.Helper()
	for _, r := range rows {
		u.produce(t, object, u.keyOf(object, r), r)
	}
}

func (u *users) Update(t testing.TB, object record.Object, key record.Key, set record.Fields) {
	t.Helper()
	changes, err := u.sys.ReadKeys(t.Context(), object, nil, []record.Key{key})
	if err != nil || changes[0].Fields == nil {
		t.Fatalf("a user cannot update %q: %v", key, err)
	}
	f := changes[0].Fields
	for name, v := range set {
		f[name] = v
	}
	moved := u.keyOf(object, f)
	if moved != key {
		u.produce(t, object, key, nil)
	}
	u.produce(t, object, moved, f)
}

func (u *users) Delete(t testing.TB, object record.Object, keys ...record.Key) {
	t.Helper()
	for _, k := range keys {
		u.produce(t, object, k, nil)
	}
}

func (u *users) Begin(t testing.TB) connectortest.Transaction {
	t.Fatal("users have no transactions here")
	return nil
}

func open(t testing.TB, settings connector.Settings, consumer string) *system {
	t.Helper()
	checked, err := New().Spec().Check(settings)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := New().Open(t.Context(), checked, connector.Env{Consumer: consumer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	return sys.(*system)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	c := start(t)
	connectortest.Run(t, connectortest.Harness{
		Connector: New(), Settings: c.settings, Detection: byStream, Judge: "kfake (broker)", Objects: "topics", Not: map[card.Line]string{card.Expired: connectortest.NoToken, card.Webhook: connectortest.NoHooks, card.Limit: "its brokers slow clients down by themselves and refuse nothing"},
		Bad:   []connector.Settings{with(c.settings, "password", "wrong-password"), with(c.settings, "brokers", "127.0.0.1:1")},
		Users: &users{c, open(t, c.settings, "user")},
		Types: []connector.Type{connector.TypeText, connector.TypeInteger, connector.TypeNumber, connector.TypeBoolean, connector.TypeJSON, connector.TypeArray},
		Create: func(t *testing.T, shape connectortest.Shape) record.Object {
			return c.topic(t, string(shape.Name), 3)
		},
		Leftovers: func(t *testing.T, _ record.Object, consumer string) []string {
			groups, err := c.admin.ListGroups(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, g := range groups.Groups() {
				if strings.Contains(g, consumer) {
					left = append(left, g)
				}
			}
			return left
		},
		Can: connectortest.Can{Deletes: true, Independent: true, Watches: true, Finds: true, Composite: true, Rekeys: true, Schemaless: true},
	})
}
