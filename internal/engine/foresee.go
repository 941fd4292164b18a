// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// A plan of a service is what carrying a document would do, found out by carrying it aside: systems are listed, records are
// mapped, matched, weighed and decided by the same functions as in earnest, and what comes of it is kept in tables of its own
// that the service does not know. Nothing is written to a system or an entity.

// AsideTx is the transaction as foreseeing needs it. What is kept aside belongs to one plan.
type AsideTx interface {
	Now() time.Time
	// LoadAside finds the entities that the changes may belong to: as the plan has them so far, else as the service has them.
	// Nothing is locked.
	LoadAside(ctx context.Context, plan uuid.UUID, s service.ID, seat *Seat, keys []record.Key, matchKeys []string) (Loaded, error)
	// KeepAside writes entities with their links, and drops links that went.
	KeepAside(ctx context.Context, plan uuid.UUID, list []*record.Entity, unlinked []LinkRow) error
	// Aside lists what was kept of a collection, in id order.
	Aside(ctx context.Context, plan uuid.UUID, collection string, after record.EntityID, limit int) ([]*record.Entity, error)
	// Joining lists the service's living entities of the seat's collection that have no record in its system and were not kept
	// aside, in id order.
	Joining(ctx context.Context, plan uuid.UUID, s service.ID, seat *Seat, after record.EntityID, limit int) ([]*record.Entity, error)
	// DropAside forgets what was kept.
	DropAside(ctx context.Context, plan uuid.UUID) error

	Acting(ctx context.Context, s service.ID, ids []record.EntityID) ([]Acting, error)
	Shapes(ctx context.Context, s service.ID) ([]Shape, []ShapeChange, error)
	CountLinks(ctx context.Context, s service.ID, seat *Seat, upTo int64) (int64, error)
	LinkKeys(ctx context.Context, s service.ID, seat *Seat, before time.Time, after record.Key, limit int) ([]record.Key, error)
	Linked(ctx context.Context, s service.ID, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error)
	// LinkedAside says which entities have these keys in the object: as the plan has them so far, else as the service has them.
	LinkedAside(ctx context.Context, plan uuid.UUID, s service.ID, system record.System, object record.Object, keys []record.Key) (map[record.Key]record.EntityID, error)
	// AsideByID loads entities: as the plan has them so far, else as the service has them.
	AsideByID(ctx context.Context, plan uuid.UUID, s service.ID, ids []record.EntityID) ([]*record.Entity, error)
	followTx
	namingTx
}

// Looker opens a system of a document that need not be in force, to look at it only; *service.Manager is one.
type Looker interface {
	OpenToLook(ctx context.Context, t tenant.ID, s service.ID, doc *service.Document, system, consumer string) (connector.System, connector.Spec, error)
}

// Outlook is what is to be foreseen.
type Outlook struct {
	Plan     uuid.UUID
	Tenant   tenant.ID
	Service  service.ID // zero when there is none yet
	Document *service.Document
	// Reads says which objects' records are read: those that carrying the document would read from their beginning, or those
	// that a bulk run names.
	Reads func(system record.System, object record.Object) bool
	// Joins says that the systems read become members of the service: they are owed what they have no record of, and what is
	// missing in them counts as deleted.
	Joins bool
	Bulk  *service.Selection // what a bulk run reads; nil for all
}

// Foreseen is what would happen.
type Foreseen struct {
	Seats    []ForeseenSeat   `json:"seats"`
	Samples  []Sample         `json:"samples"`
	Warnings []Warning        `json:"warnings"`
	Born     map[string]int64 `json:"born"` // new records under management, by data class
	Step     Step             `json:"step"`
}

