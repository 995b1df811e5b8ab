package problems

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

type opener struct {
	factory                 *session.Factory
	output                  *output.Flags
	name, service, incident string
}

func newOpen(f *session.Factory) *cobra.Command {
	o := &opener{factory: f, output: output.ForWrite(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "open STATEMENT (--incident NAME | --service NAME)",
		Short: "Open a Problem without waiting for the failure to come back",
		Long: `Open a Problem without waiting for the failure to come back. With --incident it is about that Incident's failure: all
Incidents of the same kind belong to it, those to come too. You own it.`,
		Example: `  kubectl itil problem open "checkout is OOMKilled during imports" --incident checkout-7f3a9
  kubectl itil problem open "prices are rounded wrongly" --service checkout`,
		Args:              args.Exactly("STATEMENT"),
		ValidArgsFunction: complete.Nothing,
		RunE: func(cmd *cobra.Command, statement []string) error {
			if o.service == "" && o.incident == "" {
				return args.Wrong(cmd, "say what it is about: --incident NAME or --service NAME")
			}
			if err := o.output.Check(); err != nil {
				return err
			}
			return o.run(cmd.Context(), statement[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "Name of the Problem. Default: made from the workload's or Service's.")
	flags.StringVar(&o.service, "service", "", "The Service that suffers.")
	flags.StringVar(&o.incident, "incident", "", "An Incident whose failure it is about.")
	// They fail only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(f, newServiceList))
	_ = cmd.RegisterFlagCompletionFunc("incident", complete.Flag(f, func() client.ObjectList { return &v1alpha1.IncidentList{} }))
	o.output.AddTo(cmd)
	return cmd
}

func (o *opener) run(ctx context.Context, statement string) error {
	s, err := o.factory.Connect()
	if err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	p := &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: o.name},
		Spec:       v1alpha1.ProblemSpec{Statement: statement, Owner: v1alpha1.UserName(me.Name)},
	}
	base := o.service
	if o.service != "" {
		p.Spec.ServiceRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(o.service)}
	}
	if o.incident != "" {
		incident, err := o.about(ctx, s, p)
		if err != nil {
			return err
		}
		if ref := incident.Spec.WorkloadRef; ref != nil {
			base = cmp.Or(base, string(ref.Name))
		}
	}
	if p.Name == "" {
		p.GenerateName = cmp.Or(base, "problem") + "-"
	}
	if err := s.Create(ctx, p); err != nil {
		return session.Refused(err, "opening a Problem in namespace "+p.Namespace)
	}
	if !o.output.ForPeople() {
		return o.output.Object(s.Screen.Out, p)
	}
	return s.Screen.Printf("problem.itil.dev/%s opened\n", p.Name)
}

// about makes the Problem one about an Incident's failure; one that is open about it already is told instead.
func (o *opener) about(ctx context.Context, s *session.Session, p *v1alpha1.Problem) (*v1alpha1.Incident, error) {
	ref, err := s.Ref(o.incident)
	if err != nil {
		return nil, err
	}
	i := &v1alpha1.Incident{}
	if err := s.Read(ctx, ref, i, "Incident", "incidents"); err != nil {
		return nil, err
	}
	p.Namespace, p.Spec.Fingerprint = i.Namespace, i.Status.Fingerprint
	if p.Spec.ServiceRef == nil {
		p.Spec.ServiceRef = i.Spec.ServiceRef
	}
	if p.Spec.Fingerprint == "" {
		s.Screen.Notef("Incident %s has no fingerprint: link it, kubectl itil incident link %s --problem NAME.", ref, ref)
		return i, nil
	}
	list := &v1alpha1.ProblemList{}
	if err := s.ReadAll(ctx, list, i.Namespace); err != nil {
		return nil, err
	}
	for n := range list.Items {
		other := &list.Items[n]
		if other.Spec.Fingerprint == p.Spec.Fingerprint && other.Status.State != v1alpha1.ProblemClosed {
			return nil, exit.New(exit.WrongState, "Problem %s is open about the same failure", refOf(other)).
				WithNext("work on that one: kubectl itil problem confirm %s", refOf(other))
		}
	}
	return i, nil
}
