// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

// What waits for a person: conflicts, dead letters with the records in quarantine among them, and approvals. Each list exits with 1
// when something in it waits, so that a script can ask.

// maybe is a text of the API that can be null; Get fails then.
type maybe interface{ Get() (string, error) }

// every reads all pages of a list.
func every[T any](fetch func(cursor *string) (data []T, next maybe, err error)) (all []T, err error) {
	var cursor *string
	all = []T{} // an empty list in JSON, too
	for {
		data, next, err := fetch(cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, data...)
		at, err := next.Get()
		if err != nil {
			return all, nil // it was the last page
		}
		cursor = &at
	}
}

// atMostOne requires the name of one service, or nothing.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("%s takes the name of one service, or none for all", cmd.Name())}
	}
	return nil
}

// given is a pointer to what was said, nil for nothing.
func given[S ~string](text S) *S {
	if text == "" {
		return nil
	}
	return &text
}

// atMost is a limit as the API takes it.
func atMost(n int) *client.Limit {
	limit := client.Limit(n)
	return &limit
}

func firstOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// typed reads a value that was written on the command line: JSON where it is such, else the text itself.
func typed(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	b, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage("null") // text always encodes
	}
	return b
}

// assignments reads FIELD=VALUE as written on the command line.
func assignments(list []string) (map[string]json.RawMessage, error) {
	fields := make(map[string]json.RawMessage)
	for _, a := range list {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("write FIELD=VALUE, not %q", a)}
		}
		fields[name] = typed(value)
	}
	return fields, nil
}

// waits ends a list: exit code 1 when something in it waits.
func (s *session) waits(n int, how string) error {
	if n == 0 {
		return nil
	}
	s.say("%d wait for somebody: %s", n, how)
	return exitWith(exitFailed)
}

// inbox is how a list of what waits for somebody is shown.
type inbox[T any] struct {
	none  string // what is said when there is nothing
	head  []any
	row   func(*T) []any
	waits func(*T) bool
	how   string // what somebody may do
}

// show shows the list; the exit code is 1 when any of it waits.
func (in *inbox[T]) show(s *session, list []T) error {
	switch {
	case s.json:
		if err := s.printJSON(list); err != nil {
			return err
		}
	case len(list) == 0:
		s.say("%s", in.none)
	default:
		err := s.table(func(row func(...any)) {
			row(in.head...)
			for i := range list {
				row(in.row(&list[i])...)
			}
		})
		if err != nil {
			return err
		}
	}
	waiting := 0
	for i := range list {
		if in.waits(&list[i]) {
			waiting++
		}
	}
	return s.waits(waiting, in.how)
}

func conflictsCommand() *cobra.Command {
	var all bool
	var field string
	cmd := &cobra.Command{
		Use:   "conflicts [SERVICE]",
		Short: "Where systems disagree and a person decides",
		Long: `Where systems disagree and a person decides. Without a verb it lists those that wait, of one service or of all, and exits with 1 when
there are any.`,
		Example: `  syncline conflicts
  syncline conflicts stock --field price --all
  syncline conflicts show cfl_069w3jzff1r00010400000000g
  syncline conflicts resolve cfl_069w3jzff1r00010400000000g --side warehouse --reason "Counted by hand"
  syncline conflicts what-if stock --strategy sourceWins --field quantity`,
		Args: atMostOne,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			return s.conflicts(ctx, firstOf(args), field, all)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that were decided, too")
	cmd.Flags().StringVar(&field, "field", "", "only of this field")
	cmd.AddCommand(conflictAlertsCommand(), conflictStatsCommand(), conflictShowCommand(), conflictResolveCommand(), conflictWhatIfCommand())
	return cmd
}

func (s *session) conflicts(ctx context.Context, service, field string, all bool) error {
	params := &client.ListConflictsParams{FilterService: given(service), FilterField: given(field)}
	if !all {
		open := client.ConflictStateOpen
		params.FilterState = &open
	}
	list, err := every(func(cursor *string) (data []client.Conflict, next maybe, err error) {
		params.Cursor = cursor
		res, err := s.api.ListConflictsWithResponse(ctx, params)
		if err != nil {
			return nil, next, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, next, err
		}
		return res.JSON200.Data, res.JSON200.NextCursor, nil
	})
	if err != nil {
		return err
	}
	in := inbox[client.Conflict]{
		none: "No conflict.", how: "syncline conflicts resolve CONFLICT --side SYSTEM",
		head: []any{"CONFLICT", "SERVICE", "RECORD", "FIELD", "STATE", "SINCE", "SAYS"},
		row: func(c *client.Conflict) []any {
			return []any{c.ID, c.ServiceName, orElse(c.RecordTitle, c.Record), conflictField(c), c.State, c.OpenedAt.Local().Format(time.DateTime), sidesText(c)}
		},
		waits: func(c *client.Conflict) bool { return c.State == client.ConflictStateOpen },
	}
	return in.show(s, list)
}

func conflictField(c *client.Conflict) string {
	field, err := c.Field.Get()
	if err != nil {
		return "the record itself"
	}
	return field
}

func sidesText(c *client.Conflict) string {
	parts := make([]string, len(c.Sides))
	for i, side := range c.Sides {
		says := short(side.Value)
		if side.Deleted {
			says = "deleted"
		}
		parts[i] = side.System + ": " + says
	}
	return strings.Join(parts, ", ")
}

func conflictShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show CONFLICT", Short: "One conflict", Args: exactly("the id of a conflict"),
		Example: `  syncline conflicts show cfl_069w3jzff1r00010400000000g`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			res, err := s.api.GetConflictWithResponse(ctx, args[0], &client.GetConflictParams{})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.printConflict(res.JSON200)
		}),
	}
}

