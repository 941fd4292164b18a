// SPDX-License-Identifier: Apache-2.0

// Package rabbitmq is the connector of queues and exchanges in RabbitMQ and in what speaks AMQP 0-9-1.
package rabbitmq

import (
	"context"
	"crypto/tls"
	"net"
	"strings"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/queue"
	"github.com/syncline-dev/syncline/internal/record"
)

// maxBytes of a message: what brokers take unless they are told otherwise.
const maxBytes = 16 << 20

// Connector is the connector type rabbitmq.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "rabbitmq",
		Aliases: []string{"amqp"},
		Title:   "RabbitMQ",
		Summary: "Queues of RabbitMQ and of what speaks AMQP 0-9-1: a message says what a record is now. Exchanges can be written to.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "host", Title: "Host", Kind: connector.Text, Required: true, Doc: "Name or address of the broker."},
			{Name: "port", Title: "Port", Kind: connector.Integer, Default: "5672", Doc: "Port of the broker; 5671 is usual with encryption."},
			{Name: "tls", Title: "Encryption", Kind: connector.Boolean, Default: "false", Doc: "Whether the connection is encrypted; the certificate must be valid for the host."},
			{Name: "vhost", Title: "Virtual host", Kind: connector.Text, Default: "/", Doc: "The virtual host that the queues are in."},
			{Name: "user", Title: "User", Kind: connector.Text, Required: true, Doc: "Name to sign in with. It needs read on queues that are read, and write on exchanges that are written to."},
			{Name: "password", Title: "Password", Kind: connector.Text, Required: true, Secret: true, Doc: "Password to sign in with."},
			{Name: "queues", Title: "Queues", Kind: connector.Text, Doc: "Names of queues to offer, separated by commas: AMQP cannot list them. Others can be used all the same."},
		}, queue.Settings()...),
		Detections: []string{queue.ByStream},
		Deletes:    queue.Deletes,
		Guarantee:  queue.Guarantee,
	}
}

// Open prepares a system; the broker is spoken to when it is first used.
func (Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := queue.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	b := &broker{dial: env.Dial, address: net.JoinHostPort(settings["host"], settings["port"]), settings: settings}
	if b.dial == nil {
		b.dial = (&net.Dialer{}).DialContext
	}
	if settings["tls"] == "true" {
		b.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if env.TLS != nil {
			b.tls = env.TLS.Clone()
		}
		if b.tls.ServerName == "" {
			b.tls.ServerName = settings["host"]
		}
	}
	for _, q := range strings.Split(settings["queues"], ",") {
		if q = strings.TrimSpace(q); q != "" {
			b.offered = append(b.offered, record.Object(q))
		}
	}
	return queue.New(b, options, env, maxBytes)
}
