package delivery_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// world is all that the figures are about, as the API server has it.
type world struct {
	changes   []v1alpha1.Change
	incidents []v1alpha1.Incident
}

// The oracle reads each figure off docs/delivery-figures.md by itself, going through everything each time. It shares no
// code with the product.

func isDeployment(c *v1alpha1.Change) bool { return len(c.Status.Implementations) > 0 }

func wentIn(c *v1alpha1.Change) time.Time {
	first := c.Status.Implementations[0].At.Time
	for _, im := range c.Status.Implementations {
		if im.At.Time.Before(first) {
			first = im.At.Time
		}
	}
	return first
}

// rolledOut is when all that went in was; false where it is not.
func rolledOut(c *v1alpha1.Change) (last time.Time, all bool) {
	for _, im := range c.Status.Implementations {
		if im.Rollout != v1alpha1.RolloutComplete {
			return time.Time{}, false
		}
		if im.RolledOutAt.After(last) {
			last = im.RolledOutAt.Time
		}
	}
	return last, true
}

// takenBack is when all that went in was.
func takenBack(c *v1alpha1.Change) (last time.Time, all bool) {
	for _, im := range c.Status.Implementations {
		if im.Rollout != v1alpha1.RolloutRolledBack {
			return time.Time{}, false
		}
		if im.RolledOutAt.After(last) {
			last = im.RolledOutAt.Time
		}
	}
	return last, true
}

func hasFailed(c *v1alpha1.Change) bool {
	if c.Status.Outcome == v1alpha1.OutcomeUnsuccessful || c.Status.Outcome == v1alpha1.OutcomeRolledBack {
		return true
	}
	for _, im := range c.Status.Implementations {
		if im.Rollout == v1alpha1.RolloutFailed || im.Rollout == v1alpha1.RolloutRolledBack {
			return true
		}
	}
	return false
}

func isRework(c *v1alpha1.Change) bool {
	return c.Spec.Type == v1alpha1.ChangeEmergency || c.Spec.IncidentRef != nil
}

func (w *world) causedBy(c *v1alpha1.Change) (out []v1alpha1.Incident) {
	for _, ref := range c.Status.CausedIncidents {
		for _, i := range w.incidents {
			if string(ref.Name) == i.Name && cmp.Or(string(ref.Namespace), c.Namespace) == i.Namespace {
				out = append(out, i)
			}
		}
	}
	return out
}

func leadTime(c *v1alpha1.Change) (time.Duration, bool) {
	out, all := rolledOut(c)
	from := c.CreationTimestamp.Time
	if in := wentIn(c); in.Before(from) {
		from = in
	}
	return out.Sub(from), all
}

// broken is since when a failed deployment was, and until when; false where it is not recovered from by itself. Waits:
// an Incident is open, and nothing else recovers it.
func (w *world) broken(c *v1alpha1.Change) (from, until time.Time, over, waits bool) {
	from = wentIn(c)
	caused := w.causedBy(c)
	if len(caused) > 0 {
		first := caused[0].Status.StartedAt.Time
		for _, i := range caused {
			if i.Status.StartedAt.Time.Before(first) {
				first = i.Status.StartedAt.Time
			}
		}
		if first.After(from) {
			from = first
		}
	}
	for _, i := range caused {
		if i.Status.ResolvedAt == nil {
			return from, time.Time{}, false, true
		}
		if i.Status.ResolvedAt.After(until) {
			until = i.Status.ResolvedAt.Time
		}
		over = true
	}
	if back, all := takenBack(c); all {
		over = true
		if back.After(until) {
			until = back
		}
	}
	return from, until, over, false
}

// of is the deployments of some workloads, in the order in which they went in.
func (w *world) of(workloads []string) (out []*v1alpha1.Change) {
	for n := range w.changes {
		c := &w.changes[n]
		for _, im := range c.Status.Implementations {
			if slices.Contains(workloads, string(im.Workload.Name)) && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b *v1alpha1.Change) int {
		return cmp.Or(wentIn(a).Compare(wentIn(b)), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// figures of a Service with these workloads; nil without deployments, if it never had one.
func (w *world) figures(workloads []string, now time.Time, ever bool) *v1alpha1.DeliveryFigures {
	const days = 90
	all := w.of(workloads)
	out := &v1alpha1.DeliveryFigures{WindowDays: days}
	var leads, recoveries []time.Duration
	var last time.Time
	for n, c := range all {
		if now.Sub(wentIn(c)) >= days*24*time.Hour {
			continue
		}
		out.Deployments++
		when := wentIn(c)
		if done, complete := rolledOut(c); complete {
			when = done
		}
		if when.After(last) {
			last = when
		}
		if lead, ok := leadTime(c); ok {
			leads = append(leads, lead)
		}
		if isRework(c) {
			out.Rework++
		}
		if !hasFailed(c) {
			continue
		}
		out.Failed++
		from, until, over, waits := w.broken(c)
		for _, next := range all[n+1:] {
			if done, complete := rolledOut(next); !over && !waits && complete && !hasFailed(next) && done.After(from) {
				until, over = done, true
			}
		}
		if over {
			recoveries = append(recoveries, until.Sub(from))
		}
	}
	if out.Deployments == 0 {
		if ever {
			return out
		}
		return nil
	}
	out.LeadTimeSeconds, out.LeadTimes = lowerMedian(leads)
	out.RecoverySeconds, out.Recoveries = lowerMedian(recoveries)
	n := float64(out.Deployments)
	out.DeploymentsPerWeek = fmt.Sprintf("%.2f", n*7/days)
	out.ChangeFailurePercent = percent(float64(out.Failed), n)
	out.ReworkPercent = percent(float64(out.Rework), n)
	at := metav1.NewTime(last)
	out.LastDeployedAt = &at
	return out
}

// release is what one says about its own Change; nil where that is gone, or nothing went in.
func (w *world) release(name string) *v1alpha1.ReleaseDelivery {
	for n := range w.changes {
		c := &w.changes[n]
		if c.Name != name || !isDeployment(c) {
			continue
		}
		out := &v1alpha1.ReleaseDelivery{Result: v1alpha1.DeliveryPending}
		if lead, ok := leadTime(c); ok {
			out.Result, out.LeadTimeSeconds = v1alpha1.DeliveryDeployed, new(int64(lead.Seconds()))
		}
		if hasFailed(c) {
			out.Result = v1alpha1.DeliveryFailed
			if from, until, over, _ := w.broken(c); over {
				out.RecoverySeconds = new(int64(until.Sub(from).Seconds()))
			}
		}
		return out
	}
	return nil
}

// lowerMedian has as many values on either side, or one more above.
func lowerMedian(values []time.Duration) (*int64, int32) {
	for _, v := range values {
		below, above := 0, 0
		for _, o := range values {
			if o < v {
				below++
			}
			if o > v {
				above++
			}
		}
		// Where the lower half ends: at most half of the others lie below, and at most half of all above.
		if 2*below < len(values) && 2*above <= len(values) {
			return new(int64(v.Seconds())), int32(len(values))
		}
	}
	return nil, 0
}

func percent(part, whole float64) string {
	return fmt.Sprintf("%.1f", math.Floor(1000*part/whole+0.5)/10)
}
