// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// Lookups is what a document's surroundings know. A nil function leaves its checks out.
type Lookups struct {
	// Connector returns what the connector of a type or alias says of itself, false when this build has none.
	Connector func(connectorType string) (connector.Spec, bool)
	// Secret says whether the tenant has a secret of that name.
	Secret func(name string) bool
	// Connection returns the connector type of the tenant's connection of that name, false when there is none. The type may
	// be "" when it is not known.
	Connection func(name string) (connectorType string, ok bool)
	// Model returns the model that a connector binds an object to, "" for none.
	Model ModelOf
}

// Findings is what Validate has to say, in the order of the source.
type Findings struct {
	Errors  []fault.Field // the document cannot be used until these are mended
	Notices []fault.Field // it can, but somebody should know
}

// Err returns the errors as the fault service.document_invalid, nil when there are none.
func (f Findings) Err() error {
	if len(f.Errors) == 0 {
		return nil
	}
	return invalid(f.Errors)
}

// Check parses a document and validates as much of it as can be read, so that an editor shows everything at once. The
// document is nil when there are errors.
func Check(source []byte, format Format, known Lookups) (*Document, Findings) {
	doc, wrong := read(source, format)
	if doc == nil || len(doc.places) == 0 {
		return nil, Findings{Errors: wrong}
	}
	found := doc.Validate(known)
	if len(wrong) == 0 {
		if len(found.Errors) > 0 {
			doc = nil
		}
		return doc, found
	}
	// What could not be read is missing in the document; findings at, above or below such a place may follow from that.
	for _, finding := range found.Errors {
		related := slices.ContainsFunc(wrong, func(w fault.Field) bool {
			return w.Pointer == finding.Pointer || strings.HasPrefix(w.Pointer, finding.Pointer+"/") || strings.HasPrefix(finding.Pointer, w.Pointer+"/")
		})
		if !related {
			wrong = append(wrong, finding)
		}
	}
	return nil, Findings{Errors: inSourceOrder(wrong), Notices: found.Notices}
}

// Validate checks what the form alone does not show: that names refer to something, that connectors, secrets and connections
// exist and fit, that schedules, expressions and regular expressions can be used. Findings carry the place in the source
// when the document was parsed, else the pointer into its canonical form alone.
func (d *Document) Validate(known Lookups) Findings {
	v := &validation{d: d, known: known, ids: d.SystemIDs(), unavailable: map[string]bool{}}
	v.systems()
	v.syncConfig()
	v.fields()
	v.rules()
	v.workflows()
	v.collections()
	v.references()
	return Findings{Errors: v.errors.sorted(), Notices: v.notices.sorted()}
}

type validation struct {
	d               *Document
	known           Lookups
	ids             []string
	unavailable     map[string]bool // systems whose connector this build lacks
	specs           []connector.Spec
	errors, notices problems
}

// found makes a finding at a canonical pointer, `into` characters behind the beginning of the value when that is text as
// written.
func (v *validation) found(code, canon string, into int, message, remedy string) fault.Field {
	field := fault.Field{Pointer: canon, Code: code, Message: message, Remedy: remedy}
	for at, up := canon, false; v.d.places != nil; up = true {
		if p, ok := v.d.places[at]; ok {
			field.Pointer, field.Line, field.Column = p.pointer, p.line, p.col
			if into > 0 && p.shown > 0 && !up {
				field.Column += into + p.shown - 1
			}
			return field
		}
		i := strings.LastIndexByte(at, '/')
		if i < 0 {
			return field
		}
		at = at[:i]
	}
	return field
}

func (v *validation) fail(code, canon, remedy, format string, args ...any) {
	v.errors.add(v.found(code, canon, 0, fmt.Sprintf(format, args...), remedy))
}

func (v *validation) failInto(code, canon string, into int, message, remedy string) {
	v.errors.add(v.found(code, canon, into, message, remedy))
}

func (v *validation) notice(code, canon, remedy, format string, args ...any) {
	v.notices.add(v.found(code, canon, 0, fmt.Sprintf(format, args...), remedy))
}

func pointer(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		switch p := p.(type) {
		case int:
			b.WriteString(strconv.Itoa(p))
		case string:
			b.WriteString(pointerToken(p))
		}
	}
	return b.String()
}

