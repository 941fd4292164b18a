// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
)

// The course of comparisons: how they are cancelled, begin by themselves, and are handed over.

type scanned interface {
	capable
	connector.Scanner
}

// gate holds a scan of a system up until it is let through, or whoever scans goes.
type gate struct {
	system  string
	page    int64 // which is held up: 1 for the first
	shut    atomic.Bool
	reached chan struct{}
	open    chan struct{}
}

func newGate(system string, page int64) *gate {
	g := &gate{system: system, page: page, reached: make(chan struct{}), open: make(chan struct{})}
	g.shut.Store(true)
	return g
}

type gated struct {
	scanned
	gate  *gate
	pages *atomic.Int64
}

func (s gated) Scan(ctx context.Context, req connector.ScanRequest) (connector.Scanned, error) {
	if req.Place == nil {
		s.pages.Store(0)
	}
	if s.pages.Add(1) == s.gate.page && s.gate.shut.CompareAndSwap(true, false) {
		close(s.gate.reached)
		select {
		case <-s.gate.open:
		case <-ctx.Done():
			return connector.Scanned{}, ctx.Err()
		}
	}
	return s.scanned.Scan(ctx, req)
}

func (b *bench) through(g *gate) {
	b.opened = func(system string, s connector.System) connector.System {
		if system != g.system {
			return s
		}
		return gated{s.(scanned), g, new(atomic.Int64)}
	}
}

func (b *bench) proofNow(proofs *engine.Proofs) *engine.Proof {
	b.t.Helper()
	p, err := proofs.Get(context.Background(), auth.System(b.tenant, "test"), b.service)
	if err != nil {
		b.t.Fatal(err)
	}
	return &p
}

func (b *bench) askProof(proofs *engine.Proofs) {
	b.t.Helper()
	if _, err := proofs.Ask(context.Background(), auth.System(b.tenant, "Ada"), b.service); err != nil {
		b.t.Fatal(err)
	}
	b.engine.Nudge(b.service)
}

func (b *bench) events(typ string) int64 {
	return b.number(`SELECT count(*) FROM events WHERE type = $1`, typ)
}

// A comparison that is cancelled ends without a result, and what the one before it found stays. Who asks after cancelling gets one
// that begins later, and so counts what differs by then.
func TestProofCancelled(t *testing.T) {
	b := newBench(t, strings.Replace(twoWay, "frequency: realtime", "frequency: realtime\n  proof: {enabled: false}", 1), "warehouse", "shop")
	proofs := b.proving()
	who := auth.System(b.tenant, "Ada")
	cancel := func() {
		t.Helper()
		if _, err := proofs.Cancel(t.Context(), who, b.service); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		b.user("warehouse").Put(record.Key(fmt.Sprint("A", i)), product(fmt.Sprint("A", i), 10))
	}
	b.start()
	b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 6 && b.settledDown() })
	if _, err := proofs.Cancel(t.Context(), who, b.service); codeOf(err) != "proof.not_running" {
		t.Errorf("cancelling nothing is answered %v", err)
	}
	b.user("warehouse").Tamper("A5", record.Fields{"quantity": record.Int(5)})
	first := b.prove(proofs)
	expect(t, "the first comparison", []int64{first.Drift, first.Total}, []int64{1, 6})
	b.halt()

	// Cancelled on the way, and nobody asks again.
	g := newGate("shop", 1)
	b.through(g)
	b.start()
	b.askProof(proofs)
	<-g.reached
	cancel()
	close(g.open)
	b.eventually("the end of it", func() bool { return !b.proofNow(proofs).Running() })
	if p := b.proofNow(proofs); p.Result == nil || p.Result.Pass != first.Pass || p.Progress != nil {
		t.Errorf("after cancelling the result is %+v", p.Result)
	}
	expect(t, "what the first one found", b.differences(proofs), []string{"warehouse A5 drift [quantity] true"})
	expect(t, "comparisons told of as cancelled", b.events("proof.cancelled"), 1)
	b.halt()

	// Cancelled, and asked for again before it noticed: it does not answer for what happened since.
	g = newGate("shop", 1)
	b.through(g)
	b.start()
	b.askProof(proofs)
	<-g.reached // the warehouse is compared
	cancelled := b.proofNow(proofs).Pass
	cancel()
	b.user("warehouse").Tamper("A1", record.Fields{"quantity": record.Int(7)})
	b.askProof(proofs)
	close(g.open)
	var p *engine.Proof
	b.eventually("the next comparison", func() bool { p = b.proofNow(proofs); return !p.Running() && p.Result.Pass != first.Pass })
	if p.Result.Pass == cancelled {
		t.Error("the one that was cancelled has a result")
	}
	expect(t, "drift since it was cancelled", []int64{p.Result.Drift, p.Result.Healed}, []int64{1, 1})
	expect(t, "what differed", b.differences(proofs), []string{"warehouse A1 drift [quantity] true"})
	expect(t, "comparisons told of as cancelled", b.events("proof.cancelled"), 2)
	b.halt()

	// Cancelled before it began: nothing begins.
	begun := b.events("proof.started")
	b.askProof(proofs)
	cancel()
	if b.proofNow(proofs).Running() {
		t.Error("a comparison that did not begin is not forgotten")
	}
	b.start()
	b.prove(proofs)
	expect(t, "comparisons begun since", b.events("proof.started")-begun, 1)
}

