// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

func upsert(fields record.Fields) connector.Write {
	return connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: fields}
}

func set(key record.Key, fields record.Fields) connector.Write {
	return connector.Write{ID: record.NewEntityID(), Op: record.Upsert, Key: key, Fields: fields}
}

func drop(key record.Key) connector.Write {
	return connector.Write{ID: record.NewEntityID(), Op: record.Delete, Key: key}
}

func mustWrite(t *testing.T, s *system, object record.Object, writes ...connector.Write) []connector.Receipt {
	t.Helper()
	receipts, err := s.Write(context.Background(), object, writes)
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

func expect(t *testing.T, receipts []connector.Receipt, want ...connector.Outcome) {
	t.Helper()
	for i, w := range want {
		if receipts[i].Outcome != w {
			t.Errorf("write %d is %s (%v), want %s", i, receipts[i].Outcome, receipts[i].Err, w)
		}
	}
}

// Each is refused with a code of its own, for a person; the others in the batch are written.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE parents (id INT PRIMARY KEY)", "INSERT INTO parents VALUES (1), (2)",
		`CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, parent INT, code VARCHAR(10) UNIQUE, amount DECIMAL(6,2) CHECK (amount >= 0), must INT NOT NULL, no_default VARCHAR(5) NOT NULL,
			twice INT AS (must * 2), body VARCHAR(100), doc JSON, stamp TIMESTAMP NULL, FOREIGN KEY (parent) REFERENCES parents (id))`,
		"CREATE TRIGGER guard BEFORE UPDATE ON things FOR EACH ROW IF NEW.body = 'forbidden' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not while I watch'; END IF",
		"INSERT INTO things (id, code, parent, must, no_default) VALUES (1, 'taken', 1, 1, ''), (2, NULL, NULL, 2, '')", "CREATE TABLE old (id INT PRIMARY KEY) ENGINE=MyISAM")
	s := d.open()
	good := func(f record.Fields) record.Fields {
		out := record.Fields{"must": n("1"), "no_default": "x"}
		for k, v := range f {
			out[k] = v
		}
		return out
	}
	tests := []struct {
		name  string
		write connector.Write
		code  string
	}{
		{"duplicate", upsert(good(record.Fields{"code": "taken"})), "mysql.duplicate"},
		{"duplicate in another case", upsert(good(record.Fields{"code": "TAKEN"})), "mysql.duplicate"},
		{"duplicate by update", set("2", record.Fields{"code": "taken"}), "mysql.duplicate"},
		{"no parent", upsert(good(record.Fields{"parent": n("9")})), "mysql.reference_missing"},
		{"null", upsert(good(record.Fields{"must": nil})), "mysql.null"},
		{"left out", upsert(record.Fields{"must": n("1")}), "mysql.null"},
		{"check", upsert(good(record.Fields{"amount": n("-1")})), "mysql.check_failed"},
		{"out of range", upsert(good(record.Fields{"amount": n("99999")})), "mysql.not_valid"},
		{"too long", upsert(good(record.Fields{"code": "12345678901"})), "mysql.not_valid"},
		{"no number", upsert(good(record.Fields{"must": "many"})), "mysql.not_valid"},
		{"computed", upsert(good(record.Fields{"twice": n("2")})), "mysql.read_only_column"},
		{"unknown column", upsert(good(record.Fields{"colour": "red"})), "mysql.no_column"},
		{"trigger", set("2", record.Fields{"body": "forbidden"}), "mysql.trigger_refused"},
		{"moment that does not exist", upsert(good(record.Fields{"stamp": "1900-01-01T00:00:00Z"})), "mysql.not_valid"},
		{"impossible key", set("one", record.Fields{"body": "x"}), "mysql.not_valid"},
		{"no key", connector.Write{Op: record.Upsert, Fields: record.Fields{"body": "x"}}, "mysql.no_key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receipts := mustWrite(t, s, "things", upsert(good(nil)), tt.write, set("1", record.Fields{"body": tt.name}), upsert(good(nil)))
			expect(t, receipts, connector.Applied, connector.Refused, connector.Applied, connector.Applied)
			if code(receipts[1].Err) != tt.code || class(receipts[1].Err) != connector.Reject {
				t.Errorf("%v, want %s", receipts[1].Err, tt.code)
			}
		})
	}
	receipts := mustWrite(t, s, "parents", drop("1"), drop("2"), drop("3"))
	expect(t, receipts, connector.Refused, connector.Applied, connector.Already)
	if code(receipts[0].Err) != "mysql.still_referenced" {
		t.Error(receipts[0].Err)
	}
	if _, err := s.Write(context.Background(), "old", []connector.Write{upsert(record.Fields{"id": n("1")})}); code(err) != "mysql.not_transactional" {
		t.Error(err)
	}
}

