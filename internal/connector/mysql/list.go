// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// listed is where a listing stands.
type listed struct {
	Key   []string `json:"k"`
	After []string `json:"a,omitempty"`
	Total int64    `json:"n,omitempty"`
}

// List reads rows in the order of the key. No table or place in the log is made for it.
func (s *system) List(ctx context.Context, req connector.ListRequest) (connector.Page, error) {
	if err := checkLimit(req.Limit); err != nil {
		return connector.Page{}, err
	}
	t, err := s.table(ctx, req.Object)
	if err != nil {
		return connector.Page{}, err
	}
	var at listed
	if req.Cursor == nil {
		at = listed{Key: t.keyNames(), Total: max(t.rows, 0)}
	} else if json.Unmarshal(req.Cursor, &at) != nil || strings.Join(at.Key, "\x00") != strings.Join(t.keyNames(), "\x00") {
		return connector.Page{}, lost("mysql.cursor", "The position of %s does not fit its key; the table is read anew.", t.name)
	}
	var only []string
	for _, end := range []struct {
		key   record.Key
		after bool
	}{{req.From, true}, {req.To, false}} {
		if end.key == "" {
			continue
		}
		parts, err := end.key.Parts(len(t.key))
		if err != nil {
			return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "list.key", Message: fmt.Sprintf("No row of %s can have the key %q.", t.name, end.key), Err: err}
		}
		condition, err := t.afterKey(parts, "")
		if err != nil {
			return connector.Page{}, &connector.Error{Class: connector.Reject, Code: "list.key", Message: fmt.Sprintf("No row of %s can have the key %q.", t.name, end.key), Err: err}
		}
		if !end.after {
			only = append(only, "NOT ("+condition+")")
			continue
		}
		literals := make([]string, len(parts))
		for i, p := range parts {
			literal, err := t.key[i].orderLiteral(p)
			if err != nil {
				return connector.Page{}, err
			}
			literals[i] = t.key[i].ordered("") + " = " + literal
		}
		only = append(only, "(("+condition+") OR "+strings.Join(literals, " AND ")+")")
	}
	if !req.Since.IsZero() {
		c := t.changedAt()
		if c == nil {
			return connector.Page{}, connector.CannotTell(req.Object, "The table has no column such as updated_at.")
		}
		since := req.Since.UTC().Format("2006-01-02 15:04:05.999999")
		if c.kind != kindTimestamp {
			since = req.Since.UTC().Add(-zonesApart).Format("2006-01-02 15:04:05.999999") // in a zone that only its writers know: rather too many
		}
		only = append(only, quote(c.name)+" >= '"+since+"'")
	}
	changes, after, done, err := s.inKeyOrder(ctx, t, connector.ReadRequest{Object: req.Object, Fields: req.Fields, Limit: req.Limit}, at.After, only...)
	if err != nil {
		return connector.Page{}, err
	}
	page := connector.Page{Changes: changes, Phase: connector.Snapshot, More: !done}
	if len(only) == 0 {
		page.Total = at.Total
	}
	at.After = after
	page.Cursor, err = json.Marshal(at)
	return page, err
}
