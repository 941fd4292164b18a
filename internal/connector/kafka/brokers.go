// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/syncline-dev/syncline/internal/connector"
)

// brokers are a Log of Kafka.
type brokers struct {
	options []kgo.Opt
	client  *kgo.Client // reads
	admin   *kadm.Client
	writer  *kgo.Client // writes transactions; made when it is first needed
}

// dial prepares them; they are spoken to when they are first used.
func dial(options []kgo.Opt) (*brokers, error) {
	client, err := kgo.NewClient(append(slices.Clone(options), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second))...)
	if err != nil {
		return nil, classify(err, "connecting")
	}
	return &brokers{options: options, client: client, admin: kadm.NewClient(client)}, nil
}

// Check implements Log.
func (b *brokers) Check(ctx context.Context) error {
	if err := b.client.Ping(ctx); err != nil {
		if errors.Is(err, io.EOF) { // how a broker says that it does not speak with us
			return &connector.Error{Class: connector.Reconnect, Code: "kafka.credentials", Message: "The brokers close the connection at once. Check mechanism, user, password and encryption.", Err: err}
		}
		return classify(err, "connecting")
	}
	_, err := b.Topics(ctx)
	return err
}

// Topics implements Log.
func (b *brokers) Topics(ctx context.Context) ([]string, error) {
	topics, err := b.admin.ListTopics(ctx)
	if err != nil {
		return nil, classify(err, "listing topics")
	}
	return topics.Names(), nil
}

// Bounds implements Log.
func (b *brokers) Bounds(ctx context.Context, topic string) (map[int32]Bounds, error) {
	ends, err := b.admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, classifyTopic(err, topic)
	}
	starts, err := b.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, classifyTopic(err, topic)
	}
	out := make(map[int32]Bounds, len(ends[topic]))
	for p, end := range ends[topic] {
		out[p] = Bounds{starts[topic][p].Offset, end.Offset}
	}
	return out, nil
}

func at(from map[int32]int64) map[int32]kgo.Offset {
	out := make(map[int32]kgo.Offset, len(from))
	for p, offset := range from {
		out[p] = kgo.NewOffset().At(offset)
	}
	return out
}

// Follow implements Log.
func (b *brokers) Follow(topic string, from map[int32]int64) {
	b.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: at(from)})
}

// Leave implements Log.
func (b *brokers) Leave(topic string, partitions []int32) {
	b.client.RemoveConsumePartitions(map[string][]int32{topic: partitions})
}

// Poll implements Log.
func (b *brokers) Poll(ctx context.Context, topic string) (out []Message, err error) {
	fetches := b.client.PollFetches(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, e := range fetches.Errors() {
		if e.Topic == topic || e.Topic == "" { // the trouble of another topic is told to who reads that one
			return nil, classifyTopic(e.Err, topic)
		}
	}
	fetches.EachRecord(func(r *kgo.Record) {
		m := Message{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, At: r.Timestamp, Key: r.Key, Value: r.Value, Control: r.Attrs.IsControl()}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, Header(h))
		}
		out = append(out, m)
	})
	return out, nil
}

// Send implements Log.
func (b *brokers) Send(ctx context.Context, id string, messages []Message) error {
	if b.writer == nil {
		w, err := kgo.NewClient(append(slices.Clone(b.options), kgo.TransactionalID(id), kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()))...)
		if err != nil {
			return classify(err, "writing")
		}
		b.writer = w
	}
	records := make([]*kgo.Record, len(messages))
	for i := range messages {
		m := &messages[i]
		records[i] = &kgo.Record{Topic: m.Topic, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader(h))
		}
	}
	fail := func(err error) error { // whatever state the transaction is in, a new writer ends it
		b.writer.Close()
		b.writer = nil
		return classify(err, "writing")
	}
	if err := b.writer.BeginTransaction(); err != nil {
		return fail(err)
	}
	if err := b.writer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		_ = b.writer.EndTransaction(context.WithoutCancel(ctx), kgo.TryAbort) // the error is what counts
		return fail(err)
	}
	if err := b.writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fail(err)
	}
	return nil
}

// Watch implements Log by reading on from where the topics end now.
func (b *brokers) Watch(ctx context.Context, topics []string, wake func(topic string)) error {
	ends, err := b.admin.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return ended(ctx, classify(err, "watching"))
	}
	places := map[string]map[int32]kgo.Offset{}
	for topic, parts := range ends {
		from := make(map[int32]int64, len(parts))
		for p, end := range parts {
			from[p] = end.Offset
		}
		places[topic] = at(from)
	}
	client, err := kgo.NewClient(append(slices.Clone(b.options), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(places), kgo.FetchMaxWait(5*time.Second))...)
	if err != nil {
		return classify(err, "watching")
	}
	defer client.Close()
	for _, t := range topics {
		wake(t)
	}
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return classifyTopic(e.Err, e.Topic)
		}
		fetches.EachTopic(func(t kgo.FetchTopic) { wake(t.Topic) })
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Show implements Log.
func (b *brokers) Show(ctx context.Context, group, topic string, offsets map[int32]int64) error {
	list := kadm.Offsets{}
	for id, offset := range offsets {
		list.AddOffset(topic, id, offset, -1)
	}
	if err := b.admin.CommitAllOffsets(ctx, group, list); err != nil && !errors.Is(err, kerr.GroupAuthorizationFailed) && !errors.Is(err, kerr.TopicAuthorizationFailed) {
		return classify(err, "showing the place in a consumer group")
	}
	return nil
}

// Forget implements Log.
func (b *brokers) Forget(ctx context.Context, group string) error {
	_, err := b.admin.DeleteGroup(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) && !errors.Is(err, kerr.GroupAuthorizationFailed) {
		return classify(err, "removing the consumer group")
	}
	return nil
}

// Close implements Log.
func (b *brokers) Close() {
	if b.writer != nil {
		b.writer.Close()
		b.writer = nil
	}
	b.client.Close()
}
