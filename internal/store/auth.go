// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/store/internal/db"
	"github.com/syncline-dev/syncline/internal/tenant"
)

var (
	_ auth.Tx        = (*Tx)(nil)
	_ auth.Directory = (*Operator)(nil)
)

// The operator's statements: each says why it may look at more than one tenant.

// SignUp makes a person, their first tenant and their ownership. Across tenants, because there is none yet.
func (o *Operator) SignUp(ctx context.Context, u auth.User, passwordHash string, t tenant.Tenant, sealedKey []byte, e audit.Entry) error {
	return o.inTx(ctx, func(tx *OperatorTx) error {
		if err := tx.insertUser(ctx, u, passwordHash); err != nil {
			return err
		}
		return tx.found(ctx, u, t, sealedKey, e)
	})
}

// Found makes a further tenant of a person. Across tenants, because it does not exist before.
func (o *Operator) Found(ctx context.Context, u auth.User, t tenant.Tenant, sealedKey []byte, e audit.Entry) error {
	return o.inTx(ctx, func(tx *OperatorTx) error { return tx.found(ctx, u, t, sealedKey, e) })
}

func (t *OperatorTx) insertUser(ctx context.Context, u auth.User, passwordHash string) error {
	err := t.q.InsertUser(ctx, db.InsertUserParams{ID: uuid.UUID(u.ID), Email: u.Email, Name: u.Name, PasswordHash: passwordHash, CreatedAt: t.now})
	if violates(err, "users_email") {
		return fault.New(fault.Conflict, "auth.email_taken", "There is an account with this e-mail address already. Sign in instead.").
			At(fault.Field{Pointer: "/email", Code: "auth.email_taken", Message: "There is an account with this e-mail address already.", Remedy: "Sign in instead."})
	}
	return unavailable(err)
}

func (t *OperatorTx) found(ctx context.Context, u auth.User, n tenant.Tenant, sealedKey []byte, e audit.Entry) error {
	if err := t.insertTenant(ctx, n, sealedKey); err != nil {
		return err
	}
	if err := t.insertMember(ctx, n.ID, u, auth.Owner); err != nil {
		return err
	}
	return t.audit(ctx, n.ID, e)
}

func (t *OperatorTx) insertMember(ctx context.Context, in tenant.ID, u auth.User, role auth.Role) error {
	err := t.q.InsertMember(ctx, db.InsertMemberParams{
		TenantID: uuid.UUID(in), UserID: uuid.UUID(u.ID), Email: u.Email, Name: u.Name, Role: string(role), CreatedAt: t.now,
	})
	if violates(err, "members_pkey") {
		return fault.New(fault.Conflict, "auth.already_member", "%s is a member of this tenant already. Change the role instead.", u.Email)
	}
	return unavailable(err)
}

// audit ends the operator's part of the transaction with the tenant's audit entry.
func (t *OperatorTx) audit(ctx context.Context, in tenant.ID, e audit.Entry) error {
	bound, err := t.bind(ctx, in)
	if err != nil {
		return err
	}
	return bound.Audit(ctx, e)
}

// UserByEmail finds a person. Across tenants, because people sign in before they say where they work.
func (o *Operator) UserByEmail(ctx context.Context, email string) (auth.User, string, bool, error) {
	r, err := db.New(o.d.operator).UserByEmail(ctx, email)
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.User{}, "", false, nil
	}
	if err != nil {
		return auth.User{}, "", false, unavailable(err)
	}
	return auth.User{ID: auth.UserID(r.ID), Email: r.Email, Name: r.Name, CreatedAt: r.CreatedAt}, r.PasswordHash, true, nil
}

// User returns a person. People are not a tenant's.
func (o *Operator) User(ctx context.Context, id auth.UserID) (auth.User, string, error) {
	r, err := db.New(o.d.operator).UserByID(ctx, uuid.UUID(id))
	if err != nil {
		return auth.User{}, "", notFound(err, "auth.user_not_found", "This person does not exist any more.")
	}
	return auth.User{ID: auth.UserID(r.ID), Email: r.Email, Name: r.Name, CreatedAt: r.CreatedAt}, r.PasswordHash, nil
}

