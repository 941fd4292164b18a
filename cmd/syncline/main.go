// SPDX-License-Identifier: Apache-2.0

// Command syncline is the whole product: the server with API and dashboard, the workers, everything in one for
// development, and the client verbs for configuration as code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // documents name zones, and every worker must know them, whatever its machine has

	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/internal/fault"
)

// version is set by the linker in releases.
var version = "dev"

// Exit codes, listed in `syncline help`.
const (
	exitFailed  = 1 // something went wrong; the message says what
	exitUsage   = 2 // the command line is wrong
	exitInvalid = 3 // a document is not valid, or a plan holds changes with --detailed-exitcode
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		os.Exit(report(err))
	}
}

// report prints an error for a person and says with what code to exit.
func report(err error) int {
	var usage usageError
	var exit exitWith
	switch f := fault.As(err); {
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "syncline: %v\nSee syncline --help.\n", err)
		return exitUsage
	case f != nil:
		fmt.Fprintf(os.Stderr, "syncline: %s\n  code: %s\n", f.Message, f.Code)
		for _, field := range f.Fields {
			fmt.Fprintf(os.Stderr, "  %s\n", place(field))
		}
		if f.Kind == fault.Invalid {
			return exitInvalid
		}
	case errors.Is(err, context.Canceled):
		return 0
	default:
		fmt.Fprintf(os.Stderr, "syncline: %v\n", err)
	}
	return exitFailed
}

func place(f fault.Field) string {
	s := f.Pointer
	if f.Line > 0 {
		s = fmt.Sprintf("line %d, column %d", f.Line, f.Column)
	}
	if s != "" {
		s += ": "
	}
	s += f.Message
	if f.Remedy != "" {
		s += " " + f.Remedy
	}
	return s
}

// usageError is a wrong command line.
type usageError struct{ error }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "syncline",
		Short: "Keeps the same records equal in many systems",
		Example: `  syncline dev                                everything in one process, with a demo
  syncline apply -f stock.yaml                apply a service document
  syncline status stock                       how a service does`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddCommand(serveCommand(), workerCommand(), devCommand(), migrateCommand(), revenueCommand(), operatorCommand(), ledgerCommand())
	cmd.AddCommand(clientCommands()...)
	return cmd
}
