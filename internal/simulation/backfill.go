// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// fill is a run that reads records again beside the stream, with what it has to read.
type fill struct {
	run  *service.Run
	want map[placeOf]bool // what was there when it was asked for, and still is
	read map[placeOf]bool
}

type placeOf struct {
	system record.System
	key    record.Key
}

// sources are the systems whose records are read.
func (c *customer) sources() []*outside {
	if c.direction == "unidirectional" {
		return c.systems[:1]
	}
	return c.systems
}

// backfill is somebody who has records read again, or thinks better of it.
func (r *Run) backfill(c *customer) {
	g, row := r.rng, r.row(c)
	var open []*service.Run
	for _, run := range row.runs {
		if isAside(run) {
			open = append(open, run)
		}
	}
	if len(open) > 2 || len(open) > 0 && g.IntN(3) == 0 {
		now := time.Now()
		pick(g, open...).CancelAt = &now
		r.tell("%s: reading again is cancelled", c.name)
		r.wakeAll(c.service)
		return
	}
	o := pick(g, c.sources()...)
	keys := sortedRecordKeys(o.user.All())
	sel := &service.Selection{Source: string(o.id)}
	switch n := g.IntN(6); {
	case n == 0 || len(keys) == 0:
		sel = &service.Selection{}
	case n == 1:
	case n == 2:
		sel.From, sel.To = pick(g, keys...), pick(g, keys...)
	case n == 3:
		sel.Since = o.clock().Add(-time.Duration(g.IntN(60)) * time.Second)
	default:
		for _, k := range keys {
			if g.IntN(2) == 0 {
				sel.Records = append(sel.Records, k)
			}
		}
		if sel.Records = append(sel.Records, "1"); g.IntN(3) == 0 { // there may be no such record
			sel.Force = true
		}
	}
	if sel.Since.IsZero() && g.IntN(2) == 0 {
		r.mumble(c, o, sel)
	}
	r.fill(c, sel)
}

// mumble changes a record that the selection names, and no reader is told.
func (r *Run) mumble(c *customer, o *outside, sel *service.Selection) {
	all := o.user.All()
	var among []record.Key
	for _, k := range sortedRecordKeys(all) {
		if sel.Source != "" && covers(sel, k) && (!c.apart || c.last[skuOf(all[k])] != nil && c.last[skuOf(all[k])].owner == o) {
			among = append(among, k)
		}
	}
	if len(among) == 0 {
		return
	}
	key := pick(r.rng, among...)
	c.words++
	name := fmt.Sprintf("%s-hush-%d", c.name, c.words)
	c.wrote[string(o.id)+" "+strings.ToUpper(name)] = true
	c.written[strings.ToUpper(name)], c.silent = true, true
	c.touched[skuOf(all[key])] = time.Now()
	delete(c.names, o.name+" "+string(key)) // the one before it may never be seen
	r.tell("%s: put %s %s, and tell nobody", o.name, key, name)
	o.user.Tamper(key, record.Fields{"name": name})
	if w := c.last[skuOf(all[key])]; c.apart && w != nil {
		w.fields = o.user.Get(key)
	}
}

// fill asks for the run.
func (r *Run) fill(c *customer, sel *service.Selection) {
	if err := sel.Check(c.doc); err != nil {
		panic(err)
	}
	row := r.row(c)
	kind := service.BulkRun
	if len(sel.Records) > 0 {
		kind = service.RecordsRun
	}
	run := newRun(row, kind, time.Now())
	run.Selection = sel
	f := &fill{run: run, want: make(map[placeOf]bool), read: make(map[placeOf]bool)}
	for _, o := range c.sources() {
		if sel.Source != "" && sel.Source != string(o.id) {
			continue
		}
		for k := range o.user.All() {
			if covers(sel, k) && !o.stamped[k].Before(sel.Since) {
				f.want[placeOf{o.id, k}] = true
			}
		}
	}
	c.fills = append(c.fills, f)
	row.runs = append(row.runs, run)
	r.tell("%s: %d records of %q are read again: %q to %q, %q since %v", c.name, len(f.want), sel.Source, sel.From, sel.To, sel.Records, sel.Since)
	r.wakeAll(c.service)
	synctest.Wait()
}

// covers says whether the selection's keys include this one.
func covers(sel *service.Selection, k record.Key) bool {
	before := func(a, b record.Key) bool {
		x, err1 := strconv.Atoi(string(a))
		y, err2 := strconv.Atoi(string(b))
		if err1 == nil && err2 == nil {
			return x < y
		}
		return a < b
	}
	switch {
	case len(sel.Records) > 0:
		return slices.Contains(sel.Records, k)
	case sel.From != "" && before(k, sel.From), sel.To != "" && before(sel.To, k):
		return false
	}
	return true
}

// left says that a record is there no more: nobody has to read it.
func (c *customer) left(o *outside, key record.Key) {
	for _, f := range c.fills {
		delete(f.want, placeOf{o.id, key})
	}
	if e := o.emptied; e != nil {
		delete(e.gone, key)
	}
}

// checkBeside notes what a page of such a run read; the store's lock is held.
func (r *Run) checkBeside(g engine.Guard, in engine.Intake) error {
	if in.Beside == nil {
		return nil
	}
	for _, c := range r.customers {
		if c.service != g.Service {
			continue
		}
		for _, f := range c.fills {
			if f.run.ID != in.Beside.Run {
				continue
			}
			if f.run.Over() {
				return fmt.Errorf("backfill: a page of a run is taken in that is %s", f.run.State)
			}
			for _, k := range in.Outcome.Settled {
				f.read[placeOf{in.Seat.System, k}] = true
			}
			for i := range in.Outcome.Dead {
				f.read[placeOf{in.Seat.System, in.Outcome.Dead[i].Key}] = true
			}
			if in.Braked != nil {
				for i := range in.Braked.Held {
					f.read[placeOf{in.Seat.System, in.Braked.Held[i].Key}] = true
				}
			}
			return nil
		}
	}
	return fmt.Errorf("backfill: a page is taken in for a run that nobody asked for")
}

// checkFills: a run that came to its end, however often it was interrupted, has read all that it was to read.
func (c *customer) checkFills(fault func(string, ...any)) {
	for _, f := range c.fills {
		if f.run.State != service.RunSucceeded && f.run.State != service.RunPartial {
			continue
		}
		for _, p := range sortedPlaces(f.want) {
			if !f.read[p] {
				fault("backfill: the run of %v is %s, and %s in %s was not read again", f.run.CreatedAt, f.run.State, p.key, p.system)
			}
		}
	}
}

func sortedPlaces(m map[placeOf]bool) []placeOf {
	list := make([]placeOf, 0, len(m))
	for p := range m {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b placeOf) int {
		return compareText(string(a.system)+" "+string(a.key), string(b.system)+" "+string(b.key))
	})
	return list
}
