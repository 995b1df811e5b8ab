package problem

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/index"
)

// Indexes of the cache that this package's lists go by.
const (
	incidentFingerprint = "problem/incident.status.fingerprint"
	incidentProblem     = "problem/incident.spec.problemRef"
	problemFingerprint  = "problem/problem.spec.fingerprint"
	problemChange       = "problem/problem.spec.changeRefs"
	problemDuplicateOf  = "problem/problem.spec.decision.duplicateOf"
	changeProblem       = "problem/change.spec.problemRef"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer,
		index.By(incidentFingerprint, func(i *v1alpha1.Incident) []string { return index.Value(i.Status.Fingerprint) }),
		index.By(incidentProblem, func(i *v1alpha1.Incident) []string { return index.Names(i.Spec.ProblemRef) }),
		index.By(problemFingerprint, func(p *v1alpha1.Problem) []string { return index.Value(p.Spec.Fingerprint) }),
		index.By(problemDuplicateOf, func(p *v1alpha1.Problem) []string { return index.Value(duplicateOf(p)) }),
		index.By(problemChange, func(p *v1alpha1.Problem) []string { return index.NamesIn(p.Spec.ChangeRefs) }),
		index.By(changeProblem, func(c *v1alpha1.Change) []string { return index.Names(c.Spec.ProblemRef) }),
	)
}

func duplicateOf(p *v1alpha1.Problem) string {
	if d := p.Spec.Decision; d != nil && d.Type == v1alpha1.DecisionDuplicate && d.DuplicateOf != nil {
		return string(d.DuplicateOf.Name)
	}
	return ""
}
