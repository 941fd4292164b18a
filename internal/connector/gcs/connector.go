// SPDX-License-Identifier: Apache-2.0

// Package gcs is the connector of buckets in Google Cloud Storage, and a simulator of one.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
	"github.com/syncline-dev/syncline/internal/connector/transport"
	"github.com/syncline-dev/syncline/internal/connector/webapi"
)

// Connector is the connector type google-cloud-storage.
type Connector struct{ pool *transport.Pool }

// New returns the connector.
func New(pool *transport.Pool) *Connector { return &Connector{pool} }

// Spec declares the connector.
func (*Connector) Spec() connector.Spec {
	settings := []connector.Setting{
		{Name: "bucket", Title: "Bucket", Kind: connector.Text, Required: true, Doc: "Name of the bucket."},
		{Name: "prefix", Title: "Folder", Kind: connector.Text, Doc: "Only what is below this folder is used; objects are named without it."},
		{Name: "serviceAccount", Title: "Service account key", Kind: connector.Text, Secret: true, Doc: "The JSON file with the key of a service account that has the role Storage Object User on the bucket."},
		{Name: "accessToken", Title: "Access token", Kind: connector.Text, Secret: true, Doc: "Instead of it: a token that is used until it ends."},
	}
	settings = append(append(settings, filestore.Settings()...), webapi.EnvironmentSetting())
	return connector.Spec{
		Type:       "google-cloud-storage",
		Aliases:    []string{"gcs"},
		Title:      "Google Cloud Storage",
		Summary:    "Tables in files of a bucket in Google Cloud Storage: CSV, JSON, JSON Lines, XML, XLSX and Parquet.",
		Class:      "standard",
		Settings:   settings,
		Detections: []string{filestore.ByHash},
		Deletes:    filestore.Deletes,
		Guarantee:  filestore.Guarantee,
	}
}

// Sandboxed says whether the settings belong to a sandbox.
func (c *Connector) Sandboxed(settings map[string]string) bool {
	return webapi.Sandboxed(c.Spec(), settings)
}

// Open prepares a system; nothing is asked of the bucket before it is used.
func (c *Connector) Open(ctx context.Context, settings connector.Settings, env connector.Env) (connector.System, error) {
	options, err := filestore.ReadOptions(settings)
	if err != nil {
		return nil, err
	}
	client, err := webapi.New(ctx, c.pool, "gcs/"+settings["bucket"], nil, webapi.Auth{TokenURL: "https://oauth2.googleapis.com/token", AccessToken: settings["accessToken"], ServiceAccount: settings["serviceAccount"],
		Scope: "https://www.googleapis.com/auth/devstorage.read_write", Fill: "serviceAccount"}, c.Sandboxed(settings), env)
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(settings["prefix"], "/")
	if prefix != "" {
		prefix += "/"
	}
	return filestore.New(&store{client: client, bucket: settings["bucket"], prefix: prefix}, "the bucket", options, env)
}

// store keeps files as objects. An object is there only when it is whole, and is replaced only if its generation is the one that
// was given.
type store struct {
	client         *webapi.Client
	bucket, prefix string
}

const host = "https://storage.googleapis.com"

func (s *store) url(name string) string {
	u := host + "/storage/v1/b/" + url.PathEscape(s.bucket) + "/o"
	if name != "" {
		u += "/" + url.PathEscape(s.prefix+name)
	}
	return u
}

type object struct {
	Name       string    `json:"name"`
	Size       string    `json:"size"`
	Generation string    `json:"generation"`
	Updated    time.Time `json:"updated"`
}

func (s *store) info(o *object) filestore.Info {
	size, _ := strconv.ParseInt(o.Size, 10, 64) // the vendor's own number
	return filestore.Info{Name: strings.TrimPrefix(o.Name, s.prefix), Size: size, Version: o.Generation, Modified: o.Updated}
}

