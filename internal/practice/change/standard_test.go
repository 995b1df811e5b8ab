package change_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

func TestStandardChanges(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	// uses go, the oldest first: s succeeded, f failed, o still open.
	uses := func(told string) []change.Use {
		var out []change.Use
		for n, c := range told {
			u := change.Use{Name: fmt.Sprint("shop/", n), At: at.Add(time.Duration(n) * time.Hour), Failed: c == 'f', Ended: c != 'o'}
			if u.Ended {
				u.EndedAt = u.At.Add(time.Minute)
			}
			out = append(out, u)
		}
		return out
	}
	suspended := v1alpha1.StandardChangeStatus{Name: "patch", Used: 2, Failed: 2, Suspended: true}
	for name, c := range map[string]struct {
		uses      string
		before    *v1alpha1.StandardChangeStatus
		edited    bool
		used      int32
		failed    int32
		suspended bool
		last      string
	}{
		"never used":                            {},
		"all well":                              {uses: "sss", used: 3},
		"one failure":                           {uses: "ssf", used: 3, failed: 1, last: "shop/2"},
		"two, not in a row":                     {uses: "fsf", used: 3, failed: 1, last: "shop/2"},
		"two in a row":                          {uses: "sff", used: 3, failed: 2, suspended: true, last: "shop/2"},
		"two in a row, and one that runs":       {uses: "ffo", used: 3, failed: 2, suspended: true, last: "shop/1"},
		"two in a row, then one by vote":        {uses: "ffs", before: &suspended, used: 3, suspended: true, last: "shop/1"},
		"suspended, its Changes are gone":       {before: &suspended, suspended: true},
		"suspended, and the policy was edited":  {uses: "ff", before: &suspended, edited: true, used: 2, last: "shop/1"},
		"edited while all was well but for one": {uses: "f", edited: true, used: 1, failed: 1, last: "shop/0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
			p.Spec.StandardChanges = []v1alpha1.StandardChange{{Name: "patch", SuspendAfterFailures: 2}}
			p.Status.ObservedGeneration = 2
			if c.edited {
				p.Generation = 3
			}
			if c.before != nil {
				p.Status.StandardChanges = []v1alpha1.StandardChangeStatus{*c.before}
			}
			now := at.Add(100 * time.Hour)
			got := change.NextStandardChanges(p, map[string][]change.Use{"patch": uses(c.uses)}, now)[0]
			if got.Used != c.used || got.Failed != c.failed || got.Suspended != c.suspended || got.LastFailed != c.last {
				t.Errorf("%+v", got)
			}
			if wasEdited := c.edited && c.before != nil; (got.Since != nil) != wasEdited {
				t.Errorf("failures count since %v", got.Since)
			}
			p.Status.StandardChanges, p.Status.ObservedGeneration = []v1alpha1.StandardChangeStatus{got}, p.Generation
			again := change.NextStandardChanges(p, map[string][]change.Use{"patch": uses(c.uses)}, now.Add(time.Hour))[0]
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("another when looked at again:\n%s", diff)
			}
		})
	}
}

func TestUseOf(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	chg := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "c"}}
	if _, used := change.UseOf(chg); used {
		t.Error("a Change of no standard change used one")
	}
	chg.Spec.StandardChange = "patch"
	if _, used := change.UseOf(chg); used {
		t.Error("one that let nothing in used it")
	}
	chg.Status.Implementations = []v1alpha1.Implementation{{At: at}}
	if u, used := change.UseOf(chg); !used || u.Ended || !u.At.Equal(at.Time) {
		t.Errorf("one that runs: %+v", u)
	}
	chg.Status.Outcome = v1alpha1.OutcomeRolledBack
	if u, _ := change.UseOf(chg); !u.Failed || !u.Ended || u.EndedAt.IsZero() {
		t.Errorf("one that was rolled back: %+v", u)
	}
}
