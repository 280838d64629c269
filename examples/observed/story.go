package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/go-sealring/sealring/keyring/awskms/kmstest"
)

// A chapter changes something, and ends when the metrics show what follows from it.
type chapter struct {
	title string
	begin func(*service)
	shows string // what it waits for
	until func(before, now metrics) bool
}

var chapters = []chapter{
	{
		"all is well", func(*service) {},
		"data keys are reused", func(before, now metrics) bool { return now.since(before, hits) >= 100 },
	},
	{
		near + " fails", func(s *service) { s.kms.Outage(near, kmstest.InternalError) },
		"it is down, and new data keys are for " + far + " alone", func(before, now metrics) bool {
			return now.of(regionUp(near)) == 0 && now.since(before, notCovered(near)) > 0
		},
	},
	{
		far + " cannot be reached either", func(s *service) { s.kms.Outage(far, kmstest.Refuse) },
		"data keys past their age are used", func(before, now metrics) bool { return now.since(before, stale) >= 100 },
	},
	{
		"both are back", func(s *service) { s.kms.Restore(near); s.kms.Restore(far) },
		"both are up, and new data keys are reused", func(before, now metrics) bool {
			return now.of(regionUp(near)) == 1 && now.of(regionUp(far)) == 1 && now.since(before, hits) >= 100
		},
	},
	{
		"many more tenants", func(s *service) { s.tenants.Store(manyTenants) },
		"the cache is too small", func(before, now metrics) bool { return now.since(before, tooSmall) >= 100 },
	},
	{
		"a few tenants again", func(s *service) { s.tenants.Store(fewTenants) },
		"data keys are reused", func(before, now metrics) bool { return now.since(before, hits) >= 100 },
	},
}

// A shown is what the metrics said when a chapter ended.
type shown struct {
	title       string
	before, now metrics
}

// tell runs through the chapters, and prints what changed in each.
func tell(ctx context.Context, out io.Writer, s *service, url string) ([]shown, error) {
	var all []shown
	before, err := scrape(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, c := range chapters {
		fmt.Fprintf(out, "%s ... ", c.title)
		c.begin(s)
		now := before
		for !c.until(before, now) {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("%s: %w before the metrics showed that %s", c.title, ctx.Err(), c.shows)
			case <-time.After(50 * time.Millisecond):
			}
			if now, err = scrape(ctx, url); err != nil {
				return nil, err
			}
		}
		fmt.Fprintln(out, c.shows)
		all = append(all, shown{c.title, before, now})
		before = now
	}

	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "hit\tmiss\twaited\tstale\ttoo small\tKMS %s\tKMS %s\tfailed\t\n", near, far)
	for _, c := range all {
		for _, series := range []string{hits, misses, waited, stale, tooSmall, calls(near), calls(far), failures} {
			fmt.Fprintf(w, "%.0f\t", c.now.since(c.before, series))
		}
		fmt.Fprintf(w, "  %s\n", c.title)
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(out, "\n%d requests failed\n\n", s.failed.Load())
	return all, err
}

// Series that the story looks at: a metric's name, and labels that it must have.
const (
	hits     = `sealring_cache_requests_total{sealring_result="hit"}`
	misses   = `sealring_cache_requests_total{sealring_result="miss"}`
	waited   = `sealring_cache_requests_total{sealring_result="waited"}`
	stale    = `sealring_cache_requests_total{sealring_result="stale"}`
	tooSmall = `sealring_cache_capacity_misses_total{}`
	oldest   = `sealring_cache_oldest_key_age_seconds{}`
	failures = `sealring_operation_duration_seconds{sealring_error!=""}`
)

func regionUp(region string) string {
	return `sealring_kms_region_up{sealring_region="` + region + `"}`
}

func notCovered(region string) string {
	return `sealring_kms_keys_not_covered_total{sealring_region="` + region + `"}`
}

func calls(region string) string {
	return `sealring_kms_call_duration_seconds{sealring_region="` + region + `"}`
}

// metrics are what /metrics has said, by name.
type metrics map[string]*dto.MetricFamily

// scrape reads /metrics, as Prometheus does.
func scrape(ctx context.Context, url string) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(resp.Body)
}

// pattern takes a series apart: name, label, comparison and value.
var pattern = regexp.MustCompile(`^(\w+)\{(?:(\w+)(=|!=)"(.*)")?\}$`)

// since returns by how much a series has grown.
func (m metrics) since(before metrics, series string) float64 {
	return m.of(series) - before.of(series)
}

// of returns the sum of all that a series names: of a histogram, the counts.
func (m metrics) of(series string) (sum float64) {
	parts := pattern.FindStringSubmatch(series)
	name, label, op, value := parts[1], parts[2], parts[3], parts[4]
	for _, one := range m[name].GetMetric() {
		if label != "" {
			got := ""
			for _, l := range one.Label {
				if l.GetName() == label {
					got = l.GetValue()
				}
			}
			if (got == value) != (op == "=") {
				continue
			}
		}
		sum += one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
	}
	return sum
}