// Rehash replaces a person's password hash with one of the same password, unless it was replaced meanwhile.
func (o *Operator) Rehash(ctx context.Context, id auth.UserID, old, fresh string) error {
	_, err := db.New(o.d.operator).SwapPassword(ctx, db.SwapPasswordParams{ID: uuid.UUID(id), Old: old, Fresh: fresh})
	return unavailable(err)
}

// ChangePassword replaces a person's password hash, if old is the present one, and ends all their sessions but the one
// kept, in whatever tenant these are.
func (o *Operator) ChangePassword(ctx context.Context, id auth.UserID, old, fresh string, keep []byte, in tenant.ID, e audit.Entry) (changed bool, err error) {
	err = o.inTx(ctx, func(tx *OperatorTx) error {
		n, err := tx.q.SwapPassword(ctx, db.SwapPasswordParams{ID: uuid.UUID(id), Old: old, Fresh: fresh})
		if err != nil || n == 0 {
			return unavailable(err)
		}
		changed = true
		if _, err := tx.q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{UserID: uuid.UUID(id), Keep: keep}); err != nil {
			return unavailable(err)
		}
		return tx.audit(ctx, in, e)
	})
	return changed && err == nil, err
}

// Memberships lists the tenants that a person belongs to: theirs, and no others.
func (o *Operator) Memberships(ctx context.Context, id auth.UserID) ([]auth.Membership, error) {
	rows, err := db.New(o.d.operator).Memberships(ctx, uuid.UUID(id))
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]auth.Membership, len(rows))
	for i, r := range rows {
		all[i] = auth.Membership{
			Tenant: tenant.Tenant{
				ID: tenant.ID(r.ID), Name: r.Name, Slug: r.Slug, State: tenant.State(r.State), Region: r.Region, TimeZone: r.TimeZone,
				Demo: r.Demo, CreatedAt: r.CreatedAt, Version: r.Version,
			},
			Role: auth.Role(r.Role), Since: r.Since,
		}
	}
	return all, nil
}

// StartSession signs a person in. Sessions are people's: they go from one tenant to another.
func (o *Operator) StartSession(ctx context.Context, s auth.Session, tokenHash []byte, e audit.Entry) error {
	return o.inTx(ctx, func(tx *OperatorTx) error {
		err := tx.q.InsertSession(ctx, db.InsertSessionParams{
			TokenHash: tokenHash, UserID: uuid.UUID(s.Member.ID), TenantID: uuid.UUID(s.Tenant.ID),
			CreatedAt: s.CreatedAt, SeenAt: s.SeenAt, ExpiresAt: s.ExpiresAt, UserAgent: s.UserAgent, Ip: s.IP,
		})
		if err != nil {
			return unavailable(err)
		}
		return tx.audit(ctx, s.Tenant.ID, e)
	})
}

// SessionByToken finds the session of a cookie. Across tenants, because the session is what says which one.
func (o *Operator) SessionByToken(ctx context.Context, tokenHash []byte) (auth.Session, bool, error) {
	r, err := db.New(o.d.operator).SessionByToken(ctx, tokenHash)
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.Session{}, false, nil
	}
	if err != nil {
		return auth.Session{}, false, unavailable(err)
	}
	return auth.NewSession(r.TokenHash, auth.Session{
		Tenant: tenant.Tenant{
			ID: tenant.ID(r.TenantID), Name: r.TenantName, Slug: r.Slug, State: tenant.State(r.State), Region: r.Region,
			TimeZone: r.TimeZone, Demo: r.Demo, CreatedAt: r.TenantCreatedAt, Version: r.TenantVersion,
		},
		Member: auth.Member{
			ID: auth.UserID(r.UserID), Email: r.Email, Name: r.Name, Role: auth.Role(r.Role), Since: r.Since, Version: r.MemberVersion,
		},
		CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, ExpiresAt: r.ExpiresAt, UserAgent: r.UserAgent, IP: r.Ip, Operates: r.Operates,
	}), true, nil
}

