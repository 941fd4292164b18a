// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/push"
	"github.com/syncline-dev/syncline/internal/connector/queue"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	beat     = 30 * time.Second // between pings, and heartbeats
	patience = 30 * time.Second // for acknowledgements
	tries    = 3                // how often in a row a connection is opened without a message coming before that is told as an error
)

// broker makes messages of what WebSockets say, and says what is written.
type broker struct {
	settings  connector.Settings
	objects   []record.Object
	types     []string
	deletes   []string
	errors    []string
	subscribe any // messages with placeholders; nil for none
	resume    any
	pong      any
	heartbeat any
	send      any
	header    http.Header
	protocols []string
	idle      time.Duration
	push      *push.Client

	mu   sync.Mutex
	outs map[record.Object]*out
}

var _ queue.Resumer = (*broker)(nil)

func (b *broker) dial(ctx context.Context, object record.Object) (*push.Socket, error) {
	address := strings.ReplaceAll(b.settings["url"], "{object}", url.PathEscape(string(object)))
	return b.push.Dial(ctx, address, b.header, b.protocols...)
}

// say sends a message of the settings.
func (b *broker) say(ctx context.Context, s *push.Socket, message any, values map[string]any) error {
	values["accessToken"] = b.settings["accessToken"]
	return s.Write(ctx, record.AppendJSON(nil, fill(message, values)))
}

// Check opens a connection and closes it again.
func (b *broker) Check(ctx context.Context) error {
	s, err := b.dial(ctx, b.objects[0])
	if err != nil {
		return err
	}
	s.Close()
	return nil
}

func (b *broker) Objects(context.Context) ([]record.Object, error) { return b.objects, nil }

func (b *broker) Exists(_ context.Context, object record.Object) error {
	if !slices.Contains(b.objects, object) {
		return &connector.Error{Class: connector.Reject, Code: "websocket.no_object", Message: fmt.Sprintf("The connection has no object %s. Name it in its setting objects.", object)}
	}
	return nil
}

// Consume implements queue.Broker; the kit calls ConsumeFrom.
func (b *broker) Consume(ctx context.Context, object record.Object, sink func(queue.Message)) error {
	return b.ConsumeFrom(ctx, object, "", sink)
}

// ConsumeFrom listens behind the place of a token, and connects again when it is cut off.
func (b *broker) ConsumeFrom(ctx context.Context, object record.Object, place string, sink func(queue.Message)) error {
	if err := b.Exists(ctx, object); err != nil {
		return err
	}
	for failed := 0; ; {
		came, err := b.listen(ctx, object, &place, sink)
		if ctx.Err() != nil {
			return nil
		}
		if came {
			failed = 0
		}
		if failed++; connector.Classify(err).Class != connector.Retry || failed >= tries {
			return err
		}
		wait := time.NewTimer(200 * time.Millisecond << min(failed-1, 5))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}

// listen hands on what one connection says until it ends.
func (b *broker) listen(ctx context.Context, object record.Object, place *string, sink func(queue.Message)) (came bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := b.dial(ctx, object)
	if err != nil {
		return false, err
	}
	defer s.CloseNow()
	first, values := b.subscribe, map[string]any{"object": string(object)}
	if *place != "" && b.resume != nil {
		token, err := record.ParseJSON([]byte(*place)) // so that a number stays one
		if err != nil {
			return false, err
		}
		first, values["token"] = b.resume, token
	}
	if first != nil {
		if err := b.say(ctx, s, first, values); err != nil {
			return false, err
		}
	}
	go s.Beat(ctx, beat)
	if b.heartbeat != nil {
		go b.beats(ctx, s, object)
	}
	for {
		text, err := b.next(ctx, s)
		if err != nil {
			return came, err
		}
		message, err := record.ParseJSON(text)
		if err != nil {
			message = nil // text that is no JSON is handed on as it is
		}
		switch {
		case b.is(message, []string{b.settings["pingType"]}):
			if b.pong != nil {
				if err := b.say(ctx, s, b.pong, map[string]any{"object": string(object)}); err != nil {
					return came, err
				}
			}
			continue
		case b.is(message, b.errors):
			return came, &connector.Error{Class: connector.Reconnect, Code: "websocket.refused", Message: fmt.Sprintf("The system refuses the subscription of %s: %.200s", object, b.push.Redact(string(text)))}
		}
		came = true
		behind := ""
		if b.settings["token"] != "" && message != nil {
			if t := push.Dig(message, b.settings["token"]); t != nil {
				behind = string(record.AppendJSON(nil, t))
				*place = behind
			}
		}
		deleted := b.is(message, b.deletes)
		if !deleted && message != nil && (len(b.types) > 0 && !b.is(message, b.types) || len(b.types) == 0 && b.settings["record"] != "" && push.Dig(message, b.settings["record"]) == nil) {
			continue
		}
		if list, many := push.Dig(message, b.settings["record"]).([]any); many {
			for i, one := range list {
				m := queue.Message{Body: record.AppendJSON(nil, one), Deleted: deleted}
				if i == len(list)-1 {
					m.Place = behind
				}
				sink(m)
			}
			continue
		}
		sink(queue.Message{Body: push.Inside(text, b.settings["record"]), Deleted: deleted, Place: behind})
	}
}

// next waits for a message, not for ever where the settings say so.
func (b *broker) next(ctx context.Context, s *push.Socket) ([]byte, error) {
	if b.idle == 0 {
		return s.Read(ctx)
	}
	waiting, cancel := context.WithTimeout(ctx, b.idle)
	defer cancel()
	text, err := s.Read(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "Nothing came for too long; the connection is opened anew.", Err: push.ErrIdle}
	}
	return text, err
}

