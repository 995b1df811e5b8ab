package promcheck

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// Series are written as in promtool's tests, a sample a minute; expressions are evaluated at the hour.
const (
	at    = time.Hour
	every = time.Minute
	gold  = `namespace="shop",service="checkout",sla="gold"`
)

type scenario struct{ fires, quiet []string }

// burn is what one agreement exports about one pair of windows.
func burn(long, short string, inLong, inShort float64) []string {
	return []string{
		fmt.Sprintf(`itil_sla_burn_rate{%s,pod="a",window=%q} %g+0x60`, gold, long, inLong),
		fmt.Sprintf(`itil_sla_burn_rate{%s,pod="a",window=%q} %g+0x60`, gold, short, inShort),
		fmt.Sprintf(`itil_sla_burn_rate_threshold{%s,pod="a",long_window=%q,short_window=%q} 14.4+0x60`, gold, long, short),
		// The leader before, whose series are not stale yet.
		fmt.Sprintf(`itil_sla_burn_rate{%s,pod="b",window=%q} 0+0x60`, gold, long),
		// Another agreement, which burns and may.
		fmt.Sprintf(`itil_sla_burn_rate{namespace="shop",service="search",sla="iron",window=%q} 20+0x60`, long),
		fmt.Sprintf(`itil_sla_burn_rate{namespace="shop",service="search",sla="iron",window=%q} 20+0x60`, short),
		fmt.Sprintf(`itil_sla_burn_rate_threshold{namespace="shop",service="search",sla="iron",long_window=%q,short_window=%q} 90+0x60`, long, short),
	}
}

// Every alert has scenarios; of more than one that are quiet, each is.
var scenarios = map[string][]scenario{
	"ITILErrorBudgetBurnFast":  pairs("1h", "5m"),
	"ITILErrorBudgetBurn":      pairs("6h", "30m"),
	"ITILErrorBudgetBurnSlow":  pairs("3d", "6h"),
	"ITILErrorBudgetExhausted": {{[]string{`itil_sla_error_budget_remaining_ratio{` + gold + `} -0.5+0x60`}, []string{`itil_sla_error_budget_remaining_ratio{` + gold + `} 0.01+0x60`}}},
	"ITILChangeReviewsOverdue": {{[]string{`itil_change_reviews_overdue 2+0x60`}, []string{`itil_change_reviews_overdue 0+0x60`}}},
	"ITILProblemReviewsOverdue": {{
		[]string{`itil_problem_reviews_overdue{namespace="shop"} 1+0x60`}, []string{`itil_problem_reviews_overdue{namespace="shop"} 0+0x60`},
	}},
	"ITILIncidentsCapped": {{[]string{`itil_incidents_capped{pod="a"} 7+0x60`, `itil_incidents_capped{pod="b"} 0+0x60`}, []string{`itil_incidents_capped 0+0x60`}}},
	"ITILOperatorAbsent": {
		{[]string{`up{job="itil-operator-metrics",pod="a"} 0+0x60`}, []string{`up{job="itil-operator-metrics",pod="a"} 0+0x60`, `up{job="itil-operator-metrics",pod="b"} 1+0x60`}},
		{[]string{`up{job="another"} 1+0x60`}, []string{`up{job="itil-operator-metrics"} 1+0x60`}},
	},
	"ITILOperatorNoLeader": {{
		[]string{`leader_election_master_status{name="itil-operator",pod="a"} 0+0x60`, `leader_election_master_status{name="another"} 1+0x60`},
		[]string{`leader_election_master_status{name="itil-operator",pod="a"} 0+0x60`, `leader_election_master_status{name="itil-operator",pod="b"} 1+0x60`},
	}},
	// Seven days are 604800 s, and it is 3600.
	"ITILWebhookCertificateExpires": {{
		[]string{`itil_webhook_certificate_expiry_timestamp_seconds{pod="a"} 608399+0x60`, `itil_webhook_certificate_expiry_timestamp_seconds{pod="b"} 9999999+0x60`},
		[]string{`itil_webhook_certificate_expiry_timestamp_seconds{pod="a"} 608401+0x60`},
	}},
	"ITILWatchLag": {
		{lag(0, 1), lag(1, 1)},
		{lag(0, 1), lag(0, 0)}, // no news at all is not late news
	},
	"ITILChangeFilingsDropped": {
		{[]string{`itil_change_filings_total{result="Dropped"} 0+1x60`}, []string{`itil_change_filings_total{result="Dropped"} 5+0x60`}},
		{[]string{`itil_change_filings_total{result="Failed"} 0+1x60`}, []string{`itil_change_filings_total{result="Filed"} 0+1x60`}},
		// The first one of a replica makes the series.
		{[]string{`itil_change_filings_total{result="Dropped"} _x55 1+0x5`}, []string{`itil_change_filings_total{result="Filed"} _x55 1+0x5`}},
	},
	"ITILDefinitionsOutdated": {
		{[]string{`itil_definition_refusals_total{kind="Incident"} 0+1x60`}, []string{`itil_definition_refusals_total{kind="Incident"} 5+0x60`}},
		// The first one of a replica makes the series.
		{[]string{`itil_definition_refusals_total{kind="Change"} _x55 1+0x5`}, []string{}},
	},
}