func (s *session) printConflict(c *client.Conflict) error {
	if s.json {
		return s.printJSON(c)
	}
	if err := s.print("%s is %s: %s of %s in %s\n", c.ID, c.State, conflictField(c), orElse(c.RecordTitle, c.Record), c.ServiceName); err != nil {
		return err
	}
	err := s.table(func(row func(...any)) {
		row("", "SAYS", "SINCE")
		row("agreed on", short(c.Base), "")
		for _, side := range c.Sides {
			at := ""
			if t, err := side.At.Get(); err == nil {
				at = t.Local().Format(time.DateTime)
			}
			says := short(side.Value)
			if side.Deleted {
				says = "deleted"
			}
			row(side.System, says, at)
		}
		if c.State == client.ConflictStateResolved {
			row("became", short(c.Result), c.DecidedBy)
		}
	})
	if err != nil || c.Reason == "" {
		return err
	}
	return s.print("%s\n", c.Reason)
}

func conflictResolveCommand() *cobra.Command {
	var side, value, strategy, reason string
	cmd := &cobra.Command{
		Use: "resolve CONFLICT", Short: "Decide a conflict", Args: exactly("the id of a conflict"),
		Long: `Decide a conflict: with --side the value of a system wins, with --value one of your own, with --strategy a rule. When a side moves while
you decide, nothing is done.`,
		Example: `  syncline conflicts resolve cfl_069w3jzff1r00010400000000g --side warehouse --reason "Counted by hand"
  syncline conflicts resolve cfl_069w3jzff1r00010400000000g --value 12`,
	}
	cmd.Flags().StringVar(&side, "side", "", "the system whose value wins")
	cmd.Flags().StringVar(&value, "value", "", "a value of your own: JSON, or text")
	cmd.Flags().StringVar(&strategy, "strategy", "", "the strategy that decides, as in a document")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	cmd.RunE = withSession(func(ctx context.Context, s *session, args []string) error {
		n := 0
		body := client.Decision{Reason: given(reason), Side: given(side), Strategy: given(strategy)}
		for _, name := range []string{"side", "value", "strategy"} {
			if cmd.Flags().Changed(name) {
				n++
			}
		}
		if n != 1 {
			return usageError{fmt.Errorf("say one of --side, --value and --strategy")}
		}
		if cmd.Flags().Changed("value") {
			body.Value.Set(typed(value))
		}
		now, err := s.api.GetConflictWithResponse(ctx, args[0], &client.GetConflictParams{})
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(now.HTTPResponse, now.Body, nil); err != nil {
			return err
		}
		key, version := uuid.NewString(), strconv.Quote(strconv.FormatInt(now.JSON200.Version, 10))
		res, err := s.api.ResolveConflictWithResponse(ctx, args[0], &client.ResolveConflictParams{IfMatch: &version, IdempotencyKey: &key}, body)
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		s.sayToken(res.HTTPResponse)
		return s.printConflict(res.JSON200)
	})
	return cmd
}

