// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	stream "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

const (
	// kept is how long the vendor keeps a stream's records, less an hour.
	kept = 23 * time.Hour
	// margin is how much older than the beginning of a snapshot a record may be to be taken for newer: clocks differ.
	margin = 10 * time.Minute
	// iterates is how long a shard iterator is used; the vendor's end after 15 minutes.
	iterates = 10 * time.Minute
	// mostAnswers is how many answers of one shard are read for one page.
	mostAnswers = 20
	// listed is how long a list of shards is good, unless one of them was read to its end: the vendor answers ten such questions a
	// second, for all tables of an account.
	listed = 30 * time.Second
)

// listing is a table's stream and its shards, lately.
type listing struct {
	arn    string
	shards map[string]stream.Shard
	at     time.Time
}

// place is where reading of a table's stream stands.
type place struct {
	Stream string               `json:"stream"`
	From   int64                `json:"from,omitempty"` // records from before that time (seconds since 1970) are not news
	At     int64                `json:"at"`             // when all shards were read to this place
	Shards map[string]*position `json:"shards"`
}

// position is where reading of a shard stands.
type position struct {
	After string `json:"after,omitempty"` // the last record's sequence number; none: from the oldest that is kept
	Done  bool   `json:"done,omitempty"`  // the shard is closed and was read to its end
}

// iterator is where the vendor's reading of a shard stands, behind answers that had no records.
type iterator struct {
	after, next string
	made        time.Time
}

// Tells looks at the table's settings.
func (s *source) Tells(ctx context.Context, object record.Object) (bool, string, error) {
	arn, err := s.stream(ctx, object)
	if err != nil {
		return false, "", err
	}
	if arn == "" {
		return false, "The table has no stream. Enable DynamoDB Streams on it; the view type does not matter, KEYS_ONLY is the cheapest.", nil
	}
	_, err = s.shards(ctx, object, arn)
	var e *connector.Error
	if errors.As(err, &e) && (e.Code == "dynamodb.forbidden" || e.Code == "dynamodb.no_table") {
		return false, "The access key may not read the table's stream: it needs dynamodb:DescribeStream, GetShardIterator and GetRecords.", nil
	}
	if err != nil {
		return false, "", err
	}
	return true, "The table has a stream, which tells of each change, deletes too.", nil
}

// stream is the name of the table's stream, "" when it has none.
func (s *source) stream(ctx context.Context, object record.Object) (string, error) {
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(string(object))})
	if err != nil {
		return "", classify(err, object)
	}
	if spec := out.Table.StreamSpecification; spec == nil || !aws.ToBool(spec.StreamEnabled) {
		return "", nil
	}
	return aws.ToString(out.Table.LatestStreamArn), nil
}

// shards are those that are known, by their names.
func (s *source) shards(ctx context.Context, object record.Object, arn string) (map[string]stream.Shard, error) {
	out := map[string]stream.Shard{}
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(arn)}
	for {
		page, err := s.streams.DescribeStream(ctx, in)
		if err != nil {
			return nil, classify(err, object)
		}
		for _, sh := range page.StreamDescription.Shards {
			out[aws.ToString(sh.ShardId)] = sh
		}
		if in.ExclusiveStartShardId = page.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return out, nil
		}
	}
}

// listing is the table's stream with its shards, and whether they were asked for lately and not now.
func (s *source) listing(ctx context.Context, object record.Object) (l listing, cached bool, err error) {
	s.mu.Lock()
	l, known := s.listings[object]
	s.mu.Unlock()
	if known && s.now().Sub(l.at) < listed {
		return l, true, nil
	}
	l = listing{at: s.now()}
	if l.arn, err = s.stream(ctx, object); err != nil || l.arn == "" {
		return l, false, err
	}
	if l.shards, err = s.shards(ctx, object, l.arn); err != nil {
		return l, false, err
	}
	s.mu.Lock()
	s.listings[object] = l
	s.mu.Unlock()
	return l, false, nil
}

// Now: the vendor has no name for the present end of a shard. So all that is kept is read, and what is older than now is passed over.
func (s *source) Now(ctx context.Context, object record.Object) (json.RawMessage, error) {
	arn, err := s.stream(ctx, object)
	if err != nil {
		return nil, err
	}
	shards, err := s.shards(ctx, object, arn)
	if err != nil {
		return nil, err
	}
	now := s.now()
	p := place{Stream: arn, From: now.Add(-margin).Unix(), At: now.Unix(), Shards: map[string]*position{}}
	for id := range shards {
		p.Shards[id] = &position{}
	}
	return json.Marshal(p)
}

