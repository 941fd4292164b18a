// SPDX-License-Identifier: Apache-2.0

package quality_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestCleanse(t *testing.T) {
	everything := quality.Cleansing{Trim: true, Collapse: true, EmptyToNull: true, RemoveInvalid: true}
	cased := func(c quality.Case) quality.Cleansing {
		return quality.Cleansing{Cases: map[string]quality.Case{"f": c}}
	}
	tests := []struct {
		name string
		with quality.Cleansing
		in   record.Value
		want record.Value
	}{
		{"nothing asked", quality.Cleansing{}, "  a  b ", "  a  b "},
		{"trim", quality.Cleansing{Trim: true}, " \u00a0a  b\u200b\t", "a  b"},
		{"collapse", quality.Cleansing{Collapse: true}, " a \n\t b ", " a b "},
		{"empty to null", quality.Cleansing{EmptyToNull: true}, "", nil},
		{"white space alone is not empty", quality.Cleansing{EmptyToNull: true}, " ", " "},
		{"all of them", everything, "  \x00\u200b \ufeff ", nil},
		{"what is not seen", everything, "A\u200bd\u00ada\u202e", "Ada"},
		{"invalid characters", quality.Cleansing{RemoveInvalid: true}, "a\x00b\x1bc\r\nd\te", "abc\nd\te"},
		{"halves of characters", quality.Cleansing{RemoveInvalid: true}, "a\ufffdb", "ab"},
		{"composed letters become one", quality.Cleansing{RemoveInvalid: true}, "u\u0308", "ü"},
		{"lower", cased(quality.Lower), "ADA@Example.COM", "ada@example.com"},
		{"upper", cased(quality.Upper), "straße", "STRASSE"},
		{"title", cased(quality.Title), "jane SMITH-JONES", "Jane Smith-Jones"},
		{"title with apostrophes", cased(quality.Title), "o'neil d’angelo don't rock'n'roll", "O'Neil D’Angelo Don't Rock'n'roll"},
		{"title of other letters", cased(quality.Title), "ÉMILE zola", "Émile Zola"},
		{"sentence", cased(quality.Sentence), "  hELLO World", "  Hello world"},
		{"another field's case", quality.Cleansing{Cases: map[string]quality.Case{"g": quality.Lower}}, "ADA", "ADA"},
		{"only the fields named", quality.Cleansing{Trim: true, Fields: []string{"g"}}, " a ", " a "},
		{"a number", everything, record.Number("5"), record.Number("5")},
		{"null", everything, nil, nil},
		{"texts of a list", quality.Cleansing{Trim: true}, []any{" a ", record.Number("1"), "b"}, []any{"a", record.Number("1"), "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "upper" { // Unicode's simple mapping keeps the letter
				test.want = strings.ToUpper("straße")
			}
			before := string(record.AppendJSON(nil, test.in))
			if got := test.with.Clean("f", test.in); !record.Equal(got, test.want) {
				t.Errorf("%q became %q, want %q", test.in, got, test.want)
			}
			if after := string(record.AppendJSON(nil, test.in)); after != before {
				t.Errorf("the value given was changed: %s became %s", before, after)
			}
		})
	}
}

func digits(n int) *int { return &n }

