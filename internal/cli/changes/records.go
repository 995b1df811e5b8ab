package changes

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// items are the ConfigurationItems of a namespace, by workload.
type items map[v1alpha1.WorkloadReference]*v1alpha1.ConfigurationItem

// itemsOf reads them; none where the user may not.
func itemsOf(ctx context.Context, s *session.Session, namespace string) (items, error) {
	list := &v1alpha1.ConfigurationItemList{}
	if err := s.ReadAll(ctx, list, namespace); err != nil {
		if exit.CodeOf(err) == exit.NotPermitted {
			return nil, nil
		}
		return nil, err
	}
	return itemsIn(list), nil
}

func itemsIn(list *v1alpha1.ConfigurationItemList) items {
	found := items{}
	for i := range list.Items {
		found[list.Items[i].Spec.WorkloadRef] = &list.Items[i]
	}
	return found
}

func (i items) of(kind, name string) *v1alpha1.ConfigurationItem {
	return i[v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadKind(kind), Name: v1alpha1.ObjectName(name)}]
}

func (i items) baselines(kind, name string) []v1alpha1.Baseline {
	item := i.of(kind, name)
	if item == nil {
		return nil
	}
	return item.Status.Baselines
}

// policyPin is how exact the ChangePolicies of a namespace want targets to be, as far as the user may read them. It
// only picks a default: the gate says what counts.
func policyPin(ctx context.Context, s *session.Session, namespace string) v1alpha1.Pin {
	rules := rulesOf(ctx, s, namespace)
	if rules == nil {
		return v1alpha1.PinImages
	}
	return rules.Pin
}

// rulesOf are what the ChangePolicies of a namespace come to, but for their change windows; nil where the user may not
// read them.
func rulesOf(ctx context.Context, s *session.Session, namespace string) *change.Rules {
	policies := &v1alpha1.ChangePolicyList{}
	if err := s.ReadAll(ctx, policies, ""); err != nil {
		return nil
	}
	in := &corev1.Namespace{}
	if err := s.Get(ctx, session.Ref{Name: namespace}, in); err != nil {
		return nil
	}
	var scope []*v1alpha1.ChangePolicy
	for i := range policies.Items {
		if change.InScope(&policies.Items[i], in.Labels) {
			scope = append(scope, &policies.Items[i])
		}
	}
	return change.Merge(scope, nil)
}
