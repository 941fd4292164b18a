// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/rating"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Tx is what plans need of a transaction bound to one tenant.
type Tx interface {
	service.Tx // a budget that is used up pauses services

	BillingZone(ctx context.Context) (string, error)

	// Subscriptions are all agreements in the order in which they hold. LockSubscriptions lets changes go one after the other.
	Subscriptions(ctx context.Context) ([]billing.Subscription, error)
	LockSubscriptions(ctx context.Context) error
	AddSubscription(ctx context.Context, s billing.Subscription) error
	WithdrawSubscription(ctx context.Context, id uuid.UUID) (bool, error)

	// CustomPlans are the plans made for the tenant, all versions, the latest first.
	CustomPlans(ctx context.Context) ([]billing.Plan, error)
	AddCustomPlan(ctx context.Context, p billing.Plan, by string) error

	// Credits are all that were granted, with what invoices use of them, the latest first. WithdrawCredit says whether there was one
	// to withdraw.
	Credits(ctx context.Context) ([]billing.Credit, error)
	AddCredit(ctx context.Context, c billing.Credit) error
	WithdrawCredit(ctx context.Context, id uuid.UUID, why string) (bool, error)

	QuantitiesIn(ctx context.Context, from, to time.Time) ([]billing.Quantity, error)
	LiveDocuments(ctx context.Context) (map[string]*service.Document, error)

	// UsageByPlace sums operations and lookups by where they went, the most first. UsageByDay sums operations by day. UsageEvents
	// is the ledger itself in the order of time, behind a place in it.
	UsageByPlace(ctx context.Context, from, to time.Time) ([]Place, error)
	UsageByDay(ctx context.Context, days []billing.Day) ([]int64, error)
	UsageEvents(ctx context.Context, m billing.Meter, from, to, afterAt time.Time, afterKey string, limit int) ([]Counted, error)

	// TenantName is how the tenant calls itself.
	TenantName(ctx context.Context) (string, error)

	// Budgets are by name, with what was reached in the month. The others say whether they did something: a name may be taken,
	// a version gone, a notice given.
	Budgets(ctx context.Context, m billing.Month) ([]billing.Budget, error)
	AddBudget(ctx context.Context, b billing.Budget) (bool, error)
	SaveBudget(ctx context.Context, b billing.Budget) (bool, error)
	DropBudget(ctx context.Context, b billing.Budget) (bool, error)
	AddBudgetNotice(ctx context.Context, budget uuid.UUID, m billing.Month, percent int, spent decimal.Decimal) (bool, error)

	// UsedSince says whether anything was counted since about a time. IntegrationsIn are the systems that were in use in a span.
	UsedSince(ctx context.Context, since time.Time) (bool, error)
	IntegrationsIn(ctx context.Context, from, to time.Time) ([]Integration, error)

	// AddUsageNotice notes that people are told of something about a month; false when they were. UsageNoticed says whether they were.
	AddUsageNotice(ctx context.Context, m billing.Month, about string, percent int) (bool, error)
	UsageNoticed(ctx context.Context, m billing.Month, about string) (bool, error)
}

// Manager has the operations on plans and subscriptions.
type Manager struct {
	inTx func(context.Context, tenant.ID, func(Tx) error) error
}

// NewManager makes the operations.
func NewManager(inTx func(context.Context, tenant.ID, func(Tx) error) error) *Manager {
	return &Manager{inTx: inTx}
}

// Present is what a tenant agreed to, now and later.
type Present struct {
	Held      billing.Subscription
	Trial     bool
	Scheduled *billing.Subscription // what has been agreed from a later time on
	Period    billing.Period        // the present one
	Plans     []billing.Plan        // that can be chosen
	Lacking   []Lack                // what the services in force use and the plan does not allow
}

// Lack is a feature that a service in force uses.
type Lack struct {
	Service string
	Feature billing.Feature
	Why     string
}

// Present says which plan the tenant is on.
func (m *Manager) Present(ctx context.Context, who auth.Principal) (out Present, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		out, err = present(ctx, tx)
		return err
	})
	return out, err
}

func present(ctx context.Context, tx Tx) (Present, error) {
	list, err := tx.Subscriptions(ctx)
	if err != nil {
		return Present{}, err
	}
	p, err := periodNow(ctx, tx)
	if err != nil {
		return Present{}, err
	}
	out := Present{Held: billing.SubscriptionAt(list, tx.Now()), Period: p}
	out.Trial = tx.Now().Before(out.Held.TrialUntil)
	if n := len(list); n > 0 && list[n-1].From.After(tx.Now()) {
		out.Scheduled = &list[n-1]
	}
	if out.Plans, err = choices(ctx, tx); err != nil {
		return Present{}, err
	}
	out.Lacking, err = lacking(ctx, tx, out.Held)
	return out, err
}

