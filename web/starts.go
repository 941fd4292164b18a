// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connection"
)

// A start is a document to begin with.
type start struct {
	name, label, text, document string
}

// starts are the documents a new service can begin with, filled in with the tenant's own connections where there are any.
func (v *visit) starts() ([]start, error) {
	type seat struct{ id, typ, connection string }
	a, b := seat{"warehouse", "postgresql", "warehouse"}, seat{"storefront", "mysql", "storefront"}
	if v.can(auth.ViewConnections) {
		list, err := v.h.Connections.List(v.ctx(), v.who, connection.Filter{Limit: 20})
		if err != nil {
			return nil, err
		}
		seats := []*seat{&a, &b}
		for _, c := range list {
			if c.Owner == nil && len(seats) > 0 {
				*seats[0] = seat{c.Name, c.Connector, c.Name}
				seats = seats[1:]
			}
		}
	}
	systems := func(first, second string) string {
		return fmt.Sprintf(`systems:
  - id: %s
    type: %s
    connection: %s
    objects: [%s]
    primary: true
  - id: %s
    type: %s
    connection: %s
    objects: [%s]
`, a.id, a.typ, a.connection, first, b.id, b.typ, b.connection, second)
	}
	const head = "apiVersion: syncline.dev/v1\n"
	return []start{
		{
			"two-way", "Two databases, both ways", "each side's changes reach the other", head + `service: my-service
description: Keeps the same records equal in both systems
direction: bi-directional

` + systems("customers", "customers") + `
syncConfig:
  frequency: realtime
  matchFields: [email]                 # records with the same value are the same thing
  conflictResolution:
    strategy: lastWriteWins
    fields:
      name: {strategy: manual}         # a person decides this one

fieldMapping:                          # the field, and its other name
  email: email_address
  name: full_name
`,
		},
		{
			"copy", "One way copy", "the first is the source, the other follows", head + `service: my-copy
description: Copies from the first system to the second
direction: unidirectional

` + systems("orders", "orders") + `
syncConfig:
  frequency: 15m
  conflictResolution: sourceWins
  deletes: {policy: ignore}            # what was deleted in the source stays in the copy
`,
		},
		{
			"nightly", "Every night, with a brake", "large changes wait for a person", head + `service: my-nightly
description: Brings both systems together every night
direction: bi-directional

` + systems("products", "products") + `
syncConfig:
  frequency: {when: "0 2 * * *", timeZone: Europe/Berlin}
  matchFields: [sku]
  conflictResolution: lastWriteWins
  safetyThreshold: {maxDeletePercent: 5, onExceed: hold}
`,
		},
		{crmStart, "Contacts in three CRMs", "Salesforce, HubSpot and Zendesk; with one click in the sandbox", crmDocument},
	}, nil
}