// system checks a reference to a system.
func (v *validation) system(id, canon string) {
	if id == "" || slices.Contains(v.ids, id) {
		return
	}
	remedy := didYouMean(id, v.ids)
	if remedy == "" {
		remedy = "The systems are " + listed(v.ids) + "."
	}
	v.fail(codeSystemUnknown, canon, remedy, "There is no system %q in this document.", shorten(id))
}

func (v *validation) systems() {
	seen := map[string]int{}
	primary := ""
	for i, s := range v.d.Systems {
		if first, twice := seen[s.ID]; twice && s.ID != "" {
			v.fail(codeIDDuplicate, pointer("systems", i, "id"), "Give each system an id of its own.", "The id %s is also that of system %d.", s.ID, first+1)
		} else {
			seen[s.ID] = i
		}
		if s.ID == "all" {
			v.fail(codeValueInvalid, pointer("systems", i, "id"), "Choose another id.", "The id all is reserved: it stands for all systems.")
		}
		if s.Primary {
			if primary != "" {
				v.fail(codePrimaryTwice, pointer("systems", i, "primary"), "Leave primary on one of them.", "Two systems are primary: %s and %s.", primary, s.ID)
			}
			primary = s.ID
		}
		if s.TimeZone != "" {
			if _, err := ParseZone(s.TimeZone); err != nil {
				remedy := didYouMean(s.TimeZone, zoneExamples)
				if remedy == "" {
					remedy = "Write an IANA name such as Europe/Berlin, America/New_York or UTC."
				}
				v.fail(codeTimeZoneUnknown, pointer("systems", i, "timeZone"), remedy, "There is no time zone %q.", shorten(s.TimeZone))
			}
		}
		spec, ok := v.connector(s.Type, pointer("systems", i, "type"))
		if !ok {
			v.unavailable[s.ID] = true
			continue
		}
		v.connection(s, spec, i)
		v.objects(s, i)
	}
}

// connector finds a connector; when it cannot, it has said why.
func (v *validation) connector(typ, canon string) (*connector.Spec, bool) {
	if v.known.Connector == nil || typ == "" {
		return nil, true
	}
	spec, ok := v.known.Connector(typ)
	if ok {
		if notice, old := retired[typ]; old {
			v.notice(codeConnectorRetired, canon, "", "%s", notice)
		}
		v.specs = append(v.specs, spec)
		return &spec, true
	}
	if title, ok := planned[typ]; ok {
		v.fail(CodeConnectorUnavailable, canon, "Remove it for now, or install a version that has it.", "The connector for %s (%s) is not part of this version.", title, typ)
		return nil, false
	}
	remedy := didYouMean(typ, sortedKeys(planned))
	if remedy == "" {
		remedy = "The list of connectors is at GET /v1/connectors."
	}
	v.fail(codeConnectorUnknown, canon, remedy, "There is no connector of type %q.", shorten(typ))
	return nil, false
}

func (v *validation) connection(s System, spec *connector.Spec, i int) {
	at := pointer("systems", i, "connection")
	if s.ChangeDetection != "" && s.ChangeDetection != "auto" && spec != nil && !slices.Contains(spec.Detections, s.ChangeDetection) {
		v.fail(codeDetectionUnavailable, pointer("systems", i, "changeDetection"), "It can do: auto, "+listed(spec.Detections)+".", "%s cannot see changes by %s.", spec.Title, s.ChangeDetection)
	}
	if s.Connection.Settings != nil {
		v.settings(s.Connection.Settings, spec, at)
		return
	}
	name := s.Connection.Name
	if name == "" {
		name, at = s.ID, pointer("systems", i)
	}
	v.named(name, s.Connection.Name == "", spec, at)
}

