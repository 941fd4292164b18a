// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/filestore"
)

// store keeps files as objects. S3 shows an object only when it is whole, and replaces it only if its ETag is the one
// that was given.
type store struct {
	client    *s3.Client
	transport *http.Transport
	bucket    string
	prefix    string
}

func (s *store) key(name string) *string { return aws.String(s.prefix + name) }

func (s *store) Check(ctx context.Context) error {
	_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	return s.classify(err, "list")
}

func (s *store) List(ctx context.Context, prefix string, limit int) ([]filestore.Info, error) {
	var out []filestore.Info
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.key(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.classify(err, "list")
		}
		for _, o := range page.Contents {
			out = append(out, filestore.Info{Name: strings.TrimPrefix(aws.ToString(o.Key), s.prefix), Size: aws.ToInt64(o.Size), Version: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified)})
			if len(out) == limit {
				return out, nil
			}
		}
	}
	return out, nil
}

func (s *store) Stat(ctx context.Context, name string) (filestore.Info, error) {
	o, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	if err != nil {
		return filestore.Info{}, s.classify(err, "read")
	}
	return filestore.Info{Name: name, Size: aws.ToInt64(o.ContentLength), Version: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified)}, nil
}

func (s *store) Get(ctx context.Context, name string, limit int64) ([]byte, filestore.Info, error) {
	o, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	if err != nil {
		return nil, filestore.Info{}, s.classify(err, "read")
	}
	defer func() { _ = o.Body.Close() }() // it was read
	info := filestore.Info{Name: name, Size: aws.ToInt64(o.ContentLength), Version: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified)}
	if info.Size > limit {
		return nil, info, nil
	}
	data, err := io.ReadAll(io.LimitReader(o.Body, limit+1))
	if err != nil {
		return nil, info, s.classify(err, "read")
	}
	info.Size = int64(len(data))
	return data, info, nil
}

func (s *store) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	in := &s3.PutObjectInput{Bucket: &s.bucket, Key: s.key(name), Body: bytes.NewReader(data)}
	if version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &version
	}
	o, err := s.client.PutObject(ctx, in)
	if err != nil {
		return "", s.classify(err, "write")
	}
	return aws.ToString(o.ETag), nil
}

func (s *store) Remove(ctx context.Context, name string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(name)})
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
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case code == "NoSuchBucket":
		return reconnect("s3.no_bucket", err, "There is no bucket %s at this address.", s.bucket)
	case status == http.StatusNotFound:
		return filestore.ErrNotFound
	case status == http.StatusPreconditionFailed || status == http.StatusConflict:
		return filestore.ErrMoved
	case code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "InvalidToken" || code == "AuthorizationHeaderMalformed" || status == http.StatusUnauthorized:
		return reconnect("s3.credentials", err, "The credentials are not accepted for the bucket %s. Check access key, secret and region; temporary credentials end.", s.bucket)
	case status == http.StatusForbidden && doing == "write":
		return fmt.Errorf("%w: %w", filestore.ErrReadOnly, err)
	case status == http.StatusForbidden:
		return reconnect("s3.forbidden", err, "The access key may not %s objects in the bucket %s. It needs s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject.", doing, s.bucket)
	case status == http.StatusMovedPermanently || status == http.StatusTemporaryRedirect || code == "PermanentRedirect":
		return reconnect("s3.other_region", err, "The bucket %s is in another region. Correct the setting region.", s.bucket)
	case code == "SlowDown" || status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		return &connector.Error{Class: connector.SlowDown, Code: "s3.slow_down", After: time.Second, Message: "The store asks for fewer requests.", Err: err}
	case status == http.StatusBadRequest && doing == "list":
		return reconnect("s3.credentials", err, "The store does not accept the request for the bucket %s. Check name, region and credentials.", s.bucket)
	}
	return &connector.Error{Class: connector.Retry, Code: "s3.unavailable", Message: "The store did not answer as expected; it will be tried again.", Err: err}
}

func reconnect(code string, err error, format string, args ...any) error {
	return &connector.Error{Class: connector.Reconnect, Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}
