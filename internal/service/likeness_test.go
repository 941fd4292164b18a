// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"testing"

	"github.com/syncline-dev/syncline/internal/match"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// Who is named first stays first; the primary system comes before the others, and a record of a system that the document does not have any
// more gives way to all of them.
func TestMergeRank(t *testing.T) {
	doc, err := service.Parse([]byte(`service: people
systems:
  - {id: shop, type: memory, objects: [contacts]}
  - {id: crm, type: memory, objects: [contacts], primary: true}
  - {id: mail, type: memory, objects: [contacts]}
syncConfig:
  frequency: realtime
  deduplication: {fuzzyMatch: {name: {threshold: 0.9}}, mergeStrategy: primary, priority: [mail]}
`), service.YAML)
	if err != nil {
		t.Fatal(err)
	}
	choice := doc.MergeChoice()
	of := func(id byte, system record.System) *record.Entity {
		return &record.Entity{ID: record.EntityID{15: id}, Fields: record.Fields{"name": string(system)}, Links: map[record.System]*record.Link{system: {}}}
	}
	order := []record.System{"mail", "crm", "shop", "gone"}
	for i, first := range order {
		for j, second := range order[i+1:] {
			// The later one has the lower id, which decides where nothing else does.
			m := match.Merge([]*record.Entity{of(byte(9-j-i), second), of(20, first)}, match.Choice{Strategy: match.Primary, Rank: choice.Rank})
			if m.Fields["name"] != string(first) {
				t.Errorf("of %s and %s the name is that of %v", first, second, m.Fields["name"])
			}
		}
	}
}
