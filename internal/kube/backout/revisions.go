package backout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
	// revisionLabel on a pod names the ControllerRevision of its template.
	revisionLabel = "controller-revision-hash"
	// templateLabel is what the Deployment controller adds to the template of its ReplicaSets.
	templateLabel = "pod-template-hash"
	// revisionAnnotation counts the revisions of a Deployment.
	revisionAnnotation = "deployment.kubernetes.io/revision"
)

// kind is how Kubernetes keeps the earlier templates of one kind of workload.
type kind struct {
	revisions schema.GroupVersionKind
	// template of a revision, as a copy; nil where it has none.
	template func(revision map[string]any) map[string]any
	// number orders revisions; the newest has the greatest.
	number func(revision *unstructured.Unstructured) int64
}

var kinds = map[string]kind{
	kindDeployment:  {schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSetList"}, ofReplicaSet, numberOfReplicaSet},
	kindStatefulSet: {schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ControllerRevisionList"}, ofControllerRevision, numberOfControllerRevision},
	kindDaemonSet:   {schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ControllerRevisionList"}, ofControllerRevision, numberOfControllerRevision},
}

// ofReplicaSet is the template without the label by which the Deployment tells its ReplicaSets apart.
func ofReplicaSet(revision map[string]any) map[string]any {
	template, found, err := unstructured.NestedMap(revision, "spec", "template")
	if err != nil || !found {
		return nil
	}
	unstructured.RemoveNestedField(template, "metadata", "labels", templateLabel)
	return template
}

func numberOfReplicaSet(revision *unstructured.Unstructured) int64 {
	n, err := strconv.ParseInt(revision.GetAnnotations()[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ofControllerRevision is the template in its patch, which replaces the whole template.
func ofControllerRevision(revision map[string]any) map[string]any {
	template, found, err := unstructured.NestedMap(revision, "data", "spec", "template")
	if err != nil || !found {
		return nil
	}
	delete(template, "$patch")
	return template
}

func numberOfControllerRevision(revision *unstructured.Unstructured) int64 {
	n, _, err := unstructured.NestedInt64(revision.Object, "revision")
	if err != nil {
		return 0
	}
	return n
}

// podLabel is the value of revisionLabel on the pods of a revision: the whole name of a StatefulSet's, the hash at its
// end of a DaemonSet's.
func podLabel(kindName string, revision *Revision, workload *unstructured.Unstructured) (string, error) {
	if kindName != kindDaemonSet {
		return revision.Name, nil
	}
	hash, found := strings.CutPrefix(revision.Name, workload.GetName()+"-")
	if !found {
		return "", fmt.Errorf("ControllerRevision %s is not named after %s", revision.Name, nameOf(workload))
	}
	return hash, nil
}

func selectorOf(workload *unstructured.Unstructured) (labels.Selector, error) {
	raw, found, err := unstructured.NestedMap(workload.Object, "spec", "selector")
	switch {
	case err != nil:
		return nil, err
	case !found:
		return labels.Nothing(), nil
	}
	selector := &metav1.LabelSelector{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, selector); err != nil {
		return nil, err
	}
	return metav1.LabelSelectorAsSelector(selector)
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// restoring is the JSON patch that replaces the whole template of exactly this version of exactly this object, and
// marks it. Writing the version and UID that it has makes the API server answer 409 where it has others.
func restoring(obj *unstructured.Unstructured, template map[string]any, mark string) ([]byte, error) {
	patch := []operation{
		{"replace", "/metadata/resourceVersion", obj.GetResourceVersion()},
		{"replace", "/metadata/uid", obj.GetUID()},
		{"replace", "/spec/template", template},
	}
	if mark != "" {
		labels := maps.Clone(obj.GetLabels())
		if labels == nil {
			labels = map[string]string{}
		}
		labels[LabelBackout] = labelOf(mark, obj)
		patch = append(patch, operation{"add", "/metadata/labels", labels})
	}
	return json.Marshal(patch)
}

// labelOf is a mark as the value of a label. The UID in it makes sure that nobody can create a workload that bears the
// mark of a restoration to come.
func labelOf(mark string, obj *unstructured.Unstructured) string {
	const digits = 32
	sum := sha256.Sum256([]byte(mark + "/" + string(obj.GetUID())))
	return hex.EncodeToString(sum[:])[:digits]
}

func nameOf(obj *unstructured.Unstructured) string {
	return obj.GetKind() + " " + obj.GetNamespace() + "/" + obj.GetName()
}
