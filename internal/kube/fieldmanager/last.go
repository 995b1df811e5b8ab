package fieldmanager

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LastOfTemplate returns the field manager that wrote something of an object's pod template last, of those that still own
// a part of it, and when; empty: none does. Nobody verifies it: a client chooses the name it goes by.
func LastOfTemplate(obj metav1.Object, template []string) (manager string, at time.Time) {
	for _, entry := range obj.GetManagedFields() {
		if entry.Subresource != "" || entry.FieldsV1 == nil || entry.Time == nil || entry.Time.Time.Before(at) {
			continue
		}
		var fields map[string]any
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if _, sets := within(fields, template); sets {
			manager, at = entry.Manager, entry.Time.Time
		}
	}
	return manager, at
}
