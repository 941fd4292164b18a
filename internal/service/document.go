// SPDX-License-Identifier: Apache-2.0

// Package service is what a customer configures: the service document, its revisions and states, and the runs of a
// service.
//
// The document comes first. Parse reads YAML or JSON into a Document and names every faulty place; Validate checks what
// only the surroundings know (connectors, secrets, connections). A Document is a value: it marshals to its canonical form,
// a JSON that Parse accepts again and that is equal for equal documents, and answers what the engine asks of it
// (Collections, StrategyFor, SystemsReceiving, Schedule and so on) without looking anywhere else.
package service

import (
	"encoding/json"
	"math"
	"time"

	"github.com/syncline-dev/syncline/internal/record"
)

// APIVersion is the one version of the document there is; a document may leave it out.
const APIVersion = "syncline.dev/v1"

// Document describes one data synchronization service. Field names are those of the YAML and JSON that people write; blocks that
// may stand in two places are here in the one that is canonical.
type Document struct {
	APIVersion    string            `json:"apiVersion,omitempty"` // "" or APIVersion
	Service       string            `json:"service"`              // the service's name, also accepted as `name`
	Description   string            `json:"description,omitempty"`
	Direction     Direction         `json:"direction,omitempty"` // "": BiDirectional, see EffectiveDirection
	Systems       []System          `json:"systems"`             // at least two
	SyncConfig    SyncConfig        `json:"syncConfig,omitzero"`
	FieldMapping  FieldMapping      `json:"fieldMapping,omitzero"`
	UnifiedSchema map[string]string `json:"unifiedSchema,omitempty"` // entity field to alias, as a flat fieldMapping
	BusinessRules []BusinessRule    `json:"businessRules,omitempty"`
	Workflows     []Workflow        `json:"workflows,omitempty"`
	Security      Security          `json:"security,omitzero"`
	AuditLog      *AuditLog         `json:"auditLog,omitempty"`

	places map[string]place // where each canonical pointer stands in the source; nil for a document that was not parsed
}

// place is where a value of the canonical form stands in the source.
type place struct {
	pointer   string // JSON pointer into the source, which differs from the canonical one where a block was moved
	line, col int    // of the value, or of its key where there is no value of its own
	shown     int    // as node.shown
}

// Direction says which systems' changes reach which others.
type Direction string

// The directions.
const (
	Unidirectional   Direction = "unidirectional"    // the primary (or first) system is the source, the others follow
	BiDirectional    Direction = "bi-directional"    // every system's changes reach the others
	MultiDirectional Direction = "multi-directional" // as bi-directional; syncConfig.bidirectional may restrict pairs and fields
	Conditional      Direction = "conditional"       // routing rules (businessRules with condition and target) choose the targets
	Hierarchical     Direction = "hierarchical"      // as bi-directional, parents before children, references translated
)

// System is one system's seat in the service.
type System struct {
	ID              string     `json:"id"`
	Type            string     `json:"type"` // a connector's type or alias
	Connection      Connection `json:"connection,omitzero"`
	Objects         []Object   `json:"objects,omitempty"`
	Primary         bool       `json:"primary,omitempty"`
	Weight          int        `json:"weight,omitempty"`          // for the strategy weighted; the highest wins
	ChangeDetection string     `json:"changeDetection,omitempty"` // overrides syncConfig.changeDetection for this system
	TimeZone        string     `json:"timeZone,omitempty"`        // IANA name: of times that the system holds without one; "": UTC
}

// Connection is either the name of one of the tenant's connections, or settings written into the document, or nothing: then
// it is the connection named as the system's id.
type Connection struct {
	Name     string
	Settings map[string]string // values as text; ${NAME} stands for a secret, see Expand
}

// IsZero says whether the document names no connection.
func (c Connection) IsZero() bool { return c.Name == "" && c.Settings == nil }

// MarshalJSON writes the name as a string, settings as an object.
func (c Connection) MarshalJSON() ([]byte, error) {
	if c.Settings != nil {
		return json.Marshal(c.Settings)
	}
	return json.Marshal(c.Name)
}

