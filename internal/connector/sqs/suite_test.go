// SPDX-License-Identifier: Apache-2.0

package sqs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/connector/sandbox"
	"github.com/syncline-dev/syncline/internal/connector/sandbox/sandboxtest"
	"github.com/syncline-dev/syncline/internal/connector/sqs"
	"github.com/syncline-dev/syncline/internal/record"
)

// account is a simulated account as other programs use it.
type account struct {
	server *sandbox.Server
	made   atomic.Int64
	suffix string
}

func (a *account) queue(t *testing.T) record.Object {
	name := fmt.Sprintf("q%d%s", a.made.Add(1), a.suffix)
	a.server.Do(t.Context(), func(x *sandbox.Exchange) { x.W.Insert("queues", name, map[string]any{}) })
	return record.Object(name)
}

func (a *account) call(t testing.TB, op string, body map[string]any) (answer map[string]any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://sqs.us-east-1.amazonaws.com/", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS."+op)
	r.Header.Set("Authorization", "Credential=sandbox/")
	res, err := a.server.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", op, res.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func (a *account) send(t testing.TB, o record.Object, body string, headers map[string]string) {
	t.Helper()
	attributes := map[string]any{}
	for k, v := range headers {
		attributes[k] = map[string]any{"DataType": "String", "StringValue": v}
	}
	entry := map[string]any{"Id": "1", "MessageBody": body, "MessageAttributes": attributes}
	if strings.HasSuffix(string(o), ".fifo") {
		n := fmt.Sprint(a.made.Add(1))
		entry["MessageGroupId"], entry["MessageDeduplicationId"] = n, n
		if g := headers["group"]; g != "" {
			entry["MessageGroupId"] = g
		}
	}
	a.call(t, "SendMessageBatch", map[string]any{"QueueUrl": "https://x/1/" + string(o), "Entries": []any{entry}})
}

func (a *account) take(t testing.TB, o record.Object, n int) (out []connectortest.Taken) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(out) < n && time.Now().Before(deadline); {
		answer := a.call(t, "ReceiveMessage", map[string]any{"QueueUrl": "https://x/1/" + string(o), "MaxNumberOfMessages": 10})
		var handles []any
		for i, m := range sandbox.List(answer["Messages"]) {
			taken := connectortest.Taken{Body: sandbox.Text(sandbox.At(m, "Body")), Headers: map[string]string{}}
			for k, v := range sandbox.Map(sandbox.At(m, "MessageAttributes")) {
				taken.Headers[k] = sandbox.Text(sandbox.At(v, "StringValue"))
			}
			out = append(out, taken)
			handles = append(handles, map[string]any{"Id": fmt.Sprint(i), "ReceiptHandle": sandbox.At(m, "ReceiptHandle")})
		}
		if len(handles) > 0 {
			a.call(t, "DeleteMessageBatch", map[string]any{"QueueUrl": "https://x/1/" + string(o), "Entries": handles})
		}
	}
	return out
}

func (a *account) depth(t testing.TB, o record.Object) (n int) {
	a.server.Do(t.Context(), func(x *sandbox.Exchange) {
		for _, r := range x.W.Sorted("messages") {
			if r.Live() && r.Fields["queue"] == string(o) {
				n++
			}
		}
	})
	return n
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for kind, suffix := range map[string]string{"standard": "", "fifo": ".fifo"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			judge := sandboxtest.NewShapes(t, "sqs", "api-2.json")
			a := &account{server: sandbox.NewServer(&sqs.Simulator{}, sandbox.NewWorld(nil, 1), false), suffix: suffix}
			a.server.Judge = judge.See
			good := connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret"}
			connectortest.RunQueue(t, connectortest.Queue{
				Connector: sqs.New(), Judge: "simulator; Amazon's service description", Settings: good, Env: connector.Env{Sandbox: a.server},
				Bad:    []connector.Settings{{"accessKeyId": "somebody", "secretAccessKey": "sandbox_other-secret"}},
				Create: a.queue, Send: a.send, Take: a.take, Depth: a.depth, TooLarge: 256 << 10,
			})
		})
	}
}

