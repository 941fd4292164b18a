// SPDX-License-Identifier: Apache-2.0

package plans

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
	"github.com/syncline-dev/syncline/internal/service"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// Budgets are the tenant's, by name, with what was reached in the present month.
func (m *Manager) Budgets(ctx context.Context, who auth.Principal) (out []billing.Budget, err error) {
	if err := who.May(auth.ViewInvoices); err != nil {
		return nil, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) (err error) {
		out, err = budgets(ctx, tx)
		return err
	})
	return out, err
}

func budgets(ctx context.Context, tx Tx) ([]billing.Budget, error) {
	p, err := periodNow(ctx, tx)
	if err != nil {
		return nil, err
	}
	return tx.Budgets(ctx, p.Month)
}

// Budget is one of them.
func (m *Manager) Budget(ctx context.Context, who auth.Principal, id uuid.UUID) (billing.Budget, error) {
	list, err := m.Budgets(ctx, who)
	if err != nil {
		return billing.Budget{}, err
	}
	return findBudget(list, id)
}

func findBudget(list []billing.Budget, id uuid.UUID) (billing.Budget, error) {
	if i := slices.IndexFunc(list, func(b billing.Budget) bool { return b.ID == id }); i >= 0 {
		return list[i], nil
	}
	return billing.Budget{}, fault.New(fault.NotFound, "budget.not_found", "There is no budget with this id; list the budgets and use one of their ids.")
}

// AddBudget makes a budget.
func (m *Manager) AddBudget(ctx context.Context, who auth.Principal, b billing.Budget) (billing.Budget, error) {
	if err := who.May(auth.EditSubscription); err != nil {
		return b, err
	}
	if err := b.Check(); err != nil {
		return b, err
	}
	err := m.inTx(ctx, who.Tenant, func(tx Tx) error {
		b.ID, b.CreatedAt, b.CreatedBy, b.Version = uuid.Must(uuid.NewV7()), tx.Now(), who.ID, 1
		added, err := tx.AddBudget(ctx, b)
		if err != nil {
			return err
		}
		if !added {
			return budgetTaken(b.Name)
		}
		return tx.Audit(ctx, who.Did("budget.created", b.Name, map[string]any{"name": b.Name, "amount": b.Amount, "pause": b.Pause}))
	})
	return b, err
}

func budgetTaken(name string) error {
	return fault.New(fault.Conflict, "budget.name_taken", "There is a budget %q already; choose another name.", name).At(fault.Field{Pointer: "/name", Code: "budget.name_taken", Message: "Another budget has this name."})
}

// ChangeBudget changes one; version is the one that was read, 0 for whatever is there.
func (m *Manager) ChangeBudget(ctx context.Context, who auth.Principal, id uuid.UUID, version int64, change func(*billing.Budget)) (out billing.Budget, err error) {
	if err := who.May(auth.EditSubscription); err != nil {
		return out, err
	}
	err = m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err := budgets(ctx, tx)
		if err != nil {
			return err
		}
		if out, err = findBudget(list, id); err != nil {
			return err
		}
		if version != 0 && version != out.Version {
			return budgetStale(out)
		}
		change(&out)
		if err := out.Check(); err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(b billing.Budget) bool { return b.ID != id && b.Name == out.Name }) {
			return budgetTaken(out.Name)
		}
		saved, err := tx.SaveBudget(ctx, out)
		if err != nil {
			return err
		}
		if !saved {
			return budgetStale(out)
		}
		out.Version++
		return tx.Audit(ctx, who.Did("budget.changed", out.Name, map[string]any{"name": out.Name, "amount": out.Amount, "pause": out.Pause}))
	})
	return out, err
}

func budgetStale(b billing.Budget) error {
	return fault.New(fault.Stale, "budget.version_stale", "Somebody changed the budget %s since it was read. Read it again and decide anew.", b.Name)
}

// RemoveBudget removes one.
func (m *Manager) RemoveBudget(ctx context.Context, who auth.Principal, id uuid.UUID, version int64) error {
	if err := who.May(auth.EditSubscription); err != nil {
		return err
	}
	return m.inTx(ctx, who.Tenant, func(tx Tx) error {
		list, err := budgets(ctx, tx)
		if err != nil {
			return err
		}
		b, err := findBudget(list, id)
		if err != nil {
			return err
		}
		if version != 0 && version != b.Version {
			return budgetStale(b)
		}
		removed, err := tx.DropBudget(ctx, b)
		if err != nil {
			return err
		}
		if !removed {
			return budgetStale(b)
		}
		return tx.Audit(ctx, who.Did("budget.removed", b.Name, map[string]any{"name": b.Name, "amount": b.Amount}))
	})
}

// WatchBudgets tells people of the parts of their budgets that the present month has reached, each once a month, and pauses the
// services of a tenant whose budget says so. Any number of processes may look; the notice's key makes one of them tell. Notice,
// pause and what is told of both are one commit: a budget that was told to be used up has paused the services. It says how many
// notices were given.
func (m *Manager) WatchBudgets(ctx context.Context, id tenant.ID) (told int, err error) {
	err = m.inTx(ctx, id, func(tx Tx) error {
		told = 0
		pause := ""
		list, err := budgets(ctx, tx)
		if err != nil || len(list) == 0 {
			return err
		}
		p, err := periodNow(ctx, tx)
		if err != nil {
			return err
		}
		subs, err := tx.Subscriptions(ctx)
		if err != nil {
			return err
		}
		rated, err := rate(ctx, tx, p, subs)
		if err != nil {
			return err
		}
		for _, b := range list {
			for _, step := range b.ReachedBy(rated.Total.Amount) {
				added, err := tx.AddBudgetNotice(ctx, b.ID, p.Month, step, rated.Total.Amount)
				if err != nil {
					return err
				}
				if !added {
					continue
				}
				told++
				detail := map[string]any{"budget": b.Name, "percent": step, "amount": money(b.Amount), "spent": rated.Total.Fixed(), "currency": string(rated.Total.Currency), "period": p.Month.String()}
				if err := tx.Emit(ctx, "budget.reached", uuid.Nil, detail); err != nil {
					return err
				}
				if err := tx.Audit(ctx, auth.System(id, "budgets").Did("budget.reached", b.Name, detail)); err != nil {
					return err
				}
				if step == 100 && b.Pause {
					pause = b.Name
				}
			}
		}
		if pause == "" {
			return nil
		}
		paused, err := service.PauseAll(ctx, tx, auth.System(id, "budgets"), "the budget "+pause+" is used up")
		if err != nil || paused == 0 {
			return err
		}
		return tx.Emit(ctx, "budget.paused", uuid.Nil, map[string]any{"budget": pause, "services": paused})
	})
	return told, err
}

func money(d decimal.Decimal) string { return d.StringFixed(2) }
