// SPDX-License-Identifier: Apache-2.0

package mapping_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
)

func field(name string, typ connector.Type) connector.FieldInfo {
	return connector.FieldInfo{Name: name, Type: typ, Nullable: true}
}

// customers is an object with a composite key, a column of objects, and one that cannot be written.
var customers = connector.ObjectInfo{
	Name: "customers", Key: []string{"country", "Customer_No"},
	Fields: []connector.FieldInfo{field("country", connector.TypeText), field("Customer_No", connector.TypeInteger), field("first_name", connector.TypeText),
		field("address", connector.TypeJSON), {Name: "total", Type: connector.TypeNumber, ReadOnly: true}},
}

func compile(t testing.TB, o connector.ObjectInfo, types map[string]mapping.Kind, fields ...mapping.Field) *mapping.Plan {
	t.Helper()
	if types == nil {
		types = make(map[string]mapping.Kind)
	}
	p, err := mapping.Compile(o, fields, types, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func to(entity string, names ...string) mapping.Field {
	return mapping.Field{Entity: entity, Names: names}
}

func TestWithoutMappingColumnsKeepTheirNames(t *testing.T) {
	types := make(map[string]mapping.Kind)
	p, err := mapping.Compile(customers, nil, types, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"country", "Customer_No", "first_name", "address", "total"}
	if !slices.Equal(p.Fields(), want) || !slices.Equal(p.Natives(), want) || !slices.Equal(p.Key(), []string{"country", "Customer_No"}) {
		t.Errorf("fields %v, natives %v, key %v", p.Fields(), p.Natives(), p.Key())
	}
	if types["Customer_No"].Type != connector.TypeInteger {
		t.Errorf("the entity's types are %v", types)
	}
	if p.Writable("total") || !p.Writable("first_name") || p.Writable("nonsense") || !p.Has("total") || p.Has("nonsense") {
		t.Error("what can be read or written is not right")
	}
}

// A column is found by the first name that fits exactly, else ignoring case and underscores, else as a part of a column of
// objects.
func TestHowColumnsAreFound(t *testing.T) {
	tests := []struct {
		name  string
		names []string
		want  string // native name; "" when there is none
	}{
		{"exactly", []string{"first_name"}, "first_name"},
		{"the other name", []string{"given", "first_name"}, "first_name"},
		{"another spelling", []string{"firstName"}, "first_name"},
		{"exactly goes before another spelling", []string{"FIRSTNAME", "Customer_No"}, "Customer_No"},
		{"nested", []string{"address.city"}, "address.city"},
		{"deeper", []string{"address.home.city"}, "address.home.city"},
		{"nested in what holds no objects", []string{"country.city"}, ""},
		{"not at all", []string{"phone"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := compile(t, customers, nil, to("country", "country"), to("field", test.names...))
			if got := p.Native("field"); got != test.want || p.Has("field") != (test.want != "") {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct {
		name   string
		fields []mapping.Field
		want   string
	}{
		{"a column that the document names for this system and that is not there", []mapping.Field{{Entity: "phone", Names: []string{"phone_no"}, Must: true}}, "it has country, Customer_No"},
		{"one column for two fields", []mapping.Field{to("a", "country"), to("b", "Country")}, "both a and b"},
		{"one part for two fields", []mapping.Field{to("a", "address.city"), to("b", "address.city")}, "both a and b"},
		{"a column and its part", []mapping.Field{to("a", "address"), to("b", "address.city")}, "both a and b"},
		{"a part and its column", []mapping.Field{to("a", "address.city"), to("b", "address")}, "both a and b"},
		{"a part and a part of it", []mapping.Field{to("a", "address.home.city"), to("b", "address.home")}, "both a and b"},
		{"nothing at all", []mapping.Field{to("a", "x"), to("b", "y")}, "none of its fields is mapped"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := mapping.Compile(customers, test.fields, make(map[string]mapping.Kind), nil)
			var e *mapping.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := mapping.Compile(customers, []mapping.Field{to("city", "address.city"), to("zip", "address.zip"), to("cityName", "address.cityName")}, make(map[string]mapping.Kind), nil); err != nil {
		t.Errorf("three parts of one column: %v", err)
	}
}

func TestKey(t *testing.T) {
	p := compile(t, customers, nil, to("number", "customer_no"), to("land", "country"))
	if !slices.Equal(p.Key(), []string{"land", "number"}) {
		t.Errorf("the key is %v, want the entity's fields in the order of the columns", p.Key())
	}
	if p := compile(t, customers, nil, to("land", "country")); p.Key() != nil {
		t.Errorf("half a key is %v, want none", p.Key())
	}
}

// The types are those of the system that was compiled first; the others' values are converted, both ways.
func TestBothWays(t *testing.T) {
	types := make(map[string]mapping.Kind)
	first := compile(t, connector.ObjectInfo{Name: "a", Key: []string{"id"}, Fields: []connector.FieldInfo{field("id", connector.TypeInteger), field("active", connector.TypeBoolean)}}, types,
		to("id", "id"), to("active", "active"))
	second := compile(t, connector.ObjectInfo{Name: "b", Key: []string{"ref"}, Fields: []connector.FieldInfo{field("ref", connector.TypeText), field("flag", connector.TypeInteger)}}, types,
		to("id", "ref"), to("active", "flag"))

	entity, err := second.In(record.Fields{"ref": "7", "flag": record.Number("1"), "unmapped": "x"})
	if err != nil || !entity.Equal(record.Fields{"id": record.Number("7"), "active": true}) {
		t.Errorf("in: %v, %v", entity, err)
	}
	for _, p := range []*mapping.Plan{first, second} {
		native, err := p.Out(entity, nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := p.In(native); err != nil || !back.Equal(entity) {
			t.Errorf("%v went out as %v and came back as %v, %v", entity, native, back, err)
		}
	}
	native, err := second.Out(entity, []string{"active"})
	if err != nil || !native.Equal(record.Fields{"flag": record.Number("1")}) {
		t.Errorf("one field out: %v, %v", native, err)
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	types := map[string]mapping.Kind{"number": {Type: connector.TypeText}}
	p := compile(t, customers, types, to("number", "Customer_No"), to("total", "total"))
	var e *mapping.Error
	if _, err := p.Out(record.Fields{"number": "seven"}, nil); !errors.As(err, &e) || e.Field != "number" || !strings.Contains(e.Reason, "seven") {
		t.Errorf("out: %v", err)
	}
	types["number"] = mapping.Kind{Type: connector.TypeDate}
	p = compile(t, customers, types, to("number", "Customer_No"))
	if _, err := p.In(record.Fields{"Customer_No": record.Number("7")}); !errors.As(err, &e) || e.Field != "Customer_No" {
		t.Errorf("in: %v", err)
	}
	long := compile(t, customers, nil, to("name", "first_name"), to("number", "Customer_No"))
	if out, err := long.Out(record.Fields{"name": "Ada", "total": record.Number("1"), "unknown": "x"}, nil); err != nil || !out.Equal(record.Fields{"first_name": "Ada", "Customer_No": nil}) {
		t.Errorf("a field that cannot be written, or is not there, went out: %v, %v", out, err)
	}
}

// InSome maps what a system says it stored, and nothing else.
func TestInSome(t *testing.T) {
	p := compile(t, customers, nil, to("name", "first_name"), to("land", "country"))
	got, err := p.InSome(record.Fields{"first_name": "Ada", "strange": "x"})
	if err != nil || !got.Equal(record.Fields{"name": "Ada"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNesting(t *testing.T) {
	p := compile(t, customers, nil, to("number", "Customer_No"), to("city", "address.city"), to("lat", "address.geo.lat"), to("lon", "address.geo.lon"))
	if !slices.Equal(p.Natives(), []string{"Customer_No", "address"}) {
		t.Errorf("natives %v: a column is read once", p.Natives())
	}
	entity := record.Fields{"number": record.Number("1"), "city": "Ulm", "lat": record.Number("48.4"), "lon": nil}
	native, err := p.Out(entity, nil)
	want := record.Fields{"Customer_No": record.Number("1"), "address": map[string]any{"city": "Ulm", "geo": map[string]any{"lat": record.Number("48.4"), "lon": nil}}}
	if err != nil || !native.Equal(want) {
		t.Errorf("out: %v, %v", native, err)
	}
	if back, err := p.In(native); err != nil || !back.Equal(entity) {
		t.Errorf("back: %v, %v", back, err)
	}
	for _, address := range []record.Value{nil, "Ulm", []any{"Ulm"}, map[string]any{}, map[string]any{"geo": "here"}} {
		got, err := p.In(record.Fields{"Customer_No": record.Number("1"), "address": address})
		if err != nil || got["city"] != nil || got["lat"] != nil {
			t.Errorf("of the address %v came %v, %v; want nothing", address, got, err)
		}
	}
}

// A column of objects is written as a whole, so its fields go together.
func TestTogether(t *testing.T) {
	p := compile(t, customers, nil, to("number", "Customer_No"), to("city", "address.city"), to("zip", "address.zip"))
	for _, test := range []struct{ fields, want []string }{
		{[]string{"number"}, []string{"number"}},
		{[]string{"zip"}, []string{"zip", "city"}},
		{[]string{"number", "city", "zip"}, []string{"number", "city", "zip"}},
		{[]string{"strange"}, []string{"strange"}},
	} {
		given := slices.Clone(test.fields)
		if got := p.Together(test.fields); !slices.Equal(got, test.want) || !slices.Equal(test.fields, given) {
			t.Errorf("with %v go %v, want %v", given, got, test.want)
		}
	}
}

// A system without a schema takes the names as they are.
func TestWithoutSchema(t *testing.T) {
	p := compile(t, connector.ObjectInfo{Name: "contacts", Key: []string{"id"}}, nil, to("id", "id"), to("city", "properties.city", "town"))
	native, err := p.Out(record.Fields{"id": "1", "city": "Ulm"}, nil)
	if err != nil || !native.Equal(record.Fields{"id": "1", "properties": map[string]any{"city": "Ulm"}}) {
		t.Errorf("%v, %v", native, err)
	}
}

// Mapping changes nothing in place: values are shared with entities and shadows.
func TestOutLeavesTheEntityAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		types := make(map[string]mapping.Kind)
		p, err := mapping.Compile(customers, []mapping.Field{to("city", "address.city"), to("geo", "address.geo"), to("name", "first_name")}, types, nil)
		if err != nil {
			t.Fatal(err)
		}
		geo := map[string]any{"lat": record.Number("1")}
		entity := record.Fields{"city": "Ulm", "geo": geo, "name": rapid.String().Draw(t, "name")}
		before := string(record.AppendJSON(nil, map[string]any(entity)))
		var only []string
		if rapid.Bool().Draw(t, "some") {
			only = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"city", "geo", "name"}), rapid.ID[string]).Draw(t, "only")
		}
		if _, err := p.Out(entity, only); err != nil {
			t.Fatal(err)
		}
		if after := string(record.AppendJSON(nil, map[string]any(entity))); after != before {
			t.Fatalf("%s became %s", before, after)
		}
	})
}

// An object whose fields are known by example takes others, too; one with a schema does not.
func TestOpenObject(t *testing.T) {
	object := connector.ObjectInfo{Name: "orders", Key: []string{"id"}, Open: true, Fields: []connector.FieldInfo{{Name: "id", Type: connector.TypeInteger}}}
	fields := []mapping.Field{{Entity: "id", Names: []string{"id"}}, {Entity: "total", Names: []string{"totals.net"}}}
	p, err := mapping.Compile(object, fields, map[string]mapping.Kind{}, nil)
	if err != nil || p.Native("total") != "totals.net" || !p.Writable("total") {
		t.Errorf("a field that no example has: %v, %v", p, err)
	}
	object.Open = false
	if p, err := mapping.Compile(object, fields, map[string]mapping.Kind{}, nil); err == nil && p.Has("total") {
		t.Error("a field that is not there was taken")
	}
}
