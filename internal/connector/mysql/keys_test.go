// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// Keys of every type that can name a record: read in order and in pages, told by the log, written and deleted.
func TestKeyTypes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, column string
		values       []record.Value
	}{
		{"int", "INT", []record.Value{n("-5"), n("0"), n("7"), n("2147483647")}},
		{"bigint unsigned", "BIGINT UNSIGNED", []record.Value{n("0"), n("9223372036854775808"), n("18446744073709551615")}},
		{"bigint", "BIGINT", []record.Value{n("-9223372036854775808"), n("-1"), n("9007199254740993")}},
		{"mediumint", "MEDIUMINT", []record.Value{n("-8388608"), n("-1"), n("8388607")}},
		{"smallint unsigned", "SMALLINT UNSIGNED", []record.Value{n("65535"), n("1")}},
		{"boolean", "BOOLEAN", []record.Value{false, true}},
		{"decimal", "DECIMAL(20,6)", []record.Value{n("-12345678901234.000001"), n("0"), n("-0.5"), n("0.000001"), n("99999999999999.999999")}},
		{"decimal 5,5", "DECIMAL(5,5)", []record.Value{n("-0.00001"), n("0.99999")}},
		{"decimal whole", "DECIMAL(18,0)", []record.Value{n("-999999999999999999"), n("999999999")}},
		{"char", "CHAR(10)", []record.Value{"a", "zebra", "ÄÖ", "日本"}},
		{"varchar binary", "VARCHAR(40) COLLATE utf8mb4_bin", []record.Value{"abc", "ABC", "Abc", "é", "e", "it's", "a\\b", "\t\n", "😀", "z"}},
		{"varchar long", "VARCHAR(500) COLLATE utf8mb4_bin", []record.Value{"abc", strings.Repeat("é", 300)}},
		{"utf8mb3", "VARCHAR(20) CHARACTER SET utf8mb3", []record.Value{"a", "é", "日本"}},
		{"ascii", "VARCHAR(20) CHARACTER SET ascii", []record.Value{"a", "b"}},
		{"latin1", "VARCHAR(20) CHARACTER SET latin1", []record.Value{"Müller", "€uro", "b", "\u0081"}},
		{"latin1 char", "CHAR(20) CHARACTER SET latin1", []record.Value{"Müller", "b"}},
		{"cp1251", "VARCHAR(20) CHARACTER SET cp1251", []record.Value{"Привет", "абв", "z"}},
		{"sjis", "VARCHAR(20) CHARACTER SET sjis", []record.Value{"日本", "カナ", "z"}},
		{"ucs2", "VARCHAR(20) CHARACTER SET ucs2", []record.Value{"日本", "z"}},
		{"utf16 char", "CHAR(20) CHARACTER SET utf16", []record.Value{"日本", "z"}},
		{"unicode", "VARCHAR(20) COLLATE utf8mb4_unicode_ci", []record.Value{"Öl", "z", "Straße"}},
		{"enum", "ENUM('zebra','ant','it''s')", []record.Value{"zebra", "ant", "it's"}},
		{"date", "DATE", []record.Value{"2026-01-02", "1999-12-31"}},
		{"datetime", "DATETIME", []record.Value{"2026-01-02T03:04:05", "1000-01-01T00:00:00"}},
		{"datetime 6", "DATETIME(6)", []record.Value{"2026-01-02T03:04:05.123456", "2026-01-02T03:04:05.1", "1000-01-01T00:00:00"}},
		{"datetime 2", "DATETIME(2)", []record.Value{"2026-01-02T03:04:05.12", "2026-01-02T03:04:05"}},
		{"timestamp 3", "TIMESTAMP(3)", []record.Value{"2026-01-02T03:04:05.123Z", "1970-01-02T00:00:00Z"}},
		{"timestamp", "TIMESTAMP", []record.Value{"2026-01-02T03:04:05Z"}},
		{"time", "TIME", []record.Value{"00:00:00", "23:59:59", "838:59:59"}},
		{"time 4", "TIME(4)", []record.Value{"00:00:00.0001", "23:59:59.9999"}},
		{"year", "YEAR", []record.Value{n("1901"), n("2026")}},
		{"bit", "BIT(20)", []record.Value{n("0"), n("1048575"), n("300")}},
		{"binary", "BINARY(8)", []record.Value{record.Bytes([]byte{0, 0, 0, 0, 0, 0, 0, 0}), record.Bytes([]byte{1, 2, 3, 0, 0, 0, 0, 0}), record.Bytes([]byte("'\\\x00\xffabcd"))}},
		{"varbinary", "VARBINARY(8)", []record.Value{record.Bytes([]byte{0}), record.Bytes([]byte{0, 0}), record.Bytes([]byte{255})}},
		{"uuid", "UUID", []record.Value{"0192d5a0-7f3c-7c1e-8a4b-0242ac120002", "123e4567-e89b-12d3-a456-426614174000", "ffffffff-ffff-4fff-bfff-ffffffffffff"}},
	}
	for _, tt := range tests {
		for _, composite := range []bool{false, true} {
			name := tt.name
			if composite {
				name += " in a composite key"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				key, definition := "k", "k "+tt.column+" NOT NULL, v INT, big LONGTEXT, PRIMARY KEY (k)"
				if composite { // the key's columns stand in another order in the table
					definition = "v INT, big LONGTEXT, k " + tt.column + " NOT NULL, part INT NOT NULL, w VARCHAR(300), PRIMARY KEY (part, k)"
				}
				d := newDatabase(t, "CREATE TABLE things ("+definition+")")
				s, other := d.open(), d.open(consumer("svc_other"))
				ctx := context.Background()
				r := d.replica(other, "things", 2)
				r.drain()
				fields := func(i, part int, v string) record.Fields {
					f := record.Fields{key: tt.values[i], "v": n(v)}
					if composite {
						f["part"] = record.Int(int64(part))
					}
					return f
				}
				var writes []connector.Write
				parts := 1
				if composite {
					parts = 2
				}
				for i := range tt.values {
					for p := range parts {
						writes = append(writes, connector.Write{Op: record.Upsert, Create: true, Fields: fields(i, p, "1")})
					}
				}
				wrote := func(writes []connector.Write, want connector.Outcome) []connector.Receipt {
					t.Helper()
					receipts, err := s.Write(ctx, "things", writes)
					if err != nil {
						t.Fatal(err)
					}
					for i, got := range receipts {
						if got.Outcome != want {
							t.Fatalf("%v was %s: %v", writes[i], got.Outcome, got.Err)
						}
					}
					return receipts
				}
				receipts := wrote(writes, connector.Applied)
				r.drain()
				r.equal()
				if len(r.rows) != len(writes) {
					t.Fatalf("%d rows after %d writes", len(r.rows), len(writes))
				}
				var updates, deletes []connector.Write
				for i, got := range receipts {
					if want := record.MakeKey(tt.values[i/parts]); !composite && got.Key != want {
						t.Errorf("the key is %q, want %q", got.Key, want)
					}
					updates = append(updates, connector.Write{Op: record.Upsert, Key: got.Key, Fields: record.Fields{"v": n("2")}, Expect: record.Fields{"v": n("1")}})
					if i%2 == 0 {
						deletes = append(deletes, connector.Write{Op: record.Delete, Key: got.Key, Expect: record.Fields{"v": n("2")}})
					}
				}
				wrote(updates, connector.Applied)
				r.drain()
				r.equal()
				// A snapshot in pages of one.
				pages := d.replica(other, "things", 1)
				pages.drain()
				pages.equal()
				wrote(deletes, connector.Applied)
				r.drain()
				r.equal()
				// The same, seen by a sweep.
				swept := d.replica(d.open(detecting(bySweep), consumer("svc_swept")), "things", 1)
				swept.drain()
				d.exec("DELETE FROM things LIMIT 1")
				swept.until()
			})
		}
	}
}

