package service

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// maxTransitions is the API's bound for the changes of health that a status keeps.
const maxTransitions = 20

// finding is a change of health with the time at which this process found out about it, which is later than the change
// where that is dated back.
type finding struct {
	v1alpha1.HealthTransition

	on time.Time
}

// record the changes of health that a move in the graph brought about, each with the time at which what caused it
// happened. They wait until the status of their Service is written.
func (r *Reconciler) record(moved []servicelevel.ServiceName, at, now time.Time) {
	for _, name := range moved {
		told, exists := r.graph.Health(name)
		if !exists || told.Shown == r.shown[name] {
			continue
		}
		r.shown[name], r.found[name] = told.Shown, now
		waiting := append(r.waiting[name], finding{HealthTransition: v1alpha1.HealthTransition{Health: told.Shown, At: metav1.NewTime(at)}, on: now})
		r.waiting[name] = waiting[max(len(waiting)-maxTransitions, 0):]
	}
}

// written takes out the changes that a status has now, and remembers what it tells.
func (r *Reconciler) written(name servicelevel.ServiceName, changes []finding, status *v1alpha1.ServiceStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[name] = slices.DeleteFunc(r.waiting[name], func(c finding) bool { return slices.Contains(changes, c) })
	if len(r.waiting[name]) == 0 {
		delete(r.waiting, name)
	}
	if status != nil && status.HealthSince != nil {
		r.told[name] = status.HealthSince.Time
		r.found[name] = laterOf(r.found[name], status.HealthSince.Time)
	}
}

// Told is since when a Service has the health that this process wrote last, or found to be right; false while it has
// not looked at the Service yet. Who counts how long a service was out waits for it after a restart.
func (r *Reconciler) Told(name servicelevel.ServiceName) (since time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, ok = r.told[name]
	return since, ok
}

// transitions are those of a status with changes after them, in order and in whole seconds, ending with a health.
func transitions(before *v1alpha1.ServiceStatus, changes []finding, health v1alpha1.Health, now time.Time) []v1alpha1.HealthTransition {
	list := slices.Clone(before.Transitions)
	last := func() v1alpha1.HealthTransition {
		if len(list) == 0 {
			return v1alpha1.HealthTransition{}
		}
		return list[len(list)-1]
	}
	known := before.HealthSince != nil && before.Health != ""
	if known && (last().Health != before.Health || !last().At.Time.Equal(before.HealthSince.Time)) {
		// Written by a version that kept none, or by hand.
		list = slices.DeleteFunc(list, func(t v1alpha1.HealthTransition) bool { return !t.At.Before(before.HealthSince) })
		list = append(list, v1alpha1.HealthTransition{Health: before.Health, At: *before.HealthSince})
	}
	add := func(h v1alpha1.Health, at time.Time) {
		backdated := at.Before(now)
		at = at.Truncate(time.Second)
		// What was told after the time to which this is dated back was a mistake, and so is what lasted for no second.
		for len(list) > 1 && (last().At.Time.Equal(at) || backdated && last().At.After(at)) {
			list = list[:len(list)-1]
		}
		if last().Health == h {
			return
		}
		list = append(list, v1alpha1.HealthTransition{Health: h, At: metav1.NewTime(laterOf(at, last().At.Time))})
	}
	for _, c := range changes {
		// What was told of a time after this was found was told by another leader, while this could not be written: that
		// is no mistake, and knows more.
		if !last().At.After(c.on) {
			add(c.Health, c.At.Time)
		}
	}
	add(health, now)
	if len(changes) == 0 && before.Health == health {
		return before.Transitions
	}
	return list[max(len(list)-maxTransitions, 0):]
}