// named checks a reference to one of the tenant's connections.
func (v *validation) named(name string, implied bool, spec *connector.Spec, at string) {
	if v.known.Connection == nil || name == "" {
		return
	}
	typ, ok := v.known.Connection(name)
	switch {
	case !ok && implied:
		v.fail(codeConnectionUnknown, at, "Make a connection named "+name+", or write `connection:` with a name or settings.", "%s has no connection: none is written here and none is named %s.", name, name)
	case !ok:
		v.fail(codeConnectionUnknown, at, "Make the connection first, or write its settings here.", "There is no connection named %q.", shorten(name))
	case spec != nil && typ != "" && typ != spec.Type && !slices.Contains(spec.Aliases, typ):
		v.fail(codeConnectionMismatch, at, "Name a "+spec.Title+" connection, or change the type.", "The connection %s is one of type %s, not %s.", name, typ, spec.Type)
	}
}

// settings checks settings written into the document: the references in them, then their values against the connector's
// declaration.
func (v *validation) settings(settings map[string]string, spec *connector.Spec, at string) {
	checked := connector.Settings{}
	malformed := false
	for _, name := range sortedKeys(settings) {
		value := settings[name]
		canon := at + pointer(name)
		parts, err := segments(value)
		if err != nil {
			malformed = true
			v.fail(codeSecretMalformed, canon, "Write ${NAME} with capital letters, digits and _; write $${ for the two characters themselves.", "In %s %s.", name, err)
		}
		references := err != nil
		for _, p := range parts {
			if !p.secret {
				continue
			}
			references = true
			if v.known.Secret != nil && !v.known.Secret(p.text) {
				v.failInto(CodeSecretUnknown, canon, p.at, fmt.Sprintf("There is no secret named %s.", p.text), "Add it under Settings, Secrets, or with PUT /v1/secrets/"+p.text+".")
			}
		}
		if spec == nil {
			continue
		}
		written := name
		declared, ok := spec.Setting(name)
		if old, has := retiredSettings[spec.Type]; has && old[0] == name {
			v.notice(codeSettingRetired, canon, "", "%s", old[2])
			if !ok { // the connector knows it by its present name
				name = old[1]
				declared, ok = spec.Setting(name)
			}
		}
		if !ok && slices.Contains(tableSettings, name) {
			continue // it names the object, see ObjectsOf
		}
		if ok && declared.Secret && value != "" && !references {
			v.fail(codeSecretInClear, canon, "Store it as a secret and write ${NAME} here.", "%s is a secret; it cannot be written into the document, which is kept and shown as it is.", written)
		}
		if references && ok {
			value = stand(declared) // its value is only known at use
		}
		checked[name] = value
	}
	if spec == nil || malformed {
		return
	}
	_, err := spec.Check(checked)
	for _, wrong := range fieldsOf(err) {
		name := strings.TrimPrefix(wrong.Pointer, "/")
		if wrong.Code == "connection.setting_unknown" {
			var names []string
			for _, s := range spec.Settings {
				names = append(names, s.Name)
			}
			if near := didYouMean(name, names); near != "" {
				wrong.Remedy = near
			}
		}
		v.fail(wrong.Code, at+pointer(name), wrong.Remedy, "%s", wrong.Message)
	}
}

// fieldsOf returns the fields of a fault; any other error is one field without a place.
func fieldsOf(err error) []fault.Field {
	if err == nil {
		return nil
	}
	if f := fault.As(err); f != nil {
		return f.Fields
	}
	return []fault.Field{{Message: err.Error()}}
}

// stand returns a value that the setting certainly accepts, in place of one that is not known yet.
func stand(s connector.Setting) string {
	switch s.Kind {
	case connector.Integer:
		return "1"
	case connector.Boolean:
		return "true"
	case connector.Choice:
		if len(s.Choices) > 0 {
			return s.Choices[0]
		}
	}
	return "x"
}

func (v *validation) objects(s System, i int) {
	seen := map[string]bool{}
	for j, o := range s.Objects {
		at := pointer("systems", i, "objects", j)
		if seen[o.Name] && o.Name != "" {
			v.fail(codeIDDuplicate, at+"/name", "Remove one of them.", "The object %s is listed twice.", shorten(o.Name))
		}
		seen[o.Name] = true
		v.conditions(o.Filter, at+"/filter")
		names := make([]string, len(s.Objects))
		for k := range s.Objects {
			names[k] = s.Objects[k].Name
		}
		for _, field := range sortedKeys(o.References) {
			if to := o.References[field]; !slices.Contains(names, to) {
				remedy := didYouMean(to, names)
				if remedy == "" {
					remedy = "The objects of " + s.ID + " are " + listed(names) + "."
				}
				v.fail(codeValueUnknown, at+pointer("references", field), remedy, "%s has no object %q in this document.", s.ID, shorten(to))
			}
		}
		v.mappingOnce(o.FieldMapping, at+"/fieldMapping")
	}
}

