// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Users write to three tables in small and large transactions, some undone; the log rotates; another service writes;
// readers crash, begin again elsewhere, and go back to cursors of before. In the end each knows what the tables hold.
// SYNCLINE_STORM_ROUNDS makes it last longer than a test should.
func TestStorm(t *testing.T) {
	t.Parallel()
	rounds := 150
	if n, err := strconv.Atoi(os.Getenv("SYNCLINE_STORM_ROUNDS")); err == nil {
		rounds = n
	}
	for _, locks := range []bool{false, true} {
		t.Run(fmt.Sprintf("locks=%v", locks), func(t *testing.T) {
			t.Parallel()
			storm(t, locks, rounds)
		})
	}
}

func storm(t *testing.T, locks bool, rounds int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	// A busy server takes its time to let go of the connections that crashed readers left.
	d := ownDatabase(t, ownServer(t, "binlog_row_metadata", "NO_LOG", "max_binlog_size", "1M", "max_connections", "400", "max_connect_errors", "1000000"))
	d.db.SetMaxOpenConns(20)
	for i := range 3 {
		d.exec(fmt.Sprintf("CREATE TABLE t%d (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(100), b DECIMAL(10,2), c LONGTEXT)", i))
	}
	open := func() *system {
		s := d.open()
		s.server.snapshotPlace = !locks
		return s
	}
	var mu sync.Mutex // guards s
	s := open()
	current := func() *system {
		mu.Lock()
		defer mu.Unlock()
		return s
	}
	replicas := make([]*replica, 3)
	for i := range replicas {
		replicas[i] = d.replica(s, record.Object(fmt.Sprintf("t%d", i)), 50+i*200)
	}

	var users, readers sync.WaitGroup
	over := make(chan struct{})
	running := func() bool {
		select {
		case <-over:
			return false
		default:
			return true
		}
	}
	for u := range 4 {
		users.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(u)))
			for n := range rounds {
				if err := transaction(d, chance, fmt.Sprintf("%d-%d", u, n)); err != nil {
					t.Error(err)
					return
				}
				if u == 0 && n%40 == 39 {
					d.exec("FLUSH BINARY LOGS")
				}
			}
		})
	}
	for i, r := range replicas {
		readers.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(100+i)))
			type checkpoint struct {
				cursor record.Cursor
				rows   map[record.Key]record.Fields
			}
			var older []checkpoint
			for running() {
				r.s = current()
				if _, err := r.tryPage(); err != nil {
					if !passing(err) { // another reader closed the connection
						t.Errorf("reading %s: %v", r.object, err)
						return
					}
					continue
				}
				if chance.IntN(20) == 0 {
					older = append(older, checkpoint{r.cursor, maps.Clone(r.rows)})
				}
				if len(older) > 3 && chance.IntN(100) == 0 {
					k := chance.IntN(len(older))
					r.cursor, r.rows, older = older[k].cursor, older[k].rows, older[:k]
				}
			}
		})
	}
	readers.Go(func() { // crashes
		for running() {
			fresh := open()
			mu.Lock()
			old := s
			s = fresh
			mu.Unlock()
			old.Close()
			for range 50 {
				if running() {
					d.exec("DO 1")
				}
			}
		}
	})
	readers.Go(func() { // another service
		o := d.open(consumer("svc_other"))
		chance := rand.New(rand.NewPCG(seed, 200))
		for n := 0; running(); n++ {
			var writes []connector.Write
			for range 50 {
				k := 1 + chance.IntN(3000)
				if chance.IntN(3) == 0 {
					writes = append(writes, drop(record.Key(strconv.Itoa(k))))
				} else {
					writes = append(writes, upsert(record.Fields{"id": record.Int(int64(k)), "a": fmt.Sprint("other ", n)}))
				}
			}
			if _, err := o.Write(context.Background(), "t1", writes); err != nil && !passing(err) {
				t.Errorf("another service: %v", err)
			}
		}
	})
	users.Wait()
	close(over)
	readers.Wait()
	for _, r := range replicas {
		r.s = current()
		r.drain()
		r.equal()
	}
	if n := len(d.logs()); n < 3 {
		t.Errorf("there are %d files of the log; the storm was too small", n)
	}
}

// passing says of an error that the engine would try again.
func passing(err error) bool {
	switch connector.Classify(err).Class {
	case connector.Retry, connector.SlowDown:
		return true
	}
	return false
}

// transaction is a user's: mostly small, sometimes large, sometimes undone, sometimes the victim of a deadlock.
func transaction(d *database, chance *rand.Rand, mark string) error {
	tx, err := d.db.Begin()
	if err != nil {
		return err
	}
	statements := 1 + chance.IntN(8)
	if chance.IntN(50) == 0 {
		statements = 1000
	}
	for range statements {
		table, id, value := chance.IntN(3), 1+chance.IntN(3000), chance.IntN(1000)
		switch chance.IntN(4) {
		case 0, 1:
			_, err = tx.Exec(fmt.Sprintf("INSERT INTO t%d (id, a, b, c) VALUES (%d, '%s', %d, REPEAT('x', %d)) ON DUPLICATE KEY UPDATE a = VALUES(a), b = b + 1", table, id, mark, value, chance.IntN(300)))
		case 2:
			_, err = tx.Exec(fmt.Sprintf("UPDATE t%d SET b = %d, a = 'u%s' WHERE id = %d", table, value, mark, id))
		case 3:
			_, err = tx.Exec(fmt.Sprintf("DELETE FROM t%d WHERE id = %d", table, id))
		}
		if n := number(err); n == 1213 || n == 1205 {
			return tx.Rollback()
		} else if err != nil {
			return err
		}
	}
	if chance.IntN(10) == 0 {
		return tx.Rollback()
	}
	return tx.Commit()
}