// classify says what an error means; doing is what was tried.
func (s *store) classify(a *transport.Answer, err error, doing string) error {
	if err == nil || a == nil {
		return err
	}
	switch {
	case a.Status == http.StatusNotFound && (doing == "list" || strings.Contains(string(a.Body), "bucket does not exist")):
		return &connector.Error{Class: connector.Reconnect, Code: "gcs.no_bucket", Message: fmt.Sprintf("There is no bucket %s.", s.bucket), Err: err}
	case a.Status == http.StatusNotFound:
		return filestore.ErrNotFound
	case a.Status == http.StatusPreconditionFailed:
		return filestore.ErrMoved
	case a.Status == http.StatusForbidden && doing == "write":
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	case a.Status == http.StatusForbidden:
		return &connector.Error{Class: connector.Reconnect, Code: "gcs.forbidden", Message: fmt.Sprintf("The account may not %s objects in the bucket %s. Give it the role Storage Object User there.", doing, s.bucket), Err: err}
	}
	return err
}

func (s *store) Check(ctx context.Context) error {
	_, err := s.List(ctx, "", 1)
	return err
}

func (s *store) List(ctx context.Context, prefix string, limit int) (out []filestore.Info, err error) {
	for token := ""; ; {
		q := url.Values{"prefix": {s.prefix + prefix}, "maxResults": {strconv.Itoa(min(limit, 1000))}, "fields": {"items(name,size,generation,updated),nextPageToken"}}
		if token != "" {
			q.Set("pageToken", token)
		}
		a, err := s.client.Do(ctx, webapi.Call{Operation: "list", Method: http.MethodGet, URL: s.url("") + "?" + q.Encode()})
		if err != nil {
			return nil, s.classify(a, err, "list")
		}
		var page struct {
			Items []object `json:"items"`
			Next  string   `json:"nextPageToken"`
		}
		if err := webapi.Decode(a, &page); err != nil {
			return nil, err
		}
		for i := range page.Items {
			if out = append(out, s.info(&page.Items[i])); len(out) == limit {
				return out, nil
			}
		}
		if token = page.Next; token == "" {
			return out, nil
		}
	}
}

func (s *store) Stat(ctx context.Context, name string) (filestore.Info, error) {
	a, err := s.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: s.url(name) + "?fields=name,size,generation,updated"})
	if err != nil {
		return filestore.Info{}, s.classify(a, err, "read")
	}
	var o object
	if err := webapi.Decode(a, &o); err != nil {
		return filestore.Info{}, err
	}
	return s.info(&o), nil
}

// Get reads the generation that it tells of.
func (s *store) Get(ctx context.Context, name string, limit int64) ([]byte, filestore.Info, error) {
	for {
		info, err := s.Stat(ctx, name)
		if err != nil || info.Size > limit {
			return nil, info, err
		}
		a, err := s.client.Do(ctx, webapi.Call{Operation: "read", Method: http.MethodGet, URL: s.url(name) + "?alt=media&generation=" + info.Version})
		if err = s.classify(a, err, "read"); errors.Is(err, filestore.ErrNotFound) { // replaced meanwhile, or gone
			continue
		}
		if err != nil {
			return nil, info, err
		}
		info.Size = int64(len(a.Body))
		return a.Body, info, nil
	}
}

func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	if version == "" {
		version = "0" // it must not exist
	}
	q := url.Values{"uploadType": {"media"}, "name": {s.prefix + name}, "ifGenerationMatch": {version}}
	a, err := s.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodPost, URL: host + "/upload/storage/v1/b/" + url.PathEscape(s.bucket) + "/o?" + q.Encode(), Header: http.Header{"Content-Type": {"application/octet-stream"}}, Body: data})
	if err != nil {
		return "", s.classify(a, err, "write")
	}
	var o object
	err = webapi.Decode(a, &o)
	return o.Generation, err
}

func (s *store) Remove(ctx context.Context, name string) error {
	a, err := s.client.Do(ctx, webapi.Call{Operation: "write", Method: http.MethodDelete, URL: s.url(name), Idempotent: true})
	if err = s.classify(a, err, "write"); errors.Is(err, filestore.ErrNotFound) {
		return nil
	}
	return err
}

func (s *store) Close() error {
	s.client.Close()
	return nil
}