func conflictWhatIfCommand() *cobra.Command {
	var strategy, field, expression, since string
	var priority []string
	cmd := &cobra.Command{
		Use: "what-if SERVICE", Short: "What another strategy would have made of past conflicts", Args: oneService,
		Long:    "What another strategy would have made of past conflicts. Nothing is changed.",
		Example: `  syncline conflicts what-if stock --strategy sourceWins --field quantity`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			if strategy == "" {
				return usageError{fmt.Errorf("say which strategy with --strategy, as in a document")}
			}
			body := client.ReplayRequest{Strategy: strategy, Field: given(field), Expression: given(expression)}
			if len(priority) > 0 {
				body.Priority = &priority
			}
			if since != "" {
				at, err := time.Parse(time.RFC3339, since)
				if err != nil {
					return usageError{fmt.Errorf("--since takes a time such as 2026-11-23T10:00:00Z, not %q", since)}
				}
				body.Since = &at
			}
			res, err := s.api.ReplayConflictsWithResponse(ctx, args[0], body)
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			return s.printReplay(res.JSON200)
		}),
	}
	cmd.Flags().StringVar(&strategy, "strategy", "", "the strategy to try")
	cmd.Flags().StringVar(&field, "field", "", "only conflicts of this field")
	cmd.Flags().StringVar(&expression, "expression", "", "for the strategy custom")
	cmd.Flags().StringSliceVar(&priority, "priority", nil, "for the strategy fieldPriority: systems, the first that holds a value wins")
	cmd.Flags().StringVar(&since, "since", "", "only conflicts opened since, as 2026-11-23T10:00:00Z")
	return cmd
}

func (s *session) printReplay(r *client.ConflictReplay) error {
	if s.json {
		return s.printJSON(r)
	}
	if len(r.Changes) > 0 {
		err := s.table(func(row func(...any)) {
			row("CONFLICT", "RECORD", "FIELD", "BECAME", "WOULD BE", "WHY")
			for i := range r.Changes {
				c := &r.Changes[i]
				row(c.Conflict, orElse(c.RecordTitle, c.Record), c.Field, short(c.Result), short(c.WouldBe), c.Reason)
			}
		})
		if err != nil {
			return err
		}
	}
	s.say("Of %d conflicts %d would end the same, %d differently, and %d would wait for a person.", r.Conflicts, r.Same, r.Different, r.Left)
	if r.Decided > 0 {
		s.say("People decided %d of them, %d as this strategy would have.", r.Decided, r.Agreed)
	}
	return nil
}

func conflictAlertsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "alerts [SERVICE]", Short: "Times that systems disagreed often", Args: atMostOne,
		Long:    "Times that so many conflicts arose within a time that the document (syncConfig.conflictAlerts) wants people told, of one service or of all.",
		Example: "  syncline conflicts alerts stock",
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			params := &client.ListConflictAlertsParams{FilterService: given(firstOf(args))}
			list, err := every(func(cursor *string) (data []client.ConflictAlert, next maybe, err error) {
				params.Cursor = cursor
				res, err := s.api.ListConflictAlertsWithResponse(ctx, params)
				if err != nil {
					return nil, next, answered(nil, nil, err)
				}
				if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
					return nil, next, err
				}
				return res.JSON200.Data, res.JSON200.NextCursor, nil
			})
			switch {
			case err != nil:
				return err
			case s.json:
				return s.printJSON(list)
			case len(list) == 0:
				s.say("No conflict alert.")
				return nil
			}
			return s.table(func(row func(...any)) {
				row("ALERT", "SERVICE", "FIELD", "CONFLICTS", "TOLD FROM", "AT")
				for i := range list {
					a := &list[i]
					field, err := a.Field.Get()
					if err != nil {
						field = "any"
					}
					row(a.ID, a.ServiceName, field, a.Conflicts, fmt.Sprintf("%d within %s", a.Count, time.Duration(a.WithinSeconds)*time.Second), a.At.Local().Format(time.DateTime))
				}
			})
		}),
	}
}

