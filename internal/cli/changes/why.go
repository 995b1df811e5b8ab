package changes

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// asker asks the gate.
type asker struct {
	factory *session.Factory
	files   *genericclioptions.FileNameFlags
	manager string
	// deletion: ask about deleting the workload.
	deletion bool
	// format is json or yaml; empty: a page for people.
	format string
}

// NewWhy makes `kubectl itil why`.
func NewWhy(f *session.Factory) *cobra.Command {
	a := &asker{factory: f}
	cmd := &cobra.Command{
		Use:   "why (KIND/NAME [CONTAINER=IMAGE... | --delete] | -f MANIFESTS)",
		Short: "Ask what the gate would say to a deployment now, and why",
		Long: `Ask what the gate would say now, and why.

Of a workload alone it shows who governs it, whether the gate is open now or what keeps it closed, who votes, whether it
may be rolled back at once, what ran, and which Changes are open for it. With images or manifests it tries them by a
server-side dry run, which stores nothing, and shows what the gate answers, and what keeps each open Change from covering
them.

The exit code is 7 where the gate would refuse something, 0 where it would let all of it in.`,
		Example: `  # Who governs it, is the gate open, may it be rolled back, what ran, and what is open for it
  kubectl itil why deployment/checkout

  # Would this image be let in now?
  kubectl itil why deployment/checkout app=registry.shop.example/checkout:2.4

  # Would these manifests?
  kubectl itil why -f deploy/ -n shop

  # Would its deletion?
  kubectl itil why deployment/checkout --delete

  # For a pipeline
  kubectl itil why -f deploy/ -o json | jq -r '.items[].verdict'`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: complete.Workloads(f),
		RunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case given(a.files) == (len(names) > 0):
				return args.Wrong(cmd, "give KIND/NAME or manifests (-f): one of the two")
			case !slices.Contains(formats, a.format):
				return args.Wrong(cmd, "--output must be json or yaml, and not %q", a.format)
			case a.deletion && len(names) != 1:
				return args.Wrong(cmd, "--delete asks about one workload: KIND/NAME")
			}
			return a.run(cmd, names)
		},
	}
	a.files = manifestFlags(cmd, "Files, folders or URLs of the manifests to ask about.")
	cmd.Flags().BoolVar(&a.deletion, "delete", false, "Ask about deleting the workload.")
	cmd.Flags().StringVarP(&a.format, "output", "o", "", "Output format. One of: (json, yaml).")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(slices.Clone(formats[1:]), cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&a.manager, "field-manager", "", "Try the manifests by a server-side apply of this field manager. Default: as they were applied before.")
	return cmd
}

func (a *asker) run(cmd *cobra.Command, names []string) error {
	ctx := cmd.Context()
	s, err := a.factory.Connect()
	if err != nil {
		return err
	}
	trials, tried, err := a.try(cmd, s, names)
	if err != nil {
		return err
	}
	answers, err := a.answers(ctx, s, trials, tried)
	if err != nil {
		return err
	}
	if err := a.show(s, answers); err != nil {
		return err
	}
	var refused []string
	for _, answer := range answers {
		if answer.verdict == verdictRefused {
			refused = append(refused, answer.trial.String())
		}
	}
	if len(refused) > 0 {
		return exit.New(exit.WouldBeDenied, "the gate would refuse %s", listed(refused)).
			WithNext("%s; if it cannot wait: kubectl itil emergency --help", afterRefusal(answers))
	}
	return nil
}

// afterRefusal says what to do about refusals: where a Change for exactly that is open, it is not to be filed again.
func afterRefusal(answers []*answer) string {
	for _, a := range answers {
		if a.verdict != verdictRefused {
			continue
		}
		for i := range a.changes {
			if c := &a.changes[i]; c.fits {
				return "see what Change " + refOf(c.change) + " waits for: kubectl itil change show " + refOf(c.change)
			}
		}
	}
	return "file a Change: kubectl itil change new with the same arguments, and have it approved"
}

// answers joins what the gate said with what is known of each workload.
func (a *asker) answers(ctx context.Context, s *session.Session, trials []*trial, tried bool) ([]*answer, error) {
	var out []*answer
	known := map[string]*records{}
	for _, t := range trials {
		r, read := known[t.namespace]
		if !read {
			var err error
			if r, err = readRecords(ctx, s, t.namespace); err != nil {
				return nil, err
			}
			if err := r.facts(ctx, s, t.namespace); err != nil {
				return nil, err
			}
			known[t.namespace] = r
		}
		answer := explain(t, tried, r, s.Now())
		if !tried {
			answer.undo = askUndo(ctx, s, t)
		}
		out = append(out, answer)
	}
	return out, nil
}

