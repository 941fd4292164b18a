// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/connectortest"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
	"github.com/syncline-dev/syncline/internal/record"
)

func settings() connector.Settings {
	return connector.Settings{"host": "127.0.0.1", "port": strconv.Itoa(shared.Port), "user": shared.User, "password": shared.Password, "queues": "one, two"}
}

func with(s connector.Settings, name, value string) connector.Settings {
	out := connector.Settings{}
	for k, v := range s {
		out[k] = v
	}
	out[name] = value
	return out
}

// others are other programs that use the broker.
type others struct{ conn *amqp.Connection }

// made counts the queues: all tests share a broker, and none finds what another left.
var made atomic.Int64

func newOthers(t *testing.T) *others {
	t.Helper()
	conn, err := amqp.Dial(fmt.Sprintf("amqp://%s:%s@127.0.0.1:%d/", shared.User, shared.Password, shared.Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &others{conn: conn}
}

// on runs f with a channel of its own.
func (o *others) on(t testing.TB, f func(ch *amqp.Channel)) {
	t.Helper()
	ch, err := o.conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	f(ch)
}

func (o *others) queue(t testing.TB) record.Object {
	name := fmt.Sprintf("contacts-%d", made.Add(1))
	o.on(t, func(ch *amqp.Channel) {
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	})
	return record.Object(name)
}

func (o *others) send(t testing.TB, object record.Object, body string, headers map[string]string) {
	t.Helper()
	table := amqp.Table{}
	for k, v := range headers {
		table[k] = v
	}
	o.on(t, func(ch *amqp.Channel) {
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		c, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", string(object), true, false, amqp.Publishing{Headers: table, Body: []byte(body)})
		if err != nil || !c.Wait() {
			t.Fatalf("a message was not taken: %v", err)
		}
	})
}

func (o *others) take(t testing.TB, object record.Object, n int) (out []connectortest.Taken) {
	t.Helper()
	o.on(t, func(ch *amqp.Channel) {
		deliveries, err := ch.Consume(string(object), "", true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		timeout := time.After(60 * time.Second)
		for len(out) < n {
			select {
			case d := <-deliveries:
				m := connectortest.Taken{Body: string(d.Body), Headers: map[string]string{}}
				for k, v := range d.Headers {
					m.Headers[k] = fmt.Sprint(v)
				}
				out = append(out, m)
			case <-timeout:
				t.Fatalf("%d of %d messages came", len(out), n)
			}
		}
	})
	return out
}

func (o *others) depth(t testing.TB, object record.Object) (n int) {
	t.Helper()
	o.on(t, func(ch *amqp.Channel) {
		q, err := ch.QueueDeclarePassive(string(object), true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		n = q.Messages
	})
	return n
}

func TestSuite(t *testing.T) {
	t.Parallel()
	o := newOthers(t)
	good := settings()
	connectortest.RunQueue(t, connectortest.Queue{
		Connector: New(), Judge: "RabbitMQ", Settings: good,
		Bad:    []connector.Settings{with(good, "password", "wrong-password"), with(good, "port", "1"), with(good, "vhost", "elsewhere")},
		Create: func(t *testing.T) record.Object { return o.queue(t) },
		Send:   o.send, Take: o.take, Depth: o.depth, TooLarge: maxBytes,
		Not: map[card.Line]string{card.Expired: connectortest.NoToken, card.Limit: connectortest.NoBudget},
	})
}
