// SPDX-License-Identifier: Apache-2.0

package graphql

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

// transportWS is the subprotocol of subscriptions over WebSocket.
const transportWS = "graphql-transport-ws"

const (
	beat     = 30 * time.Second // between pings of ours
	patience = 10 * time.Second // for what a server has to answer at once
	idle     = 2 * time.Minute  // a stream of events that says nothing for so long, not even that it lives, is opened anew
)

// Watch implements connector.Watcher. Each message of a subscription is a hint: the records are read from the cursor, so what is
// missed while nobody listens is read all the same.
func (l *listening) Watch(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	var named []record.Object
	for _, o := range objects {
		if l.objects[string(o)].Subscription != nil {
			named = append(named, o)
		}
	}
	if len(named) == 0 {
		return &connector.Error{Class: connector.Reject, Code: "graphql.no_subscription", Message: "There is no subscription for these objects; they are looked at at intervals."}
	}
	if l.protocol == overSSE {
		return l.overEvents(ctx, named, wake)
	}
	return l.overSocket(ctx, named, wake)
}

func (l *listening) payload(o record.Object) map[string]any {
	s := l.objects[string(o)].Subscription
	p := map[string]any{"query": s.Query}
	if s.Variables != nil {
		p["variables"] = s.Variables
	}
	return p
}

// refusal is the error of a subscription that the server does not take.
func (l *listening) refusal(o record.Object, payload json.RawMessage) error {
	var many []struct {
		Message    string `json:"message"`
		Extensions struct {
			Code string `json:"code"`
		} `json:"extensions"`
	}
	if json.Unmarshal(payload, &many) != nil {
		var whole struct {
			Errors json.RawMessage `json:"errors"`
		}
		if json.Unmarshal(payload, &whole) == nil {
			_ = json.Unmarshal(whole.Errors, &many) // what cannot be read is told without its words
		}
	}
	says, class, code := "it gives no reason", connector.Reject, "graphql.subscription_refused"
	if len(many) > 0 {
		says = l.push.Redact(many[0].Message)
		switch c := many[0].Extensions.Code; c {
		case "UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN":
			class, code = connector.Reconnect, "http.unauthorized"
		case "INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE":
			class = connector.Retry
		}
	}
	return &connector.Error{Class: class, Code: code, Message: fmt.Sprintf("The endpoint does not take the subscription of %s: %s. Changes are found by looking at intervals meanwhile.", o, says)}
}

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func (l *listening) overSocket(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	socket, err := l.push.Dial(ctx, l.url, l.header, transportWS)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer socket.CloseNow()
	say := func(f map[string]any) error {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		writing, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return socket.Write(writing, b)
	}
	hello := map[string]any{"type": "connection_init"}
	if len(l.header) > 0 { // browsers cannot send headers, so servers look here, too
		credentials := map[string]any{}
		for k := range l.header {
			credentials[k] = l.header.Get(k)
		}
		hello["payload"] = credentials
	}
	err = say(hello)
	var began time.Time
	told := false // that it is listening
	of := map[string]record.Object{}
	for err == nil {
		var b []byte
		if told {
			b, err = socket.Read(ctx)
		} else { // what a server has to answer at once
			waiting, cancel := context.WithTimeout(ctx, patience)
			b, err = socket.Read(waiting)
			cancel()
			if err != nil && ctx.Err() == nil && waiting.Err() != nil {
				err = &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "The endpoint does not answer as " + transportWS + " wants it; it is tried again."}
			}
		}
		if err != nil {
			break
		}
		var f frame
		if json.Unmarshal(b, &f) != nil {
			err = &connector.Error{Class: connector.Retry, Code: "http.answer_unreadable", Message: "The system's answer is not what it says that it is. It will be tried again."}
			break
		}
		switch f.Type {
		case "connection_ack":
			if !began.IsZero() {
				continue
			}
			began = time.Now()
			for i, o := range objects {
				id := fmt.Sprint(i + 1)
				of[id] = o
				if err = say(map[string]any{"id": id, "type": "subscribe", "payload": l.payload(o)}); err != nil {
					break
				}
			}
			// Messages are handled in order, so when this is answered all subscriptions were seen.
			if err == nil {
				err = say(map[string]any{"type": "ping"})
			}
		case "ping":
			err = say(map[string]any{"type": "pong"})
		case "pong":
			if !told {
				told = true
				beating, stop := context.WithCancel(ctx)
				defer stop()
				go socket.Beat(beating, beat)
				for _, o := range objects {
					wake(o)
				}
			}
		case "next":
			if o, ok := of[f.ID]; ok {
				wake(o)
			}
		case "error":
			err = l.refusal(of[f.ID], f.Payload)
		case "complete":
			err = &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "The endpoint ended the subscription; it is made anew."}
		}
	}
	if ctx.Err() != nil {
		socket.Close()
		return nil
	}
	return err
}

// overEvents listens to one stream for each object.
func (l *listening) overEvents(ctx context.Context, objects []record.Object, wake func(record.Object)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	woken := make(chan record.Object)
	failed := make(chan error, len(objects))
	for _, o := range objects {
		wait.Go(func() { failed <- l.follow(ctx, o, woken) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case o := <-woken:
			wake(o)
		}
	}
}

// follow listens to the stream of one object.
func (l *listening) follow(ctx context.Context, o record.Object, woken chan<- record.Object) error {
	body, err := json.Marshal(l.payload(o))
	if err != nil {
		return err
	}
	header := l.header.Clone()
	header.Set("Content-Type", "application/json")
	stream, err := l.push.Events(ctx, http.MethodPost, l.url, header, string(body), "", idle)
	if err != nil {
		return err
	}
	defer stream.Close()
	tell := func() bool {
		select {
		case woken <- o:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ok := tell(); ok; ok = tell() { // a stream that was opened is listened to
		for {
			ev, err := stream.Next()
			if err != nil {
				return err
			}
			if ev.Type == "complete" {
				return &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "The endpoint ended the subscription; it is made anew."}
			}
			if ev.Type == "next" {
				if strings.Contains(string(ev.Data), `"errors"`) {
					var whole struct {
						Data   json.RawMessage `json:"data"`
						Errors json.RawMessage `json:"errors"`
					}
					if json.Unmarshal(ev.Data, &whole) == nil && len(whole.Errors) > 0 && (len(whole.Data) == 0 || string(whole.Data) == "null") {
						return l.refusal(o, whole.Errors)
					}
				}
				break
			}
		}
	}
	return ctx.Err()
}