func periodNow(ctx context.Context, tx Tx) (billing.Period, error) {
	name, err := tx.BillingZone(ctx)
	if err != nil {
		return billing.Period{}, err
	}
	zone, err := billing.Zone(name)
	if err != nil {
		return billing.Period{}, err
	}
	return billing.PeriodOf(tx.Now(), zone), nil
}

// choices are the plans that the tenant can choose now: the price list, and the latest version in force of each made for it.
func choices(ctx context.Context, tx Tx) ([]billing.Plan, error) {
	custom, err := tx.CustomPlans(ctx)
	if err != nil {
		return nil, err
	}
	out := billing.Catalog()
	for _, p := range custom {
		if !p.From.After(tx.Now()) && !slices.ContainsFunc(out, func(q billing.Plan) bool { return q.Name() == p.Name() }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// lacking is what the services in force use and the terms do not allow.
func lacking(ctx context.Context, tx Tx, s billing.Subscription) ([]Lack, error) {
	documents, err := tx.LiveDocuments(ctx)
	if err != nil {
		return nil, err
	}
	var out []Lack
	for name, d := range documents {
		for _, n := range d.Needs() {
			if !s.Has(n.Feature) {
				out = append(out, Lack{name, n.Feature, n.Why})
			}
		}
	}
	slices.SortFunc(out, func(a, b Lack) int { return strings.Compare(a.Service+string(a.Feature), b.Service+string(b.Feature)) })
	return out, nil
}

// Wish is what a tenant wants to agree to.
type Wish struct {
	Plan   string
	AddOns []string
	Later  bool // from the next period on; otherwise from now on
	Note   string
}

// Preview is what a wish would change.
type Preview struct {
	Subscription billing.Subscription // as it would be
	Month        rating.Result        // what the present month would come to with the usage so far, both plans shared out
	Now          rating.Result        // what it comes to without the change
	Full         rating.Result        // what a whole month with the usage so far would cost under the new terms
}

// Preview says what a change would cost, and changes nothing. It is refused for the same reasons as the change.
func (m *Manager) Preview(ctx context.Context, who auth.Principal, w Wish) (out Preview, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		if out.Subscription, err = agree(ctx, tx, who, list, w); err != nil {
			return err
		}
		p, err := periodNow(ctx, tx)
		if err != nil {
			return err
		}
		if out.Now, err = rate(ctx, tx, p, list); err != nil {
			return err
		}
		if out.Month, err = rate(ctx, tx, p, append(slices.Clone(list), out.Subscription)); err != nil {
			return err
		}
		usage, err := tx.QuantitiesIn(ctx, p.Start(), p.End())
		if err != nil {
			return err
		}
		out.Full, err = Month(out.Subscription.Plan, out.Subscription.AddOns, usage)
		return err
	})
	return out, err
}

// rate is what a period's usage comes to under the agreements.
func rate(ctx context.Context, tx Tx, p billing.Period, list []billing.Subscription) (rating.Result, error) {
	agreements := billing.Agreements(list, p.Start(), p.End())
	usage := make([][]billing.Quantity, len(agreements))
	for i, a := range agreements {
		var err error
		if usage[i], err = tx.QuantitiesIn(ctx, a.Start, a.End); err != nil {
			return rating.Result{}, err
		}
	}
	return rating.RateMonth(rating.Agreed(p.Start(), p.End(), agreements, usage, zero))
}

// Subscribe agrees to a plan, from now on or from the next period on. What was agreed for a time that has begun stays as it is.
func (m *Manager) Subscribe(ctx context.Context, who auth.Principal, w Wish) (out Present, err error) {
	if err := who.May(auth.EditSubscription); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if err := tx.LockSubscriptions(ctx); err != nil {
			return err
		}
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		s, err := agree(ctx, tx, who, list, w)
		if err != nil {
			return err
		}
		for _, old := range list { // a change that waits is overtaken
			if old.From.After(tx.Now()) {
				if _, err := tx.WithdrawSubscription(ctx, old.ID); err != nil {
					return err
				}
			}
		}
		if err := tx.AddSubscription(ctx, s); err != nil {
			return err
		}
		detail := map[string]any{"plan": s.Plan.Name(), "version": s.Plan.Card.Version, "addOns": s.AddOns, "from": s.From}
		if s.Note != "" {
			detail["note"] = s.Note
		}
		if err := tx.Audit(ctx, who.Did("subscription.changed", s.Plan.Name(), detail)); err != nil {
			return err
		}
		if err := tx.Emit(ctx, "subscription.changed", uuid.Nil, detail); err != nil {
			return err
		}
		out, err = present(ctx, tx)
		return err
	})
	return out, err
}

