// SPDX-License-Identifier: Apache-2.0

package dynamodb

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/smithy-go"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/connector/sheet"
	"github.com/syncline-dev/syncline/internal/record"
)

// workers is how many items are written at the same time: the vendor's batches have no conditions.
const workers = 8

// keyPart is an attribute of a table's key.
type keyPart struct {
	name string
	typ  types.ScalarAttributeType
}

// source is an account in a region; its tables are the objects.
type source struct {
	client    *dynamodb.Client
	streams   *dynamodbstreams.Client
	transport *http.Transport
	now       func() time.Time
	shapes    sheet.Shapes

	mu        sync.Mutex
	keys      map[string][]keyPart
	iterators map[string]iterator // by stream and shard
	listings  map[record.Object]listing
}

type item = map[string]types.AttributeValue

func (s *source) Check(ctx context.Context) error {
	_, err := s.client.ListTables(ctx, &dynamodb.ListTablesInput{Limit: aws.Int32(1)})
	return classify(err, "")
}

func (s *source) Close() error {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	return nil
}

func (s *source) Objects(ctx context.Context) (out []record.Object, err error) {
	pages := dynamodb.NewListTablesPaginator(s.client, &dynamodb.ListTablesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify(err, "")
		}
		for _, t := range page.TableNames {
			out = append(out, record.Object(t))
		}
	}
	return out, nil
}

