// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"crypto/md5" //nolint:gosec // the protocol's checksum of a message
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector/sandbox"
)

// Simulator is SQS as far as this connector needs it, with its quirks: a message that was taken is hidden until its visibility
// ends, each taking has a handle of its own, batches answer 200 with entries that failed, FIFO queues hold a group back while
// one of its messages is under way and drop what has the deduplication id of the last five minutes.
type Simulator struct{}

var _ sandbox.Vendor = (*Simulator)(nil)

// Type is the connector's.
func (*Simulator) Type() string { return "sqs" }

const (
	messages = "messages"
	queues   = "queues"
)

// Tables are what the playground shows: the messages that are in a queue.
func (*Simulator) Tables() []sandbox.TableInfo {
	return []sandbox.TableInfo{{Name: messages, Title: "Messages", Object: "contacts", Columns: []string{"queue", "body"}}}
}

// Seed makes two queues and a message.
func (*Simulator) Seed(w *sandbox.World) {
	w.Insert(queues, "contacts", map[string]any{})
	w.Insert(queues, "contacts.fifo", map[string]any{})
	w.Insert(messages, "", map[string]any{"queue": "contacts", "body": `{"id": "c-1", "name": "Maria Garcia", "email": "maria.garcia@example.com"}`})
}

// Make makes a queue known that a person names in the playground.
func (*Simulator) Make(w *sandbox.World, table string, set map[string]any) string {
	if table == messages {
		name := sandbox.Text(set["queue"])
		if name == "" {
			name = "contacts"
			set["queue"] = name
		}
		if w.Get(queues, name) == nil {
			w.Insert(queues, name, map[string]any{})
		}
	}
	return w.Insert(table, "", set).ID
}

// Message makes no webhooks.
func (*Simulator) Message(*sandbox.World, sandbox.Hook, sandbox.Event) *http.Request { return nil }

func fail(x *sandbox.Exchange, status int, code, message string) {
	x.Reply.Set("X-Amzn-Query-Error", code+";Sender")
	x.Say(status, map[string]any{"__type": "com.amazonaws.sqs#" + code, "message": message})
}