// What the usual collations take for one key is one record: a write meets it in any spelling, the answer has the one
// that is stored. In the stream a key that was spelled anew is a delete and an upsert, as when it is changed.
func TestSpellingsOfAKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, detection := range []string{byLog, bySweep} {
		t.Run(detection, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, "CREATE TABLE things (sku VARCHAR(30) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)", "INSERT INTO things VALUES ('abc', 1), ('Été', 2), ('z', 3)")
			s := d.open(detecting(detection))
			r := d.replica(d.open(detecting(detection), consumer("svc_other")), "things", 100)
			r.drain()
			if r.rows["abc"] == nil || r.rows["Été"] == nil {
				t.Fatalf("%v", r.rows)
			}
			receipts, err := s.Write(ctx, "things", []connector.Write{
				{Op: record.Upsert, Key: "ABC", Fields: record.Fields{"v": n("10")}, Expect: record.Fields{"v": n("1")}},
				{Op: record.Upsert, Create: true, Fields: record.Fields{"sku": "ETE", "v": n("20")}},
				{Op: record.Upsert, Create: true, Fields: record.Fields{"sku": "Z", "v": n("3")}},
				{Op: record.Upsert, Key: "aBc", Fields: record.Fields{"v": n("10")}},
				{Op: record.Upsert, Key: "none", Fields: record.Fields{"v": n("10")}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []struct {
				outcome connector.Outcome
				key     record.Key
			}{{connector.Applied, "abc"}, {connector.Moved, "Été"}, {connector.Moved, "z"}, {connector.Already, "abc"}, {connector.Gone, "none"}} {
				if got := receipts[i]; got.Outcome != want.outcome || got.Key != want.key {
					t.Errorf("write %d is %s with the key %s, want %s, %s", i, got.Outcome, got.Key, want.outcome, want.key)
				}
			}
			changes, err := s.ReadKeys(ctx, "things", nil, []record.Key{"ABC", "ete", "no", "z"})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				if (c.Op == record.Delete) != (c.Key == "no") {
					t.Errorf("%s is %s", c.Key, c.Op)
				}
			}
			r.until()
			d.exec("UPDATE things SET sku = 'ABC' WHERE sku = 'abc'", "UPDATE things SET sku = 'Ete' WHERE sku = 'ete'")
			r.until()
			if r.rows["abc"] != nil || r.rows["ABC"] == nil || r.rows["Ete"] == nil {
				t.Fatalf("%v", r.rows)
			}
			receipts, err = s.Write(ctx, "things", []connector.Write{{Op: record.Delete, Key: "abc"}, {Op: record.Delete, Key: "ÉTÉ", Expect: record.Fields{"v": n("99")}}})
			if err != nil {
				t.Fatal(err)
			}
			if receipts[0].Outcome != connector.Applied || receipts[1].Outcome != connector.Moved {
				t.Errorf("%+v", receipts)
			}
		})
	}
}

