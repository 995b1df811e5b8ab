// Package workload is the one place that says what the operator must know of a kind to handle it as a workload: where
// its pod template is, and how it counts its pods.
package workload

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Kind is a kind that makes pods.
type Kind interface {
	// GroupVersionKind by which the API server serves it.
	GroupVersionKind() schema.GroupVersionKind
	// TemplatePath is where the pod template is; empty where the object is the pod.
	TemplatePath() []string
	// Read is what the practices need to know of an object of the kind: its template, its counts of pods, what holds it
	// back. The error says that it is none.
	Read(obj map[string]any) (configuration.Workload, error)
}

// Named returns a kind by its name.
func Named(name string) (Kind, bool) {
	k, ok := kinds[name]
	return k, ok
}

type builtIn struct {
	gvk      schema.GroupVersionKind
	template []string
}

var kinds = map[string]builtIn{
	configuration.KindDeployment:  {schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: configuration.KindDeployment}, templatePath},
	configuration.KindStatefulSet: {schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: configuration.KindStatefulSet}, templatePath},
	configuration.KindDaemonSet:   {schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: configuration.KindDaemonSet}, templatePath},
	configuration.KindJob:         {schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: configuration.KindJob}, templatePath},
	configuration.KindCronJob: {
		schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: configuration.KindCronJob}, []string{"spec", "jobTemplate", "spec", "template"},
	},
}

var templatePath = []string{"spec", "template"}

func (b builtIn) GroupVersionKind() schema.GroupVersionKind { return b.gvk }

func (b builtIn) TemplatePath() []string { return b.template }

func (b builtIn) Read(obj map[string]any) (configuration.Workload, error) {
	return configuration.FromObject(obj)
}
