// SPDX-License-Identifier: Apache-2.0

package connectortest

import (
	"context"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// ReadKeys reads on from the cursor until the system has nothing more to tell, of twenty pages at most. It returns the keys that it was told of,
// and where reading stands, also behind an error.
func ReadKeys(ctx context.Context, sys connector.System, object record.Object, cursor record.Cursor) (keys []record.Key, _ record.Cursor, err error) {
	for range 20 {
		page, err := sys.(connector.Reader).Read(ctx, connector.ReadRequest{Object: object, Cursor: cursor, Limit: 10})
		if err != nil {
			return keys, cursor, err
		}
		for i := range page.Changes {
			keys = append(keys, page.Changes[i].Key)
		}
		if cursor = page.Cursor; !page.More {
			break
		}
	}
	return keys, cursor, nil
}