// UnmarshalJSON reads either form.
func (c *Connection) UnmarshalJSON(b []byte) error {
	*c = Connection{}
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &c.Settings)
	}
	return json.Unmarshal(b, &c.Name)
}

// Object is a set of records in a system that takes part in the service.
type Object struct {
	Name         string            `json:"name"`
	Mapping      string            `json:"mapping,omitempty"`      // the model its records are bound to: "contacts"
	Key          []string          `json:"key,omitempty"`          // the system's fields that identify a record, where it has no primary key
	Fields       []string          `json:"fields,omitempty"`       // the entity fields that are synced here; empty: all
	FieldMapping map[string]string `json:"fieldMapping,omitempty"` // the object's field to the entity's; goes before the service's mapping
	Filter       []FilterCondition `json:"filter,omitempty"`       // besides syncConfig.filterConditions
	References   map[string]string `json:"references,omitempty"`   // entity field to the object of this system it refers to
	MatchFields  []string          `json:"matchFields,omitempty"`  // instead of syncConfig.matchFields, for the collection of this object
}

// SyncConfig says when, what and under which rules records are synced.
type SyncConfig struct {
	Frequency          *Frequency          `json:"frequency,omitempty"`
	ChangeDetection    string              `json:"changeDetection,omitempty"`
	BatchSize          int                 `json:"batchSize,omitempty"` // records; 0: the engine's choice
	Priority           string              `json:"priority,omitempty"`  // critical, standard, bulk
	Pool               string              `json:"pool,omitempty"`      // class of the workers that carry it: shared (when absent), dedicated
	ConflictResolution *ConflictResolution `json:"conflictResolution,omitempty"`
	Bidirectional      []SyncPair          `json:"bidirectional,omitempty"`
	ConflictAlerts     []ConflictAlert     `json:"conflictAlerts,omitempty"`
	MatchFields        []string            `json:"matchFields,omitempty"`
	FilterConditions   []FilterCondition   `json:"filterConditions,omitempty"`
	Deletes            *Deletes            `json:"deletes,omitempty"`
	References         *ReferenceRules     `json:"references,omitempty"`
	Consistency        *Consistency        `json:"consistency,omitempty"`
	SafetyThreshold    *SafetyThreshold    `json:"safetyThreshold,omitempty"`
	QuietPeriod        string              `json:"quietPeriod,omitempty"` // how long a changed record rests before it is carried; "" not at all
	Proof              *ProofOptions       `json:"proof,omitempty"`
	Reconciliation     *Reconciliation     `json:"reconciliation,omitempty"`
	Validation         *Validation         `json:"validation,omitempty"`
	Cleansing          *Cleansing          `json:"cleansing,omitempty"`
	Deduplication      *Deduplication      `json:"deduplication,omitempty"`
	Enrichment         *Enrichment         `json:"enrichment,omitempty"`
	GDPR               *GDPR               `json:"gdpr,omitempty"`
	Lifecycle          *Lifecycle          `json:"lifecycle,omitempty"`
}

// Frequency is when something happens: `realtime`, an interval (15m), a word (hourly, daily, weekly, monthly, yearly), or
// cron of five fields. ParseSchedule reads it.
type Frequency struct {
	When     string `json:"when"`
	TimeZone string `json:"timeZone,omitempty"` // IANA name; "": the tenant's
}

// SyncPair lets changes pass between its systems, for its fields. Where a document has pairs, nothing else passes.
type SyncPair struct {
	Systems    []string `json:"systems"`
	SyncFields []string `json:"syncFields,omitempty"` // entity fields, or names of collections for whole records; empty: all
}

// ConflictResolution is the rule for fields that two systems changed since they last agreed.
type ConflictResolution struct {
	FieldResolution
	Fields map[string]FieldResolution `json:"fields,omitempty"` // by entity field
}