func trimmed(object record.Object, why string, err error) error {
	if err == nil {
		err = errors.New(why)
	}
	return &connector.Error{Class: connector.LostPlace, Code: "dynamodb.history_lost", Message: fmt.Sprintf("The stream of %s no longer keeps the changes since they were last read; the table is scanned anew.", object), Err: err}
}

// errStale says that a shard is not as the list of shards says.
var errStale = errors.New("dynamodb: the list of shards is old")

// Since reads all shards, several at a time. In which order does not matter: what they name is read as it is now.
func (s *source) Since(ctx context.Context, object record.Object, raw json.RawMessage, limit int) (sheet.News, error) {
	news, err := s.since(ctx, object, raw, limit)
	if errors.Is(err, errStale) {
		s.mu.Lock()
		delete(s.listings, object)
		s.mu.Unlock()
		news, err = s.since(ctx, object, raw, limit)
	}
	if errors.Is(err, errStale) {
		return news, trimmed(object, "", err)
	}
	return news, err
}

func (s *source) since(ctx context.Context, object record.Object, raw json.RawMessage, limit int) (news sheet.News, err error) {
	var p place
	if err := json.Unmarshal(raw, &p); err != nil || p.Shards == nil {
		return news, trimmed(object, "the place cannot be read", err)
	}
	key, err := s.key(ctx, object)
	if err != nil {
		return news, err
	}
	began := s.now()
	l, cached, err := s.listing(ctx, object)
	if err != nil {
		return news, err
	}
	if l.arn != p.Stream {
		return news, trimmed(object, "the table has another stream, or none", nil)
	}
	if err := p.follow(object, l.shards); err != nil {
		return news, err
	}
	old := began.Sub(time.Unix(p.At, 0)) > kept
	r := &reading{source: s, cached: cached, object: object, arn: l.arn, key: key, place: &p, left: limit, old: old}
	next := make(chan string)
	var wait sync.WaitGroup
	failures := make(chan error, workers)
	for range min(workers, len(p.Shards)) {
		wait.Go(func() {
			var failed error
			for id := range next {
				if failed == nil {
					failed = r.shard(ctx, id, l.shards[id])
				}
			}
			failures <- failed
		})
	}
	for _, id := range slices.Sorted(maps.Keys(p.Shards)) {
		if !p.Shards[id].Done {
			next <- id
		}
	}
	close(next)
	wait.Wait()
	close(failures)
	for failed := range failures {
		if failed != nil {
			return news, failed
		}
	}
	if !r.more {
		p.At = l.at.Unix() // what is in shards that are not listed is not older
	}
	news.Keys, news.More = r.keys, r.more || r.ended
	news.Next, err = json.Marshal(p)
	return news, err
}

// follow takes up shards that came, and drops those that were read to their end and are not kept any more. One that vanished before it
// was read to its end, and one whose parent nobody saw, mean that records were missed.
func (p *place) follow(object record.Object, listed map[string]stream.Shard) error {
	for id, pos := range p.Shards {
		if _, there := listed[id]; there {
			continue
		}
		if !pos.Done {
			return trimmed(object, "the shard "+id+" is not kept any more", nil)
		}
	}
	for id, sh := range listed {
		if p.Shards[id] != nil {
			continue
		}
		parent := aws.ToString(sh.ParentShardId)
		_, there := listed[parent]
		if _, seen := p.Shards[parent]; parent != "" && !seen && !there {
			return trimmed(object, "the shard "+parent+" is not kept any more", nil)
		}
	}
	for id := range p.Shards {
		if _, there := listed[id]; !there {
			delete(p.Shards, id)
		}
	}
	for id := range listed {
		if p.Shards[id] == nil {
			p.Shards[id] = &position{}
		}
	}
	return nil
}

// reading is one look at a stream.
type reading struct {
	*source
	object record.Object
	arn    string
	key    []keyPart
	place  *place
	cached bool // the list of shards is not of this moment
	old    bool // reading stood still for longer than records are kept

	gather sync.Mutex
	left   int
	keys   []record.Key
	more   bool
	ended  bool // a shard was read to its end, and may have children
}

