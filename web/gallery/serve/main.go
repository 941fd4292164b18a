// SPDX-License-Identifier: Apache-2.0

// Command serve shows the gallery at http://127.0.0.1:7711/gallery.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/syncline-dev/syncline/web/gallery"
)

func main() {
	server := &http.Server{Addr: "127.0.0.1:7711", Handler: gallery.Handler(), ReadHeaderTimeout: 5 * time.Second}
	log.Printf("gallery at http://%s/gallery", server.Addr)
	log.Fatal(server.ListenAndServe())
}