// FieldResolution names a strategy and what it needs.
type FieldResolution struct {
	Strategy   string   `json:"strategy,omitempty"`   // see the constants beside Strategy; or "<systemId>-wins"
	Priority   []string `json:"priority,omitempty"`   // system ids for fieldPriority: the first that holds a value wins
	Expression string   `json:"expression,omitempty"` // for custom: gives the winning value
	Arrays     string   `json:"arrays,omitempty"`     // for merge: append, replace, union (default), keyed
	ArrayKey   string   `json:"arrayKey,omitempty"`   // for merge with arrays keyed: the field that is an item's key; "" is id
}

// FilterCondition lets records pass. Conditions of a list must all hold. It is either a test of one field or a group.
type FilterCondition struct {
	Field    string            `json:"field,omitempty"`
	Operator string            `json:"operator,omitempty"`
	Value    Literal           `json:"value,omitzero"`
	Values   []Literal         `json:"values,omitempty"` // for in, notIn, between
	Any      []FilterCondition `json:"any,omitempty"`    // at least one holds
	All      []FilterCondition `json:"all,omitempty"`    // each holds
}

// Literal is a value written in the document: text, number, true, false or null, in canonical form.
type Literal struct {
	Given bool // false: nothing is written there
	Value record.Value
}

// IsZero says whether nothing is written there.
func (l Literal) IsZero() bool { return !l.Given }

// MarshalJSON writes the value.
func (l Literal) MarshalJSON() ([]byte, error) { return record.AppendJSON(nil, l.Value), nil }

// UnmarshalJSON reads a value into canonical form.
func (l *Literal) UnmarshalJSON(b []byte) (err error) {
	l.Given = true
	l.Value, err = record.ParseJSON(b)
	return err
}

// Deletes says what happens elsewhere when a system deletes a record.
type Deletes struct {
	Policy       string            `json:"policy,omitempty"`       // propagate, archive, ignore
	ArchiveField string            `json:"archiveField,omitempty"` // for archive: the entity field that is set
	ArchiveValue Literal           `json:"archiveValue,omitzero"`  // for archive: what it is set to; absent: true
	Systems      map[string]string `json:"systems,omitempty"`      // the policy towards single systems, by id
}

// ReferenceRules says what happens around references between records.
type ReferenceRules struct {
	Wait    string `json:"wait,omitempty"`    // how long a record waits for one that it refers to before that is reported; "" is DefaultReferenceWait
	Orphans string `json:"orphans,omitempty"` // wait (default), delete, detach: the records that refer to a deleted one
	Cycles  string `json:"cycles,omitempty"`  // refuse (default), two-pass
}

// Consistency is the guarantee asked for.
type Consistency struct {
	Level    string   `json:"level"`              // eventual, strong, causal, transactional
	MaxDelay string   `json:"maxDelay,omitempty"` // for eventual: an interval after which lag is an alert
	Fields   []string `json:"fields,omitempty"`   // of strong: only for these fields; empty: all
}

// SafetyThreshold holds changes that are larger than anybody meant. Percentages are of the records in a run, or of a
// field's value for a decrease or increase; nil and "" do not limit.
type SafetyThreshold struct {
	MaxDecreasePercent  record.Number `json:"maxDecreasePercent,omitempty"` // of a numeric field in one change
	MaxIncreasePercent  record.Number `json:"maxIncreasePercent,omitempty"`
	Fields              []string      `json:"fields,omitempty"`           // the fields whose decrease and increase is limited; empty: all numeric
	MaxChangePercent    record.Number `json:"maxChangePercent,omitempty"` // of the records, in one run
	MaxDeletePercent    record.Number `json:"maxDeletePercent,omitempty"`
	MaxChanges          *int          `json:"maxChanges,omitempty"`
	MaxDeletes          *int          `json:"maxDeletes,omitempty"`
	AlertOnLargeChanges bool          `json:"alertOnLargeChanges,omitempty"`
	OnExceed            string        `json:"onExceed,omitempty"` // hold (default): wait for a person; alert: only tell
}