// ForeseenSeat are the figures of one object of one system.
type ForeseenSeat struct {
	System     record.System `json:"system"`
	Object     record.Object `json:"object"`
	Collection string        `json:"collection"`
	Read       bool          `json:"read"`      // its records are read
	Detection  string        `json:"detection"` // how its changes will be seen, and why
	Why        string        `json:"why"`
	Rows       int64         `json:"rows"` // records there are, as far as the system can tell; 0 when it cannot
	Complex    bool          `json:"complex"`
	Premium    bool          `json:"premium"`

	Records    int64 `json:"records"`    // read from it
	Made       int64 `json:"made"`       // of those, records that are new to the service
	Matched    int64 `json:"matched"`    // records that turn out to be copies of one that another system has
	Equal      int64 `json:"equal"`      // records known already and unchanged
	Duplicates int64 `json:"duplicates"` // records that are the same as another of the same system
	Ambiguous  int64 `json:"ambiguous"`  // records that could be the same as several
	Invalid    int64 `json:"invalid"`    // records that do not pass mapping or validation: quarantine
	Filtered   int64 `json:"filtered"`   // records that come from it and go nowhere, by the filter
	Conflicts  int64 `json:"conflicts"`  // fields that differ and are decided by rule
	Open       int64 `json:"open"`       // fields that differ and wait for a person
	Held       int64 `json:"held"`       // changes that the brake would hold
	Waiting    int64 `json:"waiting"`    // records that wait for approval

	Unfound int64 `json:"unfound"` // records to be created in it that would wait for one that they refer to, which nothing here creates
	Circles int64 `json:"circles"` // of those, records that refer to each other in a circle: none could be first
	Orphans int64 `json:"orphans"` // records that refer to one of it that is gone: deleted with it, or without their reference, as the document says

	Creates    int64 `json:"creates"` // written to it
	Updates    int64 `json:"updates"`
	Deletes    int64 `json:"deletes"`
	Unsendable int64 `json:"unsendable"` // records that cannot be put into its form
}

// Operations is how many writes the system would get.
func (s *ForeseenSeat) Operations() int64 { return s.Creates + s.Updates + s.Deletes }

// SampleKind says what a sample is an example of.
type SampleKind string

// The kinds of samples.
const (
	SampleCreate    SampleKind = "create"
	SampleUpdate    SampleKind = "update"
	SampleDelete    SampleKind = "delete"
	SampleConflict  SampleKind = "conflict"
	SampleDuplicate SampleKind = "duplicate"
	SampleAmbiguous SampleKind = "ambiguous"
	SampleInvalid   SampleKind = "invalid"
	SampleHeld      SampleKind = "held"
	SampleFiltered  SampleKind = "filtered"
	SampleUnfound   SampleKind = "unfound" // it would wait for a record that it refers to
)

// Sample is an example: one record and what would become of it.
type Sample struct {
	Kind   SampleKind    `json:"kind"`
	System record.System `json:"system"`
	Object record.Object `json:"object"`
	Key    record.Key    `json:"key"`
	Title  string        `json:"title"`
	Before record.Fields `json:"before"` // by entity field; of those that change
	After  record.Fields `json:"after"`
	Why    string        `json:"why"`
}

// samplesEach is how many samples there are of a kind for one object.
const samplesEach = 10

// Warning is something to know before it is carried out.
type Warning struct {
	Code    string        `json:"code"` // brake, empty, conflicts, references, open_conflicts, invalid, duplicates, deletes, not_readable, schema_change
	System  record.System `json:"system"`
	Object  record.Object `json:"object"`
	Message string        `json:"message"`
}

// Step is where foreseeing stands.
type Step struct {
	Name   string        `json:"name"` // opening, reading, comparing
	System record.System `json:"system"`
	Object record.Object `json:"object"`
	Done   int64         `json:"done"`
	Total  int64         `json:"total"`
}

