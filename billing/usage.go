// SPDX-License-Identifier: Apache-2.0

package billing

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
)

// Meter is what is counted. DESIGN.md section 7 defines each.
type Meter string

// The meters.
const (
	// SyncOperations counts record changes (create, update, delete) that a target system really took. Echoes, changes
	// that change nothing, retries, failures, dry runs and our own faults leave no event.
	SyncOperations Meter = "sync_operations"

	// Records counts distinct entities that were live at any time in the period. Its events are changes of the number of
	// live entities: plus on creation and revival, minus on deletion; see RecordsLive.
	Records Meter = "records"

	// Integrations counts distinct systems of services that were in use in the period: each (service, system) with any
	// event in it.
	Integrations Meter = "integrations"

	// Enrichments counts records that an outside source was asked about and answered.
	Enrichments Meter = "enrichments"

	// Months and Amounts are not counted from the ledger. A fee is charged by the month; a discount, a credit, a minimum or an
	// adjustment counts nothing but money.
	Months  Meter = "months"
	Amounts Meter = "amounts"
)

// Meters lists the meters that are counted, in the order in which they are shown.
var Meters = []Meter{SyncOperations, Records, Integrations, Enrichments}

// Recurring says whether a unit of the meter is paid by the month, so that a part of a month costs a part of the price. The others
// are paid once, when they happen.
func (m Meter) Recurring() bool { return m == Records || m == Integrations || m == Months }

// RecordClass is the class of price that records of a model fall in: contacts (people and companies), products (and their
// stock), or transactions (what happens to them, and everything that has no model). Prices say which class they are for.
func RecordClass(model string) string {
	switch model {
	case "contacts", "companies", "profiles", "employees":
		return "contacts"
	case "products", "inventory":
		return "products"
	}
	return "transactions"
}

// Unit names the counted thing for people, in the singular for 1.
func (m Meter) Unit(n int64) string {
	unit := "operation"
	switch m {
	case Records:
		unit = "record"
	case Integrations:
		unit = "integration"
	case Enrichments:
		unit = "lookup"
	case Months:
		unit = "month"
	case Amounts:
		return ""
	}
	if n == 1 {
		return unit
	}
	return unit + "s"
}

// UsageEvent is one counted fact of a tenant. Events are only ever added; the key makes adding one twice the same as
// adding it once (invariant 6). They are written in the commit that makes the fact true.
type UsageEvent struct {
	Key       string // idempotency key, unique for the tenant; see OperationKey, KeyTime and the constructors below
	Meter     Meter
	At        time.Time // when it became true; decides the period
	Service   uuid.UUID
	System    record.System // the system that was changed or used; "" for Records
	Object    record.Object // the object in that system; for Records the collection's name
	DataClass string        // the model: "contacts", "products", "transactions", ...; "" when the service has none
	Quantity  int64         // 1 or more; negative only for deleted records
	Realtime  bool          // the service synchronizes in real time (surcharge)
	Complex   bool          // a custom transformation ran (surcharge)
	Premium   bool          // the connector is of the premium class (SAP, Oracle, ...)
	Ref       uuid.UUID     // for SyncOperations the attempt: the journal entries it caused are the operations counted
	Part      int           // for SyncOperations which of the attempt's entries: those with this part; see OperationKey
	Since     time.Time     // for revived records: when the entity had been deleted; otherwise zero
}

// OperationKey is the key of the usage event for one part of a delivery attempt. An attempt whose operations all have
// the same object, data class and flags has one event, part 0; otherwise one for each combination, and each journal
// entry carries the number of its part. The attempt is settled once, and a repeated settlement meets the same keys.
func OperationKey(attempt uuid.UUID, part int) string {
	return "op:" + attempt.String() + ":" + strconv.Itoa(part)
}

// KeyTime is the time in a key: that of the first UUID of version 7 in it, or of the slot of IntegrationUsed; the epoch for a key
// without any. It is the same whenever the event comes again, and so says which partition of the ledger the event is in;
// usage_kept in the schema is the same.
func KeyTime(key string) time.Time {
	if at, err := time.Parse(slotForm, key[max(0, len(key)-len(slotForm)):]); err == nil && strings.HasPrefix(key, "int:") {
		return at
	}
	for i := 0; i+36 <= len(key); i++ {
		if key[i+8] != '-' || key[i+14] != '7' {
			continue
		}
		if id, err := uuid.Parse(key[i : i+36]); err == nil && id.String() == key[i:i+36] {
			return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
		}
	}
	return time.Unix(0, 0).UTC()
}

// slotForm is how IntegrationUsed writes its slot at the end of the key.
const slotForm = ":20060102T1504"

