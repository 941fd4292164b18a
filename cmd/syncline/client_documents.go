// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
	"github.com/syncline-dev/syncline/internal/service"
)

// documentFile is a service document as it lies on disk.
type documentFile struct {
	path   string
	source []byte
	format service.Format
	name   string // the service's
}

func (f documentFile) mediaType() string {
	if f.format == service.JSON {
		return "application/json"
	}
	return "application/yaml"
}

// readDocuments reads files; "-" is standard input.
func (s *session) readDocuments(paths []string) ([]documentFile, error) {
	if len(paths) == 0 {
		return nil, usageError{fmt.Errorf("which document? Name it with -f, or - for standard input")}
	}
	var out []documentFile
	for _, path := range paths {
		f := documentFile{path: path, format: service.YAML}
		var err error
		if path == "-" {
			f.path = "standard input"
			f.source, err = io.ReadAll(s.in)
		} else {
			f.source, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(strings.TrimSpace(string(f.source)), "{") {
			f.format = service.JSON
		}
		out = append(out, f)
	}
	return out, nil
}

// named finds out which service a document describes. One that cannot be read is said to be so with its places.
func (f *documentFile) named() error {
	doc, err := service.Parse(f.source, f.format)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.name = doc.Service
	return nil
}

func fileFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringArrayP("file", "f", nil, "a service document in YAML or JSON, - for standard input; may be repeated")
}

func validateCommand() *cobra.Command {
	var files *[]string
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Say what is wrong with a service document",
		Long:  "Say what is wrong with service documents, with line, column and remedy. Nothing is kept. Exits with 3 when one is not valid.",
		Example: `  syncline validate -f stock.yaml
  syncline export stock | syncline validate -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.validate(cmd.Context(), *files)
		},
	}
	files = fileFlag(cmd)
	return cmd
}

func (s *session) validate(ctx context.Context, paths []string) error {
	files, err := s.readDocuments(paths)
	if err != nil {
		return err
	}
	valid := true
	for _, f := range files {
		res, err := s.api.ValidateServiceWithBodyWithResponse(ctx, f.mediaType(), bytes.NewReader(f.source))
		if err != nil {
			return answered(nil, nil, err)
		}
		if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
			return err
		}
		found := res.JSON200
		valid = valid && found.Valid
		if s.json {
			if err := s.printJSON(found); err != nil {
				return err
			}
			continue
		}
		if err := s.printFindings(f.path, found.Errors, "error"); err != nil {
			return err
		}
		if err := s.printFindings(f.path, found.Notices, "notice"); err != nil {
			return err
		}
		if found.Valid {
			s.say("%s is valid.", f.path)
		}
	}
	if !valid {
		return exitWith(exitInvalid)
	}
	return nil
}

// printFindings writes a line per finding in the form that editors jump to.
func (s *session) printFindings(path string, list []client.ProblemField, what string) error {
	for _, f := range findings(list) {
		at := path
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", path, f.Line, f.Column)
		}
		text := f.Message
		if f.Remedy != "" {
			text += " " + f.Remedy
		}
		if err := s.print("%s: %s: %s (%s)\n", at, what, text, f.Code); err != nil {
			return err
		}
	}
	return nil
}

func planCommand() *cobra.Command {
	var files *[]string
	var detailed, documents bool
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what applying a service document would do",
		Long: `Show how service documents differ from what is live, and what applying them would do to the systems: how many records would be
created, updated and deleted where, with examples, what it costs, and what to look out for. The systems are read; nothing is written.
The plan has a hash, with which apply does exactly that. With --documents only the documents are compared. Exits with 3 when a
document is not valid and, with --detailed-exitcode, when there are changes.`,
		Example: `  syncline plan -f stock.yaml
  syncline plan -f stock.yaml --documents --detailed-exitcode    # in a pipeline: 0 no changes, 3 changes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			docs, err := s.readDocuments(*files)
			if err != nil {
				return err
			}
			changes := 0
			for i := range docs {
				p, err := s.plan(cmd.Context(), &docs[i], documents)
				if err != nil {
					return err
				}
				changes += len(p.Differences)
				if documents || len(p.Differences) == 0 {
					continue
				}
				if err := s.foresee(cmd.Context(), docs[i]); err != nil {
					return err
				}
			}
			if detailed && changes > 0 {
				return exitWith(exitInvalid)
			}
			return nil
		},
	}
	files = fileFlag(cmd)
	cmd.Flags().BoolVar(&documents, "documents", false, "only compare the documents; read no system")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 3 when there are changes")
	return cmd
}