// detection looks whether the systems can see changes in the way that the document asks of all of them. One that none can do is an
// error; one that some cannot is theirs to know.
func (v *validation) detection(word string) {
	if word == "" || word == "auto" || v.known.Connector == nil || len(v.unavailable) > 0 {
		return
	}
	can := 0
	var ways, theirs []string // of those that cannot; and of those of them that say no word of their own
	for _, s := range v.d.Systems {
		spec, known := v.known.Connector(s.Type)
		switch {
		case !known:
			return // said elsewhere
		case len(spec.Detections) == 0: // it is only written to
		case slices.Contains(spec.Detections, word):
			can++
		default:
			way := s.ID + " can by " + listed(spec.Detections)
			if ways = append(ways, way); s.ChangeDetection == "" {
				theirs = append(theirs, way)
			}
		}
	}
	const at = "/syncConfig/changeDetection"
	switch {
	case len(ways) > 0 && can == 0:
		v.fail(codeDetectionUnavailable, at, "Leave it out, or say auto, to let each use the best it can: "+strings.Join(ways, "; ")+".", "None of these systems can see changes by %s.", word)
	case len(theirs) > 0:
		v.notice(codeDetectionUnavailable, at, "", "Not all of these systems can see changes by %s: %s. Each of those uses the best it can.", word, strings.Join(theirs, "; "))
	}
}

func (v *validation) syncConfig() {
	c := v.d.SyncConfig
	if c.Frequency != nil {
		v.schedule(*c.Frequency, "/syncConfig/frequency", true)
	}
	v.detection(c.ChangeDetection)
	if c.ConflictResolution != nil {
		v.strategies(*c.ConflictResolution)
	}
	v.pairs(c.Bidirectional)
	v.conditions(c.FilterConditions, "/syncConfig/filterConditions")
	if del := c.Deletes; del != nil {
		for _, id := range sortedKeys(del.Systems) {
			v.system(id, pointer("syncConfig", "deletes", "systems", id))
		}
		archives := del.Policy == string(Archive)
		for _, policy := range del.Systems {
			archives = archives || policy == string(Archive)
		}
		archives = archives || c.Deduplication != nil && c.Deduplication.Losers == string(LoserArchive)
		if (del.ArchiveField != "" || !del.ArchiveValue.IsZero()) && !archives {
			v.fail(codeStrategyIncomplete, "/syncConfig/deletes", "Write `policy: archive`, or remove archiveField and archiveValue.", "archiveField has a meaning only with the policy archive, or with `losers: archive` of deduplication.")
		}
	}
	v.consistency()
	if rec := c.Reconciliation; rec != nil {
		if rec.Schedule != nil {
			v.schedule(*rec.Schedule, "/syncConfig/reconciliation/schedule", false)
		}
		for i, id := range rec.Systems {
			v.system(id, pointer("syncConfig", "reconciliation", "systems", i))
		}
	}
	if dedup := c.Deduplication; dedup != nil {
		const at = "/syncConfig/deduplication"
		for i, id := range dedup.Priority {
			v.system(id, at+pointer("priority", i))
		}
		for _, field := range sortedKeys(dedup.FuzzyMatch) {
			v.suspect(field, at+pointer("fuzzyMatch", field))
		}
		for _, field := range sortedKeys(dedup.MergeFields) {
			v.suspect(field, at+pointer("mergeFields", field))
		}
		if dedup.Losers == string(LoserArchive) && (c.Deletes == nil || c.Deletes.ArchiveField == "") {
			v.fail(codeStrategyIncomplete, at+"/losers", "Add `deletes: {archiveField: ...}`, or write `losers: keep`.", "Archiving needs the field that is set.")
		}
		if auto, ask := share(dedup.AutoMerge, usualAuto), share(dedup.Review, usualAsk); auto < ask && dedup.AutoMerge != "" && dedup.Review != "" {
			v.fail(codeStrategyIncomplete, at+"/review", "Make review the smaller of the two.", "Records would be merged without asking before anybody is asked.")
		}
	}
	if val := c.Validation; val != nil {
		for _, name := range sortedKeys(val.Fields) {
			v.fieldRule(val.Fields[name], pointer("syncConfig", "validation", name))
			v.suspect(name, pointer("syncConfig", "validation", name))
		}
	}
	if e := c.Enrichment; e != nil {
		named := slices.Clone(v.ids)
		for i, source := range e.Sources {
			at := pointer("syncConfig", "enrichment", "sources", i)
			if name := source.Name(); slices.Contains(named, name) {
				v.fail(codeIDDuplicate, at, "Give it an `id` of its own.", "Another system or source of this document is named %s.", name)
			}
			named = append(named, source.Name())
			for _, native := range sortedKeys(source.Fill) {
				if _, asked := source.Ask[native]; asked && source.Ask[native] != source.Fill[native] {
					v.fail(codeMappingAmbiguous, at+pointer("fill", native), "Leave it out: an answer says of it what was asked.", "The field %s is what the question is made of.", native)
				}
			}
			spec, ok := v.connector(source.Type, at+"/type")
			if !ok {
				continue
			}
			if source.Connection.Settings != nil {
				v.settings(source.Connection.Settings, spec, at+"/connection")
			} else if source.Connection.Name != "" {
				v.named(source.Connection.Name, false, spec, at+"/connection")
			} else {
				v.named(source.Type, true, spec, at)
			}
		}
	}
}

