// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/duplicate"
	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/store"
)

const tokenHeader = "Syncline-Consistency-Token"

// quantityOf is how many the system has of the record; -1 where it has none.
func quantityOf(user connectortest.User, key string) (n int64) {
	n = -1
	if v, ok := user.Get(record.Key(key))["quantity"]; ok {
		_, _ = fmt.Sscan(record.Text(v), &n)
	}
	return n
}

// Whoever shows the token of a write sees the write, in the systems that the answer tells of; what is written with it follows it
// everywhere.
func TestConsistencyTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	p, other := w.newParty("a"), w.newParty("b")
	p.consistent("causal")
	id, err := parseService(p.ids["service"])
	w.must(err)
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	const base = "/v1/services/causal-a"
	patch := func(key string, n int, header ...string) call {
		return p.as("PATCH", base+"/systems/left/records/"+key, fmt.Sprintf(`{"fields": {"quantity": %d}}`, n), header...)
	}
	const writers, rounds = 4, 12
	for _, key := range []string{"A", "B"} {
		left.Put(record.Key(key), record.Fields{"name": key, "quantity": record.Int(0)})
	}
	for i := range writers {
		left.Put(record.Key(fmt.Sprint("W", i)), record.Fields{"name": "own", "quantity": record.Int(0)})
	}
	var last string
	p.carry(id, func() {
		p.eventually("both to hold them", func() bool { return right.Get("B") != nil && right.Get("W3") != nil && p.quiet(id) })

		// Each reads what it wrote, in the system that it reads, while others write.
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				key := fmt.Sprint("W", i)
				for n := 1; n <= rounds; n++ {
					wrote := w.do(patch(key, n))
					token := wrote.header.Get(tokenHeader)
					if wrote.status != 200 || token == "" {
						t.Errorf("a write is answered %d with the token %q: %s", wrote.status, token, wrote.body)
						return
					}
					read := w.do(p.as("GET", base+"/records/"+key+"/status?systems=right", "", tokenHeader, token))
					if got := quantityOf(right, key); read.status != 200 || got != int64(n) {
						t.Errorf("after writing %d the read is answered %d, and the system holds %d: %s", n, read.status, got, read.body)
						return
					}
				}
			})
		}
		// Two write in turns, one handing its token to the other: nobody sees the second's without the first's, in any system.
		ended := make(chan struct{})
		wg.Go(func() {
			defer close(ended)
			token := ""
			for n := 1; n <= rounds; n++ {
				for _, key := range []string{"A", "B"} {
					wrote := w.do(patch(key, n, tokenHeader, token))
					if token = wrote.header.Get(tokenHeader); wrote.status != 200 || token == "" {
						t.Errorf("a write with a token is answered %d with the token %q: %s", wrote.status, token, wrote.body)
						return
					}
				}
			}
			last = token
		})
		wg.Go(func() {
			for {
				for side, user := range map[string]connectortest.User{"left": left, "right": right} {
					b := quantityOf(user, "B") // first what was written later
					if a := quantityOf(user, "A"); a < b {
						t.Errorf("%s shows %d of B, which was written after %d of A, and %d of A", side, b, b, a)
						return
					}
				}
				select {
				case <-ended:
					return
				default:
				}
			}
		})
		wg.Wait()

		// One token stands for all that its writer had seen; several are shown with commas between them.
		read := p.want(200, p.as("GET", base+"/records/A", "", tokenHeader, last+", "+last)).json(t)
		if got := fmt.Sprint(read["fields"].(map[string]any)["quantity"]); got != fmt.Sprint(rounds) || quantityOf(right, "A") != rounds {
			t.Errorf("with the last token A is read as %s, and the right system holds %d", got, quantityOf(right, "A"))
		}
		for _, path := range []string{"/records", "/records/A/history"} {
			p.want(200, p.as("GET", base+path, "", tokenHeader, last))
		}

		// A record that is read now from its source: the token is good when the reading is over.
		left.Tamper("A", record.Fields{"quantity": record.Int(99)})
		key := []string{"Idempotency-Key", "sync-1"}
		synced := p.want(202, p.as("POST", base+"/records:sync", `{"sourceSystem": "left", "sourceId": "A", "timeoutSeconds": 0}`, key...))
		again := p.want(202, p.as("POST", base+"/records:sync", `{"sourceSystem": "left", "sourceId": "A", "timeoutSeconds": 0}`, key...))
		if a, b := synced.header.Get(tokenHeader), again.header.Get(tokenHeader); a == "" || a != b {
			t.Errorf("the answer's token is %q, and %q when it is given again", a, b)
		}
		p.want(200, p.as("GET", base+"/records/A", "", tokenHeader, synced.header.Get(tokenHeader)))
		if got := quantityOf(right, "A"); got != 99 {
			t.Errorf("after the sync's token the right system holds %d", got)
		}

		// What a system refused is not waited for, except where it is not about that system.
		refusedName := p.want(200, p.as("PATCH", base+"/systems/left/records/B", fmt.Sprintf(`{"fields": {"name": %q}}`, strings.Repeat("long ", 20))))
		token := refusedName.header.Get(tokenHeader)
		p.refused(409, "consistency.blocked", p.as("GET", base+"/records/A", "", tokenHeader, token))
		p.refused(409, "consistency.blocked", patch("A", 5, tokenHeader, token))
		p.want(200, p.as("GET", base+"/records/B/status?systems=left", "", tokenHeader, token))
	})

	// Nobody carries the service: the answer comes in time, says who lacks what, and when to ask again.
	wrote := p.want(200, patch("W0", 1000))
	token := wrote.header.Get(tokenHeader)
	late := p.refused(503, "consistency.not_reached", p.as("GET", base+"/records/W0", "", tokenHeader, token, "Prefer", "wait=0"))
	if late.header.Get("Retry-After") == "" || !strings.Contains(string(late.body), "left is still to get record") {
		t.Errorf("the answer does not say who lacks it, or when to ask again: %v %s", late.header, late.body)
	}
	p.refused(503, "consistency.not_reached", patch("W1", 7, tokenHeader, token, "Prefer", "wait=0"))
	if got := p.want(200, p.as("GET", base+"/records/W1", "")).json(t)["fields"].(map[string]any)["quantity"]; fmt.Sprint(got) != fmt.Sprint(rounds) {
		t.Errorf("a write that was refused left %v", got)
	}

	// Tokens are nobody's to make up, and one tenant's are nothing to another.
	for _, bad := range []string{"x", token + "x", strings.ToUpper(token), token + ",", strings.TrimSuffix(strings.Repeat(token+",", 21), ",")} {
		p.refused(400, "consistency.token_invalid", p.as("GET", base+"/records/W0", "", tokenHeader, bad))
	}
	other.consistent("causal")
	other.refused(400, "consistency.token_invalid", other.as("GET", "/v1/services/causal-b/records", "", tokenHeader, token))
}