// plan compares a document with what is live and shows the difference.
func (s *session) plan(ctx context.Context, f *documentFile, alone bool) (*client.ServiceDiff, error) {
	if err := f.named(); err != nil {
		return nil, err
	}
	res, err := s.api.DiffServiceWithBodyWithResponse(ctx, f.name, f.mediaType(), bytes.NewReader(f.source))
	if err != nil {
		return nil, answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return nil, err
	}
	p := res.JSON200
	if s.json && (alone || !p.Valid || len(p.Differences) == 0) {
		if err := s.printJSON(p); err != nil {
			return nil, err
		}
	}
	if !p.Valid {
		if !s.json {
			if err := s.printFindings(f.path, p.Errors, "error"); err != nil {
				return nil, err
			}
		}
		return nil, exitWith(exitInvalid)
	}
	if s.json {
		return p, nil
	}
	for _, n := range findings(p.Notices) {
		s.say("%s: %s %s", f.path, n.Message, n.Remedy)
	}
	return p, s.printPlan(f.name, p)
}

// The marks of differences, with their colours on a terminal.
var marks = map[client.DifferenceKind]struct{ sign, color string }{
	client.DifferenceKindAdded:   {"+", "\x1b[32m"},
	client.DifferenceKindRemoved: {"-", "\x1b[31m"},
	client.DifferenceKindChanged: {"~", "\x1b[33m"},
}

func (s *session) printPlan(name string, p *client.ServiceDiff) error {
	live, err := p.Service.Get()
	switch {
	case err != nil:
		err = s.print("%s is new:\n", name)
	case len(p.Differences) == 0:
		return s.print("%s: no changes; revision %d says the same.\n", name, live.Revision)
	default:
		err = s.print("%s changes from revision %d to %d:\n", name, live.Revision, live.Revision+1)
	}
	if err != nil {
		return err
	}
	for _, d := range p.Differences {
		m := marks[d.Kind]
		text := d.Path
		switch d.Kind {
		case client.DifferenceKindAdded:
			text += ": " + short(d.After)
		case client.DifferenceKindRemoved:
			text += ": " + short(d.Before)
		default:
			text += ": " + short(d.Before) + " -> " + short(d.After)
		}
		line := m.sign + " " + text
		if s.color {
			line = m.color + line + "\x1b[0m"
		}
		if err := s.print("  %s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// short is a value on one line.
func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	text := []rune(string(b))
	if len(text) > 100 {
		return string(text[:97]) + "..."
	}
	return string(text)
}

// plain is short without the marks of JSON around texts; a value that is not there is nothing.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return short(v)
}

func applyCommand() *cobra.Command {
	var files *[]string
	var yes, dry, draft bool
	var note, plan string
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Put service documents into force",
		Long: `Put service documents into force: a new service, or a new revision of it. The changes are shown first; on a terminal
you are asked. A document that says what is live already changes nothing. All documents are checked before the first is applied.`,
		Example: `  syncline apply -f stock.yaml
  syncline apply -f stock.yaml -f orders.yaml --yes --note "Ticket 42"
  syncline apply -f stock.yaml --plan 5f2c...    # what the plan of that hash says, or nothing`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.apply(cmd.Context(), *files, application{yes: yes, dry: dry, draft: draft, note: note, plan: plan})
		},
	}
	files = fileFlag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check and show everything, change nothing")
	cmd.Flags().BoolVar(&draft, "draft", false, "only save: nothing runs")
	cmd.Flags().StringVar(&note, "note", "", "why, for the history")
	cmd.Flags().StringVar(&plan, "plan", "", "the hash of a plan: refused when the world moved on since it was made")
	return cmd
}

type application struct {
	yes, dry, draft bool
	note, plan      string
}

func (s *session) apply(ctx context.Context, paths []string, a application) error {
	files, err := s.readDocuments(paths)
	if err != nil {
		return err
	}
	if a.plan != "" && len(files) != 1 {
		return usageError{fmt.Errorf("a plan is of one document")}
	}
	// First everything dry: a mistake in the last document must not leave the first ones applied.
	tags := make([]string, len(files))
	changes := false
	for i := range files {
		if err := files[i].named(); err != nil {
			return err
		}
		dry, tag, err := s.put(ctx, files[i], a, true, "")
		if err != nil {
			return fmt.Errorf("%s: %w", files[i].path, err)
		}
		changes = changes || dry.Revised
		tags[i] = tag
		if s.json {
			if a.dry {
				if err := s.printJSON(dry); err != nil {
					return err
				}
			}
			continue
		}
		for _, n := range findings(dry.Notices) {
			s.say("%s: %s %s", files[i].path, n.Message, n.Remedy)
		}
		if err := s.printPlan(files[i].name, &client.ServiceDiff{Service: dry.Service, Differences: dry.Differences}); err != nil {
			return err
		}
	}
	if a.dry {
		return nil
	}
	if changes && s.live && !a.yes && a.plan == "" && !s.ask(ctx, "Apply? [y/N] ") {
		s.say("Nothing was changed.")
		return exitWith(exitFailed)
	}
	for i, f := range files {
		out, _, err := s.put(ctx, f, a, false, tags[i])
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if s.json {
			if err := s.printJSON(out); err != nil {
				return err
			}
			continue
		}
		s.applied(f.name, out)
	}
	return nil
}

