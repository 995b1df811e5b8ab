package changes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// revision is a template that a workload's controller keeps.
type revision struct {
	number   int64
	template map[string]any
}

// planUndo brings back what ran before: of the revisions that the workload's controller keeps, the newest that may come back
// without a Change, else the newest that has proven itself, where that is known, else the newest of all; never what runs.
func planUndo(ctx context.Context, s *session.Session, live *unstructured.Unstructured) (*trial, error) {
	kept, err := revisionsOf(ctx, s, live)
	if err != nil {
		return nil, session.Refused(err, "reading the revisions of "+trialOf(live).String())
	}
	// Without the records, the revision before is as good as it gets.
	back := before(live, kept, worldOf(ctx, s, live))
	t := trialOf(live)
	if back == nil {
		return nil, exit.New(exit.WrongState, "%s has no earlier revision to go back to", t).
			WithNext("give the image that ran, or its manifest: kubectl itil emergency --help")
	}
	t.deliver = replacement(live, back.template)
	return t, nil
}

// worldOf is what is known of a workload's earlier templates, as far as the user may read it.
func worldOf(ctx context.Context, s *session.Session, live *unstructured.Unstructured) *change.World {
	w := &change.World{Rules: rulesOf(ctx, s, live.GetNamespace())}
	if known, err := itemsOf(ctx, s, live.GetNamespace()); err == nil {
		w.Baselines = known.baselines(live.GetKind(), live.GetName())
	}
	changes := &v1alpha1.ChangeList{}
	if err := s.ReadAll(ctx, changes, live.GetNamespace()); err != nil {
		return w
	}
	for i := range changes.Items {
		if c := &changes.Items[i]; failed(c) {
			w.FailedChanges = append(w.FailedChanges, c.Name)
		}
	}
	return w
}

// failed says whether a Change ended so that what it brought in does not come back without another.
func failed(c *v1alpha1.Change) bool {
	return c.Status.Outcome == v1alpha1.OutcomeUnsuccessful || c.Status.Outcome == v1alpha1.OutcomeRolledBack
}

