// SPDX-License-Identifier: Apache-2.0

package mongodb

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// value is a BSON value in canonical form, with its type.
func value(raw any) (record.Value, connector.Type) {
	switch x := raw.(type) {
	case nil, bson.Undefined, bson.Null:
		return nil, ""
	case bool:
		return x, connector.TypeBoolean
	case string:
		return x, connector.TypeText
	case int32:
		return record.Int(int64(x)), connector.TypeInteger
	case int64:
		return record.Int(x), connector.TypeInteger
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return strconv.FormatFloat(x, 'g', -1, 64), connector.TypeText
		}
		v, err := record.Canonical(x)
		if err != nil {
			return fmt.Sprint(x), connector.TypeText
		}
		return v, connector.TypeNumber
	case bson.Decimal128:
		n, err := record.ParseNumber(x.String())
		if err != nil {
			return x.String(), connector.TypeText
		}
		return n, connector.TypeNumber
	case bson.ObjectID:
		return x.Hex(), connector.TypeText
	case bson.DateTime:
		return record.Time(x.Time().UTC()), connector.TypeTimestamp
	case time.Time:
		return record.Time(x.UTC()), connector.TypeTimestamp
	case bson.Binary:
		if x.Subtype == bson.TypeBinaryUUID && len(x.Data) == 16 {
			if u, err := uuid.FromBytes(x.Data); err == nil {
				return u.String(), connector.TypeUUID
			}
		}
		return base64.StdEncoding.EncodeToString(x.Data), connector.TypeBytes
	case bson.A:
		out := make([]any, len(x))
		for i, e := range x {
			out[i], _ = value(e)
		}
		return out, connector.TypeArray
	case bson.M:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k], _ = value(e)
		}
		return out, connector.TypeJSON
	case bson.D:
		out := make(map[string]any, len(x))
		for _, e := range x {
			out[e.Key], _ = value(e.Value)
		}
		return out, connector.TypeJSON
	}
	return fmt.Sprint(raw), connector.TypeText
}

// stored is a canonical value as BSON, by the type that the field has in other documents.
func stored(typ connector.Type, v record.Value) (any, error) {
	switch x := v.(type) {
	case nil, bool:
		return x, nil
	case record.Number:
		if !strings.Contains(string(x), ".") {
			if n, err := strconv.ParseInt(string(x), 10, 64); err == nil {
				if typ == connector.TypeNumber && n > -1<<53 && n < 1<<53 {
					return float64(n), nil // as the others are
				}
				return n, nil
			}
		}
		if f, err := strconv.ParseFloat(string(x), 64); err == nil {
			if back, err := record.Canonical(f); err == nil && record.Equal(back, x) {
				return f, nil
			}
		}
		d, err := bson.ParseDecimal128(string(x))
		if err != nil {
			return nil, fmt.Errorf("cannot keep the number %s: it has more than 34 digits", x)
		}
		return d, nil
	case string:
		switch typ {
		case connector.TypeTimestamp:
			if at, err := time.Parse(time.RFC3339Nano, x); err == nil {
				return bson.NewDateTimeFromTime(at), nil
			}
		case connector.TypeUUID:
			if u, err := uuid.Parse(x); err == nil {
				return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: u[:]}, nil
			}
		case connector.TypeBytes:
			if b, err := base64.StdEncoding.DecodeString(x); err == nil {
				return bson.Binary{Data: b}, nil
			}
		}
		return x, nil
	case []any:
		out := make(bson.A, len(x))
		for i, e := range x {
			b, err := stored("", e)
			if err != nil {
				return nil, err
			}
			out[i] = b
		}
		return out, nil
	case map[string]any:
		out := make(bson.M, len(x))
		for k, e := range x {
			b, err := stored("", e)
			if err != nil {
				return nil, err
			}
			out[k] = b
		}
		return out, nil
	}
	return nil, fmt.Errorf("cannot keep a value of this kind")
}
