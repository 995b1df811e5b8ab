package release

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	practice "github.com/itil-dev/itil-operator/internal/practice/release"
	"github.com/itil-dev/itil-operator/internal/testing/fakeclient"
)

// fakeIndexer gives the fake client the indexes of the cache.
// An Incident that was opened before a Release, and fails again by it, is as good a reason to go back as a new one.
func TestASuspicionBeginsWhenItFailsAgain(t *testing.T) {
	began := metav1.NewTime(time.Date(2026, 11, 9, 9, 0, 0, 0, time.UTC))
	again := metav1.NewTime(began.Add(20 * time.Minute))
	for name, c := range map[string]struct {
		reopened *metav1.Time
		want     time.Time
	}{
		"once":     {want: began.Time},
		"reopened": {reopened: &again, want: again.Time},
	} {
		t.Run(name, func(t *testing.T) {
			i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "oom"}}
			i.Status.StartedAt, i.Status.ReopenedAt = &began, c.reopened
			i.Status.SuspectedChange = &v1alpha1.SuspectedChange{Namespace: "shop", Name: "shop-2-5"}
			b := fake.NewClientBuilder().WithScheme(scheme.New())
			if err := Index(t.Context(), fakeclient.Indexer{ClientBuilder: b}); err != nil {
				t.Fatal(err)
			}
			r := &Reconciler{Client: b.WithObjects(i).Build()}
			in := practice.Input{Release: &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-2-5"}}}
			in.Release.Status.ChangeRef = &v1alpha1.LocalReference{Name: "shop-2-5"}
			if err := r.suspicions(t.Context(), &in); err != nil {
				t.Fatal(err)
			}
			if len(in.Suspicions) != 1 || !in.Suspicions[0].At.Equal(c.want) {
				t.Errorf("%+v, want one since %s", in.Suspicions, c.want)
			}
		})
	}
}
