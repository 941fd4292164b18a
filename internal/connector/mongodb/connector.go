// SPDX-License-Identifier: Apache-2.0

// Package mongodb is the connector of collections in MongoDB and in what speaks its protocol.
package mongodb

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
)

// Connector is the connector type mongodb.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	settings := []connector.Setting{
		{Name: "address", Title: "Address", Kind: connector.Text, Required: true, Doc: "Where the servers are: mongodb://host:27017, several separated by commas, or mongodb+srv://name. Without user and password."},
		{Name: "database", Title: "Database", Kind: connector.Text, Required: true, Doc: "The database that the collections are in."},
		{Name: "user", Title: "User", Kind: connector.Text, Doc: "Name to sign in with; it needs readWrite on the database."},
		{Name: "password", Title: "Password", Kind: connector.Text, Secret: true, Doc: "Password to sign in with."},
		{Name: "authSource", Title: "Authentication database", Kind: connector.Text, Default: "admin", Doc: "The database that the user was made in."},
		{Name: "tls", Title: "Encryption", Kind: connector.Boolean, Default: "false", Doc: "Whether connections are encrypted; the certificate must be valid for the host. Always on for mongodb+srv."},
	}
	for _, d := range sheet.Settings() {
		switch d.Name {
		case "key":
			d.Title, d.Default = "Key field", "_id"
			d.Doc = "The field by which documents are told apart: _id, or by collection, where * stands for anything: orders=number; stock*=sku. It must have an index that is unique."
		case "maxRows":
			d.Name, d.Title, d.Default, d.Doc = "maxDocuments", "Most documents", "100000", "A collection with more documents than this is refused where it is read whole and compared. Where the server has change streams there is no bound."
		}
		settings = append(settings, d)
	}
	return connector.Spec{
		Type:       "mongodb",
		Aliases:    []string{"mongo", "ferretdb", "documentdb"},
		Title:      "MongoDB",
		Summary:    "Collections of MongoDB and of what speaks its protocol.",
		Class:      "standard",
		Settings:   settings,
		Detections: []string{sheet.ByStream, sheet.ByHash},
		Deletes:    "stream: tombstone; hash: list-diff: a document that is not there any more; a collection that went empty at once is held by the safety brake",
		Guarantee:  "effectively once: each write is one operation on one document, on the condition that the fields that change still hold what they held",
	}
}

// Open prepares a system; servers are spoken to when it is first used.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	s, err := c.source(settings, env)
	if err != nil {
		return nil, err
	}
	return sheet.New(s, s.options, env, connector.Pace{Min: time.Second, Max: 20 * time.Second})
}

// source makes the client; no server is spoken to yet.
func (Connector) source(settings connector.Settings, env connector.Env) (*source, error) {
	o, err := sheet.ReadOptions(connector.Settings{"key": settings["key"], "maxRows": settings["maxDocuments"]})
	if err != nil {
		return nil, err
	}
	address := settings["address"]
	if !strings.Contains(address, "://") {
		address = "mongodb://" + address
	}
	c := options.Client().ApplyURI(address).SetAppName("syncline").SetServerSelectionTimeout(10 * time.Second).SetConnectTimeout(10 * time.Second).SetMaxPoolSize(100)
	if err := c.Validate(); err != nil {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "mongodb.address", Message: "The address is none of MongoDB. Write mongodb://host:27017 or mongodb+srv://name.", Err: err}
	}
	if env.Dial != nil {
		c.SetDialer(dialer(env.Dial))
	}
	if settings["user"] != "" {
		c.SetAuth(options.Credential{Username: settings["user"], Password: settings["password"], AuthSource: settings["authSource"]})
	}
	if settings["tls"] == "true" || strings.HasPrefix(address, "mongodb+srv:") {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if env.TLS != nil {
			config = env.TLS.Clone()
		}
		c.SetTLSConfig(config)
	}
	client, err := mongo.Connect(c)
	if err != nil {
		return nil, classify(err)
	}
	return &source{client: client, db: client.Database(settings["database"]), options: o}, nil
}

// dialer goes through the guard.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d(ctx, network, address)
}