func pairs(long, short string) []scenario {
	return []scenario{
		{burn(long, short, 20, 20), burn(long, short, 0, 0)},
		{burn(long, short, 15, 100), burn(long, short, 20, 0)},   // it is over
		{burn(long, short, 100, 15), burn(long, short, 2, 1000)}, // it has just begun
		{burn(long, short, 14.5, 14.5), burn(long, short, 14.4, 14.4)},
	}
}

// lag is news of pods by the minute: how many within 10 s, how many in all.
func lag(soon, all int) []string {
	var series []string
	for _, le := range []string{"0.5", "1", "2", "5", "10", "30", "60"} {
		n := soon
		if le == "60" {
			n = all
		}
		series = append(series, fmt.Sprintf(`itil_detection_watch_lag_seconds_bucket{le=%q} 0+%dx60`, le, n))
	}
	return append(series, fmt.Sprintf(`itil_detection_watch_lag_seconds_bucket{le="+Inf"} 0+%dx60`, all))
}

func TestAlertsFire(t *testing.T) {
	for _, r := range alerts(t) {
		t.Run(r.Alert, func(t *testing.T) {
			if len(scenarios[r.Alert]) == 0 {
				t.Fatal("no scenario: add one to scenarios")
			}
			for i, s := range scenarios[r.Alert] {
				firing := evaluate(t, r.Expr, s.fires)
				if len(firing) != 1 {
					t.Errorf("%d: %d series fire, want 1: %v", i, len(firing), firing)
				}
				for _, f := range firing {
					if empty := unfilled(r, f.Metric); len(empty) > 0 {
						t.Errorf("%d: the text names labels %v, which %s has not", i, empty, f.Metric)
					}
				}
				if quiet := evaluate(t, r.Expr, s.quiet); len(quiet) > 0 {
					t.Errorf("%d: fires on %v", i, quiet)
				}
			}
		})
	}
}

// Scenarios are of series that exist.
func TestScenariosUseWhatIsExported(t *testing.T) {
	list := exported(t)
	for alert, all := range scenarios {
		for _, s := range all {
			for _, desc := range slices.Concat(s.fires, s.quiet) {
				of, _, err := promQL.ParseSeriesDesc(desc)
				if err != nil {
					t.Fatal(err)
				}
				has, ok := list[of.Get(model.MetricNameLabel)]
				if !ok {
					t.Errorf("%s: %s is not exported", alert, desc)
				}
				of.Range(func(l labels.Label) {
					if l.Name != model.MetricNameLabel && !slices.Contains(has, l.Name) && !slices.Contains(target, l.Name) {
						t.Errorf("%s: %s has no label %s", alert, desc, l.Name)
					}
				})
			}
		}
	}
}

func evaluate(t *testing.T, expr string, descs []string) promql.Vector {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promQL})
	t.Cleanup(func() { _ = engine.Close() })
	query, err := engine.NewInstantQuery(t.Context(), stored(t, descs), nil, expr, time.Unix(0, 0).Add(at))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatal(err)
	}
	return vector
}

// series in memory are what the engine reads.
type series struct {
	labels  labels.Labels
	samples []promql.FPoint
}

type memory []series

var (
	_ storage.Queryable = memory{}
	_ storage.Querier   = memory{}
)

func stored(t *testing.T, descs []string) memory {
	t.Helper()
	var m memory
	for _, desc := range descs {
		of, values, err := promQL.ParseSeriesDesc(desc)
		if err != nil {
			t.Fatalf("%s: %v", desc, err)
		}
		m = append(m, series{of, points(values)})
	}
	return m
}

func points(values []parser.SequenceValue) []promql.FPoint {
	var out []promql.FPoint
	for i, v := range values {
		if !v.Omitted {
			out = append(out, promql.FPoint{T: (time.Duration(i) * every).Milliseconds(), F: v.Value})
		}
	}
	return out
}

func (m memory) Querier(int64, int64) (storage.Querier, error) { return m, nil }

func (m memory) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &selected{next: -1}
	for _, s := range m {
		if !slices.ContainsFunc(matchers, func(by *labels.Matcher) bool { return !by.Matches(s.labels.Get(by.Name)) }) {
			set.series = append(set.series, promql.NewStorageSeries(promql.Series{Metric: s.labels, Floats: s.samples}))
		}
	}
	return set
}

func (memory) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memory) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memory) Close() error { return nil }

// selected is what a selector matched.
type selected struct {
	series []*promql.StorageSeries
	next   int
}

func (s *selected) Next() bool                      { s.next++; return s.next < len(s.series) }
func (s *selected) At() storage.Series              { return s.series[s.next] }
func (*selected) Err() error                        { return nil }
func (*selected) Warnings() annotations.Annotations { return nil }
