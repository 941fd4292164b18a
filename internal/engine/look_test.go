// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// polled are the bench's systems, of which the shop tells of nothing and is asked between every 20 and 200 ms.
type polled struct{ *bench }

type asked struct{ capable }

func (asked) Pace() connector.Pace {
	return connector.Pace{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}
}

func (p polled) OpenSystem(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document, system, consumer string) (connector.System, connector.Spec, error) {
	sys, spec, err := p.bench.OpenSystem(ctx, t, s, doc, system, consumer)
	if err == nil && system == "shop" {
		return asked{sys.(capable)}, spec, nil
	}
	return sys, spec, err
}

// How often a system is looked at is seen: one that is asked is asked less and less while it is quiet, one that tells of changes is
// looked at now and then all the same, and one of a paused service is not.
func TestLooksAreShown(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	b.engine = engine.New(store.InTx(b.db, func(tx *store.Tx) engine.Tx { return tx }), polled{b}, slog.New(slog.DiscardHandler))
	b.fill(3)
	began := time.Now()
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 3 && b.settledDown() })
	reader := engine.NewReader(store.InTx(b.db, func(tx *store.Tx) engine.ReadTx { return tx }))
	look := func() map[record.System]engine.Flow {
		list, err := reader.Statuses(t.Context(), auth.System(b.tenant, "test"), b.service)
		if err != nil {
			t.Fatal(err)
		}
		out := make(map[record.System]engine.Flow)
		for _, s := range list {
			out[s.System] = s.Flows[0]
		}
		return out
	}
	b.eventually("the quiet shop to be asked seldom", func() bool { return look()["shop"].LookEvery == 200*time.Millisecond })
	b.eventually("the warehouse to be swept", func() bool { return look()["warehouse"].LookEvery == 30*time.Second })
	for system, f := range look() {
		if f.NextLookAt == nil || f.NextLookAt.Before(began) || f.NextLookAt.After(time.Now().Add(31*time.Second)) {
			t.Errorf("%s is looked at next at %v", system, f.NextLookAt)
		}
		if system == "warehouse" && (f.Detection == "" || f.Why == "") { // the wrapped one hides what it says
			t.Errorf("how changes of %s are seen is %q because %q", system, f.Detection, f.Why)
		}
	}
	b.halt()
	b.exec(`UPDATE services SET state = 'paused'`)
	for system, f := range look() {
		if f.LookEvery != 0 || f.NextLookAt != nil {
			t.Errorf("%s of a paused service is looked at every %v, next at %v", system, f.LookEvery, f.NextLookAt)
		}
	}
}