func conflictStatsCommand() *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use: "stats [SERVICE]", Short: "How many conflicts there were, where, who decided, and whether it held", Args: atMostOne,
		Long: "How many conflicts there were, about which fields, between which systems and with which winner, who decides and how long that takes, and how often\na decision was overturned: the record came to hold what the loser had said. Of one service or of all.",
		Example: `  syncline conflicts stats
  syncline conflicts stats stock --days 7`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			if days < 1 || days > 366 {
				return usageError{fmt.Errorf("--days takes 1 to 366")}
			}
			since := time.Now().AddDate(0, 0, -days)
			res, err := s.api.GetConflictStatisticsWithResponse(ctx, &client.GetConflictStatisticsParams{FilterService: given(firstOf(args)), FilterSince: &since})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			st := res.JSON200
			if s.json {
				return s.printJSON(st)
			}
			if err := s.print("%d conflicts: %d decided by rules, %d by people, %d wait. %d decisions were overturned. People take %s.\n",
				st.Opened, st.ByRule, st.ByPerson, st.Open, st.Overturned, time.Duration(st.WaitedSeconds)*time.Second); err != nil || st.Opened == 0 {
				return err
			}
			return s.table(func(row func(...any)) {
				row("BY", "WHICH", "CONFLICTS", "")
				for i := range st.Fields {
					f := &st.Fields[i]
					field, err := f.Field.Get()
					if err != nil {
						field = "the record"
					}
					row("field", f.ServiceName+" "+field, f.Count, fmt.Sprintf("%d wait", f.Open))
				}
				for _, p := range st.Pairs {
					row("systems", strings.Join(p.Systems, ", "), p.Count, fmt.Sprintf("%s won %d, %s %d", p.Systems[0], p.Won[0], p.Systems[1], p.Won[1]))
				}
				for _, x := range st.Strategies {
					row("strategy", x.Strategy, x.Decided, fmt.Sprintf("%d overturned", x.Overturned))
				}
				for _, p := range st.People {
					row("person", p.Name, p.Decided, fmt.Sprintf("%d overturned, after %s", p.Overturned, time.Duration(p.WaitedSeconds)*time.Second))
				}
			})
		}),
	}
	cmd.Flags().IntVar(&days, "days", 30, "of how many days, up to now")
	return cmd
}

func deadLettersCommand() *cobra.Command {
	var all, causes bool
	var system, code string
	cmd := &cobra.Command{
		Use:     "dead-letters [SERVICE]",
		Aliases: []string{"quarantine"},
		Short:   "Changes that could not be taken in or sent, and records in quarantine",
		Long: `Changes that could not be taken in or sent, and records in quarantine. Without a verb it lists those that wait, of one service or of all,
and exits with 1 when there are any.`,
		Example: `  syncline dead-letters stock --causes
  syncline dead-letters show dlq_069w3jzff1r00010400000000g
  syncline dead-letters edit dlq_069w3jzff1r00010400000000g email=ada@example.com --redrive
  syncline dead-letters redrive dlq_069w3jzff1r00010400000000g --alike
  syncline dead-letters discard dlq_069w3jzff1r00010400000000g --reason "A test record"`,
		Args: atMostOne,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			if causes {
				return s.deadLetterCauses(ctx, firstOf(args))
			}
			return s.deadLetters(ctx, firstOf(args), system, code, all)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that do not wait any more, too")
	cmd.Flags().BoolVar(&causes, "causes", false, "how many there are of each cause")
	cmd.Flags().StringVar(&system, "system", "", "only of this system")
	cmd.Flags().StringVar(&code, "code", "", "only with this error code")
	cmd.AddCommand(deadLetterShowCommand(), deadLetterEditCommand(), deadLetterRedriveCommand(), deadLetterDiscardCommand())
	return cmd
}

func (s *session) deadLetters(ctx context.Context, service, system, code string, all bool) error {
	params := &client.ListDeadLettersParams{FilterService: given(service), FilterSystem: given(system), FilterCode: given(code)}
	if !all {
		open := client.DeadLetterStateOpen
		params.FilterState = &open
	}
	list, err := every(func(cursor *string) (data []client.DeadLetter, next maybe, err error) {
		params.Cursor = cursor
		res, err := s.api.ListDeadLettersWithResponse(ctx, params)
		if err != nil {
			return nil, next, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, next, err
		}
		return res.JSON200.Data, res.JSON200.NextCursor, nil
	})
	if err != nil {
		return err
	}
	in := inbox[client.DeadLetter]{
		none: "No dead letter.", how: "syncline dead-letters redrive DEAD_LETTER, or edit, or discard --reason WHY",
		head: []any{"DEAD LETTER", "SERVICE", "SYSTEM", "", "KEY", "STATE", "TRIES", "LAST", "WHY"},
		row: func(d *client.DeadLetter) []any {
			return []any{d.ID, d.ServiceName, d.System, d.Direction, d.Key, d.State, d.Tries, d.LastAt.Local().Format(time.DateTime), d.Message}
		},
		waits: func(d *client.DeadLetter) bool { return d.State == client.DeadLetterStateOpen },
	}
	return in.show(s, list)
}

func (s *session) deadLetterCauses(ctx context.Context, service string) error {
	res, err := s.api.ListDeadLetterGroupsWithResponse(ctx, &client.ListDeadLetterGroupsParams{FilterService: given(service)})
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	list := res.JSON200.Data
	waiting := 0
	for i := range list {
		waiting += int(list[i].Count)
	}
	switch {
	case s.json:
		if err := s.printJSON(list); err != nil {
			return err
		}
	case len(list) == 0:
		s.say("No dead letter.")
	default:
		err := s.table(func(row func(...any)) {
			row("COUNT", "SERVICE", "SYSTEM", "", "CODE", "WHY")
			for i := range list {
				g := &list[i]
				row(g.Count, g.ServiceName, g.System, g.Direction, g.Code, g.Message)
			}
		})
		if err != nil {
			return err
		}
	}
	return s.waits(waiting, "syncline dead-letters --code CODE lists those of a cause")
}

func (s *session) deadLetter(ctx context.Context, id string) (*client.DeadLetter, error) {
	res, err := s.api.GetDeadLetterWithResponse(ctx, id)
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	return res.JSON200, answered(res.HTTPResponse, res.Body, nil)
}

func (s *session) printDeadLetter(d *client.DeadLetter) error {
	if s.json {
		return s.printJSON(d)
	}
	if err := s.print("%s is %s: %s %s in %s, %s\n%s (%s)\n", d.ID, d.State, d.System, d.Object, d.ServiceName, d.Direction, d.Message, d.Code); err != nil {
		return err
	}
	if field, err := d.Field.Get(); err == nil {
		rule, _ := d.Rule.Get() // "" where only the field is known
		s.say("The field %s breaks the rule %s.", field, rule)
	}
	return s.table(func(row func(...any)) {
		row("FIELD", "THERE", "CORRECTED TO")
		for _, name := range slices.Sorted(maps.Keys(d.Payload)) {
			edit := ""
			if v, there := d.Edit[name]; there {
				edit = short(v)
			}
			row(name, short(d.Payload[name]), edit)
		}
	})
}

func deadLetterShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show DEAD_LETTER", Short: "One dead letter", Args: exactly("the id of a dead letter"),
		Example: `  syncline dead-letters show dlq_069w3jzff1r00010400000000g`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			d, err := s.deadLetter(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printDeadLetter(d)
		}),
	}
}

