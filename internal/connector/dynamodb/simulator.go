// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is DynamoDB as far as this connector needs it: typed attributes, scans in pages, conditional writes, updates by
// expression, transactions of two items, and streams in shards that are closed, trimmed and read by iterators.
type Simulator struct {
	Page   int  // items in a page of a scan, and in an answer to keys, and shards in a page; 100 when zero
	Sparse bool // streams answer nothing at first
}

var _ sandbox.Vendor = (*Simulator)(nil)

const (
	tables = "tables"
	items  = "items"
)

// Type is the connector's.
func (*Simulator) Type() string { return "dynamodb" }

// Tables are what the playground shows.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: items, Title: "contacts", Object: "contacts", Columns: []string{"id.S", "name.S", "email.S", "phone.S"}}}
}

// Seed makes a table with a few people.
func (*Simulator) Seed(w *sandbox.World) {
	MakeTable(w, "contacts", "id", "S")
	Stream(w, "contacts")
	for i, p := range [][3]string{{"Maria Garcia", "maria.garcia@example.com", "+34911234567"}, {"Kenji Ito", "kenji.ito@example.com", "+81312345678"}} {
		text := func(s string) any { return map[string]any{"S": s} }
		Put(w, "contacts", map[string]any{"id": text(fmt.Sprintf("c-%d", i+1)), "name": text(p[0]), "email": text(p[1]), "phone": text(p[2])})
	}
}

// MakeTable makes a table with a key of these names and kinds.
func MakeTable(w *sandbox.World, name string, key ...any) {
	w.Insert(tables, name, map[string]any{"key": key})
}

// Make makes an item that a person wrote in the playground.
func (*Simulator) Make(w *sandbox.World, _ string, set map[string]any) string {
	it := map[string]any{}
	for name, v := range set {
		if column, _, ok := strings.Cut(name, "."); ok && v != nil {
			it[column] = map[string]any{"S": sandbox.Text(v)}
		}
	}
	if it["id"] == nil {
		it["id"] = map[string]any{"S": fmt.Sprintf("c-%d", w.Seq)}
	}
	return Put(w, "contacts", it)
}

// Message makes no webhooks.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }

func keyOf(w *sandbox.World, table string, it map[string]any) string {
	key := sandbox.List(w.Get(tables, table).Fields["key"])
	id := table
	for i := 0; i+1 < len(key); i += 2 {
		id += "/" + sandbox.Text(sandbox.At(it, sandbox.Text(key[i]), sandbox.Text(key[i+1])))
	}
	return id
}

// Put makes or replaces an item.
func Put(w *sandbox.World, table string, it map[string]any) string {
	id := keyOf(w, table, it)
	delete(w.Table(items).Records, id)
	w.Insert(items, id, it)
	return id
}

// Item is one of a table's, nil when there is none.
func Item(w *sandbox.World, table string, key map[string]any) *sandbox.Record {
	return w.Get(items, keyOf(w, table, key))
}

// Remove takes an item away for good.
func Remove(w *sandbox.World, r *sandbox.Record) {
	delete(w.Table(items).Records, r.ID)
	w.Seq++
	table, _, _ := strings.Cut(r.ID, "/")
	tell(w, table, "REMOVE", r.Fields, w.Now())
}

