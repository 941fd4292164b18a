// SPDX-License-Identifier: Apache-2.0

// Package dynamodb is the connector of tables in Amazon DynamoDB and in what speaks its protocol, and a simulator of an account there.
package dynamodb

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// Connector is the connector type dynamodb.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

const sandboxed = "sandbox"

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "dynamodb",
		Aliases: []string{"amazon-dynamodb"},
		Title:   "Amazon DynamoDB",
		Summary: "Tables of Amazon DynamoDB and of what speaks its protocol.",
		Class:   "standard",
		Settings: []connector.Setting{
			{Name: "region", Title: "Region", Kind: connector.Text, Default: "us-east-1", Doc: "Region of the tables, such as eu-central-1."},
			{Name: "accessKeyId", Title: "Access key", Kind: connector.Text, Required: true, Doc: "Access key of a user that may describe, scan, read and write the tables, and read their streams."},
			{Name: "secretAccessKey", Title: "Secret access key", Kind: connector.Text, Secret: true, Required: true, Doc: "The secret that belongs to the access key."},
			{Name: "sessionToken", Title: "Session token", Kind: connector.Text, Secret: true, Doc: "Only for temporary credentials."},
			{Name: "endpoint", Title: "Address", Kind: connector.Text, Doc: "For tables elsewhere than at Amazon: https://tables.example.com."},
			{Name: "maxItems", Title: "Most items", Kind: connector.Integer, Default: "100000", Doc: "A table with more items than this is refused where it is scanned whole and compared. Where the table has a stream there is no bound."},
			{Name: "environment", Title: "Environment", Kind: connector.Choice, Default: "production", Choices: []string{"production", sandboxed},
				Doc: "production speaks to the vendor; sandbox to the simulator that comes with the program, which needs no account. A secret that begins with sandbox_ chooses the sandbox, too."},
		},
		Detections: []string{sheet.ByStream, sheet.ByHash},
		Deletes:    "stream: tombstone; hash: list-diff: an item that is not there any more; a table that went empty at once is held by the safety brake",
		Guarantee:  "effectively once: each write is on one item, on the condition that the attributes that change still hold what they held",
	}
}

// Sandboxed says whether the settings belong to a sandbox.
func (Connector) Sandboxed(settings map[string]string) bool {
	return settings["environment"] == sandboxed || strings.HasPrefix(settings["secretAccessKey"], "sandbox_")
}

// Open prepares a system; nothing is asked of the vendor before it is used.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	s, options, err := c.source(settings, env)
	if err != nil {
		return nil, err
	}
	return sheet.New(s, options, env, connector.Pace{Min: time.Second, Max: 30 * time.Second})
}

// source makes the clients; the vendor is not spoken to yet.
func (c Connector) source(settings connector.Settings, env connector.Env) (*source, sheet.Options, error) {
	options, err := sheet.ReadOptions(connector.Settings{"maxRows": settings["maxItems"]})
	if err != nil {
		return nil, options, err
	}
	s := &source{keys: map[string][]keyPart{}, iterators: map[string]iterator{}, listings: map[record.Object]listing{}, now: time.Now}
	through := env.Sandbox
	if through == nil || !c.Sandboxed(settings) {
		s.transport = &http.Transport{DialContext: env.Dial, TLSClientConfig: env.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: workers}
		through = s.transport
	}
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: settings["accessKeyId"], SecretAccessKey: settings["secretAccessKey"], SessionToken: settings["sessionToken"]}, nil
	})
	client := &http.Client{Transport: through, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var elsewhere *string
	if e := settings["endpoint"]; e != "" {
		elsewhere = aws.String(strings.TrimSuffix(e, "/"))
	}
	s.client = dynamodb.New(dynamodb.Options{Region: settings["region"], Credentials: credentials, HTTPClient: client, RetryMaxAttempts: 3, BaseEndpoint: elsewhere})
	s.streams = dynamodbstreams.New(dynamodbstreams.Options{Region: settings["region"], Credentials: credentials, HTTPClient: client, RetryMaxAttempts: 3, BaseEndpoint: elsewhere})
	return s, options, nil
}
