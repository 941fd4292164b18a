// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"strings"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/localdb/testdb"
	"github.com/syncline-dev/syncline/internal/record"
)

// Each type as PostgreSQL writes it, what it is called here, and its canonical value; written back it must be the same.
func TestTypes(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy')`, `CREATE DOMAIN positive AS numeric(8,2) CHECK (VALUE > 0)`,
		`CREATE DOMAIN short AS varchar(10) NOT NULL`, `CREATE TYPE pair AS (a int, b text)`,
		`CREATE DOMAIN labels AS text[]`, `CREATE DOMAIN better AS positive CHECK (VALUE > 1)`, `CREATE DOMAIN temper AS mood`, `CREATE DOMAIN span AS int4range`, `CREATE DOMAIN details AS jsonb`, `CREATE EXTENSION IF NOT EXISTS citext`)
	n := func(s string) record.Value { return record.Number(s) }
	tests := []struct {
		native, literal string
		typ             connector.Type
		want            record.Value
	}{
		{"smallint", "-32768", connector.TypeInteger, n("-32768")},
		{"integer", "2147483647", connector.TypeInteger, n("2147483647")},
		{"bigint", "-9223372036854775808", connector.TypeInteger, n("-9223372036854775808")},
		{"oid", "4294967295", connector.TypeInteger, n("4294967295")},
		{"numeric", "12345678901234567890.123456789", connector.TypeNumber, n("12345678901234567890.123456789")},
		{"numeric(12,2)", "1.50", connector.TypeNumber, n("1.5")},
		{"numeric", "'NaN'", connector.TypeNumber, "NaN"},
		{"numeric", "'-Infinity'", connector.TypeNumber, "-Infinity"},
		{"numeric", "1e-300", connector.TypeNumber, n("0." + strings.Repeat("0", 299) + "1")},
		{"numeric", "-1e300", connector.TypeNumber, n("-1" + strings.Repeat("0", 300))},
		{"numeric(1000,900)", "1e-900", connector.TypeNumber, n("0." + strings.Repeat("0", 899) + "1")},
		{"numeric(6,-3)", "12345678", connector.TypeNumber, n("12346000")},
		{"numeric(3,5)", "0.00123", connector.TypeNumber, n("0.00123")},
		{"real", "0.1", connector.TypeFloat, n("0.1")},
		{"double precision", "1e-7", connector.TypeFloat, n("0.0000001")},
		{"double precision", "'-Infinity'", connector.TypeFloat, "-Infinity"},
		{"boolean", "true", connector.TypeBoolean, true},
		{"text", "'a''b'", connector.TypeText, "a'b"},
		{"varchar(5)", "'abc'", connector.TypeText, "abc"},
		{"char(5)", "'abc'", connector.TypeText, "abc"},
		{"name", "'abc'", connector.TypeText, "abc"},
		{"citext", "'AbC'", connector.TypeText, "AbC"},
		{"mood", "'so so'", connector.TypeText, "so so"},
		{"short", "'abc'", connector.TypeText, "abc"},
		{"positive", "3.10", connector.TypeNumber, n("3.1")},
		{"better", "3.10", connector.TypeNumber, n("3.1")},
		{"temper", "'so so'", connector.TypeText, "so so"},
		{"span", "'[1,5)'", connector.TypeText, "[1,5)"},
		{"details", `'{"a": [1.50]}'`, connector.TypeJSON, map[string]any{"a": []any{n("1.5")}}},
		{"labels", "'{a,NULL}'", connector.TypeArray, []any{"a", nil}},
		{"uuid", "'0192F3A4-5B6C-7D8E-9F00-112233445566'", connector.TypeUUID, "0192f3a4-5b6c-7d8e-9f00-112233445566"},
		{"bytea", `'\x00ff10'`, connector.TypeBytes, "AP8Q"},
		{"timestamptz", "'2026-11-23 12:00:00.5+02'", connector.TypeTimestamp, "2026-11-23T10:00:00.5Z"},
		{"timestamptz", "'infinity'", connector.TypeTimestamp, "infinity"},
		{"timestamptz", "'0044-03-15 12:00:00+00 BC'", connector.TypeTimestamp, "0044-03-15 12:00:00+00 BC"},
		{"timestamp(0)", "'2026-11-23 12:00:00'", connector.TypeDateTime, "2026-11-23T12:00:00"},
		{"date", "'2026-11-23'", connector.TypeDate, "2026-11-23"},
		{"time", "'12:30:00.25'", connector.TypeTime, "12:30:00.25"},
		{"timetz", "'12:30:00+02'", connector.TypeText, "12:30:00+02"},
		{"interval", "'1 day 02:00'", connector.TypeText, "1 day 02:00:00"},
		{"interval", "'-1 year -2 mons +3 days -04:05:06.7'", connector.TypeText, "-1 years -2 mons +3 days -04:05:06.7"},
		{"timetz(3)", "'12:30:00.1234-03:30'", connector.TypeText, "12:30:00.123-03:30"},
		{"date", "'infinity'", connector.TypeDate, "infinity"},
		{"numeric[]", "'{1.50,NaN,1e-30}'", connector.TypeArray, []any{n("1.5"), "NaN", n("0." + strings.Repeat("0", 29) + "1")}},
		{"uuid[]", "'{0192F3A4-5B6C-7D8E-9F00-112233445566}'", connector.TypeArray, []any{"0192f3a4-5b6c-7d8e-9f00-112233445566"}},
		{"date[]", "'{2026-11-23,NULL}'", connector.TypeArray, []any{"2026-11-23", nil}},
		{"int4[]", "'{}'", connector.TypeArray, []any{}},
		{"int8multirange", "'{[1,5),[7,9)}'", connector.TypeText, "{[1,5),[7,9)}"},
		{"macaddr8", "'08:00:2b:01:02:03:04:05'", connector.TypeText, "08:00:2b:01:02:03:04:05"},
		{"json", `'{"b": [1.50, null], "a": "x"}'`, connector.TypeJSON, map[string]any{"a": "x", "b": []any{n("1.5"), nil}}},
		{"jsonb", `'[true, "two"]'`, connector.TypeJSON, []any{true, "two"}},
		{"jsonb", `'null'`, connector.TypeJSON, nil},
		{"integer[]", "'{1,NULL,3}'", connector.TypeArray, []any{n("1"), nil, n("3")}},
		{"integer[]", "'{{1,2},{3,4}}'", connector.TypeArray, []any{[]any{n("1"), n("2")}, []any{n("3"), n("4")}}},
		{"text[]", `ARRAY['a,b', 'c"d', 'e\f', '', 'NULL', '{x}']`, connector.TypeArray, []any{"a,b", `c"d`, `e\f`, "", "NULL", "{x}"}},
		{"boolean[]", "'{t,f}'", connector.TypeArray, []any{true, false}},
		{"timestamptz[]", `'{"2026-11-23 12:00:00+02"}'`, connector.TypeArray, []any{"2026-11-23T10:00:00Z"}},
		{"bytea[]", `ARRAY['\x00ff10'::bytea]`, connector.TypeArray, []any{"AP8Q"}},
		{"jsonb[]", `ARRAY['{"a": [1]}'::jsonb, '"t"']`, connector.TypeArray, []any{map[string]any{"a": []any{n("1")}}, "t"}},
		{"mood[]", `'{sad,"so so"}'`, connector.TypeArray, []any{"sad", "so so"}},
		{"inet", "'10.0.0.1/24'", connector.TypeText, "10.0.0.1/24"},
		{"cidr", "'10.0.0.0/8'", connector.TypeText, "10.0.0.0/8"},
		{"macaddr", "'08:00:2b:01:02:03'", connector.TypeText, "08:00:2b:01:02:03"},
		{"bit(4)", "B'1010'", connector.TypeText, "1010"},
		{"varbit", "B'10'", connector.TypeText, "10"},
		{"int4range", "'[1,5)'", connector.TypeText, "[1,5)"},
		{"point", "'(1,2)'", connector.TypeText, "(1,2)"},
		{"box", "'(3,4),(1,2)'", connector.TypeText, "(3,4),(1,2)"},
		{"tsvector", "'a b'", connector.TypeText, "'a' 'b'"},
		{"xml", "'<a>b</a>'", connector.TypeText, "<a>b</a>"},
		{"pair", "'(1,x)'", connector.TypeText, "(1,x)"},
		{"money", "12.50", connector.TypeText, "$12.50"},
	}
	sys := open(t, raw, "svc_types", "database-trigger")
	writer := sys.(connector.Writer)
	for _, c := range tests {
		t.Run(c.native+" "+c.literal, func(t *testing.T) {
			mustExec(t, db, `DROP TABLE IF EXISTS typed`, `CREATE TABLE typed (id int PRIMARY KEY, v `+c.native+`)`, `INSERT INTO typed VALUES (1, `+c.literal+`)`)
			infos, err := sys.(connector.Discoverer).Describe(t.Context(), "typed")
			if err != nil {
				t.Fatal(err)
			}
			if f, _ := infos[0].Field("v"); f.Type != c.typ || f.Native == "" {
				t.Errorf("it is %s (%s), want %s", f.Type, f.Native, c.typ)
			}
			read := func(key record.Key) record.Value {
				t.Helper()
				changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "typed", nil, []record.Key{key})
				if err != nil || changes[0].Op != record.Upsert {
					t.Fatalf("reading gave %v, %v", changes, err)
				}
				return changes[0].Fields["v"]
			}
			if got := read("1"); !record.Equal(got, c.want) {
				t.Fatalf("it is read as %#v, want %#v", got, c.want)
			}
			write := func(want connector.Outcome, w connector.Write) {
				t.Helper()
				w.Op = record.Upsert
				receipts, err := writer.Write(t.Context(), "typed", []connector.Write{w})
				if err != nil || receipts[0].Outcome != want {
					t.Fatalf("writing gave %v, %v; want %s", receipts, err, want)
				}
				if s := receipts[0].Stored; s != nil && !record.Equal(s["v"], c.want) {
					t.Errorf("it is said to be stored as %#v", s["v"])
				}
			}
			state := record.Fields{"v": c.want}
			write(connector.Applied, connector.Write{Create: true, Fields: record.Fields{"id": record.Int(2), "v": c.want}})
			if got := read("2"); !record.Equal(got, c.want) {
				t.Errorf("written and read again it is %#v", got)
			}
			write(connector.Already, connector.Write{Key: "1", Fields: state, Expect: state})
			write(connector.Already, connector.Write{Create: true, Fields: record.Fields{"id": record.Int(1), "v": c.want}})
			receipts, err := writer.Write(t.Context(), "typed", []connector.Write{{Op: record.Delete, Key: "1", Expect: state}})
			if err != nil || receipts[0].Outcome != connector.Applied {
				t.Errorf("deleting it as expected gave %v, %v", receipts, err)
			}
		})
	}
}

