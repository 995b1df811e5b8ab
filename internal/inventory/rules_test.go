package inventory_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// TestRulesFollowPoliciesAndCalendars: a Calendar that comes, is edited, cannot be understood or goes, a policy that names
// another, and a namespace that leaves a policy alter the rules at once, what was approved follows, and whoever keeps statuses
// is told.
func TestRulesFollowPoliciesAndCalendars(t *testing.T) {
	chg := builder.MakeChange("shop", "c").Target("Deployment", "checkout", "x:2").Assessed(v1alpha1.RiskLow).Approved(builder.Epoch).Obj()
	production := shop(map[string]string{"env": "production"})
	calendar := func(name string, days ...v1alpha1.Weekday) *v1alpha1.Calendar {
		c := &v1alpha1.Calendar{}
		c.Name = name
		c.Spec.Weekly = []v1alpha1.WeeklyHours{{Days: days, From: "00:00", To: "24:00"}}
		return c
	}
	policy := func(generation int64, alter func(*v1alpha1.ChangePolicySpec)) *v1alpha1.ChangePolicy {
		p := builder.MakeChangePolicy("production").Spec(alter).Obj()
		p.Generation = generation
		return p
	}
	naming := func(name v1alpha1.ObjectName) func(*v1alpha1.ChangePolicySpec) {
		return func(s *v1alpha1.ChangePolicySpec) {
			s.ChangeWindow = &v1alpha1.ChangeWindow{CalendarRef: v1alpha1.LocalReference{Name: name}}
		}
	}
	frozen := func(s *v1alpha1.ChangePolicySpec) {
		s.Freezes = []v1alpha1.Freeze{{Name: "f", From: "2020-01-01T00:00:00Z", To: "2090-01-01T00:00:00Z"}}
	}
	second := builder.MakeChangePolicy("second").Spec(frozen).Obj()
	second.Spec.NamespaceSelector = policy(0, frozen).Spec.NamespaceSelector
	edited := second.DeepCopy()
	edited.Generation, edited.Spec.Freezes = second.Generation+1, nil

	i := with(production, chg)
	told := 0
	stop := i.Subscribe(func(e inventory.Event) {
		if e.Namespace == "shop" {
			told++
		}
	})
	defer stop()
	const never = time.Weekday(-1)
	for n, step := range []struct {
		what    string
		do      func()
		opens   time.Weekday // of the first day on which something normal may go in; never
		invalid bool
		told    int
	}{
		{"there is no policy", func() {}, builder.Epoch.Weekday(), false, 0},
		{"a policy names a Calendar that is not there", func() { i.Put(policy(1, naming("office"))) }, never, false, 1},
		{"it comes", func() { i.Put(calendar("office", "Wed")) }, time.Wednesday, false, 1},
		{"it is edited", func() { i.Put(calendar("office", "Fri")) }, time.Friday, false, 1},
		{"it cannot be understood", func() { i.Put(calendar("office", "Someday")) }, never, true, 1},
		{"it is mended", func() { i.Put(calendar("office", "Sat")) }, time.Saturday, false, 1},
		{"another comes, which nobody names", func() { i.Put(calendar("spare", "Sun")) }, time.Saturday, false, 0},
		{"the policy names that one", func() { i.Put(policy(2, naming("spare"))) }, time.Sunday, false, 1},
		{"the first one goes", func() { i.Remove(calendar("office", "Sat")) }, time.Sunday, false, 0},
		{"a second policy freezes everything", func() { i.Put(second) }, never, false, 1},
		{"that one is edited", func() { i.Put(edited) }, time.Sunday, false, 1},
		{"the Calendar goes", func() { i.Remove(calendar("spare", "Sun")) }, never, false, 1},
		{"the policy wants none", func() { i.Put(policy(3, func(*v1alpha1.ChangePolicySpec) {})) }, builder.Epoch.Weekday(), false, 1},
		{"it freezes", func() { i.Put(policy(4, frozen)) }, never, false, 1},
		{"the namespace leaves both", func() { i.Put(shop(map[string]string{"env": "test"})) }, builder.Epoch.Weekday(), false, 1},
		{"and comes back", func() { i.Put(production) }, never, false, 1},
		{"the policies go", func() { i.Remove(policy(4, frozen)); i.Remove(edited) }, builder.Epoch.Weekday(), false, 2},
	} {
		told = 0
		step.do()
		rules := i.Rules("shop")
		if rules == nil {
			rules = change.Merge(nil, nil)
		}
		opens, at := never, rules.Outlook(v1alpha1.ChangeNormal, builder.Epoch).Next
		if !at.IsZero() {
			opens = at.Weekday()
		}
		if opens != step.opens || told != step.told {
			t.Errorf("step %d, %s: opens on %d, want %d; told %d times, want %d", n, step.what, opens, step.opens, told, step.told)
		}
		for w := range rules.Windows {
			if rules.Windows[w].Invalid != step.invalid {
				t.Errorf("step %d, %s: invalid is %t", n, step.what, rules.Windows[w].Invalid)
			}
		}
		c, _ := i.Change(types.NamespacedName{Namespace: "shop", Name: "c"})
		if got := c.Candidate.Window.From; !got.Equal(at) {
			t.Errorf("step %d, %s: what is approved may go in from %s, want %s", n, step.what, got, at)
		}
	}
}
