package changes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// trial is what a server-side dry run made of a workload: what would be stored, with the API server's defaults and
// whatever else admits or alters it, and what it warned of. The gate lets every dry run pass, and says as a warning
// what it would have said.
type trial struct {
	kind, namespace, name string
	// before is the workload as it is; nil where there is none.
	before *unstructured.Unstructured
	// after is what would be stored; nil for a deletion.
	after    *unstructured.Unstructured
	warnings []string
	// untried: the user may not deploy it, so that nobody asked the gate; after was made here.
	untried bool
	// deliver sends it to the API server; nil for a deletion.
	deliver delivery
	// images are what is asked for where nothing but images is.
	images map[string]string
}

// template is the pod template that would be stored.
func (t *trial) template() configuration.Template { return templateOf(t.after) }

func templateOf(object *unstructured.Unstructured) configuration.Template {
	if object == nil {
		return configuration.Template{}
	}
	return configuration.ParseTemplate(object.GetKind(), configuration.RawTemplate(object.Object))
}

// governed reports whether the gate had something to say: that no Change covers it.
func (t *trial) governed() bool {
	opening := strings.ToLower(t.kind) + " " + t.namespace + "/" + t.name + " is governed by "
	return slices.ContainsFunc(t.warnings, func(w string) bool { return strings.HasPrefix(w, opening) })
}

// run tries it: a dry run of what would be sent, with these annotations on the workload.
func (t *trial) run(ctx context.Context, s *session.Session, annotations map[string]string) error {
	ctx, collector := session.Collecting(ctx)
	after, err := t.deliver(ctx, s, annotations, true)
	t.warnings = collector.Texts()
	if err != nil {
		return dryRunRefused(err, t)
	}
	t.after = after
	return nil
}

// withImages is a workload with new images, as it would be stored where nothing else alters it: for who may file a
// Change and leave the deployment to somebody else.
func withImages(live *unstructured.Unstructured, images map[string]string) *trial {
	t := trialOf(live)
	t.after, t.untried = live.DeepCopy(), true
	// The copy of an object is of the types of the object.
	template, _, _ := unstructured.NestedFieldNoCopy(t.after.Object, append(templatePath(t.kind), "spec")...)
	spec, _ := template.(map[string]any)
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for _, item := range containers {
			container, _ := item.(map[string]any)
			name, _ := container["name"].(string)
			if image, asked := images[name]; asked {
				container["image"] = image
			}
		}
	}
	return t
}

// tryDeletion tries to delete a workload.
func tryDeletion(ctx context.Context, s *session.Session, live *unstructured.Unstructured) (*trial, error) {
	t := trialOf(live)
	ctx, collector := session.Collecting(ctx)
	err := s.Delete(ctx, live.DeepCopy(), client.DryRunAll, client.PropagationPolicy(metav1.DeletePropagationBackground))
	t.warnings = collector.Texts()
	return t, dryRunRefused(err, t)
}

// trialOf is a workload of which nothing was tried yet.
func trialOf(live *unstructured.Unstructured) *trial {
	return &trial{kind: live.GetKind(), namespace: live.GetNamespace(), name: live.GetName(), before: live}
}

func (t *trial) String() string { return t.kind + " " + t.namespace + "/" + t.name }

// dryRunRefused says what a dry run was for, and what it takes.
func dryRunRefused(err error, t *trial) error {
	if err == nil {
		return nil
	}
	if gateSilent(err) {
		return exit.New(exit.WouldBeDenied, "the gate does not answer about %s, and meanwhile nothing goes in but by breaking the glass: %v", t, err).WithCause(err).
			WithNext("bring the operator back (kubectl get pods -n itil-system), or break the glass: kubectl itil emergency --help")
	}
	failure := &exit.Error{Code: exit.CodeOf(err), Message: fmt.Sprintf("trying %s (server-side dry run): %v", t, err), Cause: err, Next: exit.NextOf(err)}
	if apierrors.IsForbidden(err) {
		failure.Next = "a dry run takes the same rights as the real thing: ask for them, or let whoever deploys it run this"
	}
	return failure
}

// gateSilent reports whether a request was refused since nobody answered for the gate: the operator is down, or
// cannot be reached. The API server says it in words alone.
func gateSilent(err error) bool {
	return err != nil && strings.Contains(err.Error(), "failed calling webhook") && strings.Contains(err.Error(), "gate.itil.dev")
}
