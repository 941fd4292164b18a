// SPDX-License-Identifier: Apache-2.0

// Package kafka is the connector of topics in Apache Kafka, read as tables: of the messages with one key, the last one is the record.
//
// A topic is followed from its beginning, and the last message of each key is held in memory. That makes a topic readable by
// key, so that writes can be compared with what is there; and a cursor is the offsets, so that reading goes on where it stood.
package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/syncline-dev/syncline/internal/connector"
)

const byStream = "stream"

// Connector is the connector type kafka.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "kafka",
		Aliases: []string{"redpanda"},
		Title:   "Kafka",
		Summary: "Topics of Apache Kafka and of what speaks its protocol, as tables: the last message of each key is the record.",
		Class:   "standard",
		Settings: []connector.Setting{
			{Name: "brokers", Title: "Brokers", Kind: connector.Text, Required: true, Doc: "Addresses to begin with, separated by commas: kafka-1:9092,kafka-2:9092."},
			{Name: "tls", Title: "Encryption", Kind: connector.Boolean, Default: "false", Doc: "Whether connections are encrypted; the certificate must be valid for the broker's name."},
			{Name: "mechanism", Title: "Sign-in", Kind: connector.Choice, Default: "none", Choices: []string{"none", "plain", "scram-sha-256", "scram-sha-512"}, Doc: "How to sign in (SASL)."},
			{Name: "user", Title: "User", Kind: connector.Text, Doc: "Name to sign in with."},
			{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "Password to sign in with."},
			{Name: "topic", Title: "Topic", Kind: connector.Text, Doc: "The topic when the service names no objects."},
			{Name: "key", Title: "Key fields", Kind: connector.Text, Default: "id",
				Doc: "The fields that a message's key stands for: id, or country,number (the key is then their JSON list), or by topic, where * stands for anything: orders=number; stock-*=country,shelf."},
			{Name: "maxRecords", Title: "Most records", Kind: connector.Integer, Default: "1000000", Doc: "A topic with more keys than this is refused; the last message of each key is held in memory."},
		},
		Detections: []string{byStream},
		Deletes:    "tombstone (a message without a value); messages that run out by retention are not deletes",
		Guarantee:  "effectively once: a batch is one transaction, compared before with the last message of each key; what another producer writes to the same key in the same instant is put back and compared with",
	}
}

// Open prepares a system; brokers are spoken to when it is first used.
func (Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	s, err := prepare(settings, env)
	if err != nil {
		return nil, err
	}
	var brokers []string
	for _, b := range strings.Split(settings["brokers"], ",") {
		if b = strings.TrimSpace(b); b != "" {
			brokers = append(brokers, b)
		}
	}
	if len(brokers) == 0 {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "kafka.unreachable", Message: "The setting brokers names no address."}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.ClientID("syncline"), kgo.Dialer(dialer(settings, env)),
		kgo.RequestRetries(3), kgo.RetryTimeout(20 * time.Second), kgo.MetadataMinAge(250 * time.Millisecond), kgo.DisableClientMetrics(),
	}
	if m := mechanism(settings); m != nil {
		options = append(options, kgo.SASL(m))
	}
	if s.log, err = dial(options); err != nil {
		return nil, err
	}
	return s, nil
}

// Over makes a system of a log other than that of brokers: the simulation has one that can be repeated step by step.
func Over(log Log, settings connector.Settings, env connector.Env) (connector.System, error) {
	s, err := prepare(settings, env)
	if err != nil {
		return nil, err
	}
	s.log = log
	return s, nil
}

// prepare reads the settings that have to do with records.
func prepare(settings connector.Settings, env connector.Env) (*system, error) {
	if d := env.Detection; d != "" && d != "auto" && d != byStream {
		return nil, &connector.Error{Class: connector.Reject, Code: "kafka.detection_unknown", Message: fmt.Sprintf("Changes in Kafka cannot be detected by %q; use auto or %s.", d, byStream)}
	}
	s := &system{env: env, views: map[string]*view{}, maxRecords: 1_000_000}
	if n, err := strconv.Atoi(settings["maxRecords"]); err == nil && n > 0 {
		s.maxRecords = n
	}
	var err error
	s.keys, err = parseKeys(settings["key"])
	return s, err
}

// dialer goes through the guard, and encrypts where that is asked for.
func dialer(settings connector.Settings, env connector.Env) func(context.Context, string, string) (net.Conn, error) {
	dial := env.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil || settings["tls"] != "true" {
			return conn, err
		}
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if env.TLS != nil {
			config = env.TLS.Clone()
		}
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // it is of no use
			return nil, err
		}
		return secure, nil
	}
}

func mechanism(settings connector.Settings) sasl.Mechanism {
	switch settings["mechanism"] {
	case "plain":
		return plain.Auth{User: settings["user"], Pass: settings["password"]}.AsMechanism()
	case "scram-sha-256":
		return scram.Auth{User: settings["user"], Pass: settings["password"]}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: settings["user"], Pass: settings["password"]}.AsSha512Mechanism()
	}
	return nil
}

// keyRule says which fields the keys of some topics stand for.
type keyRule struct {
	topics string // a pattern; "" for all others
	fields []string
}

func parseKeys(text string) ([]keyRule, error) {
	var rules []keyRule
	for _, part := range strings.Split(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		r := keyRule{}
		topics, fields, named := strings.Cut(part, "=")
		if !named {
			topics, fields = "", part
		}
		r.topics = strings.TrimSpace(topics)
		for _, f := range strings.Split(fields, ",") {
			if f = strings.TrimSpace(f); f != "" {
				r.fields = append(r.fields, f)
			}
		}
		if _, err := path.Match(r.topics, ""); err != nil || len(r.fields) == 0 {
			return nil, &connector.Error{Class: connector.Reject, Code: "kafka.key_malformed",
				Message: fmt.Sprintf("The setting key cannot be read at %q. Write fields (country,number), or fields by topic (orders=number; stock-*=country,shelf).", part)}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// key are the fields that the keys of the topic stand for.
func (s *system) key(topic string) []string {
	for _, r := range s.keys {
		if match, _ := path.Match(r.topics, topic); match && r.topics != "" { // the pattern was checked
			return r.fields
		}
	}
	for _, r := range s.keys {
		if r.topics == "" {
			return r.fields
		}
	}
	return []string{"id"}
}
