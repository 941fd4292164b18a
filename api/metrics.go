// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/syncline-dev/syncline/api/spec"
	"github.com/syncline-dev/syncline/internal/auth"
	"github.com/syncline-dev/syncline/internal/fault"
)

// maxSpan is how far back figures are asked for.
const maxSpan = 90 * 24 * time.Hour

var spanForm = regexp.MustCompile(`^(?:last-)?([0-9]+)-?(m|h|d|minutes|hours|days)$`)

// spanOf reads `last-24h`, `last-30-days`, `1h`; openapi.yaml has checked the form.
func spanOf(timeRange, interval *string) (time.Duration, error) {
	if timeRange != nil && interval != nil {
		return 0, fault.New(fault.Malformed, "request.parameter_invalid", "Give either timeRange or interval, not both.")
	}
	text := "last-24h"
	if timeRange != nil {
		text = *timeRange
	}
	if interval != nil {
		text = *interval
	}
	m := spanForm.FindStringSubmatch(text)
	if m == nil {
		return 0, fault.New(fault.Malformed, "request.parameter_invalid", "%q is not a span of time; write it like last-24h.", text)
	}
	n, err := strconv.Atoi(m[1])
	unit := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[m[2][0]]
	if err != nil || n > int(maxSpan/unit) {
		return 0, fault.New(fault.Malformed, "request.parameter_invalid", "The span %s is longer than 90 days.", text)
	}
	return time.Duration(n) * unit, nil
}

func (s *server) GetMetrics(ctx context.Context, req spec.GetMetricsRequestObject) (spec.GetMetricsResponseObject, error) {
	span, err := spanOf(req.Params.TimeRange, req.Params.Interval)
	if err != nil {
		return nil, err
	}
	id, err := s.serviceNamed(ctx, req.Params.FilterService, auth.ViewServices)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	minutes, err := s.Records.Minutes(ctx, who(ctx), id, now.Add(-span), now.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	var systems []string
	if asked := req.Params.Systems; asked != nil && !slices.Equal(*asked, []string{"all"}) {
		systems = *asked
	}
	var m spec.Metrics
	var lag, lags, bytes int64
	for _, one := range minutes {
		if systems != nil && !slices.Contains(systems, string(one.System)) {
			continue
		}
		m.Successful += one.Created + one.Updated + one.Deleted
		m.Failed += one.Rejected
		m.Conflicts += one.Conflicts
		lag += one.LagMs
		lags += one.LagCount
		bytes += one.Bytes
	}
	m.TotalSyncs = m.Successful + m.Failed
	if lags > 0 {
		m.AverageLatency = float64(lag) / float64(lags)
	}
	m.DataVolume = float64(bytes) / 1e9
	return spec.GetMetrics200JSONResponse(m), nil
}