// ConflictAlert is that people want to be told when systems disagree often.
type ConflictAlert struct {
	Field  string `json:"field,omitempty"` // "": about any field
	Count  int    `json:"count"`
	Within string `json:"within"` // an interval
}

// ProofOptions say how often all records are compared.
type ProofOptions struct {
	Enabled *bool  `json:"enabled,omitempty"`
	Every   string `json:"every,omitempty"` // an interval, from the end of one comparison to the beginning of the next; "": an hour where databases compute digests, else a day
}

// longestQuiet is the longest quiet period.
const longestQuiet = time.Hour

// Quiet is how long a record that people changed rests before it is carried. Only a realtime service has such a time: the others
// collect changes anyway.
func (d *Document) Quiet() time.Duration {
	if d.Schedule().Kind != Realtime {
		return 0
	}
	i, err := ParseInterval(d.SyncConfig.QuietPeriod)
	if d.SyncConfig.QuietPeriod == "" || err != nil {
		return 0
	}
	return min(i.Duration(), longestQuiet)
}

// ProofEvery is how long after a comparison of all records the next begins by itself. It is 0 for none but those asked for,
// and negative where the document leaves it to what a comparison costs.
func (d *Document) ProofEvery() time.Duration {
	p := d.SyncConfig.Proof
	switch {
	case p != nil && !switchedOn(p.Enabled):
		return 0
	case p == nil || p.Every == "":
		return -1
	}
	i, err := ParseInterval(p.Every)
	if err != nil {
		return -1
	}
	return max(time.Duration(i.Days)*24*time.Hour+i.Clock, time.Minute)
}

// Reconciliation compares the systems on a schedule.
type Reconciliation struct {
	Enabled   *bool         `json:"enabled,omitempty"`
	Schedule  *Frequency    `json:"schedule,omitempty"`
	Tolerance record.Number `json:"tolerance,omitempty"` // numeric differences up to this count as equal
	Systems   []string      `json:"systems,omitempty"`   // ids; empty: all
	Fields    []string      `json:"fields,omitempty"`    // entity fields compared; empty: all
	AssignTo  string        `json:"assignTo,omitempty"`  // who gets the discrepancies
}

// Validation has checks of whole records and rules by entity field. A record that fails is quarantined, the others flow.
type Validation struct {
	CheckDuplicates bool                 `json:"-"`
	ValidateAmounts bool                 `json:"-"`
	RequireReceipts bool                 `json:"-"`
	Fields          map[string]FieldRule `json:"-"`
}

// MarshalJSON writes flags and field rules beside each other, as the document has them.
func (v Validation) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(v.Fields)+3)
	for name, on := range map[string]bool{"checkDuplicates": v.CheckDuplicates, "validateAmounts": v.ValidateAmounts, "requireReceipts": v.RequireReceipts} {
		if on {
			out[name] = true
		}
	}
	for name, rule := range v.Fields {
		out[name] = rule
	}
	return json.Marshal(out)
}

// UnmarshalJSON tells flags and field rules apart by their values.
func (v *Validation) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*v = Validation{}
	flags := map[string]*bool{"checkDuplicates": &v.CheckDuplicates, "validateAmounts": &v.ValidateAmounts, "requireReceipts": &v.RequireReceipts}
	for name, value := range raw {
		if flag := flags[name]; flag != nil && len(value) > 0 && value[0] != '{' {
			if err := json.Unmarshal(value, flag); err != nil {
				return err
			}
			continue
		}
		var rule FieldRule
		if err := json.Unmarshal(value, &rule); err != nil {
			return err
		}
		if v.Fields == nil {
			v.Fields = make(map[string]FieldRule)
		}
		v.Fields[name] = rule
	}
	return nil
}

