// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/billing"
	"github.com/syncline-dev/syncline/billing/plans"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/ident"
	"github.com/syncline-dev/syncline/internal/store"
	"github.com/syncline-dev/syncline/internal/tenant"
)

// operatorCommand is for whoever runs the installation. It works on the database itself, as migrate and revenue do: who may reach
// that is an operator.
func operatorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Plans, coupons, trials and credit for a tenant, by whoever runs the installation",
		Long: `Plans, coupons, trials and credit for a tenant, by whoever runs the installation. It works on the database that DATABASE_URL names.
Each act takes a reason, which the tenant's audit log keeps together with your name.

With "grant" a person gets the operators' pages of the dashboard and their API, /v1/operator: docs/operators.md.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(operatorGrantCommand(true), operatorGrantCommand(false), operatorPeopleCommand(), operatorPublishCommand(), operatorTenantsCommand(), operatorPlanCommand(), operatorCouponCommand(), operatorTrialCommand(), operatorCreditCommand())
	return cmd
}

// operate opens the database and acts for the tenant, or with no id for none.
func operate(cmd *cobra.Command, id, by string, fn func(ctx context.Context, m *plans.Manager, who auth.Principal) error) error {
	c, err := readConfig()
	if err != nil {
		return err
	}
	if err := c.needDatabase(); err != nil {
		return err
	}
	var t tenant.ID
	if id != "" {
		parsed, err := ident.Parse(ident.Tenant, id)
		if err != nil {
			return usageError{fmt.Errorf("%q is not the id of a tenant; syncline operator tenants lists them", id)}
		}
		t = tenant.ID(parsed)
	}
	by = byLogin(by)
	db, err := store.Open(cmd.Context(), c.DatabaseURL, store.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(cmd.Context(), plans.NewManager(store.InTx(db, func(tx *store.Tx) plans.Tx { return tx }), store.InOperated(db, func(tx *store.OperatorTx) plans.OperatorTx { return tx })), auth.Operator(t, by))
}

// byLogin is who acts: as they said, or as they are signed in to the machine.
func byLogin(by string) string {
	if by != "" {
		return by
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "operator"
}

// operatorGrantCommand makes a person an operator, or takes that back.
func operatorGrantCommand(grant bool) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use: "grant E-MAIL", Short: "Let a person run the installation from the dashboard and the API", Args: exactly("the e-mail address of somebody who has an account"),
		Example: "  syncline operator grant olga@example.com",
	}
	act, done := (*auth.Manager).GrantOperator, "%s runs the installation now.\n"
	if !grant {
		cmd.Use, cmd.Short, cmd.Example = "revoke E-MAIL", "Take that back", "  syncline operator revoke olga@example.com"
		act, done = (*auth.Manager).RevokeOperator, "%s does not run the installation any more.\n"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withPeople(cmd, func(m *auth.Manager) error {
			u, err := act(m, cmd.Context(), args[0], byLogin(by))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), done, u.Email)
			return err
		})
	}
	cmd.Flags().StringVar(&by, "by", "", "who you are, for the installation's log; your login when absent")
	return cmd
}

func operatorPeopleCommand() *cobra.Command {
	return &cobra.Command{
		Use: "people", Short: "List who runs the installation from the dashboard and the API", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPeople(cmd, func(m *auth.Manager) error {
				list, err := m.Operators(cmd.Context())
				if err != nil {
					return err
				}
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "E-MAIL\tNAME\tSINCE\tBY")
				for _, o := range list {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", o.Email, o.Name, o.Since.UTC().Format(time.DateOnly), o.By)
				}
				return t.Flush()
			})
		},
	}
}

// withPeople opens the database for what is done with accounts. No secret of a tenant's is made or read, so no master key is needed.
func withPeople(cmd *cobra.Command, fn func(*auth.Manager) error) error {
	c, err := readConfig()
	if err != nil {
		return err
	}
	if err := c.needDatabase(); err != nil {
		return err
	}
	db, err := store.Open(cmd.Context(), c.DatabaseURL, store.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(auth.NewManager(db.Operator(), store.InTx(db, func(tx *store.Tx) auth.Tx { return tx }), nil, auth.Options{}))
}

func operatorPublishCommand() *cobra.Command {
	var file, reason, by, from string
	cmd := &cobra.Command{
		Use: "publish -f PLAN.json", Short: "Publish a version of a plan for all tenants, or a new plan", Args: cobra.NoArgs,
		Long: `Publish a version of a plan for all tenants, or a new plan. It is for whoever agrees from its time on; agreements that were made keep theirs.
