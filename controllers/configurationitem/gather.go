package configurationitem

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// listingSlack is how long after Governed became True a webhook may not be in force yet in every API server.
const listingSlack = 5 * time.Second

// observed is all that an item follows from.
type observed struct {
	key configuration.Key
	// item as it is in the cache, not to be altered; nil where there is none.
	item *v1alpha1.ConfigurationItem
	// workload; nil where it does not exist.
	workload  *configuration.Workload
	claimants []inventory.Claimant
	// covered by a policy with scope AllWorkloads.
	covered bool
	// twin that the glass was broken for: nobody claims it, and its pods would pass for those of a governed workload.
	twin bool
	// claimedByName by a Service, whether it exists or not.
	claimedByName bool

	rules *change.Rules
	// inForce: the gate is to refuse what nobody agreed to, and the API server asks it, or did when last seen.
	inForce bool
	// enforced: a template that no record tells of came in past it. What came in while nobody claimed the workload did not.
	enforced bool
	// watched: the gate is asked, refuses nothing, and what comes while it does not answer goes in.
	watched bool
	// governedSince is since when the API server asks the gate, as the Services say; zero where none does.
	governedSince time.Time
	// coveredSince is since when the gate enforces a policy over all workloads there; zero where none does, and of what is
	// known already.
	coveredSince time.Time
	// admissions of the gate that no baseline tells of, the newest first; here are those of this replica.
	admissions, here []configuration.AdmissionRecord
	// derived is what the gate would say of the present template now, and what Changes and annotations tell of it:
	// asked for only where no record tells of it.
	derived func(operation change.Operation) (*configuration.AdmissionRecord, *refusal)
	// runs of a CronJob that are there.
	runs []*configuration.Workload
	// imageIDs that its ready pods run, where it is rolled out; nil where they are not known.
	imageIDs map[string]string
	// earlier templates that its pods run, where they run none that is agreed.
	earlier []earlier
	// heldRuns is how many pods run a template that is held back, and that no Change covers any more.
	heldRuns int32
	// showsImages: somebody tells what pods run.
	showsImages bool
}

// wanted reports whether the workload is to have an item.
func (o *observed) wanted() bool {
	return o.workload != nil && (len(o.claimants) > 0 || (o.covered || o.twin) && !o.run())
}

// run reports whether it is but a run of a CronJob.
func (o *observed) run() bool {
	w := o.workload
	return w.Key.Kind == configuration.KindJob && w.Owner != nil && w.Owner.Key.Kind == configuration.KindCronJob
}

// expired reports whether the item's retention time is over.
func (o *observed) expired(retention time.Duration, now time.Time) bool {
	since := o.item.Status.UnclaimedSince
	return !o.wanted() && !o.claimedByName && since != nil && !now.Before(since.Add(retention))
}

func (o *observed) baselineRules() configuration.BaselineRules {
	// Which rollbacks are allowed the gate's own decision says, see derived.
	b := configuration.BaselineRules{Enforced: o.enforced, GovernedSince: o.askedSince(), RollbackRevisions: -1}
	b.ImageIDs, b.Runs = o.imageIDs, o.runs
	if o.rules != nil {
		b.IgnoredAnnotationPrefixes = o.rules.IgnoredAnnotationPrefixes
		b.ProvenSeconds = int32(min(o.rules.Proven/time.Second, 1<<30)) //nolint:gosec // bounded in the same line
	}
	return b
}

// gather reads caches only.
func (r *Reconciler) gather(ctx context.Context, key configuration.Key, now time.Time) (*observed, error) {
	inv := r.Inventory
	o := &observed{
		key: key, item: inv.Item(key), rules: inv.Rules(key.Namespace), claimedByName: inv.ClaimedByName(key),
		admissions: inv.Admissions(key), here: inv.AdmittedHere(key),
	}
	w, exists := inv.Workload(key)
	if !exists {
		return o, nil
	}
	o.workload, o.claimants, o.runs = w, inv.Claimants(key), inv.Runs(key)
	o.covered = o.rules != nil && o.rules.AllWorkloads
	enforcement := change.EnforcementFor(claims(o.claimants), o.rules)
	if len(o.claimants) == 0 && !o.covered && w.BrokenGlass() != "" {
		g := inv.Governance(key, w.Template.Labels)
		o.twin, enforcement = g.Governed(), g.Enforcement
	}
	listed, err := r.listed(ctx, key.Namespace)
	if err != nil {
		return nil, err
	}
	if err := r.sinceWhen(ctx, o); err != nil {
		return nil, err
	}
	o.inForce = enforcement == v1alpha1.EnforcementEnforce && (listed == gateconfig.ListedEnforce || o.wasInForce())
	o.enforced = o.inForce && (o.item == nil || o.item.Status.State != v1alpha1.ConfigurationItemUnclaimed)
	o.watched = (enforcement == v1alpha1.EnforcementAudit || enforcement == v1alpha1.EnforcementWarn) && listed == gateconfig.ListedAudit
	o.showsImages = r.Images != nil
	if o.showsImages && w.RolledOut() {
		o.imageIDs = r.Images.ImageIDs(key)
	}
	if o.earlier, err = r.runningEarlier(ctx, o); err != nil {
		return nil, err
	}
	o.heldRuns = r.heldRuns(o)
	o.derived = func(operation change.Operation) (*configuration.AdmissionRecord, *refusal) {
		return r.derive(w, operation, now)
	}
	return o, nil
}