func (v *validation) schedule(f Frequency, canon string, realtime bool) {
	s, err := ParseSchedule(f)
	if err != nil {
		problem := fault.As(err)
		at := canon + "/when"
		if problem.Code == codeTimeZoneUnknown && f.TimeZone != "" {
			at = canon + "/timeZone"
		}
		v.fail(problem.Code, at, "", "%s", problem.Message)
		return
	}
	if s.Kind == Realtime && !realtime {
		v.fail(codeScheduleInvalid, canon+"/when", "Write an interval, a word such as daily, or cron.", "Reconciliation cannot be realtime.")
	}
}

func (v *validation) strategies(c ConflictResolution) {
	const at = "/syncConfig/conflictResolution"
	v.strategy(c.FieldResolution, at, false)
	if c.Strategy == string(FieldPriority) && len(c.Priority) == 0 && len(c.Fields) == 0 {
		v.fail(codeStrategyIncomplete, at, "Add `priority: [first, second]`, or `fields:` with a rule for each.", "fieldPriority needs an order of systems or rules for fields.")
	}
	for _, field := range sortedKeys(c.Fields) {
		rule := c.Fields[field]
		here := at + pointer("fields", field)
		v.strategy(rule, here, true)
		if rule.Strategy == string(FieldPriority) && len(rule.Priority) == 0 && len(c.Priority) == 0 {
			v.fail(codeStrategyIncomplete, here, "Add `priority: [first, second]`.", "fieldPriority needs an order of systems.")
		}
		v.suspect(field, here)
	}
}

func (v *validation) strategy(rule FieldResolution, at string, single bool) {
	kind, system := splitStrategy(rule.Strategy)
	if kind == SystemWins {
		if !slices.Contains(v.ids, system) {
			var words []string
			for _, id := range v.ids {
				words = append(words, id+"-wins")
			}
			words = append(words, string(SourceWins), string(TargetWins), string(LastWriteWins), string(FirstWriteWins))
			remedy := didYouMean(rule.Strategy, words)
			if remedy == "" {
				remedy = "The systems are " + listed(v.ids) + "."
			}
			v.fail(codeSystemUnknown, at+"/strategy", remedy, "%s names the system %q, which is not in this document.", shorten(rule.Strategy), shorten(system))
		}
	}
	for i, id := range rule.Priority {
		v.system(id, at+pointer("priority", i))
	}
	switch {
	case kind == Average && !single:
		v.fail(codeStrategyIncomplete, at+"/strategy", "Write it under fields, for the numeric field that is meant.", "average is only possible for single fields.")
	case kind == Custom && rule.Expression == "":
		v.fail(codeStrategyIncomplete, at, "Add `expression:` that gives the winning value.", "custom needs an expression.")
	case kind == Weighted && !slices.ContainsFunc(v.d.Systems, func(s System) bool { return s.Weight != 0 }):
		v.fail(codeStrategyIncomplete, at+"/strategy", "Add `weight:` to the systems.", "weighted needs the systems' weights, and none has one.")
	}
	if rule.Expression != "" {
		v.expression(rule.Expression, at+"/expression", 0)
	}
}