docs/operators.md describes the file.`,
		Example: `  syncline operator publish -f team.json --from 2027-01-01T00:00:00Z --reason "The price list of 2027"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := planFile(file, from, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return operate(cmd, "", by, func(ctx context.Context, m *plans.Manager, who auth.Principal) error {
				out, err := m.PublishForAll(ctx, who, p, reason)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, version %d, can be chosen from %s on.\n", out.Name(), out.Card.Version, out.From.UTC().Format(time.RFC3339))
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the plan; - for standard input")
	cmd.Flags().StringVar(&from, "from", "", "from when on it can be chosen; now when absent")
	because(cmd, &reason, &by)
	return cmd
}

// planFile reads a plan and the time it is from.
func planFile(file, from string, in io.Reader) (p billing.Plan, err error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return p, usageError{fmt.Errorf("reading the plan: %w", err)}
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	if p, err = plans.ReadPlan(in); err != nil {
		return p, usageError{err}
	}
	if from != "" {
		if p.From, err = time.Parse(time.RFC3339, from); err != nil {
			return p, usageError{fmt.Errorf("--from is a time such as 2027-01-01T00:00:00Z, not %q", from)}
		}
	}
	return p, nil
}

// because adds the flags that each act has.
func because(cmd *cobra.Command, reason, by *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why; the tenant's audit log keeps it")
	cmd.Flags().StringVar(by, "by", "", "who you are, for the audit log; your login when absent")
}

func operatorTenantsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "tenants", Short: "List the tenants", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig()
			if err != nil {
				return err
			}
			if err := c.needDatabase(); err != nil {
				return err
			}
			db, err := store.Open(cmd.Context(), c.DatabaseURL, store.Options{MaxConns: 2})
			if err != nil {
				return err
			}
			defer db.Close()
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "TENANT\tNAME\tSTATE\tSINCE")
			err = db.Operator().EachTenant(cmd.Context(), func(v tenant.Tenant) error {
				_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", ident.Format(ident.Tenant, v.ID), v.Name, v.State, v.CreatedAt.Format(time.DateOnly))
				return err
			})
			if err != nil {
				return err
			}
			return t.Flush()
		},
	}
}

func operatorPlanCommand() *cobra.Command {
	var file, reason, by, from string
	cmd := &cobra.Command{
		Use: "plan TENANT -f PLAN.json", Short: "Make a plan for one tenant, or a new version of one", Args: exactly("the id of a tenant"),
		Long: `Make a plan for one tenant, or a new version of one. The file has the form in which GET /v1/plans shows plans' rate cards; docs/billing.md has an
example. A version is never changed, and the tenant is on another one only once it was agreed to.`,
		Example: `  syncline operator plan ten_069w3jzff1r00010400000000g -f example-ltd.json --from 2027-01-01T00:00:00Z --reason "Contract 2027"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := planFile(file, from, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return operate(cmd, args[0], by, func(ctx context.Context, m *plans.Manager, who auth.Principal) error {
				out, err := m.Publish(ctx, who, p, reason)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, version %d, can be chosen from %s on.\n", out.Name(), out.Card.Version, out.From.UTC().Format(time.RFC3339))
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the plan; - for standard input")
	cmd.Flags().StringVar(&from, "from", "", "from when on it can be chosen; now when absent")
	because(cmd, &reason, &by)
	return cmd
}

func operatorCouponCommand() *cobra.Command {
	var title, percent, amount, reason, by string
	var months int
	var end bool
	cmd := &cobra.Command{
		Use: "coupon TENANT COUPON", Short: "Take something off a tenant's invoices, or end that", Args: exactly("the id of a tenant", "an id for the coupon"),
		Example: `  syncline operator coupon ten_069w3jzff1r00010400000000g launch --title "Launch offer" --percent 20 --months 6 --reason "Signed in the launch week"
  syncline operator coupon ten_069w3jzff1r00010400000000g launch --end --reason "Agreed with the customer"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := billing.Coupon{ID: args[1], Title: title}
			for _, f := range []struct {
				name, text string
				into       *decimal.Decimal
			}{{"percent", percent, &c.Percent}, {"amount", amount, &c.Amount}} {
				if f.text == "" {
					continue
				}
				d, err := decimal.NewFromString(f.text)
				if err != nil {
					return usageError{fmt.Errorf("--%s is a number, not %q", f.name, f.text)}
				}
				*f.into = d
			}
			return operate(cmd, args[0], by, func(ctx context.Context, m *plans.Manager, who auth.Principal) error {
				var err error
				if end {
					_, err = m.EndCoupon(ctx, who, args[1], reason)
				} else {
					_, err = m.GrantCoupon(ctx, who, c, months, reason)
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: done. The draft of the present month shows it.\n", args[1])
				return err
			})
		},
	}
	cmd.Flags().StringVar(&title, "title", "", "what stands on the invoices")
	cmd.Flags().StringVar(&percent, "percent", "", "a share, 20 for a fifth")
	cmd.Flags().StringVar(&amount, "amount", "", "or an amount, at most what there is to pay")
	cmd.Flags().IntVar(&months, "months", 1, "for how many months' invoices, the present one's first; 0 for ever")
	cmd.Flags().BoolVar(&end, "end", false, "end it: the present month is charged without it")
	because(cmd, &reason, &by)
	return cmd
}

