package configurationitem

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// RevisionSource tells which of its ReplicaSets a Deployment's pods are of.
type RevisionSource interface {
	Running(ctx context.Context, w backout.Workload) ([]backout.Revision, error)
}

// maxShownImages of an earlier template are named.
const maxShownImages = 3

// earlier is a ReplicaSet whose pods run, with a template that is not what is agreed.
type earlier struct {
	set, detail string
}

// runningEarlier asks for the ReplicaSets of a paused Deployment none of whose pods are of its template. Of a Deployment that
// is paused the controller scales whichever ReplicaSet is there: it takes one that was rolled back where that of the present
// template was deleted, released, or never made, and nobody asks the gate about it. Of others it makes the present one.
func (r *Reconciler) runningEarlier(ctx context.Context, o *observed) ([]earlier, error) {
	w := o.workload
	if r.Revisions == nil || o.item == nil || len(o.item.Status.Baselines) == 0 || !w.RunsAnother() {
		return nil, nil
	}
	sets, err := r.Revisions.Running(ctx, backout.Workload{Kind: w.Key.Kind, Namespace: w.Key.Namespace, Name: w.Key.Name})
	if err != nil {
		return nil, err
	}
	var prefixes []string
	if o.rules != nil {
		prefixes = o.rules.IgnoredAnnotationPrefixes
	}
	var out []earlier
	for i := range sets {
		t := configuration.ParseTemplate(w.Key.Kind, sets[i].Template)
		if t.Is(w.Template.Hash, prefixes) || isAgreed(&t, o.item.Status.Baselines, prefixes) {
			continue
		}
		out = append(out, earlier{sets[i].Name, fmt.Sprintf(
			"the Deployment is paused, and all its pods are of an earlier template (%.11s): %s", t.Hash, imagesOf(t.Images))})
	}
	return out, nil
}

// isAgreed reports whether a template is the newest baseline, of which everything is told, or the newest that did not come in
// past the gate.
func isAgreed(t *configuration.Template, baselines []v1alpha1.Baseline, prefixes []string) bool {
	for i := range baselines {
		past := baselines[i].Source == v1alpha1.BaselineUnauthorized
		if i > 0 && past {
			continue
		}
		if t.IsBaseline(baselines[i], prefixes) {
			return true
		}
		if !past {
			return false
		}
	}
	return false
}

func imagesOf(images map[string]string) string {
	parts := []string{}
	for name, image := range images {
		parts = append(parts, name+"="+image)
	}
	slices.Sort(parts)
	return strings.Join(parts[:min(len(parts), maxShownImages)], ", ")
}

// earlierRuns takes down what runs of an earlier template, once for as long as it does.
func (o *outcome) earlierRuns(s *v1alpha1.ConfigurationItemStatus, seen *observed, fresh bool, now time.Time) {
	var running []string
	for _, e := range seen.earlier {
		running = append(running, e.detail)
		told := slices.Contains(o.memory.earlier, e.detail) || fresh && slices.ContainsFunc(s.SideDoors, func(d v1alpha1.SideDoor) bool {
			return d.What == v1alpha1.SideDoorEarlierTemplate && d.Detail == clip(e.detail, maxDetail)
		})
		if told {
			continue
		}
		s.SideDoors, _ = withSideDoor(s.SideDoors, &configuration.SideDoor{
			What: v1alpha1.SideDoorEarlierTemplate, Pod: configuration.Key{Name: e.set}, Detail: e.detail, At: now,
		})
	}
	o.memory.earlier = running
}

// announceEarlier tells of an earlier template that was found to run.
func (r *Reconciler) announceEarlier(before, after *v1alpha1.ConfigurationItem) {
	doors := after.Status.SideDoors
	if len(doors) == 0 || doors[0].What != v1alpha1.SideDoorEarlierTemplate || slices.Contains(before.Status.SideDoors, doors[0]) {
		return
	}
	r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventSideDoor, actionSideDoor,
		"ReplicaSet %.253s: %s; next: %s", doors[0].Pod, doors[0].Detail, after.Status.NextStep)
}
