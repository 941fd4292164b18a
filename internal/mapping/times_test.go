// SPDX-License-Identifier: Apache-2.0

package mapping_test

import (
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/mapping"
	"github.com/syncline-dev/syncline/internal/record"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// zoneNames are zones of every kind: with and without changes of the clock, on both halves of the earth, of half hours, with changes of
// half an hour, at midnight, and one that left out a day.
var zoneNames = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Caracas", "America/Sao_Paulo", "America/Havana", "Africa/Casablanca",
	"Africa/Cairo", "Asia/Beirut", "Asia/Tehran", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tokyo", "Asia/Pyongyang", "Australia/Lord_Howe", "Australia/Sydney", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Antarctica/Troll"}

const clock = "2006-01-02T15:04:05.999999999"

func TestInstant(t *testing.T) {
	tests := []struct{ name, zone, wall, want string }{
		{"summer", "Europe/Berlin", "2026-07-01T12:00:00", "2026-07-01T10:00:00"},
		{"winter", "Europe/Berlin", "2026-12-01T12:00:00", "2026-12-01T11:00:00"},
		{"the last moment before the gap", "Europe/Berlin", "2026-03-29T01:59:59.999999", "2026-03-29T00:59:59.999999"},
		{"the first skipped moment", "Europe/Berlin", "2026-03-29T02:00:00", "2026-03-29T01:00:00"},
		{"within the skipped hour", "Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00"},
		{"right after the gap", "Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00"},
		{"before the repeated hour", "Europe/Berlin", "2026-10-25T01:59:59", "2026-10-24T23:59:59"},
		{"in the repeated hour", "Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00"},
		{"after the repeated hour", "Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00"},
		{"a skipped hour in the west", "America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00"},
		{"a repeated hour in the west", "America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00"},
		{"half an hour skipped", "Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:45:00"},
		{"half an hour repeated", "Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45:00"},
		{"midnight skipped", "America/Havana", "2026-03-08T00:00:00", "2026-03-08T05:00:00"},
		{"a day skipped", "Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00"},
		{"before zones", "Europe/Berlin", "1890-01-01T00:00:00", "1889-12-31T23:06:32"},
		{"never", "America/New_York", "9999-12-31T23:59:59", "9999-12-31T23:59:59"},
		{"always", "Europe/Berlin", "0001-01-01T00:00:00", "0001-01-01T00:00:00"},
	}
	for _, test := range tests {
		w, err := time.Parse(clock, test.wall)
		if err != nil {
			t.Fatal(err)
		}
		if got := mapping.Instant(w, zone(t, test.zone)).Format(clock); got != test.want {
			t.Errorf("%s: %s in %s is %s, want %s", test.name, test.wall, test.zone, got, test.want)
		}
	}
}

// changes are all changes of the clock in the zone from 1950 to 2050.
func changes(l *time.Location) (out []time.Time) {
	offset := func(unix int64) int {
		_, o := time.Unix(unix, 0).In(l).Zone()
		return o
	}
	const day = 24 * 60 * 60
	for from := time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC).Unix(); from < time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC).Unix(); from += day {
		if offset(from) == offset(from+day) {
			continue
		}
		seconds := sort.Search(day, func(i int) bool { return offset(from+int64(i)) != offset(from) })
		out = append(out, time.Unix(from+int64(seconds), 0).In(l))
	}
	return out
}

// From a point in time to the clock on the wall and back is the way to the same point in time, but for the second time that an hour
// is shown; that becomes the first and is stable from then on. Around each change of each clock, minute by minute.
func TestThereAndBack(t *testing.T) {
	for _, name := range zoneNames {
		l := zone(t, name)
		for _, change := range changes(l) {
			_, before := change.Add(-time.Second).Zone()
			_, after := change.Zone()
			repeated := time.Duration(before-after) * time.Second
			for at := change.Add(-4 * time.Hour); at.Before(change.Add(4 * time.Hour)); at = at.Add(7 * time.Minute) {
				shown := mapping.Local(at, l)
				back := mapping.Instant(shown, l)
				want := at
				if !at.Before(change) && at.Before(change.Add(repeated)) {
					want = at.Add(-repeated)
				}
				if !back.Equal(want) {
					t.Fatalf("%s: %s is shown as %s, and that is %s", name, at.UTC().Format(clock), shown.Format(clock), back.Format(clock))
				}
				if again := mapping.Local(back, l); !again.Equal(shown) {
					t.Fatalf("%s: %s came back as %s", name, shown.Format(clock), again.Format(clock))
				}
			}
		}
	}
}