func (v *validation) pairs(pairs []SyncPair) {
	covered := map[string]bool{}
	for i, p := range pairs {
		seen := map[string]bool{}
		for j, id := range p.Systems {
			at := pointer("syncConfig", "bidirectional", i, "systems", j)
			v.system(id, at)
			if seen[id] {
				v.fail(codeIDDuplicate, at, "Name two different systems.", "The pair names %s twice.", shorten(id))
			}
			seen[id], covered[id] = true, true
		}
	}
	if len(pairs) == 0 {
		return
	}
	if v.d.EffectiveDirection() == Unidirectional {
		v.fail(codeDirectionInconsistent, "/syncConfig/bidirectional", "Remove the pairs, or write `direction: multi-directional`.", "A unidirectional service has no bidirectional pairs.")
		return
	}
	for i, s := range v.d.Systems {
		if !covered[s.ID] && !v.unavailable[s.ID] && s.ID != "" {
			v.fail(codeDirectionInconsistent, pointer("systems", i, "id"), "Add a pair with it to syncConfig.bidirectional, or remove the system.", "%s is in no bidirectional pair, so that nothing would reach it.", s.ID)
		}
	}
}

// operands says how many values an operator takes: 0, 1, 2, or -1 for a list.
var operands = map[Operator]int{IsNull: 0, NotNull: 0, IsEmpty: 0, NotEmpty: 0, Between: 2, In: -1, NotIn: -1}

func (v *validation) conditions(conditions []FilterCondition, at string) {
	for i, c := range conditions {
		here := at + pointer(i)
		group := len(c.Any) > 0 || len(c.All) > 0
		test := c.Field != "" || c.Operator != ""
		switch {
		case group && test:
			v.fail(codeOperandWrong, here, "Put the test into the group, or beside it in the list.", "A condition is either a test or a group.")
		case !group && c.Field == "":
			v.fail(codeFieldMissing, here, "Write `field:` and `operator:`.", "The condition names no field.")
		case !group && c.Operator == "":
			v.fail(codeFieldMissing, here, "Write `operator:`, such as equals.", "The condition has no operator.")
		case !group:
			v.operand(c, here)
			v.suspect(c.Field, here+"/field")
		}
		v.conditions(c.Any, here+"/any")
		v.conditions(c.All, here+"/all")
	}
}

func (v *validation) operand(c FilterCondition, at string) {
	want, special := operands[Operator(c.Operator)]
	if !special {
		want = 1
	}
	many, single := len(c.Values), c.Value.Given
	switch {
	case single && many > 0:
		v.fail(codeOperandWrong, at, "Keep one of them.", "Both value and values are given.")
	case want == 0 && (single || many > 0):
		v.fail(codeOperandWrong, at, "Remove the value.", "%s takes no value.", c.Operator)
	case want == 1 && !single:
		v.fail(codeOperandWrong, at, "Write `value:`. For several values use in.", "%s needs one value.", c.Operator)
	case want == 2 && many != 2:
		v.fail(codeOperandWrong, at, "Write `values: [least, greatest]`.", "%s needs two values.", c.Operator)
	case want == -1 && many == 0:
		v.fail(codeOperandWrong, at, "Write `values: [first, second]`.", "%s needs values.", c.Operator)
	}
	if op := Operator(c.Operator); (op == Matches || op == NotMatches) && single {
		if pattern, ok := c.Value.Value.(string); ok {
			v.regex(pattern, at+"/value")
		} else {
			v.fail(codeRegexInvalid, at+"/value", "Write it in quotes.", "%s needs a regular expression.", op)
		}
	}
}

