// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/audit"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// What operators do that concerns no single tenant: the price list, and the overview of who agreed to what. It is in the
// installation's log.

// OperatorTx is what that needs of a transaction across tenants.
type OperatorTx interface {
	Now() time.Time

	// Note adds to the installation's log; Notes reads it, newest first, before an entry or from the end.
	Note(ctx context.Context, e audit.Entry) error
	Notes(ctx context.Context, before int64, limit int) ([]audit.Entry, error)

	// LockPriceList lets changes of it go one after the other. PublishedPlans are all versions that were published.
	LockPriceList(ctx context.Context) error
	PublishedPlans(ctx context.Context) ([]billing.Plan, error)
	AddPublishedPlan(ctx context.Context, p billing.Plan, by string) error

	Customers(ctx context.Context, q CustomerQuery) ([]Customer, error)
	Books(ctx context.Context, since billing.Month) ([]Book, error)

	// AddCode says whether the code was free, EndCode whether there was one to end. TakeCode counts a redemption and returns the code
	// as it was before, locked until the commit.
	Codes(ctx context.Context) ([]billing.CouponCode, error)
	AddCode(ctx context.Context, c billing.CouponCode) (bool, error)
	EndCode(ctx context.Context, code string) (billing.CouponCode, bool, error)
	TakeCode(ctx context.Context, code string) (c billing.CouponCode, found bool, err error)

	// Enter makes the rest of the transaction one tenant's own: from then on it sees that tenant's rows and no others.
	Enter(ctx context.Context, id tenant.ID) (Tx, error)
}

// Customer is a tenant as operators see it: what it agreed to and what it owes, and nothing of its records.
type Customer struct {
	tenant.Tenant
	Plan        string // name of the plan it is on
	PlanTitle   string
	PlanVersion int
	From        time.Time // zero: nothing was agreed
	TrialUntil  time.Time
	Next        string // the plan that waits for the next period; "" for none
	NextFrom    time.Time
	Credit      []billing.Money // left, by currency
	Open        []billing.Money // issued and not paid, by currency
}

// CustomerQuery asks for tenants by the order of their coming.
type CustomerQuery struct {
	Search string    // a part of the name or short name
	After  tenant.ID // behind this one; zero from the beginning
	ID     tenant.ID // this one alone; zero for all
	Limit  int
}

// Customers lists tenants.
func (m *Manager) Customers(ctx context.Context, operator auth.Principal, q CustomerQuery) (list []Customer, err error) {
	if err := operator.May(auth.Operate); err != nil {
		return nil, err
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		list, err = tx.Customers(ctx, q)
		for i, c := range list {
			if c.Plan == "" {
				def := billing.DefaultPlan()
				list[i].Plan, list[i].PlanTitle, list[i].PlanVersion = def.Name(), def.Card.Title, def.Card.Version
			}
		}
		return err
	})
	return list, err
}

// Customer is one tenant, or the fault tenant.not_found.
func (m *Manager) Customer(ctx context.Context, operator auth.Principal, id tenant.ID) (Customer, error) {
	list, err := m.Customers(ctx, operator, CustomerQuery{ID: id, Limit: 1})
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "tenant.not_found", "There is no such tenant.")
	}
	if err != nil {
		return Customer{}, err
	}
	return list[0], nil
}

// Notes are entries of the installation's log, newest first, before an entry or from the end.
func (m *Manager) Notes(ctx context.Context, operator auth.Principal, before int64, limit int) (list []audit.Entry, err error) {
	if err := operator.May(auth.Operate); err != nil {
		return nil, err
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		list, err = tx.Notes(ctx, before, limit)
		return err
	})
	return list, err
}

// PriceList is what everybody can choose now. It is public.
func (m *Manager) PriceList(ctx context.Context) (list []billing.Plan, err error) {
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		published, err := tx.PublishedPlans(ctx)
		list = billing.PriceList(published, tx.Now())
		return err
	})
	return list, err
}

// Calculate says what a month of usage costs under a plan of the price list. It is public.
func (m *Manager) Calculate(ctx context.Context, q Question) (Answer, error) {
	list, err := m.PriceList(ctx)
	if err != nil {
		return Answer{}, err
	}
	return Calculate(list, q)
}

// PlanVersion is a version of a plan of the price list.
type PlanVersion struct {
	billing.Plan
	Present bool // it is what can be chosen now
	BuiltIn bool // a part of the program
}

// PlanVersions are all versions of the price list: by plan, the latest first.
func (m *Manager) PlanVersions(ctx context.Context, operator auth.Principal) (out []PlanVersion, err error) {
	if err := operator.May(auth.Operate); err != nil {
		return nil, err
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		published, err := tx.PublishedPlans(ctx)
		if err != nil {
			return err
		}
		slices.SortStableFunc(published, func(a, b billing.Plan) int { return b.Card.Version - a.Card.Version })
		// Of plans that cannot be chosen yet there is no present version; they follow in the order of their names.
		names := billing.PriceList(published, tx.Now().AddDate(1000, 0, 0))
		present := billing.PriceList(published, tx.Now())
		builtIn := billing.Catalog()
		for _, n := range names {
			is := func(p billing.Plan) bool { return p.Name() == n.Name() }
			chosen := slices.IndexFunc(present, is)
			add := func(p billing.Plan, own bool) {
				out = append(out, PlanVersion{Plan: p, BuiltIn: own, Present: chosen >= 0 && present[chosen].Card.Version == p.Card.Version})
			}
			for _, p := range published {
				if is(p) {
					add(p, false)
				}
			}
			if i := slices.IndexFunc(builtIn, is); i >= 0 {
				add(builtIn[i], true)
			}
		}
		return nil
	})
	return out, err
}