// A FIFO queue holds a group's next message back until the one before is acknowledged.
func TestGroups(t *testing.T) {
	t.Parallel()
	a := &account{server: sandbox.NewServer(&sqs.Simulator{}, sandbox.NewWorld(nil, 1), false), suffix: ".fifo"}
	checked, err := sqs.New().Spec().Check(connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret"})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := sqs.New().Open(t.Context(), checked, connector.Env{Sandbox: a.server, Consumer: "svc_1"})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	o := a.queue(t)
	cursor := record.Cursor("{}")
	var names []string
	for deadline := time.Now().Add(30 * time.Second); (len(names) == 0 || names[len(names)-1] != "v2") && time.Now().Before(deadline); {
		page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 && len(page.Changes) == 0 && a.depth(t, o) == 0 {
			for i := range 3 {
				a.send(t, o, fmt.Sprintf(`{"id": 1, "name": "v%d"}`, i), map[string]string{"group": "one"})
			}
		}
		if len(page.Changes) > 0 {
			names = append(names, record.Text(page.Changes[0].Fields["name"]))
		}
		cursor = page.Cursor
		if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), o, cursor); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Millisecond)
	}
	if len(names) == 0 || names[len(names)-1] != "v2" {
		t.Errorf("the messages came as %v", names)
	}
}

// What is taken and not committed in time is handed out again, and not taken in twice; a broker that is busy is left alone.
func TestTrouble(t *testing.T) {
	t.Parallel()
	connectortest.Proves(t, "sqs", card.Limit)
	clock := sandbox.NewClock(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), time.Millisecond)
	a := &account{server: sandbox.NewServer(&sqs.Simulator{}, sandbox.NewWorld(clock.Now, 1), false)}
	checked, err := sqs.New().Spec().Check(connector.Settings{"accessKeyId": "sandbox", "secretAccessKey": "sandbox_secret"})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := sqs.New().Open(t.Context(), checked, connector.Env{Sandbox: a.server, Consumer: "svc_1"})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	o := a.queue(t)
	a.send(t, o, `{"id": 1, "name": "Ada"}`, nil)
	cursor := record.Cursor("{}")
	var seen []record.Change
	read := func(until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !until(); {
			if time.Now().After(deadline) {
				t.Fatalf("seen were %v", seen)
			}
			page, err := sys.(connector.Reader).Read(t.Context(), connector.ReadRequest{Object: o, Cursor: cursor, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			seen, cursor = append(seen, page.Changes...), page.Cursor
		}
	}
	read(func() bool { return len(seen) == 1 })
	clock.Advance(time.Hour) // its visibility ended
	a.send(t, o, `{"id": 2, "name": "Bob"}`, nil)
	read(func() bool { return len(seen) > 1 })
	if len(seen) != 2 || seen[1].Key != "2" {
		t.Errorf("seen were %v", seen)
	}
	// The first has another handle by now.
	for deadline := time.Now().Add(30 * time.Second); a.depth(t, o) > 0; {
		if err := sys.(connector.Acknowledger).Acknowledge(t.Context(), o, cursor); err != nil {
			t.Fatal(err)
		}
		read(func() bool { return true })
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are left", a.depth(t, o))
		}
	}
	a.server.Plant(sandbox.Fault{Status: http.StatusBadRequest, Header: map[string]string{"Content-Type": "application/x-amz-json-1.0"}, Body: `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}`})
	_, err = sys.(connector.Writer).Write(t.Context(), o, []connector.Write{{ID: record.NewEntityID(), Op: record.Upsert, Create: true, Fields: record.Fields{"id": record.Int(1)}}})
	if e := connector.Classify(err); err == nil || e.Class != connector.SlowDown {
		t.Errorf("a busy broker gave %v", err)
	}
}
