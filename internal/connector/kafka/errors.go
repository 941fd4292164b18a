// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/syncline-dev/syncline/internal/connector"
)

func classifyTopic(err error, topic string) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.InvalidTopicException) {
		return &connector.Error{Class: connector.Reject, Code: "kafka.no_topic", Message: fmt.Sprintf("There is no topic %s. Make it first, as a compacted one if it is to keep records.", topic), Err: err}
	}
	return classify(err, "reading "+topic)
}

// classify says what an error means.
func classify(err error, doing string) error {
	var known *connector.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	is := func(list ...error) bool {
		for _, e := range list {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	var auth *kgo.ErrFirstReadEOF
	var network *net.OpError
	switch {
	case is(kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState), errors.As(err, &auth):
		return &connector.Error{Class: connector.Reconnect, Code: "kafka.credentials", Message: "The brokers do not accept the sign-in. Check mechanism, user, password and encryption.", Err: err}
	case is(kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.GroupAuthorizationFailed):
		return &connector.Error{Class: connector.Reconnect, Code: "kafka.forbidden", Message: fmt.Sprintf("The user may not do this: %s. It needs to describe and read the topics, and to write them also IDEMPOTENT_WRITE and the transactional ids that begin with syncline-.", doing), Err: err}
	case is(kerr.MessageTooLarge, kerr.RecordListTooLarge):
		return &connector.Error{Class: connector.Reject, Code: "kafka.too_large", Message: "A message is larger than the topic takes (max.message.bytes).", Err: err}
	case is(kerr.ThrottlingQuotaExceeded):
		return &connector.Error{Class: connector.SlowDown, Code: "kafka.slow_down", Message: "The brokers ask for fewer requests.", Err: err}
	case errors.As(err, &network) && network.Op == "dial":
		return &connector.Error{Class: connector.Reconnect, Code: "kafka.unreachable", Message: "No broker can be reached at the given addresses. Check brokers and firewall; the addresses that brokers advertise must be reachable, too.", Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "kafka.unavailable", Message: "The brokers did not answer as expected; it will be tried again.", Err: err}
}