var planName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,62}[a-z0-9]$`)

// models are those of the price list; what is made for one tenant is of CustomModel.
var models = []billing.Model{billing.PerSyncModel, billing.PerRecordModel, billing.PerIntegrationModel, billing.PlatformModel}

func malformed(pointer, message, remedy string) error {
	return fault.New(fault.Invalid, "plans.plan_malformed", "The plan cannot be used: %s", message).
		At(fault.Field{Pointer: pointer, Code: "plans.plan_malformed", Message: message, Remedy: remedy})
}

// ReadPlan reads a plan as people write it, in JSON. What is not a member of it is refused.
func ReadPlan(r io.Reader) (p billing.Plan, err error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err = d.Decode(&p); err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is something behind the plan")
		}
	}
	if err != nil {
		return p, fault.Wrap(err, fault.Invalid, "plans.plan_malformed", "The plan cannot be read: %v.", err).
			At(fault.Field{Pointer: "/plan", Code: "plans.plan_malformed", Message: err.Error() + "."})
	}
	return p, nil
}

// draft makes a version of the price list out of what an operator wrote: numbered behind the latest one, and never from a time that
// has begun. It is refused as PublishForAll would refuse it.
func draft(tx OperatorTx, published []billing.Plan, p billing.Plan) (billing.Plan, error) {
	if !planName.MatchString(p.Name()) {
		return p, malformed("/plan/card/name", "a plan has a name of 3 to 64 small letters, digits and hyphens.", `Write it like "platform-team".`)
	}
	if !slices.Contains(models, p.Model) {
		return p, malformed("/plan/model", "the model is per-sync, per-record, per-integration or platform.", "")
	}
	p.Card.Version = 1
	for _, q := range append(billing.Catalog(), published...) {
		if q.Name() != p.Name() {
			continue
		}
		if q.Model != p.Model {
			return p, malformed("/plan/model", "the model of "+q.Name()+" is "+string(q.Model)+", and stays so in all versions.", "Keep the model, or give the plan another name.")
		}
		if q.Card.Version >= p.Card.Version {
			p.Card.Version = q.Card.Version + 1
		}
		if q.From.After(tx.Now()) && !p.From.After(q.From) {
			return p, malformed("/from", "version "+decimal.NewFromInt(int64(q.Card.Version)).String()+" of the plan begins on "+q.From.UTC().Format(time.RFC3339)+", and a later version cannot begin before it.", "Choose a later time.")
		}
	}
	if p.From.Before(tx.Now()) {
		p.From = tx.Now()
	}
	if err := p.Check(); err != nil {
		return p, fault.Wrap(err, fault.Invalid, "plans.plan_malformed", "The plan cannot be used: %v.", err).
			At(fault.Field{Pointer: "/plan", Code: "plans.plan_malformed", Message: err.Error() + "."})
	}
	return p, nil
}

// PublishForAll adds a version to the price list, or a plan. Agreements that were made keep their version; the new one is for whoever
// agrees from its time on.
func (m *Manager) PublishForAll(ctx context.Context, operator auth.Principal, p billing.Plan, reason string) (out billing.Plan, err error) {
	reason, err = allowed(operator, reason)
	if err != nil {
		return out, err
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		if err := tx.LockPriceList(ctx); err != nil {
			return err
		}
		published, err := tx.PublishedPlans(ctx)
		if err != nil {
			return err
		}
		if out, err = draft(tx, published, p); err != nil {
			return err
		}
		if err := tx.AddPublishedPlan(ctx, out, operator.ID); err != nil {
			return err
		}
		return tx.Note(ctx, operator.Did("plan.published", out.Name(), map[string]any{"plan": out.Name(), "version": out.Card.Version, "from": out.From, "reason": reason}))
	})
	return out, err
}

// PlanPreview is what a version would be, and what a month under it would cost beside the present one.
type PlanPreview struct {
	Plan billing.Plan
	Then Answer
	Now  *Answer // under the present version; nil for a new plan
}

// PreviewPlan says what a version would be and cost, and changes nothing.
func (m *Manager) PreviewPlan(ctx context.Context, operator auth.Principal, p billing.Plan, addOnNames []string, u Assumed) (out PlanPreview, err error) {
	if err := operator.May(auth.Operate); err != nil {
		return out, err
	}
	if err := u.check(); err != nil {
		return out, err
	}
	err = m.inOperated(ctx, func(tx OperatorTx) error {
		published, err := tx.PublishedPlans(ctx)
		if err != nil {
			return err
		}
		if out.Plan, err = draft(tx, published, p); err != nil {
			return err
		}
		if out.Then, err = price(out.Plan, addOnNames, u); err != nil {
			return err
		}
		present := billing.PriceList(published, tx.Now())
		if i := slices.IndexFunc(present, func(q billing.Plan) bool { return q.Name() == p.Name() }); i >= 0 {
			// Add-ons that only one of the two versions offers are not compared.
			if a, err := price(present[i], addOnNames, u); err == nil {
				out.Now = &a
			}
		}
		return nil
	})
	return out, err
}

func price(p billing.Plan, addOnNames []string, u Assumed) (a Answer, err error) {
	if a.AddOns, a.Plan, err = addOns(p, addOnNames); err != nil {
		return a, err
	}
	a.Usage, a.Notes = u.cells(a.Plan)
	a.Result, err = Month(a.Plan, a.AddOns, a.Usage)
	return a, err
}
