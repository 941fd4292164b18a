// SPDX-License-Identifier: Apache-2.0

package service

import "github.com/syncline-dev/syncline/billing"

const (
	systemIDPattern = `^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`
	serviceName     = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	systemWins      = `^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?-wins$`
	intervalPattern = `^([0-9]{1,6}(s|m|h|d|w))+$`
)

// movable are the blocks of syncConfig that may also stand at the top level.
var movable = []string{"conflictResolution", "bidirectional", "matchFields", "filterConditions", "deletes", "consistency", "safetyThreshold",
	"reconciliation", "validation", "cleansing", "deduplication", "enrichment", "gdpr", "lifecycle"}

// documentShape is the whole document.
var documentShape = makeDocumentShape()

func aSystemID() *shape {
	return aMatch(systemIDPattern, "lower-case letters, digits, - and _, at most 63, such as warehouse-db").naming(toSystem)
}

func anInterval() *shape {
	return aMatch(intervalPattern, "a number with s, m, h, d or w, such as 15m or 7d")
}

func someFields() *shape { return aList(aName().naming(toEntityField)) }

func makeDocumentShape() *shape {
	condition := aBlock("filterCondition")
	condition.fields = []*field{
		part("field", aName().naming(toEntityField), "The entity field that is tested."),
		part("operator", operatorShape(), "How it is tested."),
		part("value", aLiteral(), "What it is compared with."),
		part("values", aList(aLiteral()), "What it is compared with, for in, notIn and between."),
		part("any", aList(condition), "A group: at least one of these holds."),
		part("all", aList(condition), "A group: each of these holds."),
	}
	conditions := aList(condition)

	frequency := shorthand("when", aText().naming(toSchedule), aBlock("frequency",
		part("when", aText().naming(toSchedule), "`realtime`, an interval such as `15m`, a word such as `hourly`, or cron of five fields.").alias("cron", "every", "interval").req(),
		part("timeZone", aName().naming(toZone), "IANA name, for cron and words; the tenant's zone when absent.").alias("timezone"),
	))
	connection := oneOf(form{shape: aName().naming(toConnection)}, form{shape: aMap(&shape{kind: settingShape, most: textLength}, settingDoc)})

	object := shorthand("name", aName().naming(toObject), aBlock("object",
		part("name", aName().naming(toObject), "The object's name in its system: a table, or a kind of record.").req(),
		part("mapping", aName().naming(toModel), "The model its records are bound to, such as contacts. Objects of one model are kept equal."),
		part("key", someFields().atLeast(1), "The system's fields that identify a record, where the object has no primary key."),
		part("fields", someFields(), "The entity fields that are synced with this object; all when absent."),
		part("fieldMapping", aMap(aName(), "a field of this object"), "The object's field to the entity's; goes before the service's fieldMapping."),
		part("filter", conditions, "Only records that meet these conditions; besides syncConfig.filterConditions."),
		part("references", aMap(aName(), entityFieldDoc), "Entity field to the object of this system that it refers to; parents are synced before children."),
		part("matchFields", someFields().atLeast(1), "The entity fields by which records of this object's collection are recognised; instead of syncConfig.matchFields."),
	))
	system := aBlock("system",
		part("id", aSystemID().naming(toNothing), "The system's id in this document; conflict rules and mappings refer to it.").req(),
		part("type", aName().naming(toConnector), "The connector.").req(),
		part("connection", connection, "The name of a connection, or settings written here. Absent: the connection named as the id."),
		part("objects", aList(object), "The objects that take part."),
		part("primary", aBoolean(), "This system is the source where one is needed. At most one; else the first system."),
		part("weight", anInteger(0, 1_000_000), "For the strategy weighted: the highest weight wins."),
		part("changeDetection", detectionShape(), "How changes are seen in this system."),
		part("timeZone", aName().naming(toZone), "IANA name, such as Europe/Berlin: the zone of times that the system holds without one; UTC when absent.").alias("timezone"),
	)

	resolution := func() []*field {
		return []*field{
			part("strategy", strategyShape(), "Who wins.").alias("default"),
			part("priority", aList(aSystemID()).atLeast(1), "For fieldPriority: the first of these systems that holds a value wins."),
			part("expression", aText(), "For custom: an expression that gives the winning value."),
			part("arrays", aWord("append", "replace", "union", "keyed"), "For merge: what happens to lists."),
			part("arrayKey", aName(), "For merge with arrays keyed: the field that is an item's key; id when absent."),
		}
	}
	fieldResolution := oneOf(
		form{under: "strategy", shape: strategyShape()},
		form{under: "priority", shape: aList(aSystemID()).atLeast(1)},
		form{shape: aBlock("fieldResolution", resolution()...)},
	)
	conflicts := shorthand("strategy", strategyShape(), aBlock("conflictResolution", append(resolution(),
		part("fields", aMap(fieldResolution, entityFieldDoc), "Rules for single fields: a strategy, a list of systems in order of priority, or a block."))...))

	fieldRule := aBlock("fieldRule",
		part("required", aBoolean(), "A value must be there."),
		part("type", aWord("string", "number", "integer", "boolean", "date", "datetime", "array", "object"), "The value's type."),
		part("format", aWord("email", "E.164", "url", "uuid", "date", "date-time"), "The text's format; E.164 is the international form of phone numbers."),
		part("region", aMatch(`^[A-Z]{2}$`, "a country's two letters, such as DE"), "For E.164: the country of numbers that do not name theirs."),
		part("normalize", aBoolean(), "Bring the value into the format's usual form before it is checked."),
		part("min", aNumber("", ""), "The least number."),
		part("max", aNumber("", ""), "The greatest number."),
		part("precision", anInteger(0, 30), "Digits after the point at most."),
		part("minLength", anInteger(0, 1_000_000), "Characters at least."),
		part("maxLength", anInteger(1, 1_000_000), "Characters at most."),
		part("enum", aList(aLiteral()).atLeast(1), "The only values allowed."),
		part("regex", aText(), "A regular expression (RE2) the text must match.").alias("pattern"),
	)
	validation := aBlock("validation",
		part("checkDuplicates", aBoolean(), "Quarantine a record that says the same as another one of its system, written within 24 hours."),
		part("validateAmounts", aBoolean(), "Quarantine records whose amounts are no numbers, have more digits than their currency, or do not add up."),
		part("requireReceipts", aBoolean(), "Quarantine records with an amount but without a receipt, of systems that have a field for it."),
	)
	validation.rest, validation.restDoc, validation.restIs = fieldRule, entityFieldDoc, toEntityField

	mask := shorthand("enabled", aBoolean(), aBlock("mask",
		part("enabled", aBoolean(), "Mask this field."),
		part("roles", aList(aWord("owner", "admin", "editor", "finance", "viewer")), "The roles that see the field in full; owner and admin when absent."),
		part("show", aWord("none", "last4", "first", "hash"), "What the others see."),
	))
	encryption := shorthand("algorithm", encryptionShape(), aBlock("encryption",
		part("algorithm", encryptionShape(), "How values are sealed."),
		part("fields", someFields(), "The entity fields that are sealed one by one."),
	))
	source := shorthand("type", aName().naming(toConnector), aBlock("enrichmentSource",
		part("type", aName().naming(toConnector), "The lookup connector.").req(),
		part("connection", connection, "Its connection; the one named as the type when absent."),
		part("id", aSystemID().naming(toNothing), "What history and usage call it; the type when absent."),
		part("object", aName().naming(toNothing), "What is asked for, such as a table; the one that fits the collection when absent."),
		part("collection", aName().naming(toNothing), "Whose records are completed; those of each collection that has the question's fields when absent."),
		part("ask", aMap(aName().naming(toEntityField), "a field of the source"), "The question: the source's field to the entity's. What the connector knows records by when absent."),
		part("fill", aMap(aName().naming(toEntityField), "a field of the source"), "What the answer fills: the source's field to the entity's. Fields of equal name when absent."),
		part("overwrite", aBoolean(), "Also replace what systems say; only empty fields are filled when absent."),
		part("maxAge", anInterval(), "How old an answer may be before the same is asked again; any age when absent."),
		part("limit", anInteger(1, 1_000_000_000), "How many lookups may be made in a period; any number when absent."),
		part("per", aWord("hour", "day", "month"), "The period of limit, in UTC; month when absent."),
	))
	oneOrMore := func(item *shape) *shape { return oneOf(form{many: true, shape: item}, form{shape: aList(item)}) }

	syncConfig := aBlock("syncConfig",
		part("frequency", frequency, "When the service runs: realtime, an interval (15m), a word (hourly, daily), or cron. 15m when absent."),
		part("changeDetection", detectionShape(), "How changes are seen; systems that cannot do it choose for themselves."),
		part("batchSize", anInteger(1, 10_000), "Records read and written at once."),
		part("priority", aWord("critical", "standard", "bulk"), "The class in which runs wait for workers."),
		part("pool", aWord(billing.SharedPool, billing.DedicatedPool), "The class of the workers that carry the service: those of everybody (`shared`, when absent), or those for plans that have them."),
		part("conflictResolution", conflicts, "Who wins when two systems changed the same field."),
		part("bidirectional", aList(aBlock("syncPair",
			part("systems", aList(aSystemID()).atLeast(2), "The systems between which changes pass.").req(),
			part("syncFields", someFields(), "The entity fields, or objects, that pass; all when absent."),
		)), "Restricts which systems exchange which fields."),
		part("conflictAlerts", aList(aBlock("conflictAlert",
			part("field", aName().naming(toEntityField), "Conflicts about this entity field; about any when absent."),
			part("count", anInteger(1, 1_000_000), "How many conflicts are an alert.").req(),
			part("within", anInterval(), "Within which time they arise. There is one alert in this time at most.").req(),
		)), "Tells people and programs when systems disagree often."),
		part("matchFields", someFields().atLeast(1), "The entity fields by which records of different systems are recognised as the same."),
		part("filterConditions", conditions, "Only records that meet all of these are synced."),
		part("deletes", shorthand("policy", deletesShape(), aBlock("deletes",
			part("policy", deletesShape(), "What happens elsewhere when a record is deleted."),
			part("archiveField", aName().naming(toEntityField), "For archive: the entity field that is set."),
			part("archiveValue", aLiteral(), "For archive: what it is set to; true when absent."),
			part("systems", aMap(deletesShape(), systemIDDoc), "The policy towards single systems."),
		)), "What happens elsewhere when a system deletes a record."),
		part("references", aBlock("referenceRules",
			part("wait", anInterval(), "How long a record waits for one that it refers to before that is reported; 10m when absent. It goes on waiting."),
			part("orphans", aWord(OrphansWait, OrphansDelete, OrphansDetach), "What becomes of the records that refer to a deleted one: its deletion waits until they are gone (when absent), they are deleted first, or their reference is emptied."),
			part("cycles", aWord(CyclesRefuse, CyclesTwoPass), "Records that refer to each other in a circle: refused (when absent), or written without the reference first, and with it then, where the systems allow an empty one."),
		), "What happens around references between records; see objects' references."),
		part("consistency", shorthand("level", consistencyShape(), aBlock("consistency",
			part("level", consistencyShape(), "The guarantee.").alias("mode").req(),
			part("maxDelay", anInterval(), "For eventual: how long a change may be owed to a system before that is told of."),
			part("fields", someFields(), "For strong: the guarantee is for these fields; all when absent."),
		)), "The guarantee asked for."),
		part("safetyThreshold", aBlock("safetyThreshold",
			part("maxDecreasePercent", aNumber("0", "100"), "The most a numeric field may fall in one change."),
			part("maxIncreasePercent", aNumber("0", "1000000"), "The most a numeric field may rise in one change."),
			part("fields", someFields(), "The fields whose fall and rise is limited; all numeric ones when absent."),
			part("maxChangePercent", aNumber("0", "100"), "The most records that may change in one run."),
			part("maxDeletePercent", aNumber("0", "100"), "The most records that may be deleted in one run."),
			part("maxChanges", anInteger(0, 1_000_000_000), "The most records that may change in one run."),
			part("maxDeletes", anInteger(0, 1_000_000_000), "The most records that may be deleted in one run."),
			part("alertOnLargeChanges", aBoolean(), "Send an alert when a limit is passed."),
			part("onExceed", aWord("hold", "alert"), "What happens then: wait for a person, or only tell."),
		), "Holds changes that are larger than anybody meant."),
		part("quietPeriod", anInterval(), "How long a record that somebody changed rests before a realtime service carries it, an hour at most, so that half-typed values are not carried. Not at all when absent."),
		part("proof", aBlock("proof",
			part("enabled", aBoolean(), "Off: records are compared only when somebody asks."),
			part("every", anInterval(), "From the end of one comparison to the beginning of the next. When absent an hour where databases compute digests, else a day."),
		), "Compares all records of all systems, over and over."),
		part("reconciliation", aBlock("reconciliation",
			part("enabled", aBoolean(), "Switch it off without removing it."),
			part("schedule", frequency, "When: an interval, a word such as daily, or cron."),
			part("tolerance", aNumber("0", ""), "Numbers that differ by at most this count as equal."),
			part("systems", aList(aSystemID()), "The systems compared; all when absent."),
			part("fields", someFields(), "The entity fields compared; all when absent."),
			part("assignTo", aName(), "Who gets the discrepancies."),
		), "Compares the systems on a schedule."),
		part("validation", validation, "Checks of records and of single fields; what fails is quarantined."),
		part("cleansing", aBlock("cleansing",
			part("trimWhitespace", aBoolean(), "Cut white space at both ends."),
			part("collapseWhitespace", aBoolean(), "Make runs of white space one space."),
			part("emptyToNull", aBoolean(), "Treat empty text as no value."),
			part("removeInvalidChars", aBoolean(), "Remove control characters."),
			part("normalizeCase", aMap(aWord("lowercase", "uppercase", "titlecase", "sentencecase"), entityFieldDoc), "The case of single fields."),
			part("fields", someFields(), "The fields the switches apply to; all text fields when absent."),
		), "Tidies values before they are checked."),
		part("deduplication", aBlock("deduplication",
			part("enabled", aBoolean(), "Switch it off without removing it."),
			part("matchFields", someFields(), "Records that are equal in all of these are the same."),
			part("fuzzyMatch", aMap(aBlock("fuzzyMatch",
				part("threshold", aNumber("0", "1"), "How alike, from 0 to 1.").req(),
				part("algorithm", aWord("jaro-winkler", "levenshtein"), "How likeness is measured."),
				part("kind", aWord("text", "name", "email", "phone", "address"), "What the field holds; by its name when absent."),
				part("weight", aNumber("0.01", "100"), "How much the field counts; 1 when absent."),
			), entityFieldDoc), "Fields that need only be alike."),
			part("mergeStrategy", aWord("most-complete", "most-recent", "most-recent-with-most-fields", "oldest", "primary", "manual"), "Which record stays, completed from the others."),
			part("mergeFields", aMap(aWord("most-complete", "most-recent", "most-recent-with-most-fields", "oldest", "primary"), entityFieldDoc), "Fields whose value another strategy chooses."),
			part("priority", aList(aSystemID()), "For primary: the systems, the best first; the primary and then the document's order when absent."),
			part("autoMerge", aNumber("0", "1"), "Records at least so alike are merged without asking; 0.97 when absent."),
			part("review", aNumber("0", "1"), "Records at least so alike wait for a person; 0.85 when absent."),
			part("losers", aWord("keep", "archive", "delete"), "What becomes of the second record in one system: it is left alone, marked by the archive field, or deleted. keep when absent."),
		), "Which records are the same."),
		part("enrichment", aBlock("enrichment",
			part("enabled", aBoolean(), "Switch it off without removing it."),
			part("sources", aList(source), "Lookup connectors, asked in this order."),
			part("onNewContact", aBoolean(), "Look new records up."),
			part("onUpdate", aBoolean(), "Look changed records up."),
			part("fields", someFields(), "The entity fields that may be filled; all when absent."),
		), "Completes records from lookup services."),
		part("gdpr", aBlock("gdpr",
			part("enabled", aBoolean(), "Switch it off without removing it."),
			part("rightToErasure", aBoolean(), "Serve erasure requests."),
			part("dataPortability", aBoolean(), "Serve export requests."),
			part("consentTracking", aBoolean(), "Keep track of consent."),
			part("consentField", aName().naming(toEntityField), "The entity field that holds the consent."),
			part("retention", anInterval(), "How long a record's history is kept."),
		), "The rights of data subjects."),
		part("lifecycle", aBlock("lifecycle",
			part("onboarding", aBoolean(), "A new person triggers workflows."),
			part("offboarding", aBoolean(), "A person who leaves triggers workflows."),
			part("roleChanges", aBoolean(), "A new role triggers workflows.").alias("role-changes"),
		), "The life events of people."),
	)

	mapping := aMap(oneOf(form{shape: aName()}, form{shape: aMap(aName(), "a field of that system")}), "an entity field, or a system id")
	mapping.uniform, mapping.restIs = true, toEntityField

	root := aBlock("",
		part("apiVersion", aWord(APIVersion), "The version of the document's format."),
		part("service", aMatch(serviceName, "lower-case letters, digits and -, at most 63, such as crm-contact-sync"), "The service's name.").alias("name").req(),
		part("description", aText().atLeast(0), "What the service is for."),
		part("direction", directionShape(), "Which systems' changes reach which others; bi-directional when absent."),
		part("systems", aList(system).atLeast(2).atMost(100), "The systems that are kept equal.").req(),
		part("syncConfig", syncConfig, "When, what and under which rules records are synced."),
		part("fieldMapping", mapping,
			"The entity's fields. Flat: entity field to alias. Per system: the system's field to the entity's."),
		part("unifiedSchema", aMap(aName(), entityFieldDoc), "The entity's fields, as a flat fieldMapping."),
		part("businessRules", aList(aBlock("businessRule",
			part("name", aName(), "The rule's name.").req(),
			part("description", aText().atLeast(0), "What the rule is for."),
			part("enabled", aBoolean(), "Switch it off without removing it."),
			part("rule", aText(), "A computed field: `field = expression`."),
			part("condition", aText(), "An expression; the rule acts where it is true."),
			part("action", actionShape(), "What is done then."),
			part("with", aMap(aLiteral(), "what the action needs"), "What the action needs, such as to and message."),
			part("window", anInterval(), "A duplicate check: how far apart duplicates may be."),
			part("fields", someFields().atLeast(1), "A duplicate check: the fields that are equal in duplicates."),
			part("source", aSystemID(), "Only changes of this system."),
			part("target", oneOrMore(aSystemID()), "The system, or systems, the change goes to."),
			part("mapping", aMap(aName(), "a field of the source"), "A field of the source to one of the target."),
		)), "Computed fields, conditions with actions, duplicate checks, and routes."),
		part("workflows", aList(aBlock("workflow",
			part("name", aName(), "The workflow's name.").req(),
			part("trigger", aName(), "The event that starts it, such as new-employee.").req(),
			part("condition", aText(), "An expression; it starts only where it is true."),
			part("steps", aList(shorthand("name", aName(), aBlock("workflowStep",
				part("name", aName(), "The step's name.").req(),
				part("action", aName(), "What is done; the name says it when absent."),
				part("system", aSystemID(), "Where it is done."),
				part("with", aMap(aLiteral(), "what the step needs"), "What the step needs."),
				part("at", aName().naming(toEntityField), "An entity field with a date; the step waits for it."),
				part("timeout", anInterval(), "How long the step may take."),
				part("onFailure", aWord("stop", "continue", "compensate"), "What happens when it fails."),
			))).atLeast(1), "What is done, in this order.").req(),
		)), "Sequences of steps in several systems."),
		part("security", aBlock("security",
			part("encryption", encryption, "How values are sealed at rest."),
			part("piiProtection", aBoolean(), "Treat personal data as such: sealed, masked, and left out of logs.").alias("pii-protection"),
			part("accessLogging", aBoolean(), "Note who looked at which record.").alias("access-logging"),
			part("dataMasking", aMap(mask, entityFieldDoc), "Fields that are hidden from people.").alias("data-masking"),
			part("piiClasses", aMap(aWord("contact", "identity", "financial", "health", "credential"), entityFieldDoc), "What kind of personal data a field is.").alias("pii-classes"),
		), "Protection of the data."),
		part("encryption", encryption, "How values are sealed at rest; the same as security.encryption.").at("/security/encryption"),
		part("auditLog", shorthand("enabled", &shape{kind: switchShape}, aBlock("auditLog",
			part("enabled", aBoolean(), "Switch it off without removing it."),
			part("retention", anInterval(), "How long entries are kept."),
		)), "Whether the audit log is kept."),
	)
	for _, name := range movable {
		inner := syncConfig.field(name)
		root.fields = append(root.fields, part(name, inner.shape, inner.doc).at("/syncConfig/"+name))
	}
	return root
}

