// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// remembered is what the last batch of a consumer wrote to a table.
type remembered struct {
	attempt  uuid.UUID
	receipts map[record.EntityID]connector.Receipt
}

func (t *table) remember(consumer string, writes []connector.Write, receipts []connector.Receipt) {
	r := remembered{receipts: make(map[record.EntityID]connector.Receipt)}
	for i := range writes {
		r.attempt = writes[i].Attempt
		if receipts[i].Outcome == connector.Applied {
			r.receipts[writes[i].ID] = receipts[i]
		}
	}
	if t.remembered == nil {
		t.remembered = make(map[string]remembered)
	}
	t.remembered[consumer] = r
}

func (s *system) Recall(ctx context.Context, object record.Object, attempt uuid.UUID) (map[record.EntityID]connector.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	t, err := s.m.lookup(object)
	if err != nil {
		return nil, err
	}
	r := t.remembered[s.consumer]
	if r.attempt != attempt {
		return nil, nil
	}
	return r.receipts, nil
}

var _ connector.Recaller = (*system)(nil)
