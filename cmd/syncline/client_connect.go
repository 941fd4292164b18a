// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
	"github.com/syncline-dev/syncline/internal/fault"
)

// clientCommands are the verbs that talk to an installation through its API.
func clientCommands() []*cobra.Command {
	commands := []*cobra.Command{
		validateCommand(),
		planCommand(),
		applyCommand(),
		exportCommand(),
		runCommand(),
		runsCommand(),
		statusCommand(),
		pauseCommand(),
		resumeCommand(),
		archiveCommand(),
		revisionsCommand(),
		rollbackCommand(),
		proofCommand(),
		reconcileCommand(),
		discrepanciesCommand(),
		holdsCommand(),
		releaseCommand(),
		rejectCommand(),
		undoCommand(),
		webhooksCommand(),
		connectorsCommand(),
		sandboxCommand(),
		invoicesCommand(),
		freezeCommand(),
		thawCommand(),
		connectionsCommand(),
		conflictsCommand(),
		deadLettersCommand(),
		approvalsCommand(),
		actionsCommand(),
		recordCommand(),
		recordsCommand(),
		schemaCommand(),
		duplicatesCommand(),
		redeemCommand(),
		estimateCommand(),
	}
	for _, cmd := range commands {
		cmd.Long = strings.TrimSpace(cmd.Long) + `

The installation is named by SYNCLINE_URL, the key by SYNCLINE_API_KEY or SYNCLINE_API_KEY_FILE. Without them the one that
` + "`syncline dev`" + ` runs in this directory is used (.syncline/dev.json).`
		cmd.PersistentFlags().Bool("json", false, "print the API's answer as JSON")
		cmd.PersistentFlags().BoolP("quiet", "q", false, "print nothing but what was asked for, and errors")
	}
	return commands
}

// clientConfig is what the environment says to the client verbs.
type clientConfig struct {
	URL     string `env:"SYNCLINE_URL"`
	Key     string `env:"SYNCLINE_API_KEY"`
	KeyFile string `env:"SYNCLINE_API_KEY_FILE"`
	NoColor string `env:"NO_COLOR"`
}

// clientTimeout is how long one request may take: longer than the server gives it.
const clientTimeout = 40 * time.Second

// session is one run of a client verb.
type session struct {
	api   *client.ClientWithResponses
	out   io.Writer // data
	talk  io.Writer // what is said about it
	json  bool
	quiet bool
	color bool // out is a terminal, and colours are wanted
	live  bool // talk is a terminal: progress can be drawn, questions can be asked
	in    io.Reader
}

func connect(cmd *cobra.Command) (*session, error) {
	c, err := env.ParseAs[clientConfig]()
	if err != nil {
		return nil, usageError{err}
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	s := &session{out: cmd.OutOrStdout(), talk: cmd.ErrOrStderr(), in: cmd.InOrStdin()}
	s.json, _ = cmd.Flags().GetBool("json")   // declared in clientCommands
	s.quiet, _ = cmd.Flags().GetBool("quiet") // likewise
	s.color = c.NoColor == "" && terminal(s.out) && os.Getenv("TERM") != "dumb"
	s.live = terminal(s.talk) && terminal(s.in)
	s.api, err = client.NewClientWithResponses(strings.TrimSuffix(c.URL, "/"), client.WithHTTPClient(&http.Client{Timeout: clientTimeout}),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+c.Key)
			r.Header.Set("User-Agent", "syncline/"+version)
			return nil
		}))
	if err != nil {
		return nil, usageError{fmt.Errorf("SYNCLINE_URL: %w", err)}
	}
	return s, nil
}

// complete finds what the environment does not say.
func (c *clientConfig) complete() error {
	if c.KeyFile != "" {
		b, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return fmt.Errorf("reading SYNCLINE_API_KEY_FILE: %w", err)
		}
		c.Key = strings.TrimSpace(string(b))
	}
	if c.URL == "" && c.Key == "" {
		path := filepath.Join(".syncline", "dev.json")
		b, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return usageError{fmt.Errorf("which installation? Set SYNCLINE_URL and SYNCLINE_API_KEY, or run this where `syncline dev` runs")}
		case err != nil:
			return err
		}
		var state devState
		if err := json.Unmarshal(b, &state); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		c.URL, c.Key = state.URL, state.APIKey
	}
	switch {
	case c.URL == "":
		return usageError{errors.New("SYNCLINE_API_KEY is set and SYNCLINE_URL is not; set it to the installation's address")}
	case c.Key == "":
		return usageError{errors.New("SYNCLINE_URL is set and no API key is; set SYNCLINE_API_KEY, made under Settings, API keys")}
	}
	return nil
}

// terminal says whether somebody is looking at the other end.
func terminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// kinds turn a status back into the kind of fault that it came from.
var kinds = map[int]fault.Kind{
	http.StatusBadRequest: fault.Malformed, http.StatusUnauthorized: fault.Unauthenticated, http.StatusForbidden: fault.Forbidden, http.StatusNotFound: fault.NotFound,
	http.StatusConflict: fault.Conflict, http.StatusPreconditionFailed: fault.Stale, http.StatusUnprocessableEntity: fault.Invalid,
	http.StatusPreconditionRequired: fault.Required, http.StatusTooManyRequests: fault.TooMany, http.StatusServiceUnavailable: fault.Unavailable,
}

// answered turns an answer that is a problem, or no answer at all, into an error that says what to do.
func answered(res *http.Response, body []byte, err error) error {
	switch {
	case err != nil && errors.Is(err, context.Canceled):
		return err
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "cmd.unreachable", "The installation does not answer: %v. Check SYNCLINE_URL and that it runs.", err)
	case res.StatusCode < http.StatusMultipleChoices:
		return nil
	}
	var p client.Problem
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		return fault.New(fault.Unavailable, "cmd.unexpected_answer", "%s does not answer as Syncline does (status %d). Check SYNCLINE_URL.", res.Request.URL.Host, res.StatusCode)
	}
	f := fault.New(kinds[p.Status], p.Code, "%s", p.Detail)
	if p.Errors != nil {
		f = f.At(findings(*p.Errors)...)
	}
	return f
}

func findings(list []client.ProblemField) []fault.Field {
	out := make([]fault.Field, len(list))
	for i, e := range list {
		out[i] = fault.Field{Pointer: value(e.Pointer), Line: value(e.Line), Column: value(e.Column), Message: e.Message, Remedy: value(e.Remedy)}
		out[i].Code = value(e.Code)
	}
	return out
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// say tells the person something, unless they want it quiet.
func (s *session) say(format string, args ...any) {
	if !s.quiet {
		_, _ = fmt.Fprintf(s.talk, format+"\n", args...) // nobody listens any more, then
	}
}

// sayToken says how to see what was written: by the token that the answer came with.
func (s *session) sayToken(res *http.Response) {
	if token := res.Header.Get("Syncline-Consistency-Token"); token != "" {
		s.say("Reads that show this token (--after) are answered when all systems have it: %s", token)
	}
}

// print writes data.
func (s *session) print(format string, args ...any) error {
	_, err := fmt.Fprintf(s.out, format, args...)
	return err
}

// printJSON writes data as JSON.
func (s *session) printJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return s.print("%s\n", b)
}

// exitWith ends the program with a code and says nothing more.
type exitWith int

func (e exitWith) Error() string { return fmt.Sprintf("exit %d", int(e)) }
