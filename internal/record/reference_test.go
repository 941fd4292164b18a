// SPDX-License-Identifier: Apache-2.0

package record

import "testing"

func TestReferences(t *testing.T) {
	id := NewEntityID()
	for _, r := range []Reference{{Entity: id}, {System: "crm", Object: "a/b c", Key: "7/8"}, {System: "crm", Object: "public.orders", Key: `["a","b"]`}} {
		if back, ok := ReferenceOf(r.Text()); !ok || back != r {
			t.Errorf("%+v is written %q and read %+v, %v", r, r.Text(), back, ok)
		}
	}
	for _, v := range []Value{nil, "", "record:", "record:no", "missing:a", "missing:a/b", "missing:a/b/", Int(3), id.String()} {
		if r, ok := ReferenceOf(v); ok {
			t.Errorf("%v passes for a reference: %+v", v, r)
		}
	}
}
