// Package problems has the commands about Problems: the list by the harm that each causes, and what people find out
// and decide about one.
package problems

import (
	"cmp"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/edit"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// NewProblem makes `kubectl itil problem`, with its commands.
func NewProblem(f *session.Factory) *cobra.Command {
	return args.Group(&cobra.Command{
		Use:   "problem",
		Short: "List Problems by the harm that they cause; say what is known, and how each ends",
		Long: `Problems are the causes of Incidents. The operator opens one when the same failure comes back, or after a major
Incident. Each command writes only the fields that it is about; the state follows from them.`,
	}, newList(f), newOpen(f), newConfirm(f), newKnownError(f), newFix(f), newAcceptRisk(f), newDuplicate(f), newNotReproducible(f))
}

// patch is the fields of spec to be written; nil where all is as wanted.
type patch = edit.Fields

// newEditor makes what writes to Problems that are not closed.
func newEditor(f *session.Factory, done string) *edit.Editor[*v1alpha1.Problem] {
	return &edit.Editor[*v1alpha1.Problem]{
		Factory: f, Done: done, Refuse: refuseClosed,
		Kind: edit.Kind[*v1alpha1.Problem]{
			Name: "Problem", Plural: "problems", NewList: newProblemList,
			New: func() *v1alpha1.Problem { return &v1alpha1.Problem{} },
		},
	}
}

// refuseClosed refuses a Problem that is closed.
func refuseClosed(p *v1alpha1.Problem) error {
	if p.Status.State != v1alpha1.ProblemClosed {
		return nil
	}
	return exit.New(exit.WrongState, "Problem %s is closed", refOf(p)).
		WithNext("open another one: kubectl itil problem open STATEMENT -n %s", p.Namespace)
}

// refuseClosedForGood refuses a Problem that is closed, but not as a risk that is put up with: that one may be known better, and
// put up with for longer.
func refuseClosedForGood(p *v1alpha1.Problem) error {
	if acceptsRisk(p) {
		return nil
	}
	return refuseClosed(p)
}

func newProblemList() client.ObjectList { return &v1alpha1.ProblemList{} }

func newChangeList() client.ObjectList { return &v1alpha1.ChangeList{} }

func newServiceList() client.ObjectList { return &v1alpha1.ServiceList{} }

func refOf(p *v1alpha1.Problem) string { return p.Namespace + "/" + p.Name }

// ownedBy is what makes somebody the owner of what nobody owns.
func ownedBy(p *v1alpha1.Problem, me session.Identity) patch {
	if p.Spec.Owner != "" {
		return patch{}
	}
	return patch{"owner": me.Name}
}

func orNil(p patch) patch {
	if len(p) == 0 {
		return nil
	}
	return p
}

func stateOf(p *v1alpha1.Problem) v1alpha1.ProblemState {
	return cmp.Or(p.Status.State, v1alpha1.ProblemNew)
}