// TouchSession notes that the session is in use.
func (o *Operator) TouchSession(ctx context.Context, tokenHash []byte) error {
	return unavailable(db.New(o.d.operator).TouchSession(ctx, db.TouchSessionParams{TokenHash: tokenHash, SeenAt: o.Now()}))
}

// Sessions lists a person's sessions, in all their tenants. Of the tenants only id and name are filled in.
func (o *Operator) Sessions(ctx context.Context, id auth.UserID) ([]auth.Session, error) {
	rows, err := db.New(o.d.operator).SessionsOfUser(ctx, uuid.UUID(id))
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]auth.Session, len(rows))
	for i, r := range rows {
		all[i] = auth.NewSession(r.TokenHash, auth.Session{
			Tenant: tenant.Tenant{ID: tenant.ID(r.TenantID), Name: r.TenantName}, Member: auth.Member{ID: id},
			CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, ExpiresAt: r.ExpiresAt, UserAgent: r.UserAgent, IP: r.Ip,
		})
	}
	return all, nil
}

// SwitchSession moves a session to another of the person's tenants.
func (o *Operator) SwitchSession(ctx context.Context, tokenHash []byte, to tenant.ID, e audit.Entry) error {
	return o.inTx(ctx, func(tx *OperatorTx) error {
		if _, err := tx.q.SwitchSession(ctx, db.SwitchSessionParams{TokenHash: tokenHash, TenantID: uuid.UUID(to)}); err != nil {
			return unavailable(err)
		}
		return tx.audit(ctx, to, e)
	})
}

// EndSession signs a person out. Nothing is wrong when the session has ended already.
func (o *Operator) EndSession(ctx context.Context, id auth.UserID, tokenHash []byte, in tenant.ID, e audit.Entry) error {
	_, err := o.endSessions(ctx, in, e, func(q *db.Queries) (int64, error) {
		return q.DeleteSession(ctx, db.DeleteSessionParams{UserID: uuid.UUID(id), TokenHash: tokenHash})
	})
	return err
}

// EndSessionByID ends one of a person's sessions, in whatever tenant it is, and says whether there was one.
func (o *Operator) EndSessionByID(ctx context.Context, id auth.UserID, s auth.SessionID, in tenant.ID, e audit.Entry) (bool, error) {
	n, err := o.endSessions(ctx, in, e, func(q *db.Queries) (int64, error) {
		return q.DeleteSessionByID(ctx, db.DeleteSessionByIDParams{UserID: uuid.UUID(id), ID: s[:]})
	})
	return n > 0, err
}

// EndOtherSessions ends all of a person's sessions but one, in whatever tenants these are, and returns how many.
func (o *Operator) EndOtherSessions(ctx context.Context, id auth.UserID, keep []byte, in tenant.ID, e audit.Entry) (int64, error) {
	return o.endSessions(ctx, in, e, func(q *db.Queries) (int64, error) {
		return q.DeleteOtherSessions(ctx, db.DeleteOtherSessionsParams{UserID: uuid.UUID(id), Keep: keep})
	})
}

func (o *Operator) endSessions(ctx context.Context, in tenant.ID, e audit.Entry, end func(*db.Queries) (int64, error)) (n int64, err error) {
	err = o.inTx(ctx, func(tx *OperatorTx) error {
		if n, err = end(tx.q); err != nil || n == 0 {
			return unavailable(err)
		}
		return tx.audit(ctx, in, e)
	})
	return n, err
}

