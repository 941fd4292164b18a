// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

var (
	_ connector.Scanner  = (*system)(nil)
	_ connector.Digester = (*system)(nil)
)

// Scan reads rows in the order of the key; its place is the last key's parts.
func (s *system) Scan(ctx context.Context, req connector.ScanRequest) (out connector.Scanned, err error) {
	if err := checkLimit(req.Limit); err != nil {
		return out, err
	}
	t, err := s.table(ctx, req.Object)
	if err != nil {
		return out, err
	}
	var after []string
	if req.Place != nil {
		if err := json.Unmarshal(req.Place, &after); err != nil {
			return out, lost("mysql.cursor", "The place in %s cannot be read; the table is read from its beginning.", t.name)
		}
	}
	changes, last, done, err := s.inKeyOrder(ctx, t, connector.ReadRequest{Object: req.Object, Fields: req.Fields, Limit: req.Limit}, after)
	if err != nil {
		if connector.Classify(err).Class == connector.Drift {
			s.forget(req.Object)
		}
		return out, err
	}
	out.Records = changes
	if !done {
		out.Next, err = json.Marshal(last)
	}
	return out, err
}

// canonicalText is a SQL expression for the canonical text of the column's values, "" where the server cannot make it. Dates
// without a day come out as a text that no canonical value has, so that their rows are read.
func (c *column) canonicalText() string {
	name := quote(c.name)
	text := "CAST(" + name + " AS CHAR)"
	fraction := func(text string) string {
		if c.scale == 0 {
			return text
		}
		return "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM " + text + "))"
	}
	switch c.kind {
	case kindInteger, kindYear, kindDate:
		return text
	case kindDecimal, kindTime:
		return fraction(text)
	case kindBoolean:
		return "IF(" + name + " IS NULL, NULL, IF(" + name + " <> 0, 'true', 'false'))"
	case kindText, kindChar, kindEnum:
		return name
	case kindDateTime:
		return fraction("REPLACE(" + text + ", ' ', 'T')")
	case kindTimestamp:
		return "CONCAT(" + fraction("REPLACE("+text+", ' ', 'T')") + ", 'Z')"
	}
	return ""
}

// Digest computes the digest of rows in SQL.
func (s *system) Digest(ctx context.Context, object record.Object, fields []string, keys []record.Key) (d connector.Digest, exact bool, err error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return d, false, err
	}
	if t.folds() && len(t.key) > 1 {
		return d, false, nil
	}
	var parts []string
	add := func(c *column) bool {
		text := c.canonicalText()
		if text == "" {
			return false
		}
		text = "CONVERT(" + text + " USING utf8mb4)"
		parts = append(parts, "IFNULL(CONCAT(CHAR_LENGTH("+text+"), ':', "+text+"), '-')")
		return true
	}
	for _, c := range t.key {
		if !add(c) {
			return d, false, nil
		}
	}
	for _, f := range fields {
		c := t.byName[f]
		if c == nil {
			_, err := t.pick([]string{f})
			s.forget(object)
			return d, false, err
		}
		if !add(c) {
			return d, false, nil
		}
	}
	var literals [][]string
	for _, k := range keys {
		if l, _, err := t.keyLiterals(k); err == nil { // else no row can have this key
			literals = append(literals, l)
		}
	}
	err = s.reads.on(ctx, func(conn *sql.Conn) error {
		for len(literals) > 0 {
			chunk := literals[:min(len(literals), keysPerStatement)]
			literals = literals[len(chunk):]
			statement := "SELECT COUNT(*), IFNULL(SUM(CAST(CONV(LEFT(MD5(CONCAT(" + strings.Join(parts, ", ") + ")), 16), 16, 10) AS UNSIGNED)), 0) FROM " +
				t.locked() + " WHERE " + t.keyIn(chunk)
			err := query(ctx, conn, statement, func(row []driver.Value) error {
				n, err := strconv.ParseInt(word(row[0]), 10, 64)
				if err != nil {
					return err
				}
				sum, _ := new(big.Int).SetString(word(row[1]), 10)
				d.Add(connector.Digest{Count: n, Sum: sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 64)).Uint64()})
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return d, false, classify(err, "comparing "+t.name)
	}
	return d, true, nil
}

// Count counts the table's rows.
func (s *system) Count(ctx context.Context, object record.Object) (n int64, err error) {
	t, err := s.table(ctx, object)
	if err != nil {
		return 0, err
	}
	err = s.reads.query(ctx, "SELECT COUNT(*) FROM "+t.from(), func(row []driver.Value) (err error) {
		n, err = strconv.ParseInt(word(row[0]), 10, 64)
		return err
	})
	if err != nil {
		return 0, classify(err, "counting "+t.name)
	}
	return n, nil
}
