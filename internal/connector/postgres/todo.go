package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/syncline-dev/syncline/internal/connector"
)

var errTodo = errors.New("not yet")

func (s *system) cleanHashes(ctx context.Context, c *pgconn.PgConn, oids []uint32) error { return nil }
func (s *system) confirmHashes(ctx context.Context, c *pgconn.PgConn, t *table, p place) error {
	return nil
}
func (s *system) readByTime(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	return connector.Page{}, errTodo
}
func (s *system) readByHash(ctx context.Context, c *pgconn.PgConn, t *table, p place, req connector.ReadRequest) (connector.Page, error) {
	return connector.Page{}, errTodo
}
func (s *system) beginByTime(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	return errTodo
}
func (s *system) beginByHash(ctx context.Context, c *pgconn.PgConn, t *table, p *place) error {
	return errTodo
}

type openTx struct{}
