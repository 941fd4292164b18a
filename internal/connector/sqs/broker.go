// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/queue"
	"github.com/syncline-dev/syncline/internal/record"
)

// perBatch is how many messages a call takes.
const perBatch = 10

// broker is an account in a region.
type broker struct {
	client     *sqs.Client
	transport  *http.Transport
	settings   connector.Settings
	visibility int32         // seconds
	long       int32         // seconds that a call waits for messages
	pause      time.Duration // after a call that brought none

	mu   sync.Mutex
	urls map[string]string
}

// url is the queue's address, which the vendor tells.
func (b *broker) url(ctx context.Context, object record.Object) (*string, error) {
	b.mu.Lock()
	u, known := b.urls[string(object)]
	b.mu.Unlock()
	if known {
		return &u, nil
	}
	out, err := b.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(string(object))})
	if err != nil {
		return nil, b.classify(err, object)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.urls[string(object)] = aws.ToString(out.QueueUrl)
	return out.QueueUrl, nil
}

func (b *broker) Check(ctx context.Context) error {
	_, err := b.client.ListQueues(ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)})
	return b.classify(err, "")
}

func (b *broker) Objects(ctx context.Context) ([]record.Object, error) {
	var out []record.Object
	pages := sqs.NewListQueuesPaginator(b.client, &sqs.ListQueuesInput{MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.classify(err, "")
		}
		for _, u := range page.QueueUrls {
			out = append(out, record.Object(u[strings.LastIndexByte(u, '/')+1:]))
		}
	}
	return out, nil
}

func (b *broker) Exists(ctx context.Context, object record.Object) error {
	_, err := b.url(ctx, object)
	return err
}

func (b *broker) Consume(ctx context.Context, object record.Object, sink func(queue.Message)) error {
	url, err := b.url(ctx, object)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		began := time.Now()
		out, err := b.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: perBatch, WaitTimeSeconds: b.long, VisibilityTimeout: b.visibility,
			MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSentTimestamp}})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return b.classify(err, object)
		}
		for i := range out.Messages {
			sink(message(&out.Messages[i]))
		}
		if rest := b.pause - time.Since(began); len(out.Messages) == 0 && rest > 0 { // not every server waits
			timer := time.NewTimer(rest)
			select {
			case <-ctx.Done():
				timer.Stop()
			case <-timer.C:
			}
		}
	}
	return nil
}

func message(m *types.Message) queue.Message {
	header := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	out := queue.Message{ID: aws.ToString(m.MessageId), Key: header(queue.HeaderKey), Body: []byte(aws.ToString(m.Body)), Deleted: header(queue.HeaderOp) == "delete",
		By: header(queue.HeaderConsumer), Handle: aws.ToString(m.ReceiptHandle)}
	if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		out.At = time.UnixMilli(ms).UTC()
	}
	return out
}

func (b *broker) Done(ctx context.Context, object record.Object, handles []any) error {
	url, err := b.url(ctx, object)
	if err != nil {
		return err
	}
	for from := 0; from < len(handles); from += perBatch {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: url}
		for i, h := range handles[from:min(len(handles), from+perBatch)] {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(h.(string))})
		}
		// An entry that fails has a handle that ended: the message comes again, is recognised, and acknowledged then.
		if _, err := b.client.DeleteMessageBatch(ctx, in); err != nil {
			return b.classify(err, object)
		}
	}
	return nil
}

// Return implements queue.Returner: without it, messages would be kept from others until their visibility ends.
func (b *broker) Return(ctx context.Context, object record.Object, handles []any) error {
	url, err := b.url(ctx, object)
	if err != nil {
		return err
	}
	for from := 0; from < len(handles); from += perBatch {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url}
		for i, h := range handles[from:min(len(handles), from+perBatch)] {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(h.(string)), VisibilityTimeout: 0})
		}
		if _, err := b.client.ChangeMessageVisibilityBatch(ctx, in); err != nil {
			return b.classify(err, object)
		}
	}
	return nil
}

