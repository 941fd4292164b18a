// SPDX-License-Identifier: Apache-2.0

// Package connector is the contract between the engine and one kind of outside system: settings, capabilities, error
// classes and the registry.
//
// A connector implements Connector; what Open returns implements System and, found by type assertion, the capabilities
// it has: Discoverer, Reader, KeyReader, Writer, Watcher. Every connector passes the suite in connectortest.
package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/record"
)

// Connector is code for one kind of system.
type Connector interface {
	// Spec declares the connector; it is constant.
	Spec() Spec
	// Open connects with settings that Spec.Check accepted. The System is used by one service at a time but by several
	// goroutines. Errors are classified (see Error).
	Open(ctx context.Context, settings Settings, env Env) (System, error)
}

// Spec is what a connector says of itself once; forms, validation and docs are made from it.
type Spec struct {
	Type       string    // the document's `type`: "postgresql"
	Aliases    []string  // retired or other names for the same: "postgres"
	Title      string    // "PostgreSQL"
	Summary    string    // one sentence
	Class      string    // "standard" or "premium": the price class of an integration
	Settings   []Setting // what a connection needs
	Detections []string  // change detection it can do, best first; words of the document's changeDetection
	Deletes    string    // how deletes are seen: tombstone, list-diff, status, never; per detection where they differ
	Guarantee  string    // what a delivery can promise, one sentence: "effectively once: ..."
	Own        int       // the version of a connector that a tenant describes itself; 0 for those of the program
}

// Kind is the type of a setting's value.
type Kind string

// The kinds of settings.
const (
	Text    Kind = "text"
	Integer Kind = "integer"
	Boolean Kind = "boolean"
	Choice  Kind = "choice"
)

// Setting is one thing a connection needs. One declaration gives form, validation and docs.
type Setting struct {
	Name     string   `json:"name"` // as in the document's connection block: "host"
	Title    string   `json:"title"`
	Doc      string   `json:"doc"`
	Kind     Kind     `json:"kind"`
	Default  string   `json:"default,omitempty"` // used when absent
	Choices  []string `json:"choices,omitempty"` // for Choice
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"` // sealed at rest, never shown again
	Lines    int      `json:"-"`                // the form has so many lines for it; 0 and 1 are one
	Min, Max int      `json:"-"`                // of an Integer; Max 0 is no bound
}

// Settings are the values of a connection by setting name, secrets included, defaults filled in by Spec.Check.
type Settings map[string]string

// Env is what the process lends to an open system.
type Env struct {
	// Dial opens every network connection of the system. It holds the guard against private addresses (SSRF), so a
	// connector must use it and nothing else.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the base configuration for encrypted connections; nil for the default.
	TLS *tls.Config
	// Consumer names the service and which of its systems this is, stable over its life and unique in the installation
	// ("svc_0192....shop"). Connectors use it to name what they leave in the system (replication slot, change log consumer)
	// and to mark their own writes, so that echoes can be dropped at the source.
	Consumer string
	// Tenant is the id of the tenant that the connection belongs to. Only a connector whose systems are places of the
	// installation itself needs it, to keep tenants apart.
	Tenant string
	// Detection is the way of seeing changes to use, one of Spec.Detections; "" and "auto" leave it to the connector.
	Detection string
	// Credentials keeps what the system hands out while it is used (tokens); nil keeps them in memory.
	Credentials Credentials
	// Hints are what the vendor told of this connection's records; nil when it cannot tell.
	Hints Hints
	// Lists keeps what is too long for a cursor; nil when there is nowhere to keep it.
	Lists Lists
	// Sandbox carries HTTP calls in place of the network, for a connection whose environment is the sandbox.
	Sandbox http.RoundTripper
}

// Credentials keeps a connection's tokens, for all processes that use it.
type Credentials interface {
	// Load returns what is kept by name; nil when nothing is.
	Load(ctx context.Context) (map[string]string, error)
	// Renew replaces them: of many that call at once, in any process, one runs get, and what it returns is stored before
	// anybody uses it. Who finds an access_token other than the stale one takes what is there. get is handed what is kept.
	Renew(ctx context.Context, stale string, get func(ctx context.Context, kept map[string]string) (map[string]string, error)) (map[string]string, error)
}

