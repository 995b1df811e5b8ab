package promcheck

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const (
	rulesFile = "../../config/prometheus/prometheusrule.yaml"
	listFile  = "../../config/prometheus/metrics.txt"
)

var promQL = parser.NewParser(parser.Options{})

// target labels are what Prometheus adds to what it scrapes.
var target = []string{"job", "instance", "namespace", "service", "pod", "container", "endpoint"}

// The parts of a PrometheusRule that matter here.
type prometheusRule struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       any    `json:"spec"`
}

// alerts of the PrometheusRule, as Prometheus would load them: it parses expressions and templates.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	content, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	object := prometheusRule{}
	if err := yaml.Unmarshal(content, &object); err != nil {
		t.Fatal(err)
	}
	if object.APIVersion != "monitoring.coreos.com/v1" || object.Kind != "PrometheusRule" {
		t.Fatalf("%s %s is no PrometheusRule", object.APIVersion, object.Kind)
	}
	spec, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(spec, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var rules []rulefmt.Rule
	for _, g := range groups.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("no rules")
	}
	return rules
}

// exported metrics with their labels.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(listFile)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]string{"up": nil} // Prometheus' own
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "#" {
			list[fields[0]] = fields[1:]
		}
	}
	return list
}

func TestExpressionsUseWhatIsExported(t *testing.T) {
	list := exported(t)
	for _, r := range alerts(t) {
		t.Run(r.Alert, func(t *testing.T) {
			for _, problem := range check(t, r.Expr, list) {
				t.Error(problem)
			}
		})
	}
}

// The check must be able to fail.
func TestCheckRefuses(t *testing.T) {
	list := map[string][]string{"itil_sla_burn_rate": {"namespace", "sla", "window"}}
	for name, c := range map[string]struct {
		expr string
		want int
	}{
		"good":                   {`max by (sla) (itil_sla_burn_rate{window="1h", job="x"}) > 1`, 0},
		"unknown metric":         {`itil_sla_burn_rates > 1`, 1},
		"metric by matcher only": {`{window="1h"} > 1`, 1},
		"unknown matcher":        {`itil_sla_burn_rate{windows="1h"} > 1`, 1},
		"unknown by":             {`max by (slo) (itil_sla_burn_rate) > 1`, 1},
		"label lost below":       {`max by (window) (max by (sla) (itil_sla_burn_rate)) > 1`, 1},
		"unknown on":             {`itil_sla_burn_rate > on (slo) itil_sla_burn_rate`, 1},
		"unknown in a function":  {`rate(itil_x[5m]) > 1`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := check(t, c.expr, list); len(got) != c.want {
				t.Errorf("%q, want %d problems", got, c.want)
			}
		})
	}
}

// check finds what an expression asks for and nobody exports.
func check(t *testing.T, expr string, list map[string][]string) []string {
	t.Helper()
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			has, ok := list[n.Name]
			if !ok {
				problems = append(problems, fmt.Sprintf("metric %q is not exported: %s", n.Name, n))
				return nil
			}
			for _, m := range n.LabelMatchers {
				if m.Name != model.MetricNameLabel && !slices.Contains(has, m.Name) && !slices.Contains(target, m.Name) {
					problems = append(problems, fmt.Sprintf("metric %s has no label %q: %s", n.Name, m.Name, n))
				}
			}
		case *parser.AggregateExpr:
			if !n.Without {
				problems = append(problems, missing(n.Grouping, n.Expr, list)...)
			}
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && n.VectorMatching.On {
				problems = append(problems, missing(n.VectorMatching.MatchingLabels, n.LHS, list)...)
				if n.LHS.String() != n.RHS.String() {
					problems = append(problems, missing(n.VectorMatching.MatchingLabels, n.RHS, list)...)
				}
			}
		}
		return nil
	})
	return problems
}

// missing are the names that series of an expression do not have as labels.
func missing(names []string, of parser.Expr, list map[string][]string) []string {
	var problems []string
	has := labelsOf(of, list)
	for _, name := range names {
		if has != nil && !slices.Contains(has, name) {
			problems = append(problems, fmt.Sprintf("there is no label %q in %s", name, of))
		}
	}
	return problems
}

// labelsOf the series of an expression; nil where a metric in it is unknown, which is reported by itself.
func labelsOf(expr parser.Expr, list map[string][]string) []string {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		if _, ok := list[e.Name]; !ok {
			return nil
		}
		return append(slices.Clone(target), list[e.Name]...)
	case *parser.AggregateExpr:
		if !e.Without {
			return append([]string{""}, e.Grouping...) // never nil
		}
		return labelsOf(e.Expr, list)
	case *parser.BinaryExpr:
		if labels := labelsOf(e.LHS, list); labels != nil {
			return labels
		}
		return labelsOf(e.RHS, list)
	}
	for child := range parser.ChildrenIter(expr) {
		if inner, ok := child.(parser.Expr); ok {
			if labels := labelsOf(inner, list); labels != nil {
				return labels
			}
		}
	}
	return nil
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	names := map[string]bool{}
	for _, r := range alerts(t) {
		if names[r.Alert] || !strings.HasPrefix(r.Alert, "ITIL") {
			t.Errorf("%s: twice, or not named ITIL…", r.Alert)
		}
		names[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" {
			t.Errorf("%s: no summary", r.Alert)
		}
		if d := r.Annotations["description"]; !strings.Contains(d, "Next: ") || !strings.Contains(d, "`kubectl ") {
			t.Errorf("%s: the description has no next step with its command: %s", r.Alert, d)
		}
	}
}

var usedLabel = regexp.MustCompile(`\$labels\.(\w+)`)

// templated labels that a result does not have would be empty in the message.
func unfilled(r rulefmt.Rule, result labels.Labels) []string {
	var empty []string
	for _, text := range r.Annotations {
		for _, m := range usedLabel.FindAllStringSubmatch(text, -1) {
			if result.Get(m[1]) == "" {
				empty = append(empty, m[1])
			}
		}
	}
	return empty
}