// key is the table's partition key, and its sort key where it has one.
func (s *source) key(ctx context.Context, object record.Object) ([]keyPart, error) {
	s.mu.Lock()
	known := s.keys[string(object)]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(string(object))})
	if err != nil {
		return nil, classify(err, object)
	}
	kinds := map[string]types.ScalarAttributeType{}
	for _, d := range out.Table.AttributeDefinitions {
		kinds[aws.ToString(d.AttributeName)] = d.AttributeType
	}
	for _, kind := range []types.KeyType{types.KeyTypeHash, types.KeyTypeRange} {
		for _, k := range out.Table.KeySchema {
			if k.KeyType == kind {
				known = append(known, keyPart{aws.ToString(k.AttributeName), kinds[aws.ToString(k.AttributeName)]})
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[string(object)] = known
	return known, nil
}

func (s *source) Load(ctx context.Context, object record.Object) (*sheet.Table, error) {
	key, err := s.key(ctx, object)
	if err != nil {
		return nil, err
	}
	var all []item
	pages := dynamodb.NewScanPaginator(s.client, &dynamodb.ScanInput{TableName: aws.String(string(object)), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, classify(err, object)
		}
		all = append(all, page.Items...)
	}
	t := &sheet.Table{Open: true}
	fill(t, key, all)
	return t, nil
}

func merge(seen map[connector.Type]bool) connector.Type {
	switch {
	case len(seen) == 2 && seen[connector.TypeInteger] && seen[connector.TypeNumber]:
		return connector.TypeNumber
	case len(seen) == 1:
		for t := range seen {
			return t
		}
	}
	return connector.TypeJSON
}

// value is an attribute in canonical form, with its type.
func value(raw types.AttributeValue) (record.Value, connector.Type) {
	switch x := raw.(type) {
	case *types.AttributeValueMemberS:
		return x.Value, connector.TypeText
	case *types.AttributeValueMemberN:
		n, err := record.ParseNumber(x.Value)
		if err != nil {
			return x.Value, connector.TypeText
		}
		if strings.Contains(string(n), ".") {
			return n, connector.TypeNumber
		}
		return n, connector.TypeInteger
	case *types.AttributeValueMemberBOOL:
		return x.Value, connector.TypeBoolean
	case *types.AttributeValueMemberB:
		return base64.StdEncoding.EncodeToString(x.Value), connector.TypeBytes
	case *types.AttributeValueMemberM:
		out := make(map[string]any, len(x.Value))
		for k, e := range x.Value {
			out[k], _ = value(e)
		}
		return out, connector.TypeJSON
	case *types.AttributeValueMemberL:
		out := make([]any, len(x.Value))
		for i, e := range x.Value {
			out[i], _ = value(e)
		}
		return out, connector.TypeArray
	case *types.AttributeValueMemberSS:
		out := make([]any, len(x.Value))
		for i, e := range x.Value {
			out[i] = e
		}
		return out, connector.TypeArray
	case *types.AttributeValueMemberNS:
		out := make([]any, len(x.Value))
		for i, e := range x.Value {
			out[i] = record.Number(e)
		}
		return out, connector.TypeArray
	}
	return nil, ""
}

// stored is a canonical value as an attribute.
func stored(typ connector.Type, v record.Value) types.AttributeValue {
	switch x := v.(type) {
	case string:
		if typ == connector.TypeBytes {
			if b, err := base64.StdEncoding.DecodeString(x); err == nil {
				return &types.AttributeValueMemberB{Value: b}
			}
		}
		return &types.AttributeValueMemberS{Value: x}
	case record.Number:
		return &types.AttributeValueMemberN{Value: string(x)}
	case bool:
		return &types.AttributeValueMemberBOOL{Value: x}
	case map[string]any:
		out := make(item, len(x))
		for k, e := range x {
			out[k] = stored("", e)
		}
		return &types.AttributeValueMemberM{Value: out}
	case []any:
		out := make([]types.AttributeValue, len(x))
		for i, e := range x {
			out[i] = stored("", e)
		}
		return &types.AttributeValueMemberL{Value: out}
	}
	return &types.AttributeValueMemberNULL{Value: true}
}

// Keep: numbers have at most 38 digits.
func (s *source) Keep(_ connector.FieldInfo, v record.Value) (record.Value, error) {
	if n, ok := v.(record.Number); ok && len(strings.Trim(strings.Replace(string(n), ".", "", 1), "-0")) > 38 {
		return nil, fmt.Errorf("cannot keep the number %s: DynamoDB keeps 38 digits", n)
	}
	return v, nil
}

// Apply carries each edit out by one conditional write of one item.
func (s *source) Apply(ctx context.Context, object record.Object, t *sheet.Table, edits []*sheet.Edit) ([]error, error) {
	answers, failures := make([]error, len(edits)), make([]error, len(edits))
	kinds := map[string]connector.Type{}
	for _, f := range t.Fields {
		kinds[f.Name] = f.Type
	}
	next := make(chan int)
	var wait sync.WaitGroup
	for range min(workers, len(edits)) {
		wait.Go(func() {
			for i := range next {
				err := classify(s.apply(ctx, aws.String(string(object)), t, kinds, edits[i]), object)
				var e *connector.Error
				if errors.Is(err, sheet.ErrMoved) || errors.As(err, &e) && e.Class == connector.Reject {
					answers[i] = err
				} else {
					failures[i] = err
				}
			}
		})
	}
	for i := range edits {
		next <- i
	}
	close(next)
	wait.Wait()
	return answers, errors.Join(failures...)
}

// expression gathers names and values of an expression.
type expression struct {
	names  map[string]string
	values item
}

func (e *expression) name(n string) string {
	k := fmt.Sprintf("#a%d", len(e.names))
	e.names[k] = n
	return k
}

func (e *expression) value(v types.AttributeValue) string {
	k := fmt.Sprintf(":v%d", len(e.values))
	e.values[k] = v
	return k
}

// same is the condition that the attribute is as it was.
func (e *expression) same(name string, was item) string {
	if v, there := was[name]; there {
		return e.name(name) + " = " + e.value(v)
	}
	return "attribute_not_exists(" + e.name(name) + ")"
}

func (e *expression) valuesOrNil() item {
	if len(e.values) == 0 {
		return nil // the vendor refuses an empty one
	}
	return e.values
}

func (s *source) apply(ctx context.Context, table *string, t *sheet.Table, kinds map[string]connector.Type, e *sheet.Edit) error {
	x := &expression{names: map[string]string{}, values: item{}}
	if e.Row == nil {
		it := item{}
		for name, v := range e.Set {
			if v != nil {
				it[name] = stored(kinds[name], v)
			}
		}
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: it, ConditionExpression: aws.String("attribute_not_exists(" + x.name(t.Key[0]) + ")"), ExpressionAttributeNames: x.names})
		return err
	}
	was, there := e.Row.Handle.(item)
	if !there { // made by this very batch
		return sheet.ErrMoved
	}
	key := item{}
	moves := false
	for _, k := range t.Key {
		key[k] = was[k]
		_, set := e.Set[k]
		moves = moves || set
	}
	var conditions []string
	if e.Delete || moves {
		for _, name := range slices.Sorted(maps.Keys(was)) {
			conditions = append(conditions, x.same(name, was))
		}
	}
	switch {
	case e.Delete:
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: table, Key: key, ConditionExpression: aws.String(strings.Join(conditions, " AND ")), ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.valuesOrNil()})
		return err
	case moves: // a key cannot be changed: out with the old one, in with the new one, both or none
		it := maps.Clone(was)
		for name, v := range e.Set {
			if delete(it, name); v != nil {
				it[name] = stored(kinds[name], v)
			}
		}
		y := &expression{names: map[string]string{}, values: item{}}
		_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Delete: &types.Delete{TableName: table, Key: key, ConditionExpression: aws.String(strings.Join(conditions, " AND ")), ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.valuesOrNil()}},
			{Put: &types.Put{TableName: table, Item: it, ConditionExpression: aws.String("attribute_not_exists(" + y.name(t.Key[0]) + ")"), ExpressionAttributeNames: y.names}},
		}})
		return err
	}
	conditions = append(conditions, "attribute_exists("+x.name(t.Key[0])+")")
	var sets, removes []string
	for _, name := range slices.Sorted(maps.Keys(e.Set)) {
		conditions = append(conditions, x.same(name, was))
		if v := e.Set[name]; v != nil {
			sets = append(sets, x.name(name)+" = "+x.value(stored(kinds[name], v)))
		} else {
			removes = append(removes, x.name(name))
		}
	}
	var change []string
	if len(sets) > 0 {
		change = append(change, "SET "+strings.Join(sets, ", "))
	}
	if len(removes) > 0 {
		change = append(change, "REMOVE "+strings.Join(removes, ", "))
	}
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: table, Key: key, UpdateExpression: aws.String(strings.Join(change, " ")), ConditionExpression: aws.String(strings.Join(conditions, " AND ")),
		ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.valuesOrNil()})
	return err
}

