package change

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// revisionsFor is how long it is believed that Kubernetes keeps the revision that it was found to keep, or does not.
	revisionsFor = 5 * time.Minute
	// mostRevisionFacts are remembered.
	mostRevisionFacts = 1000
)

var backouts = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "itil_change_backouts_total",
	Help: "Workloads that the operator was to bring back to the template before a change, by what became of it: Restored, Verified, NotPossible, Superseded or Failed. One that is Verified was counted as Restored before.",
}, []string{"result"})

func init() { metrics.Registry.MustRegister(backouts) }

// revisions remembers what was found out about the revisions that Kubernetes keeps, so that the API server is not asked
// again for each event of a rollout.
type revisions struct {
	mu    sync.Mutex
	facts map[revisionKey]revisionFact
}

type revisionKey struct {
	workload configuration.Key
	uid      types.UID
	hash     string
}

type revisionFact struct {
	practice.RevisionFact
	at time.Time
}

func (r *revisions) get(key revisionKey, now time.Time) (practice.RevisionFact, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.facts[key]
	return f.RevisionFact, ok && now.Sub(f.at) < revisionsFor
}

func (r *revisions) put(key revisionKey, f practice.RevisionFact, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.facts == nil || len(r.facts) >= mostRevisionFacts {
		r.facts = map[revisionKey]revisionFact{}
	}
	r.facts[key] = revisionFact{f, now}
}

// revisionFacts looks up whether Kubernetes keeps the templates that a Change would go back to. What cannot be read is
// left out: it keeps nobody from anything.
func (r *Reconciler) revisionFacts(ctx context.Context, s *practice.Subject) map[configuration.Key]practice.RevisionFact {
	goals := s.Goals()
	if len(goals) == 0 {
		return nil
	}
	now := r.Clock.Now()
	out := make(map[configuration.Key]practice.RevisionFact, len(goals))
	for i := range goals {
		g := &goals[i]
		w := s.Workloads[g.Key].Workload
		if g.Baseline == nil || w == nil {
			continue
		}
		memo := revisionKey{g.Key, w.UID, g.Baseline.TemplateHash}
		if f, known := r.revisions.get(memo, now); known {
			out[g.Key] = f
			continue
		}
		f, err := r.lookUp(ctx, s, g)
		if err != nil {
			log.FromContext(ctx).Error(err, "Looking up what Kubernetes keeps of an earlier template", "workload", g.Key.Kind+"/"+g.Key.Name)
			continue
		}
		r.revisions.put(memo, f, now)
		out[g.Key] = f
	}
	return out
}

func (r *Reconciler) lookUp(ctx context.Context, s *practice.Subject, g *practice.Goal) (practice.RevisionFact, error) {
	fact := practice.RevisionFact{Hash: g.Baseline.TemplateHash}
	if !backout.HasRevisions(g.Key.Kind) {
		fact.Why = "Kubernetes keeps no earlier templates of a " + g.Key.Kind
		return fact, nil
	}
	obj, err := r.Restorer.Get(ctx, workloadOf(g.Key))
	switch {
	case apierrors.IsNotFound(err):
		fact.Why = "it does not exist"
		return fact, nil
	case err != nil:
		return fact, err
	}
	if kind, known := configuration.KindNamed(g.Key.Kind); known {
		fact.Manager = r.Managers.OfTemplate(obj, kind.TemplatePath())
	}
	if limit, found, _ := unstructured.NestedInt64(obj.Object, "spec", "revisionHistoryLimit"); found && limit == 0 {
		fact.Why = "Kubernetes keeps none of its earlier templates (spec.revisionHistoryLimit: 0)"
		return fact, nil
	}
	_, err = r.Restorer.Find(ctx, obj, matches(s.Restoration(g), fact.Hash))
	switch {
	case errors.Is(err, backout.ErrNoRevision):
		fact.Why = "Kubernetes keeps no ReplicaSet or ControllerRevision with the template that it would go back to"
	case err != nil:
		return fact, err
	default:
		fact.Kept = true
	}
	return fact, nil
}

func workloadOf(key configuration.Key) backout.Workload {
	return backout.Workload{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
}

// restore puts earlier templates back. The mark makes sure that each goes back once, whenever we die.
func (r *Reconciler) restore(ctx context.Context, chg *v1alpha1.Change, list []practice.Restoration) (map[configuration.Key]practice.Restored, error) {
	out := make(map[configuration.Key]practice.Restored, len(list))
	for i := range list {
		what := &list[i]
		result, err := r.Restorer.Restore(ctx, backout.Restoration{
			Workload: workloadOf(what.Key), From: matches(what, what.From), To: matches(what, what.To),
			Mark: chg.Name + "/" + string(chg.UID),
		})
		restored, err := cameTo(result, err)
		if err != nil {
			return out, fmt.Errorf("backing out Change %s: %w", client.ObjectKeyFromObject(chg), err)
		}
		out[what.Key] = restored
	}
	return out, nil
}

// cameTo says what a restoration came to; the error is one after which it is to be tried again.
func cameTo(result backout.Result, err error) (practice.Restored, error) {
	switch {
	case errors.Is(err, backout.ErrNoRevision):
		return practice.Restored{State: v1alpha1.ChangeBackoutNotPossible, Why: "Kubernetes keeps no revision with the earlier template any more"}, nil
	case apierrors.IsForbidden(err):
		return practice.Restored{State: v1alpha1.ChangeBackoutPending, Why: "refused: " + err.Error()}, nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return practice.Restored{State: v1alpha1.ChangeBackoutFailed, Why: "the API server does not take the earlier template: " + err.Error()}, nil
	case err != nil:
		return practice.Restored{}, err
	}
	switch result {
	case backout.Restored, backout.Already:
		return practice.Restored{State: v1alpha1.ChangeBackoutRestored}, nil
	case backout.Superseded:
		return practice.Restored{State: v1alpha1.ChangeBackoutSuperseded, Why: "somebody put in another template"}, nil
	case backout.Missing:
		return practice.Restored{State: v1alpha1.ChangeBackoutSuperseded, Why: "it does not exist any more"}, nil
	}
	return practice.Restored{}, fmt.Errorf("what Restore calls %q is not known", result)
}

// matches templates by the hash that baselines have.
func matches(what *practice.Restoration, hash string) backout.Matcher {
	return func(template map[string]any) bool {
		t := configuration.ParseTemplate(what.Key.Kind, template)
		return what.Is(&t, hash)
	}
}

// sweep deletes the broken pods of what was undone.
func (r *Reconciler) sweep(ctx context.Context, list []practice.Restoration) error {
	for i := range list {
		what := &list[i]
		n, err := r.Restorer.DeleteBroken(ctx, workloadOf(what.Key), matches(what, what.From))
		if n > 0 {
			log.FromContext(ctx).Info("Deleted pods of the undone template that were not ready", "workload", what.Key.Kind+"/"+what.Key.Name, "pods", n)
		}
		if err != nil {
			return fmt.Errorf("deleting the broken pods of %s %s: %w", what.Key.Kind, what.Key.Name, err)
		}
	}
	return nil
}

// countBackouts counts what a status that was written says in addition to the one before.
func countBackouts(before, after *v1alpha1.ChangeStatus) {
	if after.Backout == nil {
		return
	}
	for i := range after.Backout.Targets {
		t := &after.Backout.Targets[i]
		known := before.Backout != nil && i < len(before.Backout.Targets) && before.Backout.Targets[i].State == t.State
		if !known && t.State != v1alpha1.ChangeBackoutPending {
			backouts.WithLabelValues(string(t.State)).Inc()
		}
	}
}