func deadLetterEditCommand() *cobra.Command {
	var redrive bool
	cmd := &cobra.Command{
		Use: "edit DEAD_LETTER FIELD=VALUE...", Short: "Correct a record in quarantine",
		Long: `Correct a record in quarantine. What is written counts instead of what the system holds when the record is tried again, and the system
is told of it where it takes changes. Values are JSON, or text.`,
		Example: `  syncline dead-letters edit dlq_069w3jzff1r00010400000000g email=ada@example.com quantity=4 --redrive`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{fmt.Errorf("edit takes the id of a dead letter and at least one FIELD=VALUE")}
			}
			return nil
		},
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			fields, err := assignments(args[1:])
			if err != nil {
				return err
			}
			body, err := json.Marshal(map[string]any{"fields": fields})
			if err != nil {
				return err
			}
			now, err := s.deadLetter(ctx, args[0])
			if err != nil {
				return err
			}
			version := strconv.Quote(strconv.FormatInt(now.Version, 10))
			res, err := s.api.EditDeadLetterWithBodyWithResponse(ctx, args[0], &client.EditDeadLetterParams{IfMatch: &version}, "application/merge-patch+json", bytes.NewReader(body))
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if redrive {
				return s.redriveDeadLetter(ctx, args[0])
			}
			return s.printDeadLetter(res.JSON200)
		}),
	}
	cmd.Flags().BoolVar(&redrive, "redrive", false, "try it again at once")
	return cmd
}

func (s *session) redriveDeadLetter(ctx context.Context, id string) error {
	key := uuid.NewString()
	res, err := s.api.RedriveDeadLetterWithResponse(ctx, id, &client.RedriveDeadLetterParams{IdempotencyKey: &key})
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON202)
	}
	return s.print("%s is being tried again\n", id)
}