// DropSessions removes sessions that are over: too old, too long idle, or of a member who was removed. Of all people.
func (o *Operator) DropSessions(ctx context.Context, idle time.Duration) (int64, error) {
	n, err := db.New(o.d.operator).DeleteDeadSessions(ctx, db.DeleteDeadSessionsParams{Now: o.Now(), IdleSince: o.Now().Add(-idle)})
	return n, unavailable(err)
}

// KeyByHash finds an API key. Across tenants, because the key is what says which one.
func (o *Operator) KeyByHash(ctx context.Context, keyHash []byte) (auth.Key, tenant.ID, tenant.State, bool, error) {
	r, err := db.New(o.d.operator).APIKeyByHash(ctx, keyHash)
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.Key{}, tenant.ID{}, "", false, nil
	}
	if err != nil {
		return auth.Key{}, tenant.ID{}, "", false, unavailable(err)
	}
	k := apiKey(db.APIKeysRow{
		ID: r.ID, Name: r.Name, LastFour: r.LastFour, Scopes: r.Scopes, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt,
		ExpiresAt: r.ExpiresAt, LastUsedAt: r.LastUsedAt, RevokedAt: r.RevokedAt, Version: r.Version,
	})
	return k, tenant.ID(r.TenantID), tenant.State(r.State), true, nil
}

// TouchKey notes that an API key was used, unless that was noted less than the given time ago. The tenant is stated.
func (o *Operator) TouchKey(ctx context.Context, in tenant.ID, id auth.KeyID, unless time.Duration) error {
	now := o.Now()
	return unavailable(db.New(o.d.operator).TouchAPIKey(ctx, db.TouchAPIKeyParams{
		TenantID: uuid.UUID(in), ID: uuid.UUID(id), Now: now, UnlessAfter: now.Add(-unless),
	}))
}

// InvitationByToken finds an invitation. The token says the tenant; whoever holds it is nobody there yet.
func (o *Operator) InvitationByToken(ctx context.Context, in tenant.ID, tokenHash []byte) (auth.Invitation, string, bool, error) {
	r, err := db.New(o.d.operator).InvitationByToken(ctx, db.InvitationByTokenParams{TenantID: uuid.UUID(in), TokenHash: tokenHash})
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.Invitation{}, "", false, nil
	}
	if err != nil {
		return auth.Invitation{}, "", false, unavailable(err)
	}
	return invitation(db.InvitationsRow{
		ID: r.ID, Email: r.Email, Role: r.Role, InvitedBy: r.InvitedBy, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, AcceptedAt: r.AcceptedAt,
	}), r.TenantName, true, nil
}

// Accept makes an invited person a member, once. Across tenants, because they are not one yet and people are not a tenant's.
func (o *Operator) Accept(ctx context.Context, in tenant.ID, i auth.InvitationID, u auth.User, passwordHash string, role auth.Role, e audit.Entry) error {
	return o.inTx(ctx, func(tx *OperatorTx) error {
		n, err := tx.q.AcceptInvitation(ctx, db.AcceptInvitationParams{TenantID: uuid.UUID(in), ID: uuid.UUID(i), Now: tx.now})
		if err != nil {
			return unavailable(err)
		}
		if n == 0 {
			return fault.New(fault.Conflict, "auth.invitation_over", "This invitation was accepted already, or is older than allowed. Sign in, or ask for a new one.")
		}
		if passwordHash != "" {
			if err := tx.insertUser(ctx, u, passwordHash); err != nil {
				return err
			}
		}
		if err := tx.insertMember(ctx, in, u, role); err != nil {
			return err
		}
		return tx.audit(ctx, in, e)
	})
}

// The tenant's own statements.

// ReadTenant returns the tenant that the transaction is bound to.
func (t *Tx) ReadTenant(ctx context.Context) (tenant.Tenant, error) {
	r, err := t.q.Tenant(ctx)
	return tenantOf(db.LockTenantRow(r)), notFound(err, "tenant.not_found", "The tenant does not exist any more.")
}

