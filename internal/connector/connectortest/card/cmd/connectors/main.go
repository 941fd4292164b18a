// SPDX-License-Identifier: Apache-2.0

// Command connectors prints the table of what the conformance suite found, from the folder of cards that a test run left:
//
//	SYNCLINE_CARDS=DIR go test ./internal/connector/... && connectors DIR
//
// Every connector that has a page in docs/connectors must be among them; custom stands for those that customers describe. Its exit status is 1 when a case failed, or one is missing.
package main

import (
	"fmt"
	"os"

	"github.com/syncline-dev/syncline/docs"
	"github.com/syncline-dev/syncline/internal/connector/connectortest/card"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: connectors DIR")
		os.Exit(2)
	}
	failed, err := card.Table(os.Stdout, os.Args[1], docs.Connectors()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "connectors:", err)
		os.Exit(1)
	}
	if failed > 0 {
		fmt.Fprintln(os.Stderr, failed, "failed")
		os.Exit(1)
	}
}