// Every wall time is some point in time; what is skipped is shown later by what the clock was moved, and everything else as it is.
func TestEveryWallTimeIsSome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zoneNames).Draw(t, "zone")
		l, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		w := time.Unix(rapid.Int64Range(-5_000_000_000, 5_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999).Draw(t, "micros")*1000).UTC()
		at := mapping.Instant(w, l)
		shown := mapping.Local(at, l)
		if shown.Equal(w) {
			return
		}
		if _, before := at.Add(-24 * time.Hour).In(l).Zone(); !shown.After(w) || !at.Equal(w.Add(-time.Duration(before)*time.Second)) {
			t.Fatalf("%s: %s is %s, which is shown as %s", name, w.Format(clock), at.Format(clock), shown.Format(clock))
		}
	})
}

// one is an object of one field, beside its key.
func one(name string, typ connector.Type) connector.ObjectInfo {
	return connector.ObjectInfo{Name: "events", Key: []string{"id"}, Fields: []connector.FieldInfo{field("id", connector.TypeText), field(name, typ)}}
}

// zoned compiles systems one after the other, the first of which names the types.
func zoned(t testing.TB, systems ...mapping.Kind) (plans []*mapping.Plan) {
	t.Helper()
	types := make(map[string]mapping.Kind)
	for _, s := range systems {
		p, err := mapping.Compile(one("at", s.Type), []mapping.Field{to("id", "id"), to("at", "at")}, types, s.Zone)
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, p)
	}
	return plans
}

