// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

// Times of following a run.
const (
	lookAgain     = 300 * time.Millisecond // on the run
	sayAgain      = 10 * time.Second       // how it does, where no progress can be drawn
	waitForCancel = 30 * time.Second       // for a run that was asked to stop
	waitForAnswer = 10 * time.Second       // after Ctrl-C, for the id of what was just asked for
)

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run SERVICE",
		Short: "Run a service now, and follow it to its end",
		Long: `Run a service now: all its objects are read from where reading stands. With --all, --source, --object, --from, --to, --records,
--updated-since or --filter it is a backfill instead: those records are read again, behind what happens meanwhile. With --dry-run it is
only found out what that would do. The run is followed to its end. Ctrl-C cancels it; what was committed stays. Exits with 1 unless
everything was applied or equal.`,
		Example: `  syncline run stock
  syncline run stock --source warehouse --updated-since 2026-11-01T00:00:00Z --dry-run
  syncline run stock --source warehouse --records SKU-1,SKU-2 --target shop
  syncline run stock --all --filter 'quantity > 0' --detach`,
		Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.run(cmd.Context(), args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.detach, "detach", false, "do not wait for the end")
	flags.BoolVar(&f.all, "all", false, "read all records again")
	flags.BoolVar(&f.dry, "dry-run", false, "make a plan of it, change nothing")
	flags.StringVar(&f.plan, "plan", "", "the hash of a plan of this run: refused when the world moved on since")
	flags.StringVar(&f.source, "source", "", "the system to read")
	flags.StringSliceVar(&f.targets, "target", nil, "the systems to bring up to date also where nothing changed")
	flags.StringVar(&f.object, "object", "", "a table or other object of the source")
	flags.StringVar(&f.from, "from", "", "the first key of a range")
	flags.StringVar(&f.to, "to", "", "the last key of a range")
	flags.StringSliceVar(&f.records, "records", nil, "keys of the source")
	flags.StringVar(&f.since, "updated-since", "", "records changed since, as 2026-11-23T10:00:00Z")
	flags.StringVar(&f.filter, "filter", "", "an expression on entity fields")
	return cmd
}

type runFlags struct {
	detach, all, dry                              bool
	plan, source, object, from, to, since, filter string
	targets, records                              []string
}

// request is the body of a backfill; nil for a run from where reading stands.
func (f runFlags) request() (*client.RunRequest, error) {
	var out client.RunRequest
	given := f.all || f.dry || f.plan != "" || len(f.targets)+len(f.records) > 0
	set := func(to **string, text string) {
		if text != "" {
			given = true
			*to = &text
		}
	}
	set(&out.SourceSystem, f.source)
	set(&out.Object, f.object)
	set(&out.Plan, f.plan)
	var from, to, filter *string
	set(&from, f.from)
	set(&to, f.to)
	set(&filter, f.filter)
	if from != nil || to != nil {
		out.Range = &struct {
			From *string `json:"from,omitempty"`
			To   *string `json:"to,omitempty"`
		}{from, to}
	}
	var since *time.Time
	if f.since != "" {
		at, err := time.Parse(time.RFC3339, f.since)
		if err != nil {
			return nil, usageError{fmt.Errorf("--updated-since takes a time such as 2026-11-23T10:00:00Z, not %q", f.since)}
		}
		given, since = true, &at
	}
	if filter != nil || since != nil {
		out.Filter = &struct {
			Conditions   *[]map[string]interface{} `json:"conditions,omitempty"`
			Expression   *string                   `json:"expression,omitempty"`
			UpdatedSince *time.Time                `json:"updatedSince,omitempty"`
		}{nil, filter, since}
	}
	if len(f.targets) > 0 {
		out.TargetSystems = &f.targets
	}
	if len(f.records) > 0 {
		out.Records = &f.records
	}
	out.Everything, out.DryRun = &f.all, &f.dry
	if !given {
		return nil, nil
	}
	return &out, nil
}

// outlasting is a context that lasts up to waitForAnswer longer than ctx. What is asked for with it can be cancelled although Ctrl-C came
// while it was asked for: the server may have begun it, and only its answer tells the id.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(waitForAnswer):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}

