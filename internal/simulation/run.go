// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/engine"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Run is one seed.
type Run struct {
	seed      uint64
	gate      *Gate
	rng       *rand.Rand // of the driver
	store     *Store
	customers []*customer
	processes []*process
	started   int
	all       sync.WaitGroup
	log       *slog.Logger

	skew                 time.Duration
	turn                 time.Duration
	dbFailing, dbUnheard int
	calm                 bool
	spoil                func(*Tx) engine.Tx // for a test of the checks: what stands between the engine and the store; nil for nothing
	told                 []string            // what people and accidents did, for a failure's message
	broken               error               // the first invariant that did not hold at a commit
}

// customer is a tenant's service with its systems and its people.
type customer struct {
	tenant    tenant.ID
	service   service.ID
	name      string
	doc       *service.Document
	text      string
	systems   []*outside
	direction string
	strategy  string
	deletes   string
	apart     bool // each record is edited in one system only, so that what must come out is known
	realtime  bool
	level     string // of consistency
	empties   bool   // one of its systems loses all its records, or most, and nobody says so
	fills     []*fill
	proves    bool    // all records are compared now and then, and at the end
	asks      int     // how often it was asked to at the end
	planted   []drift // before the first of these
	silent    bool    // somebody changed a record of which no system tells
	waiting   []*awaited
	touched   map[string]time.Time // by sku: when people last changed a record in a system
	upTo      map[string]int       // apart: by system and sku, the latest name that was written into it
	made      int
	last      map[string]*wish      // apart: by sku
	names     map[string]string     // by system and key: the name that was written last
	wrote     map[string]bool       // by system and name: what people wrote there, whatever case it is kept in
	madeThere map[string]record.Key // by system and entity: the record that was made last
	words     int
	written   map[string]bool // every text that somebody wrote
	committed map[string]bool // cursors, by system
	asked     map[string]bool // names that somebody saw who was asked about a held change
	// Fields in which a system has forms of its own, and of which it was once unknown what it had been sent: its form then cannot
	// be told from an edit.
	vague    map[string]bool
	healed   bool       // a mixed service was compared at the end
	mixed    *rand.Rand // of a customer whose systems are of many kinds; nil for others
	tree     string     // what the document says of references; "" where no record refers to another
	register *register  // its lookup service; nil without one
}

// wish is what the owner of a record wants it to be everywhere.
type wish struct {
	owner   *outside
	key     record.Key
	fields  record.Fields
	deleted bool
}

func (r *Run) uuid() uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], r.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.rng.Uint64())
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// newRun makes the scenario of a seed. It must be called in a bubble.
func newSeed(seed uint64, log *slog.Logger) *Run {
	r := newSetting(seed, log)
	for i := range 1 + r.rng.IntN(5)/3 {
		t := tenant.ID(r.uuid())
		for range 1 + r.rng.IntN(8)/7 {
			r.addCustomer(t, string(rune('a'+i)))
		}
	}
	if isMixed(seed) {
		newMixed(seed, r)
	}
	return r
}

// newSetting makes it without anybody in it.
func newSetting(seed uint64, log *slog.Logger) *Run {
	r := &Run{seed: seed, gate: newGate(seed), rng: rand.New(rand.NewPCG(seed, 0xd41e5)), log: log}
	r.store = NewStore(r.gate)
	r.store.onJob, r.store.onWake, r.store.onIntake = r.job, r.wakeAll, r.checkIntake
	r.skew = pick(r.rng, 0, time.Second, 5*time.Minute)
	r.turn = pick(r.rng, 20*time.Second, 90*time.Second, 10*time.Minute) + 137*time.Nanosecond
	if r.rng.IntN(2) == 0 {
		r.dbFailing, r.dbUnheard = r.rng.IntN(8), r.rng.IntN(8)
	}
	return r
}

var names = []string{"crm", "shop", "erp", "web"}

// newCustomer is one without systems.
func newCustomer(t tenant.ID, id service.ID, tag string) *customer {
	return &customer{tenant: t, service: id, name: tag, last: make(map[string]*wish), written: make(map[string]bool), names: make(map[string]string), committed: make(map[string]bool), asked: make(map[string]bool), vague: make(map[string]bool), touched: make(map[string]time.Time), upTo: make(map[string]int), wrote: make(map[string]bool), madeThere: make(map[string]record.Key)}
}