// before picks the revision to go back to; nil where there is none.
func before(live *unstructured.Unstructured, kept []revision, known *change.World) *revision {
	current := templateOf(live)
	kept = slices.DeleteFunc(slices.Clone(kept), func(r revision) bool {
		return configuration.ParseTemplate(live.GetKind(), r.template).Hash == current.Hash
	})
	slices.SortStableFunc(kept, func(a, b revision) int { return cmp.Compare(b.number, a.number) })
	for _, good := range []func(t *configuration.Template) bool{
		func(t *configuration.Template) bool { return change.NoReturn(t, known) == "" },
		func(t *configuration.Template) bool {
			return slices.ContainsFunc(known.Baselines, func(b v1alpha1.Baseline) bool { return b.Proven && t.IsBaseline(b, nil) })
		},
	} {
		for i := range kept {
			t := configuration.ParseTemplate(live.GetKind(), kept[i].template)
			if good(&t) {
				return &kept[i]
			}
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return &kept[0]
}

func revisionsOf(ctx context.Context, s *session.Session, live *unstructured.Unstructured) ([]revision, error) {
	switch live.GetKind() {
	case configuration.KindDeployment:
		return replicaSetsOf(ctx, s, live)
	case configuration.KindStatefulSet, configuration.KindDaemonSet:
		return controllerRevisionsOf(ctx, s, live)
	default:
		return nil, nil
	}
}

// undoAnswer is what the gate would say to bringing back what ran before.
type undoAnswer struct {
	// to are the images that would come back.
	to string
	// silent: the gate does not answer. Says is what it says against it; none: it would let it in.
	silent bool
	says   []string
}

// askUndo asks the gate about a rollback by a dry run; nil where there is nothing to go back to, or where the user may
// not: then the records have to do.
func askUndo(ctx context.Context, s *session.Session, asked *trial) *undoAnswer {
	t, err := planUndo(ctx, s, asked.before)
	if err != nil {
		return nil
	}
	err = t.run(ctx, s, nil)
	switch {
	case gateSilent(err):
		return &undoAnswer{silent: true}
	case err != nil:
		return nil
	}
	answer := &undoAnswer{to: difference(t)}
	if t.governed() {
		answer.says = t.warnings
	}
	return answer
}

// writeUndo writes what the gate says to a rollback.
func (a *answer) writeUndo(p *screen.Page) {
	u := a.undo
	if u == nil {
		return
	}
	name := strings.ToLower(a.trial.kind) + "/" + a.trial.name
	switch {
	case u.silent:
		p.Field("Roll it back", p.Palette.Paint(screen.Bad, "the gate does not answer")+", and refuses what it is not asked: kubectl itil emergency "+name+" --undo --reason TEXT")
	case len(u.says) > 0:
		p.Field("Roll it back", p.Palette.Paint(screen.Bad, "the gate would refuse it")+", to "+screen.Line(u.to))
		writeLines(p, u.says[:1])
	case a.outlook != nil && a.outlook.complete:
		// The rules said so above.
	default:
		p.Field("Roll it back", p.Palette.Paint(screen.Good, "the gate lets it in now")+": kubectl rollout undo "+name+" -n "+a.trial.namespace)
		p.Item("to " + screen.Line(u.to))
	}
}

const deploymentRevision = "deployment.kubernetes.io/revision"

func replicaSetsOf(ctx context.Context, s *session.Session, live *unstructured.Unstructured) ([]revision, error) {
	list := &appsv1.ReplicaSetList{}
	if err := s.ReadAll(ctx, list, live.GetNamespace()); err != nil {
		return nil, err
	}
	var out []revision
	for i := range list.Items {
		rs := &list.Items[i]
		if !metav1.IsControlledBy(rs, live) {
			continue
		}
		delete(rs.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&rs.Spec.Template)
		if err != nil {
			return nil, fmt.Errorf("reading ReplicaSet %s: %w", rs.Name, err)
		}
		number, err := strconv.ParseInt(rs.Annotations[deploymentRevision], 10, 64)
		if err != nil {
			number = 0 // it has not been given one yet
		}
		out = append(out, revision{number: number, template: template})
	}
	return out, nil
}

func controllerRevisionsOf(ctx context.Context, s *session.Session, live *unstructured.Unstructured) ([]revision, error) {
	list := &appsv1.ControllerRevisionList{}
	if err := s.ReadAll(ctx, list, live.GetNamespace()); err != nil {
		return nil, err
	}
	var out []revision
	for i := range list.Items {
		kept := &list.Items[i]
		if !metav1.IsControlledBy(kept, live) {
			continue
		}
		var data struct {
			Spec struct {
				Template map[string]any `json:"template"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(kept.Data.Raw, &data); err != nil {
			return nil, fmt.Errorf("reading ControllerRevision %s: %w", kept.Name, err)
		}
		delete(data.Spec.Template, "$patch") // it is kept as a patch that replaces
		out = append(out, revision{number: kept.Revision, template: data.Spec.Template})
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// awaitRecord waits for the Change by which the operator records that the glass was broken, and returns its name;
// empty where that does not come in time, or where the user may not watch: what is done is done all the same.
func awaitRecord(ctx context.Context, s *session.Session, t *trial, hash string, before map[string]bool, patience time.Duration) string {
	if patience <= 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := s.Watch(ctx, &v1alpha1.ChangeList{}, client.InNamespace(t.namespace))
	if err != nil {
		return ""
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ""
		case event, open := <-w.ResultChan():
			if !open {
				return ""
			}
			c, isChange := event.Object.(*v1alpha1.Change)
			if isChange && !before[c.Name] && recordsIt(c, t, hash) {
				return c.Name
			}
		}
	}
}

// recordsOf are the names of the records that there are in the namespace; none where that cannot be read.
func recordsOf(ctx context.Context, s *session.Session, t *trial) map[string]bool {
	list := &v1alpha1.ChangeList{}
	if err := s.ReadAll(ctx, list, t.namespace); err != nil {
		return nil
	}
	names := map[string]bool{}
	for i := range list.Items {
		names[list.Items[i].Name] = list.Items[i].Spec.RecordOf != ""
	}
	return names
}

// recordsIt reports whether a Change is the record of a template that was forced in, and still owes its review.
func recordsIt(c *v1alpha1.Change, t *trial, hash string) bool {
	return c.Spec.RecordOf == v1alpha1.RecordOfBreakGlass && c.Spec.Review == nil && len(c.Spec.Targets) == 1 &&
		string(c.Spec.Targets[0].Workload.Kind) == t.kind && string(c.Spec.Targets[0].Workload.Name) == t.name &&
		string(c.Spec.Targets[0].TemplateHash) == hash
}
