package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/record"
)

var errTodo = errors.New("not yet")

const originPrefix = "syncline.origin"

type logStream struct{}

func (*logStream) close() {}
func (s *system) watchStream(ctx context.Context, tables []*table, wake func(record.Object)) error {
	return errTodo
}
func (s *system) cleanStream(ctx context.Context, c *pgconn.PgConn, objects []record.Object) error {
	return nil
}
func (s *system) cleanHashes(ctx context.Context, c *pgconn.PgConn, oids []uint32) error { return nil }
func (s *system) confirm(ctx context.Context, t *table, p place) error                   { return nil }
func (s *system) confirmHashes(ctx context.Context, c *pgconn.PgConn, t *table, p place) error {
	return nil
}
func (s *system) writesAreSeenByLog(ctx context.Context, c *pgconn.PgConn, t *table) (bool, error) {
	return false, nil
}
func (s *system) readStream(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	return connector.Page{}, errTodo
}
func (s *system) readByTime(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	return connector.Page{}, errTodo
}
func (s *system) readByHash(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	return connector.Page{}, errTodo
}
func (s *system) beginStream(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	return errTodo
}
func (s *system) beginByTime(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	return errTodo
}
func (s *system) beginByHash(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	return errTodo
}

type openTx struct{}
