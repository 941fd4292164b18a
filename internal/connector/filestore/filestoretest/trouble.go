// SPDX-License-Identifier: Apache-2.0

package filestoretest

import (
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/record"
)

// Trouble is what a place has of its own to make of calls.
type Trouble struct {
	Throttle func(on bool)         // while it is on, each call is answered with "too many"
	Elapse   func(d time.Duration) // lets the time pass by which waiting goes
	Expire   func()                // access tokens end; nil where there are none
}

// InSandbox is the trouble of a simulated account.
func InSandbox(server *sandbox.Server, clock *sandbox.Clock) Trouble {
	return Trouble{
		Throttle: func(on bool) {
			server.Heal()
			if on {
				server.Plant(sandbox.TooMany(0))
			}
		},
		Elapse: clock.Advance,
		Expire: func() { server.Plant(sandbox.Fault{Times: 1, Expire: true}) },
	}
}

// RunTrouble holds the connector to what is true of calls that are too many, and of tokens that end. The place is its own.
func RunTrouble(t *testing.T, p Place, x Trouble) {
	lines := []card.Line{card.Limit}
	if x.Expire != nil {
		lines = append(lines, card.Expired)
	}
	connectortest.Proves(t, p.Connector.Spec().Type, lines...)
	checked, err := p.Connector.Spec().Check(p.Settings)
	if err != nil {
		t.Fatal(err)
	}
	env := p.Env
	env.Consumer = "svc_1"
	sys, err := p.Connector.Open(t.Context(), checked, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Close() })
	const object = record.Object("people.csv")
	p.Put(t, string(object), []byte("id,name\n1,Ada\n2,Bob\n"))
	var cursor record.Cursor
	rows := map[record.Key]record.Value{}
	read := func() error {
		for more := true; more; {
			page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: object, Cursor: cursor, Limit: 10})
			if err != nil {
				return err
			}
			cursor, more = page.Cursor, page.More
			for _, c := range page.Changes {
				rows[c.Key] = c.Fields["name"]
			}
		}
		return nil
	}
	write := func(name string) error {
		got, err := sys.(connector.Writer).Write(t.Context(), object, []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Key: "1", Fields: record.Fields{"name": name}}})
		if err == nil && got[0].Outcome != connector.Applied {
			t.Errorf("the write of %s is %s (%v)", name, got[0].Outcome, got[0].Err)
		}
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	p.Put(t, string(object), []byte("id,name\n1,Ada\n2,Robert\n"))
	for _, act := range []func() error{read, func() error { return write("Ada L.") }} {
		x.Throttle(true)
		err := act()
		e := connector.Classify(err)
		if err == nil || e.Class != connector.SlowDown || e.After <= 0 {
			t.Errorf("too many calls gave class %s, after %s: %v", e.Class, e.After, err)
		}
		x.Throttle(false)
		x.Elapse(max(e.After, time.Minute))
		if err := act(); err != nil {
			t.Errorf("after a while: %v", err)
		}
	}
	if err := read(); err != nil || rows["1"] != "Ada L." || rows["2"] != "Robert" {
		t.Errorf("read were %v, %v", rows, err)
	}
	if x.Expire == nil {
		return
	}
	x.Expire()
	if err := write("Ada Lovelace"); err != nil {
		t.Errorf("writing with a token that ended: %v", err)
	}
	x.Expire()
	if err := read(); err != nil || rows["1"] != "Ada Lovelace" {
		t.Errorf("reading with a token that ended: %v, %v", rows, err)
	}
}
