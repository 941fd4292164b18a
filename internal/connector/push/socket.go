// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/syncline-dev/syncline/internal/connector"
)

// Socket is an open WebSocket.
type Socket struct {
	c    *Client
	conn *websocket.Conn
}

// Dial opens a WebSocket at a ws:// or wss:// address. Of subprotocols the server must choose one, when any are given.
func (c *Client) Dial(ctx context.Context, address string, header http.Header, subprotocols ...string) (*Socket, error) {
	dialing, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("User-Agent", "Syncline")
	conn, res, err := websocket.Dial(dialing, address, &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header, Subprotocols: subprotocols}) //nolint:bodyclose // the library closes it
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return nil, c.refused(res)
		}
		return nil, c.fail(ctx, err)
	}
	if len(subprotocols) > 0 && conn.Subprotocol() == "" {
		_ = conn.CloseNow()
		return nil, &connector.Error{Class: connector.Reconnect, Code: "push.no_protocol", Message: "The system does not speak " + strings.Join(subprotocols, " or ") + " at this address. Check it in the connection."}
	}
	conn.SetReadLimit(MaxMessage)
	return &Socket{c: c, conn: conn}, nil
}

// Read waits for the next message. Control messages are answered while it waits.
func (s *Socket) Read(ctx context.Context) ([]byte, error) {
	_, b, err := s.conn.Read(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return b, nil
}

// Write sends a text message.
func (s *Socket) Write(ctx context.Context, message []byte) error {
	if err := s.conn.Write(ctx, websocket.MessageText, message); err != nil {
		return s.fail(ctx, err)
	}
	return nil
}

// Ping sends a ping and waits for its answer; something must be reading meanwhile.
func (s *Socket) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return s.fail(ctx, err)
	}
	return nil
}

// Beat pings at intervals until ctx ends, and ends the socket when no answer comes within one: a peer that is gone is noticed.
func (s *Socket) Beat(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting, cancel := context.WithTimeout(ctx, every)
		err := s.conn.Ping(waiting)
		cancel()
		if err != nil {
			_ = s.conn.CloseNow()
			return
		}
	}
}

// Close ends the socket with a word of farewell.
func (s *Socket) Close() { _ = s.conn.Close(websocket.StatusNormalClosure, "") }

// CloseNow ends it without one.
func (s *Socket) CloseNow() { _ = s.conn.CloseNow() }

// Code is the code with which the other side closed, -1 when it did not.
func Code(err error) int {
	var closed *closedError
	if errors.As(err, &closed) {
		return closed.code
	}
	return -1
}

// closedError is a close of the other side.
type closedError struct {
	code   int
	reason string
}

func (e *closedError) Error() string { return "closed: " + e.reason }

func (s *Socket) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return s.c.fail(ctx, err)
	}
	says := &closedError{int(closed.Code), s.c.Redact(closed.Reason)}
	switch closed.Code {
	case websocket.StatusMessageTooBig:
		return &connector.Error{Class: connector.Reject, Code: "push.too_large", Message: "A message is larger than the other side takes.", Err: says}
	case websocket.StatusPolicyViolation, 4401, 4403, 3000, 3003: // 3000 and 3003 are registered for unauthorized and forbidden
		return &connector.Error{Class: connector.Reconnect, Code: "http.unauthorized", Message: "The system does not accept the credentials. Check them in the connection.", Err: says}
	}
	return &connector.Error{Class: connector.Retry, Code: "push.interrupted", Message: "The stream was interrupted; it is opened again where it stood.", Err: says}
}