// Constraints that hold at the end of a batch but not on the way there.
func TestOrderWithinABatch(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE nodes (id INT PRIMARY KEY, parent INT, code VARCHAR(10) UNIQUE, FOREIGN KEY (parent) REFERENCES nodes (id))", "INSERT INTO nodes VALUES (1, NULL, 'a'), (2, 1, 'b'), (3, NULL, 'c')")
	s := d.open()
	expect(t, mustWrite(t, s, "nodes",
		upsert(record.Fields{"id": n("12"), "parent": n("11")}), // its parent comes later
		upsert(record.Fields{"id": n("11")}),
		upsert(record.Fields{"id": n("13"), "code": "c"}), // free only once the next is done
		drop("3"),
		drop("1"), // has a child until the next is done
		set("2", record.Fields{"parent": nil}),
		set("11", record.Fields{"code": "d"}),
		set("11", record.Fields{"code": "e"}), // the same record twice
	), connector.Applied, connector.Applied, connector.Applied, connector.Applied, connector.Applied, connector.Applied, connector.Applied, connector.Applied)
	if got := d.value("SELECT GROUP_CONCAT(CONCAT_WS('/', id, parent, code) ORDER BY id) FROM nodes"); got != "2/b,11/e,12/11,13/c" {
		t.Error(got)
	}
}

func TestChangingAKey(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE things (a VARCHAR(10), b INT, v INT, PRIMARY KEY (a, b))", "INSERT INTO things VALUES ('x', 1, 1), ('y', 1, 1), ('z', 1, 1)")
	s := d.open()
	w := []connector.Write{
		set(`["x",1]`, record.Fields{"a": "new", "v": n("2")}),
		set(`["y",1]`, record.Fields{"a": "y", "b": n("1"), "v": n("2")}),
		set(`["z",1]`, record.Fields{"a": "y"}),
	}
	receipts := mustWrite(t, s, "things", w...)
	expect(t, receipts, connector.Applied, connector.Applied, connector.Refused)
	if receipts[0].Key != `["new",1]` || receipts[1].Key != `["y",1]` {
		t.Errorf("%+v", receipts)
	}
	receipts = mustWrite(t, s, "things", w[:2]...)
	expect(t, receipts, connector.Already, connector.Already)
	if receipts[0].Key != `["new",1]` {
		t.Errorf("%+v", receipts[0])
	}
}

func TestTriggersChangeWhatIsStored(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20), shout VARCHAR(20))",
		"CREATE TRIGGER i BEFORE INSERT ON things FOR EACH ROW SET NEW.name = UPPER(NEW.name), NEW.shout = CONCAT(NEW.name, '!')",
		"CREATE TRIGGER u BEFORE UPDATE ON things FOR EACH ROW SET NEW.name = UPPER(NEW.name), NEW.shout = CONCAT(NEW.name, '!')")
	s := d.open()
	r := d.replica(s, "things", 100)
	r.drain()
	receipts := mustWrite(t, s, "things", upsert(record.Fields{"name": "ann"}), upsert(record.Fields{"name": "BOB"}))
	expect(t, receipts, connector.Applied, connector.Applied)
	if receipts[0].Stored["name"] != "ANN" || receipts[1].Stored != nil {
		t.Errorf("%+v", receipts)
	}
	receipts = mustWrite(t, s, "things", set(receipts[0].Key, record.Fields{"name": "cid"}), set(receipts[1].Key, record.Fields{"name": "dot"}))
	if receipts[0].Stored["name"] != "CID" || receipts[1].Stored["name"] != "DOT" {
		t.Errorf("%+v", receipts)
	}
	r.drain() // what the trigger wrote to other columns is news, although the write was ours
	if r.rows[receipts[0].Key]["shout"] != "CID!" {
		t.Errorf("%v", r.rows)
	}
}

