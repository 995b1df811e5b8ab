// Package monitoring proves that config/prometheus/metrics.txt is what the operator exports. hack/promcheck, which has the
// PromQL parser and is a module of its own for that, checks the alerts against that list.
package monitoring

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/controllers/incident"
	_ "github.com/itil-dev/itil-operator/internal/operator" // everything that registers metrics
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

var update = flag.Bool("update", false, "write config/prometheus/metrics.txt")

const (
	listFile  = "../../config/prometheus/metrics.txt"
	rulesFile = "../../config/prometheus/prometheusrule.yaml"
	header    = "# What the operator exports, with labels. Written by: go test ./test/monitoring -update\n"
)

// standard metrics of controller-runtime that alerts and dashboards use.
var standard = []string{
	"controller_runtime_reconcile_errors_total",
	"controller_runtime_reconcile_total",
	"leader_election_master_status",
	"workqueue_depth",
}

// histograms with labels: as long as nothing was observed, a registry does not tell that they are.
var histograms = []string{"itil_incident_acknowledge_seconds", "itil_incident_resolve_seconds"}

var (
	nameOf   = regexp.MustCompile(`fqName: "([^"]+)"`)
	labelsOf = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
)

func TestExportedMetrics(t *testing.T) {
	got := header + strings.Join(exported(t), "\n") + "\n"
	if *update {
		if err := os.WriteFile(listFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(listFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("config/prometheus/metrics.txt (-) is not what the operator exports (+): run go test ./test/monitoring -update, "+
			"then make verify-prometheus, and change docs/monitoring.md:\n%s", diff)
	}
}

// The alerts name the windows; who adds a pair must add an alert.
func TestEveryBurnPairHasAnAlert(t *testing.T) {
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range servicelevel.BurnPairs() {
		for _, selector := range []string{
			fmt.Sprintf(`itil_sla_burn_rate_threshold{long_window=%q, short_window=%q}`, p.Long.Name, p.Short.Name),
			fmt.Sprintf(`itil_sla_burn_rate{window=%q}`, p.Long.Name),
			fmt.Sprintf(`itil_sla_burn_rate{window=%q}`, p.Short.Name),
		} {
			if !strings.Contains(string(rules), selector) {
				t.Errorf("no alert asks for %s", selector)
			}
		}
	}
}

// exported series by name, with their labels.
func exported(t *testing.T) []string {
	t.Helper()
	distributed := distributions(t)
	// The one that is registered when the manager is set up. It describes without a cache, but would not collect.
	metrics.Registry.MustRegister(&incident.Collector{})
	registry, ok := metrics.Registry.(prometheus.Collector)
	if !ok {
		t.Fatalf("%T does not describe what is in it", metrics.Registry)
	}
	descs := make(chan *prometheus.Desc)
	go func() { registry.Describe(descs); close(descs) }()
	var lines []string
	for d := range descs {
		name, labels := nameOf.FindStringSubmatch(d.String()), labelsOf.FindStringSubmatch(d.String())
		if name == nil || labels == nil {
			t.Fatalf("cannot read %s", d)
		}
		switch {
		case !strings.HasPrefix(name[1], "itil_") && !slices.Contains(standard, name[1]):
		case slices.Contains(distributed, name[1]):
			lines = append(lines, line(name[1]+"_bucket", labels[1]+",le"), line(name[1]+"_count", labels[1]), line(name[1]+"_sum", labels[1]))
		default:
			lines = append(lines, line(name[1], labels[1]))
		}
	}
	slices.Sort(lines)
	return lines
}

func line(name, labels string) string {
	list := slices.DeleteFunc(strings.Split(labels, ","), func(s string) bool { return s == "" })
	return strings.TrimSpace(name + " " + strings.Join(list, " "))
}

// distributions are the names of the histograms.
func distributions(t *testing.T) []string {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Clone(histograms)
	for _, f := range families {
		if f.GetType().String() == "HISTOGRAM" {
			names = append(names, f.GetName())
		}
	}
	return names
}