// letterSelection are the flags that select many dead letters.
type letterSelection struct {
	service, system, code, direction string
	dryRun                           bool
}

func (l *letterSelection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.service, "service", "", "of many: those of this service")
	cmd.Flags().StringVar(&l.system, "system", "", "of many: those of this system")
	cmd.Flags().StringVar(&l.code, "code", "", "of many: those with this error code")
	cmd.Flags().StringVar(&l.direction, "direction", "", "of many: in for those that could not be taken in, out for those that could not be sent")
	cmd.Flags().BoolVar(&l.dryRun, "dry-run", false, "of many: say how many there are, and leave them")
}

// many says whether dead letters are selected, and refuses to be given one besides.
func (l *letterSelection) many(args []string) (bool, error) {
	selects := l.service != "" || l.system != "" || l.code != "" || l.direction != ""
	switch {
	case selects && len(args) > 0:
		return false, usageError{fmt.Errorf("name a dead letter, or select many with --service, --system, --code and --direction, not both")}
	case !selects && len(args) == 0:
		return false, usageError{fmt.Errorf("name a dead letter, or select many with --service, --system, --code or --direction")}
	}
	return selects, nil
}

func (s *session) printDecided(d *client.DeadLettersDecided, dryRun bool, done string) error {
	switch {
	case s.json:
		return s.printJSON(d)
	case dryRun:
		return s.print("%d are selected\n", d.Selected)
	case d.Remaining > 0:
		return s.print("%d %s; %d are left: repeat it\n", d.Done, done, d.Remaining)
	}
	return s.print("%d %s\n", d.Done, done)
}

func deadLetterRedriveCommand() *cobra.Command {
	var alike bool
	var of letterSelection
	cmd := &cobra.Command{
		Use: "redrive [DEAD_LETTER]", Short: "Try dead letters again", Args: atMostOne,
		Long: `Try a dead letter again, all of its cause, or those selected by service, system, code and direction, at most 500 at a time.`,
		Example: `  syncline dead-letters redrive dlq_069w3jzff1r00010400000000g --alike
  syncline dead-letters redrive --service stock --code mysql.value_refused --dry-run`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			many, err := of.many(args)
			if err != nil {
				return err
			}
			key := uuid.NewString()
			if many {
				res, err := s.api.RedriveDeadLettersWithResponse(ctx, &client.RedriveDeadLettersParams{IdempotencyKey: &key}, client.DeadLetterSelection{
					Service: given(of.service), System: given(of.system), Code: given(of.code), Direction: (*client.DeadLetterSelectionDirection)(given(of.direction)), DryRun: &of.dryRun})
				if err != nil {
					return answered(nil, nil, err)
				}
				if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
					return err
				}
				return s.printDecided(res.JSON200, of.dryRun, "are being tried again")
			}
			if !alike {
				return s.redriveDeadLetter(ctx, args[0])
			}
			res, err := s.api.RedriveAlikeWithResponse(ctx, args[0], &client.RedriveAlikeParams{IdempotencyKey: &key})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON202)
			}
			return s.print("%d are being tried again\n", res.JSON202.Redriven)
		}),
	}
	cmd.Flags().BoolVar(&alike, "alike", false, "all that wait of the same cause, at most 500 at a time")
	of.flags(cmd)
	return cmd
}

func deadLetterDiscardCommand() *cobra.Command {
	var reason string
	var of letterSelection
	cmd := &cobra.Command{
		Use: "discard [DEAD_LETTER] --reason WHY", Short: "Give changes up", Args: atMostOne,
		Long: `Give a change up, or those selected by service, system, code and direction, at most 500 at a time: the systems stay different, on purpose.`,
		Example: `  syncline dead-letters discard dlq_069w3jzff1r00010400000000g --reason "A test record"
  syncline dead-letters discard --service stock --system shop --reason "Test records" --dry-run`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			many, err := of.many(args)
			if err != nil {
				return err
			}
			if reason == "" {
				return usageError{fmt.Errorf("say why with --reason; it is kept")}
			}
			key := uuid.NewString()
			if many {
				res, err := s.api.DiscardDeadLettersWithResponse(ctx, &client.DiscardDeadLettersParams{IdempotencyKey: &key}, client.DeadLetterDiscards{
					Service: given(of.service), System: given(of.system), Code: given(of.code), Direction: (*client.DeadLetterDiscardsDirection)(given(of.direction)), DryRun: &of.dryRun, Reason: reason})
				if err != nil {
					return answered(nil, nil, err)
				}
				if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
					return err
				}
				return s.printDecided(res.JSON200, of.dryRun, "are given up")
			}
			res, err := s.api.DiscardDeadLetterWithResponse(ctx, args[0], &client.DiscardDeadLetterParams{IdempotencyKey: &key}, client.Discard{Reason: reason})
			if err != nil {
				return answered(nil, nil, err)
			}
			if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(res.JSON200)
			}
			return s.print("%s is given up\n", args[0])
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	of.flags(cmd)
	return cmd
}

func approvalsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "approvals [SERVICE]",
		Short: "Records that wait for a yes",
		Long: `Records that business rules left to people. Without a verb it lists those that wait, of one service or of all, and exits with 1 when there
are any.`,
		Example: `  syncline approvals
  syncline approvals approve act_069w3jzff1r00010400000000g --reason "Checked with the customer"
  syncline approvals reject act_069w3jzff1r00010400000000g --reason "A typing error"`,
		Args: atMostOne,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			return s.approvals(ctx, firstOf(args), all)
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything that rules did, decided or not")
	cmd.AddCommand(approvalAnswerCommand("approve"), approvalAnswerCommand("reject"))
	return cmd
}

// ruleActions lists what business rules did with records, all pages.
func (s *session) ruleActions(ctx context.Context, params *client.ListRuleActionsParams) ([]client.RuleAction, error) {
	return every(func(cursor *string) (data []client.RuleAction, next maybe, err error) {
		params.Cursor = cursor
		res, err := s.api.ListRuleActionsWithResponse(ctx, params)
		if err != nil {
			return nil, next, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, next, err
		}
		return res.JSON200.Data, res.JSON200.NextCursor, nil
	})
}

func (s *session) approvals(ctx context.Context, service string, all bool) error {
	params := &client.ListRuleActionsParams{FilterService: given(service)}
	if !all {
		open := client.RuleActionStateOpen
		params.FilterState = &open
	}
	list, err := s.ruleActions(ctx, params)
	if err != nil {
		return err
	}
	in := inbox[client.RuleAction]{
		none: "Nothing waits for approval.", how: "syncline approvals approve ACTION, or reject ACTION",
		head: []any{"ACTION", "SERVICE", "RECORD", "RULE", "DOES", "STATE", "SINCE", "BY"},
		row: func(a *client.RuleAction) []any {
			return []any{a.ID, a.ServiceName, orElse(a.RecordTitle, a.Record), a.Rule, a.Action, a.State, a.At.Local().Format(time.DateTime), a.DecidedBy}
		},
		waits: func(a *client.RuleAction) bool { return a.State == client.RuleActionStateOpen },
	}
	return in.show(s, list)
}

func approvalAnswerCommand(verb string) *cobra.Command {
	var reason string
	what := map[string][2]string{
		"approve": {"Say yes: the record goes on, when nothing else about it waits", "goes on"},
		"reject":  {"Say no: the record is sent nowhere while it meets the rule", "is sent nowhere"},
	}[verb]
	cmd := &cobra.Command{
		Use: verb + " ACTION", Short: what[0], Args: exactly("the id of what waits"),
		Example: "  syncline approvals " + verb + ` act_069w3jzff1r00010400000000g --reason "Checked"`,
		RunE: withSession(func(ctx context.Context, s *session, args []string) error {
			key := uuid.NewString()
			var a *client.RuleAction
			var err error
			if verb == "approve" {
				res, sent := s.api.ApproveRuleActionWithResponse(ctx, args[0], &client.ApproveRuleActionParams{IdempotencyKey: &key}, client.RuleAnswer{Reason: given(reason)})
				if sent != nil {
					return answered(nil, nil, sent)
				}
				a, err = res.JSON200, answered(res.HTTPResponse, res.Body, nil)
			} else {
				res, sent := s.api.RejectRuleActionWithResponse(ctx, args[0], &client.RejectRuleActionParams{IdempotencyKey: &key}, client.RuleAnswer{Reason: given(reason)})
				if sent != nil {
					return answered(nil, nil, sent)
				}
				a, err = res.JSON200, answered(res.HTTPResponse, res.Body, nil)
			}
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(a)
			}
			return s.print("%s: %s in %s %s\n", a.ID, orElse(a.RecordTitle, a.Record), a.ServiceName, what[1])
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	return cmd
}
