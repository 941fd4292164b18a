// SPDX-License-Identifier: Apache-2.0

// Package sqs is the connector of queues in Amazon SQS and in what speaks its protocol, and a simulator of an account there.
package sqs

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/queue"
)

// maxBytes of a message and of a batch of ten, by the vendor's model; attributes count, too.
const maxBytes = 256<<10 - 4096

// Connector is the connector type sqs.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

const sandboxed = "sandbox"

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "sqs",
		Aliases: []string{"amazon-sqs"},
		Title:   "Amazon SQS",
		Summary: "Queues of Amazon SQS, standard and FIFO: a message says what a record is now.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "region", Title: "Region", Kind: connector.Text, Default: "us-east-1", Doc: "Region of the queues, such as eu-central-1."},
			{Name: "accessKeyId", Title: "Access key", Kind: connector.Text, Required: true, Doc: "Access key of a user that may receive, delete and send messages, and read attributes of the queues."},
			{Name: "secretAccessKey", Title: "Secret access key", Kind: connector.Text, Secret: true, Required: true, Doc: "The secret that belongs to the access key."},
			{Name: "sessionToken", Title: "Session token", Kind: connector.Text, Secret: true, Doc: "Only for temporary credentials."},
			{Name: "endpoint", Title: "Address", Kind: connector.Text, Doc: "For queues elsewhere than at Amazon: https://queues.example.com."},
			{Name: "visibilitySeconds", Title: "Visibility", Kind: connector.Integer, Default: "120", Doc: "For how many seconds a message that was taken is kept from other readers; one that is not committed by then is handed out again."},
			{Name: "environment", Title: "Environment", Kind: connector.Choice, Default: "production", Choices: []string{"production", sandboxed},
				Doc: "production speaks to the vendor; sandbox to the simulator that comes with the program, which needs no account. A secret that begins with sandbox_ chooses the sandbox, too."},
		}, queue.Settings()...),
		Detections: []string{queue.ByStream},
		Deletes:    queue.Deletes,
		Guarantee:  queue.Guarantee,
	}
}

// Sandboxed says whether the settings belong to a sandbox.
func (Connector) Sandboxed(settings map[string]string) bool {
	return settings["environment"] == sandboxed || strings.HasPrefix(settings["secretAccessKey"], "sandbox_")
}

// Open prepares a system; nothing is asked of the vendor before it is used.
func (c Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := queue.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	b := &broker{settings: settings, urls: map[string]string{}, pause: time.Second, long: 20, visibility: 120}
	if n, err := strconv.Atoi(settings["visibilitySeconds"]); err == nil && n > 0 && n <= 43_200 {
		b.visibility = int32(n) //nolint:gosec // at most 12 hours
	}
	through := env.Sandbox
	if through == nil || !c.Sandboxed(settings) {
		b.transport = &http.Transport{DialContext: env.Dial, TLSClientConfig: env.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4}
		through = b.transport
	} else {
		b.pause, b.long = 100*time.Millisecond, 0 // it answers at once
	}
	b.client = sqs.New(sqs.Options{
		Region: settings["region"],
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: settings["accessKeyId"], SecretAccessKey: settings["secretAccessKey"], SessionToken: settings["sessionToken"]}, nil
		}),
		HTTPClient:       &http.Client{Transport: through, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		RetryMaxAttempts: 3,
	}, func(o *sqs.Options) {
		if e := settings["endpoint"]; e != "" {
			o.BaseEndpoint = aws.String(strings.TrimSuffix(e, "/"))
		}
	})
	return queue.New(b, options, env, maxBytes)
}