// What one system holds, what it is to the service, and what the other is sent; and that in turn is the same to the service again.
func TestZones(t *testing.T) {
	berlin, york := zone(t, "Europe/Berlin"), zone(t, "America/New_York")
	system := func(typ connector.Type, l *time.Location) mapping.Kind { return mapping.Kind{Type: typ, Zone: l} }
	const (
		moment, local, day, clock, text, object = connector.TypeTimestamp, connector.TypeDateTime, connector.TypeDate, connector.TypeTime, connector.TypeText, connector.TypeJSON
	)
	tests := []struct {
		name       string
		a, b       mapping.Kind
		in, entity record.Value
		out        record.Value
		again      record.Value // what b means to the service, where that is less
	}{
		{name: "a local time to points in time", a: system(local, berlin), b: system(moment, nil), in: "2026-07-01T12:00:00", entity: "2026-07-01T10:00:00Z", out: "2026-07-01T10:00:00Z"},
		{name: "points in time to a local time", a: system(moment, nil), b: system(local, berlin), in: "2026-07-01T10:00:00.5Z", entity: "2026-07-01T10:00:00.5Z", out: "2026-07-01T12:00:00.5"},
		{name: "from zone to zone", a: system(local, berlin), b: system(local, york), in: "2026-07-01T12:00:00.000001", entity: "2026-07-01T10:00:00.000001Z", out: "2026-07-01T06:00:00.000001"},
		{name: "from zone to the same", a: system(local, berlin), b: system(local, berlin), in: "2026-07-01T12:00:00", entity: "2026-07-01T10:00:00Z", out: "2026-07-01T12:00:00"},
		{name: "to a system without a zone", a: system(local, berlin), b: system(local, nil), in: "2026-07-01T12:00:00", entity: "2026-07-01T10:00:00Z", out: "2026-07-01T10:00:00"},
		{name: "from a system without a zone", a: system(local, nil), b: system(local, berlin), in: "2026-07-01T10:00:00", entity: "2026-07-01T10:00:00", out: "2026-07-01T12:00:00"},
		{name: "without zones", a: system(local, nil), b: system(local, nil), in: "2026-07-01T10:00:00", entity: "2026-07-01T10:00:00", out: "2026-07-01T10:00:00"},
		{name: "without zones, to points in time", a: system(local, nil), b: system(moment, nil), in: "2026-07-01T10:00:00", entity: "2026-07-01T10:00:00", out: "2026-07-01T10:00:00Z"},
		{name: "a zone says nothing of points in time", a: system(moment, berlin), b: system(moment, york), in: "2026-07-01T10:00:00Z", entity: "2026-07-01T10:00:00Z", out: "2026-07-01T10:00:00Z"},
		{name: "a day is a day", a: system(day, berlin), b: system(day, york), in: "2026-07-01", entity: "2026-07-01", out: "2026-07-01"},
		{name: "a day begins at midnight of its system", a: system(day, berlin), b: system(moment, nil), in: "2026-07-01", entity: "2026-07-01", out: "2026-06-30T22:00:00Z"},
		{name: "whoever is first", a: system(moment, nil), b: system(day, berlin), in: "2026-06-30T22:00:00Z", entity: "2026-06-30T22:00:00Z", out: "2026-07-01"},
		{name: "a day and a local time are not shifted", a: system(day, berlin), b: system(local, york), in: "2026-07-01", entity: "2026-07-01", out: "2026-07-01T00:00:00"},
		{name: "a day whose midnight is skipped", a: system(day, zone(t, "America/Havana")), b: system(local, zone(t, "America/Havana")), in: "2026-03-08", entity: "2026-03-08", out: "2026-03-08T00:00:00"},
		{name: "the day of a local time", a: system(local, york), b: system(day, york), in: "2026-07-01T23:30:00", entity: "2026-07-02T03:30:00Z", out: "2026-07-01", again: "2026-07-01T04:00:00Z"},
		{name: "the day of a point in time", a: system(moment, nil), b: system(day, york), in: "2026-07-02T03:30:00Z", entity: "2026-07-02T03:30:00Z", out: "2026-07-01", again: "2026-07-01T04:00:00Z"},
		{name: "the time of day of a point in time", a: system(moment, nil), b: system(text, nil), in: "2026-07-02T03:30:00Z", entity: "2026-07-02T03:30:00Z", out: "2026-07-02T03:30:00Z"},
		{name: "text in a zone is read on its clock", a: system(moment, nil), b: system(text, berlin), in: "2026-07-01T10:00:00Z", entity: "2026-07-01T10:00:00Z", out: "2026-07-01T12:00:00"},
		{name: "text that names a zone needs none", a: system(text, berlin), b: system(moment, nil), in: "2026-07-01 12:00:00-04:00", entity: "2026-07-01 12:00:00-04:00", out: "2026-07-01T16:00:00Z", again: "2026-07-01T16:00:00Z"},
		{name: "text from a zone", a: system(text, berlin), b: system(local, york), in: "2026-07-01 12:00", entity: "2026-07-01 12:00", out: "2026-07-01T06:00:00", again: "2026-07-01T10:00:00Z"},
		{name: "an object's text in a zone", a: system(local, york), b: system(object, berlin), in: "2026-07-01T06:00:00", entity: "2026-07-01T10:00:00Z", out: "2026-07-01T12:00:00"},
		{name: "never", a: system(local, york), b: system(local, berlin), in: "9999-12-31T23:59:59", entity: "9999-12-31T23:59:59Z", out: "9999-12-31T23:59:59", again: "9999-12-31T22:59:59Z"},
		{name: "infinity", a: system(local, york), b: system(moment, nil), in: "infinity", entity: "infinity", out: "infinity"},
		{name: "nothing", a: system(local, york), b: system(local, berlin)},
		{name: "a skipped hour", a: system(local, berlin), b: system(local, york), in: "2026-03-29T02:30:00", entity: "2026-03-29T01:30:00Z", out: "2026-03-28T21:30:00"},
		{name: "the first of a repeated hour", a: system(local, berlin), b: system(local, york), in: "2026-10-25T02:30:00", entity: "2026-10-25T00:30:00Z", out: "2026-10-24T20:30:00"},
		{name: "the second of a repeated hour", a: system(local, york), b: system(local, berlin), in: "2026-10-24T21:30:00", entity: "2026-10-25T01:30:00Z", out: "2026-10-25T02:30:00", again: "2026-10-25T00:30:00Z"},
		{name: "a time of day", a: system(clock, berlin), b: system(clock, york), in: "12:00:00", entity: "12:00:00", out: "12:00:00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plans := zoned(t, test.a, test.b)
			entity, err := plans[0].In(record.Fields{"at": test.in})
			if err != nil || !record.Equal(entity["at"], test.entity) {
				t.Fatalf("%v came in as %v, %v; want %v", test.in, entity["at"], err, test.entity)
			}
			native, err := plans[1].Out(entity, nil)
			if err != nil || !record.Equal(native["at"], test.out) {
				t.Fatalf("it went out as %v, %v; want %v", native["at"], err, test.out)
			}
			want := test.again
			if want == nil {
				want = test.entity
			}
			back, err := plans[1].In(native)
			if err != nil || !record.Equal(back["at"], want) {
				t.Errorf("it came back as %v, %v; want %v", back["at"], err, want)
			}
			if form := plans[1].Form("at", entity["at"]); !record.Equal(form, want) {
				t.Errorf("its form there is %v, want %v", form, want)
			}
		})
	}
}

