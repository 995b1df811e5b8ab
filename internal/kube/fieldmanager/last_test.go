package fieldmanager_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
)

func TestLastOfTemplate(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	wrote := func(manager string, minutes int, fields, subresource string) metav1.ManagedFieldsEntry {
		at := metav1.NewTime(noon.Add(time.Duration(minutes) * time.Minute))
		return metav1.ManagedFieldsEntry{Manager: manager, Time: &at, FieldsV1: metav1.NewFieldsV1(fields), Subresource: subresource}
	}
	const image = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{}}}}}`
	timeless := wrote("timeless", 9, image, "")
	timeless.Time = nil
	for name, test := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    string
		minutes int
	}{
		"nobody":             {},
		"one":                {[]metav1.ManagedFieldsEntry{wrote("kubectl", 1, image, "")}, "kubectl", 1},
		"the last":           {[]metav1.ManagedFieldsEntry{wrote("vi", 3, image, ""), wrote("helm", 2, image, "")}, "vi", 3},
		"not the replicas":   {[]metav1.ManagedFieldsEntry{wrote("vi", 1, image, ""), wrote("hpa", 2, `{"f:spec":{"f:replicas":{}}}`, "")}, "vi", 1},
		"not the status":     {[]metav1.ManagedFieldsEntry{wrote("vi", 1, image, ""), wrote("controller", 2, image, "status")}, "vi", 1},
		"not without a time": {[]metav1.ManagedFieldsEntry{timeless, wrote("vi", 1, image, "")}, "vi", 1},
		"not nonsense":       {[]metav1.ManagedFieldsEntry{wrote("x", 5, `{`, ""), wrote("vi", 1, image, "")}, "vi", 1},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &metav1.ObjectMeta{ManagedFields: test.entries}
			manager, at := fieldmanager.LastOfTemplate(obj, []string{"spec", "template"})
			if manager != test.want || test.want != "" && !at.Equal(noon.Add(time.Duration(test.minutes)*time.Minute)) {
				t.Errorf("%q at %s", manager, at)
			}
		})
	}
}
