// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Tables of the simulator's streams.
const (
	shards = "shards" // by their names: table, parent, start, end
	news   = "news"   // the records, by their sequence numbers
)

// mostNews bounds what a playground keeps.
const mostNews = 5000

// Stream enables a table's stream.
func Stream(w *sandbox.World, table string) {
	w.Update(tables, table, map[string]any{"stream": "arn:aws:dynamodb:us-east-1:000000000000:table/" + table + "/stream/" + sequence(w.Seq)})
	w.Kept["seen/"+table] = strconv.FormatInt(w.Seq, 10)
	open(w, table, "")
}

func sequence(n int64) string { return fmt.Sprintf("%021d", n) }

func open(w *sandbox.World, table, parent string) {
	id := fmt.Sprintf("shardId-%020d-%08x", w.Seq+1, len(table))
	w.Insert(shards, id, map[string]any{"table": table, "parent": parent, "start": sequence(w.Seq)})
}

// Roll closes the table's shards, each of which gets a child, as the vendor does every few hours.
func Roll(w *sandbox.World, table string) {
	observe(w, table)
	for _, s := range ofTable(w, table) {
		if s.Fields["end"] == nil {
			w.Update(shards, s.ID, map[string]any{"end": sequence(w.Seq)})
			open(w, table, s.ID)
		}
	}
}

// Trim forgets what is older than now: records, and shards that are closed.
func Trim(w *sandbox.World, table string) {
	observe(w, table)
	for id, r := range w.Table(news).Records {
		if r.Fields["table"] == table {
			delete(w.Table(news).Records, id)
		}
	}
	for _, s := range ofTable(w, table) {
		if s.Fields["end"] != nil {
			delete(w.Table(shards).Records, s.ID)
		}
	}
	w.Seq++
	w.Kept["trimmed/"+table] = strconv.FormatInt(w.Seq, 10)
}