// One moment is one value, however many zones it is told in; and what was written once in a system's zone does not change again.
func TestOneMomentIsOneValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var systems []mapping.Kind
		for range 3 {
			typ := rapid.SampledFrom([]connector.Type{connector.TypeDateTime, connector.TypeTimestamp}).Draw(t, "type")
			l, err := time.LoadLocation(rapid.SampledFrom(zoneNames).Draw(t, "zone"))
			if err != nil {
				t.Fatal(err)
			}
			systems = append(systems, mapping.Kind{Type: typ, Zone: l})
		}
		types := make(map[string]mapping.Kind)
		var plans []*mapping.Plan
		for _, s := range systems {
			p, err := mapping.Compile(one("at", s.Type), []mapping.Field{to("id", "id"), to("at", "at")}, types, s.Zone)
			if err != nil {
				t.Fatal(err)
			}
			plans = append(plans, p)
		}
		at := record.Time(time.Unix(rapid.Int64Range(-2_000_000_000, 4_000_000_000).Draw(t, "seconds"), 0))
		for i, p := range plans {
			native, err := p.Out(record.Fields{"at": at}, nil)
			if err != nil {
				t.Fatal(err)
			}
			in, err := p.In(native)
			if err != nil {
				t.Fatal(err)
			}
			if !record.Equal(in["at"], at) && !record.Equal(in["at"], p.Form("at", at)) {
				t.Fatalf("system %d holds %v, which is %v and not %v", i, native["at"], in["at"], at)
			}
			again, err := p.Out(in, nil)
			if err != nil || !record.Equal(again["at"], native["at"]) {
				t.Fatalf("system %d held %v and is sent %v, %v", i, native["at"], again["at"], err)
			}
		}
	})
}

// A value that was stored before a system got its zone counts as the moment that it was.
func TestSame(t *testing.T) {
	plans := zoned(t, mapping.Kind{Type: connector.TypeDateTime, Zone: zone(t, "Europe/Berlin")}, mapping.Kind{Type: connector.TypeTimestamp})
	for _, test := range []struct {
		field string
		a, b  record.Value
		same  bool
	}{
		{"at", "2026-07-01T10:00:00", "2026-07-01T10:00:00Z", true},
		{"at", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00", true},
		{"at", "2026-07-01T10:00:00", "2026-07-01T10:00:01Z", false},
		{"at", nil, "2026-07-01T10:00:00Z", false},
		{"id", "2026-07-01T10:00:00", "2026-07-01T10:00:00Z", false},
	} {
		if got := plans[1].Same(test.field, test.a, test.b); got != test.same {
			t.Errorf("%s: %v and %v: %t", test.field, test.a, test.b, got)
		}
	}
}

func BenchmarkIn(b *testing.B) {
	native := record.Fields{"id": "1", "at": "2026-07-01T12:00:00.5", "name": "Ada"}
	object := one("at", connector.TypeDateTime)
	object.Fields = append(object.Fields, field("name", connector.TypeText))
	for _, bench := range []struct {
		name string
		zone *time.Location
	}{{"none", nil}, {"berlin", zone(b, "Europe/Berlin")}} {
		p, err := mapping.Compile(object, nil, make(map[string]mapping.Kind), bench.zone)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.In(native); err != nil {
					b.Fatal(err)
				}
			}
		})
		entity, err := p.In(native)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bench.name+"/out", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Out(entity, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