func (r *Run) addCustomer(t tenant.ID, tag string) {
	g := r.rng
	c := newCustomer(t, service.ID(r.uuid()), tag)
	n := pick(g, 2, 2, 2, 3, 3, 4)
	c.direction = pick(g, "multi-directional", "multi-directional", "unidirectional")
	if n == 2 && c.direction == "multi-directional" && g.IntN(2) == 0 {
		c.direction = "bi-directional"
	}
	c.strategy = pick(g, "lastWriteWins", "lastWriteWins", "firstWriteWins", "sourceWins", "targetWins", names[1]+"-wins", "weighted", "merge", "manual",
		"{strategy: fieldPriority, priority: ["+names[1]+", "+names[0]+"]}")
	c.deletes = pick(g, "propagate", "propagate", "ignore")
	c.apart = g.IntN(2) == 0
	c.realtime = g.IntN(4) > 0
	frequency := "realtime"
	if !c.realtime {
		frequency = "1m"
	}
	if c.empties = g.IntN(4) == 0; c.empties {
		c.apart = false // what becomes of the records is for somebody to say
	}
	match, quiet := "", pick(g, "", "", "", ", quietPeriod: 2s")
	c.chooseLevel(g, quiet)
	// By numbers of its own, so that other seeds stay as they were.
	if own := rand.New(rand.NewPCG(r.seed, uint64(len(r.customers))+0x7ee5)); own.IntN(3) == 0 {
		c.tree = fmt.Sprintf(", references: {wait: 15s, orphans: %s, cycles: %s}", pick(own, service.OrphansWait, service.OrphansDelete, service.OrphansDelete, service.OrphansDetach), pick(own, "refuse", "two-pass"))
		c.apart, c.empties = false, false
	}
	enrichment := ""
	if own := rand.New(rand.NewPCG(r.seed, uint64(len(r.customers))+0x100c)); c.tree == "" && own.IntN(5) == 0 {
		enrichment = r.addRegister(c, own, len(r.customers))
	}
	for i := range n {
		info := products
		if g.IntN(4) == 0 {
			info, match = items(names[i]), ", matchFields: [sku]"
		}
		if c.tree != "" {
			info = withParent(info)
		}
		if c.register != nil {
			info = withMaker(info)
		}
		o := newOutside(r.gate, fmt.Sprintf("%s%d/%s", tag, len(r.customers), names[i]), record.System(names[i]), info)
		r.equip(o)
		r.listen(c, o)
		c.systems = append(c.systems, o)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "service: stock%d\ndirection: %s\nsystems:\n", len(r.customers), c.direction)
	for i, o := range c.systems {
		refers := ""
		if c.tree != "" {
			refers = fmt.Sprintf(", references: {parent: %s}", o.object)
		}
		fmt.Fprintf(&b, "  - {id: %s, type: memory, weight: %d, objects: [{name: %s, mapping: product%s}]}\n", o.id, i%3+1, o.object, refers)
	}
	proof := ", proof: {enabled: false}"
	if c.proves = g.IntN(5) == 0; c.proves {
		proof = pick(g, "", ", proof: {every: 1m}")
	}
	fmt.Fprintf(&b, "syncConfig: {frequency: %s, batchSize: %d, deletes: %s, conflictResolution: %s%s%s%s, consistency: %s%s%s%s}\n", frequency, pick(g, 10, 50, 500), c.deletes, c.strategy, match, quiet, pick(g, "", "", "", ", safetyThreshold: {maxDeletes: 1}", ", safetyThreshold: {maxChanges: 3, maxDeletes: 0}", ", safetyThreshold: {maxDecreasePercent: 60, fields: [quantity]}"), c.level, proof, c.tree, enrichment)
	c.text = b.String()
	var err error
	if c.doc, err = service.Parse([]byte(c.text), service.YAML); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, c.text))
	}
	r.begin(c)
	for range g.IntN(12) {
		r.edit(c)
	}
}

// begin makes the customer's service.
func (r *Run) begin(c *customer) {
	r.store.AddService(c.tenant, c.service, c.doc, time.Now(), service.FirstRun)
	if c.register != nil {
		r.row(c).onAnswer = c.register.heard
	}
	if !c.realtime {
		row := r.row(c)
		row.every, row.nextAt = time.Minute, time.Now().Add(time.Minute)
	}
	r.customers = append(r.customers, c)
}