// A key can be of a domain, too: rows are found, made once, changed and deleted by it.
func TestKeyOfADomain(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TYPE mood AS ENUM ('sad', 'happy')`, `CREATE DOMAIN temper AS mood`, `CREATE DOMAIN span AS int4range`, `CREATE DOMAIN code AS varchar(5)`, `CREATE TABLE keyed (a temper, b span, c code, n int, PRIMARY KEY (a, b, c))`)
	sys := open(t, raw, "svc_keyed", "database-trigger")
	write := func(want connector.Outcome, w connector.Write) {
		t.Helper()
		w.ID = record.NewEntityID()
		if receipts, err := sys.(connector.Writer).Write(t.Context(), "keyed", []connector.Write{w}); err != nil || receipts[0].Outcome != want {
			t.Fatalf("writing gave %v, %v; want %s", receipts, err, want)
		}
	}
	key := record.MakeKey("sad", "[1,5)", "x")
	one := record.Fields{"a": "sad", "b": "[1,5)", "c": "x", "n": record.Int(1)}
	write(connector.Applied, connector.Write{Op: record.Upsert, Create: true, Fields: one})
	write(connector.Already, connector.Write{Op: record.Upsert, Create: true, Fields: one})
	write(connector.Applied, connector.Write{Op: record.Upsert, Key: key, Fields: record.Fields{"n": record.Int(2)}, Expect: record.Fields{"n": record.Int(1)}})
	changes, err := sys.(connector.KeyReader).ReadKeys(t.Context(), "keyed", nil, []record.Key{key})
	if err != nil || changes[0].Op != record.Upsert || !record.Equal(changes[0].Fields["n"], record.Int(2)) {
		t.Errorf("read by key it is %v, %v", changes, err)
	}
	write(connector.Applied, connector.Write{Op: record.Delete, Key: key, Expect: record.Fields{"a": "sad"}})
}

func TestColumnsTheDatabaseFills(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE filled (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, doubled int GENERATED ALWAYS AS (a * 2) STORED, made timestamptz DEFAULT now(), name text)`,
		`CREATE TABLE uuids (id uuid DEFAULT gen_random_uuid() PRIMARY KEY)`,
		`CREATE FUNCTION lower_name() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.name = ''skip'' THEN RETURN NULL; END IF; NEW.name := lower(NEW.name); RETURN NEW; END'`,
		`CREATE TRIGGER lower_name BEFORE INSERT OR UPDATE ON filled FOR EACH ROW EXECUTE FUNCTION lower_name()`)
	sys := open(t, raw, "svc_filled", "database-trigger")
	infos, err := sys.(connector.Discoverer).Describe(t.Context(), "filled")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]bool{"id": {true, false}, "a": {false, false}, "doubled": {true, true}, "made": {true, false}} {
		if f, _ := infos[0].Field(name); f.Generated != want[0] || f.ReadOnly != want[1] {
			t.Errorf("%s: generated is %v, read-only %v; want %v", name, f.Generated, f.ReadOnly, want)
		}
	}
	write := func(object record.Object, writes ...connector.Write) []connector.Receipt {
		t.Helper()
		for i := range writes {
			writes[i].Op = record.Upsert
		}
		receipts, err := sys.(connector.Writer).Write(t.Context(), object, writes)
		if err != nil {
			t.Fatal(err)
		}
		return receipts
	}
	got := write("filled",
		connector.Write{Create: true, Fields: record.Fields{"a": record.Int(1), "name": "ONE"}},
		connector.Write{Create: true, Fields: record.Fields{"a": record.Int(2), "name": "skip"}},
		connector.Write{Create: true, Fields: record.Fields{"id": record.Int(77), "a": record.Int(3), "name": "three"}},
		connector.Write{Create: true, Fields: record.Fields{"id": record.Int(78), "name": "skip"}},
		connector.Write{Create: true, Fields: record.Fields{"a": record.Int(4), "doubled": record.Int(8)}},
		connector.Write{Create: true})
	for i, want := range []connector.Outcome{connector.Applied, connector.Refused, connector.Applied, connector.Refused, connector.Refused, connector.Applied} {
		if got[i].Outcome != want {
			t.Errorf("create %d is %s (%v), want %s", i, got[i].Outcome, got[i].Err, want)
		}
	}
	for i, code := range map[int]string{1: "postgresql.suppressed", 3: "postgresql.suppressed", 4: "postgresql.read_only_column"} {
		if e := connector.Classify(got[i].Err); e.Code != code {
			t.Errorf("create %d is refused as %s, want %s", i, e.Code, code)
		}
	}
	if !record.Equal(got[0].Stored["name"], "one") {
		t.Errorf("a name that a trigger changed is said to be stored as %v", got[0].Stored)
	}
	if got[2].Key != "77" {
		t.Errorf("the key that was given is %q", got[2].Key)
	}
	// A key that changes with an update; the identity column does not take part.
	got = write("filled", connector.Write{Key: "77", Fields: record.Fields{"id": record.Int(77), "name": "drei"}, Expect: record.Fields{"name": "three"}})
	if got[0].Outcome != connector.Applied || got[0].Key != "77" {
		t.Errorf("an update that names its own key gave %+v", got[0])
	}
	u := write("uuids", connector.Write{Create: true}, connector.Write{Create: true}, connector.Write{Create: true, Fields: record.Fields{"id": "0192F3A4-5B6C-7D8E-9F00-112233445566"}})
	if u[0].Outcome != connector.Applied || u[0].Key == u[1].Key || len(u[0].Key) != 36 {
		t.Errorf("rows of nothing but a made key gave %+v", u)
	}
	u = write("uuids", connector.Write{Key: u[0].Key, Fields: record.Fields{"id": "00000000-0000-0000-0000-000000000001"}})
	if u[0].Outcome != connector.Applied || u[0].Key != "00000000-0000-0000-0000-000000000001" {
		t.Errorf("a change of the key gave %+v", u[0])
	}
}

// Constraints that are checked at the end of a transaction must not make the whole batch fail.
func TestDeferredConstraint(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	db := openDB(t, raw)
	mustExec(t, db, `CREATE TABLE parent (id int PRIMARY KEY)`, `INSERT INTO parent VALUES (1)`,
		`CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
	sys := open(t, raw, "svc_deferred", "database-trigger")
	create := func(id, parent int64) connector.Write {
		return connector.Write{Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Int(id), "parent": record.Int(parent)}}
	}
	receipts, err := sys.(connector.Writer).Write(t.Context(), "child", []connector.Write{create(1, 1), create(2, 99), create(3, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []connector.Outcome{connector.Applied, connector.Refused, connector.Applied} {
		if receipts[i].Outcome != want {
			t.Errorf("write %d is %s (%v), want %s", i, receipts[i].Outcome, receipts[i].Err, want)
		}
	}
}