// Foresee finds out what would happen. report is called with what is known so far, after each page; its error ends it.
func Foresee(ctx context.Context, o Outlook, open Looker, inTx func(context.Context, func(AsideTx) error) error, report func(context.Context, *Foreseen) error) (*Foreseen, error) {
	f := &foreseeing{Outlook: o, inTx: inTx, report: report, out: &Foreseen{Born: make(map[string]int64), Step: Step{Name: "opening"}}}
	systems, opened, err := f.open(ctx, open)
	defer func() {
		for _, s := range systems {
			_ = s.Close() // it was only looked at
		}
	}()
	if err != nil {
		return f.out, err
	}
	if err := f.reshape(ctx, opened); err != nil {
		return f.out, err
	}
	if f.plan, err = Compile(o.Document, opened); err != nil {
		return f.out, err
	}
	if err := f.seats(ctx); err != nil {
		return f.out, err
	}
	order := upwards(f.plan.Collections)
	for _, c := range order {
		for _, seat := range f.plan.Seats {
			if seat.Collection != c || !f.of(seat).Read {
				continue
			}
			if err := f.read(ctx, seat); err != nil {
				return f.out, err
			}
		}
	}
	for i, c := range order {
		if i > 0 && !reaches(order[i-1], c, nil) {
			f.untangle() // nothing that comes can belong to a circle with what came
		}
		if err := f.compare(ctx, c); err != nil {
			return f.out, err
		}
	}
	f.untangle()
	f.warn()
	f.out.Step = Step{Name: "done", Done: f.out.Step.Done, Total: f.out.Step.Total}
	return f.out, nil
}

type foreseeing struct {
	Outlook
	inTx    func(context.Context, func(AsideTx) error) error
	report  func(context.Context, *Foreseen) error
	plan    *Plan
	out     *Foreseen
	tally   Tally
	sampled map[string]int
	braked  map[string]bool
	lines   map[record.System]*lineage
}

func (f *foreseeing) open(ctx context.Context, open Looker) (systems []connector.System, opened map[record.System]Opened, err error) {
	opened = make(map[record.System]Opened)
	wanted := objectNames(f.Document)
	for _, id := range f.Document.SystemIDs() {
		system := record.System(id)
		sys, spec, err := open.OpenToLook(ctx, f.Tenant, f.Service, f.Document, id, "plan_"+f.Plan.String())
		if err != nil {
			return systems, nil, unreachable(system, err)
		}
		systems = append(systems, sys)
		o := Opened{System: sys, Spec: spec}
		d, ok := sys.(connector.Discoverer)
		if !ok {
			return systems, nil, fmt.Errorf("connector %s cannot describe its objects", spec.Type)
		}
		if len(wanted[system]) > 0 {
			if o.Objects, err = d.Describe(ctx, wanted[system]...); err != nil {
				return systems, nil, unreachable(system, err)
			}
		}
		opened[system] = o
	}
	return systems, opened, nil
}

// reshape leaves those fields alone that the service would leave alone because of a schema change, and says which. Nothing is written:
// that a field is not what it was is the service's to find.
func (f *foreseeing) reshape(ctx context.Context, opened map[record.System]Opened) error {
	if f.Service == (service.ID{}) {
		return nil // there are no shapes yet that it could go by
	}
	return f.inTx(ctx, func(tx AsideTx) error {
		shapes, live, err := tx.Shapes(ctx, f.Service)
		if err != nil {
			return err
		}
		_, held := reshaping(Guard{Service: f.Service}, f.Document, opened, shapes, live, tx.Now())
		for _, id := range f.Document.SystemIDs() {
			system := record.System(id)
			o := opened[system]
			o.Held = held[system]
			opened[system] = o
			for _, object := range sortedKeys(held[system]) {
				for _, field := range sortedKeys(held[system][object]) {
					if held[system][object][field] {
						f.out.Warnings = append(f.out.Warnings, Warning{Code: "schema_change", System: system, Object: object,
							Message: fmt.Sprintf("The field %s of %s is not what the service goes by, so it is left alone until somebody accepts or dismisses the schema change.", field, object)})
					}
				}
			}
		}
		return nil
	})
}

// unreachable is what a system's error means for a plan.
func unreachable(system record.System, err error) error {
	if ft := fault.As(err); ft != nil {
		return ft
	}
	c := connector.Classify(err)
	return fault.Wrap(err, fault.Unavailable, c.Code, "%s: %s", system, c.Message)
}

