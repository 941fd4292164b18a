// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/record"
	"github.com/syncline-dev/syncline/internal/service"
)

// ChildrenCounted is up to how many records that refer to one are counted, so that looking at a record costs the same however
// many there are.
const ChildrenCounted = 10_000

// Relatives are the records that one refers to and that refer to it.
type Relatives struct {
	Parents  []ParentOf
	Children []ChildrenOf // by collection and field
	Counted  bool         // all children are counted; else there are more than ChildrenCounted
}

// ParentOf is a reference of a record, in the order of their fields.
type ParentOf struct {
	Field string
	record.Reference
	Record *record.Entity // nil while it is not known
}

// ChildrenOf are living records of a collection whose field refers to a record.
type ChildrenOf struct {
	Collection string
	Field      string
	Count      int64
	Waiting    int64 // of those, how many are not in some system yet because this one is not
}

// parentsIn lists the references of an entity.
func parentsIn(e *record.Entity) (list []ParentOf) {
	for _, f := range slices.Sorted(maps.Keys(e.Fields)) {
		if ref, ok := record.ReferenceOf(e.Fields[f]); ok {
			list = append(list, ParentOf{Field: f, Reference: ref})
		}
	}
	return list
}

// Relatives finds what a record refers to, and counts what refers to it.
func (r *Reader) Relatives(ctx context.Context, who auth.Principal, s service.ID, e *record.Entity) (out Relatives, err error) {
	if err := who.May(auth.ViewRecords); err != nil {
		return out, err
	}
	out.Parents = parentsIn(e)
	var ids []record.EntityID
	for i := range out.Parents {
		if id := out.Parents[i].Entity; !id.IsZero() && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return out, r.inTx(ctx, who.Tenant, func(tx ReadTx) error {
		var parents map[record.EntityID]*record.Entity
		if parents, out.Children, err = tx.Relatives(ctx, s, e.ID, ids, ChildrenCounted+1); err != nil {
			return err
		}
		n := int64(0)
		for _, c := range out.Children {
			n += c.Count
		}
		out.Counted = n <= ChildrenCounted
		for i := range out.Parents {
			out.Parents[i].Record = parents[out.Parents[i].Entity]
		}
		return nil
	})
}
