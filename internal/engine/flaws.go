// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Flaw is a field of a record that breaks a rule of its document.
type Flaw struct {
	Field  string // as its system calls it
	Rule   string // the word of the document: "required", "min"
	Reason string // one sentence without the field's name
}

// Flaws says which fields of a record that its system holds so would break the document's validation, in the order of their
// names. It asks the document alone and no system: what only a system or the whole record can tell, such
// as a reference or a receipt, is found when the record is tried again.
func (r *Reader) Flaws(ctx context.Context, who auth.Principal, s service.ID, system record.System, object record.Object, fields record.Fields) (list []Flaw, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return nil, err
	}
	return list, r.inTx(ctx, who.Tenant, func(tx ReadTx) error {
		_, doc, err := tx.Loadable(ctx, s)
		if err != nil {
			return err
		}
		list, err = flaws(doc, system, object, fields)
		return err
	})
}

func flaws(doc *service.Document, system record.System, object record.Object, fields record.Fields) (list []Flaw, err error) {
	rules, err := qualityRules(doc)
	if err != nil {
		return nil, err
	}
	known := doc.FieldMapOf(string(system), string(object))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, mapped := entityName(known, name)
		if !mapped {
			continue
		}
		err := rules.CheckField(field, rules.Clean(field, fields[name]))
		if broken := (*quality.Failure)(nil); errors.As(err, &broken) {
			list = append(list, Flaw{name, broken.Rule, broken.Reason})
		}
	}
	return list, nil
}

// entityName is the entity's name of what a system calls name; false for a field that is not synced. Without a mapping all
// are, under their own names.
func entityName(known []service.MappedField, name string) (string, bool) {
	if known == nil {
		return name, true
	}
	for _, m := range known {
		switch {
		case m.External != "":
		case m.PerSystem && m.Alias == name, !m.PerSystem && (foldWord(m.Alias) == foldWord(name) || foldWord(m.Field) == foldWord(name)):
			return m.Field, true
		}
	}
	return "", false
}
