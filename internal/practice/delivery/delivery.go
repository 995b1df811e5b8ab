// Package delivery measures how software is delivered, as DORA does (https://dora.dev/guides/dora-metrics): deployment
// frequency, lead time for changes, change failure rate, failed deployment recovery time and deployment rework rate. It
// is pure.
//
// What DORA calls a deployment is a Change of which something went into the cluster. Where DORA counts from the commit,
// which a cluster does not know, the lead time counts from the creation of the Change.
package delivery

import (
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const day = 24 * time.Hour

// Window is how far back deployments count. Changes are kept for as long after they are closed.
const Window = 90 * day

// Deployment is a Change of which something went in.
type Deployment struct {
	// Name of the Change.
	Name string
	// CreatedAt is when it was filed, or what went in first if it was filed afterwards; At when something first went in.
	CreatedAt, At time.Time
	// DeployedAt is when all that went in was rolled out; zero while it is not, or was not.
	DeployedAt time.Time
	// Failed: it did not roll out, was rolled back, or was found Unsuccessful.
	Failed bool
	// FailedAt is when it did, and RecoveredAt when what it broke was restored; zero: it is not yet.
	FailedAt, RecoveredAt time.Time
	// Broken: an Incident that it caused is open. Until it ends nothing else tells that it is recovered from.
	Broken bool
	// Rework: it was not planned, but done because something was broken.
	Rework bool
}

// Incident is what counts of an Incident that a Change caused. Its end is zero while it is open.
type Incident struct{ StartedAt, EndedAt time.Time }

// Of reads a Change, with the Incidents that it caused as far as they are kept. It is no deployment where nothing went in.
func Of(c *v1alpha1.Change, caused []Incident) (d Deployment, ok bool) {
	if len(c.Status.Implementations) == 0 {
		return d, false
	}
	d = Deployment{
		Name: c.Name, CreatedAt: c.CreationTimestamp.Time,
		Rework: c.Spec.Type == v1alpha1.ChangeEmergency || c.Spec.IncidentRef != nil,
		Failed: c.Status.Outcome == v1alpha1.OutcomeUnsuccessful || c.Status.Outcome == v1alpha1.OutcomeRolledBack,
	}
	complete, back := true, true
	var rolledOut, rolledBack time.Time
	for i := range c.Status.Implementations {
		im := &c.Status.Implementations[i]
		if d.At.IsZero() || im.At.Time.Before(d.At) {
			d.At = im.At.Time
		}
		ended := im.At.Time
		if im.RolledOutAt != nil {
			ended = im.RolledOutAt.Time
		}
		switch im.Rollout {
		case v1alpha1.RolloutComplete:
			rolledOut, back = later(rolledOut, ended), false
		case v1alpha1.RolloutFailed:
			d.Failed, complete, back = true, false, false
		case v1alpha1.RolloutRolledBack:
			d.Failed, complete, rolledBack = true, false, later(rolledBack, ended)
		case v1alpha1.RolloutInProgress:
			complete, back = false, false
		}
	}
	if complete {
		d.DeployedAt = rolledOut
	}
	if d.At.Before(d.CreatedAt) {
		d.CreatedAt = d.At
	}
	if d.Failed {
		d.fail(caused, rolledBack, back)
	}
	return d, true
}

// fail finds from when to when it was broken: as long as the Incidents that it caused were open, and until it was back.
func (d *Deployment) fail(caused []Incident, rolledBack time.Time, back bool) {
	d.FailedAt = d.At
	var ended time.Time
	for n, i := range caused {
		if n == 0 || i.StartedAt.Before(d.FailedAt) {
			d.FailedAt = i.StartedAt
		}
		d.Broken = d.Broken || i.EndedAt.IsZero()
		ended = later(ended, i.EndedAt)
	}
	if d.FailedAt.Before(d.At) {
		d.FailedAt = d.At
	}
	if back {
		ended = later(ended, rolledBack)
	}
	if !d.Broken {
		d.RecoveredAt = ended
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Measure sums up deployments, in any order, and says when the next one leaves the window: until then the figures are
// the same. A failed deployment that is not Broken and has no recorded recovery is recovered from by the next one that
// did not fail.
func Measure(deployments []Deployment, now time.Time) (figures v1alpha1.DeliveryFigures, next time.Time) {
	f := v1alpha1.DeliveryFigures{WindowDays: int32(Window / day)}
	from := now.Add(-Window)
	sorted := slices.SortedFunc(slices.Values(deployments), func(a, b Deployment) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	var leads, recoveries []int64
	for n, d := range sorted {
		if !d.At.After(from) {
			continue
		}
		if leaves := d.At.Add(Window); next.IsZero() || leaves.Before(next) {
			next = leaves
		}
		f.Deployments++
		last := metav1.NewTime(later(d.At, d.DeployedAt))
		if f.LastDeployedAt == nil || f.LastDeployedAt.Before(&last) {
			f.LastDeployedAt = &last
		}
		if d.Rework {
			f.Rework++
		}
		if !d.DeployedAt.IsZero() {
			leads = append(leads, seconds(d.CreatedAt, d.DeployedAt))
		}
		if d.Failed {
			f.Failed++
			if end := recovered(d, sorted[n+1:]); !end.IsZero() {
				recoveries = append(recoveries, seconds(d.FailedAt, end))
			}
		}
	}
	f.LeadTimeSeconds, f.LeadTimes = median(leads)
	f.RecoverySeconds, f.Recoveries = median(recoveries)
	if f.Deployments > 0 {
		f.DeploymentsPerWeek = decimal(int64(f.Deployments)*700, int64(f.WindowDays), 2)
		f.ChangeFailurePercent = decimal(int64(f.Failed)*1000, int64(f.Deployments), 1)
		f.ReworkPercent = decimal(int64(f.Rework)*1000, int64(f.Deployments), 1)
	}
	return f, next
}

// IncompleteBefore is the time before which deployments of a workload may be missing: of the Changes of it that ended, no
// more than limit are kept, the newest; 0 is all. Zero: none of the window is missing.
func IncompleteBefore(ended []time.Time, limit int, now time.Time) time.Time {
	if limit <= 0 || len(ended) < limit {
		return time.Time{}
	}
	sorted := slices.SortedFunc(slices.Values(ended), time.Time.Compare)
	oldest := sorted[len(sorted)-limit]
	if !oldest.After(now.Add(-Window)) {
		return time.Time{}
	}
	return oldest
}

// recovered is when a failed deployment was recovered from.
func recovered(d Deployment, after []Deployment) time.Time {
	if d.Broken || !d.RecoveredAt.IsZero() {
		return d.RecoveredAt
	}
	for _, o := range after {
		if !o.Failed && o.DeployedAt.After(d.FailedAt) {
			return o.DeployedAt
		}
	}
	return time.Time{}
}

// One measures a single deployment.
func One(d Deployment) v1alpha1.ReleaseDelivery {
	out := v1alpha1.ReleaseDelivery{Result: v1alpha1.DeliveryPending}
	if !d.DeployedAt.IsZero() {
		lead := seconds(d.CreatedAt, d.DeployedAt)
		out.Result, out.LeadTimeSeconds = v1alpha1.DeliveryDeployed, &lead
	}
	if d.Failed {
		out.Result = v1alpha1.DeliveryFailed
		if !d.RecoveredAt.IsZero() {
			took := seconds(d.FailedAt, d.RecoveredAt)
			out.RecoverySeconds = &took
		}
	}
	return out
}

func seconds(from, to time.Time) int64 { return int64(max(to.Sub(from), 0) / time.Second) }

// median of values, the lower one of two in the middle, and how many they are; nil of none.
func median(values []int64) (middle *int64, sample int32) {
	if len(values) == 0 {
		return nil, 0
	}
	slices.Sort(values)
	m := values[(len(values)-1)/2]
	return &m, int32(min(len(values), 1<<20))
}

// decimal writes n/of, rounded half up, where n is in units of the last of so many decimals: 1250, 10 and 1 is "12.5".
func decimal(n, of int64, decimals int) string {
	value := (2*n + of) / (2 * of)
	text := strconv.FormatInt(value, 10)
	if missing := decimals + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	return text[:len(text)-decimals] + "." + text[len(text)-decimals:]
}