func TestManyRecordsWithMadeKeys(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50), code VARCHAR(10) UNIQUE)")
	for _, returning := range []bool{true, false} {
		s := d.open()
		if !returning { // as MySQL
			s.server.major, s.server.minor = 10, 4
		}
		var writes []connector.Write
		for i := range 2500 {
			f := record.Fields{"name": fmt.Sprintf("%v %d", returning, i)}
			if i%500 == 3 {
				f["code"] = fmt.Sprintf("same %v", returning)
			}
			writes = append(writes, upsert(f))
		}
		seen := make(map[record.Key]bool)
		for i, got := range mustWrite(t, s, "things", writes...) {
			if i%500 == 3 && i > 3 {
				if got.Outcome != connector.Refused {
					t.Errorf("write %d is %s", i, got.Outcome)
				}
				continue
			}
			if got.Outcome != connector.Applied || seen[got.Key] {
				t.Fatalf("write %d is %s with the key %s (%v)", i, got.Outcome, got.Key, got.Err)
			}
			seen[got.Key] = true
			if i%100 == 0 {
				if name := d.value("SELECT name FROM things WHERE id = " + string(got.Key)); name != writes[i].Fields["name"] {
					t.Errorf("the key %s is of %q, not of %q", got.Key, name, writes[i].Fields["name"])
				}
			}
		}
	}
}

// A record larger than a statement may be is refused, and does not hold up the others.
func TestLargeRecords(t *testing.T) {
	t.Parallel()
	d := ownDatabase(t, ownServer(t, "max_allowed_packet", "2M"), "CREATE TABLE things (id INT PRIMARY KEY, body LONGTEXT)")
	s := d.open()
	body := func(n int) string { return strings.Repeat("é'", n/3) }
	expect(t, mustWrite(t, s, "things", upsert(record.Fields{"id": n("1"), "body": body(900_000)}), upsert(record.Fields{"id": n("2"), "body": body(3_000_000)}),
		upsert(record.Fields{"id": n("3"), "body": body(900_000)}), upsert(record.Fields{"id": n("4"), "body": body(900_000)})),
		connector.Applied, connector.Refused, connector.Applied, connector.Applied)
	if got := d.value("SELECT CONCAT(COUNT(*), ' ', SUM(CHAR_LENGTH(body))) FROM things"); got != "3 1800000" {
		t.Error(got)
	}
}

func TestWritersAtTheSameTime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE things (id INT PRIMARY KEY, v INT NOT NULL, w INT)")
	s := d.open()
	const writers, rounds, keys = 8, 15, 20
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for round := range rounds {
				var writes []connector.Write
				for i := range keys { // in opposite orders, to meet in deadlocks
					k := i
					if w%2 == 1 {
						k = keys - 1 - i
					}
					f := record.Fields{"id": record.Int(int64(k)), "v": record.Int(int64(w*1000 + round))}
					if round%3 == 2 && i%5 == w%5 {
						writes = append(writes, drop(record.Key(record.Int(int64(k)))))
					} else if round%2 == 0 {
						writes = append(writes, upsert(f))
					} else {
						writes = append(writes, set(record.Key(record.Int(int64(k))), f))
					}
				}
				receipts, err := s.Write(context.Background(), "things", writes)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				for i, got := range receipts {
					if got.Outcome == connector.Refused {
						t.Errorf("%v was refused: %v", writes[i], got.Err)
					}
				}
			}
		})
	}
	wait.Wait()
}

func TestRecall(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDatabase(t, orders, "CREATE TABLE other LIKE orders")
	s := d.open()
	if !s.remembers {
		t.Fatal("root may have tables of ours")
	}
	attempt, never := uuid.New(), uuid.New()
	if got, err := s.recall(ctx, "orders", attempt); err != nil || len(got) != 0 {
		t.Fatalf("before anything was written: %v, %v", got, err)
	}
	d.exec("INSERT INTO orders (id, customer) VALUES (1, 'x'), (2, 'y')")
	w := []connector.Write{upsert(record.Fields{"customer": "a"}), set("1", record.Fields{"customer": "z"}), set("2", record.Fields{"customer": "y"}), upsert(record.Fields{"total": "much"}), drop("2")}
	for i := range w {
		w[i].Attempt = attempt
	}
	receipts := mustWrite(t, s, "orders", w...)
	expect(t, receipts, connector.Applied, connector.Applied, connector.Already, connector.Refused, connector.Applied)
	mustWrite(t, s, "other", upsert(record.Fields{"customer": "elsewhere"})) // another table has a memory of its own
	got, err := d.open().recall(ctx, "orders", attempt)
	if err != nil || len(got) != 3 || got[w[0].ID].Key != receipts[0].Key || got[w[1].ID].Key != "1" || got[w[4].ID].Key != "2" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.recall(ctx, "orders", never); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := d.open(consumer("svc_other")).recall(ctx, "orders", attempt); err != nil || len(got) != 0 {
		t.Errorf("another service recalls %v, %v", got, err)
	}
	// The same batch again writes nothing and leaves the memory as it is.
	mustWrite(t, s, "orders", w[1:3]...)
	if got, _ := s.recall(ctx, "orders", attempt); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// Who was cut off learns in what form the database keeps what it was sent.
func TestRecallWhatIsStored(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20))",
		"CREATE TRIGGER i BEFORE INSERT ON things FOR EACH ROW SET NEW.name = UPPER(NEW.name)")
	s := d.open()
	w := []connector.Write{upsert(record.Fields{"name": "ann"}), upsert(record.Fields{"name": "BOB"})}
	for i := range w {
		w[i].Attempt = uuid.UUID{7}
	}
	receipts := mustWrite(t, s, "things", w...)
	got, err := d.open().recall(context.Background(), "things", uuid.UUID{7})
	if err != nil || !got[w[0].ID].Stored.Equal(receipts[0].Stored) || got[w[0].ID].Stored["name"] != "ANN" || got[w[1].ID].Stored != nil {
		t.Errorf("recalled was %+v, %v; the receipts were %+v", got, err, receipts)
	}
}

