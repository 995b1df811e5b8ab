package change

import (
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// TestOwed: what a baseline owes it owes also when another has taken its place before anybody filed it.
func TestOwed(t *testing.T) {
	now := hour(200)
	from := func(source v1alpha1.BaselineSource, change string, ago time.Duration) func(*v1alpha1.Baseline) {
		return func(b *v1alpha1.Baseline) {
			b.Source, b.Change = source, change
			b.From.Time = now.Add(-ago)
		}
	}
	adopted := baseline(v23)
	back := baseline(v23, from(v1alpha1.BaselineRollback, "", time.Second))
	for name, test := range map[string]struct {
		baselines []v1alpha1.Baseline
		exists    bool
		// owed is which of the baselines owes something.
		owed int
		wait time.Duration
	}{
		"nothing":                        {[]v1alpha1.Baseline{adopted}, false, -1, 0},
		"what came in past the gate":     {[]v1alpha1.Baseline{baseline(evil, from(v1alpha1.BaselineUnauthorized, "", time.Minute)), adopted}, false, 0, 0},
		"and was put back at once":       {[]v1alpha1.Baseline{back, baseline(evil, from(v1alpha1.BaselineUnauthorized, "", time.Minute)), adopted}, false, 1, 0},
		"and is recorded":                {[]v1alpha1.Baseline{back, baseline(evil, from(v1alpha1.BaselineUnauthorized, "", time.Minute)), adopted}, true, -1, 0},
		"and was, before its retention":  {[]v1alpha1.Baseline{back, baseline(evil, from(v1alpha1.BaselineUnauthorized, "", 8*24*time.Hour)), adopted}, false, -1, 0},
		"the oldest first":               {[]v1alpha1.Baseline{baseline(v24, from(v1alpha1.BaselineBreakGlass, "", time.Minute)), baseline(evil, from(v1alpha1.BaselineUnauthorized, "", time.Hour)), adopted}, false, 1, 0},
		"pre-authorised, just now":       {[]v1alpha1.Baseline{baseline(v24, from(v1alpha1.BaselinePreAuthorised, "c", 20*time.Second)), adopted}, false, -1, 40 * time.Second},
		"pre-authorised, and lost":       {[]v1alpha1.Baseline{baseline(v24, from(v1alpha1.BaselinePreAuthorised, "c", time.Minute)), adopted}, false, 0, 0},
		"pre-authorised, and superseded": {[]v1alpha1.Baseline{back, baseline(v24, from(v1alpha1.BaselinePreAuthorised, "c", time.Minute)), adopted}, false, 1, 0},
		"what is just now waits for nobody": {[]v1alpha1.Baseline{
			baseline(evil, from(v1alpha1.BaselineUnauthorized, "", time.Second)), baseline(v24, from(v1alpha1.BaselinePreAuthorised, "c", 20*time.Second)), adopted,
		}, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{v1alpha1.AnnotationBreakGlass: "checkout is down"}
			owed, wait := Owed(checkout, annotations, test.baselines, func(string) bool { return test.exists }, now)
			if wait != test.wait {
				t.Errorf("waits %s, want %s", wait, test.wait)
			}
			switch {
			case owed == nil && test.owed >= 0:
				t.Errorf("nothing is owed, want what baseline %d owes", test.owed)
			case owed != nil && (test.owed < 0 || string(owed.Spec.Targets[0].TemplateHash) != test.baselines[test.owed].TemplateHash):
				t.Errorf("Change %s is owed, want baseline %d", owed.Name, test.owed)
			}
		})
	}
}
