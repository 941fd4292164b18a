// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/internal/fault"
)

// Member is a person in a tenant.
type Member struct {
	ID      UserID
	Email   string
	Name    string
	Role    Role
	Since   time.Time
	Version int64
}

// changedRole is the member with another role. The rule is of Manager.ChangeRole and Manager.Remove: a tenant keeps an owner.
func (m Member) changedRole(to Role, owners int) (Member, error) {
	if m.Role == Owner && to != Owner && owners <= 1 {
		return m, lastOwner()
	}
	m.Role = to
	m.Version++
	return m, nil
}

func lastOwner() error {
	return fault.New(fault.Conflict, "auth.last_owner", "This is the only owner, and a tenant needs one. Make somebody else an owner first.")
}

// stale is the fault that a thing was changed since it was read. A version of 0 asks for none in particular.
func stale(wanted, current int64, what string) error {
	if wanted == 0 || wanted == current {
		return nil
	}
	return fault.New(fault.Stale, "auth.version_stale", "Somebody changed %s meanwhile. Read it again and repeat your change.", what)
}

// Members lists the members, up to limit, behind after in the order of joining Syncline; limit 0 means all.
func (m *Manager) Members(ctx context.Context, who Principal, after UserID, limit int) (members []Member, err error) {
	err = m.do(ctx, who, ViewMembers, func(tx Tx) error {
		members, err = tx.Members(ctx, after, limit)
		return err
	})
	return members, err
}

// Member returns one member.
func (m *Manager) Member(ctx context.Context, who Principal, id UserID) (member Member, err error) {
	err = m.do(ctx, who, ViewMembers, func(tx Tx) error {
		member, err = tx.Member(ctx, id)
		return err
	})
	return member, err
}

// ChangeRole gives a member another role. Only owners make and unmake owners, and the last owner stays one. version is the
// one read, or 0.
func (m *Manager) ChangeRole(ctx context.Context, who Principal, id UserID, role Role, version int64) (changed Member, err error) {
	if _, err := ParseRole(string(role)); err != nil {
		return Member{}, err
	}
	err = m.do(ctx, who, EditMembers, func(tx Tx) error {
		if _, err := tx.LockTenant(ctx); err != nil {
			return err
		}
		member, err := tx.Member(ctx, id)
		if err != nil {
			return err
		}
		if err := stale(version, member.Version, "the member"); err != nil {
			return err
		}
		if err := who.mayGrant(member.Role); err != nil {
			return err
		}
		if err := who.mayGrant(role); err != nil {
			return err
		}
		if changed = member; member.Role == role {
			return nil
		}
		owners, err := tx.Owners(ctx)
		if err != nil {
			return err
		}
		if changed, err = member.changedRole(role, owners); err != nil {
			return err
		}
		if err := tx.SaveMember(ctx, changed); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("member.role_changed", id.String(), map[string]any{
			"email": member.Email, "before": member.Role, "after": role,
		}))
	})
	return changed, err
}

// Remove takes a member out of the tenant; with the next request their sessions end. Members may leave by removing
// themselves. API keys they made stay: those belong to the tenant. version is the one read, or 0.
func (m *Manager) Remove(ctx context.Context, who Principal, id UserID, version int64) error {
	self, isMember := who.User()
	if !isMember || self != id {
		if err := who.May(EditMembers); err != nil {
			return err
		}
	}
	return m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if _, err := tx.LockTenant(ctx); err != nil {
			return err
		}
		member, err := tx.Member(ctx, id)
		if err != nil {
			return err
		}
		if err := stale(version, member.Version, "the member"); err != nil {
			return err
		}
		if err := who.mayGrant(member.Role); err != nil {
			return err
		}
		if member.Role == Owner {
			owners, err := tx.Owners(ctx)
			if err != nil {
				return err
			}
			if owners <= 1 {
				return lastOwner()
			}
		}
		if err := tx.DeleteMember(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, who.Did("member.removed", id.String(), map[string]any{"email": member.Email, "role": member.Role}))
	})
}
