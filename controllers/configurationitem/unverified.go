package configurationitem

import (
	"context"
	"strings"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/prose"
)

// maxManager is the longest name of a field manager, in bytes.
const maxManager = 128

// nameless reports whether it is time to ask which field manager wrote the template of the newest baseline: nobody recorded
// who did, and the record of another replica's gate can come no more. Nobody is asked about what was adopted, nor later,
// when somebody else may have written it again. Wake is when to look again; zero: no need to.
func (o *outcome) nameless(now time.Time) (due bool, wake time.Time) {
	if len(o.status.Baselines) == 0 {
		return false, time.Time{}
	}
	b := &o.status.Baselines[0]
	if b.By != "" || b.UnverifiedBy != "" || b.Source == v1alpha1.BaselineAdopted || o.memory.asked == askedAbout(b) ||
		now.Sub(b.From.Time) > admissionsKept {
		return false, time.Time{}
	}
	if at := b.From.Add(recordLate); b.Source != v1alpha1.BaselineUnauthorized && now.Before(at) {
		return false, at
	}
	return true, time.Time{}
}

// askedAbout tells baselines apart.
func askedAbout(b *v1alpha1.Baseline) string {
	return b.From.UTC().Format(time.RFC3339) + " " + b.TemplateHash
}

// nameManager says of the newest baseline which field manager wrote its template last, where nobody recorded who did. Caches
// keep no managedFields: the API server is asked, once. What cannot be read keeps no baseline from being written.
func (r *Reconciler) nameManager(ctx context.Context, seen *observed, out *outcome, now time.Time) {
	due, wake := out.nameless(now)
	if !wake.IsZero() && (out.wake.IsZero() || wake.Before(out.wake)) {
		out.wake = wake
	}
	kind, known := configuration.KindNamed(seen.key.Kind)
	if !due || !known || seen.workload == nil {
		return
	}
	b := &out.status.Baselines[0]
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: seen.key.Group, Version: "v1", Kind: seen.key.Kind})
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: seen.key.Namespace, Name: seen.key.Name}, live)
	if err == nil || apierrors.IsNotFound(err) {
		out.memory.asked = askedAbout(b)
	}
	if err != nil {
		log.FromContext(ctx).Info("Cannot tell who wrote the template last", "workload", seen.key.Kind+"/"+seen.key.Name, "reason", err.Error())
		return
	}
	if t := configuration.ParseTemplate(seen.key.Kind, configuration.RawTemplate(live.Object)); !t.IsBaseline(*b, nil) {
		return
	}
	manager, _ := fieldmanager.LastOfTemplate(live, kind.TemplatePath())
	b.UnverifiedBy = shown(manager)
}

// shown is a name without what does not print: a client chose it.
func shown(name string) string {
	return prose.Brief(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, name), maxManager)
}
