package service

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// pods of workloads, by name.
type pods map[string][]*incident.Pod

func (pods) WaitForPods(context.Context) bool { return true }

func (p pods) PodsOf(key configuration.Key) []*incident.Pod { return p[key.Name] }

// podSince is a pod of long ago that is ready, or is not, since a time; where crashed is not zero its container was
// over then, for the first time.
func podSince(ready bool, since, crashed time.Time) *incident.Pod {
	p := &incident.Pod{CreatedAt: incident.SecondOf(start.Add(-24 * time.Hour))}
	p.Ready = incident.PodCondition{Status: corev1.ConditionFalse, Since: incident.SecondOf(since)}
	if ready {
		p.Ready.Status = corev1.ConditionTrue
	}
	c := incident.Container{Name: "app", RunningSince: p.CreatedAt}
	if !crashed.IsZero() {
		c.Restarts, c.RunningSince = 1, incident.SecondOf(since)
		c.Last = incident.Run{Over: true, Started: p.CreatedAt, Finished: incident.SecondOf(crashed)}
	}
	p.Containers = []incident.Container{c}
	return p
}

// recorded is a Service as the last leader left it, an hour ago, with one pod.
func recorded(b *builder.Service, health v1alpha1.Health, ready int32) *v1alpha1.Service {
	s := b.Obj()
	since := metav1.NewTime(start.Add(-6 * time.Hour))
	s.Status = v1alpha1.ServiceStatus{
		Health: health, HealthSince: &since, Transitions: []v1alpha1.HealthTransition{{Health: health, At: since}},
		Workloads: []v1alpha1.ServiceWorkload{{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(s.Name), Ready: ready, Desired: 1}},
	}
	return s
}

func told(s v1alpha1.ServiceStatus) (list []string) {
	for _, t := range s.Transitions {
		list = append(list, string(t.Health)+t.At.Sub(start).String())
	}
	return list
}