func directionShape() *shape {
	return aWord(string(Unidirectional), string(BiDirectional), string(MultiDirectional), string(Conditional), string(Hierarchical)).
		or("uni-directional", string(Unidirectional)).or("bidirectional", string(BiDirectional)).or("multidirectional", string(MultiDirectional))
}

func detectionShape() *shape {
	return aWord("auto", "timestamp", "hash", "database-trigger", "cdc", "webhook", "polling", "stream")
}

func strategyShape() *shape {
	s := aWord(string(LastWriteWins), string(FirstWriteWins), string(SourceWins), string(TargetWins), string(Weighted), string(FieldPriority),
		string(Custom), string(Manual), string(Merge), string(Average)).or("timestamp-based", string(LastWriteWins))
	return s.orMatching(systemWins, "a system's id with -wins, such as crm-wins").naming(toStrategy)
}

func deletesShape() *shape { return aWord(string(Propagate), string(Archive), string(Ignore)) }

func consistencyShape() *shape { return aWord(Eventual, Strong, Causal, Transactional) }

func encryptionShape() *shape { return aWord("AES-256-GCM").or("AES-256", "AES-256-GCM") }

func actionShape() *shape {
	return aWord("notify", "alert", "require_approval", "mark_reconciled", "generate_invoice", "flag_for_review", "quarantine", "skip", "archive", "start_workflow", "call_webhook")
}

