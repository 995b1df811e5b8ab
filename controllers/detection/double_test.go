package detection

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestAnIncidentThatComesToLightMeanwhile: another leader's Incident becomes known after a look began, which saw none.
// Then the greatest episode is that of an open Incident, and the next one would be its double.
func TestAnIncidentThatComesToLightMeanwhile(t *testing.T) {
	s := newScene(t)
	d := deployment("web", 1)
	s.has(d)
	s.seePod(crashing("web", 0))
	s.work()
	first := s.one()

	s.detector()
	s.has(d)
	s.seePod(crashing("web", 0))
	known := false
	s.Client = interceptor.NewClient(s.Client.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx ctx, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, isNamespace := o.(*corev1.Namespace); isNamespace && !known {
				known = true
				s.tell()
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	s.work()
	if got := s.one(); !known || got.Name != first.Name {
		t.Errorf("Incident %s after %s; it came to light: %t", got.Name, first.Name, known)
	}
}
