// SPDX-License-Identifier: Apache-2.0

package service

import (
	"slices"
	"strconv"

	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/quality"
	"github.com/syncline-dev/syncline/internal/record"
)

// How alike records must be where the document does not say.
const (
	usualAuto = 0.97
	usualAsk  = 0.85
)

// LoserFate says what becomes of the second record where both of two records of one thing are in the same system.
type LoserFate string

// The fates of deduplication.losers.
const (
	LoserKeep    LoserFate = "keep"    // it stays as it is, tied to the one that stays; its changes are not read any more
	LoserArchive LoserFate = "archive" // it is marked by the archive field of deletes
	LoserDelete  LoserFate = "delete"  // it is deleted
)

// Likeness says how records that are the same without being equal are told. It is nil where the document does not ask for it:
// match fields alone only link records of different systems.
func (d *Document) Likeness() *match.Likeness {
	c := d.SyncConfig.Deduplication
	if !c.On() || len(c.FuzzyMatch) == 0 && c.MergeStrategy == "" {
		return nil
	}
	l := &match.Likeness{Auto: share(c.AutoMerge, usualAuto), Ask: share(c.Review, usualAsk), Manual: c.MergeStrategy == string(match.ByHand)}
	l.Ask = min(l.Ask, l.Auto)
	for _, f := range d.MatchFields() {
		l.Fields = append(l.Fields, d.like(f, match.Like{Field: f, Same: true}, ""))
	}
	for _, f := range sortedKeys(c.FuzzyMatch) {
		if slices.ContainsFunc(l.Fields, func(x match.Like) bool { return x.Field == f }) {
			continue
		}
		fuzzy := c.FuzzyMatch[f]
		l.Fields = append(l.Fields, d.like(f, match.Like{Field: f, Algorithm: match.Algorithm(fuzzy.Algorithm), Threshold: share(fuzzy.Threshold, 0), Weight: share(fuzzy.Weight, 1)}, fuzzy.Kind))
	}
	if len(l.Fields) == 0 {
		return nil
	}
	return l
}

func (d *Document) like(field string, l match.Like, kind string) match.Like {
	l.Kind = match.Kind(kind)
	if kind == "" {
		l.Kind = match.KindOf(field)
	}
	if l.Kind == match.KindPhone {
		rule := quality.Rule{Format: "E.164", Normalize: true}
		if v := d.SyncConfig.Validation; v != nil {
			rule.Region = v.Fields[field].Region
		}
		l.Normal = func(s string) string { return record.Text(rule.Normalized(s)) }
	}
	return l
}

func share(n record.Number, absent float64) float64 {
	if n == "" {
		return absent
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return absent
	}
	return f
}

// MergeChoice says how records of one thing become one.
func (d *Document) MergeChoice() match.Choice {
	c := match.Choice{Strategy: match.MostComplete}
	order := d.SystemIDs()
	if p := d.Primary().ID; p != "" {
		order = append([]string{p}, order...)
	}
	if dedup := d.SyncConfig.Deduplication; dedup.On() {
		if dedup.MergeStrategy != "" {
			c.Strategy = match.Strategy(dedup.MergeStrategy)
		}
		for f, s := range dedup.MergeFields {
			if c.Fields == nil {
				c.Fields = make(map[string]match.Strategy)
			}
			c.Fields[f] = match.Strategy(s)
		}
		order = append(slices.Clone(dedup.Priority), order...)
	}
	c.Rank = Rank(order)
	return c
}

// Rank says the place of a system in an order; one that is not in it comes last, such as a system that a revision took out while
// records still stem from it.
func Rank(order []string) func(record.System) int {
	return func(s record.System) int {
		if i := slices.Index(order, string(s)); i >= 0 {
			return i
		}
		return len(order)
	}
}

// LoserFate is what becomes of the second record in one system.
func (d *Document) LoserFate() LoserFate {
	if dedup := d.SyncConfig.Deduplication; dedup.On() && dedup.Losers != "" {
		return LoserFate(dedup.Losers)
	}
	return LoserKeep
}