// Operator is a test of a filter condition.
type Operator string

// The operators. A field that has no value meets only isNull, isEmpty, notEquals, notIn, notContains and notMatches.
const (
	Equals         Operator = "equals"
	NotEquals      Operator = "notEquals"
	GreaterThan    Operator = "greaterThan"
	GreaterOrEqual Operator = "greaterThanOrEqual"
	LessThan       Operator = "lessThan"
	LessOrEqual    Operator = "lessThanOrEqual"
	Between        Operator = "between" // both ends included
	In             Operator = "in"
	NotIn          Operator = "notIn"
	IsNull         Operator = "isNull"
	NotNull        Operator = "notNull"
	IsEmpty        Operator = "isEmpty" // no value, or text of no characters
	NotEmpty       Operator = "notEmpty"
	Contains       Operator = "contains"
	NotContains    Operator = "notContains"
	StartsWith     Operator = "startsWith"
	EndsWith       Operator = "endsWith"
	Matches        Operator = "matches" // a regular expression (RE2)
	NotMatches     Operator = "notMatches"
)

func operatorShape() *shape {
	s := aWord(string(Equals), string(NotEquals), string(GreaterThan), string(GreaterOrEqual), string(LessThan), string(LessOrEqual), string(Between),
		string(In), string(NotIn), string(IsNull), string(NotNull), string(IsEmpty), string(NotEmpty), string(Contains), string(NotContains),
		string(StartsWith), string(EndsWith), string(Matches), string(NotMatches))
	for _, other := range [][2]string{{"eq", "equals"}, {"=", "equals"}, {"==", "equals"}, {"ne", "notEquals"}, {"!=", "notEquals"},
		{"gt", "greaterThan"}, {">", "greaterThan"}, {"after", "greaterThan"}, {"gte", "greaterThanOrEqual"}, {">=", "greaterThanOrEqual"},
		{"lt", "lessThan"}, {"<", "lessThan"}, {"before", "lessThan"}, {"lte", "lessThanOrEqual"}, {"<=", "lessThanOrEqual"},
		{"null", "isNull"}, {"isNotNull", "notNull"}, {"isNotEmpty", "notEmpty"}} {
		s.or(other[0], other[1])
	}
	return s
}
