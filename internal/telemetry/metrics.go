// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the program's figures for Prometheus. Labels are few and never name a tenant or a record.
type Metrics struct {
	Registry *prometheus.Registry // other packages add their own collectors here

	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
	jobs     *prometheus.HistogramVec
}

// NewMetrics makes a registry with the process's own figures and ours.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "syncline_http_request_seconds", Help: "Time to answer a request of the API, by operation and status.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30},
		}, []string{"operation", "status"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "syncline_event_streams", Help: "Open event streams."}),
		jobs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "syncline_job_seconds", Help: "Time that a job took, by kind and outcome.",
			Buckets: []float64{.01, .1, 1, 10, 60, 600, 3600},
		}, []string{"kind", "outcome"}),
	}
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.requests, m.streams, m.jobs)
	return m
}

// Request counts an answered request. operation is the id in openapi.yaml, "" for an address that there is not.
func (m *Metrics) Request(operation string, status int, took time.Duration) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Observe(took.Seconds())
}

// Stream counts an event stream until the function it returns is called.
func (m *Metrics) Stream() (closed func()) {
	m.streams.Inc()
	return m.streams.Dec
}

// Job counts a job that a worker did; outcome is a word such as "done", "failed", "lost".
func (m *Metrics) Job(kind, outcome string, took time.Duration) {
	m.jobs.WithLabelValues(kind, outcome).Observe(took.Seconds())
}

// Handler serves the figures. It belongs on a private port.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{Registry: m.Registry})
}