// FieldRule is what a field's value must be.
type FieldRule struct {
	Required  bool          `json:"required,omitempty"`
	Type      string        `json:"type,omitempty"`      // string, number, integer, boolean, date, datetime, array, object
	Format    string        `json:"format,omitempty"`    // email, E.164, url, uuid, date, date-time
	Region    string        `json:"region,omitempty"`    // for E.164: the country of numbers that do not name theirs
	Normalize bool          `json:"normalize,omitempty"` // bring it into the format's usual form first
	Min       record.Number `json:"min,omitempty"`
	Max       record.Number `json:"max,omitempty"`
	Precision *int          `json:"precision,omitempty"` // digits after the point at most
	MinLength int           `json:"minLength,omitempty"` // characters
	MaxLength int           `json:"maxLength,omitempty"`
	Enum      []Literal     `json:"enum,omitempty"`
	Regex     string        `json:"regex,omitempty"` // RE2; must match somewhere, so anchor it with ^ and $
}

// Cleansing tidies values before they are validated.
type Cleansing struct {
	TrimWhitespace     bool              `json:"trimWhitespace,omitempty"`
	CollapseWhitespace bool              `json:"collapseWhitespace,omitempty"`
	EmptyToNull        bool              `json:"emptyToNull,omitempty"`
	RemoveInvalidChars bool              `json:"removeInvalidChars,omitempty"`
	NormalizeCase      map[string]string `json:"normalizeCase,omitempty"` // entity field to lowercase, uppercase, titlecase, sentencecase
	Fields             []string          `json:"fields,omitempty"`        // the fields the switches above apply to; empty: all text fields
}

// Deduplication says which records are the same and what becomes of them.
type Deduplication struct {
	Enabled       *bool                 `json:"enabled,omitempty"`
	MatchFields   []string              `json:"matchFields,omitempty"`
	FuzzyMatch    map[string]FuzzyMatch `json:"fuzzyMatch,omitempty"` // by entity field
	MergeStrategy string                `json:"mergeStrategy,omitempty"`
	MergeFields   map[string]string     `json:"mergeFields,omitempty"` // by entity field: the strategy that chooses its value
	Priority      []string              `json:"priority,omitempty"`    // system ids, for primary; empty: the primary, then the document's order
	AutoMerge     record.Number         `json:"autoMerge,omitempty"`   // at least so alike: merged without asking
	Review        record.Number         `json:"review,omitempty"`      // at least so alike: a person decides
	Losers        string                `json:"losers,omitempty"`      // what becomes of a second record in one system: keep (default), archive, delete
}

// FuzzyMatch compares texts by likeness.
type FuzzyMatch struct {
	Threshold record.Number `json:"threshold"`           // 0 to 1; 1 is equal
	Algorithm string        `json:"algorithm,omitempty"` // jaro-winkler (default), levenshtein
	Kind      string        `json:"kind,omitempty"`      // text, name, email, phone, address; absent: by the field's name
	Weight    record.Number `json:"weight,omitempty"`    // how much it counts; absent: 1
}

// Enrichment completes records from lookup services.
type Enrichment struct {
	Enabled      *bool              `json:"enabled,omitempty"`
	Sources      []EnrichmentSource `json:"sources,omitempty"` // asked in this order
	OnNewContact bool               `json:"onNewContact,omitempty"`
	OnUpdate     bool               `json:"onUpdate,omitempty"`
	Fields       []string           `json:"fields,omitempty"` // entity fields that may be filled; empty: all
}

// EnrichmentSource is one lookup service: a system that is asked about records and never holds them.
type EnrichmentSource struct {
	ID         string            `json:"id,omitempty"` // what history and usage call it; absent: the type
	Type       string            `json:"type"`
	Connection Connection        `json:"connection,omitzero"`
	Object     string            `json:"object,omitempty"`     // what is asked for; absent: the one that fits the collection
	Collection string            `json:"collection,omitempty"` // whose records are completed; absent: all that have the question's fields
	Ask        map[string]string `json:"ask,omitempty"`        // the source's field: the entity's field
	Fill       map[string]string `json:"fill,omitempty"`       // the source's field: the entity's field
	Overwrite  bool              `json:"overwrite,omitempty"`  // what systems say is replaced, too
	MaxAge     string            `json:"maxAge,omitempty"`     // an interval; absent: an answer holds as long as its question
	Limit      int64             `json:"limit,omitempty"`      // lookups in a period; absent: any number
	Per        string            `json:"per,omitempty"`        // hour, day, month (default)
}