// LockTenant returns the tenant and keeps other changes of it and of its members waiting until the commit.
func (t *Tx) LockTenant(ctx context.Context) (tenant.Tenant, error) {
	r, err := t.q.LockTenant(ctx)
	return tenantOf(r), notFound(err, "tenant.not_found", "The tenant does not exist any more.")
}

func tenantOf(r db.LockTenantRow) tenant.Tenant {
	return tenant.Tenant{
		ID: tenant.ID(r.ID), Name: r.Name, Slug: r.Slug, State: tenant.State(r.State), Region: r.Region, TimeZone: r.TimeZone,
		Demo: r.Demo, CreatedAt: r.CreatedAt, Version: r.Version,
	}
}

// SaveTenant writes the name and time zone of a locked tenant.
func (t *Tx) SaveTenant(ctx context.Context, n tenant.Tenant) error {
	return unavailable(t.q.UpdateTenant(ctx, db.UpdateTenantParams{Name: n.Name, TimeZone: n.TimeZone, Version: n.Version}))
}

// Members lists the tenant's members.
func (t *Tx) Members(ctx context.Context, after auth.UserID, limit int) ([]auth.Member, error) {
	rows, err := t.q.Members(ctx, db.MembersParams{After: uuid.UUID(after), Page: page(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]auth.Member, len(rows))
	for i, r := range rows {
		all[i] = member(r)
	}
	return all, nil
}

func member(r db.MembersRow) auth.Member {
	return auth.Member{ID: auth.UserID(r.UserID), Email: r.Email, Name: r.Name, Role: auth.Role(r.Role), Since: r.CreatedAt, Version: r.Version}
}

// Member returns one member, or the fault auth.member_not_found.
func (t *Tx) Member(ctx context.Context, id auth.UserID) (auth.Member, error) {
	r, err := t.q.Member(ctx, uuid.UUID(id))
	return member(db.MembersRow(r)), notFound(err, "auth.member_not_found", "There is no such member in this tenant.")
}

// MemberByEmail finds a member by e-mail address.
func (t *Tx) MemberByEmail(ctx context.Context, email string) (auth.Member, bool, error) {
	r, err := t.q.MemberByEmail(ctx, email)
	if errors.Is(err, pgx.ErrNoRows) {
		return auth.Member{}, false, nil
	}
	return member(db.MembersRow(r)), err == nil, unavailable(err)
}

// Owners counts the tenant's owners. Lock the tenant first.
func (t *Tx) Owners(ctx context.Context) (int, error) {
	n, err := t.q.CountOwners(ctx)
	return int(n), unavailable(err)
}

// SaveMember writes a member's role.
func (t *Tx) SaveMember(ctx context.Context, m auth.Member) error {
	return unavailable(t.q.UpdateMember(ctx, db.UpdateMemberParams{UserID: uuid.UUID(m.ID), Role: string(m.Role), Version: m.Version}))
}

// DeleteMember takes a member out of the tenant.
func (t *Tx) DeleteMember(ctx context.Context, id auth.UserID) error {
	return unavailable(t.q.DeleteMember(ctx, uuid.UUID(id)))
}

// Invitations lists the tenant's invitations.
func (t *Tx) Invitations(ctx context.Context, after auth.InvitationID, limit int) ([]auth.Invitation, error) {
	rows, err := t.q.Invitations(ctx, db.InvitationsParams{After: uuid.UUID(after), Page: page(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]auth.Invitation, len(rows))
	for i, r := range rows {
		all[i] = invitation(r)
	}
	return all, nil
}

func invitation(r db.InvitationsRow) auth.Invitation {
	return auth.Invitation{
		ID: auth.InvitationID(r.ID), Email: r.Email, Role: auth.Role(r.Role), InvitedBy: r.InvitedBy,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, AcceptedAt: known(r.AcceptedAt),
	}
}

// Invitation returns one invitation, or the fault auth.invitation_not_found.
func (t *Tx) Invitation(ctx context.Context, id auth.InvitationID) (auth.Invitation, error) {
	r, err := t.q.Invitation(ctx, uuid.UUID(id))
	return invitation(db.InvitationsRow(r)), notFound(err, "auth.invitation_not_found", "There is no such invitation; it may have been taken back.")
}

// InsertInvitation keeps an invitation and the hash of its token.
func (t *Tx) InsertInvitation(ctx context.Context, i auth.Invitation, tokenHash []byte) error {
	return unavailable(t.q.InsertInvitation(ctx, db.InsertInvitationParams{
		ID: uuid.UUID(i.ID), Email: i.Email, Role: string(i.Role), TokenHash: tokenHash, InvitedBy: i.InvitedBy,
		CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt,
	}))
}

// DeleteInvitation deletes an invitation that is not accepted, and says whether there was one.
func (t *Tx) DeleteInvitation(ctx context.Context, id auth.InvitationID) (bool, error) {
	n, err := t.q.DeleteInvitation(ctx, uuid.UUID(id))
	return n > 0, unavailable(err)
}

// APIKeys lists the tenant's API keys.
func (t *Tx) APIKeys(ctx context.Context, after auth.KeyID, limit int) ([]auth.Key, error) {
	rows, err := t.q.APIKeys(ctx, db.APIKeysParams{After: uuid.UUID(after), Page: page(limit)})
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]auth.Key, len(rows))
	for i, r := range rows {
		all[i] = apiKey(r)
	}
	return all, nil
}

