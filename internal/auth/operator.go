// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

// InstallationOperator is a person who runs the installation.
type InstallationOperator struct {
	User
	Since time.Time
	By    string // who made them one
}

// GrantOperator makes somebody who has an account an operator of the installation. It asks no permission: whoever reaches the
// database is one, and no way over the network leads here.
func (m *Manager) GrantOperator(ctx context.Context, email, by string) (User, error) {
	return m.setOperator(ctx, email, by, true, "operator.granted")
}

// RevokeOperator takes it back. It counts from the person's next request on, and their keys' too.
func (m *Manager) RevokeOperator(ctx context.Context, email, by string) (User, error) {
	return m.setOperator(ctx, email, by, false, "operator.revoked")
}

func (m *Manager) setOperator(ctx context.Context, email, by string, operates bool, action string) (User, error) {
	u, _, found, err := m.dir.UserByEmail(ctx, email)
	if err != nil {
		return u, err
	}
	if !found {
		return u, fault.New(fault.NotFound, "auth.user_not_found", "There is nobody with the e-mail address %s.", email)
	}
	who := Principal{Kind: KindOperator, ID: by, Name: by}
	changed, err := m.dir.SetOperator(ctx, u.ID, operates, by, who.Did(action, u.ID.String(), map[string]any{"email": u.Email}))
	switch {
	case err != nil:
		return u, err
	case !changed && operates:
		return u, fault.New(fault.Conflict, "auth.operator_unchanged", "%s runs the installation already.", u.Email)
	case !changed:
		return u, fault.New(fault.Conflict, "auth.operator_unchanged", "%s does not run the installation.", u.Email)
	}
	return u, nil
}

// Operators lists the people who run the installation, those of the longest standing first.
func (m *Manager) Operators(ctx context.Context) ([]InstallationOperator, error) {
	return m.dir.Operators(ctx)
}
