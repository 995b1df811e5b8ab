package problem

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
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

func index(ctx context.Context, indexer client.FieldIndexer) error {
	one := func(value string) []string {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	fields := []struct {
		kind  client.Object
		field string
		of    client.IndexerFunc
	}{
		{&v1alpha1.Incident{}, incidentFingerprint, func(o client.Object) []string { return one(o.(*v1alpha1.Incident).Status.Fingerprint) }},
		{&v1alpha1.Incident{}, incidentProblem, func(o client.Object) []string {
			if ref := o.(*v1alpha1.Incident).Spec.ProblemRef; ref != nil {
				return one(string(ref.Name))
			}
			return nil
		}},
		{&v1alpha1.Problem{}, problemFingerprint, func(o client.Object) []string { return one(o.(*v1alpha1.Problem).Spec.Fingerprint) }},
		{&v1alpha1.Problem{}, problemDuplicateOf, func(o client.Object) []string { return one(duplicateOf(o.(*v1alpha1.Problem))) }},
		{&v1alpha1.Change{}, changeProblem, func(o client.Object) []string {
			if ref := o.(*v1alpha1.Change).Spec.ProblemRef; ref != nil {
				return one(string(ref.Name))
			}
			return nil
		}},
		{&v1alpha1.Problem{}, problemChange, func(o client.Object) []string {
			var names []string
			for _, ref := range o.(*v1alpha1.Problem).Spec.ChangeRefs {
				names = append(names, string(ref.Name))
			}
			return names
		}},
	}
	for _, f := range fields {
		if err := indexer.IndexField(ctx, f.kind, f.field, f.of); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", f.kind, f.field, err)
		}
	}
	return nil
}

func duplicateOf(p *v1alpha1.Problem) string {
	if d := p.Spec.Decision; d != nil && d.Type == v1alpha1.DecisionDuplicate && d.DuplicateOf != nil {
		return string(d.DuplicateOf.Name)
	}
	return ""
}
