// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Reading by hash sweeps over the table in the order of the key and compares each row's hash with a list kept beside the
// table, syncline.hashes_<oid>_<consumer>. Rows that are new or different are changes, keys in the list without a row
// are deletes.
//
// A page that was read is in the list as pending, under the page's tag, and counts only once a cursor with that tag is
// acknowledged. Until then its changes are found again, so nothing depends on whether a page was stored.
//
// Where the role may not make the list, each sweep returns all rows, and deletes are not seen.

// chunk is how many rows are compared by one statement, and enough is how long one Read looks for changes.
const (
	chunk  = 5000
	enough = 2 * time.Second
)

// maxTags bounds how many pages a cursor can acknowledge at once; what is beyond is merely read again.
const maxTags = 16

func (s *system) hashList(oid uint32) string {
	h := fnv.New32a()
	h.Write([]byte(s.consumer()))
	return fmt.Sprintf("syncline.hashes_%d_%08x", oid, h.Sum32())
}

func (s *system) beginByHash(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	a, err := s.abilities(ctx, c, t)
	if err != nil {
		return err
	}
	if !a.schema || a.standby {
		p.Bare = true
		return nil
	}
	list := s.hashList(t.oid)
	there := false
	err = statement{
		sql:    "SELECT obj_description(to_regclass($1), 'pg_class') = $2 FROM pg_class WHERE oid = to_regclass($1)",
		params: []param{text(list), text(t.shape())},
		row:    func(v [][]byte) error { there = string(v[0]) == "t"; return nil },
	}.run(ctx, c)
	if err != nil || there {
		return err
	}
	var keys []string
	for i, k := range t.key {
		keys = append(keys, fmt.Sprintf("%s AS k%d", quote(t.columns[k].name), i+1))
	}
	// Somebody else may clean up at the same time: who waited for the lock can still believe that the schema is there. So it is
	// tried again, as with the log of changes.
	for range 5 {
		if err = s.makeHashList(ctx, c, t, list, keys); !missingRelation(err) {
			return err
		}
	}
	return err
}

func (s *system) makeHashList(ctx context.Context, c *pgconn.PgConn, t *table, list string, keys []string) error {
	return inTransaction(ctx, c, func() error {
		return execute(ctx, c,
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, 0)", lockClass),
			makeSchema,
			"DROP TABLE IF EXISTS "+list,
			fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM %s WITH NO DATA", list, strings.Join(keys, ", "), t.from()),
			fmt.Sprintf("ALTER TABLE %s ADD h bigint, ADD pending bigint, ADD gone boolean, ADD tag bigint, ADD PRIMARY KEY (%s)", list, t.logKeys("")),
			fmt.Sprintf("CREATE INDEX ON %s (tag) WHERE tag IS NOT NULL", list),
			fmt.Sprintf("COMMENT ON TABLE %s IS %s", list, literal(t.shape())))
	})
}

func (s *system) readByHash(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	if p.Bare {
		return s.sweepBare(ctx, c, t, p, req)
	}
	page := connector.Page{Phase: connector.Stream, Total: p.Total}
	if p.Snapshot {
		page.Phase = connector.Snapshot
	}
	for start := time.Now(); ; {
		ended, err := s.sweepOn(ctx, c, t, &p, req, &page)
		if missingRelation(err) {
			return page, lostPlace("log_missing", "The list of hashes of %s was removed; the table is read anew.", t.sql())
		}
		if err != nil {
			return page, err
		}
		if ended {
			p = streamFrom(p) // what happened meanwhile is the next sweep's matter
			page.Phase = connector.Stream
			break
		}
		if len(page.Changes) > 0 || time.Since(start) > enough {
			page.More = true
			break
		}
	}
	page.Cursor = p.cursor()
	return page, nil
}

// sweepBare returns the next rows, whatever they are.
func (s *system) sweepBare(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	snapshot := p.Snapshot
	page, err := s.snapshotPage(ctx, c, t, p, req)
	page.More = page.Phase == connector.Snapshot // else the sweep has ended
	if !snapshot {
		page.Phase, page.Total = connector.Stream, 0
	}
	return page, err
}

