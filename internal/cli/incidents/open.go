package incidents

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

var levels = []string{string(v1alpha1.LevelHigh), string(v1alpha1.LevelMedium), string(v1alpha1.LevelLow)}

// reporter opens Incidents.
type reporter struct {
	factory                      *session.Factory
	output                       *output.Flags
	name, service, workload      string
	description, impact, urgency string
	parent, change               string
	take, major                  bool
}

func newOpen(f *session.Factory) *cobra.Command {
	r := &reporter{factory: f, output: output.ForWrite(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "open TITLE (--service NAME | --workload KIND/NAME)",
		Short: "Open an Incident for something that the operator cannot see",
		Long: `Open an Incident for something that the operator cannot see: a wrong result, a slow page, a user in trouble. You are
its reporter, as the API server knows you. Failing workloads need nobody's report.`,
		Example: `  kubectl itil incident open "checkout shows wrong prices" --service checkout --impact High
  kubectl itil incident open "checkout is slow" --workload deployment/checkout -m "since the sale began" --take`,
		Args:              args.Exactly("TITLE"),
		ValidArgsFunction: complete.Nothing,
		RunE: func(cmd *cobra.Command, titles []string) error {
			if err := r.check(cmd); err != nil {
				return err
			}
			return r.run(cmd, titles[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.name, "name", "", "Name of the Incident. Default: made from the Service's or workload's.")
	flags.StringVar(&r.service, "service", "", "The Service that suffers.")
	flags.StringVar(&r.workload, "workload", "", "What fails, as KIND/NAME.")
	flags.StringVarP(&r.description, "message", "m", "", "What was seen.")
	flags.StringVar(&r.impact, "impact", "", "High, Medium or Low. Default: by the health of the Service.")
	flags.StringVar(&r.urgency, "urgency", "", "High, Medium or Low. Default: by the tier of the Service.")
	flags.StringVar(&r.parent, "parent", "", "The Incident that explains it, as NAME or NAMESPACE/NAME.")
	flags.StringVar(&r.change, "change", "", "The Change that will fix it.")
	flags.BoolVar(&r.take, "take", false, "Assign it to yourself.")
	flags.BoolVar(&r.major, "major", false, "It is a major incident: everybody must know of it, and it is closed by hand only.")
	// They fail only where there is no such flag.
	for _, level := range []string{"impact", "urgency"} {
		_ = cmd.RegisterFlagCompletionFunc(level, cobra.FixedCompletions(slices.Clone(levels), cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(f, newServiceList))
	r.output.AddTo(cmd)
	return cmd
}

func (r *reporter) check(cmd *cobra.Command) error {
	if r.service == "" && r.workload == "" {
		return args.Wrong(cmd, "say what suffers: --service NAME or --workload KIND/NAME")
	}
	for flag, level := range map[string]string{"impact": r.impact, "urgency": r.urgency} {
		if level != "" && !slices.Contains(levels, level) {
			return args.Wrong(cmd, "--%s must be one of %s, and not %q", flag, strings.Join(levels, ", "), level)
		}
	}
	if err := checkParent(cmd, "parent", r.parent); err != nil {
		return err
	}
	return r.output.Check()
}

func (r *reporter) run(cmd *cobra.Command, title string) error {
	ctx := cmd.Context()
	s, err := r.factory.Connect()
	if err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	i := r.incident(s.Namespace, me, title)
	if r.workload != "" {
		if i.Spec.WorkloadRef, err = workloadRef(cmd, s, r.workload); err != nil {
			return err
		}
	}
	if r.service != "" {
		if err := s.Read(ctx, session.Ref{Namespace: s.Namespace, Name: r.service}, &v1alpha1.Service{}, "Service", "services"); exit.CodeOf(err) == exit.NotFound {
			return err
		}
	}
	if err := (links{change: r.change, parent: r.parent}).exist(ctx, s, s.Namespace); err != nil {
		return err
	}
	if i.Spec.WorkloadRef != nil && isMissing(ctx, s, i) {
		// It may be just that which is reported.
		s.Screen.Notef("Note: there is no %s in namespace %s.", screen.Line(r.workload), s.Namespace)
	}
	others := openOn(ctx, s, i)
	if err := s.Create(ctx, i); err != nil {
		return session.Refused(err, "opening an Incident in namespace "+s.Namespace)
	}
	if len(others) > 0 {
		s.Screen.Notef("Note: open on the same already: %s.", screen.Line(screen.And(others)))
	}
	if !r.output.ForPeople() {
		return r.output.Object(s.Screen.Out, i)
	}
	return s.Screen.Printf("incident.itil.dev/%s opened\n", i.Name)
}

func (r *reporter) incident(namespace string, me session.Identity, title string) *v1alpha1.Incident {
	i := &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: r.name},
		Spec: v1alpha1.IncidentSpec{
			Title: title, Description: r.description, Source: v1alpha1.IncidentSourceUser, Reporter: v1alpha1.UserName(me.Name),
			Impact: v1alpha1.Level(r.impact), Urgency: v1alpha1.Level(r.urgency), Major: r.major,
		},
	}
	if r.name == "" {
		_, workload, _ := strings.Cut(r.workload, "/")
		i.GenerateName = cmp.Or(r.service, workload) + "-"
	}
	if r.service != "" {
		i.Spec.ServiceRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(r.service)}
	}
	if r.change != "" {
		i.Spec.ChangeRefs = []v1alpha1.LocalReference{{Name: v1alpha1.ObjectName(r.change)}}
	}
	if r.parent != "" {
		parent := parentRef(i, r.parent)
		i.Spec.ParentRef = &parent
	}
	if r.take {
		i.Spec.Assignee = v1alpha1.UserName(me.Name)
	}
	return i
}

// workloadRef reads KIND/NAME, with any name of the kind that kubectl knows.
func workloadRef(cmd *cobra.Command, s *session.Session, arg string) (*v1alpha1.AnyWorkloadReference, error) {
	kind, name, slash := strings.Cut(arg, "/")
	if !slash || kind == "" || name == "" {
		return nil, args.Wrong(cmd, "--workload takes KIND/NAME, for example deployment/checkout, and not %q", arg)
	}
	mapper, err := s.Getter.ToRESTMapper()
	if err != nil {
		return nil, err
	}
	resource := schema.ParseGroupResource(strings.ToLower(kind))
	found, err := mapper.KindFor(resource.WithVersion(""))
	if err != nil {
		return nil, args.Wrong(cmd, "--workload %q: the cluster has no kind %s", arg, kind)
	}
	ref := &v1alpha1.AnyWorkloadReference{Kind: found.Kind, Name: v1alpha1.ObjectName(name)}
	if group, builtIn := configuration.GroupOf(found.Kind); !builtIn || group != found.Group {
		ref.Group = found.Group
	}
	return ref, nil
}

// isMissing reports whether the workload is known not to exist; who may not read it is not told.
func isMissing(ctx context.Context, s *session.Session, i *v1alpha1.Incident) bool {
	ref := i.Spec.WorkloadRef
	mapper, err := s.Getter.ToRESTMapper()
	if err != nil {
		return false
	}
	group := ref.Group
	if group == "" {
		group, _ = configuration.GroupOf(ref.Kind)
	}
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: group, Kind: ref.Kind})
	if err != nil {
		return false
	}
	workload := &metav1.PartialObjectMetadata{}
	workload.SetGroupVersionKind(mapping.GroupVersionKind)
	key := session.Ref{Namespace: i.Namespace, Name: string(ref.Name)}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		key.Namespace = ""
	}
	return apierrors.IsNotFound(s.Get(ctx, key, workload))
}

// openOn names the open Incidents on the same Service or workload, as far as the user may read them.
func openOn(ctx context.Context, s *session.Session, i *v1alpha1.Incident) []string {
	list := &v1alpha1.IncidentList{}
	if err := s.ReadAll(ctx, list, i.Namespace); err != nil {
		return nil
	}
	var names []string
	for n := range list.Items {
		other := &list.Items[n]
		same := i.Spec.WorkloadRef != nil && other.Spec.WorkloadRef != nil && *i.Spec.WorkloadRef == *other.Spec.WorkloadRef ||
			serviceOf(i) != "" && serviceOf(i) == serviceOf(other)
		if same && !isOver(other) {
			names = append(names, other.Name)
		}
	}
	return names
}
