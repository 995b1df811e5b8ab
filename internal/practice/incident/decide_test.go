package incident

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

func TestEndOf(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }
	created := *at(-3 * time.Hour)
	for name, c := range map[string]struct {
		resolved, closed *metav1.Time
		created          metav1.Time
		want             time.Time
	}{
		"resolved":                       {resolved: at(-time.Hour), closed: at(-time.Minute), created: created, want: now.Add(-time.Hour)},
		"closed at once":                 {closed: at(-time.Minute), created: created, want: now.Add(-time.Minute)},
		"the record does not say":        {created: created, want: created.Time},
		"our clock was set back":         {resolved: at(time.Hour), created: created, want: now.Add(time.Hour)},
		"nobody's clock is so wrong":     {resolved: at(365 * day), created: created, want: created.Time},
		"nothing that it says can be so": {resolved: at(365 * day), closed: at(365 * day), created: *at(365 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: c.created}}
			i.Status.ResolvedAt, i.Status.ClosedAt = c.resolved, c.closed
			if got := endOf(i, now); !got.Equal(c.want) {
				t.Errorf("ended at %s, want %s", got, c.want)
			}
		})
	}
}