func (v *validation) regex(pattern, at string) {
	if _, err := regexp.Compile(pattern); err != nil {
		reason := err.Error()
		if _, after, ok := strings.Cut(reason, "error parsing regexp: "); ok {
			reason = after
		}
		v.fail(codeRegexInvalid, at, "Regular expressions are of the RE2 kind: no look-around, no back references.", "The regular expression is not valid: %s.", shorten(reason))
	}
}

func (v *validation) fieldRule(r FieldRule, at string) {
	if r.Regex != "" {
		v.regex(r.Regex, at+"/regex")
	}
	if r.Min != "" && r.Max != "" && compareNumbers(r.Min, r.Max) > 0 {
		v.fail(codeValueInvalid, at+"/min", "Exchange them.", "min is greater than max.")
	}
	if r.MaxLength > 0 && r.MinLength > r.MaxLength {
		v.fail(codeValueInvalid, at+"/minLength", "Exchange them.", "minLength is greater than maxLength.")
	}
}

func (v *validation) expression(code, at string, before int) {
	err := CheckExpression(code)
	if err == nil {
		return
	}
	var e *ExpressionError
	into := before
	if errors.As(err, &e) && e.Column > 0 {
		into += e.Column - 1
	}
	if strings.ContainsRune(code, '\n') {
		into = 0
	}
	v.failInto(codeExpressionInvalid, at, into, err.Error(), "Expressions are written as in: quantity - reserved > 10 && status == \"active\".")
}

// suspect notes a field that is not among the document's, when one of them is spelled nearly so.
func (v *validation) suspect(field, at string) {
	fields := v.d.EntityFields()
	if len(fields) == 0 || slices.Contains(fields, field) || len(field) < 4 {
		return
	}
	for _, known := range fields {
		if known != field && (foldName(known) == foldName(field) || distance(strings.ToLower(known), strings.ToLower(field), 2) < 2) {
			v.notice(codeFieldSuspect, at, "Did you mean "+known+"?", "The mapping names no field %s.", shorten(field))
			return
		}
	}
}

func (v *validation) fields() {
	m := v.d.FieldMapping
	for _, id := range sortedKeys(m.BySystem) {
		v.system(id, pointer("fieldMapping", id))
		v.mappingOnce(m.BySystem[id], pointer("fieldMapping", id))
	}
	v.flat(m.Flat, "fieldMapping")
	v.flat(v.d.UnifiedSchema, "unifiedSchema")
	for _, field := range sortedKeys(v.d.UnifiedSchema) {
		if alias, both := m.Flat[field]; both && alias != v.d.UnifiedSchema[field] {
			v.fail(codeMappingAmbiguous, pointer("unifiedSchema", field), "Keep it in one of the two.", "%s has another alias in fieldMapping.", shorten(field))
		}
	}
}

// flat checks the aliases of the flat form.
func (v *validation) flat(flat map[string]string, block string) {
	by := map[string]string{}
	for _, field := range sortedKeys(flat) {
		alias := flat[field]
		at := pointer(block, field)
		if system, ok := externalSystem(alias); ok {
			v.system(system, at)
			continue
		}
		if first, twice := by[alias]; twice {
			v.fail(codeMappingAmbiguous, at, "Give each field an alias of its own.", "%s and %s have the same alias %s.", first, shorten(field), shorten(alias))
			continue
		}
		by[alias] = field
	}
}

// mappingOnce checks that no two of a system's fields go to one of the entity's.
func (v *validation) mappingOnce(mapping map[string]string, at string) {
	by := map[string]string{}
	for _, native := range sortedKeys(mapping) {
		field := mapping[native]
		if first, twice := by[field]; twice {
			v.fail(codeMappingAmbiguous, at+pointer(native), "Map one of them to another field.", "%s and %s are both mapped to %s.", first, shorten(native), shorten(field))
			continue
		}
		by[field] = native
	}
}

