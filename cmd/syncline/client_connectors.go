// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
	"github.com/syncline-dev/syncline/internal/connector/manifest"
)

func connectorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connectors",
		Short: "The kinds of systems that can be connected, your own among them",
		Long:  "List connectors; sketch, try, save, show and delete your own, which a manifest describes (docs/connectors/custom.md).",
		Example: `  syncline connectors
  syncline connectors test -f shop.yaml --set host=shop.example.com --set token='${SHOP_TOKEN}'
  syncline connectors apply -f shop.yaml --note "paging"
  syncline connectors sketch -f shop-sketch.yaml > shop.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.connectors(cmd.Context())
		},
	}
	var file, note string
	var set []string
	test := &cobra.Command{
		Use:   "test -f FILE [--set NAME=VALUE]",
		Short: "Try a manifest: reached, authenticated, first records, what writes would send",
		Long: `Try a manifest with settings. It reads the first records of each object and shows the requests that writes would make; nothing is
written at the system and nothing is kept. ${NAME} in a setting stands for a secret of the tenant. Exits with 1 when something does not work,
with 3 when the manifest is not valid.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.tryConnector(cmd.Context(), file, set)
		},
	}
	test.Flags().StringArrayVar(&set, "set", nil, "a setting, NAME=VALUE; may be repeated")
	apply := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Save a manifest: a new connector, or a new version of yours",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.applyConnector(cmd.Context(), file, note)
		},
	}
	apply.Flags().StringVar(&note, "note", "", "why, for the history")
	for _, c := range []*cobra.Command{test, apply} {
		c.Flags().StringVarP(&file, "file", "f", "", "a manifest in YAML or JSON, - for standard input")
	}
	one := func(use, short string, run func(*session, context.Context, string) error) *cobra.Command {
		return &cobra.Command{Use: use + " TYPE", Short: short,
			Args: func(_ *cobra.Command, args []string) error {
				if len(args) != 1 {
					return usageError{fmt.Errorf("connectors %s takes the type of one connector", use)}
				}
				return nil
			},
			RunE: func(cmd *cobra.Command, args []string) error {
				s, err := connect(cmd)
				if err != nil {
					return err
				}
				return run(s, cmd.Context(), args[0])
			}}
	}
	sketch := &cobra.Command{
		Use:   "sketch -f FILE",
		Short: "Make a manifest of a few answers about a REST API",
		Long: `Make a manifest of a few answers about a REST API of the usual shape: title, baseUrl, auth, and for each object its paths, in YAML or JSON, as
POST /v1/connectors:sketch takes them (docs/connectors/custom.md). The manifest is written to standard output, to be tried and saved as it is or with
changes; nothing is kept. Exits with 3 when something is missing, which is named by its place.`,
		Example: `  syncline connectors sketch -f shop-sketch.yaml > shop.yaml
  syncline connectors sketch -f shop-sketch.yaml | syncline connectors apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			return s.sketchConnector(cmd.Context(), file)
		},
	}
	sketch.Flags().StringVarP(&file, "file", "f", "", "the answers in YAML or JSON, - for standard input")
	cmd.AddCommand(test, apply, sketch, one("export", "Write the manifest of one of your own to standard output", (*session).exportConnector), one("delete", "Delete one of your own that no connection uses", (*session).deleteConnector))
	return cmd
}

func (s *session) connectors(ctx context.Context) error {
	res, err := s.api.ListConnectorsWithResponse(ctx)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON200.Data)
	}
	return s.table(func(row func(...any)) {
		row("TYPE", "TITLE", "OWN", "SEES CHANGES BY")
		for _, c := range res.JSON200.Data {
			own := ""
			if c.OwnVersion != nil {
				own = fmt.Sprintf("version %d", *c.OwnVersion)
			}
			row(c.Type, c.Title, own, strings.Join(c.Detections, ", "))
		}
	})
}

// readManifest reads one file; "-" is standard input.
func (s *session) readManifest(path string) (source []byte, mediaType string, err error) {
	switch path {
	case "":
		return nil, "", usageError{fmt.Errorf("which manifest? Name it with -f, or - for standard input")}
	case "-":
		source, err = io.ReadAll(s.in)
	default:
		source, err = os.ReadFile(path)
	}
	mediaType = "application/yaml"
	if strings.HasPrefix(strings.TrimSpace(string(source)), "{") {
		mediaType = "application/json"
	}
	return source, mediaType, err
}

func (s *session) sketchConnector(ctx context.Context, file string) error {
	source, _, err := s.readManifest(file)
	if err != nil {
		return err
	}
	body, err := manifest.SketchJSON(source)
	if err != nil {
		return usageError{fmt.Errorf("%s cannot be read: %w", file, err)}
	}
	res, err := s.api.SketchConnectorWithBodyWithResponse(ctx, "application/json", bytes.NewReader(body))
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON200)
	}
	_, err = io.WriteString(s.out, res.JSON200.Manifest)
	return err
}

func (s *session) tryConnector(ctx context.Context, file string, set []string) error {
	source, _, err := s.readManifest(file)
	if err != nil {
		return err
	}
	settings := map[string]string{}
	for _, pair := range set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return usageError{fmt.Errorf("--set takes NAME=VALUE, not %q", pair)}
		}
		settings[name] = value
	}
	res, err := s.api.TryConnectorWithResponse(ctx, client.TryConnectorJSONRequestBody{Manifest: string(source), Settings: &settings})
	if err != nil {
		return answered(nil, nil, err)
	}
	if invalid := res.ApplicationProblemJSONDefault; invalid != nil && invalid.Errors != nil && invalid.Code == "manifest.invalid" {
		if err := s.printFindings(file, *invalid.Errors, "error"); err != nil {
			return err
		}
		return exitWith(exitInvalid)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	t := res.JSON200
	if s.json {
		if err := s.printJSON(t); err != nil {
			return err
		}
	} else if err := s.showTrial(t); err != nil {
		return err
	}
	if !t.Ok {
		return exitWith(exitFailed)
	}
	return nil
}

func (s *session) showTrial(t *client.ConnectorTrial) error {
	word := map[bool]string{true: "yes", false: "no"}
	b := bufio.NewWriter(s.out)
	fmt.Fprintf(b, "reached: %s\nauthenticated: %s\n", word[t.Reached], word[t.Authenticated])
	if p, err := t.Problem.Get(); err == nil {
		fmt.Fprintf(b, "%s (%s)\n", p.Message, p.Code)
	}
	for _, o := range t.Objects {
		more := ""
		if o.More {
			more = ", others follow"
		}
		fmt.Fprintf(b, "\n%s: %d records%s, %d ms\n", o.Name, len(o.Records), more, o.Milliseconds)
		if p, err := o.Problem.Get(); err == nil {
			fmt.Fprintf(b, "%s (%s)\n", p.Message, p.Code)
		}
		if len(o.Records) > 0 {
			if err := b.Flush(); err != nil {
				return err
			}
			err := s.table(func(row func(...any)) {
				head := make([]any, len(o.Fields))
				for i, f := range o.Fields {
					head[i] = f.Name + " " + f.Type
				}
				row(head...)
				for _, r := range o.Records {
					cells := make([]any, len(o.Fields))
					for i, f := range o.Fields {
						if cells[i] = r.Fields[f.Name]; cells[i] == nil {
							cells[i] = ""
						}
					}
					row(cells...)
				}
			})
			if err != nil {
				return err
			}
		}
		for _, w := range o.Writes {
			fmt.Fprintf(b, "%s would send: %s %s %s\n", w.Verb, w.Method, w.URL, w.Body)
		}
	}
	return b.Flush()
}

func (s *session) applyConnector(ctx context.Context, file, note string) error {
	source, mediaType, err := s.readManifest(file)
	if err != nil {
		return err
	}
	made, err := s.api.CreateConnectorWithBodyWithResponse(ctx, &client.CreateConnectorParams{IdempotencyKey: uuid.NewString(), Note: &note}, mediaType, bytes.NewReader(source))
	if err != nil {
		return answered(nil, nil, err)
	}
	p := made.ApplicationProblemJSONDefault
	switch {
	case made.JSON201 != nil:
		if s.json {
			return s.printJSON(made.JSON201)
		}
		s.say("%s is made.", made.JSON201.Type)
		return nil
	case p != nil && p.Code == "manifest.invalid" && p.Errors != nil:
		if err := s.printFindings(file, *p.Errors, "error"); err != nil {
			return err
		}
		return exitWith(exitInvalid)
	case p == nil || p.Code != "connector.type_taken":
		return answered(made.HTTPResponse, made.Body, nil)
	}
	typ := ""
	for line := range strings.Lines(string(source)) {
		if rest, ok := strings.CutPrefix(strings.TrimLeft(line, " {\""), "type"); ok {
			typ = strings.Trim(strings.TrimLeft(rest, "\": "), "\"', \r\n")
			break
		}
	}
	res, err := s.api.ReviseConnectorWithBodyWithResponse(ctx, typ, &client.ReviseConnectorParams{Note: &note}, mediaType, bytes.NewReader(source))
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON200)
	}
	s.say("%s is at version %d.", res.JSON200.Type, res.JSON200.Version)
	return nil
}

func (s *session) exportConnector(ctx context.Context, typ string) error {
	res, err := s.api.GetConnectorManifestWithResponse(ctx, typ)
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON200)
	}
	_, err = io.WriteString(s.out, res.JSON200.Source)
	return err
}

func (s *session) deleteConnector(ctx context.Context, typ string) error {
	res, err := s.api.DeleteConnectorWithResponse(ctx, typ, &client.DeleteConnectorParams{})
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	s.say("%s is deleted.", typ)
	return nil
}
