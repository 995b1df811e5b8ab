package incident

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestAFixOfTheProblemResolvesWhatWaitsForIt(t *testing.T) {
	opened := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	fixed := &FixApplied{Problem: "leak", Reason: "quota raised", At: opened.Add(time.Hour)}
	waiting := func(alter ...func(*v1alpha1.Incident)) *v1alpha1.Incident {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Name: "slow", CreationTimestamp: metav1.NewTime(opened)}}
		i.Spec = v1alpha1.IncidentSpec{
			Title: "it is slow", Source: v1alpha1.IncidentSourceUser, Reporter: "carol", Assignee: "sam",
			ProblemRef: &v1alpha1.LocalReference{Name: "leak"}, Hold: &v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingProblem},
		}
		i.Status.State = v1alpha1.IncidentOnHold
		for _, f := range alter {
			f(i)
		}
		return i
	}
	signal := func(i *v1alpha1.Incident) {
		i.Status.Signals = []v1alpha1.Signal{{Reason: v1alpha1.SignalOOMKilled, Since: metav1.NewTime(opened), LastSeen: metav1.NewTime(opened)}}
	}
	for name, c := range map[string]struct {
		incident *v1alpha1.Incident
		fix      *FixApplied
		holdOver bool
		want     v1alpha1.IncidentState
	}{
		"no fix":                     {incident: waiting(), want: v1alpha1.IncidentOnHold},
		"a fix":                      {incident: waiting(), fix: fixed, holdOver: true, want: v1alpha1.IncidentResolved},
		"a fix from before it began": {incident: waiting(), fix: &FixApplied{Problem: "leak", At: opened.Add(-time.Hour)}, holdOver: true, want: v1alpha1.IncidentInProgress},
		"resolved by a Change":       {incident: waiting(), holdOver: true, want: v1alpha1.IncidentInProgress},
		"it fails still":             {incident: waiting(signal), fix: fixed, holdOver: true, want: v1alpha1.IncidentInProgress},
		"it waits for the caller": {incident: waiting(func(i *v1alpha1.Incident) {
			i.Spec.Hold = &v1alpha1.Hold{Reason: v1alpha1.HoldAwaitingCaller}
		}), fix: fixed, want: v1alpha1.IncidentOnHold},
	} {
		t.Run(name, func(t *testing.T) {
			facts := Facts{Rules: DefaultRules(), FixApplied: c.fix, HoldOver: c.holdOver}
			now := opened.Add(2 * time.Hour)
			d := Evaluate(c.incident, facts, now)
			if d.Status.State != c.want {
				t.Fatalf("state %s, want %s", d.Status.State, c.want)
			}
			if c.want != v1alpha1.IncidentResolved {
				return
			}
			if r := d.Status.Resolution; r == nil || r.Code != v1alpha1.ResolutionKnownError || r.Notes != "a fix was applied to Problem leak: quota raised" {
				t.Errorf("resolution %+v", r)
			}
			// Another fix takes the place of this one: it stays resolved; without the hold it is a person who wants it open.
			c.incident.Status = d.Status
			if s := Evaluate(c.incident, Facts{Rules: DefaultRules()}, now.Add(time.Minute)).Status.State; s != v1alpha1.IncidentResolved {
				t.Errorf("state %s when the fix is another", s)
			}
			c.incident.Spec.Hold = nil
			if s := Evaluate(c.incident, Facts{Rules: DefaultRules()}, now.Add(time.Minute)).Status.State; s != v1alpha1.IncidentInProgress {
				t.Errorf("state %s without the hold", s)
			}
		})
	}
}