// seats makes the list of figures, one for each object.
func (f *foreseeing) seats(ctx context.Context) error {
	f.sampled, f.braked = make(map[string]int), make(map[string]bool)
	for _, s := range f.plan.Seats {
		if len(s.Refs) > 0 {
			s.links = f
		}
		n := ForeseenSeat{System: s.System, Object: s.Object, Collection: s.Collection.Name, Read: f.Reads(s.System, s.Object), Complex: s.Collection.Complex, Premium: s.Premium}
		if c, ok := s.Open.(connector.Chooser); ok {
			var err error
			if n.Detection, n.Why, err = c.Detection(ctx, s.Object); err != nil {
				return unreachable(s.System, err)
			}
		}
		if _, ok := s.Open.(connector.Reader); n.Read && !ok {
			n.Read = false
			f.out.Warnings = append(f.out.Warnings, Warning{Code: "not_readable", System: s.System, Object: s.Object,
				Message: fmt.Sprintf("%s can only be written to, so it is not known what is there already.", s.System)})
		}
		f.out.Seats = append(f.out.Seats, n)
	}
	return nil
}

func (f *foreseeing) of(s *Seat) *ForeseenSeat {
	for i := range f.out.Seats {
		if n := &f.out.Seats[i]; n.System == s.System && n.Object == s.Object {
			return n
		}
	}
	panic("engine: a seat without figures")
}

func (f *foreseeing) tell(ctx context.Context, s Step) error {
	f.out.Step = s
	return f.report(ctx, f.out)
}

// read lists an object and takes in what is there.
func (f *foreseeing) read(ctx context.Context, seat *Seat) error {
	n := f.of(seat)
	f.tally = Tally{}
	sel := f.Bulk
	if sel == nil {
		sel = &service.Selection{}
	}
	scan, err := newScan(seat, sel, f.Bulk != nil)
	if err != nil {
		return err
	}
	var gone []record.Change
	for {
		page, err := scan.next(ctx, snapshotBatch)
		if err != nil {
			return unreachable(seat.System, err)
		}
		n.Rows = max(n.Rows, page.total, page.seen)
		if f.Bulk != nil && seat.Reads {
			page.mapped = slices.DeleteFunc(page.mapped, func(m Mapped) bool {
				if m.Op != record.Delete {
					return false
				}
				m.Change.Absent = true // it was asked for by key and is missing: nobody told that it was deleted
				gone = append(gone, *m.Change)
				return true
			})
		}
		if err := f.intake(ctx, seat, page.mapped); err != nil {
			return err
		}
		if err := f.tell(ctx, Step{Name: "reading", System: seat.System, Object: seat.Object, Done: page.seen, Total: n.Rows}); err != nil {
			return err
		}
		if !page.more {
			if f.Bulk == nil {
				n.Rows = page.seen
			}
			break
		}
	}
	switch {
	case f.Service == (service.ID{}):
		return nil
	case len(gone) > 0:
		return f.judge(ctx, seat, gone, -1)
	case !f.Joins:
		return nil
	}
	return f.missing(ctx, seat)
}

// missing finds records that are known of the object and are not there any more, as reading it anew would.
func (f *foreseeing) missing(ctx context.Context, seat *Seat) error {
	reader, ok := seat.Open.(connector.KeyReader)
	if !ok {
		return nil
	}
	var gone []record.Change
	known := int64(0)
	after := record.Key("")
	for {
		var keys []record.Key
		err := f.inTx(ctx, func(tx AsideTx) (err error) {
			keys, err = tx.LinkKeys(ctx, f.Service, seat, tx.Now().Add(maxSkew), after, snapshotBatch)
			return err
		})
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		known += int64(len(keys))
		after = keys[len(keys)-1]
		changes, err := reader.ReadKeys(ctx, seat.Object, seat.Map.Natives(), keys)
		if err != nil {
			return unreachable(seat.System, err)
		}
		for _, c := range changes {
			if c.Op == record.Delete {
				c.Absent = true
				gone = append(gone, c)
			}
		}
		if len(gone) > 100_000 {
			break // more than anybody would let go unasked
		}
	}
	return f.judge(ctx, seat, gone, known)
}