// Texts that a column's character set lacks are no keys of it, and are not taken for the question marks that the server
// would make of them.
func TestTextsOfOtherCharacterSets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDatabase(t, "CREATE TABLE things (k VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY, name VARCHAR(20) CHARACTER SET latin1, e ENUM('é', 'x') CHARACTER SET latin1)", "INSERT INTO things VALUES ('??', '??', 'é'), ('Müller', 'Müller', 'x')")
	s := d.open()
	changes, err := s.ReadKeys(ctx, "things", nil, []record.Key{"日本", "??", "Müller", "MÜLLER", "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if gone := c.Key == "日本" || c.Key == "b"; gone != (c.Op == record.Delete) {
			t.Errorf("%s is %s", c.Key, c.Op)
		}
	}
	found, err := s.Find(ctx, "things", nil, []record.Fields{{"name": "日本"}, {"name": "Müller"}, {"e": "é"}})
	if err != nil || len(found[0]) != 0 || len(found[1]) != 1 || len(found[2]) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	receipts, err := s.Write(ctx, "things", []connector.Write{
		{Op: record.Upsert, Create: true, Fields: record.Fields{"k": "日本"}},
		{Op: record.Delete, Key: "中国"},
		{Op: record.Upsert, Key: "Müller", Fields: record.Fields{"name": "日本"}},
		{Op: record.Upsert, Create: true, Key: "Jürgen", Fields: record.Fields{"name": "Jürgen"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []connector.Outcome{connector.Refused, connector.Already, connector.Refused, connector.Applied} {
		if receipts[i].Outcome != want {
			t.Errorf("write %d is %s: %v", i, receipts[i].Outcome, receipts[i].Err)
		}
	}
	if left := d.value("SELECT GROUP_CONCAT(k ORDER BY k) FROM things"); left != "??,Jürgen,Müller" {
		t.Errorf("the table holds %s", left)
	}
}

func TestUniqueIndexServesAsKey(t *testing.T) {
	t.Parallel()
	d := newDatabase(t,
		"CREATE TABLE a (x INT NOT NULL, y VARCHAR(20), z INT NOT NULL, UNIQUE two (x, z), UNIQUE one (z), UNIQUE nullable (y))", "INSERT INTO a VALUES (1, 'a', 1), (1, NULL, 2)",
		"CREATE TABLE b (x INT, UNIQUE (x))", "CREATE TABLE c (x FLOAT NOT NULL PRIMARY KEY)", "CREATE TABLE e (x TEXT NOT NULL, UNIQUE (x(10)))", "CREATE VIEW v AS SELECT * FROM a")
	s := d.open()
	info, err := s.Describe(context.Background(), "a")
	if err != nil || fmt.Sprint(info[0].Key) != "[z]" {
		t.Fatalf("%v %v", info, err)
	}
	r := d.replica(s, "a", 10)
	r.drain()
	d.exec("UPDATE a SET y = 'b' WHERE z = 2", "DELETE FROM a WHERE z = 1")
	r.drain()
	r.equal()
	for table, want := range map[record.Object]string{"b": "mysql.no_primary_key", "c": "mysql.key_type", "e": "mysql.no_primary_key", "v": "mysql.not_a_table", "nothing": "mysql.no_such_table"} {
		if _, err := s.Describe(context.Background(), table); code(err) != want || class(err) != connector.Reject {
			t.Errorf("%s: %v", table, err)
		}
	}
	objects, err := s.Objects(context.Background())
	if err != nil || fmt.Sprint(objects) != "[a c]" {
		t.Errorf("objects are %v, %v", objects, err)
	}
}

func TestTemporalTablesAndGeneratedColumns(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "CREATE TABLE versioned (id INT PRIMARY KEY, v INT, twice INT AS (v * 2) STORED, w INT INVISIBLE DEFAULT 3) WITH SYSTEM VERSIONING", "INSERT INTO versioned (id, v) VALUES (1, 1), (2, 2), (3, 3)")
	s := d.open()
	r := d.replica(s, "versioned", 2)
	r.drain()
	d.exec("UPDATE versioned SET v = 5 WHERE id = 1", "DELETE FROM versioned WHERE id = 2", "INSERT INTO versioned (id, v) VALUES (9, 9)")
	r.drain()
	r.equal()
	if !record.Equal(r.rows["1"]["twice"], n("10")) || r.rows["2"] != nil || !record.Equal(r.rows["9"]["w"], n("3")) {
		t.Fatalf("%v", r.rows)
	}
	receipts, err := s.Write(context.Background(), "versioned", []connector.Write{
		{Op: record.Upsert, Key: "1", Fields: record.Fields{"v": n("6")}},
		{Op: record.Upsert, Key: "3", Fields: record.Fields{"twice": n("6")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if receipts[0].Outcome != connector.Applied || code(receipts[1].Err) != "mysql.read_only_column" {
		t.Errorf("%+v", receipts)
	}
	r.drain()
	r.equal() // what the server computed for our own write is news
}

func n(s string) record.Number { return record.Number(s) }