// ask asks a question that is answered by yes or no; an end of input, or Ctrl-C, is a no.
func (s *session) ask(ctx context.Context, question string) bool {
	_, _ = fmt.Fprint(s.talk, question) // without a terminal nobody asks
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(s.in).ReadString('\n') // what there is of it
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return false
	case a := <-answer:
		return a == "y" || a == "yes"
	}
}

func (s *session) applied(name string, out *client.AppliedService) {
	switch {
	case out.Created:
		s.say("%s is made.", name)
	case out.Revised:
		s.say("%s is at revision %d.", name, out.Revision)
	default:
		s.say("%s is as the document says.", name)
	}
	if run, err := out.Run.Get(); err == nil {
		s.say("Its %s run is %s: syncline status %s shows how it does.", run.Kind, run.State, name)
	}
}

// put sends the document. tag is the ETag that the dry run answered: what was shown is what is applied, or nothing.
func (s *session) put(ctx context.Context, f documentFile, a application, dry bool, tag string) (*client.AppliedService, string, error) {
	params := &client.ApplyServiceParams{Draft: &a.draft}
	if a.note != "" {
		params.Note = &a.note
	}
	switch {
	case dry:
		params.ValidateOnly = &dry
	case a.plan != "":
		params.Plan = &a.plan
	case tag == "":
		star := client.ApplyServiceParamsIfNoneMatch("*")
		params.IfNoneMatch = &star
	default:
		params.IfMatch = &tag
	}
	res, err := s.api.ApplyServiceWithBodyWithResponse(ctx, f.name, params, f.mediaType(), bytes.NewReader(f.source))
	if err != nil {
		return nil, "", answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return nil, "", err
	}
	out := res.JSON200
	if res.StatusCode() == http.StatusCreated {
		out = res.JSON201
	}
	if dry && out.Created {
		return out, "", nil
	}
	return out, res.HTTPResponse.Header.Get("ETag"), nil
}

func exportCommand() *cobra.Command {
	var format, output string
	var revision int
	cmd := &cobra.Command{
		Use:   "export SERVICE",
		Short: "Print a service's document",
		Long:  "Print the document of a service, as it was written where the format is the same.",
		Example: `  syncline export stock > stock.yaml
  syncline export stock --revision 3 --format json`,
		Args: oneService,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			if s.json {
				format = "json"
			}
			params := &client.GetServiceDocumentParams{}
			switch f := client.GetServiceDocumentParamsFormat(format); f {
			case client.GetServiceDocumentParamsFormatJSON, client.GetServiceDocumentParamsFormatYaml:
				params.Format = &f
			default:
				return usageError{fmt.Errorf("--format is yaml or json, not %q", format)}
			}
			if revision > 0 {
				params.Revision = &revision
			}
			res, err := s.api.GetServiceDocument(cmd.Context(), args[0], params)
			if err != nil {
				return answered(nil, nil, err)
			}
			defer func() { _ = res.Body.Close() }() // it was read
			text, err := io.ReadAll(res.Body)
			if err := answered(res, text, err); err != nil {
				return err
			}
			if len(text) > 0 && text[len(text)-1] != '\n' {
				text = append(text, '\n')
			}
			if output == "" || output == "-" {
				_, err = s.out.Write(text)
				return err
			}
			if err := os.WriteFile(output, text, 0o600); err != nil {
				return err
			}
			s.say("Written to %s.", output)
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "yaml", "yaml or json")
	cmd.Flags().IntVar(&revision, "revision", 0, "a revision's number; the live one when absent")
	cmd.Flags().StringVarP(&output, "output", "o", "", "a file to write instead of standard output")
	return cmd
}

// oneService requires exactly one argument.
func oneService(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes the name of one service", cmd.Name())}
	}
	return nil
}