// listen has the checks see what arrives in a system.
func (r *Run) listen(c *customer, o *outside) {
	o.written = func(writes []connector.Write) {
		r.checkWrites(c, o, writes)
		if c.tree != "" {
			r.checkParents(o, writes)
		}
	}
	o.took = func(writes []connector.Write, receipts []connector.Receipt) {
		for i := range receipts {
			o.existed[receipts[i].Key] = true
		}
		r.checkOrder(c, o, writes, receipts)
		r.checkTwice(c, o, writes, receipts)
		c.follow(o, writes, receipts)
	}
}

var products = connector.ObjectInfo{
	Name: "products",
	Fields: []connector.FieldInfo{
		{Name: "sku", Type: connector.TypeText},
		{Name: "name", Type: connector.TypeText, Nullable: true},
		{Name: "quantity", Type: connector.TypeInteger, Nullable: true},
		{Name: "price", Type: connector.TypeNumber, Nullable: true, Scale: -1},
	},
	Key: []string{"sku"},
}

// items is an object whose keys the system makes.
func items(system string) connector.ObjectInfo {
	id := system + "_id"
	return connector.ObjectInfo{
		Name:   "items",
		Fields: append([]connector.FieldInfo{{Name: id, Type: connector.TypeInteger, Generated: true}}, products.Fields...),
		Key:    []string{id},
	}
}

// equip gives a system its ways.
func (r *Run) equip(o *outside) {
	g := r.rng
	skew := time.Duration(0)
	if g.IntN(2) == 0 {
		skew = time.Duration(g.Int64N(int64(2*r.skew)+1)) - r.skew
	}
	o.clock = func() time.Time { return time.Now().Add(skew).UTC().Truncate(time.Millisecond) }
	o.memory.SetClock(o.clock)
	if g.IntN(3) == 0 {
		o.norm["name"] = func(v record.Value) record.Value {
			if s, ok := v.(string); ok {
				return strings.ToUpper(s)
			}
			return v
		}
	}
	if g.IntN(4) == 0 {
		o.norm["quantity"] = func(v record.Value) record.Value { // at most 500 pieces
			if n, ok := v.(record.Number); ok && len(n) == 3 && n > "500" {
				return record.Int(500)
			}
			return v
		}
	}
	for f, norm := range o.norm {
		o.memory.Normalise(o.object, f, norm)
	}
	o.memory.SuppressEchoes(g.IntN(3) == 0)
	if o.picky = g.IntN(4) == 0; o.picky {
		o.memory.Check(o.object, func(_ record.Key, f record.Fields) error {
			if s, ok := f["name"].(string); ok && strings.Contains(strings.ToLower(s), "bad") {
				return fmt.Errorf("%s is a bad name", s)
			}
			return nil
		})
	}
	o.recalls, o.watches = g.IntN(3) > 0, g.IntN(3) > 0
	o.pageLimit = pick(g, 2, 7, 1000)
	trouble := func(most int) int {
		if g.IntN(2) == 0 {
			return 0
		}
		return g.IntN(most)
	}
	o.failing, o.unheard, o.breaking, o.refusing, o.slow = trouble(60), trouble(80), trouble(80), trouble(40), trouble(150)
	o.losing, o.late, o.doubling = trouble(300), trouble(300), trouble(300)
	o.halting = trouble(300)
}

// job hands a job to one of the live workers; the queue is quick, but not always.
func (r *Run) job(a service.SyncArgs) {
	var live []*process
	for _, p := range r.processes {
		if p.live {
			live = append(live, p)
		}
	}
	if len(live) == 0 {
		return // the lease runs out and is granted anew
	}
	p := live[r.gate.intN(len(live))]
	after := time.Duration(1+r.gate.intN(20)) * time.Millisecond
	if !r.calm && r.gate.chance(50) {
		after = time.Duration(r.gate.intN(20)) * time.Second
	}
	p.do(a, after)
}

