// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// WakeChannel is the PostgreSQL channel that says "look at this service now"; the payload is its bare id.
const WakeChannel = "syncline_wake"

// How long a listener waits before it asks whether the connection still lives, and for the answer. A connection that a
// firewall dropped says nothing of itself.
const (
	listenCheck  = 30 * time.Second
	listenAnswer = 5 * time.Second
)

// Listener is one connection that waits for notifications. It is not one of the pool's.
type Listener struct{ conn *pgx.Conn }

// Listen opens a connection that receives the channels' notifications from now on.
func (d *DB) Listen(ctx context.Context, channels ...string) (*Listener, error) {
	config := d.app.Config().ConnConfig
	config.RuntimeParams["application_name"] = "syncline listen"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, unavailable(err)
	}
	for _, c := range channels {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{c}.Sanitize()); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("listening to %s: %w", c, unavailable(err))
		}
	}
	return &Listener{conn}, nil
}

// Wait returns the next notification. Any error means that the connection is of no more use.
func (l *Listener) Wait(ctx context.Context) (channel, payload string, err error) {
	for {
		round, cancel := context.WithTimeout(ctx, listenCheck)
		n, err := l.conn.WaitForNotification(round)
		cancel()
		switch {
		case err == nil:
			return n.Channel, n.Payload, nil
		case ctx.Err() != nil:
			return "", "", ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return "", "", fmt.Errorf("waiting for a notification: %w", err)
		}
		alive, cancel := context.WithTimeout(ctx, listenAnswer)
		err = l.conn.Ping(alive)
		cancel()
		if err != nil {
			return "", "", fmt.Errorf("checking the listening connection: %w", err)
		}
	}
}

// Close ends the connection.
func (l *Listener) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), listenAnswer)
	defer cancel()
	_ = l.conn.Close(ctx) // nothing to do about a connection that does not close
}