// Name is what the source is called: its id, else its type.
func (s EnrichmentSource) Name() string {
	if s.ID != "" {
		return s.ID
	}
	return s.Type
}

// Sources are the lookup services in force, in the order in which they are asked.
func (d *Document) Sources() []EnrichmentSource {
	if e := d.SyncConfig.Enrichment; e.On() {
		return e.Sources
	}
	return nil
}

// Lookups are the most lookups that so many records of a collection, or of any for "", make: those that are new, and those that
// change in a month.
func (d *Document) Lookups(collection string, made, changed int64) (first, monthly int64) {
	e := d.SyncConfig.Enrichment
	for _, s := range d.Sources() {
		if s.Collection != "" && collection != "" && s.Collection != collection {
			continue
		}
		most := int64(math.MaxInt64)
		if s.Limit > 0 {
			most = s.Limit * map[string]int64{"hour": 31 * 24, "day": 31}[s.Per]
			if most == 0 {
				most = s.Limit
			}
		}
		if e.OnNewContact || !e.OnUpdate {
			first += min(made, most)
		}
		if e.OnUpdate {
			monthly += min(changed, most)
		}
	}
	return first, monthly
}

// Source returns the lookup service of that name, also one that is switched off.
func (d *Document) Source(name string) (EnrichmentSource, bool) {
	if e := d.SyncConfig.Enrichment; e != nil {
		for _, s := range e.Sources {
			if s.Name() == name {
				return s, true
			}
		}
	}
	return EnrichmentSource{}, false
}

// AsSystem is the source as far as opening it goes.
func (s EnrichmentSource) AsSystem() System {
	c := s.Connection
	if c.IsZero() {
		c.Name = s.Type
	}
	return System{ID: s.Name(), Type: s.Type, Connection: c}
}

// GDPR switches the rights of data subjects on.
type GDPR struct {
	Enabled         *bool  `json:"enabled,omitempty"`
	RightToErasure  bool   `json:"rightToErasure,omitempty"`
	DataPortability bool   `json:"dataPortability,omitempty"`
	ConsentTracking bool   `json:"consentTracking,omitempty"`
	ConsentField    string `json:"consentField,omitempty"` // the entity field that holds the consent
	Retention       string `json:"retention,omitempty"`    // an interval: how long history is kept
}

// Lifecycle switches the life events of a person on, which trigger workflows.
type Lifecycle struct {
	Onboarding  bool `json:"onboarding,omitempty"`
	Offboarding bool `json:"offboarding,omitempty"`
	RoleChanges bool `json:"roleChanges,omitempty"`
}

// FieldMapping names the entity's fields. One of the two forms is set, or none.
type FieldMapping struct {
	Flat     map[string]string            // entity field to alias
	BySystem map[string]map[string]string // system id to (the system's field to the entity's)
}

// IsZero says whether there is no mapping.
func (m FieldMapping) IsZero() bool { return m.Flat == nil && m.BySystem == nil }

// MarshalJSON writes the form that is set.
func (m FieldMapping) MarshalJSON() ([]byte, error) {
	if m.BySystem != nil {
		return json.Marshal(m.BySystem)
	}
	return json.Marshal(m.Flat)
}

// UnmarshalJSON reads either form; an empty object is the flat one.
func (m *FieldMapping) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*m = FieldMapping{}
	for _, value := range raw {
		if len(value) > 0 && value[0] == '{' {
			return json.Unmarshal(b, &m.BySystem)
		}
	}
	return json.Unmarshal(b, &m.Flat)
}

