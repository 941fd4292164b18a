// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"regexp"
	"strings"

	"github.com/syncline-dev/syncline/internal/conflict"
	"github.com/syncline-dev/syncline/internal/expression"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// qualityRules are the document's cleansing and validation of fields.
func qualityRules(doc *service.Document) (*quality.Rules, error) {
	rules := &quality.Rules{Fields: make(map[string]quality.Rule)}
	if c := doc.SyncConfig.Cleansing; c != nil {
		rules.Cleansing = &quality.Cleansing{Trim: c.TrimWhitespace, Collapse: c.CollapseWhitespace, EmptyToNull: c.EmptyToNull, RemoveInvalid: c.RemoveInvalidChars,
			Fields: c.Fields, Cases: make(map[string]quality.Case)}
		for field, word := range c.NormalizeCase {
			rules.Cleansing.Cases[field] = quality.Case(word)
		}
	}
	if v := doc.SyncConfig.Validation; v != nil {
		for field, r := range v.Fields {
			rule := quality.Rule{Required: r.Required, Type: r.Type, Format: r.Format, Region: r.Region, Normalize: r.Normalize, Min: r.Min, Max: r.Max,
				Precision: r.Precision, MinLength: r.MinLength, MaxLength: r.MaxLength}
			for _, e := range r.Enum {
				rule.Enum = append(rule.Enum, e.Value)
			}
			if r.Regex != "" {
				var err error
				if rule.Regex, err = regexp.Compile(r.Regex); err != nil {
					return nil, fault.New(fault.Invalid, "service.regex_invalid", "The regular expression of %s cannot be used: %v.", field, err)
				}
			}
			rules.Fields[field] = rule
		}
	}
	return rules, nil
}

// compileQuality gives the collection the document's cleansing, validation and computed fields.
func compileQuality(doc *service.Document, coll *Collection) error {
	rules, err := qualityRules(doc)
	if err != nil {
		return err
	}
	if rules.Tidies() {
		coll.Clean, coll.CleanField = rules.CleanAll, rules.Clean
	}
	all, err := computedFields(doc)
	if err != nil {
		return err
	}
	for _, c := range all {
		for _, s := range coll.Seats {
			if s.Map.Has(c.Field) { // else nobody could see it
				coll.Computed, coll.Complex = append(coll.Computed, c), true
				break
			}
		}
	}
	compileRepeats(doc, coll)
	if len(rules.Fields) > 0 {
		coll.CheckField = rules.CheckField
		coll.Check = func(from *Seat, fields record.Fields) error {
			return rules.Check(fields, func(f string) bool { return from.Map.Has(f) && !coll.computes(f) })
		}
	}
	if v := doc.SyncConfig.Validation; v != nil && (v.ValidateAmounts || v.RequireReceipts) {
		coll.checkMoney(v)
	}
	return nil
}

// checkMoney checks amounts and receipts of the records that the checks of fields let pass.
func (c *Collection) checkMoney(v *service.Validation) {
	check := c.Check
	c.Check = func(from *Seat, fields record.Fields) error {
		if check != nil {
			if err := check(from, fields); err != nil {
				return err
			}
		}
		if v.ValidateAmounts {
			if f := quality.Amounts(fields); f != nil {
				return f
			}
		}
		if v.RequireReceipts {
			if f := quality.Receipt(fields, from.Map.Fields()); f != nil {
				return f
			}
		}
		return nil
	}
}

// computedFields compiles the document's computed fields, in their order.
func computedFields(doc *service.Document) (list []Computed, err error) {
	for _, r := range doc.BusinessRules {
		if !r.On() || r.Rule == "" {
			continue
		}
		field, code, _, ok := service.SplitRule(r.Rule)
		if !ok {
			return nil, fault.New(fault.Invalid, "service.expression_invalid", "The rule %s computes no field.", r.Name)
		}
		p, err := expression.Compile(code)
		if err != nil {
			return nil, fault.New(fault.Invalid, "service.expression_invalid", "The rule %s cannot be used: %v", r.Name, err)
		}
		list = append(list, Computed{Field: field, Rule: r.Name, Value: func(fields record.Fields) record.Value {
			v, err := p.Run(expression.Of(fields))
			if err != nil {
				return nil // it cannot be computed for this record
			}
			return v
		}})
	}
	return list, nil
}

// custom compiles the expression that decides a conflict. It sees the claims as `first` and `last` by the time they were
// written, as the systems' ids (with _ for -), and as `source` where the primary is among them; `base` is what they last
// agreed on, and the record's fields have their names.
func custom(doc *service.Document, code string) (func(conflict.Claims) (record.Value, error), error) {
	p, err := expression.Compile(code)
	if err != nil {
		return nil, fault.New(fault.Invalid, "service.expression_invalid", "The expression %q cannot be used: %v", code, err)
	}
	source := record.System(doc.Primary().ID)
	return func(c conflict.Claims) (record.Value, error) {
		return p.Run(func(name string) (record.Value, bool) {
			switch name {
			case "base":
				return c.Base, true
			case "first":
				return c.First.Value, true
			case "last":
				return c.Last.Value, true
			}
			for _, s := range []conflict.Side{c.First, c.Last} {
				if name == strings.ReplaceAll(string(s.System), "-", "_") || name == "source" && s.System == source || name == "target" && s.System != source {
					return s.Value, true
				}
			}
			v, ok := c.Record[name]
			return v, ok
		})
	}, nil
}