// Serve answers.
func (s *Simulator) Serve(x *sandbox.Exchange) {
	x.Reply.Set("Content-Type", "application/x-amz-json-1.0")
	if !strings.Contains(x.Header.Get("Authorization"), "Credential=sandbox") {
		fail(x, http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
		return
	}
	body := sandbox.Map(x.Body)
	_, op, _ := strings.Cut(x.Header.Get("X-Amz-Target"), ".")
	switch op {
	case "ListQueues":
		var urls []any
		for _, q := range x.W.Sorted(queues) {
			urls = append(urls, "https://sqs.us-east-1.amazonaws.com/123456789012/"+q.ID)
		}
		x.Say(http.StatusOK, map[string]any{"QueueUrls": urls})
		return
	case "GetQueueUrl":
		name := sandbox.Text(body["QueueName"])
		if x.W.Get(queues, name) == nil {
			fail(x, http.StatusBadRequest, "QueueDoesNotExist", "The specified queue does not exist.")
			return
		}
		x.Say(http.StatusOK, map[string]any{"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/" + name})
		return
	}
	url := sandbox.Text(body["QueueUrl"])
	name := url[strings.LastIndexByte(url, '/')+1:]
	if x.W.Get(queues, name) == nil {
		fail(x, http.StatusBadRequest, "QueueDoesNotExist", "The specified queue does not exist.")
		return
	}
	entries := sandbox.List(body["Entries"])
	if op != "ReceiveMessage" && (len(entries) == 0 || len(entries) > perBatch) {
		fail(x, http.StatusBadRequest, "TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.")
		return
	}
	switch op {
	case "SendMessageBatch":
		s.send(x, name, entries)
	case "ReceiveMessage":
		s.receive(x, name, body)
	case "DeleteMessageBatch", "ChangeMessageVisibilityBatch":
		s.change(x, op, entries)
	}
}

func sum(text string) string {
	d := md5.Sum([]byte(text)) //nolint:gosec // see above
	return hex.EncodeToString(d[:])
}

func (s *Simulator) send(x *sandbox.Exchange, name string, entries []any) {
	total := 0
	for _, e := range entries {
		total += len(sandbox.Text(sandbox.At(e, "MessageBody")))
	}
	if total > 256<<10 {
		fail(x, http.StatusBadRequest, "BatchRequestTooLong", "Batch requests cannot be longer than 262144 bytes.")
		return
	}
	fifo := strings.HasSuffix(name, ".fifo")
	var done, failed []any
	for _, e := range entries {
		id, text := sandbox.Text(sandbox.At(e, "Id")), sandbox.Text(sandbox.At(e, "MessageBody"))
		group, dedup := sandbox.Text(sandbox.At(e, "MessageGroupId")), sandbox.Text(sandbox.At(e, "MessageDeduplicationId"))
		if fifo && (group == "" || dedup == "") {
			failed = append(failed, map[string]any{"Id": id, "SenderFault": true, "Code": "MissingParameter", "Message": "The request must contain the parameter MessageGroupId."})
			continue
		}
		message := ""
		if kept := name + "/" + dedup; fifo {
			if at, err := time.Parse(time.RFC3339, x.W.Kept[kept]); err == nil && x.W.Now().Sub(at) < 5*time.Minute {
				message = "duplicate"
			}
			x.W.Kept[kept] = x.W.Now().Format(time.RFC3339)
		}
		if message == "" {
			attributes, _ := sandbox.At(e, "MessageAttributes").(map[string]any)
			message = x.W.Insert(messages, "", map[string]any{"queue": name, "body": text, "attributes": attributes, "group": group}).ID
		}
		done = append(done, map[string]any{"Id": id, "MessageId": message, "MD5OfMessageBody": sum(text)})
	}
	x.Say(http.StatusOK, map[string]any{"Successful": done, "Failed": failed})
}

func (s *Simulator) receive(x *sandbox.Exchange, name string, body map[string]any) {
	most, _ := strconv.Atoi(sandbox.Text(body["MaxNumberOfMessages"]))
	seconds, err := strconv.Atoi(sandbox.Text(body["VisibilityTimeout"]))
	if err != nil {
		seconds = 30
	}
	now := x.W.Now()
	busy := map[string]bool{}
	hidden := func(r *sandbox.Record) bool {
		until, err := time.Parse(time.RFC3339Nano, sandbox.Text(r.Fields["hidden"]))
		return err == nil && now.Before(until)
	}
	for _, r := range x.W.Sorted(messages) {
		if r.Live() && r.Fields["queue"] == name && hidden(r) {
			busy[sandbox.Text(r.Fields["group"])] = true
		}
	}
	var out []any
	for _, r := range x.W.Sorted(messages) {
		group := sandbox.Text(r.Fields["group"])
		if !r.Live() || r.Fields["queue"] != name || hidden(r) || group != "" && busy[group] {
			continue
		}
		if len(out) == max(1, most) {
			break
		}
		x.W.Seq++
		handle := fmt.Sprintf("%s#%d", r.ID, x.W.Seq)
		r.Fields["handle"], r.Fields["hidden"] = handle, now.Add(time.Duration(seconds)*time.Second).Format(time.RFC3339Nano)
		text := sandbox.Text(r.Fields["body"])
		m := map[string]any{"MessageId": "message-" + r.ID, "ReceiptHandle": handle, "Body": text, "MD5OfBody": sum(text), "Attributes": map[string]any{"SentTimestamp": strconv.FormatInt(r.Created.UnixMilli(), 10)}}
		if a, ok := r.Fields["attributes"].(map[string]any); ok && len(a) > 0 {
			m["MessageAttributes"] = a
		}
		out = append(out, m)
	}
	x.Say(http.StatusOK, map[string]any{"Messages": out})
}

func (s *Simulator) change(x *sandbox.Exchange, op string, entries []any) {
	var done, failed []any
	for _, e := range entries {
		id, handle := sandbox.Text(sandbox.At(e, "Id")), sandbox.Text(sandbox.At(e, "ReceiptHandle"))
		number, _, _ := strings.Cut(handle, "#")
		r := x.W.Get(messages, number)
		if r == nil || r.Fields["handle"] != handle {
			failed = append(failed, map[string]any{"Id": id, "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": "The input receipt handle is not a valid receipt handle."})
			continue
		}
		if op == "DeleteMessageBatch" {
			delete(x.W.Table(messages).Records, number)
			x.W.Seq++
		} else {
			seconds, _ := strconv.Atoi(sandbox.Text(sandbox.At(e, "VisibilityTimeout")))
			r.Fields["hidden"] = x.W.Now().Add(time.Duration(seconds) * time.Second).Format(time.RFC3339Nano)
		}
		done = append(done, map[string]any{"Id": id})
	}
	x.Say(http.StatusOK, map[string]any{"Successful": done, "Failed": failed})
}
