package release

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// What cannot be released as asked is said while nothing is in.
func TestRefusedAtPlanning(t *testing.T) {
	unknown := func(r *v1alpha1.Release) { r.Spec.Strategy = "Canary" }
	cases := map[string]struct {
		edit  func(*v1alpha1.Release)
		found func(*configuration.Workload)
		says  string
	}{
		"OnDelete with Apply":   {found: func(w *configuration.Workload) { w.Hold.OnDelete = true }, says: "updateStrategy OnDelete"},
		"OnDelete with Observe": {edit: observes, found: func(w *configuration.Workload) { w.Hold.OnDelete = true }},
		"a Job with Apply":      {found: func(w *configuration.Workload) { w.Key.Kind = configuration.KindJob }, says: "template cannot be changed"},
		"no such container":     {found: func(w *configuration.Workload) { w.Template.Images = nil }, says: "has no container app"},
		"it is being deleted":   {found: func(w *configuration.Workload) { w.Deleting = true }, says: "there is no deployment/worker"},
		"a strategy to come":    {edit: unknown, found: func(*configuration.Workload) {}, says: "does not know strategy Canary"},
		"nothing is wrong":      {found: func(*configuration.Workload) {}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.edit == nil {
				c.edit = func(*v1alpha1.Release) {}
			}
			m := newModel(t, rel("shop", c.edit))
			in := m.input("shop")
			w := *in.Units["worker"].Workload
			c.found(&w)
			u := in.Units["worker"]
			u.Workload = &w
			in.Units["worker"] = u
			d := Decide(in, m.now)
			told := fmt.Sprintf("%s %+v", d.Status.NextStep, d.Status.Conditions)
			if c.says != "" && (d.Status.State != v1alpha1.ReleasePlanning || !strings.Contains(told, c.says)) {
				t.Errorf("state %s, told %s; want %q", d.Status.State, told, c.says)
			}
			if c.says == "" && strings.Contains(told, "OnDelete") {
				t.Errorf("refused: %s", told)
			}
		})
	}
}

// A unit that cannot finish is named, with what lets it.
func TestAUnitThatIsHeldIsNamed(t *testing.T) {
	cases := map[string]struct {
		hold configuration.Hold
		says string
	}{
		"paused":    {configuration.Hold{Paused: true}, "kubectl rollout resume deployment/worker"},
		"OnDelete":  {configuration.Hold{OnDelete: true}, "only when somebody deletes them"},
		"partition": {configuration.Hold{Partition: 2}, "partition 2"},
		"suspended": {configuration.Hold{Suspended: true}, "spec.suspend is false"},
		"not held":  {configuration.Hold{}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, rel("shop"))
			m.machines["worker"].paused = true // so that it is not complete
			m.run(time.Minute, nil)
			if m.state().StartedAt == nil {
				t.Fatal("it has not begun")
			}
			in := m.input("shop")
			w := *in.Units["worker"].Workload
			w.Hold = c.hold
			u := in.Units["worker"]
			u.Workload = &w
			in.Units["worker"] = u
			s := Decide(in, m.now).Status
			at := slices.IndexFunc(s.Units, func(u v1alpha1.ReleaseUnitStatus) bool { return u.Name == "worker" })
			holds := strings.HasPrefix(s.NextStep, "Let go of what holds it back")
			if !strings.Contains(s.Units[at].Message, c.says) || holds != (c.says != "") || holds && !strings.Contains(s.NextStep, c.says) {
				t.Errorf("unit %q, next step %q; want %q", s.Units[at].Message, s.NextStep, c.says)
			}
		})
	}
}

// A Release says what its Change waits for in one line, from which a manifest of several cannot be copied.
func TestNextStepOfItsChange(t *testing.T) {
	cases := map[string]struct{ next, want string }{
		"one line": {"Wait until 10:00.", "Wait until 10:00."},
		"a vote's manifest": {
			"Vote: kubectl itil approve shop/a (or reject)." + change.WithoutPlugin + "\nkubectl create -f - <<EOF\n{}\nEOF",
			"Vote: kubectl itil approve shop/a (or reject)." + change.WithoutPlugin + " kubectl get changes.itil.dev a -n shop -o jsonpath='{.status.nextStep}'",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			chg := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}, Status: v1alpha1.ChangeStatus{NextStep: c.next}}
			if got := nextStepOf(chg); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
