// SPDX-License-Identifier: Apache-2.0

// Package match decides which entity a record belongs to when no link says so.
package match

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/syncline-dev/syncline/internal/record"
)

// longest is how long a key may be before its digest is used instead, so that every key fits into an index.
const longest = 400

// Key is the values of the match fields as one text: records of different systems with the same key are the same thing.
// It is "" when there are no match fields or one of them is empty; such a record matches nothing.
func Key(fields record.Fields, matchFields []string) string {
	if len(matchFields) == 0 {
		return ""
	}
	var key string
	if len(matchFields) == 1 {
		v := fields[matchFields[0]]
		if empty(v) {
			return ""
		}
		key = record.Text(v)
	} else {
		values := make([]any, len(matchFields))
		for i, f := range matchFields {
			v := fields[f]
			if empty(v) {
				return ""
			}
			// Text, so that the number 7 of one system and the text "7" of another match.
			values[i] = record.Text(v)
		}
		key = string(record.AppendJSON(nil, values))
	}
	if len(key) > longest {
		sum := sha256.Sum256([]byte(key))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return key
}

func empty(v record.Value) bool { return v == nil || v == "" }

// Outcome is what Decide found.
type Outcome int

// The outcomes.
const (
	New       Outcome = iota // no entity is this thing yet
	Found                    // exactly one is
	Duplicate                // the one that is already has another record in this system: two records for one thing
	Ambiguous                // several are: a person decides
)

// Decide picks the entity for a record of the system among those with its match key. A deleted entity still counts while
// some system holds a copy: the record came back before the deletion reached everyone, so the entity comes back to life.
func Decide(system record.System, candidates []*record.Entity) (Outcome, *record.Entity) {
	var live, dead, taken []*record.Entity
	for _, e := range candidates {
		_, linked := e.Links[system]
		switch {
		case linked && e.DeletedAt == nil:
			taken = append(taken, e)
		case linked:
			// Its record in this system is about to be deleted under its old key; not ours to take over.
		case e.DeletedAt == nil:
			live = append(live, e)
		case len(e.Links) > 0:
			dead = append(dead, e)
		}
	}
	switch {
	case len(live) == 1:
		return Found, live[0]
	case len(live) > 1:
		return Ambiguous, nil
	case len(taken) > 0:
		return Duplicate, taken[0]
	case len(dead) > 0:
		return Found, dead[len(dead)-1]
	}
	return New, nil
}