// judge decides about records that were not there, as the engine does at the end of a reading. known are the records of the object that are
// known; negative when they were not counted.
func (f *foreseeing) judge(ctx context.Context, seat *Seat, gone []record.Change, known int64) error {
	gone, err := f.linked(ctx, seat, gone)
	if err != nil || len(gone) == 0 {
		return err
	}
	n := f.of(seat)
	if known < 0 {
		err := f.inTx(ctx, func(tx AsideTx) (err error) {
			known, err = tx.CountLinks(ctx, f.Service, seat, seat.Collection.Brake.JudgeUpTo(Tally{}, int64(len(gone))))
			return err
		})
		if err != nil {
			return err
		}
	}
	follows, err := f.follows(ctx, seat, gone)
	if err != nil {
		return err
	}
	if why := seat.Collection.Brake.Judge(seat, Tally{}, int64(len(gone)), known, follows); why != "" {
		n.Held += int64(len(gone))
		f.out.Warnings = append(f.out.Warnings, Warning{Code: "brake", System: seat.System, Object: seat.Object, Message: why + " The brake would hold them until somebody decides."})
		return nil
	}
	for page := range slices.Chunk(gone, snapshotBatch) {
		if err := f.takeIn(ctx, seat, MapAll(seat, page), true); err != nil {
			return err
		}
	}
	return nil
}

// linked are those of the changes whose record is known; what was named and never known is nothing to anybody.
func (f *foreseeing) linked(ctx context.Context, seat *Seat, changes []record.Change) ([]record.Change, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	var known map[record.Key]record.EntityID
	err := f.inTx(ctx, func(tx AsideTx) (err error) {
		known, err = tx.Linked(ctx, f.Service, seat.System, seat.Object, keysOf(changes))
		return err
	})
	return slices.DeleteFunc(changes, func(c record.Change) bool { _, there := known[c.Key]; return !there }), err
}

// follows finds out what would become of the records that refer to those which are gone, as the service knows them.
func (f *foreseeing) follows(ctx context.Context, seat *Seat, gone []record.Change) (out Following, err error) {
	keys := make([]record.Key, len(gone))
	for i := range gone {
		keys[i] = gone[i].Key
	}
	return out, f.inTx(ctx, func(tx AsideTx) error {
		known, err := tx.Linked(ctx, f.Service, seat.System, seat.Object, keys)
		if err != nil {
			return err
		}
		ids := make([]record.EntityID, 0, len(known))
		for _, k := range keys {
			if id, ok := known[k]; ok {
				ids = append(ids, id)
			}
		}
		if len(seat.Collection.Children) > 0 {
			direct := f.plan.References.Orphans != service.OrphansDelete
			orphans, err := tx.Following(ctx, f.Service, ids, uuid.Nil, direct)
			if err != nil {
				return err
			}
			f.of(seat).Orphans += orphans
		}
		out, err = f.plan.following(ctx, tx, f.Service, seat, Tally{}, ids, uuid.Nil)
		return err
	})
}

// intake weighs a page and takes in what passes.
func (f *foreseeing) intake(ctx context.Context, seat *Seat, mapped []Mapped) error {
	if len(mapped) == 0 {
		return nil
	}
	f.of(seat).Records += int64(len(mapped))
	return f.takeIn(ctx, seat, mapped, false)
}

func (f *foreseeing) takeIn(ctx context.Context, seat *Seat, mapped []Mapped, judged bool) error {
	keys, matchKeys := make([]record.Key, len(mapped)), make([]string, len(mapped))
	for i := range mapped {
		keys[i], matchKeys[i] = mapped[i].Key, mapped[i].MatchKey
	}
	var loaded Loaded
	var out Outcome
	var weighed Weighed
	err := f.inTx(ctx, func(tx AsideTx) (err error) {
		if loaded, err = tx.LoadAside(ctx, f.Plan, f.Service, seat, keys, matchKeys); err != nil {
			return err
		}
		if err = seat.sameNames(loaded.Entities, mapped, f.naming(ctx, tx, seat)); err != nil {
			return err
		}
		if seat.Collection.acts() && f.Service != (service.ID{}) && len(loaded.Entities) > 0 {
			if loaded.Acting, err = tx.Acting(ctx, f.Service, entityIDs(loaded.Entities)); err != nil {
				return err
			}
		}
		pass := mapped
		weighed = Weighed{Tally: f.tally}
		if w := Weigh(seat, mapped, loaded, true); !judged && w.Matters() {
			known := int64(0)
			if up := w.UpTo(f.tally); up > 0 {
				if known, err = tx.CountLinks(ctx, f.Service, seat, up); err != nil {
					return err
				}
			}
			weighed = w.Decide(f.tally, known, nil)
			pass = weighed.Pass
		}
		out = Apply(seat, pass, loaded, tx.Now(), f.Plan)
		return tx.KeepAside(ctx, f.Plan, out.stirred(loaded), out.Unlinked)
	})
	if err != nil {
		return err
	}
	f.tally = weighed.Tally
	f.count(seat, &out, &weighed)
	return nil
}

