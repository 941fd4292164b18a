// SPDX-License-Identifier: Apache-2.0

package expression_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/record"
)

func parse(t testing.TB, json string) record.Value {
	t.Helper()
	v, err := record.ParseJSON([]byte(json))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const sample = `{"quantity": 100, "reserved": 7, "reorderPoint": 95, "price": "19.90", "name": "Ada  Lovelace", "email": "ADA@example.com", "active": true,
"tags": ["new", "vip", "new"], "lines": [{"sku": "A", "n": 2, "price": 1.25}, {"sku": "B", "n": 3, "price": 0.1}], "address": {"city": "Ulm"},
"since": "2026-11-01", "until": "2026-11-03T12:00:00Z", "nothing": null}`

func TestRun(t *testing.T) {
	env := expression.Of(record.Fields(parse(t, sample).(map[string]any)))
	tests := []struct{ code, want string }{
		// The founding document's own.
		{"quantity - reserved - (quantity * 0.05)", "88"},
		{"quantity < reorderPoint", "false"},
		{"amount > 10000", "false"},
		{"amounts_match && dates_match && customer_match", "false"},
		// Exact numbers: no 0.30000000000000004.
		{"0.1 + 0.2", "0.3"}, {"1 / 3 * 3", "0.999999999999999999"}, {"7 % 3", "1"}, {"-quantity", "-100"}, {"2 ** 10", "1024"},
		{"price * 3", "59.7"}, {"1e3", "1000"}, {"10 / 4", "2.5"}, {"round(2.345, 2)", "2.35"}, {"floor(-1.5)", "-2"}, {"int(2.9)", "2"}, {"abs(reserved - 10)", "3"},
		// What has no value gives none, and meets no comparison.
		{"nothing + 1", "null"}, {"unknown < 5", "false"}, {"nothing == nil", "true"}, {"nothing ?? 5", "5"}, {"address.street", "null"}, {"unknown.deep.er", "null"},
		{"nothing != 1", "true"}, {"not nothing", "true"}, {"sum([1, nil, 2])", "3"}, {"mean([])", "null"}, {"max(nil, 3, 2)", "3"},
		{"address.city + '!'", `"Ulm!"`}, {"address[\"city\"]", `"Ulm"`}, {"lines[0].sku", `"A"`}, {"lines[-1].sku", `"B"`}, {"lines[9]", "null"},
		{"quantity == '100'", "true"}, {"since < until", "true"}, {"since == '2026-11-01T00:00:00Z'", "true"}, {"days(since, until)", "2.5"}, {"date(until)", `"2026-11-03"`},
		{"active ? 'yes' : 'no'", `"yes"`}, {"quantity > 5 and reserved > 5 or false", "true"}, {"'vip' in tags", "true"}, {"'x' not in tags", "true"},
		{"tags contains 'new'", "true"}, {"name contains 'Love'", "true"}, {"email matches '(?i)^ada@'", "true"}, {"name startsWith 'Ada' && name endsWith 'lace'", "true"},
		{"len(tags)", "3"}, {"len(name)", "13"}, {"uniq(tags)", `["new","vip"]`}, {"lower(email)", `"ada@example.com"`}, {"split('a,b', ',')", `["a","b"]`},
		{"join(tags, '+')", `"new+vip+new"`}, {"replace(name, '  ', ' ')", `"Ada Lovelace"`}, {"indexOf('äb', 'b')", "1"}, {"trim('  x ')", `"x"`}, {"name[0:3]", `"Ada"`},
		{"all(lines, .n > 1)", "true"}, {"any(lines, .sku == 'Z')", "false"}, {"count(lines, .n > 2)", "1"}, {"filter(lines, .n > 2)[0].sku", `"B"`},
		{"sum(lines, .n * .price)", "2.8"}, {"map(lines, .sku)", `["A","B"]`}, {"find(tags, # == 'vip')", `"vip"`}, {"reduce([1, 2, 3], #acc + #)", "6"},
		{"let x = quantity - reserved; x * 2", "186"}, {"{a: 1, b: [quantity]}", `{"a":1,"b":[100]}`}, {"[3, 1, 2] | sort() | first()", "1"}, {"tags + 'x' | len()", "4"},
		{"keys(address)", `["city"]`}, {"values(address)", `["Ulm"]`}, {"reverse([1, 2])", "[2,1]"}, {"number('x')", "null"}, {"string(quantity)", `"100"`}, {"1..3 | len()", "error: operator .."},
		{"name - 1", "error: not a number"}, {"1 / 0", "error: Division by zero"}, {"2 ** 1000", "error: exponent"}, {"date('x')", "error: not a date"},
	}
	for _, test := range tests {
		t.Run(test.code, func(t *testing.T) {
			var v record.Value
			p, err := expression.Compile(test.code)
			if err == nil {
				v, err = p.Run(env)
			}
			if want, fails := strings.CutPrefix(test.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("%v, %v; want the error %q", v, err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(record.AppendJSON(nil, v)); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	p, err := expression.Compile("let x = b; quantity - x + any(lines, .n > limit) + address.city + len(a)")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "address", "b", "limit", "lines", "quantity"}; !slices.Equal(p.Names(), want) {
		t.Errorf("the names are %v, want %v", p.Names(), want)
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct{ code, want string }{
		{"", "not valid"}, {"1 +", "unexpected token EOF"}, {"now()", "no function now"}, {"repeat('x', 3)", "no function repeat"}, {"delete(x)", "no function delete"},
		{"a.b()", "no function"}, {"all(xs, all(#, # > 1))", "Predicates inside predicates"}, {"any(xs)", "at least 2 arguments"}, {"any(xs, 1) || sum(xs, 1, 2)", "not valid"}, {"name matches x", "must be written"},
		{"name matches '['", "not valid"}, {"min()", "cannot be called"}, {"round(1, 2, 3)", "cannot be called"}, {strings.Repeat("a + ", 300) + "a", "too long"}, {"$env.x", "no name"},
		{"fromJSON(x)", "no function fromJSON"}, {"flatten(xs)", "no function"}, {"1..10", "operator .."},
	}
	for _, test := range tests {
		err := expression.Check(test.code)
		var e *expression.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.code, err, test.want)
		}
	}
	err := expression.Check("quantity + now()")
	var e *expression.Error
	if !errors.As(err, &e) || e.Column != 12 {
		t.Errorf("the place of the fault is %+v", err)
	}
}

// Bombs: what looks small and would take for ever, or all memory, is refused after a bounded number of steps. The test's
// own time limit is what fails when it is not.
func TestBombs(t *testing.T) {
	long := make([]any, expression.MaxList)
	for i := range long {
		long[i] = record.Int(int64(i))
	}
	fields := record.Fields{"xs": long, "huge": append(slices.Clone(long), nil), "text": strings.Repeat("a", expression.MaxText), "x": "xxxxxxxxxxxxxxxx"}
	tests := []string{
		"reduce(xs, #acc + #acc, 'x')", "reduce(xs, [#acc, #acc], 1)", "reduce(xs, #acc * #acc, 9)", "reduce(xs, #acc + #acc, [1])", "huge", "len(huge)", "text + text",
		"map(xs, xs)", "reduce(xs, replace(#acc, 'a', 'aa'), 'a')", "reduce(xs, join([#acc, #acc], ''), 'aa')", "reduce(xs, {a: #acc, b: #acc}, 1)", "reduce(xs, #acc ** 100, 7)",
		"let a = [xs, xs]; let b = [a, a]; let c = [b, b]; let d = [c, c]; let e = [d, d]; let f = [e, e]; [f, f]", "map(xs, sort(xs))", "count(xs, # in xs)",
		"map(xs, map(xs, 1))",
	}
	for _, code := range tests {
		p, err := expression.Compile(code)
		if err != nil {
			continue // refused before it was evaluated
		}
		if v, err := p.Run(expression.Of(fields)); err == nil {
			t.Errorf("%s gave %.40s", code, record.Text(v))
		}
	}
	// One pass over the longest list, and a product over it, are what people may write.
	for _, code := range []string{"count(xs, # > 10 && # % 2 == 0)", "sum(xs, # * # + 1)", "all(xs, # < 1000)", "max(xs)", "sort(xs)"} {
		p, err := expression.Compile(code)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Run(expression.Of(fields)); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// Whatever is written and whatever the fields hold: a value or an error, never a panic, and the same each time.
func TestNoInputPanics(t *testing.T) {
	fields := []string{"a", "b", "tags", "lines", "address"}
	leaf := rapid.SampledFrom([]string{"a", "b", "tags", "lines", "address.x", "nil", "1", "2.5", "'x'", "true", "[1, 'a']", "{k: 1}", "lines[0].n"})
	var code func(depth int) *rapid.Generator[string]
	code = func(depth int) *rapid.Generator[string] {
		if depth == 0 {
			return leaf
		}
		return rapid.Custom(func(t *rapid.T) string {
			x, y := code(depth-1).Draw(t, "x"), code(depth-1).Draw(t, "y")
			switch rapid.IntRange(0, 5).Draw(t, "form") {
			case 0:
				return "(" + x + " ? " + y + " : nil)"
			case 1:
				return "any(tags, # == 1)"
			case 2:
				return rapid.SampledFrom([]string{"len", "lower", "abs", "first", "keys", "sort", "uniq", "string", "int", "round", "date", "sum", "min", "trim", "number"}).Draw(t, "f") + "(" + x + ")"
			case 3:
				return "(" + x + ")[" + y + "]"
			case 4:
				return "not (" + x + ")"
			}
			return "(" + x + " " + rapid.SampledFrom([]string{"+", "-", "*", "/", "%", "**", "<", ">=", "==", "!=", "&&", "||", "??", "in", "contains", "startsWith"}).Draw(t, "op") + " " + y + ")"
		})
	}
	values := []string{"null", "1", "-3.75", `"text"`, `"2026-11-01"`, "true", `[1, "a", null]`, `[{"n": 1}, {"n": 2}]`, `{"x": {"y": 1}}`, `""`, "[]", "{}"}
	rapid.Check(t, func(t *rapid.T) {
		env := record.Fields{}
		for _, f := range fields {
			v, err := record.ParseJSON([]byte(rapid.SampledFrom(values).Draw(t, f)))
			if err != nil {
				t.Fatal(err)
			}
			env[f] = v
		}
		source := code(3).Draw(t, "code")
		p, err := expression.Compile(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		one, err1 := p.Run(expression.Of(env))
		two, err2 := p.Run(expression.Of(env))
		if !record.Equal(one, two) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%s gave %v, %v and then %v, %v", source, one, err1, two, err2)
		}
		if _, err := record.Canonical(one); err != nil {
			t.Fatalf("%s gave %#v, which is no value: %v", source, one, err)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	env := expression.Of(record.Fields(parse(b, sample).(map[string]any)))
	p, err := expression.Compile("quantity - reserved - (quantity * 0.05)")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Run(env); err != nil {
			b.Fatal(err)
		}
	}
}