func (s *session) run(ctx context.Context, service string, f runFlags) error {
	asking, done := outlasting(ctx)
	defer done()
	params := &client.CreateRunParams{IdempotencyKey: uuid.NewString()}
	body, err := f.request()
	if err != nil {
		return err
	}
	var res *client.CreateRunResponse
	if body == nil {
		res, err = s.api.CreateRunWithBodyWithResponse(asking, service, params, "", nil)
	} else {
		res, err = s.api.CreateRunWithResponse(asking, service, params, *body)
	}
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if res.JSON201 != nil {
		p, err := s.followPlan(ctx, res.JSON201)
		if err != nil {
			return err
		}
		if err := s.printServicePlan(p); err != nil {
			return err
		}
		if hash, err := p.Hash.Get(); err == nil {
			s.say("To do exactly this: the same command with --plan %s in place of --dry-run", hash)
		}
		return nil
	}
	return s.followToEnd(ctx, service, res.JSON202, f.detach)
}

// followToEnd shows a run until it is over, unless it is detached, and says how it ended.
func (s *session) followToEnd(ctx context.Context, service string, run *client.Run, detach bool) (err error) {
	if !detach {
		s.say("Run %s of %s. Ctrl-C cancels it.", run.ID, service)
		if run, err = s.follow(ctx, run, s.cancelInterrupted); err != nil {
			return err
		}
		return s.ended(service, run)
	}
	if s.json {
		return s.printJSON(run)
	}
	return s.printRun(run)
}

// ended prints a run that is over, and says how it ended; the exit code is 1 unless everything was applied or equal.
func (s *session) ended(service string, run *client.Run) error {
	if s.json {
		if err := s.printJSON(run); err != nil {
			return err
		}
	} else if err := s.printRun(run); err != nil {
		return err
	}
	switch run.State {
	case client.RunStateSucceeded:
		return nil
	case client.RunStatePartial:
		s.say("Some records are in conflict or dead letters: syncline status %s.", service)
	case client.RunStateFailed:
		if e, err := run.Error.Get(); err == nil {
			s.say("%s (%s)", e.Message, e.Code)
		}
	case client.RunStateCancelled:
		s.say("Cancelled; what was committed stays.")
	}
	return exitWith(exitFailed)
}

func (s *session) getRun(ctx context.Context, id string) (*client.Run, error) {
	res, err := s.api.GetRunWithResponse(ctx, id)
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return nil, err
	}
	return res.JSON200, nil
}

// follow shows a run's progress until it is over. When ctx ends, interrupted says what becomes of it.
func (s *session) follow(ctx context.Context, run *client.Run, interrupted func(context.Context, *client.Run) (*client.Run, error)) (*client.Run, error) {
	p := &progress{s: s, began: time.Now()}
	defer p.done()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		p.show(run)
		if !run.FinishedAt.IsNull() {
			return run, nil
		}
		select {
		case <-ctx.Done():
			p.done()
			return interrupted(ctx, run)
		case <-look.C:
		}
		next, err := s.getRun(ctx, run.ID)
		if ctx.Err() != nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		run = next
	}
}

// cancelInterrupted cancels a run whose follower was interrupted, and follows it on to its end.
func (s *session) cancelInterrupted(ctx context.Context, run *client.Run) (*client.Run, error) {
	s.say("Cancelling; what was committed stays.")
	return s.cancel(context.WithoutCancel(ctx), run.ID)
}

// cancel asks a run to stop, and waits for that.
func (s *session) cancel(ctx context.Context, id string) (*client.Run, error) {
	ctx, stop := context.WithTimeout(ctx, waitForCancel)
	defer stop()
	res, err := s.api.CancelRunWithResponse(ctx, id)
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return nil, err
	}
	run := res.JSON200
	for run.FinishedAt.IsNull() {
		select {
		case <-ctx.Done():
			s.say("It has not stopped yet; it will with its next commit.")
			return run, nil
		case <-time.After(lookAgain):
		}
		if run, err = s.getRun(ctx, id); err != nil {
			return nil, err
		}
	}
	return run, nil
}

// progress draws how far a run is: a bar on a terminal, a line now and then elsewhere.
type progress struct {
	s     *session
	began time.Time
	said  time.Time
	drawn bool
	state client.RunState
}

