package change

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// scraped are the gauges of a collector, as name{labels} value.
func scraped(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += fmt.Sprintf("%s=%s ", l.GetName(), l.GetValue())
			}
			out[f.GetName()+" "+labels] = m.GetGauge().GetValue()
		}
	}
	return out
}

func TestCollector(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	in := func(name string, state v1alpha1.ChangeState, alter func(*v1alpha1.Change)) *v1alpha1.Change {
		c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Status: v1alpha1.ChangeStatus{State: state}}
		if alter != nil {
			alter(c)
		}
		return c
	}
	due := func(after time.Duration) func(*v1alpha1.Change) {
		return func(c *v1alpha1.Change) {
			c.Status.ReviewDueAt = v1alpha1.Timestamp(now.Add(after).Format(time.RFC3339))
			c.Spec.Type, c.Spec.RecordOf = v1alpha1.ChangeEmergency, v1alpha1.RecordOfBreakGlass
		}
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		in("a", "", nil), in("b", v1alpha1.ChangeAuthorize, nil), in("c", v1alpha1.ChangeAuthorize, nil),
		in("d", v1alpha1.ChangeClosed, func(c *v1alpha1.Change) {
			c.Spec.Type, c.Status.Outcome = v1alpha1.ChangeStandard, v1alpha1.OutcomeSuccessful
		}),
		in("e", v1alpha1.ChangeReview, due(-time.Minute)), in("f", v1alpha1.ChangeReview, due(-time.Hour)), in("g", v1alpha1.ChangeReview, due(time.Hour)),
	).Build()
	c := &Collector{Reader: reader, Clock: clocktesting.NewFakePassiveClock(now)}
	want := map[string]float64{
		"itil_changes outcome= state=Assess type=Normal ":             1,
		"itil_changes outcome= state=Authorize type=Normal ":          2,
		"itil_changes outcome=Successful state=Closed type=Standard ": 1,
		"itil_changes outcome= state=Review type=Emergency ":          3,
		"itil_change_records record_of=BreakGlass state=Review ":      3,
		"itil_change_reviews_overdue ":                                2,
		"itil_change_review_oldest_overdue_seconds ":                  3600,
	}
	if diff := cmp.Diff(want, scraped(t, c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// count is how many values a histogram observed, and the sum of them, or of a counter.
func count(t *testing.T, c prometheus.Collector) (n uint64, sum float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n += m.GetHistogram().GetSampleCount()
			sum += m.GetHistogram().GetSampleSum() + m.GetCounter().GetValue()
		}
	}
	return n, sum
}

func TestWhatIsCountedOnce(t *testing.T) {
	chg := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now)}}
	at := func(d time.Duration) *metav1.Time { out := metav1.NewTime(now.Add(d)); return &out }
	before, sumBefore := count(t, waits)
	observe(chg, &v1alpha1.ChangeStatus{State: v1alpha1.ChangeAuthorize})
	approved := &v1alpha1.ChangeStatus{State: v1alpha1.ChangeScheduled, ApprovedAt: at(time.Hour), FirstApprovedAt: at(time.Hour)}
	observe(chg, approved)
	chg.Status = *approved
	observe(chg, approved)
	// Approved again after an edit.
	chg.Status = v1alpha1.ChangeStatus{State: v1alpha1.ChangeAuthorize, FirstApprovedAt: at(time.Hour)}
	observe(chg, &v1alpha1.ChangeStatus{State: v1alpha1.ChangeScheduled, ApprovedAt: at(3 * time.Hour), FirstApprovedAt: at(time.Hour)})
	// Approved before this was counted.
	chg.Status = v1alpha1.ChangeStatus{State: v1alpha1.ChangeScheduled, ApprovedAt: at(time.Hour)}
	observe(chg, approved)
	if n, sum := count(t, waits); n != before+1 || sum != sumBefore+3600 {
		t.Errorf("%d waits of %v s together", n-before, sum-sumBefore)
	}

	_, recorded := count(t, withoutChange)
	record := &v1alpha1.Change{Spec: v1alpha1.ChangeSpec{RecordOf: v1alpha1.RecordOfUnauthorized}}
	review := &v1alpha1.ChangeStatus{State: v1alpha1.ChangeReview}
	observe(record, review)
	record.Status = *review
	observe(record, review)
	if _, sum := count(t, withoutChange); sum != recorded+1 {
		t.Errorf("%v records", sum-recorded)
	}

	_, undone := count(t, backouts)
	pending := &v1alpha1.ChangeStatus{Backout: &v1alpha1.ChangeBackout{Targets: []v1alpha1.ChangeBackoutTarget{{State: v1alpha1.ChangeBackoutPending}}}}
	restored := pending.DeepCopy()
	restored.Backout.Targets[0].State = v1alpha1.ChangeBackoutRestored
	chg.Status = v1alpha1.ChangeStatus{}
	observe(chg, pending)
	chg.Status = *pending
	observe(chg, restored)
	chg.Status = *restored
	observe(chg, restored)
	if _, sum := count(t, backouts); sum != undone+1 {
		t.Errorf("%v backouts", sum-undone)
	}
}
