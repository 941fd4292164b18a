// SPDX-License-Identifier: Apache-2.0

package store

import "context"

// TenantKey returns the tenant's wrapped key, to open what is sealed with it.
func (t *Tx) TenantKey(ctx context.Context) ([]byte, error) {
	key, err := t.q.TenantKey(ctx)
	return key, notFound(err, "tenant.not_found", "The tenant does not exist any more.")
}