func operatorTrialCommand() *cobra.Command {
	var until, reason, by string
	cmd := &cobra.Command{
		Use: "trial TENANT --until TIME", Short: "Make everything free until a time", Args: exactly("the id of a tenant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return usageError{fmt.Errorf("--until is a time such as 2027-01-01T00:00:00Z, not %q", until)}
			}
			return operate(cmd, args[0], by, func(ctx context.Context, m *plans.Manager, who auth.Principal) error {
				if _, err := m.GrantTrial(ctx, who, at, reason); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "Free until %s.\n", at.UTC().Format(time.RFC3339))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&until, "until", "", "the end of the trial")
	because(cmd, &reason, &by)
	return cmd
}

func operatorCreditCommand() *cobra.Command {
	var amount, currency, expires, withdraw, reason, by string
	cmd := &cobra.Command{
		Use: "credit TENANT", Short: "Give a tenant credit, take the rest of it back, or list it", Args: exactly("the id of a tenant"),
		Example: `  syncline operator credit ten_069w3jzff1r00010400000000g --amount 250 --expires 2027-06-30T22:00:00Z --reason "The outage of 3 November"
  syncline operator credit ten_069w3jzff1r00010400000000g`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return operate(cmd, args[0], by, func(ctx context.Context, m *plans.Manager, who auth.Principal) error {
				switch {
				case withdraw != "":
					id, err := ident.Parse(ident.Credit, withdraw)
					if err != nil {
						return err
					}
					return m.WithdrawCredit(ctx, who, id, reason)
				case amount != "":
					d, err := decimal.NewFromString(amount)
					if err != nil {
						return usageError{fmt.Errorf("--amount is an amount such as 250.00, not %q", amount)}
					}
					c := billing.Credit{Amount: billing.Money{Amount: d, Currency: billing.Currency(currency)}}
					if expires != "" {
						if c.ExpiresAt, err = time.Parse(time.RFC3339, expires); err != nil {
							return usageError{fmt.Errorf("--expires is a time such as 2027-06-30T22:00:00Z, not %q", expires)}
						}
					}
					if c, err = m.GrantCredit(ctx, who, c, reason); err != nil {
						return err
					}
					_, err = fmt.Fprintln(cmd.OutOrStdout(), ident.Format(ident.Credit, c.ID))
					return err
				}
				list, err := m.Credits(ctx, who)
				if err != nil {
					return err
				}
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "CREDIT\tAMOUNT\tLEFT\tEXPIRES\tBY\tREASON")
				for _, c := range list {
					ends := "never"
					if !c.ExpiresAt.IsZero() {
						ends = c.ExpiresAt.UTC().Format(time.DateOnly)
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", ident.Format(ident.Credit, c.ID), c.Amount, c.Left(), ends, c.GrantedBy, c.Reason)
				}
				return t.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&amount, "amount", "", "how much")
	cmd.Flags().StringVar(&currency, "currency", string(billing.USD), "of the amount")
	cmd.Flags().StringVar(&expires, "expires", "", "it pays invoices of months that end until then; never when absent")
	cmd.Flags().StringVar(&withdraw, "withdraw", "", "the id of a credit whose rest is taken back")
	because(cmd, &reason, &by)
	return cmd
}