// Lists keeps long lists of keys to compare with, for one consumer of a connection. A cursor names them; they are no part of the commit
// that stores it, so a list that a stored cursor may still name must not be changed in a way that this cursor would miss.
type Lists interface {
	// Put sets entries of a list, which is made when it is not there.
	Put(ctx context.Context, list uuid.UUID, entries []Entry) error
	// Digests returns those of the keys that the list has.
	Digests(ctx context.Context, list uuid.UUID, keys []string) (map[string]uint64, error)
	// Lacks returns keys of one list that the other has not, in order, those after the one given ("" for the first), at most limit. there is
	// false when the first is gone.
	Lacks(ctx context.Context, list, other uuid.UUID, after string, limit int) (keys []string, there bool, err error)
	// Drop forgets a list; one that is not there is fine.
	Drop(ctx context.Context, list uuid.UUID) error
}

// Entry is one key of a list, with a digest of what was read where contents are compared.
type Entry struct {
	Key    string
	Digest uint64
}

// Hint says that a record may be different. What else the message said is not used: the record is read.
type Hint struct {
	Seq    int64 // rises with each hint of a connection
	Object record.Object
	Key    record.Key
}

// Hints are the hints that came in for a connection, kept until they are old.
type Hints interface {
	// Last is the highest number there is, 0 without any.
	Last(ctx context.Context) (int64, error)
	// After returns the object's hints behind that number, in order, at most limit.
	After(ctx context.Context, object record.Object, seq int64, limit int) ([]Hint, error)
	// Wait calls wake once it is listening and then for each object that hints come in for, until ctx ends (nil) or it fails.
	Wait(ctx context.Context, objects []record.Object, wake func(record.Object)) error
}

// System is an open connection to one system.
type System interface {
	// Check says whether the system answers and the credentials allow what sync needs; the error names the remedy.
	Check(ctx context.Context) error
	// Close releases connections. It does not remove what the connector left in the system; see Cleaner.
	Close() error
}

// Type is a field's type in canonical terms; it decides how text becomes a value when writing.
type Type string

// The types. Their canonical values are described at record.Value.
const (
	TypeText      Type = "text"
	TypeInteger   Type = "integer"
	TypeNumber    Type = "number" // exact decimal
	TypeFloat     Type = "float"  // binary floating point
	TypeBoolean   Type = "boolean"
	TypeTimestamp Type = "timestamp" // a point in time
	TypeDateTime  Type = "datetime"  // date and time of day without a zone: 2006-01-02T15:04:05.999999
	TypeDate      Type = "date"
	TypeTime      Type = "time"
	TypeBytes     Type = "bytes"
	TypeJSON      Type = "json"  // any value
	TypeArray     Type = "array" // list of values
	TypeUUID      Type = "uuid"  // lower-case text
)

// FieldInfo describes one field of an object.
type FieldInfo struct {
	Name      string   `json:"name"`
	Type      Type     `json:"type"`
	Native    string   `json:"native"`              // the system's own name of the type: "numeric(12,2)"
	Nullable  bool     `json:"nullable,omitempty"`  // null is allowed
	ReadOnly  bool     `json:"readOnly,omitempty"`  // cannot be written: generated columns, computed fields
	Generated bool     `json:"generated,omitempty"` // the system makes a value when none is given: serial, default
	MaxLength int      `json:"maxLength,omitempty"` // characters; 0 is unlimited
	Scale     int      `json:"scale,omitempty"`     // digits after the point a number or a fraction of a second keeps; -1 is unlimited
	Enum      []string `json:"enum,omitempty"`      // the only texts allowed
}

// ObjectInfo describes an object as discovered.
type ObjectInfo struct {
	Name   record.Object `json:"name"`
	Fields []FieldInfo   `json:"fields"`
	Key    []string      `json:"key"`  // the key fields in order; never empty
	Rows   int64         `json:"rows"` // an estimate; -1 when unknown
	// Model is the standard record shape that the object is bound to, "" for none; Bindings are the model's fields and what
	// they are called here, dots reaching inside.
	Model    string            `json:"model,omitempty"`
	Bindings map[string]string `json:"bindings,omitempty"`
	// Open says that the fields are known by example only: others can be read and written all the same.
	Open bool `json:"open,omitempty"`
}