// shard reads on in one shard.
func (r *reading) shard(ctx context.Context, id string, sh stream.Shard) error {
	pos := r.place.Shards[id]
	closed := sh.SequenceNumberRange != nil && sh.SequenceNumberRange.EndingSequenceNumber != nil
	if r.old && pos.After == "" {
		return trimmed(r.object, "nothing was read for a day", nil)
	}
	at, err := r.iterator(ctx, id, pos)
	for n := 0; err == nil && at != ""; n++ {
		r.gather.Lock()
		most := r.left
		full := n == mostAnswers || most <= 0
		r.more = r.more || full
		r.gather.Unlock()
		if full {
			break
		}
		var out *dynamodbstreams.GetRecordsOutput
		if out, err = r.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: aws.String(at), Limit: aws.Int32(int32(min(most, 1000)))}); err != nil {
			break
		}
		r.take(pos, out.Records)
		at = aws.ToString(out.NextShardIterator)
		r.keep(id, pos.After, at)
		if len(out.Records) == 0 && !closed {
			return nil
		}
	}
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch {
	case code == "TrimmedDataAccessException" || code == "ResourceNotFoundException" || code == "ExpiredIteratorException":
		r.keep(id, "", "")
		switch {
		case code == "ExpiredIteratorException":
		case r.cached || code == "ResourceNotFoundException":
			return errStale
		case r.old:
			return trimmed(r.object, "", err)
		default:
			pos.After = "" // read so lately that nothing behind it can be gone: from the oldest that is kept
		}
		r.gather.Lock()
		r.more = true
		r.gather.Unlock()
		return nil
	case err != nil:
		return classify(err, r.object)
	}
	if pos.Done = at == ""; pos.Done { // what came after it is to be read now
		r.mu.Lock()
		delete(r.listings, r.object)
		r.mu.Unlock()
		r.gather.Lock()
		r.ended = true
		r.gather.Unlock()
	}
	return nil
}

// take notes which keys records name.
func (r *reading) take(pos *position, records []stream.Record) {
	r.gather.Lock()
	defer r.gather.Unlock()
	for _, rec := range records {
		if rec.Dynamodb == nil {
			continue
		}
		pos.After = aws.ToString(rec.Dynamodb.SequenceNumber)
		if at := rec.Dynamodb.ApproximateCreationDateTime; at != nil && at.Unix() < r.place.From {
			continue
		}
		values := make([]record.Value, len(r.key))
		for i, k := range r.key {
			values[i], _ = value(streamed(rec.Dynamodb.Keys[k.name]))
		}
		r.keys = append(r.keys, record.MakeKey(values...))
		r.left--
	}
}

// streamed is a key's attribute; the vendor's two libraries have two types for it.
func streamed(v stream.AttributeValue) types.AttributeValue {
	switch x := v.(type) {
	case *stream.AttributeValueMemberS:
		return &types.AttributeValueMemberS{Value: x.Value}
	case *stream.AttributeValueMemberN:
		return &types.AttributeValueMemberN{Value: x.Value}
	case *stream.AttributeValueMemberB:
		return &types.AttributeValueMemberB{Value: x.Value}
	}
	return nil
}

// iterator goes on where the shard was left, also behind answers without records.
func (r *reading) iterator(ctx context.Context, id string, pos *position) (string, error) {
	r.mu.Lock()
	it, known := r.iterators[r.arn+id]
	r.mu.Unlock()
	if known && it.next != "" && it.after == pos.After && r.now().Sub(it.made) < iterates {
		return it.next, nil
	}
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: aws.String(r.arn), ShardId: aws.String(id), ShardIteratorType: stream.ShardIteratorTypeTrimHorizon}
	if pos.After != "" {
		in.ShardIteratorType, in.SequenceNumber = stream.ShardIteratorTypeAfterSequenceNumber, aws.String(pos.After)
	}
	out, err := r.streams.GetShardIterator(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ShardIterator), nil
}

func (r *reading) keep(id, after, next string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.iterators[r.arn+id] = iterator{after, next, r.now()}
}

// Span scans a page.
func (s *source) Span(ctx context.Context, object record.Object, after json.RawMessage, limit int) (*sheet.Table, json.RawMessage, error) {
	t, err := s.Shape(ctx, object)
	if err != nil {
		return nil, nil, err
	}
	key, err := s.key(ctx, object)
	if err != nil {
		return nil, nil, err
	}
	in := &dynamodb.ScanInput{TableName: aws.String(string(object)), ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit))}
	if after != nil {
		var k record.Key
		if err := json.Unmarshal(after, &k); err != nil {
			return nil, nil, trimmed(object, "the place cannot be read", err)
		}
		if in.ExclusiveStartKey = attributes(key, k); in.ExclusiveStartKey == nil {
			return nil, nil, trimmed(object, "the place cannot be read", nil)
		}
	}
	out, err := s.client.Scan(ctx, in)
	if err != nil {
		return nil, nil, classify(err, object)
	}
	fill(t, key, out.Items)
	if len(out.LastEvaluatedKey) == 0 {
		return t, nil, nil
	}
	values := make([]record.Value, len(key))
	for i, k := range key {
		values[i], _ = value(out.LastEvaluatedKey[k.name])
	}
	next, err := json.Marshal(record.MakeKey(values...))
	return t, next, err
}

var _ sheet.Told = (*source)(nil)
