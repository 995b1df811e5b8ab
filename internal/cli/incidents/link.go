package incidents

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newLink(f *session.Factory) *cobra.Command {
	var l links
	e := newEditor(f, "linked")
	cmd := e.Several(&cobra.Command{
		Use:   "link NAME... (--change NAME | --problem NAME | --parent NAMESPACE/NAME)",
		Short: "Link Incidents with the Change that will fix them, their Problem, or the Incident that explains them",
		Example: `  kubectl itil incident link checkout-7f3a9 --change checkout-2-5 --problem checkout-oomkilled-7f3a9
  kubectl itil incident link checkout-7f3a9 --parent finance/ledger-1b2c3

  # Take a link away
  kubectl itil incident link checkout-7f3a9 --remove --change checkout-2-5`,
	})
	flags := cmd.Flags()
	flags.StringVar(&l.change, "change", "", "The Change that will fix it.")
	flags.StringVar(&l.problem, "problem", "", "The Problem behind it.")
	flags.StringVar(&l.parent, "parent", "", "The Incident that explains it, as NAME or NAMESPACE/NAME.")
	flags.BoolVar(&l.remove, "remove", false, "Take these links away.")
	e.Check = func(cmd *cobra.Command) error {
		if l.change == "" && l.problem == "" && l.parent == "" {
			return args.Wrong(cmd, "nothing to link: give --change, --problem or --parent")
		}
		if l.remove {
			e.Done = "unlinked"
		}
		return checkParent(cmd, "parent", l.parent)
	}
	e.Before = func(ctx context.Context, s *session.Session, ref session.Ref) error {
		return l.exist(ctx, s, ref.Namespace)
	}
	e.Edit = func(i *v1alpha1.Incident) (patch, error) {
		if err := l.apart(i); err != nil {
			return nil, err
		}
		return merged(l.patch(i)), nil
	}
	return cmd
}

// links are what an Incident shall be linked with.
type links struct {
	change, problem, parent string
	// remove takes them away.
	remove bool
}

// exist refuses what is not there: a typing error would have the Incident wait for ever. What may not be read, in another
// namespace for example, is taken at its word.
func (l links) exist(ctx context.Context, s *session.Session, namespace string) error {
	if l.remove {
		return nil
	}
	parent := session.Ref{Namespace: namespace, Name: l.parent}
	if other, name, slash := strings.Cut(l.parent, "/"); slash {
		parent = session.Ref{Namespace: other, Name: name}
	}
	for _, wanted := range []struct {
		ref          session.Ref
		object       client.Object
		kind, plural string
	}{
		{session.Ref{Namespace: namespace, Name: l.change}, &v1alpha1.Change{}, "Change", "changes"},
		{session.Ref{Namespace: namespace, Name: l.problem}, &v1alpha1.Problem{}, "Problem", "problems"},
		{parent, &v1alpha1.Incident{}, "Incident", "incidents"},
	} {
		if wanted.ref.Name == "" {
			continue
		}
		if err := s.Read(ctx, wanted.ref, wanted.object, wanted.kind, wanted.plural); err != nil && exit.CodeOf(err) != exit.NotPermitted {
			return err
		}
	}
	return nil
}

// apart refuses an Incident that would explain itself.
func (l links) apart(i *v1alpha1.Incident) error {
	if l.parent == "" || l.remove || joined(parentRef(i, l.parent)) != refOf(i) {
		return nil
	}
	return exit.New(exit.Usage, "Incident %s cannot explain itself", refOf(i)).WithNext("name the one that does: kubectl itil incidents -A")
}

// checkParent checks the form of a parent.
func checkParent(cmd *cobra.Command, flag, parent string) error {
	namespace, name, slash := strings.Cut(parent, "/")
	if slash && (namespace == "" || name == "" || strings.Contains(name, "/")) {
		return args.Wrong(cmd, "--%s takes NAME or NAMESPACE/NAME, and not %q", flag, parent)
	}
	return nil
}

// parentRef is NAME or NAMESPACE/NAME, in the namespace of the Incident unless it says another.
func parentRef(i *v1alpha1.Incident, parent string) v1alpha1.NamespacedReference {
	if namespace, name, slash := strings.Cut(parent, "/"); slash {
		return v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(namespace), Name: v1alpha1.ObjectName(name)}
	}
	return v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(i.Namespace), Name: v1alpha1.ObjectName(parent)}
}

// patch is what must be written for these links; what is so already is left out.
func (l links) patch(i *v1alpha1.Incident) patch {
	p := patch{}
	if l.change != "" {
		has := func(r v1alpha1.LocalReference) bool { return string(r.Name) == l.change }
		switch refs := i.Spec.ChangeRefs; {
		case l.remove && slices.ContainsFunc(refs, has):
			p["changeRefs"] = slices.DeleteFunc(slices.Clone(refs), has)
		case !l.remove && !slices.ContainsFunc(refs, has):
			p["changeRefs"] = append(slices.Clone(refs), v1alpha1.LocalReference{Name: v1alpha1.ObjectName(l.change)})
		}
	}
	if l.problem != "" {
		same := i.Spec.ProblemRef != nil && string(i.Spec.ProblemRef.Name) == l.problem
		switch {
		case l.remove && same:
			p["problemRef"] = nil
		case !l.remove && !same:
			p["problemRef"] = map[string]any{"name": l.problem}
		}
	}
	if l.parent != "" {
		wanted := parentRef(i, l.parent)
		same := i.Spec.ParentRef != nil && parentRef(i, joined(*i.Spec.ParentRef)) == wanted
		switch {
		case l.remove && same:
			p["parentRef"] = nil
		case !l.remove && !same:
			p["parentRef"] = map[string]any{"namespace": string(wanted.Namespace), "name": string(wanted.Name)}
		}
	}
	return p
}

func joined(r v1alpha1.NamespacedReference) string {
	if r.Namespace == "" {
		return string(r.Name)
	}
	return string(r.Namespace) + "/" + string(r.Name)
}
