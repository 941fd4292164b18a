// SPDX-License-Identifier: Apache-2.0

package invoicing

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/syncline-dev/syncline/internal/fault"
)

// InvoicePosition is where a part of the list of invoices ended.
type InvoicePosition struct {
	Month string    `json:"m"`
	ID    uuid.UUID `json:"i"`
}

// OperationPosition is where a part of a list of operations ended.
type OperationPosition struct {
	At    time.Time `json:"t"`
	Event string    `json:"e"`
	ID    uuid.UUID `json:"i"`
}

// parsePosition reads what cut wrote; "" is nil, the beginning.
func parsePosition[T any](s string) (*T, error) {
	if s == "" {
		return nil, nil
	}
	var position T
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &position)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invoicing.cursor_malformed",
			"The cursor is not one that this list gave; start from the beginning without a cursor.")
	}
	return &position, nil
}

// cut shortens a list that was asked for with one item too many, and says where the next part begins.
func cut[T, P any](list []T, limit int, position func(T) P) ([]T, string) {
	if len(list) <= limit {
		return list, ""
	}
	list = list[:limit]
	raw, err := json.Marshal(position(list[limit-1]))
	if err != nil {
		panic(err) // positions are plain values
	}
	return list, base64.RawURLEncoding.EncodeToString(raw)
}
