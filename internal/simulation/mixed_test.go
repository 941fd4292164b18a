// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"flag"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/googlesheets"
	"github.com/syncline-dev/syncline/internal/connector/kafka"
	"github.com/syncline-dev/syncline/internal/connector/mongodb"
	"github.com/syncline-dev/syncline/internal/connector/postgres"
	"github.com/syncline-dev/syncline/internal/connector/s3"
	"github.com/syncline-dev/syncline/internal/connector/transport"
)

var mixed = flag.Int("mixed", 200, "how many seeds TestMixedService runs")

// playMixed runs a seed in which there is nothing but a mixed service.
func playMixed(t *testing.T, seed uint64, spoil func(*Run)) outcome {
	return playScene(t, func() *Run {
		r := newSetting(seed, nil)
		newMixed(seed, r)
		return r
	}, spoil)
}

// TestMixedService: PostgreSQL, MongoDB, a Google Sheet, a CSV file in S3 and a topic of Kafka in one service, under every accident: in the end
// all five hold the same, or what they do not a person was told of, and the invariants 1 to 8 held all the way.
func TestMixedService(t *testing.T) {
	playAll(t, *mixed, "go test ./internal/simulation -run '^TestMixedService$' -mixed 1 -seed %d", func(t *testing.T, seed uint64) outcome { return playMixed(t, seed, nil) })
}

// TestMixedServiceReplays: the connectors' own code does the same steps each time, too.
func TestMixedServiceReplays(t *testing.T) {
	for seed := *first; seed < *first+10; seed++ {
		a, b := playMixed(t, seed, nil), playMixed(t, seed, nil)
		if a.trace != b.trace || a.steps != b.steps {
			t.Errorf("seed %d: %d steps the first time, %d the second, and they are not the same%s", seed, a.steps, b.steps, parting(a.lines, b.lines))
		}
	}
}

// TestKindsAreTheConnectors: each of the five systems says of itself what its connector says, and can what it can. What a system of the
// simulation leaves out is named here, and why it does no harm.
func TestKindsAreTheConnectors(t *testing.T) {
	left := map[string]map[string]string{
		inDatabase: {"Acknowledger": "it keeps nothing for a reader", "Cleaner": "services are not removed here", "Lister": "plans are not made here", "Digester": "its records are read"},
		inBucket:   {"Cleaner": "services are not removed here"},
		inTopic:    {"Cleaner": "services are not removed here"},
	}
	actual := map[string]struct {
		connector connector.Connector
		settings  connector.Settings
	}{
		inDatabase:  {postgres.New(), connector.Settings{"host": "127.0.0.1", "database": "shop"}},
		inDocuments: {mongodb.New(), connector.Settings{"address": "mongodb://127.0.0.1:27017", "database": "shop", "key": "sku"}},
		inSheet:     {googlesheets.New(transport.NewPool()), connector.Settings{"spreadsheet": "book", "accessToken": "any", "key": "sku"}},
		inBucket:    {s3.New(), connector.Settings{"bucket": "exchange", "accessKeyId": "any", "secretAccessKey": "any", "endpoint": "http://127.0.0.1:9", "key": "sku"}},
		inTopic:     {kafka.New(), connector.Settings{"brokers": "127.0.0.1:9092", "key": "sku"}},
	}
	r, own := newSetting(1, nil), rand.New(rand.NewPCG(1, 1))
	for id, its := range actual {
		o := r.newKind("m/"+id, id, own)
		if got, want := o.place.Spec(), its.connector.Spec(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s says of itself %+v, its connector %+v", o.id, got, want)
		}
		settings, err := its.connector.Spec().Check(its.settings)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := its.connector.Open(t.Context(), settings, connector.Env{Consumer: "svc_1", Dial: (&net.Dialer{}).DialContext})
		if err != nil {
			t.Fatal(err)
		}
		inner, err := o.place.open(t.Context(), nil, "svc_1")
		if err != nil {
			t.Fatal(err)
		}
		ours := o.kind.able(base{outside: o, line: newLine("p1"), inner: inner, consumer: "svc_1"})
		for name, can := range map[string]func(connector.System) bool{
			"Discoverer": is[connector.Discoverer], "Reader": is[connector.Reader], "OnceReader": is[connector.OnceReader], "KeyReader": is[connector.KeyReader],
			"Finder": is[connector.Finder], "Scanner": is[connector.Scanner], "Digester": is[connector.Digester], "Lister": is[connector.Lister], "Writer": is[connector.Writer],
			"Appender": is[connector.Appender], "Recaller": is[connector.Recaller], "Watcher": is[connector.Watcher], "Acknowledger": is[connector.Acknowledger],
			"Cleaner": is[connector.Cleaner], "Chooser": is[connector.Chooser], "Pacer": is[connector.Pacer],
		} {
			_, leaves := left[string(o.id)][name]
			if got, want := can(ours), can(opened) && !leaves; got != want {
				t.Errorf("%s is a %s: %v, its connector: %v", o.id, name, got, can(opened))
			}
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
}

func is[T any](s connector.System) bool { _, ok := s.(T); return ok }