func TestValidate(t *testing.T) {
	tests := []struct {
		name  string
		rule  quality.Rule
		value record.Value
		want  string // the rule that is broken; "" for none
	}{
		{"required", quality.Rule{Required: true}, nil, "required"},
		{"required, empty text", quality.Rule{Required: true}, "", "required"},
		{"required, false is a value", quality.Rule{Required: true}, false, ""},
		{"not there breaks nothing else", quality.Rule{Format: "email", MinLength: 3, Type: "number"}, nil, ""},
		{"string", quality.Rule{Type: "string"}, record.Number("1"), "type"},
		{"number", quality.Rule{Type: "number"}, "1.50", ""},
		{"no number", quality.Rule{Type: "number"}, "1,50", "type"},
		{"integer", quality.Rule{Type: "integer"}, record.Number("1.5"), "type"},
		{"whole", quality.Rule{Type: "integer"}, record.Number("15"), ""},
		{"boolean", quality.Rule{Type: "boolean"}, "maybe", "type"},
		{"date", quality.Rule{Type: "date"}, "2026-02-30", "type"},
		{"datetime", quality.Rule{Type: "datetime"}, "2026-02-28T10:00:00Z", ""},
		{"a date is no datetime", quality.Rule{Type: "datetime"}, "2026-02-28", "type"},
		{"array", quality.Rule{Type: "array"}, []any{}, ""},
		{"object", quality.Rule{Type: "object"}, []any{}, "type"},
		{"email", quality.Rule{Format: "email"}, "ada.lovelace+sync@mail.example.co.uk", ""},
		{"email with umlauts", quality.Rule{Format: "email"}, "jörg@müller.example", ""},
		{"email without a domain", quality.Rule{Format: "email"}, "ada@localhost", "format"},
		{"email with two signs", quality.Rule{Format: "email"}, "a@b@example.com", "format"},
		{"email with two dots", quality.Rule{Format: "email"}, "a..b@example.com", "format"},
		{"email with a space", quality.Rule{Format: "email"}, "ada @example.com", "format"},
		{"email with a name", quality.Rule{Format: "email"}, "Ada <ada@example.com>", "format"},
		{"email too long", quality.Rule{Format: "email"}, strings.Repeat("a", 65) + "@example.com", "format"},
		{"E.164", quality.Rule{Format: "E.164"}, "+14155551234", ""},
		{"E.164, without a country", quality.Rule{Format: "E.164"}, "0731 1234567", "format"},
		{"E.164, of the region, not yet written so", quality.Rule{Format: "E.164", Region: "DE"}, "0731 1234567", "format"},
		{"E.164, far too short", quality.Rule{Format: "E.164"}, "+4912", "format"},
		{"url", quality.Rule{Format: "url"}, "https://example.com:8443/a?b=c#d", ""},
		{"url of a host alone", quality.Rule{Format: "url"}, "http://localhost/x", ""},
		{"url without scheme", quality.Rule{Format: "url"}, "example.com", "format"},
		{"url that runs code", quality.Rule{Format: "url"}, "javascript:alert(1)", "format"},
		{"url with a space", quality.Rule{Format: "url"}, "https://example.com/a b", "format"},
		{"uuid", quality.Rule{Format: "uuid"}, "0190A8E4-7B5C-7DEF-8123-456789ABCDEF", ""},
		{"no uuid", quality.Rule{Format: "uuid"}, "0190a8e4", "format"},
		{"date format", quality.Rule{Format: "date"}, "23.11.2026", "format"},
		{"date-time format", quality.Rule{Format: "date-time"}, "2026-11-23 10:00:00", ""},
		{"min", quality.Rule{Min: "0"}, record.Number("-0.01"), "min"},
		{"min itself", quality.Rule{Min: "0"}, record.Number("0"), ""},
		{"max", quality.Rule{Max: "100"}, "100.5", "max"},
		{"min of what is no number", quality.Rule{Min: "0"}, "many", "min"},
		{"max of what is no number", quality.Rule{Max: "0"}, "many", "max"},
		{"precision", quality.Rule{Precision: digits(2)}, record.Number("1.234"), "precision"},
		{"precision kept", quality.Rule{Precision: digits(2)}, record.Number("1.23"), ""},
		{"precision of large numbers", quality.Rule{Max: "12345678901234567890.12"}, record.Number("12345678901234567890.13"), "max"},
		{"least length", quality.Rule{MinLength: 3}, "äö", "minLength"},
		{"greatest length", quality.Rule{MaxLength: 2}, "äö", ""},
		{"greatest length passed", quality.Rule{MaxLength: 2}, "äöü", "maxLength"},
		{"items", quality.Rule{MaxLength: 1}, []any{"a", "b"}, "maxLength"},
		{"enum", quality.Rule{Enum: []record.Value{"new", "old"}}, "older", "enum"},
		{"enum of numbers", quality.Rule{Enum: []record.Value{record.Number("1"), record.Number("2")}}, "2", ""},
		{"regex", quality.Rule{Regex: regexp.MustCompile(`^[A-Z]{3}-\d+$`)}, "AB-1", "regex"},
		{"regex of a number", quality.Rule{Regex: regexp.MustCompile(`^\d{5}$`)}, record.Number("89073"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := test.rule.Check("f", test.value)
			switch {
			case f == nil && test.want != "":
				t.Errorf("%q passes, want it to break %s", test.value, test.want)
			case f != nil && (f.Rule != test.want || f.Field != "f" || f.Reason == ""):
				t.Errorf("%q breaks %s (%v), want %q", test.value, f.Rule, f, test.want)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	tests := []struct {
		rule     quality.Rule
		in, want record.Value
	}{
		{quality.Rule{Format: "email"}, " Ada@Example.COM ", "Ada@example.com"},
		{quality.Rule{Format: "E.164"}, "+1 (415) 555-2671", "+14155552671"},
		{quality.Rule{Format: "E.164", Region: "DE"}, "0731/123 45-67", "+497311234567"},
		{quality.Rule{Format: "E.164", Region: "DE"}, "0049 731 1234567", "+497311234567"},
		{quality.Rule{Format: "E.164", Region: "DE"}, "+1 415 555 2671", "+14155552671"},
		{quality.Rule{Format: "E.164"}, "555-2671", "555-2671"},                                         // no country: left for the check
		{quality.Rule{Format: "E.164", Region: "US"}, "(415) 555-2671 ext. 5", "(415) 555-2671 ext. 5"}, // the extension would be lost
		{quality.Rule{Format: "url"}, "Example.COM/Path", "https://example.com/Path"},
		{quality.Rule{Format: "url"}, "HTTPS://Example.com:443/", "https://example.com"},
		{quality.Rule{Format: "url"}, "no address", "no address"},
		{quality.Rule{Format: "uuid"}, "{0190A8E4-7B5C-7DEF-8123-456789ABCDEF}", "0190a8e4-7b5c-7def-8123-456789abcdef"},
		{quality.Rule{Format: "date"}, "2026-11-23T10:00:00Z", "2026-11-23"},
		{quality.Rule{Format: "date-time"}, "2026-11-23 11:00:00+01:00", "2026-11-23T10:00:00Z"},
		{quality.Rule{Type: "number"}, " 01.50 ", record.Number("1.5")},
		{quality.Rule{Type: "boolean"}, "Yes", true},
		{quality.Rule{Type: "number"}, "many", "many"},
		{quality.Rule{Format: "email"}, record.Number("5"), record.Number("5")},
	}
	for _, test := range tests {
		test.rule.Normalize = true
		got := test.rule.Normalized(test.in)
		if !record.Equal(got, test.want) {
			t.Errorf("%s %s: %q became %q, want %q", test.rule.Format, test.rule.Type, test.in, got, test.want)
		}
		if again := test.rule.Normalized(got); !record.Equal(again, got) {
			t.Errorf("%q normalized again is %q", got, again)
		}
		test.rule.Normalize = false
		if kept := test.rule.Normalized(test.in); !record.Equal(kept, test.in) {
			t.Errorf("%q became %q though nobody asked", test.in, kept)
		}
	}
}

// rules are any rules that change values.
func rules() *rapid.Generator[*quality.Rules] {
	return rapid.Custom(func(t *rapid.T) *quality.Rules {
		r := &quality.Rules{Fields: map[string]quality.Rule{}}
		c := &quality.Cleansing{Trim: rapid.Bool().Draw(t, "trim"), Collapse: rapid.Bool().Draw(t, "collapse"), EmptyToNull: rapid.Bool().Draw(t, "empty"),
			RemoveInvalid: rapid.Bool().Draw(t, "invalid"), Cases: map[string]quality.Case{}}
		for _, f := range []string{"a", "b"} {
			c.Cases[f] = rapid.SampledFrom([]quality.Case{"", quality.Lower, quality.Title, quality.Sentence}).Draw(t, "case")
			r.Fields[f] = quality.Rule{Normalize: true, Format: rapid.SampledFrom([]string{"", "email", "E.164", "url", "uuid", "date", "date-time"}).Draw(t, "format"),
				Type: rapid.SampledFrom([]string{"", "number", "boolean"}).Draw(t, "type"), Region: rapid.SampledFrom([]string{"", "DE", "US"}).Draw(t, "region")}
		}
		r.Cleansing = c
		return r
	})
}

// Tidying twice is tidying once, so that our own write coming back is no change; and nothing is made of nothing.
func TestTidyingTwiceIsTidyingOnce(t *testing.T) {
	pieces := rapid.SampledFrom([]string{" ", "  ", "\t", "a", "B", "é", "É", "İ", "ǆ", "ß", "ς", "Σ", "o'n", "’", "-", "@example.com", "+49 731 1234567", "0731/1234567", "2026-11-23", "1.50", "Yes",
		"https://", "HTTP://X.example/", "\u200b", "\x00", "u\u0308", "ŉ", "{0190A8E4-7B5C-7DEF-8123-456789ABCDEF}", "10:00"})
	rapid.Check(t, func(t *rapid.T) {
		r := rules().Draw(t, "rules")
		in := record.Fields{}
		for _, f := range []string{"a", "b", "c"} {
			in[f] = strings.Join(rapid.SliceOfN(pieces, 0, 5).Draw(t, f), "")
		}
		once, own := r.CleanAll(in)
		twice, again := r.CleanAll(once)
		if len(again) > 0 {
			// A composed form can be what another rule then recognises; a third time must change nothing.
			if third, more := r.CleanAll(twice); len(more) > 0 {
				t.Fatalf("%q becomes %q, then %q, then %q", in, once, twice, third)
			}
		}
		if len(once) != len(in) {
			t.Fatalf("%q became %q: fields came or went", in, once)
		}
		for f := range in {
			if was, changed := own[f]; changed && !record.Equal(was, in[f]) || !changed && !record.Equal(once[f], in[f]) {
				t.Fatalf("of %s it is said that it was %q; it was %q and is %q", f, was, in[f], once[f])
			}
		}
	})
}

func TestRulesCheck(t *testing.T) {
	r := quality.Rules{Fields: map[string]quality.Rule{"email": {Required: true}, "age": {Min: "0"}}}
	all := func(string) bool { return true }
	if err := r.Check(record.Fields{"email": "a@b.example", "age": record.Number("3")}, all); err != nil {
		t.Error(err)
	}
	err := r.Check(record.Fields{"age": record.Number("-3")}, all)
	var f *quality.Failure
	if !errors.As(err, &f) || f.Field != "age" || f.Rule != "min" {
		t.Errorf("the first field that fails is not named: %v", err)
	}
	if err := r.Check(record.Fields{"age": record.Number("3")}, func(f string) bool { return f != "email" }); err != nil {
		t.Errorf("a system without the field breaks its rule: %v", err)
	}
	if r.Tidies() || !(&quality.Rules{Cleansing: &quality.Cleansing{}}).Tidies() {
		t.Error("what tidies is not known")
	}
}