// classify says what an error means.
func classify(err error, object record.Object) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, sheet.ErrMoved) {
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
	switch code {
	case "ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException":
		return sheet.ErrMoved
	case "ResourceNotFoundException":
		return &connector.Error{Class: connector.Reject, Code: "dynamodb.no_table", Message: fmt.Sprintf("There is no table %s in this region. Make it, or correct the name or the setting region.", object), Err: err}
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "IncompleteSignature", "MissingAuthenticationToken", "InvalidClientTokenId":
		return &connector.Error{Class: connector.Reconnect, Code: "dynamodb.credentials", Message: "DynamoDB does not accept the credentials. Check access key, secret and region; temporary credentials end.", Err: err}
	case "AccessDeniedException":
		return &connector.Error{Class: connector.Reconnect, Code: "dynamodb.forbidden", Message: fmt.Sprintf("The access key may not use the table %s. It needs dynamodb:ListTables, DescribeTable, Scan, BatchGetItem, PutItem, UpdateItem and DeleteItem.", object), Err: err}
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "LimitExceededException":
		return &connector.Error{Class: connector.SlowDown, Code: "dynamodb.slow_down", Message: "DynamoDB asks for fewer requests.", After: time.Second, Err: err}
	case "ValidationException", "ItemCollectionSizeLimitExceededException":
		return &connector.Error{Class: connector.Reject, Code: "dynamodb.refused", Message: "DynamoDB refuses the item: " + api.ErrorMessage(), Err: err}
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return &connector.Error{Class: connector.Reconnect, Code: "dynamodb.unreachable", Message: "Nothing answers at the address of DynamoDB. Check region, address and firewall.", Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "dynamodb.unavailable", Message: "DynamoDB did not answer as expected; it will be tried again.", Err: fmt.Errorf("status %d: %w", status, err)}
}
