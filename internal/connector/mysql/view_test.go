// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"strconv"
	"sync"
	"testing"
)

// A view never says of a place in the log that it holds what was committed before, when it does not: also when others ask the
// server for theirs at the same moment.
func TestViewHoldsWhatItsPlaceSays(t *testing.T) {
	t.Parallel()
	d := ownDatabase(t, ownServer(t, "max_binlog_size", "64K"))
	d.exec("CREATE TABLE numbers (id INT PRIMARY KEY)")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	for range 4 { // as a backup or another reader would
		others.Go(func() {
			conn, err := d.db.Conn(ctx)
			if err != nil {
				return
			}
			defer conn.Close()
			for ctx.Err() == nil {
				for _, q := range []string{"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", "SHOW STATUS LIKE 'binlog_snapshot_%'", "ROLLBACK"} {
					_, _ = conn.ExecContext(ctx, q)
				}
			}
		})
	}

	type sight struct {
		at      place
		highest int
	}
	const numbers = 2000
	ends := make([]place, 1, numbers+1) // where the transaction that added a number ends in the log
	written := make(chan struct{})
	s := d.open()
	var sights []sight
	others.Go(func() {
		defer close(written)
		for i := 1; i <= numbers && ctx.Err() == nil; i++ {
			d.exec("INSERT INTO numbers VALUES (" + strconv.Itoa(i) + ")")
			m, err := s.masterStatus(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			ends = append(ends, m.at)
		}
	})
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		v, err := s.view(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !v.open { // it is not sure of its place, and will lock what it reads
			v.close()
			continue
		}
		var highest sql.NullInt64
		if err := v.conn.QueryRowContext(t.Context(), "SELECT MAX(id) FROM numbers").Scan(&highest); err != nil {
			t.Fatal(err)
		}
		sights = append(sights, sight{v.at, int(highest.Int64)})
		v.close()
	}
	for _, seen := range sights {
		if next := seen.highest + 1; next < len(ends) && !seen.at.before(ends[next]) {
			t.Fatalf("a view at %s does not hold %d, which was committed at %s (%d views)", seen.at, next, ends[next], len(sights))
		}
	}
	if len(sights) < 50 {
		t.Errorf("only %d views were opened meanwhile", len(sights))
	}
}