// TestWhileNobodyWatched: the last leader was there until an hour ago.
func TestWhileNobodyWatched(t *testing.T) {
	const up, out = v1alpha1.HealthOperational, v1alpha1.HealthOutage
	before := func(d time.Duration) time.Time { return start.Add(-d) }
	cases := map[string]struct {
		health v1alpha1.Health
		ready  int32
		now    int32
		pod    *incident.Pod
		want   []string
		again  time.Duration
	}{
		"nothing happened": {health: up, ready: 1, now: 1, pod: podSince(true, before(5*time.Hour), time.Time{}), want: []string{"Operational-6h0m0s"}},
		"pods of it are ready, and nobody knows which": {health: up, ready: 1, now: 1, want: []string{"Operational-6h0m0s"}},
		"an outage began, and goes on": {
			health: up, ready: 1, now: 0, pod: podSince(false, before(50*time.Minute), time.Time{}), want: []string{"Operational-6h0m0s", "Outage-50m0s"},
		},
		"an outage ended": {
			health: out, ready: 0, now: 1, pod: podSince(true, before(50*time.Minute), time.Time{}), want: []string{"Outage-6h0m0s", "Operational-50m0s"},
		},
		"an outage had ended just before": {
			health: out, ready: 1, now: 1, pod: podSince(true, before(time.Hour+20*time.Second), time.Time{}), want: []string{"Outage-6h0m0s", "Operational-1h0m20s"},
		},
		"an outage began and ended": {
			health: up, ready: 1, now: 1, pod: podSince(true, before(40*time.Minute), before(50*time.Minute)),
			want: []string{"Operational-6h0m0s", "Outage-50m0s", "Operational-40m0s"},
		},
		"an outage that has just ended, perhaps": {
			health: up, ready: 1, now: 1, pod: podSince(true, before(20*time.Second), before(50*time.Minute)),
			want: []string{"Operational-6h0m0s", "Outage-50m0s"}, again: 40 * time.Second,
		},
		"it is not known since when": {
			health: up, ready: 1, now: 1, pod: podSince(true, before(40*time.Minute), time.Time{}),
			want: []string{"Operational-6h0m0s", "Unknown-1h0m0s", "Operational-40m0s"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			// Another runs on it alone, and one on that: they are as it is.
			checkout := recorded(builder.MakeService("shop", "checkout").Claim("Deployment", "checkout"), c.health, c.ready)
			front := recorded(builder.MakeService("shop", "front").DependsOn("", "checkout", "Hard"), c.health, c.ready)
			shop := recorded(builder.MakeService("shop", "shop").DependsOn("", "front", "Hard"), c.health, c.ready)
			k := newCluster(t, checkout, front, shop, builder.MakeDeployment("shop", "checkout").Replicas(1).Status(1, 1, c.now).Unstructured())
			k.r.Pods = pods{}
			if c.pod != nil {
				k.r.Pods = pods{"checkout": {c.pod}}
			}
			k.r.Watched = func() time.Time { return before(time.Hour) }
			if _, ok := k.r.Told(named("checkout")); ok {
				t.Error("told of a Service before it was looked at")
			}
			for _, name := range []string{"shop", "checkout", "front"} {
				s, again := k.reconcile(name)
				if diff := cmp.Diff(c.want, told(s)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if last := s.Transitions[len(s.Transitions)-1]; !s.HealthSince.Equal(&last.At) || s.Health != last.Health {
					t.Errorf("%s: %s since %s", name, s.Health, s.HealthSince)
				}
				if name == "checkout" && again != c.again {
					t.Errorf("looks again after %s, want %s", again, c.again)
				}
				if since, ok := k.r.Told(named(name)); !ok || !since.Equal(s.HealthSince.Time) {
					t.Errorf("%s: told %v, %t", name, since, ok)
				}
			}
			writes := k.writes
			for _, name := range []string{"shop", "checkout", "front"} {
				k.reconcile(name)
			}
			if k.writes != writes {
				t.Errorf("%d writes where nothing happened", k.writes-writes)
			}
		})
	}
}

// TestDependentsRecoverWithIt: the end of an outage is dated back for those that it took down, too.
func TestDependentsRecoverWithIt(t *testing.T) {
	c := newCluster(t,
		builder.MakeService("shop", "front").DependsOn("", "checkout", "Hard").Obj(),
		builder.MakeService("shop", "checkout").Claim("Deployment", "checkout").Obj(), checkout(2, 2),
	)
	c.reconcile("front", "checkout")
	c.after(time.Minute).put(checkout(2, 0))
	c.reconcile("checkout", "front")
	c.after(time.Minute).put(checkout(2, 2))
	c.reconcile("checkout", "front")
	c.after(time.Minute).reconcile("checkout")
	s, _ := c.after(time.Second).reconcile("front")
	if diff := cmp.Diff([]string{"Operational0s", "Outage1m0s", "Operational2m0s"}, told(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTransitions(t *testing.T) {
	at := func(minute int) metav1.Time { return metav1.NewTime(start.Add(time.Duration(minute) * time.Minute)) }
	list := func(pairs ...any) (out []v1alpha1.HealthTransition) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, v1alpha1.HealthTransition{Health: pairs[i].(v1alpha1.Health), At: at(pairs[i+1].(int))})
		}
		return out
	}
	const up, out, planned = v1alpha1.HealthOperational, v1alpha1.HealthOutage, v1alpha1.HealthMaintenance
	many := list()
	for n := range 20 {
		many = append(many, list([]v1alpha1.Health{up, out}[n%2], n)...)
	}
	cases := map[string]struct {
		before, changes []v1alpha1.HealthTransition
		health          v1alpha1.Health
		// now, and when the changes were found where that was before.
		now, foundOn int
		want         []v1alpha1.HealthTransition
	}{
		"the first":              {health: up, now: 5, want: list(up, 5)},
		"nothing new":            {before: list(up, 5), health: up, now: 9, want: list(up, 5)},
		"several at once":        {before: list(up, 0), changes: list(out, 3, up, 6), health: up, now: 9, want: list(up, 0, out, 3, up, 6)},
		"one that is dated back": {before: list(up, 0, out, 3), changes: list(up, 6), health: up, now: 7, want: list(up, 0, out, 3, up, 6)},
		"what was told meanwhile was a mistake": {
			before: list(up, 0, planned, 3, out, 8), changes: list(up, 6), health: up, now: 9, want: list(up, 0, planned, 3, up, 6),
		},
		"what another leader told since it was found stays": {
			before: list(up, 0, out, 8), changes: list(up, 1), foundOn: 1, health: out, now: 9, want: list(up, 0, out, 8),
		},
		"what another leader told since it was found to be earlier stays": {
			before: list(up, 0, out, 3, up, 5, out, 9), changes: list(up, 4), foundOn: 7, health: out, now: 10, want: list(up, 0, out, 3, up, 5, out, 9),
		},
		"for no time":                 {before: list(up, 0), changes: list(out, 3, up, 3), health: up, now: 9, want: list(up, 0)},
		"a clock that was set back":   {before: list(up, 0, out, 60), changes: list(up, 30), health: up, now: 30, want: list(up, 0, out, 60, up, 60)},
		"at most twenty":              {before: many, changes: list(up, 30), health: up, now: 30, want: append(slices.Clone(many[1:]), list(up, 30)...)},
		"of a version that kept none": {changes: list(up, 6), health: up, now: 7, want: list(out, 2, up, 6)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &v1alpha1.ServiceStatus{Transitions: c.before}
			if n := len(c.before); n > 0 {
				s.Health, s.HealthSince = c.before[n-1].Health, &c.before[n-1].At
			}
			if name == "of a version that kept none" {
				two := at(2)
				s.Health, s.HealthSince = out, &two
			}
			foundOn := c.foundOn
			if foundOn == 0 {
				foundOn = c.now
			}
			var changes []finding
			for _, change := range c.changes {
				changes = append(changes, finding{HealthTransition: change, on: at(foundOn).Time})
			}
			if diff := cmp.Diff(c.want, transitions(s, changes, c.health, at(c.now).Time)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
