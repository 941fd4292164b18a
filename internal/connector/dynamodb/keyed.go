// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// sample is how many items show what attributes there are.
const sample = 500

// Shape looks at some items.
func (s *source) Shape(ctx context.Context, object record.Object) (*sheet.Table, error) {
	return s.shapes.Get(object, func() (*sheet.Table, bool, error) {
		t, err := s.look(ctx, object)
		return t, err == nil && len(t.Rows) == sample, err
	})
}

func (s *source) look(ctx context.Context, object record.Object) (*sheet.Table, error) {
	key, err := s.key(ctx, object)
	if err != nil {
		return nil, err
	}
	about, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(string(object))})
	if err != nil {
		return nil, classify(err, object)
	}
	out, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(string(object)), ConsistentRead: aws.Bool(true), Limit: aws.Int32(sample)})
	if err != nil {
		return nil, classify(err, object)
	}
	t := &sheet.Table{Open: true, Estimate: max(aws.ToInt64(about.Table.ItemCount), int64(len(out.Items)))}
	fill(t, key, out.Items)
	return t, nil
}

// fill adds items to a table, and what their attributes are.
func fill(t *sheet.Table, key []keyPart, items []item) {
	seen := map[string]map[connector.Type]bool{}
	for _, f := range t.Fields {
		seen[f.Name] = map[connector.Type]bool{f.Type: true}
	}
	t.Key = t.Key[:0]
	for _, k := range key {
		t.Key = append(t.Key, k.name)
		seen[k.name] = map[connector.Type]bool{}
	}
	for _, it := range items {
		r := &sheet.Row{Fields: make(record.Fields, len(it)), Handle: it}
		for name, raw := range it {
			v, typ := value(raw)
			r.Fields[name] = v
			if seen[name] == nil {
				seen[name] = map[connector.Type]bool{}
			}
			if v != nil {
				seen[name][typ] = true
			}
		}
		t.Rows = append(t.Rows, r)
	}
	t.Fields = t.Fields[:0]
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		f := connector.FieldInfo{Name: name, Type: merge(seen[name]), Nullable: !slices.Contains(t.Key, name), Scale: -1}
		for _, k := range key {
			if k.name == name && len(seen[name]) == 0 {
				f.Type = map[types.ScalarAttributeType]connector.Type{types.ScalarAttributeTypeN: connector.TypeNumber, types.ScalarAttributeTypeB: connector.TypeBytes, types.ScalarAttributeTypeS: connector.TypeText}[k.typ]
			}
		}
		f.Native = string(f.Type) + ", by example"
		t.Fields = append(t.Fields, f)
	}
}

// attributes is a key as the vendor has it; nil when no item can have it.
func attributes(key []keyPart, k record.Key) item {
	parts, err := k.Parts(len(key))
	if err != nil {
		return nil
	}
	out := item{}
	for i, p := range key {
		switch p.typ {
		case types.ScalarAttributeTypeN:
			n, err := record.ParseNumber(parts[i])
			if err != nil {
				return nil
			}
			out[p.name] = &types.AttributeValueMemberN{Value: string(n)}
		case types.ScalarAttributeTypeB:
			b, err := base64.StdEncoding.DecodeString(parts[i])
			if err != nil {
				return nil
			}
			out[p.name] = &types.AttributeValueMemberB{Value: b}
		default:
			if parts[i] == "" {
				return nil
			}
			out[p.name] = &types.AttributeValueMemberS{Value: parts[i]}
		}
	}
	return out
}

// Rows reads the items of keys, a hundred at a time.
func (s *source) Rows(ctx context.Context, object record.Object, keys []record.Key) (*sheet.Table, error) {
	const together, tries = 100, 8
	t, err := s.Shape(ctx, object)
	if err != nil {
		return nil, err
	}
	key, err := s.key(ctx, object)
	if err != nil {
		return nil, err
	}
	var list []item
	asked := map[record.Key]bool{}
	for _, k := range keys {
		it := attributes(key, k)
		if it == nil {
			continue
		}
		values := make([]record.Value, len(key)) // the vendor refuses a key twice, and 1.0 is 1
		for i, p := range key {
			values[i], _ = value(it[p.name])
		}
		if k := record.MakeKey(values...); !asked[k] {
			asked[k] = true
			list = append(list, it)
		}
	}
	name := string(object)
	for chunk := range slices.Chunk(list, together) {
		in := map[string]types.KeysAndAttributes{name: {Keys: chunk, ConsistentRead: aws.Bool(true)}}
		for try := 0; len(in) > 0; try++ {
			if try == tries {
				return nil, &connector.Error{Class: connector.SlowDown, Code: "dynamodb.slow_down", Message: "DynamoDB asks for fewer requests.", After: time.Second, Err: errors.New("items were left unread")}
			}
			out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: in})
			if err != nil {
				return nil, classify(err, object)
			}
			fill(t, key, out.Responses[name])
			in = out.UnprocessedKeys
		}
	}
	return t, nil
}

// Where reads by key what is asked for by key, and scans the table for the rest, keeping only what is asked for.
func (s *source) Where(ctx context.Context, object record.Object, queries []record.Fields) (*sheet.Table, error) {
	key, err := s.key(ctx, object)
	if err != nil {
		return nil, err
	}
	var keys []record.Key
	var rest []record.Fields
	for _, q := range queries {
		values := make([]record.Value, len(key))
		whole := true
		for i, k := range key {
			values[i] = q[k.name]
			whole = whole && values[i] != nil
		}
		if whole {
			keys = append(keys, record.MakeKey(values...))
		} else {
			rest = append(rest, q)
		}
	}
	t, err := s.Rows(ctx, object, keys)
	if err != nil || len(rest) == 0 {
		return t, err
	}
	have := map[record.Key]bool{}
	keyed := func(it item) record.Key {
		values := make([]record.Value, len(key))
		for i, k := range key {
			values[i], _ = value(it[k.name])
		}
		return record.MakeKey(values...)
	}
	for _, r := range t.Rows {
		have[keyed(r.Handle.(item))] = true
	}
	found := make([]int, len(rest))
	pages := dynamodb.NewScanPaginator(s.client, &dynamodb.ScanInput{TableName: aws.String(string(object)), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify(err, object)
		}
		var kept []item
		for _, it := range page.Items {
			wanted := false
			for i, q := range rest {
				same := found[i] < 2
				for name, want := range q {
					if !same {
						break
					}
					v, _ := value(it[name])
					same = record.Equal(v, want)
				}
				if same {
					found[i]++
					wanted = true
				}
			}
			if wanted && !have[keyed(it)] {
				kept = append(kept, it)
			}
		}
		fill(t, key, kept)
	}
	return t, nil
}
