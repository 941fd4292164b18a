// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"time"
)

// Message is one of a topic.
type Message struct {
	Topic     string
	Partition int32
	Offset    int64
	At        time.Time
	Key       []byte // nil for none
	Value     []byte // nil for a tombstone
	Headers   []Header
	Control   bool // the end of a transaction, which takes an offset and says nothing
}

// Header is a word that goes with a message.
type Header struct {
	Key   string
	Value []byte
}

// Bounds are where a partition begins, and where what is committed of it ends.
type Bounds struct{ Start, End int64 }

// Log is a cluster as the connector uses it. Errors are classified. Send and Close are called by one goroutine at a time, and so are
// Follow, Leave and Poll.
type Log interface {
	Check(ctx context.Context) error
	Topics(ctx context.Context) ([]string, error)
	// Bounds returns those of all partitions.
	Bounds(ctx context.Context, topic string) (map[int32]Bounds, error)
	// Follow makes Poll return what partitions have from those offsets on, Leave ends it.
	Follow(topic string, from map[int32]int64)
	Leave(topic string, partitions []int32)
	// Poll waits for the next committed messages of all topics that are followed. Trouble with a topic other than this one is left
	// out.
	Poll(ctx context.Context, topic string) ([]Message, error)
	// Send writes the messages in one transaction of that id; a key has always the same partition.
	Send(ctx context.Context, id string, messages []Message) error
	// Watch calls wake for each topic once it is listening, and then whenever one has new messages, until ctx ends (nil) or it fails.
	Watch(ctx context.Context, topics []string, wake func(topic string)) error
	// Show notes how far a group has read, for people who look; Forget removes the group. Without the right to do so nothing is done.
	Show(ctx context.Context, group, topic string, offsets map[int32]int64) error
	Forget(ctx context.Context, group string) error
	Close()
}
