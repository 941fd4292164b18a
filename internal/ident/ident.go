// SPDX-License-Identifier: Apache-2.0

// Package ident writes and reads ids as people and programs see them: a prefix that says what is named, and the uuid in
// lower-case base32 ("svc_06f3k8t2v0h7x1m9q4r5s6t7w8").
package ident

import (
	"encoding/base32"
	"strings"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
)

// The prefixes, one per kind of thing.
const (
	Tenant     = "ten"
	User       = "usr"
	Invitation = "inv"
	Key        = "key"
	Connection = "con"
	Service    = "svc"
	Run        = "run"
	Entity     = "rec" // people call an entity a record
	Journal    = "jrn"
	Conflict   = "cfl"
	DeadLetter = "dlq"
	Budget     = "bud"
	RuleAction = "act"
	Attempt    = "atm"
	Invoice    = "bil"
	Line       = "lin" // of an invoice
	Hold       = "hld"
	Proof      = "prf" // a comparison of all records
	Adjustment = "adj" // of a draft
	CreditNote = "crn"
	Credit     = "crd"
	Event      = "evt"
	Webhook    = "whk" // an endpoint
	Delivery   = "whd" // to an endpoint
	Worker     = "wrk"
	Request    = "req"

	SchemaChange   = "sch"
	Reconciliation = "rcn"
	Duplicate      = "dup"
	ConflictAlert  = "cal"
	Discrepancy    = "dsc"

	ServicePlan = "pln" // what a document or a bulk run would do
)

// Crockford's alphabet: no letter that is taken for another; the order of ids is kept.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Format shows an id.
func Format(prefix string, id [16]byte) string {
	return prefix + "_" + encoding.EncodeToString(id[:])
}

// Parse reads an id of that kind. The fault id.malformed says which prefix was expected.
func Parse(prefix, s string) (uuid.UUID, error) {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if ok && len(rest) == 26 {
		var id uuid.UUID
		if n, err := encoding.Decode(id[:], []byte(strings.ToLower(rest))); err == nil && n == 16 {
			return id, nil
		}
	}
	return uuid.UUID{}, fault.New(fault.NotFound, "id.malformed", "%q is not an id of this kind; such ids begin with %s_ and have 26 characters after it.", s, prefix)
}

// Is says whether s looks like an id of that kind, as opposed to a name.
func Is(prefix, s string) bool {
	_, err := Parse(prefix, s)
	return err == nil
}
