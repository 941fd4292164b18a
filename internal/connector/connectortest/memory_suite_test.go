// SPDX-License-Identifier: Apache-2.0

package connectortest_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/record"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	for _, suppress := range []bool{false, true} {
		t.Run(fmt.Sprintf("suppress=%v", suppress), func(t *testing.T) {
			t.Parallel()
			m := connectortest.NewMemory()
			m.SetToken("good")
			m.SuppressEchoes(suppress)
			var made atomic.Int64
			connectortest.Run(t, connectortest.Harness{
				Connector: m,
				Settings:  connector.Settings{"token": "good"},
				Bad:       []connector.Settings{{"token": "wrong-token"}},
				Detection: "stream",
				Users:     memoryUsers{m},
				Create: func(t *testing.T, shape connectortest.Shape) record.Object {
					info := shape.ObjectInfo
					info.Name = record.Object(fmt.Sprintf("%s_%d", shape.Name, made.Add(1)))
					m.Declare(info)
					m.Unique(info.Name, shape.Unique...)
					return info.Name
				},
				LosePlace: func(_ *testing.T, o record.Object, _ string) { m.LosePlaces(o) },
				Can: connectortest.Can{Deletes: true, Independent: true, Suppresses: suppress, Watches: true, Finds: true, Keyless: true,
					Composite: true, Rekeys: true, MakesKeys: true, Unique: true, LimitsLength: true, NotNull: true, Rounds: true},
			})
		})
	}
}

// memoryUsers edits a Memory for the suite.
type memoryUsers struct{ m *connectortest.Memory }

func (u memoryUsers) Insert(_ testing.TB, o record.Object, rows ...record.Fields) {
	for _, r := range rows {
		u.m.User(o).Put(u.m.KeyOf(o, r), r)
	}
}

func (u memoryUsers) Update(_ testing.TB, o record.Object, key record.Key, set record.Fields) {
	if to := u.m.KeyOf(o, set); to != "" && to != key {
		u.m.User(o).Rekey(key, to)
		key = to
	}
	u.m.User(o).Put(key, set)
}

func (u memoryUsers) Delete(_ testing.TB, o record.Object, keys ...record.Key) {
	for _, k := range keys {
		u.m.User(o).Delete(k)
	}
}

func (u memoryUsers) Begin(t testing.TB) connectortest.Transaction {
	t.Fatal("a Memory has no transactions")
	return nil
}