// Field returns the field of that name.
func (o ObjectInfo) Field(name string) (FieldInfo, bool) {
	for _, f := range o.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return FieldInfo{}, false
}

// Discoverer can say what objects a system has.
type Discoverer interface {
	// Objects lists the names of the objects that could be synced.
	Objects(ctx context.Context) ([]record.Object, error)
	// Describe returns the objects' fields and keys. An object that does not exist or cannot be synced (no primary key)
	// is an error of class Refused that names the remedy.
	Describe(ctx context.Context, objects ...record.Object) ([]ObjectInfo, error)
}

// Phase says what kind of reading a cursor is in.
type Phase string

// The phases. A snapshot hands over to the stream without a gap: the connector takes the stream's position before the
// first snapshot page and keeps it in the cursor.
const (
	Snapshot Phase = "snapshot" // the first full read, page by page, resumable at each
	Stream   Phase = "stream"   // changes since the cursor
)

// ReadRequest asks for the next page of an object.
type ReadRequest struct {
	Object record.Object
	Fields []string      // the fields wanted; the key fields are read in any case. Empty: all
	Cursor record.Cursor // nil: begin with a snapshot
	Limit  int           // at most so many changes; 1 to 10,000
}

// Page is a batch of changes. A key occurs at most once in a page, with its latest state.
//
// Rows are current states, not history: a reader may coalesce several changes of a record into one, but never return a
// state older than one it returned before (a snapshot row may be newer than the stream's position; the stream must
// then not go back in time, so readers of logs read the row again or skip what the snapshot already covers).
type Page struct {
	Changes []record.Change
	Cursor  record.Cursor // where the next Read goes on; covers exactly the changes so far (invariant 1)
	Phase   Phase         // the phase that Cursor is in: Stream once the snapshot is complete
	More    bool          // another Read at Cursor would return something now (or the snapshot goes on)
	Total   int64         // during a snapshot: estimated number of records in all; 0 when unknown
}

// Reader can read an object's changes.
type Reader interface {
	Read(ctx context.Context, req ReadRequest) (Page, error)
}

// OnceReader is a Reader whose snapshot can be trusted to show each key once, over all its pages.
type OnceReader interface {
	ReadsOnce(object record.Object) bool
}

// KeyReader can read single records in their present state.
type KeyReader interface {
	// ReadKeys returns an Upsert for each key that exists and a Delete for each that does not, in any order.
	ReadKeys(ctx context.Context, object record.Object, fields []string, keys []record.Key) ([]record.Change, error)
}

// Finder can find records by the values of fields; used to look before creating.
type Finder interface {
	// Find returns, for each query, the changes (Upsert) of the records that match it on all its fields, at most 2 each.
	Find(ctx context.Context, object record.Object, fields []string, queries []record.Fields) ([][]record.Change, error)
}

// Write is one record to bring up to date.
type Write struct {
	ID record.EntityID // the entity this is for; unique within a batch
	// Attempt names the batch; it is the same in all its writes. A Recaller keeps it with what it wrote.
	Attempt uuid.UUID
	Op      record.Op
	Create  bool          // there is no record yet as far as we know
	Key     record.Key    // empty for a create whose key the system makes or Fields contain
	Fields  record.Fields // upsert: the fields to set, in the system's names; a create has all, an update those that change
	// Expect is the state the record is believed to be in (the shadow): for an update or delete, the write is refused
	// with Outcome Moved when the record holds other values in these fields, unless it already holds what Fields ask
	// for. Empty: write unconditionally.
	Expect record.Fields
	// Whole is, for an Appender's update, the record with all its fields as it is to be, in the system's names.
	Whole record.Fields
}

// Outcome is what became of a write.
type Outcome string

// The outcomes.
const (
	Applied Outcome = "applied" // the record was written
	Already Outcome = "already" // the record was already as asked for (a repeated write, or gone for a delete); nothing was written
	Moved   Outcome = "moved"   // the record is not as expected, or exists though it should be created; read it again and merge
	Gone    Outcome = "gone"    // an update found no record: it was deleted meanwhile
	Refused Outcome = "refused" // the system will not take it; Err says why, for a person (dead letter)
	Unsent  Outcome = "unsent"  // it was not carried out because of trouble that has nothing to do with it, and is still owed; Err says which
)