func ofTable(w *sandbox.World, table string) (out []*sandbox.Record) {
	for _, s := range w.Table(shards).Records {
		if s.Fields["table"] == table {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// observe makes records of what was changed since it last looked, by whomever. Stream records name their items by key; a table whose
// view type is KEYS_ONLY has no more in them.
func observe(w *sandbox.World, table string) {
	t := w.Get(tables, table)
	if t == nil || t.Fields["stream"] == nil {
		return
	}
	seen, _ := strconv.ParseInt(w.Kept["seen/"+table], 10, 64)
	var changed []*sandbox.Record
	for id, r := range w.Table(items).Records {
		if r.Seq > seen && strings.HasPrefix(id, table+"/") {
			changed = append(changed, r)
		}
	}
	slices.SortFunc(changed, func(a, b *sandbox.Record) int { return int(a.Seq - b.Seq) })
	w.Kept["seen/"+table] = strconv.FormatInt(w.Seq, 10)
	for _, r := range changed {
		name := "MODIFY"
		if !r.Live() {
			name = "REMOVE"
		}
		tell(w, table, name, r.Fields, r.Modified)
	}
}

// tell adds a record to the open shard.
func tell(w *sandbox.World, table, name string, it map[string]any, at time.Time) {
	t := w.Get(tables, table)
	if t == nil || t.Fields["stream"] == nil {
		return
	}
	shard := ""
	for _, s := range ofTable(w, table) {
		if s.Fields["end"] == nil {
			shard = s.ID
		}
	}
	keys := map[string]any{}
	schema := sandbox.List(t.Fields["key"])
	for i := 0; i+1 < len(schema); i += 2 {
		keys[sandbox.Text(schema[i])] = it[sandbox.Text(schema[i])]
	}
	w.Insert(news, sequence(w.Seq+1), map[string]any{"table": table, "shard": shard, "name": name, "keys": keys, "at": at.Unix()})
	if all := w.Table(news).Records; len(all) > mostNews {
		oldest := ""
		for id := range all {
			if oldest == "" || id < oldest {
				oldest = id
			}
		}
		w.Kept["trimmed/"+sandbox.Text(all[oldest].Fields["table"])] = strconv.FormatInt(all[oldest].Seq, 10)
		delete(all, oldest)
	}
}

// streams answers for the second service, which has a table's changes.
func (v *Simulator) streams(x *sandbox.Exchange, op string, body map[string]any) {
	w := x.W
	switch op {
	case "DescribeStream":
		arn := sandbox.Text(body["StreamArn"])
		table := tableOf(w, arn)
		if table == "" {
			fail(x, "ResourceNotFoundException", "Requested resource not found: Stream: "+arn+" not found")
			return
		}
		observe(w, table)
		after := sandbox.Text(body["ExclusiveStartShardId"])
		list, last := []any{}, ""
		for _, s := range ofTable(w, table) {
			if s.ID <= after {
				continue
			}
			if v.Page > 0 && len(list) == v.Page {
				last = sandbox.Text(list[len(list)-1].(map[string]any)["ShardId"])
				break
			}
			span := map[string]any{"StartingSequenceNumber": s.Fields["start"]}
			if s.Fields["end"] != nil {
				span["EndingSequenceNumber"] = s.Fields["end"]
			}
			one := map[string]any{"ShardId": s.ID, "SequenceNumberRange": span}
			if p := sandbox.Text(s.Fields["parent"]); p != "" {
				one["ParentShardId"] = p
			}
			list = append(list, one)
		}
		about := map[string]any{"StreamArn": arn, "StreamStatus": "ENABLED", "StreamViewType": "KEYS_ONLY", "TableName": table, "Shards": list}
		if last != "" {
			about["LastEvaluatedShardId"] = last
		}
		x.Say(http.StatusOK, map[string]any{"StreamDescription": about})
	case "GetShardIterator":
		s := w.Table(shards).Records[sandbox.Text(body["ShardId"])]
		if s == nil {
			fail(x, "ResourceNotFoundException", "Requested resource not found: Shard does not exist")
			return
		}
		after := ""
		if sandbox.Text(body["ShardIteratorType"]) == "AFTER_SEQUENCE_NUMBER" {
			after = sandbox.Text(body["SequenceNumber"])
			gone, _ := strconv.ParseInt(w.Kept["trimmed/"+sandbox.Text(s.Fields["table"])], 10, 64)
			if after <= sequence(gone) {
				fail(x, "TrimmedDataAccessException", "The operation attempted to read past the oldest stream record in a shard.")
				return
			}
		}
		x.Say(http.StatusOK, map[string]any{"ShardIterator": fmt.Sprintf("%s|%s|new|%d", s.ID, after, w.Now().Unix())})
	case "GetRecords":
		v.records(x, body)
	default:
		fail(x, "UnknownOperationException", "")
	}
}

func tableOf(w *sandbox.World, arn string) string {
	for _, t := range w.Sorted(tables) {
		if t.Fields["stream"] == arn {
			return t.ID
		}
	}
	return ""
}

func (v *Simulator) records(x *sandbox.Exchange, body map[string]any) {
	parts := strings.Split(sandbox.Text(body["ShardIterator"]), "|")
	if len(parts) != 4 {
		fail(x, "ValidationException", "Invalid ShardIterator")
		return
	}
	made, _ := strconv.ParseInt(parts[3], 10, 64)
	if x.W.Now().Sub(time.Unix(made, 0)) > 15*time.Minute {
		fail(x, "ExpiredIteratorException", "Iterator expired")
		return
	}
	s := x.W.Table(shards).Records[parts[0]]
	if s == nil {
		fail(x, "TrimmedDataAccessException", "The shard is not kept any more.")
		return
	}
	observe(x.W, sandbox.Text(s.Fields["table"]))
	most, _ := strconv.Atoi(sandbox.Text(body["Limit"]))
	if most <= 0 || most > 1000 {
		most = 1000
	}
	last, list, left := parts[1], []any{}, false
	if !v.Sparse || parts[2] != "new" { // the vendor answers nothing now and then, although there is something
		var ids []string
		for id, r := range x.W.Table(news).Records {
			if r.Fields["shard"] == s.ID && id > last {
				ids = append(ids, id)
			}
		}
		sort.Strings(ids)
		for _, id := range ids {
			if left = len(list) == most; left {
				break
			}
			f := x.W.Table(news).Records[id].Fields
			list = append(list, map[string]any{"eventID": id, "eventName": f["name"], "eventSource": "aws:dynamodb", "eventVersion": "1.1", "awsRegion": "us-east-1",
				"dynamodb": map[string]any{"ApproximateCreationDateTime": f["at"], "Keys": f["keys"], "SequenceNumber": id, "SizeBytes": 26, "StreamViewType": "KEYS_ONLY"}})
			last = id
		}
	} else {
		left = true
	}
	out := map[string]any{"Records": list}
	if s.Fields["end"] == nil || left {
		out["NextShardIterator"] = fmt.Sprintf("%s|%s|on|%d", s.ID, last, x.W.Now().Unix())
	}
	x.Say(http.StatusOK, out)
}