func claims(claimants []inventory.Claimant) []change.Claim {
	out := make([]change.Claim, 0, len(claimants))
	for _, c := range claimants {
		out = append(out, change.Claim{Service: c.Service.Name.Name, Tier: c.Service.Tier(), Enforcement: c.Service.Enforcement()})
	}
	return out
}

func (r *Reconciler) listed(ctx context.Context, namespace string) (gateconfig.Listed, error) {
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: gateconfig.Name}, config)
	switch {
	case apierrors.IsNotFound(err):
		return gateconfig.NotListed, nil
	case err != nil:
		return "", fmt.Errorf("reading webhook configuration %s: %w", gateconfig.Name, err)
	}
	return gateconfig.Read(config).Of(namespace), nil
}

// governedSince is the earliest time since which the gate is asked about what one of the Services claims. Of a spec that was
// edited since it was looked at nobody knows: it may claim what has long been there.
func (r *Reconciler) governedSince(claimants []inventory.Claimant) time.Time {
	var since time.Time
	for _, c := range claimants {
		obj := r.Inventory.ServiceObject(c.Service.Name)
		if obj == nil || obj.Status.GovernedSince == nil || obj.Status.ObservedGeneration != obj.Generation {
			continue
		}
		at := obj.Status.GovernedSince.Add(listingSlack)
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return since
}

// brokenGlassRecord is of who signed it, which the API server saw to.
func brokenGlassRecord(w *configuration.Workload, now time.Time) *configuration.AdmissionRecord {
	return &configuration.AdmissionRecord{
		TemplateHash: w.Template.Hash, Source: v1alpha1.BaselineBreakGlass, By: w.Annotations[v1alpha1.AnnotationBreakGlassBy], At: now,
	}
}

// implemented is what a Change tells of having brought the present template in, after the newest baseline; nil: none does.
func (r *Reconciler) implemented(w *configuration.Workload, baselines []v1alpha1.Baseline) *configuration.AdmissionRecord {
	for _, c := range r.Inventory.ChangesOf(w.Key) {
		for _, im := range c.Object.Status.Implementations {
			if im.Workload != change.ReferenceTo(w.Key) || im.TemplateHash != w.Template.Hash || im.Rollout == v1alpha1.RolloutRolledBack ||
				len(baselines) > 0 && im.At.Before(&baselines[0].From) {
				continue
			}
			return &configuration.AdmissionRecord{
				TemplateHash: w.Template.Hash, Source: v1alpha1.BaselineChange, By: im.By, Change: c.Object.Name, At: im.At.Time,
			}
		}
	}
	return nil
}

// filed is the name of the Change that the gate filed for what needs no vote, where that is known already and nothing went
// in by it; else the one that it would file now.
func (r *Reconciler) filed(key configuration.Key, decision *change.Decision) string {
	for _, c := range r.Inventory.ChangesOf(key) {
		of := c.Object
		if of.Labels[change.LabelFiledFor] == change.FiledForPreAuthorised && c.Candidate.Ended == change.NotEnded &&
			len(of.Status.Implementations) == 0 && decision.File != nil && decision.File.Is(of) {
			return of.Name
		}
	}
	return decision.Change
}

// derive finds out who let a template in where the gate's record of it is lost, or never was: whoever breaks the glass
// does not pass the gate.
func (r *Reconciler) derive(w *configuration.Workload, operation change.Operation, now time.Time) (*configuration.AdmissionRecord, *refusal) {
	baselines := r.Inventory.Baselines(w.Key)
	broken := w.BrokenGlass() != "" && !configuration.GlassLeftOver(w, baselines)
	copied := broken && configuration.GlassCopied(w, baselines)
	if broken && !copied {
		return brokenGlassRecord(w, now), nil
	}
	if record := r.implemented(w, baselines); record != nil {
		return record, nil
	}
	record := &configuration.AdmissionRecord{TemplateHash: w.Template.Hash, At: now}
	request := &change.Request{Operation: operation, Key: w.Key, New: &w.Template, Change: w.Annotations[v1alpha1.AnnotationChange]}
	world := r.Inventory.World(request)
	decision := change.Decide(request, world, now)
	if copied && decision.Verdict != change.Rollback {
		return brokenGlassRecord(w, now), nil
	}
	switch decision.Verdict {
	case change.Covered:
		record.Source, record.Change = v1alpha1.BaselineChange, decision.Change
	case change.PreAuthorised:
		// By the name that the gate filed it under, or would have, so that it is found there, or filed late.
		record.Source, record.Change = v1alpha1.BaselinePreAuthorised, r.filed(w.Key, &decision)
	case change.Rollback:
		record.Source, record.Change = v1alpha1.BaselineRollback, decision.Change
	case change.Warned, change.Audited:
		if world.Rules == nil {
			return nil, nil
		}
		return nil, &refusal{policies: world.Rules.Policies, reasons: decision.Reasons}
	case change.Unchanged:
		switch {
		case operation == change.Create:
			// It passed the gate as what is agreed to run for another workload, for whose pods its own pass.
			record.Source = v1alpha1.BaselineAdopted
		case change.Restores(request, world):
			record.Source = v1alpha1.BaselineRollback
		default:
			return nil, nil
		}
	case change.NotGoverned, change.BreakGlass, change.Denied:
		return nil, nil
	}
	return record, nil
}