// stirred are the entities that the outcome says something of.
func (o *Outcome) stirred(loaded Loaded) []*record.Entity {
	byID := make(map[record.EntityID]*record.Entity, len(loaded.Entities)+len(o.New))
	for _, e := range loaded.Entities {
		byID[e.ID] = e
	}
	for _, e := range o.New {
		byID[e.ID] = e
	}
	seen := make(map[record.EntityID]bool)
	var list []*record.Entity
	add := func(id record.EntityID) {
		if e := byID[id]; e != nil && !seen[id] {
			seen[id] = true
			list = append(list, e)
		}
	}
	for _, some := range [][]*record.Entity{o.New, o.Changed} {
		for _, e := range some {
			add(e.ID)
		}
	}
	for _, some := range [][]LinkRow{o.NewLinks, o.Links, o.Unlinked} {
		for _, l := range some {
			add(l.Entity)
		}
	}
	for _, ids := range o.Owed {
		for _, id := range ids {
			add(id)
		}
	}
	slices.SortFunc(list, func(a, b *record.Entity) int { return compareIDs(a.ID, b.ID) })
	return list
}

// count adds what a page means to the figures.
func (f *foreseeing) count(seat *Seat, o *Outcome, w *Weighed) {
	n := f.of(seat)
	n.Made += o.Born
	f.out.Born[seat.Collection.Class] += o.Born - o.Died
	n.Equal += o.Counts.Equal
	n.Matched += int64(len(o.NewLinks)) - o.Born
	for i := range o.Dead {
		d := &o.Dead[i]
		kind := SampleInvalid
		switch d.Code {
		case "match.duplicate":
			kind = SampleDuplicate
			n.Duplicates++
		case "match.ambiguous":
			kind = SampleAmbiguous
			n.Ambiguous++
		default:
			n.Invalid++
		}
		f.sample(Sample{Kind: kind, System: seat.System, Object: seat.Object, Key: d.Key, After: d.Payload, Why: d.Message})
	}
	for _, c := range o.Conflicts {
		if !c.isNew {
			continue
		}
		if c.Open {
			n.Open++
		} else {
			n.Conflicts++
		}
		s := Sample{Kind: SampleConflict, System: seat.System, Object: seat.Object, Title: c.Entity.String(), Why: c.Reason}
		if len(c.Sides) == 2 && c.Field != record.WholeRecord {
			s.Before, s.After = record.Fields{c.Field: c.Sides[0].Value}, record.Fields{c.Field: c.Sides[1].Value}
			s.Why = fmt.Sprintf("%s and %s differ. %s", c.Sides[0].System, c.Sides[1].System, c.Reason)
		}
		f.sample(s)
	}
	n.Held += int64(len(w.Held))
	for i := range w.Held {
		h := &w.Held[i]
		f.sample(Sample{Kind: SampleHeld, System: seat.System, Object: seat.Object, Key: h.Key, Title: h.Title, Before: h.Before, After: h.After, Why: h.Why})
	}
	for kind, why := range w.Reason {
		if at := string(seat.System) + "\x00" + string(seat.Object) + "\x00" + string(kind); !f.braked[at] {
			f.braked[at] = true
			does := "The brake would hold it until somebody decides."
			if w.Tell {
				does = "The service only tells of it."
			}
			f.out.Warnings = append(f.out.Warnings, Warning{Code: "brake", System: seat.System, Object: seat.Object, Message: why + " " + does})
		}
	}
}