// Receipt is the system's answer to one write.
type Receipt struct {
	Outcome Outcome
	Key     record.Key    // the record's key, also when the system made it
	Version string        // the system's stamp after the write, "" where it has none
	Stored  record.Fields // after Applied or Already: the written fields as the system holds them now, where that can differ from what was asked for (rounding, trimming, normalising); nil when they are as asked for. For Moved: the record's present fields where known
	Err     error         // for Refused and Unsent, classified
	Deleted bool          // of Recall, where the system knows: what was written is a deletion
}

// Writer can write and delete records.
type Writer interface {
	// Write applies the batch set-based and answers each write at its index. One faulty record must not fail the
	// others. An error means that the outcome of the whole batch is unknown or nothing was written; it is classified. When trouble
	// comes in the middle and the outcome of each write is known all the same, those that were not carried out are Unsent.
	// Repeating a batch changes nothing (invariant 4).
	Write(ctx context.Context, object record.Object, writes []Write) ([]Receipt, error)
}

// Appender marks a Writer whose system cannot be asked what it holds: a queue, a feed. A write is one more message that says
// what a record is now, so Expect and Create decide nothing, and an update's Write has the whole record in Whole. What became of
// a batch that was cut off cannot be found out, so it is sent again: what such a system gets, it gets at least once.
type Appender interface {
	Writer
	// Appends does nothing.
	Appends()
}

// Recaller remembers, in the very commit of the writes, what the last batch for an object did. It answers exactly what a
// caller that was cut off between writing and learning the outcome needs to know. Only the latest batch per consumer and
// object has to be kept.
type Recaller interface {
	// Recall returns the receipts of the records that the attempt wrote (Outcome Applied), by entity, with Key, Version
	// where the system has one, and Stored; none when nothing of it was committed. Where the account may not keep anything
	// the error is ErrNotRemembered; receipts beside it are of what is remembered all the same.
	Recall(ctx context.Context, object record.Object, attempt uuid.UUID) (map[record.EntityID]Receipt, error)
}

// ErrNotRemembered says that a Recaller cannot tell: it has remembered nothing here.
var ErrNotRemembered = errors.New("nothing was remembered")

// Watcher can tell without delay that something may have changed.
type Watcher interface {
	// Watch calls wake, from one goroutine, whenever one of the objects may have changes to read. It calls it once when it
	// is listening (nothing is missed between that call and any later change), and returns when ctx ends (nil) or
	// watching fails (classified error; the caller goes on polling and watches again).
	Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error
}

// Acknowledger wants to know which cursor is safely stored, to free what it keeps for re-reading (replication slot,
// change log rows).
type Acknowledger interface {
	Acknowledge(ctx context.Context, object record.Object, cursor record.Cursor) error
}

// Cleaner can remove what the connector left in the system for this consumer (slot, publication, triggers that no other
// consumer needs).
type Cleaner interface {
	Clean(ctx context.Context, objects []record.Object) error
}

// Chooser says which detection is in use and why.
type Chooser interface {
	// Detection returns a word of Spec.Detections and one sentence with the reason.
	Detection(ctx context.Context, object record.Object) (detection, why string, err error)
}

// Draft is a request that a write would make.
type Draft struct {
	Verb   string // create, update, delete
	Method string
	URL    string
	Header map[string]string // without the credentials
	Body   string
}

// Drafter can say what a write would send, without sending it. Credentials are left out.
type Drafter interface {
	// Draft returns the requests that creating a record with these fields, changing and deleting the record of that key would
	// make; no key, only the creation. What the connector cannot do is left out.
	Draft(ctx context.Context, object record.Object, key record.Key, fields record.Fields) ([]Draft, error)
}

// Pace is how often a reader without Watcher, or between wakes, should be asked at most and at least.
type Pace struct{ Min, Max time.Duration }

// Pacer states a pace other than the default of 1 s to 1 min.
type Pacer interface{ Pace() Pace }