// beats sends the heartbeat of the settings until ctx ends.
func (b *broker) beats(ctx context.Context, s *push.Socket, object record.Object) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if b.say(ctx, s, b.heartbeat, map[string]any{"object": string(object)}) != nil {
				return // whoever reads finds out
			}
		}
	}
}

// Done implements queue.Broker: the stream keeps nothing for us.
func (b *broker) Done(context.Context, record.Object, []any) error { return nil }

// out is a connection that is written to.
type out struct {
	busy   sync.Mutex // one batch at a time
	socket *push.Socket
	stop   context.CancelFunc
	mu     sync.Mutex
	waits  map[string]chan error // by id, for its acknowledgement
	ended  chan struct{}         // closed when nothing more is read
	err    error
}

// Send implements queue.Broker. With acknowledgements it waits for all of them; what was not acknowledged is sent again by whoever
// sends, with the same ids.
func (b *broker) Send(ctx context.Context, object record.Object, messages []queue.Outgoing) ([]error, error) {
	if err := b.Exists(ctx, object); err != nil {
		return nil, err
	}
	b.mu.Lock()
	o := b.outs[object]
	if o == nil {
		o = &out{}
		b.outs[object] = o
	}
	b.mu.Unlock()
	o.busy.Lock()
	defer o.busy.Unlock()
	if o.socket != nil {
		select {
		case <-o.ended: // it broke since the last batch
			o.socket = nil
		default:
		}
	}
	if o.socket == nil {
		s, err := b.dial(ctx, object)
		if err != nil {
			return nil, err
		}
		o.socket, o.waits, o.ended, o.err = s, map[string]chan error{}, make(chan struct{}), nil
		var living context.Context
		living, o.stop = context.WithCancel(context.WithoutCancel(ctx))
		go s.Beat(living, beat)
		go b.answers(living, o)
	}
	fail := func(err error) ([]error, error) {
		o.stop()
		o.socket.CloseNow()
		<-o.ended
		o.socket = nil
		return nil, err
	}
	waits := make([]chan error, len(messages))
	for i, m := range messages {
		op, whole := "upsert", any(nil)
		if m.Deleted {
			op = "delete"
		} else if x, err := record.ParseJSON(m.Body); err == nil {
			whole = x
		}
		if b.settings["ack"] != "" {
			waits[i] = make(chan error, 1)
			o.mu.Lock()
			o.waits[m.ID] = waits[i]
			o.mu.Unlock()
		}
		if err := b.say(ctx, o.socket, b.send, map[string]any{"op": op, "object": string(object), "id": m.ID, "key": string(m.Key), "record": whole}); err != nil {
			return fail(err)
		}
	}
	if b.settings["ack"] == "" {
		return nil, nil
	}
	answers := make([]error, len(messages))
	late := time.NewTimer(patience)
	defer late.Stop()
	for i := range messages {
		select {
		case answers[i] = <-waits[i]:
		case <-o.ended:
			select {
			case answers[i] = <-waits[i]: // it came just before
				continue
			default:
			}
			return fail(o.err)
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-late.C:
			return fail(&connector.Error{Class: connector.Retry, Code: "websocket.no_ack", Message: "The system did not acknowledge what was sent to it; it is sent again."})
		}
	}
	return answers, nil
}

// answers reads what the other side says on a connection that is written to: acknowledgements, and pings.
func (b *broker) answers(ctx context.Context, o *out) {
	defer close(o.ended)
	for {
		text, err := o.socket.Read(ctx)
		if err != nil {
			if o.err = err; ctx.Err() != nil {
				o.err = &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "The connection was closed; what was not acknowledged is sent again."}
			}
			return
		}
		message, err := record.ParseJSON(text)
		if err != nil {
			continue
		}
		if b.is(message, []string{b.settings["pingType"]}) && b.pong != nil {
			_ = b.say(ctx, o.socket, b.pong, map[string]any{}) // reading finds out
			continue
		}
		if b.settings["ack"] == "" {
			continue
		}
		id := push.Dig(message, b.settings["ack"])
		if id == nil {
			continue
		}
		var refused error
		if b.settings["ackError"] != "" {
			if why := push.Dig(message, b.settings["ackError"]); why != nil {
				refused = &connector.Error{Class: connector.Reject, Code: "websocket.not_taken", Message: "The system does not take the record: " + b.push.Redact(record.Text(why))}
			}
		}
		o.mu.Lock()
		wait := o.waits[record.Text(id)]
		delete(o.waits, record.Text(id))
		o.mu.Unlock()
		if wait != nil {
			wait <- refused
		}
	}
}

// Close implements queue.Broker.
func (b *broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.outs {
		o.busy.Lock()
		if o.socket != nil {
			o.socket.Close()
			o.stop()
			<-o.ended
			o.socket = nil
		}
		o.busy.Unlock()
	}
	b.push.Close()
	return nil
}