// agree makes the subscription of a wish, or says why it cannot be.
func agree(ctx context.Context, tx Tx, who auth.Principal, list []billing.Subscription, w Wish) (billing.Subscription, error) {
	plans, err := choices(ctx, tx)
	if err != nil {
		return billing.Subscription{}, err
	}
	i := slices.IndexFunc(plans, func(p billing.Plan) bool { return p.Name() == w.Plan })
	if i < 0 {
		var names []string
		for _, p := range plans {
			names = append(names, p.Name())
		}
		return billing.Subscription{}, fault.New(fault.Invalid, "plans.plan_unknown", "There is no plan %q to choose; there are %s.", w.Plan, strings.Join(names, ", ")).
			At(fault.Field{Pointer: "/plan", Code: "plans.plan_unknown", Message: "Unknown plan."})
	}
	features, _, err := addOns(plans[i], w.AddOns)
	if err != nil {
		return billing.Subscription{}, err
	}
	features = slices.DeleteFunc(features, func(f billing.Feature) bool { return slices.Contains(plans[i].Allows.Features, f) }) // it is there already
	held := billing.SubscriptionAt(list, tx.Now())
	s := billing.Subscription{ID: uuid.Must(uuid.NewV7()), Plan: plans[i], AddOns: features, Coupons: held.Coupons, From: tx.Now(), CreatedAt: tx.Now(), CreatedBy: who.ID, Note: w.Note}
	if held.TrialUntil.After(tx.Now()) && !w.Later {
		s.TrialUntil = held.TrialUntil // a trial is of Syncline, not of one plan
	}
	if w.Later {
		p, err := periodNow(ctx, tx)
		if err != nil {
			return billing.Subscription{}, err
		}
		s.From = p.End()
	}
	last := held
	if n := len(list); n > 0 {
		last = list[n-1]
	}
	if last.Plan.Name() == s.Plan.Name() && last.Plan.Card.Version == s.Plan.Card.Version && slices.Equal(last.AddOns, s.AddOns) && (last.From.After(tx.Now()) == w.Later || len(list) == 0) {
		return billing.Subscription{}, fault.New(fault.Conflict, "plans.unchanged", "This is what holds already; choose another plan or other add-ons.")
	}
	if held.Plan.Card.Currency != s.Plan.Card.Currency && !w.Later {
		return billing.Subscription{}, fault.New(fault.Conflict, "plans.currency_change", "The plan is in %s and the present one in %s; such a change is made from the next period on.", strings.ToUpper(string(s.Plan.Card.Currency)), strings.ToUpper(string(held.Plan.Card.Currency)))
	}
	lack, err := lacking(ctx, tx, s)
	if err != nil {
		return billing.Subscription{}, err
	}
	if len(lack) > 0 {
		var uses []string
		for _, l := range lack {
			uses = append(uses, fmt.Sprintf("%s %s (%s)", l.Service, l.Why, l.Feature))
		}
		return billing.Subscription{}, fault.New(fault.Conflict, "plans.in_use", "The plan %s does not allow what services in force do: %s. Add the add-ons in brackets, or change the services first.", s.Plan.Card.Title, strings.Join(uses, "; "))
	}
	if limit := s.Plan.Allows.Integrations; limit > 0 {
		documents, err := tx.LiveDocuments(ctx)
		if err != nil {
			return billing.Subscription{}, err
		}
		var n int64
		for _, d := range documents {
			n += int64(len(d.Systems))
		}
		if n > limit {
			return billing.Subscription{}, fault.New(fault.Conflict, "plans.in_use", "The plan %s allows %d connected systems, and %d are in use. Archive services first, or choose a larger plan.", s.Plan.Card.Title, limit, n)
		}
	}
	return s, nil
}

// Withdraw takes back a change that has not begun.
func (m *Manager) Withdraw(ctx context.Context, who auth.Principal) (out Present, err error) {
	if err := who.May(auth.EditSubscription); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		if err := tx.LockSubscriptions(ctx); err != nil {
			return err
		}
		list, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		found := false
		for _, s := range list {
			if s.From.After(tx.Now()) {
				ok, err := tx.WithdrawSubscription(ctx, s.ID)
				if err != nil {
					return err
				}
				found = found || ok
				if err := tx.Audit(ctx, who.Did("subscription.withdrawn", s.Plan.Name(), map[string]any{"plan": s.Plan.Name(), "from": s.From})); err != nil {
					return err
				}
			}
		}
		if !found {
			return fault.New(fault.Conflict, "plans.nothing_scheduled", "No change of the plan is waiting for the next period, so there is none to take back.")
		}
		out, err = present(ctx, tx)
		return err
	})
	return out, err
}
