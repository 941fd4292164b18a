// SPDX-License-Identifier: Apache-2.0

// Package azureblob is the connector of containers in Azure Blob Storage.
package azureblob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// Connector is the connector type azure-blob.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec declares the connector.
func (Connector) Spec() connector.Spec {
	return connector.Spec{
		Type:    "azure-blob",
		Aliases: []string{"azure-blob-storage"},
		Title:   "Azure Blob Storage",
		Summary: "Tables in files of a container in Azure Blob Storage: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:   "standard",
		Settings: append([]connector.Setting{
			{Name: "account", Title: "Storage account", Kind: connector.Text, Required: true, Doc: "Name of the storage account."},
			{Name: "container", Title: "Container", Kind: connector.Text, Required: true, Doc: "Name of the container."},
			{Name: "prefix", Title: "Folder", Kind: connector.Text, Doc: "Only what is below this folder is used; objects are named without it."},
			{Name: "accountKey", Title: "Account key", Kind: connector.Text, Secret: true, Doc: "A key of the account, in base64. This or a shared access signature is needed."},
			{Name: "sasToken", Title: "Shared access signature", Kind: connector.Text, Secret: true, Doc: "A signature for the container that allows to read, list, create, write and delete: sv=...&sig=..."},
			{Name: "endpoint", Title: "Address", Kind: connector.Text, Doc: "For other clouds: https://ACCOUNT.blob.core.chinacloudapi.cn."},
		}, filestore.Settings()...),
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee,
	}
}

// Open prepares a system; nothing is asked of the container before it is used.
func (Connector) Open(_ context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := filestore.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	s, err := open(settings, env)
	if err != nil {
		return nil, err
	}
	return filestore.New(s, "the container", options, env)
}

func open(settings connector.Settings, env connector.Env) (*store, error) {
	address := settings["endpoint"]
	if address == "" {
		address = "https://" + settings["account"] + ".blob.core.windows.net"
	}
	address = strings.TrimSuffix(address, "/") + "/" + settings["container"]
	transport := &http.Transport{DialContext: env.Dial, TLSClientConfig: env.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4}
	o := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Retry:     policy.RetryOptions{MaxRetries: 2, MaxRetryDelay: 5 * time.Second},
		Telemetry: policy.TelemetryOptions{ApplicationID: "syncline"},
	}}
	bad := func(err error) (*store, error) {
		return nil, &connector.Error{Class: connector.Reconnect, Code: "azure_blob.credentials", Message: "The account key cannot be used. It is 64 bytes in base64, as the portal shows it.", Err: errors.New("the key or address is malformed")}
	}
	s := &store{transport: transport, name: settings["container"]}
	if s.prefix = strings.Trim(settings["prefix"], "/"); s.prefix != "" {
		s.prefix += "/"
	}
	switch {
	case settings["accountKey"] != "":
		key, err := container.NewSharedKeyCredential(settings["account"], settings["accountKey"])
		if err != nil {
			return bad(err)
		}
		if s.client, err = container.NewClientWithSharedKeyCredential(address, key, o); err != nil {
			return bad(err)
		}
	case settings["sasToken"] != "":
		var err error
		if s.client, err = container.NewClientWithNoCredential(address+"?"+strings.TrimPrefix(settings["sasToken"], "?"), o); err != nil {
			return bad(err)
		}
	default:
		return nil, &connector.Error{Class: connector.Reconnect, Code: "azure_blob.credentials", Message: fmt.Sprintf("The connection to the account %s has neither an account key nor a shared access signature. Give it one.", settings["account"])}
	}
	return s, nil
}