// Somebody who asks while an unasked comparison is under way gets one that begins then; the other one is not told of as cancelled.
func TestProofAskedMeanwhile(t *testing.T) {
	b := newBench(t, twoWay, "warehouse", "shop")
	proofs := b.proving()
	b.user("warehouse").Put("A1", product("A1", 10))
	b.start()
	b.eventually("the first sync", func() bool { return b.user("shop").Get("A1") != nil && b.settledDown() })
	first := b.prove(proofs)
	b.halt()
	g := newGate("shop", 1)
	b.through(g)
	b.exec(`UPDATE proofs SET due_at = now()`)
	b.start()
	<-g.reached
	b.user("warehouse").Tamper("A1", record.Fields{"quantity": record.Int(7)})
	b.askProof(proofs)
	close(g.open)
	var p *engine.Proof
	b.eventually("the comparison", func() bool { p = b.proofNow(proofs); return !p.Running() && p.Result.Pass != first.Pass })
	expect(t, "drift", []int64{p.Result.Drift, p.Result.Healed}, []int64{1, 1})
	expect(t, "comparisons told of as cancelled", b.events("proof.cancelled"), 0)
}

// Comparisons begin by themselves when they are due: those of a realtime service then, those of one with a schedule in the run that is
// nearest.
func TestProofDue(t *testing.T) {
	for _, frequency := range []string{"realtime", "15m"} {
		t.Run(frequency, func(t *testing.T) {
			b := newBench(t, strings.Replace(twoWay, "frequency: realtime", "frequency: "+frequency+"\n  proof: {every: 15m}", 1), "warehouse", "shop")
			proofs := b.proving()
			for i := range 6 {
				b.user("warehouse").Put(record.Key(fmt.Sprint("A", i)), product(fmt.Sprint("A", i), 10))
			}
			// carry has the service carried: by its run to the end of that, a realtime one until something is so.
			carry := func(what string, so func() bool) {
				t.Helper()
				if frequency == "realtime" {
					if b.stop == nil {
						b.start()
					}
					b.engine.Nudge(b.service)
					b.eventually(what, so)
					return
				}
				b.exec(`INSERT INTO runs (tenant_id, id, service_id, kind, state, actor, revision, created_at) VALUES ($1, gen_random_uuid(), $2, 'scheduled', 'queued', 'schedule', 1, now())`,
					[16]byte(b.tenant), [16]byte(b.service))
				b.start()
				b.eventually("the end of the run", func() bool { return len(b.done) == 1 })
				b.halt()
				if !so() {
					t.Errorf("after the run there is not %s: %s", what, b.state())
				}
			}
			carry("the first sync", func() bool { return len(b.user("shop").All()) == 6 && b.settledDown() })
			p := b.proofNow(proofs)
			if p.Result != nil || p.Running() || time.Until(p.DueAt) > 15*time.Second {
				t.Errorf("after the first sync the comparison is %+v", p)
			}
			b.user("warehouse").Tamper("A2", record.Fields{"quantity": record.Int(2)}) // the shop has not read its own writes yet
			b.exec(`UPDATE proofs SET due_at = now()`)
			compared := func() bool { p = b.proofNow(proofs); return p.Result != nil && !p.Running() }
			carry("the first comparison", compared)
			if t.Failed() {
				return
			}
			expect(t, "drift", []int64{p.Result.Drift, p.Result.Healed, p.Result.Total}, []int64{1, 1, 6})
			if wait := p.DueAt.Sub(p.Result.CompletedAt); wait != 15*time.Minute {
				t.Errorf("the next one is due after %v", wait)
			}
			// Not due, so nothing is compared; a run that is just before its time does it.
			b.user("warehouse").Tamper("A3", record.Fields{"quantity": record.Int(3)})
			first := p.Result.Pass
			carry("no other comparison", func() bool { return b.proofNow(proofs).Result.Pass == first })
			early := "30 seconds"
			if frequency == "realtime" {
				early = "0 seconds"
			}
			b.exec(`UPDATE proofs SET due_at = now() + $1::text::interval`, early)
			carry("the second comparison", func() bool { return compared() && p.Result.Pass != first })
			expect(t, "drift since the first", []int64{p.Result.Drift, p.Result.Healed}, []int64{1, 1})
			if n := b.number(`SELECT count(*) FROM proofs WHERE asked_at IS NOT NULL`) + b.events("proof.cancelled"); n != 0 {
				t.Errorf("%d comparisons were asked for or cancelled", n)
			}
		})
	}
}