// Decisions of people answer with a token, too: of a conflict for its record, of a merge, its undoing, and of an undo for all the records that
// they wrote. What only looks has none.
func TestTokensOfDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.connect()
	applied := p.apply("service: decided\nsystems:\n  - {id: left, type: left-a, connection: left-db-a, objects: [products]}\n" +
		"  - {id: right, type: right-a, connection: right-db-a, objects: [products]}\nsyncConfig: {frequency: realtime, conflictResolution: manual}\n")
	id := applied.Service.ID
	const base = "/v1/services/decided"
	left, right := p.systems["left-a"].User("products"), p.systems["right-a"].User("products")
	for i := range 9 {
		left.Put(recordKey(fmt.Sprint("SKU-", i)), record.Fields{"name": "Desk", "quantity": record.Int(int64(i))})
	}
	p.carry(id, func() { p.eventually("the first sync", func() bool { return len(right.All()) == 9 && p.quiet(id) }) })
	left.Put("SKU-0", record.Fields{"name": "Left"})
	right.Put("SKU-0", record.Fields{"name": "Right"})
	p.carry(id, func() {
		p.eventually("a conflict", func() bool {
			return p.number(`SELECT count(*) FROM conflicts WHERE state = 'open'`) == 1 && p.quiet(id)
		})
	})
	open := p.want(200, p.as("GET", "/v1/conflicts?filter[state]=open&filter[field]=name", "")).json(t)["data"].([]any)[0].(map[string]any)
	collection := open["collection"].(string)
	ctx := context.Background()
	p.must(store.InTx(p.db, func(tx *store.Tx) duplicate.Tx { return tx })(ctx, p.tenant, func(tx duplicate.Tx) error {
		some, err := tx.EntitiesAfter(ctx, id, collection, record.EntityID{}, 9)
		if err != nil {
			return err
		}
		var pairs []duplicate.Pair
		for i := 1; i < len(some); i += 2 {
			pairs = append(pairs, duplicate.Pair{Collection: collection, A: some[i].ID, B: some[i+1].ID, Verdict: match.Verdict{Score: 0.9, Outcome: match.Ask}})
		}
		_, err = tx.AddDuplicates(ctx, id, pairs)
		return err
	}))
	read := func(token, record string) call {
		return p.as("GET", base+"/records/"+record, "", tokenHeader, token, "Prefer", "wait=20")
	}
	late := func(token, record string) {
		t.Helper()
		p.refused(503, "consistency.not_reached", p.as("GET", base+"/records/"+record, "", tokenHeader, token, "Prefer", "wait=0"))
	}
	decided := func(path, body string) string {
		t.Helper()
		got := p.want(200, p.as("POST", path, body))
		token := got.header.Get(tokenHeader)
		if token == "" {
			t.Fatalf("%s is answered without a token", path)
		}
		return token
	}

	disputed := open["record"].(string)
	ofConflict := decided("/v1/conflicts/"+open["id"].(string)+":resolve", `{"value": "Decided"}`)
	late(ofConflict, disputed)
	p.carry(id, func() {
		p.want(200, read(ofConflict, disputed))
		if key := open["recordTitle"].(string); left.Get(recordKey(key))["name"] != "Decided" || right.Get(recordKey(key))["name"] != "Decided" {
			t.Errorf("the read is answered, and the systems hold %v and %v", left.Get(recordKey(key)), right.Get(recordKey(key)))
		}
	})

	// An undo of what the key's owner changed in several records.
	keys := []string{"SKU-1", "SKU-2"}
	was := map[string]any{}
	actor := "all " + p.canary
	for _, key := range keys {
		was[key] = right.Get(recordKey(key))["quantity"]
		p.want(200, p.as("PATCH", base+"/systems/left/records/"+key, `{"fields": {"quantity": 4711}}`))
	}
	look := p.want(200, p.as("POST", base+"/undo", fmt.Sprintf(`{"actor": %q, "dryRun": true}`, actor)))
	if look.header.Get(tokenHeader) != "" {
		t.Errorf("a preview has a token")
	}
	p.carry(id, func() {
		p.eventually("the edits to arrive", func() bool {
			return quantityOf(right, "SKU-1") == 4711 && quantityOf(right, "SKU-2") == 4711 && p.quiet(id)
		})
	})
	ofUndo := decided(base+"/undo", fmt.Sprintf(`{"actor": %q}`, actor))
	late(ofUndo, "SKU-3") // whichever record is read
	p.carry(id, func() {
		p.want(200, read(ofUndo, "SKU-3"))
		for _, key := range keys {
			if got := right.Get(recordKey(key))["quantity"]; fmt.Sprint(got) != fmt.Sprint(was[key]) {
				t.Errorf("the read is answered, and the right system holds %v of %s, not %v", got, key, was[key])
			}
		}
	})

	pairs := p.want(200, p.as("GET", base+"/duplicates", "")).json(t)["data"].([]any)
	pair := base + "/duplicates/" + pairs[0].(map[string]any)["id"].(string)
	merged := p.want(200, p.as("POST", pair+":merge", `{}`))
	ofMerge, survivor := merged.header.Get(tokenHeader), fmt.Sprint(merged.json(t)["survivor"])
	p.carry(id, func() { p.want(200, read(ofMerge, survivor)) })
	apart := decided(pair+":undo", `{"reason": "Two things"}`)
	p.carry(id, func() { p.want(200, read(apart, survivor)) })
	group := base + "/duplicates/" + pairs[1].(map[string]any)["id"].(string) + "/group"
	joined := p.want(200, p.as("POST", group+":merge", `{}`))
	ofGroup, stays := joined.header.Get(tokenHeader), fmt.Sprint(joined.json(t)["survivor"])
	p.carry(id, func() { p.want(200, read(ofGroup, stays)) })

	// Several pairs at once: one token for what was written of all of them, and none where nothing was.
	several := fmt.Sprintf(`{"duplicates": [%q, %q], "decision": %%q}`, pairs[2].(map[string]any)["id"], pairs[3].(map[string]any)["id"])
	if put := p.want(200, p.as("POST", base+"/duplicates:decide", fmt.Sprintf(several, "later"))); put.header.Get(tokenHeader) != "" {
		t.Errorf("putting pairs off is answered with a token, and wrote nothing")
	}
	ofAll := decided(base+"/duplicates:decide", fmt.Sprintf(several, "merge"))
	late(ofAll, disputed)
	missing := p.refused(503, "consistency.not_reached", p.as("GET", base+"/records/"+disputed, "", tokenHeader, ofAll, "Prefer", "wait=0"))
	if !strings.Contains(string(missing.body), "is still to get 4 of the records") {
		t.Errorf("the token is not about both merges: %s", missing.body)
	}
	p.carry(id, func() { p.want(200, read(ofAll, disputed)) })
}