// Send sends batches of at most ten messages and 256 KiB.
func (b *broker) Send(ctx context.Context, object record.Object, messages []queue.Outgoing) ([]error, error) {
	url, err := b.url(ctx, object)
	if err != nil {
		return nil, err
	}
	answers := make([]error, len(messages))
	fifo := strings.HasSuffix(string(object), ".fifo")
	for from := 0; from < len(messages); {
		in, size, to := &sqs.SendMessageBatchInput{QueueUrl: url}, 0, from
		for ; to < len(messages) && to-from < perBatch; to++ {
			m := &messages[to]
			n := len(m.Body) + len(m.Key) + 512
			if size+n > maxBytes+4096 && to > from {
				break
			}
			size += n
			op := "upsert"
			if m.Deleted {
				op = "delete"
			}
			e := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(to)), MessageBody: aws.String(string(m.Body)), MessageAttributes: map[string]types.MessageAttributeValue{}}
			for name, v := range map[string]string{queue.HeaderKey: string(m.Key), queue.HeaderOp: op, queue.HeaderConsumer: m.By, queue.HeaderAttempt: m.Attempt, queue.HeaderEntity: m.Entity} {
				if v != "" {
					e.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(v)}
				}
			}
			if fifo { // one record's messages stay in order; a batch that is sent twice by the client counts once
				e.MessageGroupId, e.MessageDeduplicationId = aws.String(digest(string(m.Key))), aws.String(digest(m.ID))
			}
			in.Entries = append(in.Entries, e)
		}
		out, err := b.client.SendMessageBatch(ctx, in)
		if err != nil {
			return nil, b.classify(err, object)
		}
		for _, f := range out.Failed {
			i, err := strconv.Atoi(aws.ToString(f.Id))
			if err != nil || i < from || i >= to || !f.SenderFault {
				return nil, &connector.Error{Class: connector.Retry, Code: "sqs.not_taken", Message: fmt.Sprintf("SQS did not take a message for %s; it will be sent again.", object), Err: fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))}
			}
			answers[i] = &connector.Error{Class: connector.Reject, Code: "sqs.message_refused", Message: fmt.Sprintf("SQS refuses the message: %s.", aws.ToString(f.Message))}
		}
		from = to
	}
	return answers, nil
}

// digest is a name of the letters that the vendor allows there.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (b *broker) Close() error {
	if b.transport != nil {
		b.transport.CloseIdleConnections()
	}
	return nil
}

// classify says what an error means.
func (b *broker) classify(err error, object record.Object) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var known *connector.Error
	if errors.As(err, &known) { // the guard's word
		return known
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
	case strings.HasSuffix(code, "QueueDoesNotExist") || strings.HasSuffix(code, "NonExistentQueue"):
		return &connector.Error{Class: connector.Reject, Code: "sqs.no_queue", Message: fmt.Sprintf("There is no queue %s in this region. Make it, or correct the name or the setting region.", object), Err: err}
	case code == "InvalidClientTokenId" || code == "UnrecognizedClientException" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "ExpiredTokenException" || code == "InvalidSecurity" || code == "InvalidAccessKeyId" || code == "MissingAuthenticationToken":
		return &connector.Error{Class: connector.Reconnect, Code: "sqs.credentials", Message: "SQS does not accept the credentials. Check access key, secret and region; temporary credentials end.", Err: err}
	case code == "AccessDenied" || code == "AccessDeniedException" || status == http.StatusForbidden:
		return &connector.Error{Class: connector.Reconnect, Code: "sqs.forbidden", Message: fmt.Sprintf("The access key may not use the queue %s. It needs sqs:GetQueueUrl, sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and sqs:SendMessage; sqs:ListQueues to offer queues.", object), Err: err}
	case code == "RequestThrottled" || code == "ThrottlingException" || code == "OverLimit" || status == http.StatusTooManyRequests:
		return &connector.Error{Class: connector.SlowDown, Code: "sqs.slow_down", Message: "SQS asks for fewer requests, or too many messages are under way.", After: time.Second, Err: err}
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return &connector.Error{Class: connector.Reconnect, Code: "sqs.unreachable", Message: "Nothing answers at the address of SQS. Check region, address and firewall.", Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "sqs.unavailable", Message: "SQS did not answer as expected; it will be tried again.", Err: err}
}