func apiKey(r db.APIKeysRow) auth.Key {
	scopes := make([]auth.Scope, len(r.Scopes))
	for i, s := range r.Scopes {
		scopes[i] = auth.Scope(s)
	}
	return auth.Key{
		ID: auth.KeyID(r.ID), Name: r.Name, LastFour: r.LastFour, Scopes: scopes, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt,
		ExpiresAt: known(r.ExpiresAt), LastUsedAt: known(r.LastUsedAt), RevokedAt: known(r.RevokedAt), Version: r.Version,
	}
}

const noKey, noKeyText = "auth.key_not_found", "There is no such API key in this tenant."

// APIKey returns one API key, or the fault auth.key_not_found.
func (t *Tx) APIKey(ctx context.Context, id auth.KeyID) (auth.Key, error) {
	r, err := t.q.APIKey(ctx, uuid.UUID(id))
	return apiKey(db.APIKeysRow(r)), notFound(err, noKey, noKeyText)
}

// LockAPIKey returns one API key for changing it.
func (t *Tx) LockAPIKey(ctx context.Context, id auth.KeyID) (auth.Key, error) {
	r, err := t.q.LockAPIKey(ctx, uuid.UUID(id))
	return apiKey(db.APIKeysRow(r)), notFound(err, noKey, noKeyText)
}

// InsertAPIKey keeps an API key and the hash of its text.
func (t *Tx) InsertAPIKey(ctx context.Context, k auth.Key, keyHash []byte) error {
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	return unavailable(t.q.InsertAPIKey(ctx, db.InsertAPIKeyParams{
		ID: uuid.UUID(k.ID), Name: k.Name, KeyHash: keyHash, LastFour: k.LastFour, Scopes: scopes, CreatedBy: k.CreatedBy,
		CreatedAt: k.CreatedAt, ExpiresAt: optional(k.ExpiresAt),
	}))
}

// SaveAPIKey writes an API key's name and revocation.
func (t *Tx) SaveAPIKey(ctx context.Context, k auth.Key) error {
	return unavailable(t.q.UpdateAPIKey(ctx, db.UpdateAPIKeyParams{ID: uuid.UUID(k.ID), Name: k.Name, RevokedAt: optional(k.RevokedAt), Version: k.Version}))
}

// page is a list's limit as SQL takes it; 0 means all.
func page(limit int) int32 {
	if limit <= 0 || limit > math.MaxInt32 {
		return math.MaxInt32
	}
	return int32(limit)
}

// known is the zero time for null.
func known(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}