func (v *validation) rules() {
	seen := map[string]bool{}
	routes := 0
	for i, r := range v.d.BusinessRules {
		at := pointer("businessRules", i)
		if seen[r.Name] && r.Name != "" {
			v.fail(codeIDDuplicate, at+"/name", "Give each rule a name of its own.", "There is another rule named %s.", shorten(r.Name))
		}
		seen[r.Name] = true
		if r.IsRoute() {
			routes++
		}
		v.ruleForm(r, at)
		if r.Rule != "" {
			if _, expression, before, ok := SplitRule(r.Rule); !ok {
				v.fail(codeExpressionInvalid, at+"/rule", "Write `field = expression`, such as available = quantity - reserved.", "The rule computes no field.")
			} else {
				v.expression(expression, at+"/rule", before)
			}
		}
		if r.Condition != "" {
			v.expression(r.Condition, at+"/condition", 0)
		}
		v.system(r.Source, at+"/source")
		for j, id := range r.Target {
			v.system(id, at+pointer("target", j))
			if id == r.Source && id != "" {
				v.fail(codeRuleIncomplete, at+pointer("target", j), "Name another system.", "Source and target are the same system.")
			}
		}
		v.mappingOnce(r.Mapping, at+"/mapping")
	}
	if v.d.EffectiveDirection() == Conditional && routes == 0 {
		v.fail(codeDirectionInconsistent, "/direction", "Add business rules with `condition` and `target`.", "A conditional service needs rules that choose where changes go.")
	}
}

// ruleForm checks that a rule is one of the forms and complete.
func (v *validation) ruleForm(r BusinessRule, at string) {
	check := r.Window != "" || len(r.Fields) > 0
	switch {
	case r.Rule != "" && (r.Action != "" || check || r.Mapping != nil):
		v.fail(codeRuleIncomplete, at, "Make two rules of it.", "A computed field cannot also be an action, a duplicate check or a mapping.")
	case check && r.Window == "":
		v.fail(codeRuleIncomplete, at, "Add `window:`, such as 24h.", "A duplicate check needs a window.")
	case check && len(r.Fields) == 0:
		v.fail(codeRuleIncomplete, at, "Add `fields:`, such as [amount, date].", "A duplicate check needs the fields to compare.")
	case r.Mapping != nil && len(r.Target) == 0:
		v.fail(codeRuleIncomplete, at, "Add `target:`.", "A rule with a mapping needs the system the fields go to.")
	case r.Rule == "" && r.Action == "" && !check && r.Mapping == nil && len(r.Target) == 0:
		v.fail(codeRuleIncomplete, at, "Add `rule`, `action`, `window` with `fields`, or `target`.", "The rule does nothing.")
	case r.Action != "" && r.Condition == "" && !check:
		v.fail(codeRuleIncomplete, at, "Add `condition:`; write true for every record.", "The action has no condition.")
	}
}

func (v *validation) workflows() {
	seen := map[string]bool{}
	for i, w := range v.d.Workflows {
		at := pointer("workflows", i)
		if seen[w.Name] && w.Name != "" {
			v.fail(codeIDDuplicate, at+"/name", "Give each workflow a name of its own.", "There is another workflow named %s.", shorten(w.Name))
		}
		seen[w.Name] = true
		if w.Condition != "" {
			v.expression(w.Condition, at+"/condition", 0)
		}
		for j, step := range w.Steps {
			v.system(step.System, at+pointer("steps", j, "system"))
		}
	}
}

// collections checks that there is something to sync, once all connectors are known.
func (v *validation) collections() {
	if v.known.Connector == nil || len(v.unavailable) > 0 || len(v.d.Systems) < 2 {
		return
	}
	named := false
	for _, s := range v.d.Systems {
		named = named || len(v.d.ObjectsOf(s.ID)) > 0
	}
	if !named {
		v.fail(codeObjectsMissing, "/systems", "Add `objects:` to the systems, or `table:` to their connections.", "No system says which objects take part.")
		return
	}
	collections := v.d.Collections()
	if v.known.Model != nil {
		collections = v.d.CollectionsBy(v.known.Model)
	}
	for _, c := range collections {
		if c.Shared() {
			continue
		}
		m := c.Members[0]
		for i, s := range v.d.Systems {
			for j, o := range s.Objects {
				if s.ID == m.System && o.Name == m.Object {
					v.notice(codeObjectAlone, pointer("systems", i, "objects", j), "Where it is called differently, give both objects the same `mapping`.",
						"No other system has an object like %s, so that it is synced to none.", shorten(o.Name))
				}
			}
		}
	}
}