// sweepOn compares the next rows and adds what differs to the page.
func (s *system) sweepOn(ctx context.Context, c *pgconn.PgConn, t *table, p *place, req connector.ReadRequest, page *connector.Page) (ended bool, err error) {
	columns, err := t.wanted(req.Fields)
	if err != nil {
		return false, err
	}
	r := t.reader(columns)
	list := s.hashList(t.oid)
	n := len(t.key)
	rows := chunk
	if p.Snapshot {
		rows = req.Limit
	}
	var tKeys, lKeys, both, lower []string
	for i, k := range t.key {
		tKeys = append(tKeys, fmt.Sprintf("t.%s AS k%d", quote(t.columns[k].name), i+1))
		lKeys = append(lKeys, fmt.Sprintf("coalesce(tt.k%[1]d, ss.k%[1]d) AS k%[1]d", i+1))
		both = append(both, fmt.Sprintf("tt.k%[1]d = ss.k%[1]d", i+1))
		lower = append(lower, fmt.Sprintf("$%d::%s", i+1, t.columns[k].base))
	}
	where, params := t.beyond("t", p.After)
	listed := "true"
	if p.After != nil {
		listed = fmt.Sprintf("(%s) > (%s)", t.logKeys("l."), strings.Join(lower, ", "))
	}
	differs := "tt.k1 IS NULL OR tt.h IS DISTINCT FROM ss.h"
	if p.Snapshot {
		differs = "true"
	}
	tag := rand.Int64N(1<<62) + 1
	descending := strings.ReplaceAll(t.logKeys(""), ",", " DESC,") + " DESC"
	sql := fmt.Sprintf(`
WITH tt AS MATERIALIZED (SELECT %[1]s, hashtextextended(ROW(%[2]s)::text, 0) AS h FROM %[3]s t %[4]s ORDER BY %[5]s LIMIT %[6]d),
e AS (SELECT count(*) = %[6]d AS full_ FROM tt),
b AS (SELECT %[7]s FROM tt ORDER BY %[8]s LIMIT 1),
ss AS (SELECT %[9]s, l.h FROM %[10]s l WHERE %[11]s AND (NOT (SELECT full_ FROM e) OR (%[9]s) <= (SELECT %[7]s FROM b))),
d AS MATERIALIZED (SELECT %[12]s, tt.h, tt.k1 IS NULL AS gone FROM tt FULL JOIN ss ON %[13]s WHERE %[14]s ORDER BY %[7]s LIMIT %[15]d),
w AS (INSERT INTO %[10]s AS l (%[7]s, pending, gone, tag) SELECT %[7]s, h, gone, %[16]d FROM d
      ON CONFLICT (%[7]s) DO UPDATE SET pending = excluded.pending, gone = excluded.gone, tag = excluded.tag)
SELECT e.full_, %[17]s, d.gone, %[18]s, %[19]s
FROM e LEFT JOIN b ON true LEFT JOIN d ON true LEFT JOIN %[3]s t ON NOT d.gone AND %[20]s ORDER BY %[18]s`,
		strings.Join(tKeys, ", "), r.list("t"), t.from(), where, t.keyList("t"), rows, t.logKeys(""), descending, t.logKeys("l."), list, listed,
		strings.Join(lKeys, ", "), strings.Join(both, " AND "), differs, req.Limit, tag, t.logKeys("b."), t.logKeys("d."), r.list("t"), t.sameKey("t", "d"))
	keys := t.logKeyReader()
	full, found := false, 0
	var last, cut []string
	raw := func(v [][]byte) (list []string) {
		for _, x := range v {
			list = append(list, string(x))
		}
		return list
	}
	err = statement{sql: sql, params: params, row: func(v [][]byte) error {
		full = string(v[0]) == "t"
		if full {
			last = raw(v[1 : 1+n])
		}
		if v[1+n] == nil {
			return nil
		}
		found++
		key := v[2+n : 2+2*n]
		cut = raw(key)
		if string(v[1+n]) == "t" {
			page.Changes = append(page.Changes, record.Change{Key: keys(key), Op: record.Delete, Absent: true})
			return nil
		}
		f := r.fields(v[2+2*n:])
		page.Changes = append(page.Changes, record.Change{Key: r.key(f), Op: record.Upsert, Fields: f})
		return nil
	}}.run(ctx, c)
	if err != nil {
		return false, err
	}
	if found > 0 {
		p.Tags = append(p.Tags, tag)
		p.Tags = p.Tags[max(0, len(p.Tags)-maxTags):]
	}
	switch {
	case found == req.Limit:
		p.After = cut
	case full:
		p.After = last
	default:
		p.After = nil
		return true, nil
	}
	return false, nil
}

// confirmHashes makes what the cursor's pages held the state that the consumer has.
func (s *system) confirmHashes(ctx context.Context, c *pgconn.PgConn, t *table, p place) error {
	if p.Bare || len(p.Tags) == 0 {
		return nil
	}
	tags := make([]string, len(p.Tags))
	for i, tag := range p.Tags {
		tags[i] = strconv.FormatInt(tag, 10)
	}
	list := s.hashList(t.oid)
	err := pipeline(ctx, c,
		statement{sql: "DELETE FROM " + list + " WHERE gone AND tag = ANY ($1::bigint[])", params: []param{texts(tags)}},
		statement{sql: "UPDATE " + list + " SET h = pending, pending = NULL, tag = NULL WHERE tag = ANY ($1::bigint[])", params: []param{texts(tags)}})
	if missingRelation(err) {
		return nil // the next Read tells
	}
	return err
}

// cleanHashes drops the consumer's lists.
func (s *system) cleanHashes(ctx context.Context, c *pgconn.PgConn, oids []uint32) error {
	for _, oid := range oids {
		if err := execute(ctx, c, "DROP TABLE IF EXISTS "+s.hashList(oid)); err != nil && !missingRelation(err) {
			return err
		}
	}
	return nil
}