// What was remembered before an update of Syncline is understood after it; what is damaged is not guessed at.
func TestRecallOlderForm(t *testing.T) {
	id := record.NewEntityID()
	older := append(append([]byte{}, id[:]...), 2, '4', '2')
	if got, err := recalled(older); err != nil || len(got) != 1 || got[id].Key != "42" || got[id].Stored != nil {
		t.Errorf("%v, %v", got, err)
	}
	newer := append(append(make([]byte, 16), older...), 3, '{', '"')
	for n := 1; n <= len(newer); n++ {
		if got, err := recalled(newer[:n]); err == nil && n != 16 {
			t.Errorf("the first %d bytes alone gave %v", n, got)
		}
	}
}

// The join by which batches are updated must look rows up by the key's index, whatever the key's type: else an update
// would read, and lock, the whole table.
func TestUpdatesUseTheIndex(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"INT", "BIGINT UNSIGNED", "DECIMAL(10,2)", "VARCHAR(20)", "VARCHAR(20) COLLATE utf8mb4_bin", "VARCHAR(20) CHARACTER SET latin1", "CHAR(10)", "DATE", "DATETIME(6)", "TIMESTAMP(6)", "TIME", "YEAR",
		"BINARY(8)", "VARBINARY(8)", "UUID", "ENUM('a','b','c')", "BIT(20)", "BOOLEAN"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			value := map[byte][2]record.Value{'I': {n("1"), n("0")}, 'B': {n("1"), n("0")}, 'V': {"a", "b"}, 'C': {"a", "b"}, 'E': {"a", "b"}, 'Y': {n("2001"), n("2002")}, 'U': {uuid.NewString(), uuid.NewString()}}[typ[0]]
			switch {
			case typ == "DATE", typ[:2] == "DA", typ[:3] == "TIM" && len(typ) > 5:
				value = [2]record.Value{"2026-01-01", "2026-01-02"}
			case typ == "TIME":
				value = [2]record.Value{"01:00:00", "02:00:00"}
			case strings.Contains(typ, "BINARY"):
				value = [2]record.Value{record.Bytes([]byte("a")), record.Bytes([]byte("b"))}
			case typ[0] == 'D':
				value = [2]record.Value{n("1.5"), n("2.25")}
			}
			d := newDatabase(t, "CREATE TABLE things (k "+typ+" NOT NULL, part INT NOT NULL, v INT, PRIMARY KEY (k, part))", "SET STATEMENT sql_mode='' FOR INSERT IGNORE INTO things (k, part, v) SELECT '', seq, seq FROM seq_1_to_3000")
			s := d.open()
			receipts := mustWrite(t, s, "things", upsert(record.Fields{"k": value[0], "part": n("90001")}), upsert(record.Fields{"k": value[1], "part": n("90002")}))
			expect(t, receipts, connector.Applied, connector.Applied)
			tb, err := s.table(context.Background(), "things")
			if err != nil {
				t.Fatal(err)
			}
			var jobs []*job
			for _, got := range receipts {
				w := set(got.Key, record.Fields{"v": n("7")})
				j := tb.prepare(&w, &connector.Receipt{})
				j.now = &row{key: j.key}
				jobs = append(jobs, j)
			}
			d.exec("FLUSH STATUS")
			rows, err := s.reads.words(context.Background(), "EXPLAIN "+tb.updateStatement(jobs))
			if err != nil {
				t.Fatal(err)
			}
			if access := rows[1][3]; access != "eq_ref" {
				t.Errorf("the table is accessed by %s: %v", access, rows)
			}
			expect(t, mustWrite(t, s, "things", set(receipts[0].Key, record.Fields{"v": n("1")}), set(receipts[1].Key, record.Fields{"v": n("2")})), connector.Applied, connector.Applied)
		})
	}
}
