package slas

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	practice "github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// figures are what is shown of a running period. Empty: not known.
type figures struct {
	availability, left, down, mtrs, mtbf string
	outages                              int32
}

// stale marks figures that are not those of now.
const stale = "*"

// figuresOf are the running figures, or those of the status.
func figuresOf(a *v1alpha1.ServiceLevelAgreement, r practice.RunningFigures, now bool) figures {
	f := figures{}
	if !now {
		p := a.Status.CurrentPeriod
		if p == nil {
			return f
		}
		f.outages, f.down = p.Outages, length(p.DowntimeSeconds)+stale
		if p.Availability != "" {
			f.availability = p.Availability + " %" + stale
		}
		if p.ErrorBudgetRemaining != "" {
			f.left = p.ErrorBudgetRemaining + " %" + stale
		}
		return f
	}
	f.outages, f.down = r.Sums.Outages, length(r.Sums.Downtime)
	if share, ok := r.Sums.Availability(); ok {
		f.availability = percent(int64(share), 4)
	}
	if left, ok := r.Terms.BudgetRemaining(r.Sums); ok {
		f.left = percent(left, 1)
	}
	if seconds, ok := r.Sums.MTRS(); ok {
		f.mtrs = length(seconds)
	}
	if seconds, ok := r.Sums.MTBF(); ok {
		f.mtbf = length(seconds)
	}
	return f
}

func length(seconds int64) string {
	return duration.HumanDuration(time.Duration(seconds) * time.Second)
}

// percent writes a number of so many decimals, without zeros at its end that say nothing: 999700 and 4 is "99.97 %".
func percent(n int64, decimals int) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	text := strconv.FormatInt(n, 10)
	if missing := decimals + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	whole, fraction := text[:len(text)-decimals], strings.TrimRight(text[len(text)-decimals:], "0")
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole + " %"
}

func newTable(c screen.Columns) *screen.Table {
	return c.Table(
		[]string{"NAME", "SERVICE", "COMPLIANCE", "PROMISED", "KEPT", "BUDGET-LEFT", "DOWNTIME", "PERIOD-ENDS"},
		[]string{"CUSTOMER", "OUTAGES", "MTRS", "MTBF", "RESPONSE", "RESOLUTION", "NEXT"},
	)
}

func row(a *v1alpha1.ServiceLevelAgreement, f figures, now time.Time, c screen.Columns) []screen.Cell {
	promised, ends := "", ""
	if a.Spec.Availability != nil && a.Spec.Availability.Target != "" {
		promised = string(a.Spec.Availability.Target) + " %"
	}
	if p := a.Status.CurrentPeriod; p != nil {
		ends = screen.Ago(now, p.End.Time)
		if p.Target != "" {
			promised = string(p.Target) + " %"
		}
	}
	is := cmp.Or(a.Status.Compliance, v1alpha1.ComplianceUnknown)
	return c.Row(a.Namespace, []screen.Cell{
		screen.Text(a.Name), screen.Text(string(a.Spec.ServiceRef.Name)), screen.Styled(style(is), string(is)),
		screen.Text(promised), screen.Text(f.availability), screen.Text(f.left), screen.Text(f.down), screen.Text(ends),
	}, func() []screen.Cell {
		response, resolution := "", ""
		if i := a.Status.Incidents; i != nil {
			response, resolution = kept(i.ResponseMet, i.ResponseBreached), kept(i.ResolutionMet, i.ResolutionBreached)
		}
		return []screen.Cell{
			screen.Text(a.Spec.Customer), screen.Text(strconv.Itoa(int(f.outages))), screen.Text(f.mtrs), screen.Text(f.mtbf),
			screen.Text(response), screen.Text(resolution), screen.Text(a.Status.NextStep),
		}
	})
}

// kept is how many Incidents were dealt with in time, of how many.
func kept(met, breached int32) string {
	return strconv.Itoa(int(met)) + "/" + strconv.Itoa(int(met+breached))
}

func style(c v1alpha1.Compliance) screen.Style {
	switch c {
	case v1alpha1.ComplianceMet:
		return screen.Good
	case v1alpha1.ComplianceAtRisk:
		return screen.Warn
	case v1alpha1.ComplianceBreached:
		return screen.Bad
	case v1alpha1.ComplianceUnknown:
	}
	return screen.Faint
}
