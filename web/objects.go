// SPDX-License-Identifier: Apache-2.0

package web

import (
	"sync"
	"time"

	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// objects keeps for a while what systems said of their objects: asking opens a connection to a system that may be far away,
// and an editor asks with every few letters.
type objects struct {
	mu   sync.Mutex
	kept map[objectsKey]objectsAnswer
}

type objectsKey struct {
	tenant     tenant.ID
	connection string
}

type objectsAnswer struct {
	list []connector.ObjectInfo
	err  error
	at   time.Time
}

// How long an answer counts; a failure is asked for again sooner.
const (
	objectsLast  = 2 * time.Minute
	objectsRetry = 20 * time.Second
	objectsKept  = 500
)

// objectsOf are the objects of a connection, as lately discovered.
func (v *visit) objectsOf(connection string) ([]connector.ObjectInfo, error) {
	if err := v.who.May(auth.ViewConnections); err != nil {
		return nil, err // the kept answer was made for somebody who may
	}
	c, key := &v.h.objects, objectsKey{v.who.Tenant, connection}
	c.mu.Lock()
	a, ok := c.kept[key]
	c.mu.Unlock()
	if ok && (a.err == nil && v.now.Sub(a.at) < objectsLast || a.err != nil && v.now.Sub(a.at) < objectsRetry) {
		return a.list, a.err
	}
	list, err := v.h.Connections.Objects(v.ctx(), v.who, connection)
	if v.ctx().Err() != nil {
		return list, err // the reader left; that says nothing of the system
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= objectsKept {
		c.kept = map[objectsKey]objectsAnswer{}
	}
	c.kept[key] = objectsAnswer{list, err, v.now}
	return list, err
}

// forget drops what is kept of a tenant's connections.
func (o *objects) forget(id tenant.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.kept {
		if key.tenant == id {
			delete(o.kept, key)
		}
	}
}
