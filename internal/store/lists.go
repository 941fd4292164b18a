// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/connection"
	"github.com/syncline-dev/syncline/internal/connector"
)

// listsLast is how long a list lasts that nobody uses: longer than any reader waits between two looks.
const listsLast = 30 * 24 * time.Hour

// PutList sets entries of a list, which is made when it is not there.
func (t *Tx) PutList(ctx context.Context, id connection.ID, consumer string, list uuid.UUID, entries []connector.Entry) error {
	keys, digests := make([][]byte, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		keys[i], digests[i] = []byte(e.Key), int64(e.Digest)
	}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO connection_lists (tenant_id, id, connection_id, consumer, used_at) VALUES (current_tenant(), $1, $2, $3, $4)
ON CONFLICT (tenant_id, id) DO UPDATE SET used_at = excluded.used_at WHERE connection_lists.used_at < excluded.used_at - interval '1 hour'`, list, uuid.UUID(id), consumer, t.now)
	b.Queue(`DELETE FROM connection_lists WHERE tenant_id = current_tenant() AND connection_id = $1 AND used_at < $2`, uuid.UUID(id), t.now.Add(-listsLast))
	b.Queue(`INSERT INTO connection_list_keys (tenant_id, list_id, key, digest) SELECT DISTINCT ON (key) current_tenant(), $1::uuid, key, digest FROM unnest($2::bytea[], $3::bigint[]) WITH ORDINALITY AS x (key, digest, n) ORDER BY key, n DESC
ON CONFLICT (tenant_id, list_id, key) DO UPDATE SET digest = excluded.digest WHERE connection_list_keys.digest <> excluded.digest`, list, keys, digests)
	return unavailable(t.tx.SendBatch(ctx, b).Close())
}

// ListDigests returns those of the keys that the list has.
func (t *Tx) ListDigests(ctx context.Context, list uuid.UUID, keys []string) (map[string]uint64, error) {
	asked := make([][]byte, len(keys))
	for i, k := range keys {
		asked[i] = []byte(k)
	}
	rows, err := t.tx.Query(ctx, `SELECT key, digest FROM connection_list_keys WHERE tenant_id = current_tenant() AND list_id = $1 AND key = ANY($2::bytea[])`, list, asked)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make(map[string]uint64, len(keys))
	var key []byte
	var digest int64
	_, err = pgx.ForEachRow(rows, []any{&key, &digest}, func() error {
		out[string(key)] = uint64(digest)
		return nil
	})
	return out, unavailable(err)
}

// ListLacks returns keys of one list that the other has not, in order, those after the one given. there is false when the list is gone.
func (t *Tx) ListLacks(ctx context.Context, list, other uuid.UUID, after string, limit int) (keys []string, there bool, err error) {
	if err := t.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM connection_lists WHERE tenant_id = current_tenant() AND id = $1)`, list).Scan(&there); err != nil || !there {
		return nil, false, unavailable(err)
	}
	// The limit inside makes it a look into the index for each key, whatever is guessed of lists that have grown this minute.
	rows, err := t.tx.Query(ctx, `SELECT k.key FROM connection_list_keys k
LEFT JOIN LATERAL (SELECT true AS there FROM connection_list_keys o WHERE o.tenant_id = k.tenant_id AND o.list_id = $2 AND o.key = k.key LIMIT 1) o ON true
WHERE k.tenant_id = current_tenant() AND k.list_id = $1 AND k.key > $3 AND o.there IS NULL ORDER BY k.tenant_id, k.list_id, k.key LIMIT $4`, list, other, []byte(after), limit)
	if err != nil {
		return nil, true, unavailable(err)
	}
	keys, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (string, error) {
		var key []byte
		err := r.Scan(&key)
		return string(key), err
	})
	return keys, true, unavailable(err)
}

// DropList forgets a list.
func (t *Tx) DropList(ctx context.Context, list uuid.UUID) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM connection_lists WHERE tenant_id = current_tenant() AND id = $1`, list)
	return unavailable(err)
}

// DropLists forgets those of a consumer.
func (t *Tx) DropLists(ctx context.Context, id connection.ID, consumer string) error {
	_, err := t.tx.Exec(ctx, `DELETE FROM connection_lists WHERE tenant_id = current_tenant() AND connection_id = $1 AND consumer = $2`, uuid.UUID(id), consumer)
	return unavailable(err)
}