// Operations says that a system took n record changes of one part of an attempt. The caller sets the flags.
func Operations(attempt uuid.UUID, part int, at time.Time, service uuid.UUID, system record.System, object record.Object, class string, n int64) UsageEvent {
	return UsageEvent{
		Key:   OperationKey(attempt, part),
		Meter: SyncOperations, At: at, Service: service, System: system, Object: object, DataClass: class, Quantity: n,
		Ref: attempt, Part: part,
	}
}

// integrationSlot is how finely use of a system is noted. Every offset of the time zone database since 1973 is a multiple of 15
// minutes, so no slot reaches over the start of a month anywhere, and one event per slot is enough to know every period
// in which the system was used.
const integrationSlot = 15 * time.Minute

// IntegrationUsed says that a system of a service was in use. A run adds it for each system it opens, also when nothing
// changed there; all but the first of a quarter hour are duplicates by key and cost nothing.
func IntegrationUsed(at time.Time, service uuid.UUID, system record.System, premium bool) UsageEvent {
	slot := at.UTC().Truncate(integrationSlot)
	return UsageEvent{
		Key:      fmt.Sprintf("int:%s:%s%s", service, system, slot.Format(slotForm)),
		Meter:    Integrations,
		At:       at,
		Service:  service,
		System:   system,
		Quantity: 1,
		Premium:  premium,
	}
}

// Enriched says that an outside source knew more of n records and its answers were stored in a commit.
func Enriched(commit string, at time.Time, service uuid.UUID, source record.System, object record.Object, class string, n int64) UsageEvent {
	return UsageEvent{
		Key:   fmt.Sprintf("enr:%s:%s:%s", commit, source, object),
		Meter: Enrichments, At: at, Service: service, System: source, Object: object, DataClass: class, Quantity: n,
	}
}

// RecordsCreated says that a commit made n new entities. commit is any id of that commit which a repetition would share.
func RecordsCreated(commit string, at time.Time, service uuid.UUID, object record.Object, class string, n int64) UsageEvent {
	return UsageEvent{
		Key:   fmt.Sprintf("rec:%s:%s:created", commit, object),
		Meter: Records, At: at, Service: service, Object: object, DataClass: class, Quantity: n,
	}
}

// RecordsDeleted says that n live entities died in a commit.
func RecordsDeleted(commit string, at time.Time, service uuid.UUID, object record.Object, class string, n int64) UsageEvent {
	return UsageEvent{
		Key:   fmt.Sprintf("rec:%s:%s:deleted", commit, object),
		Meter: Records, At: at, Service: service, Object: object, DataClass: class, Quantity: -n,
	}
}

// RecordRevived says that an entity deleted at since is live again. It is one event per entity, because since decides
// whether the period has counted this entity already.
func RecordRevived(commit string, at time.Time, service uuid.UUID, object record.Object, class string, entity record.EntityID, since time.Time) UsageEvent {
	return UsageEvent{
		Key:   fmt.Sprintf("rec:%s:%s:revived", commit, entity),
		Meter: Records, At: at, Service: service, Object: object, DataClass: class, Quantity: 1, Since: since,
	}
}

// RecordsLive is the number of distinct entities that were live at any time in the period, from all events of the meter
// Records up to the period's end: those live when it started, plus those that came to life in it, less those that had
// been counted already because they died in the same period. An entity is live from its creation (or revival) up to, but not
// at, its deletion.
//
// The ledger says this exactly without naming entities: take one entity. If it was live at the start, every later
// birth in the period is a revival from a death in the period, and is taken off again: 1. If not, its first birth counts (it was
// created, or had died no later than the start) and every further one is taken off: 1. Without a birth: 0.
//
// internal/store computes the same in SQL; this function is the definition.
func RecordsLive(p Period, events []UsageEvent) int64 {
	start, end := p.Start(), p.End()
	var n int64
	for _, e := range events {
		if e.Meter != Records || !e.At.Before(end) {
			continue
		}
		switch {
		case e.Quantity < 0 && !e.At.After(start): // died before the period
			n += e.Quantity
		case e.Quantity > 0 && !e.Since.After(start): // was born, or came back after a death before the period
			n += e.Quantity
		}
	}
	return n
}

// SameQuantities says whether both come to the same, in whatever order.
func SameQuantities(a, b []Quantity) bool {
	left := make(map[Quantity]int64, len(a))
	add := func(list []Quantity, sign int64) {
		for _, q := range list {
			units := q.Units
			q.Units = 0
			left[q] += sign * units
		}
	}
	add(a, 1)
	add(b, -1)
	for _, units := range left {
		if units != 0 {
			return false
		}
	}
	return true
}

// Quantity is the usage of a span of time in one cell: how much of a meter, with which flags.
type Quantity struct {
	Meter       Meter
	Integration string // of operations and integrations: which system of which service, as people know it; "" when it is not known
	DataClass   string
	Realtime    bool
	Complex     bool
	Premium     bool
	Units       int64
}