func fail(x *sandbox.Exchange, code, message string) {
	x.Say(http.StatusBadRequest, map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": message})
}

// Serve answers.
func (v *Simulator) Serve(x *sandbox.Exchange) {
	x.Reply.Set("Content-Type", "application/x-amz-json-1.0")
	if !strings.Contains(x.Header.Get("Authorization"), "Credential=sandbox") {
		fail(x, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	}
	body := sandbox.Map(x.Body)
	service, op, _ := strings.Cut(x.Header.Get("X-Amz-Target"), ".")
	if strings.HasPrefix(service, "DynamoDBStreams") {
		v.streams(x, op, body)
		return
	}
	name := sandbox.Text(body["TableName"])
	if op != "ListTables" && op != "TransactWriteItems" && op != "BatchGetItem" && x.W.Get(tables, name) == nil {
		fail(x, "ResourceNotFoundException", "Requested resource not found")
		return
	}
	switch op {
	case "ListTables":
		var names []any
		for _, t := range x.W.Sorted(tables) {
			names = append(names, t.ID)
		}
		x.Say(http.StatusOK, map[string]any{"TableNames": names})
	case "DescribeTable":
		var schema, attributes []any
		key := sandbox.List(x.W.Get(tables, name).Fields["key"])
		for i := 0; i+1 < len(key); i += 2 {
			kind := "HASH"
			if i > 0 {
				kind = "RANGE"
			}
			schema = append(schema, map[string]any{"AttributeName": key[i], "KeyType": kind})
			attributes = append(attributes, map[string]any{"AttributeName": key[i], "AttributeType": key[i+1]})
		}
		about := map[string]any{"TableName": name, "KeySchema": schema, "AttributeDefinitions": attributes, "TableStatus": "ACTIVE"}
		if arn := x.W.Get(tables, name).Fields["stream"]; arn != nil {
			about["LatestStreamArn"], about["StreamSpecification"] = arn, map[string]any{"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}
		}
		x.Say(http.StatusOK, map[string]any{"Table": about})
	case "BatchGetItem":
		v.batch(x, sandbox.Map(body["RequestItems"]))
	case "Scan":
		v.scan(x, name, body)
	case "PutItem", "UpdateItem", "DeleteItem":
		if code := v.check(x, name, op, body); code != "" {
			fail(x, code, "The conditional request failed")
			return
		}
		v.write(x, name, op, body)
		x.Say(http.StatusOK, map[string]any{})
	case "TransactWriteItems":
		list := sandbox.List(body["TransactItems"])
		for _, apply := range []bool{false, true} {
			for _, t := range list {
				for kind, part := range sandbox.Map(t) {
					one := sandbox.Map(part)
					if !apply && v.check(x, sandbox.Text(one["TableName"]), kind+"Item", one) != "" {
						fail(x, "TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons [ConditionalCheckFailed]")
						return
					}
					if apply {
						v.write(x, sandbox.Text(one["TableName"]), kind+"Item", one)
					}
				}
			}
		}
		x.Say(http.StatusOK, map[string]any{})
	}
}

func target(body map[string]any) map[string]any {
	if it := sandbox.Map(body["Item"]); it != nil {
		return it
	}
	return sandbox.Map(body["Key"])
}

func same(a, b any) bool {
	x, _ := json.Marshal(a) // as they came
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// check evaluates the condition: comparisons with a value and tests for being there, joined by AND.
func (v *Simulator) check(x *sandbox.Exchange, table, _ string, body map[string]any) string {
	condition := sandbox.Text(body["ConditionExpression"])
	if condition == "" {
		return ""
	}
	var is map[string]any
	if r := Item(x.W, table, target(body)); r != nil {
		is = r.Fields
	}
	attribute := func(s string) string {
		return sandbox.Text(sandbox.At(body, "ExpressionAttributeNames", s))
	}
	for _, c := range strings.Split(condition, " AND ") {
		holds := false
		if inner, ok := strings.CutPrefix(c, "attribute_not_exists("); ok {
			holds = is[attribute(strings.TrimSuffix(inner, ")"))] == nil
		} else if inner, ok := strings.CutPrefix(c, "attribute_exists("); ok {
			holds = is[attribute(strings.TrimSuffix(inner, ")"))] != nil
		} else if name, val, ok := strings.Cut(c, " = "); ok {
			holds = same(is[attribute(name)], sandbox.At(body, "ExpressionAttributeValues", val))
		}
		if !holds {
			return "ConditionalCheckFailedException"
		}
	}
	return ""
}

func (v *Simulator) write(x *sandbox.Exchange, table, op string, body map[string]any) {
	switch op {
	case "PutItem":
		Put(x.W, table, sandbox.Map(body["Item"]))
	case "DeleteItem":
		if r := Item(x.W, table, sandbox.Map(body["Key"])); r != nil {
			Remove(x.W, r)
		}
	case "UpdateItem":
		r := Item(x.W, table, sandbox.Map(body["Key"]))
		change := sandbox.Text(body["UpdateExpression"])
		sets, removes, _ := strings.Cut(change, "REMOVE ")
		sets = strings.TrimSpace(strings.TrimPrefix(sets, "SET "))
		for _, part := range strings.Split(sets, ", ") {
			if name, val, ok := strings.Cut(part, " = "); ok {
				r.Fields[sandbox.Text(sandbox.At(body, "ExpressionAttributeNames", name))] = sandbox.At(body, "ExpressionAttributeValues", strings.TrimSpace(val))
			}
		}
		for _, name := range strings.Split(removes, ", ") {
			delete(r.Fields, sandbox.Text(sandbox.At(body, "ExpressionAttributeNames", strings.TrimSpace(name))))
		}
		x.W.Seq++
		r.Seq, r.Modified = x.W.Seq, x.W.Now()
	}
}

// batch answers some keys, and leaves the rest for another call.
func (v *Simulator) batch(x *sandbox.Exchange, asked map[string]any) {
	most := v.Page
	if most == 0 {
		most = 100
	}
	found, left := map[string]any{}, map[string]any{}
	for table, a := range asked {
		if x.W.Get(tables, table) == nil {
			fail(x, "ResourceNotFoundException", "Requested resource not found")
			return
		}
		list, twice := []any{}, map[string]bool{}
		keys := sandbox.List(sandbox.At(a, "Keys"))
		for i, k := range keys {
			id := keyOf(x.W, table, sandbox.Map(k))
			if twice[id] {
				fail(x, "ValidationException", "Provided list of item keys contains duplicates")
				return
			}
			twice[id] = true
			if i >= most {
				continue
			}
			if r := x.W.Get(items, id); r != nil {
				list = append(list, r.Fields)
			}
		}
		if found[table] = list; len(keys) > most {
			left[table] = map[string]any{"Keys": keys[most:], "ConsistentRead": true}
		}
	}
	x.Say(http.StatusOK, map[string]any{"Responses": found, "UnprocessedKeys": left})
}

func (v *Simulator) scan(x *sandbox.Exchange, table string, body map[string]any) {
	most := v.Page
	if most == 0 {
		most = 100
	}
	if n, err := strconv.Atoi(sandbox.Text(body["Limit"])); err == nil && n > 0 {
		most = min(most, n)
	}
	var ids []string
	for id, r := range x.W.Table(items).Records {
		if r.Live() && strings.HasPrefix(id, table+"/") {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	after := ""
	if start := sandbox.Map(body["ExclusiveStartKey"]); start != nil {
		after = keyOf(x.W, table, start)
	}
	list := []any{}
	var last map[string]any
	for _, id := range ids {
		if id <= after {
			continue
		}
		if len(list) == most {
			break
		}
		last = x.W.Get(items, id).Fields
		list = append(list, last)
	}
	out := map[string]any{"Items": list, "Count": len(list), "ScannedCount": len(list)}
	if len(list) == most {
		start := map[string]any{}
		key := sandbox.List(x.W.Get(tables, table).Fields["key"])
		for i := 0; i+1 < len(key); i += 2 {
			start[sandbox.Text(key[i])] = last[sandbox.Text(key[i])]
		}
		out["LastEvaluatedKey"] = start
	}
	x.Say(http.StatusOK, out)
}