func (f *foreseeing) sample(s Sample) {
	at := string(s.Kind) + "\x00" + string(s.System) + "\x00" + string(s.Object)
	if f.sampled[at] == samplesEach {
		return
	}
	f.sampled[at]++
	f.out.Samples = append(f.out.Samples, s)
}

// compare finds out what the systems would be sent.
func (f *foreseeing) compare(ctx context.Context, c *Collection) error {
	done := int64(0)
	err := f.pages(ctx, func(tx AsideTx, after record.EntityID) ([]*record.Entity, error) {
		return tx.Aside(ctx, f.Plan, c.Name, after, snapshotBatch)
	}, func(list []*record.Entity) error {
		for _, e := range list {
			f.apart(c, e)
		}
		for _, s := range f.plan.Seats {
			if s.Collection == c {
				if err := f.writes(ctx, s, list); err != nil {
					return err
				}
			}
		}
		done += int64(len(list))
		return f.tell(ctx, Step{Name: "comparing", Done: done})
	})
	if err != nil || !f.Joins || f.Service == (service.ID{}) {
		return err
	}
	for _, s := range f.plan.Seats {
		if s.Collection != c || !s.Writes || !f.of(s).Read {
			continue
		}
		err := f.pages(ctx, func(tx AsideTx, after record.EntityID) ([]*record.Entity, error) {
			return tx.Joining(ctx, f.Plan, f.Service, s, after, snapshotBatch)
		}, func(list []*record.Entity) error {
			if err := f.writes(ctx, s, list); err != nil {
				return err
			}
			done += int64(len(list))
			return f.tell(ctx, Step{Name: "comparing", System: s.System, Object: s.Object, Done: done})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pages goes through a list in id order.
func (f *foreseeing) pages(ctx context.Context, next func(AsideTx, record.EntityID) ([]*record.Entity, error), each func([]*record.Entity) error) error {
	var after record.EntityID
	for {
		var list []*record.Entity
		err := f.inTx(ctx, func(tx AsideTx) (err error) {
			list, err = next(tx, after)
			return err
		})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			after = list[len(list)-1].ID
			if err := each(list); err != nil {
				return err
			}
		}
		if len(list) < snapshotBatch {
			return nil
		}
	}
}

// apart counts a record that goes nowhere.
func (f *foreseeing) apart(c *Collection, e *record.Entity) {
	seat := c.Seats[e.Origin]
	if seat == nil || e.DeletedAt != nil {
		return
	}
	n := f.of(seat)
	switch {
	case e.IsFrozen():
		s := Sample{Kind: SampleFiltered, System: seat.System, Object: seat.Object, Title: e.MatchKey, After: e.Fields, Why: "The record is frozen."}
		n.Filtered++
		f.sample(s)
	case slices.Contains(e.Held, record.Approval):
		n.Waiting++
	case !c.Admit(e.Fields):
		n.Filtered++
		s := Sample{Kind: SampleFiltered, System: seat.System, Object: seat.Object, Title: e.MatchKey, After: e.Fields, Why: "The filter leaves it out."}
		if l := e.Links[seat.System]; l != nil {
			s.Key = l.Key
		}
		f.sample(s)
	}
}

// writes counts what the seat's system would be sent of these entities.
func (f *foreseeing) writes(ctx context.Context, seat *Seat, list []*record.Entity) error {
	n := f.of(seat)
	byID := make(map[record.EntityID]*record.Entity, len(list))
	for _, e := range list {
		byID[e.ID] = e
	}
	present := make(map[record.EntityID]record.Fields) // as far as it is known without reading
	for _, id := range ToLookAt(seat, list, nil) {
		e := byID[id]
		if held, err := seat.Map.Holding(shadow(seat, e, e.Links[seat.System], nil)); err == nil {
			present[id] = held
		}
	}
	sent, dead := Writes(seat, f.Plan, list, present)
	n.Unsendable += int64(len(dead))
	for i := range dead {
		f.sample(Sample{Kind: SampleInvalid, System: seat.System, Object: seat.Object, Key: dead[i].Key, After: dead[i].Payload, Why: dead[i].Message})
	}
	for i := range sent {
		w := &sent[i]
		e := byID[w.ID]
		s := Sample{System: seat.System, Object: seat.Object, Key: w.Key, Title: e.MatchKey, After: w.Values}
		switch {
		case w.Op == record.Delete:
			n.Deletes++
			s.Kind, s.Before = SampleDelete, shadow(seat, e, e.Links[seat.System], known(seat, e, e.Links[seat.System]))
		case w.Create:
			n.Creates++
			s.Kind = SampleCreate
		default:
			n.Updates++
			s.Kind, s.Before = SampleUpdate, shadow(seat, e, e.Links[seat.System], sortedKeys(w.Values))
		}
		f.sample(s)
	}
	return f.await(ctx, seat, sent, byID)
}

// warn says what is worth knowing of the figures.
func (f *foreseeing) warn() {
	say := func(n *ForeseenSeat, code, format string, args ...any) {
		f.out.Warnings = append(f.out.Warnings, Warning{Code: code, System: n.System, Object: n.Object, Message: fmt.Sprintf(format, args...)})
	}
	for i := range f.out.Seats {
		n := &f.out.Seats[i]
		if n.Read && f.Bulk == nil && n.Rows == 0 {
			say(n, "empty", "%s in %s is empty.", n.Object, n.System)
		}
		if n.Duplicates > 0 {
			say(n, "duplicates", "%d records of %s in %s are the same as another one there. They stay as they are and become dead letters.", n.Duplicates, n.Object, n.System)
		}
		if n.Ambiguous > 0 {
			say(n, "duplicates", "%d records of %s in %s could be the same as several others. They wait as dead letters.", n.Ambiguous, n.Object, n.System)
		}
		if n.Invalid > 0 {
			say(n, "invalid", "%d records of %s in %s cannot be taken in. They go to quarantine, the others flow.", n.Invalid, n.Object, n.System)
		}
		if n.Unsendable > 0 {
			say(n, "invalid", "%d records cannot be put into the form of %s in %s.", n.Unsendable, n.Object, n.System)
		}
		if n.Open > 0 {
			say(n, "open_conflicts", "%d differences between %s and the others would wait for a person.", n.Open, n.System)
		}
		if n.Unfound > 0 {
			say(n, "references", "%d records would wait for one that they refer to and that %s would not have; %d of them refer to each other in a circle.", n.Unfound, n.System, n.Circles)
		}
		if n.Orphans > 0 {
			becomes := map[string]string{service.OrphansDelete: "They would be deleted with it.", service.OrphansDetach: "Their reference would be emptied."}[f.plan.References.Orphans]
			if becomes == "" {
				becomes = "Its deletion would wait until they are gone."
			}
			say(n, "references", "%d records refer to one of %s that is gone in %s. %s", n.Orphans, n.Object, n.System, becomes)
		}
		if n.Deletes > 0 {
			say(n, "deletes", "%d records would be deleted in %s.", n.Deletes, n.System)
		}
	}
	slices.SortStableFunc(f.out.Warnings, func(a, b Warning) int { return strings.Compare(a.Code, b.Code) })
}

// Sizes says how many records the objects have now, as far as their systems can tell without reading them; what cannot be told
// is left out. It tells whether a plan is still about the world as it is.
func Sizes(ctx context.Context, o Outlook, open Looker) (map[string]int64, error) {
	f := &foreseeing{Outlook: o, out: &Foreseen{}}
	systems, opened, err := f.open(ctx, open)
	defer func() {
		for _, s := range systems {
			_ = s.Close() // it was only looked at
		}
	}()
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64)
	for system, one := range opened {
		for _, info := range one.Objects {
			if !o.Reads(system, info.Name) {
				continue
			}
			page, err := connector.List(ctx, one.System, connector.ListRequest{Object: info.Name, Fields: info.Key, Limit: 1})
			if err != nil {
				return nil, unreachable(system, err)
			}
			if page.Total > 0 || !page.More {
				out[SizeKey(system, info.Name)] = max(page.Total, int64(len(page.Changes)))
			}
		}
	}
	return out, nil
}

// SizeKey names an object in the answer of Sizes.
func SizeKey(system record.System, object record.Object) string {
	return string(system) + "/" + string(object)
}
