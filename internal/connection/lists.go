// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// ListTx is what keeping lists for comparing needs of a transaction.
type ListTx interface {
	PutList(ctx context.Context, id ID, consumer string, list uuid.UUID, entries []connector.Entry) error
	ListDigests(ctx context.Context, list uuid.UUID, keys []string) (map[string]uint64, error)
	// ListLacks returns keys of one list that the other has not, in order, those after the one given. there is false when the list is gone.
	ListLacks(ctx context.Context, list, other uuid.UUID, after string, limit int) (keys []string, there bool, err error)
	DropList(ctx context.Context, list uuid.UUID) error
	// DropLists forgets those of a consumer.
	DropLists(ctx context.Context, id ID, consumer string) error
}

// lists are those of one consumer of a connection.
type lists struct {
	m        *Manager
	tenant   tenant.ID
	id       ID
	consumer string
}

var _ connector.Lists = lists{}

func (l lists) Put(ctx context.Context, list uuid.UUID, entries []connector.Entry) error {
	return l.m.inTx(ctx, l.tenant, func(tx Tx) error { return tx.PutList(ctx, l.id, l.consumer, list, entries) })
}

func (l lists) Digests(ctx context.Context, list uuid.UUID, keys []string) (found map[string]uint64, err error) {
	err = l.m.inTx(ctx, l.tenant, func(tx Tx) error {
		found, err = tx.ListDigests(ctx, list, keys)
		return err
	})
	return found, err
}

func (l lists) Lacks(ctx context.Context, list, other uuid.UUID, after string, limit int) (keys []string, there bool, err error) {
	err = l.m.inTx(ctx, l.tenant, func(tx Tx) error {
		keys, there, err = tx.ListLacks(ctx, list, other, after, limit)
		return err
	})
	return keys, there, err
}

func (l lists) Drop(ctx context.Context, list uuid.UUID) error {
	return l.m.inTx(ctx, l.tenant, func(tx Tx) error { return tx.DropList(ctx, list) })
}
