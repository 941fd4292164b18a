// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"slices"
	"strings"
)

// StrategyKind is a way of deciding a conflict.
type StrategyKind string

// The strategies. What decides when nothing is said is LastWriteWins.
const (
	LastWriteWins  StrategyKind = "lastWriteWins" // also written timestamp-based
	FirstWriteWins StrategyKind = "firstWriteWins"
	SourceWins     StrategyKind = "sourceWins"    // the primary (or first) system wins
	TargetWins     StrategyKind = "targetWins"    // a system other than the primary wins; among several, the last write
	SystemWins     StrategyKind = "systemWins"    // written "<systemId>-wins"
	Weighted       StrategyKind = "weighted"      // the highest weight wins, ties go to the last write
	FieldPriority  StrategyKind = "fieldPriority" // the first system of a list that holds a value wins
	Custom         StrategyKind = "custom"        // an expression gives the value
	Manual         StrategyKind = "manual"        // a person decides
	Merge          StrategyKind = "merge"         // fields that do not conflict, deep objects, lists
	Average        StrategyKind = "average"       // only for a single numeric field: the mean
)

// Strategy is the rule for one field, with all it needs.
type Strategy struct {
	Kind       StrategyKind
	System     string         // for SystemWins: the winner; for SourceWins and TargetWins: the primary
	Priority   []string       // for FieldPriority
	Expression string         // for Custom
	Arrays     string         // for Merge: append, replace, union or keyed
	ArrayKey   string         // for Merge with keyed
	Weights    map[string]int // for Weighted: by system id
}

// StrategyFor returns the rule for an entity field; "" is the rule for all without their own.
func (d *Document) StrategyFor(field string) Strategy {
	var rule FieldResolution
	if c := d.SyncConfig.ConflictResolution; c != nil {
		rule = c.FieldResolution
		if own, ok := c.Fields[field]; ok && field != "" {
			if own.Strategy == "" && len(own.Priority) == 0 {
				own.Strategy = rule.Strategy
			}
			if len(own.Priority) == 0 {
				own.Priority = rule.Priority
			} else if own.Strategy == "" {
				own.Strategy = string(FieldPriority)
			}
			if own.Expression == "" {
				own.Expression = rule.Expression
			}
			if own.Arrays == "" {
				own.Arrays = rule.Arrays
			}
			if own.ArrayKey == "" {
				own.ArrayKey = rule.ArrayKey
			}
			rule = own
		}
	}
	return d.strategy(rule)
}

func (d *Document) strategy(rule FieldResolution) Strategy {
	kind, system := splitStrategy(rule.Strategy)
	s := Strategy{Kind: kind, System: system}
	switch kind {
	case "":
		s.Kind = LastWriteWins
	case SourceWins, TargetWins:
		s.System = d.Primary().ID
	case FieldPriority:
		s.Priority = rule.Priority
		if len(s.Priority) == 0 { // the field has no rule of its own
			s.Kind = LastWriteWins
		}
	case Custom:
		s.Expression = rule.Expression
	case Merge:
		s.Arrays, s.ArrayKey = rule.Arrays, rule.ArrayKey
		if s.Arrays == "" {
			s.Arrays = "union"
		}
	case Weighted:
		s.Weights = make(map[string]int, len(d.Systems))
		for _, system := range d.Systems {
			s.Weights[system.ID] = system.Weight
		}
	}
	return s
}

// splitStrategy tells "<systemId>-wins" from the other words.
func splitStrategy(word string) (StrategyKind, string) {
	if system, ok := strings.CutSuffix(word, "-wins"); ok {
		return SystemWins, system
	}
	return StrategyKind(word), ""
}

// CheckResolution says in a sentence what is wrong with a rule for conflicts in this document, "" when nothing is.
func (d *Document) CheckResolution(rule FieldResolution) string {
	kind, system := splitStrategy(rule.Strategy)
	known := []StrategyKind{LastWriteWins, FirstWriteWins, SourceWins, TargetWins, SystemWins, Weighted, FieldPriority, Custom, Manual, Merge, Average}
	switch {
	case !slices.Contains(known, kind):
		return fmt.Sprintf("There is no strategy %q.", shorten(rule.Strategy))
	case kind == SystemWins && !slices.Contains(d.SystemIDs(), system):
		return fmt.Sprintf("There is no system %q in this service.", shorten(system))
	case kind == FieldPriority && len(rule.Priority) == 0:
		return "fieldPriority needs an order of systems."
	case kind == Custom && rule.Expression == "":
		return "custom needs an expression."
	case kind == Custom:
		if err := CheckExpression(rule.Expression); err != nil {
			return err.Error()
		}
	}
	return ""
}