// A comparison that another worker goes on with counts each record, and each drift, once, wherever it is handed over.
func TestProofHandedOver(t *testing.T) {
	for name, g := range map[string]*gate{
		"between two pages": newGate("warehouse", 2), "between two systems": newGate("shop", 1), "after drift of both": newGate("shop", 2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, strings.Replace(twoWay, "frequency: realtime", "frequency: realtime\n  proof: {enabled: false}", 1), "warehouse", "shop")
			proofs := b.proving()
			all := make(map[record.Key]record.Fields)
			for i := range 2500 {
				sku := fmt.Sprintf("A%04d", i)
				all[record.Key(sku)] = product(sku, int64(i))
			}
			b.user("warehouse").PutAll(all)
			b.start()
			b.eventually("the first sync", func() bool { return len(b.user("shop").All()) == 2500 && b.settledDown() })
			b.halt()
			b.user("warehouse").Tamper("A0001", record.Fields{"quantity": record.Int(7777)})
			b.user("warehouse").Tamper("A2400", record.Fields{"quantity": record.Int(8888)})
			b.user("shop").Tamper("A0000B", product("A0000B", 3)) // on the first page
			b.user("shop").Tamper("A0002", nil)
			b.through(g)
			b.start()
			b.askProof(proofs)
			<-g.reached
			pass := b.proofNow(proofs).Pass
			b.halt()
			b.start()
			b.engine.Nudge(b.service)
			var p *engine.Proof
			b.eventually("its end", func() bool { p = b.proofNow(proofs); return !p.Running() && p.Result != nil })
			if p.Result.Pass != pass {
				t.Error("it began anew")
			}
			expect(t, "drift, healed", []int64{p.Result.Drift, p.Result.Healed}, []int64{4, 4})
			expect(t, "what differed", b.differences(proofs), []string{"shop A0000B drift [] true", "shop A0002 drift [] true", "warehouse A0001 drift [quantity] true", "warehouse A2400 drift [quantity] true"})
			for _, s := range p.Result.Seats {
				if s.Seen < 2499 || s.Seen > 2501 { // with and without the two that drift brought or took
					t.Errorf("%s showed %d records of 2500", s.System, s.Seen)
				}
			}
		})
	}
}