// formats of the output; the first is the page for people.
var formats = []string{"", "json", "yaml"}

func (a *asker) show(s *session.Session, answers []*answer) error {
	if a.format != "" {
		return writeReports(s, answers, a.format)
	}
	for i, answer := range answers {
		if i > 0 {
			if err := s.Screen.Printf("\n"); err != nil {
				return err
			}
		}
		if _, err := answer.page(s.Now(), s.Screen.Palette).WriteTo(s.Screen.Out); err != nil {
			return err
		}
	}
	return nil
}

// try tries what the command line names; tried is false where a workload alone is named, of which nothing was tried.
func (a *asker) try(cmd *cobra.Command, s *session.Session, names []string) (trials []*trial, tried bool, err error) {
	if len(names) != 1 {
		trials, err = tryGiven(cmd, s, a.files, a.manager, names)
		return trials, true, err
	}
	live, err := readPodMaker(s, cmd, names[0])
	if err != nil {
		return nil, false, err
	}
	if a.deletion {
		t, err := tryDeletion(cmd.Context(), s, live)
		return []*trial{t}, true, err
	}
	t := trialOf(live)
	t.after = live
	return []*trial{t}, false, nil
}

// Kinds that a user may be kept from reading.
const (
	kindServices = "Services"
	kindChanges  = "Changes"
	kindItems    = "ConfigurationItems"
	// What rules come from.
	kindNamespaces = "Namespaces"
	kindPolicies   = "ChangePolicies"
	kindCalendars  = "Calendars"
)

// records are what is known in a namespace about its workloads.
type records struct {
	items    items
	services []v1alpha1.Service
	changes  []v1alpha1.Change
	// unread names the kinds that the user may not read.
	unread []string
	// inventory is like the gate's own, of what the user may read; nil where that was not asked for.
	inventory *inventory.Inventory
}

func readRecords(ctx context.Context, s *session.Session, namespace string) (*records, error) {
	r := &records{}
	services, changes, list := &v1alpha1.ServiceList{}, &v1alpha1.ChangeList{}, &v1alpha1.ConfigurationItemList{}
	for _, kind := range []struct {
		name string
		read func() error
	}{
		{kindServices, func() error { return s.ReadAll(ctx, services, namespace) }},
		{kindChanges, func() error { return s.ReadAll(ctx, changes, namespace) }},
		{kindItems, func() error { return s.ReadAll(ctx, list, namespace) }},
	} {
		if err := kind.read(); exit.CodeOf(err) == exit.NotPermitted {
			r.unread = append(r.unread, kind.name)
		} else if err != nil {
			return nil, err
		}
	}
	r.services, r.changes, r.items = services.Items, changes.Items, itemsIn(list)
	return r, nil
}

// claiming are the Services that claim what a trial is about, with the labels that its template has before or after.
func (r *records) claiming(t *trial) []*v1alpha1.Service {
	var out []*v1alpha1.Service
	for i := range r.services {
		for _, object := range []*unstructured.Unstructured{t.before, t.after} {
			if object != nil && configuration.Claims(&r.services[i], t.kind, t.name, templateOf(object).Labels) {
				out = append(out, &r.services[i])
				break
			}
		}
	}
	return out
}

// open are the open Changes that have the workload as a target, with that target.
func (r *records) open(t *trial) []targeted {
	var out []targeted
	for i := range r.changes {
		c := &r.changes[i]
		at := slices.IndexFunc(c.Spec.Targets, func(target v1alpha1.ChangeTarget) bool {
			return string(target.Workload.Kind) == t.kind && string(target.Workload.Name) == t.name
		})
		if at >= 0 && isOpen(c) {
			out = append(out, targeted{change: c, target: &c.Spec.Targets[at]})
		}
	}
	slices.SortStableFunc(out, func(a, b targeted) int { return byWindow(a.change, b.change) })
	return out
}

// targeted is a Change with the target that is about a workload.
type targeted struct {
	change *v1alpha1.Change
	target *v1alpha1.ChangeTarget
}
