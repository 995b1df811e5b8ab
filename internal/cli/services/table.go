package services

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// budgets are what is left of the error budget of each service, in percent: the least of its agreements.
type budgets map[session.Ref]string

func budgetsOf(agreements []v1alpha1.ServiceLevelAgreement) budgets {
	least := map[session.Ref]float64{}
	out := budgets{}
	for i := range agreements {
		a := &agreements[i]
		if a.Status.CurrentPeriod == nil {
			continue
		}
		left, err := strconv.ParseFloat(a.Status.CurrentPeriod.ErrorBudgetRemaining, 64)
		if err != nil {
			continue
		}
		ref := session.Ref{Namespace: a.Namespace, Name: string(a.Spec.ServiceRef.Name)}
		if before, known := least[ref]; !known || left < before {
			least[ref], out[ref] = left, a.Status.CurrentPeriod.ErrorBudgetRemaining+"%"
		}
	}
	return out
}

// view is how the tree is shown.
type view struct {
	now time.Time
	// namespace that names are of where they say none; empty: each name says its own.
	namespace string
	wide      bool
	budgets   budgets
}

func (v view) table(lines []line) *screen.Table {
	t := &screen.Table{Header: []string{"SERVICE", "HEALTH", "READY", "INCIDENTS", "BUDGET-LEFT", "TIER", "OWNER"}}
	if v.wide {
		t.Header = append(t.Header, "CHANGES", "LIFECYCLE", "SINCE", "WORKLOADS", "NEXT")
	}
	for _, l := range lines {
		t.Add(v.row(l)...)
	}
	return t
}

func (v view) row(l line) []screen.Cell {
	name := screen.Text(v.name(l))
	// The drawing begins with spaces, which Text would take for nothing.
	name.Text = l.branch + name.Text
	s := l.service
	if s == nil || l.mark == inCycle {
		cells := []screen.Cell{name}
		for range len(v.table(nil).Header) - 1 {
			cells = append(cells, screen.Cell{})
		}
		return cells
	}
	cells := []screen.Cell{
		name,
		screen.Styled(healthStyle(s), string(healthOf(s))),
		screen.Text(s.Status.Ready),
		incidentsCell(s),
		screen.Text(v.budgets[l.ref]),
		screen.Text(strconv.Itoa(int(s.Spec.Tier))),
		screen.Text(s.Spec.Owner.Team),
	}
	if v.wide {
		cells = append(cells,
			screen.Text(strconv.Itoa(int(s.Status.OpenChanges))),
			screen.Text(string(s.Spec.Lifecycle)),
			screen.Text(v.since(s)),
			screen.Text(workloadsOf(s)),
			screen.Text(screen.Cut(screen.Line(s.Status.NextStep), maxNext)),
		)
	}
	return cells
}

const maxNext = 100

// name says which service it is, and what the dependency on it is like.
func (v view) name(l line) string {
	name := l.ref.Name
	if l.ref.Namespace != v.namespace {
		name = l.ref.Namespace + "/" + name
	}
	var notes []string
	if d := l.dependency; d != nil {
		if d.Strength == v1alpha1.DependencySoft {
			notes = append(notes, "soft")
		}
		if d.Group != "" {
			notes = append(notes, strconv.Itoa(int(max(d.Minimum, 1)))+" of group "+d.Group)
		}
	}
	if l.mark != shownHere {
		notes = append(notes, string(l.mark))
	}
	if len(notes) > 0 {
		name += " (" + strings.Join(notes, ", ") + ")"
	}
	return name
}

func (v view) since(s *v1alpha1.Service) string {
	if s.Status.HealthSince == nil {
		return ""
	}
	return screen.Age(v.now, s.Status.HealthSince.Time)
}

func healthOf(s *v1alpha1.Service) v1alpha1.Health {
	return cmp.Or(s.Status.Health, v1alpha1.HealthUnknown)
}

func healthStyle(s *v1alpha1.Service) screen.Style {
	switch healthOf(s) {
	case v1alpha1.HealthOperational:
		return screen.Good
	case v1alpha1.HealthDegraded, v1alpha1.HealthMaintenance:
		return screen.Warn
	case v1alpha1.HealthOutage:
		return screen.Bad
	case v1alpha1.HealthUnknown:
	}
	return screen.Faint
}

func incidentsCell(s *v1alpha1.Service) screen.Cell {
	style := screen.Plain
	if s.Status.OpenIncidents > 0 {
		style = screen.Warn
	}
	return screen.Styled(style, strconv.Itoa(int(s.Status.OpenIncidents)))
}

func workloadsOf(s *v1alpha1.Service) string {
	const shown = 3
	var names []string
	for i, w := range s.Status.Workloads {
		if i == shown {
			names = append(names, "…")
			break
		}
		names = append(names, strings.ToLower(string(w.Kind))+"/"+string(w.Name)+" "+strconv.Itoa(int(w.Ready))+"/"+strconv.Itoa(int(w.Desired)))
	}
	return strings.Join(slices.Clip(names), ",")
}