func (p *progress) show(run *client.Run) {
	if p.s.quiet {
		return
	}
	text := progressText(run, time.Since(p.began))
	if p.s.live {
		p.drawn = true
		_, _ = fmt.Fprintf(p.s.talk, "\r\x1b[K%s", text) // nobody looks any more, then
		return
	}
	if run.State != p.state || time.Since(p.said) >= sayAgain {
		p.state, p.said = run.State, time.Now()
		p.s.say("%s", text)
	}
}

// done ends the line that the bar stands on.
func (p *progress) done() {
	if p.drawn {
		p.drawn = false
		_, _ = fmt.Fprintln(p.s.talk)
	}
}

// progressText is how far a run is, on one line. The time left is said once a twentieth is done, and guessed from the speed so far.
func progressText(run *client.Run, elapsed time.Duration) string {
	done, total := run.Progress.Done, run.Progress.Total
	if total == 0 || run.State == client.RunStateQueued {
		return string(run.State)
	}
	const width = 24
	share := min(1, float64(done)/float64(total))
	full := int(share * width)
	text := fmt.Sprintf("%s [%s%s] %d of %d records", run.State, strings.Repeat("#", full), strings.Repeat(".", width-full), done, total)
	if seconds := elapsed.Seconds(); seconds >= 1 && done > 0 && done < total {
		rate := float64(done) / seconds
		text += fmt.Sprintf(", %.0f/s", rate)
		if share >= 0.05 {
			text += fmt.Sprintf(", %s left", (time.Duration(float64(total-done)/rate) * time.Second).Round(time.Second))
		}
	}
	return text
}

func (s *session) printRun(run *client.Run) error {
	if err := s.print("%s %s\n", run.ID, run.State); err != nil {
		return err
	}
	if len(run.Counts) == 0 {
		return nil
	}
	return s.table(func(row func(...any)) {
		row("SYSTEM", "READ", "EQUAL", "CREATED", "UPDATED", "DELETED", "CONFLICTS", "REJECTED")
		for _, system := range slices.Sorted(maps.Keys(run.Counts)) {
			c := run.Counts[system]
			row(system, c.Read, c.Equal, c.Created, c.Updated, c.Deleted, c.Conflicts, c.Rejected)
		}
	})
}