// An act of several commits has other people's lines between its own; what these wrote is not waited for.
func TestOutstandingIsOfTheActor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	p := w.newParty("a")
	p.consistent("causal")
	id, err := parseService(p.ids["service"])
	w.must(err)
	left := p.systems["left-a"].User("products")
	for i := range 3 {
		left.Put(recordKey(fmt.Sprint("SKU-", i)), record.Fields{"name": "Desk", "quantity": record.Int(1)})
	}
	p.carry(id, func() {
		p.eventually("the first sync", func() bool { return len(p.systems["right-a"].User("products").All()) == 3 && p.quiet(id) })
	})
	for i := range 3 {
		c := p.as("PATCH", fmt.Sprint("/v1/services/causal-a/systems/left/records/SKU-", i), `{"fields": {"quantity": 2}}`)
		if i == 1 {
			c.key = p.keys[auth.ScopeWrite]
		}
		p.want(200, c)
	}
	var of record.Span
	w.must(p.admin.QueryRow(context.Background(), `SELECT min(id::text)::uuid, max(id::text)::uuid FROM journal WHERE actor = $1`, "all "+p.canary).Scan(&of.First, &of.Last))
	for actor, want := range map[string]int64{"": 3, "all " + p.canary: 2} {
		of.Actor = actor
		list, err := p.deps.Records.Outstanding(context.Background(), p.owner(), id, of)
		w.must(err)
		for _, o := range list {
			if o.Records != want {
				t.Errorf("%s is still to get %d records that %q wrote, want %d", o.System, o.Records, actor, want)
			}
		}
		if len(list) != 2 {
			t.Errorf("lacking are %+v", list)
		}
	}
}

func recordKey(text string) record.Key { return record.Key(text) }
