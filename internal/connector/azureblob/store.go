// SPDX-License-Identifier: Apache-2.0

package azureblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// store keeps files as block blobs, which are seen only when they are whole and replaced only if the ETag is the one that was given.
type store struct {
	client    *container.Client
	transport *http.Transport
	name      string
	prefix    string
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func info(name string, size *int64, version *azcore.ETag, modified *time.Time) filestore.Info {
	return filestore.Info{Name: name, Size: value(size), Version: string(value(version)), Modified: value(modified)}
}

func (s *store) Check(ctx context.Context) error {
	one := int32(1)
	_, err := s.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &s.prefix, MaxResults: &one}).NextPage(ctx)
	return s.classify(err, "list")
}

func (s *store) List(ctx context.Context, prefix string, limit int) ([]filestore.Info, error) {
	full := s.prefix + prefix
	var out []filestore.Info
	for pages := s.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &full}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.classify(err, "list")
		}
		for _, b := range page.Segment.BlobItems {
			out = append(out, info(strings.TrimPrefix(value(b.Name), s.prefix), b.Properties.ContentLength, b.Properties.ETag, b.Properties.LastModified))
			if len(out) == limit {
				return out, nil
			}
		}
	}
	return out, nil
}

func (s *store) Stat(ctx context.Context, name string) (filestore.Info, error) {
	p, err := s.client.NewBlobClient(s.prefix+name).GetProperties(ctx, nil)
	if err != nil {
		return filestore.Info{}, s.classify(err, "read")
	}
	return info(name, p.ContentLength, p.ETag, p.LastModified), nil
}

func (s *store) Get(ctx context.Context, name string, limit int64) ([]byte, filestore.Info, error) {
	d, err := s.client.NewBlobClient(s.prefix+name).DownloadStream(ctx, nil)
	if err != nil {
		return nil, filestore.Info{}, s.classify(err, "read")
	}
	defer func() { _ = d.Body.Close() }() // it was read
	i := info(name, d.ContentLength, d.ETag, d.LastModified)
	if i.Size > limit {
		return nil, i, nil
	}
	data, err := io.ReadAll(io.LimitReader(d.Body, limit+1))
	if err != nil {
		return nil, i, s.classify(err, "read")
	}
	i.Size = int64(len(data))
	return data, i, nil
}

func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	conditions := &blob.ModifiedAccessConditions{}
	if version == "" {
		none := azcore.ETagAny
		conditions.IfNoneMatch = &none
	} else {
		tag := azcore.ETag(version)
		conditions.IfMatch = &tag
	}
	r, err := s.client.NewBlockBlobClient(s.prefix+name).Upload(ctx, streaming.NopCloser(bytes.NewReader(data)), &blockblob.UploadOptions{AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: conditions}})
	if err != nil {
		return "", s.classify(err, "write")
	}
	return string(value(r.ETag)), nil
}

func (s *store) Remove(ctx context.Context, name string) error {
	_, err := s.client.NewBlobClient(s.prefix+name).Delete(ctx, nil)
	if err = s.classify(err, "write"); errors.Is(err, filestore.ErrNotFound) {
		return nil
	}
	return err
}

func (s *store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// classify says what an error means; doing is what was tried: list, read or write.
func (s *store) classify(err error, doing string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	status, code := 0, ""
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		status, code = response.StatusCode, response.ErrorCode
		err = errors.New(code + ", status " + http.StatusText(status)) // the library's text has the address with its signature
	}
	switch {
	case code == "ContainerNotFound" || code == "ContainerBeingDeleted" || status == http.StatusNotFound && doing == "list":
		return reconnect("azure_blob.no_container", err, "There is no container %s in the account.", s.name)
	case status == http.StatusNotFound:
		return filestore.ErrNotFound
	case status == http.StatusPreconditionFailed || code == "BlobAlreadyExists":
		return filestore.ErrMoved
	case code == "AuthorizationPermissionMismatch" && doing == "write" || code == "LeaseIdMissing":
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	case code == "AuthorizationPermissionMismatch" || code == "AuthorizationFailure":
		return reconnect("azure_blob.forbidden", err, "The credentials do not allow to %s blobs in the container %s.", doing, s.name)
	case status == http.StatusForbidden || status == http.StatusUnauthorized || code == "InvalidAuthenticationInfo":
		return reconnect("azure_blob.credentials", err, "The credentials are not accepted for the container %s. Check account and key, or the signature and the time it is valid for.", s.name)
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		return &connector.Error{Class: connector.SlowDown, Code: "azure_blob.slow_down", After: time.Second, Message: "The store asks for fewer requests.", Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "azure_blob.unavailable", Message: "The store did not answer as expected; it will be tried again.", Err: err}
}

func reconnect(code string, err error, format string, args ...any) error {
	return &connector.Error{Class: connector.Reconnect, Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}
