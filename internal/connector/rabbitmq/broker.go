// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/queue"
	"github.com/syncline-dev/syncline/internal/record"
)

// prefetch is how many messages the broker hands out before the first is acknowledged.
const prefetch = 1000

// broker is a virtual host. An object is a queue, or with a slash an exchange and the routing key to publish with:
// "events/contact.changed"; "events/" publishes with the record's key.
type broker struct {
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	address  string
	tls      *tls.Config
	settings connector.Settings
	offered  []record.Object

	mu   sync.Mutex
	conn *amqp.Connection

	sending sync.Mutex
	out     *amqp.Channel // in confirm mode; nil until it is needed
	back    chan amqp.Return
}

// connection returns the open connection, or makes one.
func (b *broker) connection(ctx context.Context) (*amqp.Connection, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && !b.conn.IsClosed() {
		return b.conn, nil
	}
	scheme := "amqp"
	if b.tls != nil {
		scheme = "amqps"
	}
	dial := func() (*amqp.Connection, error) {
		return amqp.DialConfig(scheme+"://"+b.address, amqp.Config{
			SASL:            []amqp.Authentication{&amqp.PlainAuth{Username: b.settings["user"], Password: b.settings["password"]}},
			Vhost:           b.settings["vhost"],
			Heartbeat:       10 * time.Second,
			TLSClientConfig: b.tls,
			Properties:      amqp.Table{"connection_name": "syncline", "product": "Syncline"},
			Dial:            func(network, address string) (net.Conn, error) { return b.opened(ctx, network, address) },
		})
	}
	conn, err := dial()
	if errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrVhost) {
		conn, err = dial() // a connection that breaks while it is made looks the same: a refusal counts when it comes twice
	}
	if err != nil {
		return nil, b.classify(err, "")
	}
	b.conn = conn
	return conn, nil
}

// opened is a connection whose hello must come within the time that the library takes away again afterwards.
func (b *broker) opened(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		_ = conn.Close() // it is of no use
		return nil, err
	}
	return conn, nil
}

func (b *broker) channel(ctx context.Context) (*amqp.Channel, error) {
	conn, err := b.connection(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	return ch, b.classify(err, "")
}

func (b *broker) Check(ctx context.Context) error {
	ch, err := b.channel(ctx)
	if err != nil {
		return err
	}
	return b.classify(ch.Close(), "")
}

func (b *broker) Objects(context.Context) ([]record.Object, error) { return b.offered, nil }

func (b *broker) Exists(ctx context.Context, object record.Object) error {
	ch, err := b.channel(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ch.Close() }() // closed by the broker where the name is unknown
	exchange, _, isExchange := strings.Cut(string(object), "/")
	if isExchange {
		err = ch.ExchangeDeclarePassive(exchange, "topic", true, false, false, false, nil)
	} else {
		_, err = ch.QueueDeclarePassive(string(object), true, false, false, false, nil)
	}
	return b.classify(err, object)
}

func (b *broker) Consume(ctx context.Context, object record.Object, sink func(queue.Message)) error {
	if strings.Contains(string(object), "/") {
		return &connector.Error{Class: connector.Reject, Code: "rabbitmq.exchange_not_read", Message: fmt.Sprintf("%s is an exchange, which can only be written to. Bind a queue to it and name the queue.", object)}
	}
	ch, err := b.channel(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ch.Close() }() // what was not acknowledged goes back
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return b.classify(err, object)
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	deliveries, err := ch.Consume(string(object), "", false, false, false, false, nil)
	if err != nil {
		return b.classify(err, object)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, open := <-deliveries:
			if !open {
				if ctx.Err() != nil {
					return nil
				}
				select {
				case reason := <-closed:
					if reason != nil {
						return b.classify(reason, object)
					}
				case <-ctx.Done():
					return nil
				}
				return b.classify(amqp.ErrClosed, object)
			}
			sink(message(&d))
		}
	}
}

// handle is what acknowledges a message: tags count within a channel.
type handle struct {
	by  amqp.Acknowledger
	tag uint64
}

func message(d *amqp.Delivery) queue.Message {
	header := func(name string) string {
		s, _ := d.Headers[name].(string)
		return s
	}
	return queue.Message{ID: d.MessageId, Key: header(queue.HeaderKey), Body: d.Body, Deleted: header(queue.HeaderOp) == "delete", By: header(queue.HeaderConsumer), At: d.Timestamp,
		Handle: handle{d.Acknowledger, d.DeliveryTag}}
}

func (b *broker) Done(_ context.Context, object record.Object, handles []any) error {
	for _, x := range handles {
		h := x.(handle)
		if err := h.by.Ack(h.tag, false); err != nil {
			return b.classify(err, object)
		}
	}
	return nil
}

