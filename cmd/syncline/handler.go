// SPDX-License-Identifier: Apache-2.0

package main

import "net/http"

// handler answers everything that comes in: the API, the dashboard, health.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return mux
}
