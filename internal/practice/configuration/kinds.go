package configuration

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Kind is what the gate, the inventory and Releases need to know of a kind that makes pods, and all that they know of
// it. Whoever adds one (anything with a pod template) writes one entry in a table; where else kinds are named, docs/adr/0011
// lists, and TestEveryPlaceNamesEveryKind checks.
type Kind interface {
	// Group, Version and Name by which the API server serves it.
	Group() string
	Version() string
	Name() string
	// Claimable kinds are those that a Service can claim, the inventory watches and a Release can have as a unit.
	Claimable() bool
	// TemplatePath is where the pod template is; empty where the object is the pod.
	TemplatePath() []string
	// KeepsRevisions says whether Kubernetes keeps earlier templates, as ReplicaSets or ControllerRevisions. Where it does
	// not, a Release can take back only the images that it set.
	KeepsRevisions() bool
	// MergesContainers says whether the API server merges the containers of the template by name, so that server-side
	// apply can set the image of one of them. Most CustomResourceDefinitions keep them as a mere list, which would be
	// replaced as a whole.
	MergesContainers() bool
	// Read is what the practices need to know of an object of the kind: its template, how many pods are desired, ready,
	// updated and there, and what holds it back. The error says that it has no name.
	Read(obj map[string]any) (Workload, error)
}

// kind is an entry of the table.
type kind struct {
	group, version string
	claimable      bool
	// replaces: its controller replaces its pods when the template becomes another.
	replaces bool
	// revisions: Kubernetes keeps its earlier templates.
	revisions bool
	// merges: the API server merges the containers of its template by name.
	merges bool
	// observes generations in its status.
	observes bool
	// template is the path of the pod template; empty where the object is the pod.
	template []string
	// selector of its pods.
	selector func(obj map[string]any) Selector
	// observe reads counts, holds and times into the workload; ObservedGeneration is preset.
	observe func(spec, status map[string]any, w *Workload)
}

// kinds are those that Kubernetes has, and further ones that this program was built with.
var kinds = tableOf(builtIn, further)

func tableOf(parts ...map[string]kind) map[string]kind {
	out := map[string]kind{}
	for _, part := range parts {
		maps.Copy(out, part)
	}
	return out
}

var builtIn = map[string]kind{
	KindDeployment: {
		group: "apps", version: "v1", claimable: true, merges: true, replaces: true, revisions: true, observes: true,
		template: templatePath, selector: labelSelector, observe: observeDeployment,
	},
	KindStatefulSet: {
		group: "apps", version: "v1", claimable: true, merges: true, replaces: true, revisions: true, observes: true,
		template: templatePath, selector: labelSelector, observe: observeStatefulSet,
	},
	KindDaemonSet: {
		group: "apps", version: "v1", claimable: true, merges: true, replaces: true, revisions: true, observes: true,
		template: templatePath, selector: labelSelector, observe: observeDaemonSet,
	},
	KindReplicaSet: {
		group: "apps", version: "v1", merges: true, observes: true,
		template: templatePath, selector: labelSelector, observe: observeReplicaSet,
	},
	KindReplicationController: {
		version: "v1", merges: true, observes: true,
		template: templatePath, selector: mapSelector, observe: observeReplicaSet,
	},
	KindJob: {
		group: "batch", version: "v1", claimable: true, merges: true,
		template: templatePath, selector: labelSelector, observe: observeJob,
	},
	KindCronJob: {
		group: "batch", version: "v1", claimable: true, merges: true,
		template: []string{"spec", "jobTemplate", "spec", "template"}, selector: noSelector, observe: observeCronJob,
	},
	KindPod: {version: "v1", merges: true, selector: noSelector, observe: observePod},
}

var templatePath = []string{"spec", "template"}

// named is a kind with its name.
type named struct {
	kind
	name string
}

// KindNamed returns a kind that makes pods by its name, and whether it is one.
func KindNamed(name string) (Kind, bool) {
	k, ok := kinds[name]
	return named{k, name}, ok
}

// ClaimableKinds are those that a Service can claim, in the order of their names.
func ClaimableKinds() []Kind {
	var out []Kind
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[name].claimable {
			out = append(out, named{kinds[name], name})
		}
	}
	return out
}

func (k named) Group() string { return k.group }

func (k named) Version() string { return k.version }

func (k named) Name() string { return k.name }

func (k named) Claimable() bool { return k.claimable }

func (k named) TemplatePath() []string { return slices.Clone(k.template) }

func (k named) KeepsRevisions() bool { return k.revisions }

func (k named) MergesContainers() bool { return k.merges }

// Read implements Kind. It does not keep or alter obj. Missing or nonsensical fields are read as absent.
func (k named) Read(obj map[string]any) (Workload, error) {
	metadata := mapAt(obj, "metadata")
	w := Workload{
		Key:         Key{Group: k.group, Kind: k.name, Namespace: stringAt(metadata, "namespace"), Name: stringAt(metadata, "name")},
		UID:         types.UID(stringAt(metadata, "uid")),
		CreatedAt:   timeAt(metadata, "creationTimestamp"),
		Deleting:    metadata["deletionTimestamp"] != nil,
		Labels:      ofOurDomain(metadata, "labels"),
		Annotations: ofOurDomain(metadata, "annotations"),
		Template:    ParseTemplate(k.name, mapAt(obj, k.template...)),
		Selector:    k.selector(obj),
	}
	if w.Key.Name == "" {
		return Workload{}, fmt.Errorf("read %s: it has no name", k.name)
	}
	w.Generation, _ = intAt(metadata, "generation")
	w.Owner = controllerOf(metadata, w.Key.Namespace)
	spec, status := mapAt(obj, "spec"), mapAt(obj, "status")
	w.ObservedGeneration = w.Generation
	if k.observes {
		w.ObservedGeneration, _ = intAt(status, "observedGeneration")
	}
	w.Conditions = conditionsOf(status)
	k.observe(spec, status, &w)
	return w, nil
}

// GroupOf is the API group of a kind that makes pods, and whether it is one.
func GroupOf(kindName string) (string, bool) {
	k, ok := kinds[kindName]
	return k.group, ok
}

// Claimable reports whether a Service can claim workloads of that kind, and so whether they have a
// ConfigurationItem.
func Claimable(kindName string) bool { return kinds[kindName].claimable }

// FromObject reads a workload from its decoded JSON, as an unstructured.Unstructured holds it. It does not keep
// or alter obj. Missing or nonsensical fields are read as absent; the error is ErrUnknownKind, or that the object
// has no name.
func FromObject(obj map[string]any) (Workload, error) {
	name := stringAt(obj, "kind")
	k, ok := kinds[name]
	if !ok || groupOf(stringAt(obj, "apiVersion")) != k.group {
		return Workload{}, fmt.Errorf("%s %.64q: %w", stringAt(obj, "apiVersion"), name, ErrUnknownKind)
	}
	return named{k, name}.Read(obj)
}

// RawTemplate is the pod template within an object of a kind that makes pods: for a Pod, the Pod itself. It is
// nil where there is none.
func RawTemplate(obj map[string]any) map[string]any {
	k, ok := kinds[stringAt(obj, "kind")]
	if !ok {
		return nil
	}
	return mapAt(obj, k.template...)
}
