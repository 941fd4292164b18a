// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"slices"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// RunObject tries one more object of a system that RunRecords was run for, in the same account: it is found, described, read, written,
// looked up and deleted.
func RunObject(t *testing.T, h Records) {
	t.Helper()
	r := &records{Records: h, w: &suite{}}
	r.anew(t)
	r.discover(t)
	want, keys := r.stock(t, 1, 3)
	rep := newReplica(r.sys, r.Object, 2)
	rep.drain(t)
	r.settle(t, rep, want)
	got := r.w.write(t, r.sys, r.Object, create(r.New(4)), update(keys[1], record.Fields{r.Field: "changed"}, record.Fields{r.Field: r.New(1)[r.Field]}), remove(keys[2], nil))
	outcomes(t, got, connector.Applied, connector.Applied, connector.Applied)
	want[got[0].Key], want[keys[1]][r.Field] = r.New(4), "changed"
	delete(want, keys[2])
	r.settle(t, rep, want)
	r.account.Update(t, keys[3], record.Fields{r.Other: nil})
	want[keys[3]][r.Other] = nil
	r.settle(t, rep, want)
	r.account.Elapse(time.Minute)
	found, err := r.sys.(connector.Finder).Find(t.Context(), r.Object, nil, []record.Fields{{r.Identity: r.New(4)[r.Identity]}, {r.Identity: r.New(99)[r.Identity]}})
	if err != nil || len(found[0]) != 1 || found[0][0].Key != got[0].Key || len(found[1]) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if names, err := r.sys.(connector.Discoverer).Objects(t.Context()); err != nil || !slices.IsSorted(names) {
		t.Errorf("objects are %v, %v", names, err)
	}
}
