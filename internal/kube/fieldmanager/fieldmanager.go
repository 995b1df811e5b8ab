// Package fieldmanager knows the field managers that reconcile: GitOps controllers and the like, which put back what
// their source says whenever somebody else alters it. What they set, the operator does not set against them.
package fieldmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxName is the longest name of a field manager that an API server takes, in bytes.
	maxName = 128
	// maxNames are told apart.
	maxNames = 64
)

// Reconciling are the names of the field managers that reconcile. Nil are those that are Known; empty are none.
type Reconciling []string

// Known are those that are known by name: Argo CD's, as it names itself now and before; those of Flux; Fleet's agent;
// Config Sync's.
func Known() Reconciling {
	return Reconciling{
		"argocd-controller", "argocd-application-controller", "kustomize-controller", "helm-controller", "flux", "fleetagent", "configsync.gke.io",
	}
}

// Parse reads names with commas between them; none make an empty list. The error names all that no API server would
// take as the name of a field manager.
func Parse(list string) (Reconciling, error) {
	out := Reconciling{}
	var mistakes []error
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "", slices.Contains(out, name):
		case len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
			mistakes = append(mistakes, fmt.Errorf("%.140q: want at most %d printable characters", name, maxName))
		case len(out) == maxNames:
			return nil, errors.Join(append(mistakes, fmt.Errorf("want at most %d names", maxNames))...)
		default:
			out = append(out, name)
		}
	}
	return out, errors.Join(mistakes...)
}

// String is the list as Parse reads it.
func (l Reconciling) String() string { return strings.Join(l.names(), ",") }

func (l Reconciling) names() Reconciling {
	if l == nil {
		return Known()
	}
	return l
}

// OfTemplate returns the first that set something of an object's pod template, which is at a path within it; empty:
// none did.
func (l Reconciling) OfTemplate(obj metav1.Object, template []string) string {
	return l.first(obj, func(fields map[string]any) bool {
		_, sets := within(fields, template)
		return sets
	})
}

// OfImages returns the first that set the image of one of some containers within the pod template at a path; empty: none
// did.
func (l Reconciling) OfImages(obj metav1.Object, template, containers []string) string {
	return l.first(obj, func(fields map[string]any) bool { return setsImages(fields, template, containers) })
}

func (l Reconciling) first(obj metav1.Object, sets func(fields map[string]any) bool) string {
	names := l.names()
	for _, entry := range obj.GetManagedFields() {
		if entry.Subresource != "" || entry.FieldsV1 == nil || !slices.Contains(names, entry.Manager) {
			continue
		}
		var fields map[string]any
		// What cannot be read may well be its.
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil || sets(fields) {
			return entry.Manager
		}
	}
	return ""
}

// within are the fields below a path, and whether anything there is set.
func within(fields map[string]any, path []string) (map[string]any, bool) {
	for _, name := range path {
		below, ok := fields["f:"+name].(map[string]any)
		if !ok {
			return nil, false
		}
		fields = below
	}
	return fields, true
}

func setsImages(fields map[string]any, template, containers []string) bool {
	spec, sets := within(fields, append(slices.Clone(template), "spec"))
	if !sets {
		return false
	}
	for _, list := range []string{"initContainers", "containers"} {
		items, sets := within(spec, []string{list})
		if !sets {
			continue
		}
		if len(items) == 0 {
			return true // the whole list is its
		}
		for _, name := range containers {
			container, _ := items[`k:{"name":"`+name+`"}`].(map[string]any)
			if _, image := container["f:image"]; image {
				return true
			}
		}
	}
	return false
}