// table writes rows in columns.
func (s *session) table(write func(row func(cells ...any))) error {
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	var failed error
	write(func(cells ...any) {
		texts := make([]string, len(cells))
		for i, c := range cells {
			texts[i] = fmt.Sprint(c)
		}
		if _, err := fmt.Fprintln(w, strings.Join(texts, "\t")); err != nil {
			failed = err
		}
	})
	if failed != nil {
		return failed
	}
	return w.Flush()
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [SERVICE]",
		Short: "How services do",
		Long:  "How all services do, or one of them system by system.",
		Example: `  syncline status
  syncline status stock --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("status takes the name of one service, or none for all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return s.statusOfAll(cmd.Context())
			}
			return s.statusOf(cmd.Context(), args[0])
		},
	}
}

func (s *session) services(ctx context.Context) ([]client.Service, error) {
	params := &client.ListServicesParams{}
	return every(func(cursor *string) (data []client.Service, next maybe, err error) {
		params.Cursor = cursor
		res, err := s.api.ListServicesWithResponse(ctx, params)
		if err != nil {
			return nil, next, answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return nil, next, err
		}
		return res.JSON200.Data, res.JSON200.NextCursor, nil
	})
}

func (s *session) statusOfAll(ctx context.Context) error {
	all, err := s.services(ctx)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(all)
	}
	if len(all) == 0 {
		s.say("There is no service yet. syncline apply -f FILE makes one.")
		return nil
	}
	return s.table(func(row func(...any)) {
		row("SERVICE", "STATE", "REVISION", "NEXT RUN", "")
		for _, v := range all {
			next := "-"
			if at, err := v.NextRunAt.Get(); err == nil {
				next = at.Local().Format(time.DateTime)
			} else if v.Realtime && v.State == client.ServiceStateActive {
				next = "realtime"
			}
			row(v.Name, v.State, v.Revision, next, v.Reason)
		}
	})
}

func (s *session) statusOf(ctx context.Context, service string) error {
	res, err := s.api.GetServiceStatusWithResponse(ctx, service)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	v := res.JSON200
	if s.json {
		return s.printJSON(v)
	}
	if err := s.print("%s is %s, revision %d%s\n", v.Name, v.State, v.Revision, guaranteed(v.Consistency)); err != nil {
		return err
	}
	if v.Reason != "" {
		if err := s.print("%s\n", v.Reason); err != nil {
			return err
		}
	}
	err = s.table(func(row func(...any)) {
		row("SYSTEM", "PHASE", "SYNCED", "PENDING", "CONFLICT", "REJECTED", "OWED", "LAG")
		for _, system := range v.Systems {
			lag := "-"
			if system.Lag.Count > 0 {
				lag = (time.Duration(system.Lag.AverageMs) * time.Millisecond).String()
			}
			row(system.System, system.Phase, system.Records.Synced, system.Records.Pending, system.Records.Conflict, system.Records.Rejected, system.Owed, lag)
		}
	})
	if err != nil {
		return err
	}
	if err := s.looksOf(v); err != nil {
		return err
	}
	for _, system := range v.Systems {
		for _, o := range system.Objects {
			if e, err := o.Error.Get(); err == nil {
				s.say("%s, %s: %s (%s)", system.System, o.Object, e.Message, e.Code)
			}
		}
	}
	if err := s.sourcesOf(v); err != nil {
		return err
	}
	if v.OpenConflicts > 0 || v.OpenDeadLetters > 0 {
		s.say("%d open conflicts and %d dead letters wait for a person.", v.OpenConflicts, v.OpenDeadLetters)
	}
	if run, err := v.Run.Get(); err == nil {
		s.say("Run %s: %s", run.ID, progressText(&run, 0))
	}
	return nil
}

// looksOf shows how changes of each object are seen, why so, and when it is looked at next.
func (s *session) looksOf(v *client.ServiceStatus) error {
	known := false
	for _, system := range v.Systems {
		for _, o := range system.Objects {
			known = known || o.Detection != ""
		}
	}
	if !known {
		return nil
	}
	if err := s.print("\n"); err != nil {
		return err
	}
	return s.table(func(row func(...any)) {
		row("SYSTEM", "OBJECT", "SEEN BY", "LOOKS EVERY", "NEXT LOOK", "WHY")
		for _, system := range v.Systems {
			for _, o := range system.Objects {
				every, next := "-", "-"
				if ms, err := o.LookEveryMs.Get(); err == nil {
					every = (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
				}
				if at, err := o.NextLookAt.Get(); err == nil {
					next = at.Local().Format(time.DateTime)
				}
				row(system.System, o.Object, orElse(o.Detection, "-"), every, next, o.DetectionReason)
			}
		}
	})
}

// guaranteed says what consistency the service is asked for, unless that is the plain default, and by how much it is late.
func guaranteed(c client.ServiceConsistency) (text string) {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	most, err := c.MaxDelayMs.Get()
	limited := err == nil
	if limited || c.Level != client.ServiceConsistencyLevelEventual {
		text = ", " + string(c.Level)
	}
	if limited {
		text += fmt.Sprintf(" within %s", ms(most))
	}
	if c.Late {
		text += fmt.Sprintf(", late: %s is %s behind", c.System, ms(c.DelayMs))
	}
	return text
}

// sourcesOf shows how the service's lookup services do.
func (s *session) sourcesOf(v *client.ServiceStatus) error {
	if len(v.Sources) == 0 {
		return nil
	}
	if err := s.print("\n"); err != nil {
		return err
	}
	err := s.table(func(row func(...any)) {
		row("SOURCE", "LOOKUPS", "KNOWN", "FILLED", "WAITING", "LEFT", "UNTIL")
		for _, source := range v.Sources {
			left := "any"
			if n, err := source.Left.Get(); err == nil {
				left = fmt.Sprint(n)
			}
			row(source.Source, source.Asked, source.Known, source.Filled, source.Waiting, left, source.Until.Local().Format(time.DateTime))
		}
	})
	for _, source := range v.Sources {
		if e, none := source.Error.Get(); none == nil {
			s.say("%s: %s (%s)", source.Source, e.Message, e.Code)
		}
	}
	return err
}