// BusinessRule is one of four forms: a computed field (Rule), an action under a condition (Condition and Action), a
// duplicate check within a window (Window and Fields), or a route from system to system (Target with Condition, Mapping).
type BusinessRule struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	Enabled     *bool              `json:"enabled,omitempty"`
	Rule        string             `json:"rule,omitempty"` // "field = expression"; see SplitRule
	Condition   string             `json:"condition,omitempty"`
	Action      string             `json:"action,omitempty"`
	With        map[string]Literal `json:"with,omitempty"`   // what the action needs: to, message, ...
	Window      string             `json:"window,omitempty"` // an interval
	Fields      []string           `json:"fields,omitempty"` // the fields that are equal in duplicates
	Source      string             `json:"source,omitempty"` // a system id; "": any
	Target      []string           `json:"target,omitempty"` // system ids
	Mapping     map[string]string  `json:"mapping,omitempty"`
}

// Workflow is a sequence of steps in several systems.
type Workflow struct {
	Name      string         `json:"name"`
	Trigger   string         `json:"trigger"` // an event: "new-employee"
	Condition string         `json:"condition,omitempty"`
	Steps     []WorkflowStep `json:"steps"`
}

// WorkflowStep is one act.
type WorkflowStep struct {
	Name      string             `json:"name"`
	Action    string             `json:"action,omitempty"` // "": the name says it
	System    string             `json:"system,omitempty"` // a system id
	With      map[string]Literal `json:"with,omitempty"`
	At        string             `json:"at,omitempty"` // an entity field with a date: the step waits for it
	Timeout   string             `json:"timeout,omitempty"`
	OnFailure string             `json:"onFailure,omitempty"` // stop (default), continue, compensate
}

// Security protects the data in the journal, the API and the browser.
type Security struct {
	Encryption    *Encryption       `json:"encryption,omitempty"`
	PIIProtection bool              `json:"piiProtection,omitempty"`
	AccessLogging bool              `json:"accessLogging,omitempty"`
	DataMasking   map[string]Mask   `json:"dataMasking,omitempty"` // by entity field
	PIIClasses    map[string]string `json:"piiClasses,omitempty"`  // entity field to contact, identity, financial, health, credential
}

// Encryption is how values are sealed at rest.
type Encryption struct {
	Algorithm string   `json:"algorithm,omitempty"` // "AES-256-GCM"
	Fields    []string `json:"fields,omitempty"`    // entity fields; empty: what piiProtection and dataMasking name
}

// Mask hides a field from people.
type Mask struct {
	Enabled *bool    `json:"enabled,omitempty"`
	Roles   []string `json:"roles,omitempty"` // the roles that see it in full; empty: owner and admin
	Show    string   `json:"show,omitempty"`  // what the others see: none (default), last4, first, hash
}

// AuditLog keeps what people and keys did with the service and its records.
type AuditLog struct {
	Enabled   *bool  `json:"enabled,omitempty"`
	Retention string `json:"retention,omitempty"` // an interval
}

// switchedOn says whether a block that is there is switched on; one without `enabled` is.
func switchedOn(enabled *bool) bool { return enabled == nil || *enabled }

// On says whether the systems are reconciled on a schedule.
func (r *Reconciliation) On() bool { return r != nil && switchedOn(r.Enabled) }

// On says whether duplicates are looked for.
func (d *Deduplication) On() bool { return d != nil && switchedOn(d.Enabled) }

// On says whether records are enriched.
func (e *Enrichment) On() bool { return e != nil && switchedOn(e.Enabled) }

// On says whether the rights of data subjects are served.
func (g *GDPR) On() bool { return g != nil && switchedOn(g.Enabled) }

// On says whether the audit log is asked for.
func (a *AuditLog) On() bool { return a != nil && switchedOn(a.Enabled) }

// On says whether the rule is in force.
func (r BusinessRule) On() bool { return switchedOn(r.Enabled) }

// On says whether the field is masked.
func (m Mask) On() bool { return switchedOn(m.Enabled) }
