package admission

import (
	"cmp"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/util/json"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// object is what the gate reads of a workload: the decoded JSON, and what practice makes of it.
type object struct {
	// raw has apiVersion, kind, metadata (without managedFields) and spec.
	raw map[string]any
	configuration.Workload
}

// document is what the gate reads of a workload; field names match exactly, as for the API server.
type document struct {
	Metadata metadata `json:"metadata"`
	Spec     any      `json:"spec"`
}

// metadata is of object metadata what tells workloads apart and whose they are. managedFields, often the larger part of an
// object, stay unread, and so does status.
type metadata struct {
	Name              any `json:"name"`
	GenerateName      any `json:"generateName"`
	Namespace         any `json:"namespace"`
	UID               any `json:"uid"`
	Generation        any `json:"generation"`
	CreationTimestamp any `json:"creationTimestamp"`
	DeletionTimestamp any `json:"deletionTimestamp"`
	Labels            any `json:"labels"`
	Annotations       any `json:"annotations"`
	OwnerReferences   any `json:"ownerReferences"`
}

// fields as in the JSON; none that is absent.
func (m *metadata) fields() map[string]any {
	fields := map[string]any{
		"name": m.Name, "generateName": m.GenerateName, "namespace": m.Namespace, "uid": m.UID, "generation": m.Generation,
		"creationTimestamp": m.CreationTimestamp, "deletionTimestamp": m.DeletionTimestamp,
		"labels": m.Labels, "annotations": m.Annotations, "ownerReferences": m.OwnerReferences,
	}
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == nil })
	return fields
}

// readObject decodes what the gate needs, in one pass: this is most of what a decision takes. Whole numbers stay whole, as
// in the objects that the inventory reads, so that both have one hash. The name is taken from the request where the object
// has none yet (generateName).
func readObject(data []byte, kind kind, name, namespace string) (*object, error) {
	var read document
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, fmt.Errorf("the object cannot be decoded: %w", err)
	}
	meta := read.Metadata.fields()
	if s, _ := meta["name"].(string); s == "" {
		prefix, _ := meta["generateName"].(string)
		meta["name"] = cmp.Or(name, prefix, "(unnamed)")
	}
	if s, _ := meta["namespace"].(string); s == "" {
		meta["namespace"] = namespace
	}
	raw := map[string]any{"apiVersion": kind.apiVersion(), "kind": kind.Kind, "metadata": meta}
	if read.Spec != nil {
		raw["spec"] = read.Spec
	}
	workload, err := configuration.FromObject(raw)
	if err != nil {
		return nil, err
	}
	return &object{raw: raw, Workload: workload}, nil
}

// owned reports whether a controller made it, as it says.
func (o *object) owned() bool { return o.Owner != nil }

// rollbackTo is its annotation for the deployment controller; empty where it has none, or it is no text.
func (o *object) rollbackTo() string {
	metadata, _ := o.raw["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	to, _ := annotations[v1alpha1.AnnotationRollbackTo].(string)
	return to
}

// owners are its ownerReferences; their order counts, as it does for the API server's match conditions.
func (o *object) owners() []any {
	metadata, _ := o.raw["metadata"].(map[string]any)
	list, _ := metadata["ownerReferences"].([]any)
	return list
}