// wakeAll is the notification to all processes.
func (r *Run) wakeAll(s service.ID) {
	for _, p := range r.processes {
		if !p.live || !r.calm && r.gate.chance(100) {
			continue
		}
		p.worker.Wake(s)
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Run) tell(format string, args ...any) {
	line := fmt.Sprintf("%9.3f ", time.Since(r.gate.began).Seconds()) + fmt.Sprintf(format, args...)
	r.told = append(r.told, line)
	r.gate.Note("%s", line)
}

// live plays the seed until everything has come to rest, and says what is wrong.
func (r *Run) live() error {
	for range 1 + r.rng.IntN(3) {
		r.start()
	}
	end := time.Now().Add(time.Duration(40+r.rng.IntN(110)) * time.Second)
	for time.Now().Before(end) {
		pause := time.Duration(r.rng.Int64N(int64(8 * time.Second)))
		if r.rng.IntN(3) == 0 {
			pause /= 100
		}
		r.gate.until(time.Now().Add(pause), r.between)
		if r.rng.IntN(4) == 0 {
			r.accident()
		} else {
			if c := pick(r.rng, r.customers...); !c.apart && c.level != service.Eventual && r.rng.IntN(2) == 0 {
				r.change(c)
			}
			for range 1 + r.rng.IntN(3) {
				r.edit(pick(r.rng, r.customers...))
			}
		}
		if err := r.amiss(); err != nil {
			return err
		}
	}
	return r.rest()
}

// amiss is what went wrong so far.
func (r *Run) amiss() error {
	if r.broken == nil && r.gate.circles() {
		return fmt.Errorf("invariant 8: %d steps are taken at %s, and there is no end of them", mostAtOnce, time.Since(r.gate.began))
	}
	return r.broken
}

// between happens while somebody stands at the gate: now and then somebody edits just there, or a process dies.
func (r *Run) between() {
	for _, c := range r.customers {
		r.answer(c)
	}
	switch n := r.rng.IntN(1500); {
	case n < 6:
		r.edit(pick(r.rng, r.customers...))
	case n == 6:
		r.accident()
	}
}

// rest ends all trouble and waits until nothing moves any more.
func (r *Run) rest() error {
	r.tell("calm")
	r.calm = true
	live := 0
	for _, p := range r.processes {
		p.line.failing, p.line.unheard, p.line.cut = 0, 0, false
		if p.live {
			live++
		}
	}
	if r.dbFailing, r.dbUnheard = 0, 0; live == 0 {
		r.start()
	}
	for _, c := range r.customers {
		row := r.row(c)
		row.State = service.Active
		r.mend(c)
		r.thawAll(c)
		for r.rng.IntN(3) > 0 && slices.ContainsFunc(row.holds, func(h *engine.Hold) bool { return h.State == engine.HoldOpen }) {
			r.decideHold(c, !c.empties || r.rng.IntN(2) == 0)
		}
		if c.silent { // runs that were cancelled or failed left something out
			r.fill(c, &service.Selection{})
		}
		for _, o := range c.systems {
			if p := row.cursors[cursorKey{o.id, o.object}]; p == nil || p.Phase == connector.Snapshot {
				row.runs = append(row.runs, newRun(row, service.ManualRun, time.Now())) // a snapshot whose run was cancelled waits for one
				break
			}
		}
		if !c.realtime {
			row.every = 20 * time.Second
			row.nextAt = time.Now().Add(-r.skew) // whatever clock looks
		}
		for _, o := range c.systems {
			o.failing, o.unheard, o.breaking, o.halting, o.refusing, o.slow, o.losing, o.late, o.doubling, o.expired = 0, 0, 0, 0, 0, 0, 0, 0, 0, false
		}
		if s := c.register; s != nil {
			s.failing, s.refusing, s.unheard, s.slow = 0, 0, 0, 0
		}
	}
	const step, quiet, longest = 5 * time.Second, 70 * time.Second, 90 * time.Minute // quiet: two sweeps
	still, before, proving := time.Duration(0), "", false
	for waited := time.Duration(0); waited < longest; waited += step {
		r.gate.until(time.Now().Add(step), nil)
		for _, c := range r.customers {
			r.answer(c)
		}
		if err := r.amiss(); err != nil {
			return err
		}
		state, busy := r.figures()
		if busy || state != before {
			still, before = 0, state
			continue
		}
		if still += step; still < quiet && (!proving || still < quiet/3) {
			continue
		}
		if r.toHeal() {
			still, before, proving = 0, "", true
			continue
		}
		if err := r.check(); err != nil || !r.toProve() {
			return err
		}
		still, before, proving = 0, "", true // what is sent for a proof is sent soon
	}
	state, _ := r.figures()
	for _, c := range r.customers {
		row := r.row(c)
		state += fmt.Sprintf("\n%s %s next at %s, lease %+v", c.name, row.State, row.nextAt, row.lease)
		for k, d := range row.deliveries {
			state += fmt.Sprintf(", %s is owed to %s, due %v, waits %q, told of it: %v", show(row.entities[k.entity].Fields), k.system, d.due, d.waits, row.told(k))
		}
		for k, p := range row.cursors {
			if p.failing {
				state += fmt.Sprintf(", %s is not read: %s", k.system, p.code)
			}
		}
		for _, e := range row.journal[max(0, len(row.journal)-4):] {
			state += fmt.Sprintf("\n  last: %s %s %s by %q in %s: %s -> %s", row.entities[e.Entity].MatchKey, e.Kind, e.Op, e.Actor, e.System, show(e.Before), show(e.After))
		}
		for _, run := range row.runs {
			if !run.Over() || run.State == service.RunQueued || run == row.runs[len(row.runs)-1] {
				state += fmt.Sprintf(", run %s %s %v %v", run.Kind, run.State, run.CreatedAt, run.FinishedAt)
			}
		}
	}
	return fmt.Errorf("invariant 8: %s after everything became calm it is not at rest: %s", longest, state)
}

// figures say what moves.
func (r *Run) figures() (state string, busy bool) {
	var b strings.Builder
	for _, c := range r.customers {
		row := r.row(c)
		open := 0
		for _, run := range row.runs {
			if run.State == service.RunQueued || run.State == service.RunRunning {
				open++
			}
		}
		if l := row.lease; c.realtime && (l == nil || !l.expires.After(time.Now())) {
			busy = true // nobody carries it
		}
		for _, cursor := range row.cursors {
			busy = busy || cursor.failing
		}
		for k, d := range row.deliveries {
			// What waits for a person may wait, and so may what waits for another record, once that was told.
			busy = busy || d.waits != engine.WaitsHold && (d.waits != engine.WaitsReference || !d.due.After(time.Now()) || !row.told(k))
		}
		busy = busy || c.register != nil && c.register.due(row, time.Now())
		busy = busy || len(row.attempts) > 0 || open > 0 && c.realtime || slices.ContainsFunc(row.runs, isAside) || (c.proves || c.mixed != nil) && row.proof != nil && row.proof.Running()
		fmt.Fprintf(&b, "%s: %d attempts, %d deliveries, %d journal entries", c.name, len(row.attempts), len(row.deliveries), len(row.journal))
		for _, o := range c.systems {
			fmt.Fprintf(&b, ", %d writes to %s", o.user.Writes(), o.id)
		}
		b.WriteString("; ")
	}
	return b.String(), busy
}

func (r *Run) row(c *customer) *serviceRow { return r.store.tenants[c.tenant].services[c.service] }

// end lets all goroutines of the run come to their ends.
func (r *Run) end() {
	for _, p := range r.processes {
		r.store.kill(p.line)
		p.cancel()
	}
	r.gate.finish()
	r.all.Wait()
}

// edit is what people do in a customer's systems.
func (r *Run) edit(c *customer) {
	g := r.rng
	if c.register != nil {
		c.register.change()
	}
	r.others(c)
	o := pick(g, c.systems...)
	if c.direction == "unidirectional" && (c.apart || g.IntN(4) > 0) {
		o = c.systems[0]
	}
	all := o.user.All()
	var keys []record.Key
	for k := range all {
		if !c.apart || c.last[skuOf(all[k])] != nil && c.last[skuOf(all[k])].owner == o {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if c.apart && g.IntN(10) == 0 {
		// What was deleted comes back, sometimes.
		for _, sku := range sortedKeys(c.last) {
			if w := c.last[sku]; w.deleted && w.owner == o && o.object == "products" {
				r.put(c, o, w.key, r.values(c, sku))
				return
			}
		}
	}
	if len(keys) == 0 || g.IntN(4) == 0 && len(keys) < 30 {
		c.made++
		sku := fmt.Sprintf("%sP%d", c.name, c.made)
		if !c.apart && g.IntN(2) == 0 {
			sku = fmt.Sprintf("%sP%d", c.name, 1+g.IntN(6)) // several people have the same idea
			for _, k := range keys {
				if skuOf(all[k]) == sku && g.IntN(4) > 0 {
					return
				}
			}
		}
		key := record.Key(sku)
		if o.object == "items" {
			key = record.Key(fmt.Sprint(1000 + c.made))
		}
		fields := r.values(c, sku)
		if c.tree != "" {
			fields["parent"] = r.parent(c, o, keys)
		}
		r.put(c, o, key, fields)
		return
	}
	key := pick(g, keys...)
	if c.tree != "" && g.IntN(4) == 0 {
		r.put(c, o, key, record.Fields{"parent": r.parent(c, o, keys)})
		return
	}
	switch g.IntN(12) {
	case 0:
		r.tell("%s: delete %s", o.name, key)
		if w := c.last[skuOf(all[key])]; c.apart && w != nil {
			w.deleted = true
		}
		delete(c.names, o.name+" "+string(key))
		c.touched[skuOf(all[key])] = time.Now()
		c.left(o, key)
		o.user.Delete(key)
		synctest.Wait()
	case 1:
		r.put(c, o, key, record.Fields{"price": nil})
	default:
		values := r.values(c, "")
		field := pick(g, "name", "quantity", "price")
		r.put(c, o, key, record.Fields{field: values[field]})
	}
}

func skuOf(f record.Fields) string { s, _ := f["sku"].(string); return s }

// values are a new record's; each text bears the customer's name.
func (r *Run) values(c *customer, sku string) record.Fields {
	g := r.rng
	word := pick(g, "oak", "Oak", "pine", "elm", "ash", "fir", "bad")
	if c.apart && word == "bad" && g.IntN(3) > 0 {
		word = "yew"
	}
	c.words++
	name := fmt.Sprintf("%s-%s-%d", c.name, word, c.words) // no two alike, so that each can be looked for
	if g.IntN(4) == 0 {
		name = fmt.Sprintf("%s-%s", c.name, word)
	}
	c.written[strings.ToUpper(name)] = true
	f := record.Fields{"name": name, "quantity": record.Int(g.Int64N(900)), "price": number(fmt.Sprintf("%d.%d", g.IntN(50), g.IntN(100)))}
	if sku != "" {
		f["sku"] = sku
	}
	return f
}

func number(s string) record.Number {
	n, err := record.ParseNumber(s)
	if err != nil {
		panic(err)
	}
	return n
}

func (r *Run) put(c *customer, o *outside, key record.Key, fields record.Fields) {
	r.tell("%s: put %s %s", o.name, key, show(fields))
	if sku := skuOf(o.user.Get(key)); sku != "" {
		c.touched[sku] = time.Now()
	}
	if sku := skuOf(fields); sku != "" {
		c.touched[sku] = time.Now()
	}
	o.user.Put(key, fields)
	o.existed[key] = true
	if v := fields["parent"]; v != nil {
		o.named[record.MakeKey(v)] = true
	}
	o.stamped[key] = o.clock()
	o.filled()
	synctest.Wait() // who watches has heard of it before the next edit: always as many notifications
	now := o.user.Get(key)
	if name, ok := now["name"].(string); ok && fields["name"] != nil {
		c.names[o.name+" "+string(key)] = name
		c.wrote[string(o.id)+" "+strings.ToUpper(name)] = true
	}
	if c.apart {
		c.last[skuOf(now)] = &wish{owner: o, key: key, fields: now}
	}
}

// accident is what happens to machines, networks and databases, and what operators do.
func (r *Run) accident() {
	g := r.rng
	c := pick(g, r.customers...)
	o := pick(g, c.systems...)
	var live []*process
	for _, p := range r.processes {
		if p.live {
			live = append(live, p)
		}
	}
	switch g.IntN(20) {
	case 0, 1, 2:
		if len(live) > 0 {
			p := pick(g, live...)
			r.tell("%s is killed", p.line.name)
			p.kill()
		}
	case 3:
		if len(live) > 1 {
			p := pick(g, live...)
			r.tell("%s is stopped", p.line.name)
			p.stop()
		}
	case 4, 5:
		if len(live) < 4 {
			r.start()
		}
	case 6:
		if len(live) > 0 {
			p := pick(g, live...)
			p.line.mu.Lock()
			p.line.cut = !p.line.cut
			r.tell("%s does not reach the database: %v", p.line.name, p.line.cut)
			p.line.mu.Unlock()
		}
	case 7:
		o.mu.Lock()
		o.expired = !o.expired
		r.tell("%s: the token is expired: %v", o.name, o.expired)
		o.mu.Unlock()
	case 8:
		r.tell("%s loses places", o.name)
		o.place.LosePlaces(o.object)
	case 9:
		row := r.row(c)
		switch {
		case row.State == service.Paused:
			row.State = service.Active
		case g.IntN(2) == 0:
			row.State = service.Paused
		default:
			row.Revision++
			row.docs[row.Revision] = c.doc
		}
		r.tell("%s is %s, revision %d", c.name, row.State, row.Revision)
		r.wakeAll(c.service)
	case 10:
		row := r.row(c)
		if n := len(row.runs); n > 0 && !row.runs[n-1].Over() && g.IntN(2) == 0 {
			now := time.Now()
			row.runs[n-1].CancelAt = &now
			r.tell("%s: the run is cancelled", c.name)
		} else {
			row.runs = append(row.runs, newRun(row, service.ManualRun, time.Now()))
			r.tell("%s: a run is asked for", c.name)
		}
		r.wakeAll(c.service)
	case 11:
		// A column more, or one less, and later a revision that looks at it.
		info := o.info
		if o.wide = !o.wide; o.wide {
			info.Fields = append(slices.Clone(info.Fields), connector.FieldInfo{Name: "colour", Type: connector.TypeText, Nullable: true})
		}
		o.place.Declare(info)
		r.tell("%s has a column more: %v", o.name, o.wide)
	case 12, 13:
		r.decideHold(c, g.IntN(3) > 0 || c.apart)
	case 14, 15:
		r.freeze(c, false)
	case 16:
		r.freeze(c, true)
	case 17, 18:
		r.backfill(c)
	case 19:
		r.emptyOut(c)
	}
}

// decideHold is somebody who answers a question of the brake.
func (r *Run) decideHold(c *customer, yes bool) {
	row := r.row(c)
	for _, h := range row.holds {
		if h.State != engine.HoldOpen {
			continue
		}
		now := time.Now()
		h.State, h.DecidedAt, h.DecidedBy, h.Version = engine.HoldReleased, &now, "somebody", h.Version+1
		for _, held := range row.heldBy(h.ID) {
			if yes {
				c.agreed(h.System, held.Key)
			}
			if name, ok := held.Fields["name"].(string); ok {
				c.asked[strings.ToUpper(name)] = true
			}
		}
		if !yes && h.Kind != engine.HoldChanges && (c.direction != "unidirectional" || h.Kind == engine.HoldAbsent) { // of records that are new, a no leaves nothing that knows of them
			h.State, h.Restore = engine.HoldRejected, true
		}
		row.tallies[cursorKey{h.System, h.Object}] = engine.Tally{Since: now}
		r.tell("%s: the hold of %s in %s is %s", c.name, h.Kind, h.System, h.State)
		r.wakeAll(c.service)
		return
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// story is what happened, for a failure's message.
func (r *Run) story() string {
	var b strings.Builder
	for _, c := range r.customers {
		fmt.Fprintf(&b, "customer %s, apart %v:\n%s", c.name, c.apart, c.text)
		for _, o := range c.systems {
			fmt.Fprintf(&b, "  %s: norm %d, picky %v, recalls %v, watches %v\n", o.name, len(o.norm), o.picky, o.recalls, o.watches)
		}
		row := r.row(c)
		for _, id := range sortedIDs(row.entities) {
			e := row.entities[id]
			fmt.Fprintf(&b, "entity %s %s deleted %v held %q\n", e.MatchKey, show(e.Fields), e.DeletedAt != nil, e.Held)
			for _, o := range c.systems {
				if l := e.Links[o.id]; l != nil {
					fmt.Fprintf(&b, "  %s %s %s behind %s own form %s: %s\n", o.id, l.Key, l.State, show(l.Behind), show(l.OwnForm), show(o.user.Get(l.Key)))
				}
			}
		}
	}
	b.WriteString(strings.Join(r.told, "\n") + "\n")
	b.WriteString(strings.Join(r.gate.recent, "\n") + "\n")
	return b.String()
}
