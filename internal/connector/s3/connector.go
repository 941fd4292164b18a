// SPDX-License-Identifier: Apache-2.0

// Package s3 is the connector of buckets in Amazon S3 and in stores that speak its protocol.
package s3

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// Connector is the connector type s3.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "s3",
		Aliases: []string{"amazon-s3"},
		Title:   "Amazon S3",
		Summary: "Tables in files of a bucket, in Amazon S3 or a store that speaks its protocol: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "bucket", Title: "Bucket", Kind: connector.Text, Required: true, Doc: "Name of the bucket."},
			{Name: "prefix", Title: "Folder", Kind: connector.Text, Doc: "Only what is below this folder is used; objects are named without it."},
			{Name: "region", Title: "Region", Kind: connector.Text, Default: "us-east-1", Doc: "Region of the bucket, such as eu-central-1."},
			{Name: "accessKeyId", Title: "Access key", Kind: connector.Text, Required: true, Doc: "Access key of a user that may list the bucket and read, write and delete its objects."},
			{Name: "secretAccessKey", Title: "Secret access key", Kind: connector.Text, Secret: true, Required: true, Doc: "The secret that belongs to the access key."},
			{Name: "sessionToken", Title: "Session token", Kind: connector.Text, Secret: true, Doc: "Only for temporary credentials."},
			{Name: "endpoint", Title: "Address", Kind: connector.Text, Doc: "For stores other than Amazon's: https://storage.example.com."},
		}, filestore.Settings()...),
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee,
	}
}

// Open prepares a system; nothing is asked of the bucket before it is used.
func (Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := filestore.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	return filestore.New(open(settings, env), "the bucket", options, env)
}

// open makes the store; nothing is asked of the bucket yet.
func open(settings connector.Settings, env connector.Env) *store {
	transport := &http.Transport{DialContext: env.Dial, TLSClientConfig: env.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4}
	client := s3.New(s3.Options{
		Region: settings["region"],
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: settings["accessKeyId"], SecretAccessKey: settings["secretAccessKey"], SessionToken: settings["sessionToken"]}, nil
		}),
		HTTPClient: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		// Stores of others know neither the bucket as a host nor the newer checksums.
		UsePathStyle:               settings["endpoint"] != "",
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		RetryMaxAttempts:           3,
	}, func(o *s3.Options) {
		if e := settings["endpoint"]; e != "" {
			o.BaseEndpoint = aws.String(strings.TrimSuffix(e, "/"))
		}
	})
	prefix := strings.Trim(settings["prefix"], "/")
	if prefix != "" {
		prefix += "/"
	}
	return &store{client: client, transport: transport, bucket: settings["bucket"], prefix: prefix}
}
