// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"time"

	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Tx is what these operations need of a transaction bound to a tenant. Lists are in the order of ids and begin behind after.
type Tx interface {
	Now() time.Time
	Audit(ctx context.Context, e audit.Entry) error
	AuditEntries(ctx context.Context, f audit.Filter) ([]audit.Entry, error)
	VerifyAudit(ctx context.Context) (audit.Report, error)

	ReadTenant(ctx context.Context) (tenant.Tenant, error)
	// LockTenant also makes changes of members wait for each other, so that two owners cannot remove each other.
	LockTenant(ctx context.Context) (tenant.Tenant, error)
	SaveTenant(ctx context.Context, t tenant.Tenant) error

	Members(ctx context.Context, after UserID, limit int) ([]Member, error)
	Member(ctx context.Context, id UserID) (Member, error)
	MemberByEmail(ctx context.Context, email string) (Member, bool, error)
	Owners(ctx context.Context) (int, error)
	SaveMember(ctx context.Context, m Member) error
	DeleteMember(ctx context.Context, id UserID) error

	Invitations(ctx context.Context, after InvitationID, limit int) ([]Invitation, error)
	Invitation(ctx context.Context, id InvitationID) (Invitation, error)
	InsertInvitation(ctx context.Context, i Invitation, tokenHash []byte) error
	// DeleteInvitation deletes one that is not accepted yet, and says whether there was one.
	DeleteInvitation(ctx context.Context, id InvitationID) (bool, error)

	APIKeys(ctx context.Context, after KeyID, limit int) ([]Key, error)
	APIKey(ctx context.Context, id KeyID) (Key, error)
	LockAPIKey(ctx context.Context, id KeyID) (Key, error)
	InsertAPIKey(ctx context.Context, k Key, keyHash []byte) error
	SaveAPIKey(ctx context.Context, k Key) error
}

// Directory is what is asked before a tenant is known: the named statements across tenants, each a transaction of its own.
// *store.Operator has them.
type Directory interface {
	Now() time.Time

	// SignUp makes a person, their first tenant with its wrapped key, and their ownership.
	SignUp(ctx context.Context, u User, passwordHash string, t tenant.Tenant, sealedKey []byte, e audit.Entry) error
	// Found makes a further tenant of a person who is there already.
	Found(ctx context.Context, u User, t tenant.Tenant, sealedKey []byte, e audit.Entry) error

	UserByEmail(ctx context.Context, email string) (u User, passwordHash string, found bool, err error)
	User(ctx context.Context, id UserID) (u User, passwordHash string, err error)
	// Rehash replaces the hash unless it was replaced meanwhile.
	Rehash(ctx context.Context, id UserID, old, fresh string) error
	// ChangePassword replaces the hash and ends all sessions of the person but the one kept; false when the old one is not current.
	ChangePassword(ctx context.Context, id UserID, old, fresh string, keep []byte, in tenant.ID, e audit.Entry) (bool, error)
	Memberships(ctx context.Context, id UserID) ([]Membership, error)

	StartSession(ctx context.Context, s Session, tokenHash []byte, e audit.Entry) error
	SessionByToken(ctx context.Context, tokenHash []byte) (s Session, found bool, err error)
	TouchSession(ctx context.Context, tokenHash []byte) error
	Sessions(ctx context.Context, id UserID) ([]Session, error)
	SwitchSession(ctx context.Context, tokenHash []byte, to tenant.ID, e audit.Entry) error
	EndSession(ctx context.Context, id UserID, tokenHash []byte, in tenant.ID, e audit.Entry) error
	EndSessionByID(ctx context.Context, id UserID, s SessionID, in tenant.ID, e audit.Entry) (bool, error)
	EndOtherSessions(ctx context.Context, id UserID, keep []byte, in tenant.ID, e audit.Entry) (int64, error)
	// DropSessions removes the sessions that are over, of all people.
	DropSessions(ctx context.Context, idle time.Duration) (int64, error)

	KeyByHash(ctx context.Context, keyHash []byte) (k Key, t tenant.ID, state tenant.State, found bool, err error)
	// TouchKey notes that the key was used, unless that was noted less than the given time ago.
	TouchKey(ctx context.Context, t tenant.ID, id KeyID, unless time.Duration) error

	// IsOperator says whether the person runs the installation; Operators are all who do. SetOperator makes or unmakes one, with an
	// entry in the installation's log, and says whether that changed anything.
	IsOperator(ctx context.Context, id UserID) (bool, error)
	Operators(ctx context.Context) ([]InstallationOperator, error)
	SetOperator(ctx context.Context, id UserID, operates bool, by string, e audit.Entry) (changed bool, err error)

	InvitationByToken(ctx context.Context, t tenant.ID, tokenHash []byte) (i Invitation, tenantName string, found bool, err error)
	// Accept makes the person a member. passwordHash is that of a new person, or empty for one who is there already.
	Accept(ctx context.Context, t tenant.ID, i InvitationID, u User, passwordHash string, role Role, e audit.Entry) error
}

// Keymaker makes the keys that tenants' secrets are sealed with; *vault.Vault is one.
type Keymaker interface {
	NewTenantKey(id tenant.ID) ([]byte, error)
}

// Options are what a Manager may be told. Zero fields mean what is written beside them.
type Options struct {
	Cost         PasswordCost  // DefaultCost
	SessionLife  time.Duration // 30 days: however busy, a session ends
	SessionIdle  time.Duration // 7 days: so long unused, a session ends
	InviteLife   time.Duration // 7 days
	SignUpClosed bool          // people come by invitation only
	Region       string        // "default": where new tenants live
}

// Manager has the operations on people, members, keys and sessions.
type Manager struct {
	dir     Directory
	inTx    func(context.Context, tenant.ID, func(Tx) error) error
	keys    Keymaker
	o       Options
	hasher  *hasher
	guesses guesses
	signups *throttle
}

// NewManager makes a manager.
func NewManager(dir Directory, inTx func(context.Context, tenant.ID, func(Tx) error) error, keys Keymaker, o Options) *Manager {
	const day = 24 * time.Hour
	if o.Cost == (PasswordCost{}) {
		o.Cost = DefaultCost
	}
	if o.SessionLife == 0 {
		o.SessionLife = 30 * day
	}
	if o.SessionIdle == 0 {
		o.SessionIdle = 7 * day
	}
	if o.InviteLife == 0 {
		o.InviteLife = 7 * day
	}
	if o.Region == "" {
		o.Region = "default"
	}
	return &Manager{
		dir: dir, inTx: inTx, keys: keys, o: o,
		hasher: newHasher(o.Cost),
		guesses: guesses{
			person: newThrottle(10, 15*time.Minute, 20_000, dir.Now),
			place:  newThrottle(100, 15*time.Minute, 20_000, dir.Now),
		},
		signups: newThrottle(20, time.Hour, 20_000, dir.Now),
	}
}

// do runs one change in the principal's tenant.
func (m *Manager) do(ctx context.Context, who Principal, what Permission, fn func(Tx) error) error {
	if err := who.May(what); err != nil {
		return err
	}
	return m.inTx(ctx, who.Tenant, fn)
}

// Tidy removes what is over: sessions that ended. It is called now and then by whoever keeps the house.
func (m *Manager) Tidy(ctx context.Context) error {
	_, err := m.dir.DropSessions(ctx, m.o.SessionIdle)
	return err
}
