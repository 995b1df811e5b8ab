package configurationitem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// enforcedSlack is how long after a policy was found in force in a namespace what nobody let in is still adopted: API servers
// that do not obey the gate's configuration yet, replicas of the gate that do not know the policy yet, requests on their way,
// and clocks that differ. A false alarm is worse than a miss.
const enforcedSlack = time.Minute

// enforcedSince is since when the gate enforces a policy over all workloads in a namespace, as the policies' status tells; zero
// where none does. It holds while the gate's configuration is gone.
func (r *Reconciler) enforcedSince(ctx context.Context, namespace string, rules *change.Rules) (time.Time, error) {
	var since time.Time
	if rules == nil || rules.Unclaimed != v1alpha1.EnforcementEnforce {
		return since, nil
	}
	policies := &v1alpha1.ChangePolicyList{}
	if err := r.Client.List(ctx, policies, client.UnsafeDisableDeepCopy); err != nil {
		return since, fmt.Errorf("listing ChangePolicies: %w", err)
	}
	for i := range policies.Items {
		p := &policies.Items[i]
		if !slices.Contains(rules.Policies, p.Name) {
			continue
		}
		for j := range p.Status.EnforcedIn {
			e := &p.Status.EnforcedIn[j]
			if string(e.Namespace) == namespace && (since.IsZero() || e.Since.Time.Before(since)) {
				since = e.Since.Time
			}
		}
	}
	if since.IsZero() {
		return since, nil
	}
	return since.Add(enforcedSlack), nil
}

// unseen reports whether nothing is known yet of what a workload ran.
func (o *observed) unseen() bool { return o.item == nil || len(o.item.Status.Baselines) == 0 }

// askedSince is since when the API server asks the gate about the workload; zero where nobody knows.
func (o *observed) askedSince() time.Time {
	if o.governedSince.IsZero() || !o.coveredSince.IsZero() && o.coveredSince.Before(o.governedSince) {
		return o.coveredSince
	}
	return o.governedSince
}

// sinceWhen finds out since when the gate is asked about a workload.
func (r *Reconciler) sinceWhen(ctx context.Context, o *observed) (err error) {
	o.governedSince = r.governedSince(o.claimants)
	if o.unseen() {
		o.coveredSince, err = r.enforcedSince(ctx, o.key.Namespace, o.rules)
	}
	return err
}

// wasInForce reports whether the gate was in force for the workload when that was last seen.
func (o *observed) wasInForce() bool {
	if o.item != nil && o.item.Status.Enforcement == v1alpha1.EnforcementEnforce {
		return true
	}
	return o.unseen() && !o.askedSince().IsZero()
}