// Send publishes and waits until the broker has confirmed all of it.
func (b *broker) Send(ctx context.Context, object record.Object, messages []queue.Outgoing) ([]error, error) {
	b.sending.Lock()
	defer b.sending.Unlock()
	if b.out == nil || b.out.IsClosed() {
		ch, err := b.channel(ctx)
		if err != nil {
			return nil, err
		}
		if err := ch.Confirm(false); err != nil {
			return nil, b.classify(err, object)
		}
		b.out, b.back = ch, ch.NotifyReturn(make(chan amqp.Return, 10_000))
	}
	fail := func(err error) ([]error, error) { // whatever state the channel is in, a new one is sound
		_ = b.out.Close()
		b.out = nil
		return nil, b.classify(err, object)
	}
	exchange, routing, isExchange := strings.Cut(string(object), "/")
	confirmations := make([]*amqp.DeferredConfirmation, len(messages))
	index := make(map[string]int, len(messages))
	for i, m := range messages {
		key := string(object)
		if isExchange {
			if key = routing; key == "" {
				key = string(m.Key)
			}
		} else {
			exchange = ""
		}
		op := "upsert"
		if m.Deleted {
			op = "delete"
		}
		index[m.ID] = i
		c, err := b.out.PublishWithDeferredConfirmWithContext(ctx, exchange, key, !isExchange, false, amqp.Publishing{
			Headers:     amqp.Table{queue.HeaderKey: string(m.Key), queue.HeaderOp: op, queue.HeaderConsumer: m.By, queue.HeaderAttempt: m.Attempt, queue.HeaderEntity: m.Entity},
			ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: m.ID, Timestamp: time.Now(), Body: m.Body,
		})
		if err != nil {
			return fail(err)
		}
		confirmations[i] = c
	}
	for _, c := range confirmations {
		taken, err := c.WaitContext(ctx)
		if err != nil {
			return fail(err)
		}
		if !taken {
			return fail(&connector.Error{Class: connector.Retry, Code: "rabbitmq.not_taken", Message: fmt.Sprintf("The broker did not take a message for %s: the queue is full, or it has trouble of its own. It will be sent again.", object)})
		}
	}
	if b.out.IsClosed() { // the confirmations of a closed channel say nothing
		return fail(amqp.ErrClosed)
	}
	answers := make([]error, len(messages))
	for { // a message that came back came back before its confirmation
		select {
		case r := <-b.back:
			if i, ours := index[r.MessageId]; ours {
				answers[i] = &connector.Error{Class: connector.Reject, Code: "rabbitmq.no_queue", Message: noQueue(object)}
			}
			continue
		default:
		}
		return answers, nil
	}
}

func (b *broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil || b.conn.IsClosed() {
		return nil
	}
	if err := b.conn.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	return nil
}

func noQueue(object record.Object) string {
	return fmt.Sprintf("There is no %s in this virtual host. Declare it in RabbitMQ, or correct the name in the document.", object)
}

// classify says what an error means.
func (b *broker) classify(err error, object record.Object) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var known *connector.Error
	if errors.As(err, &known) { // the guard's word, or ours
		return known
	}
	var e *amqp.Error
	errors.As(err, &e)
	switch {
	case errors.Is(err, amqp.ErrCredentials), errors.Is(err, amqp.ErrSASL), e != nil && e.Code == amqp.AccessRefused && object == "":
		return &connector.Error{Class: connector.Reconnect, Code: "rabbitmq.credentials", Message: "The broker does not accept user and password. Check them; the user guest may only sign in from the broker's own machine.", Err: err}
	case errors.Is(err, amqp.ErrVhost), e != nil && e.Code == amqp.NotAllowed:
		return &connector.Error{Class: connector.Reconnect, Code: "rabbitmq.vhost", Message: fmt.Sprintf("The user may not use the virtual host %s, or there is none of that name. Check the setting vhost and the user's permissions.", b.settings["vhost"]), Err: err}
	case e != nil && e.Code == amqp.NotFound:
		return &connector.Error{Class: connector.Reject, Code: "rabbitmq.no_queue", Message: noQueue(object), Err: err}
	case e != nil && e.Code == amqp.AccessRefused:
		return &connector.Error{Class: connector.Reconnect, Code: "rabbitmq.forbidden", Message: fmt.Sprintf("The user may not use %s. Give it read to take messages, and write to send them.", object), Err: err}
	case e != nil && e.Code == amqp.ResourceLocked:
		return &connector.Error{Class: connector.Reconnect, Code: "rabbitmq.exclusive", Message: fmt.Sprintf("%s belongs to another connection alone. Use a queue that is not exclusive.", object), Err: err}
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return &connector.Error{Class: connector.Reconnect, Code: "rabbitmq.unreachable", Message: fmt.Sprintf("No broker answers at %s. Check host, port and firewall.", b.address), Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "rabbitmq.unavailable", Message: "The connection to the broker broke; it is made again.", Err: err}
}
