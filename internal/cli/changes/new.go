package changes

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// defaultAssessWait is how long whoever files a Change waits to be told its risk and the votes that it needs.
const defaultAssessWait = 5 * time.Second

// filer files Changes.
type filer struct {
	factory *session.Factory
	output  *output.Flags
	files   *genericclioptions.FileNameFlags
	request request
	// deletions are workloads to be deleted.
	deletions []string
	pin       string
	manager   string
	dryRun    bool
	wait      time.Duration
}

func newNew(f *session.Factory) *cobra.Command {
	n := &filer{factory: f, output: output.ForWrite(f.Scheme), wait: defaultAssessWait, pin: string(pinAuto)}
	cmd := &cobra.Command{
		Use:   "new (-f MANIFESTS | KIND/NAME CONTAINER=IMAGE... | --delete KIND/NAME)",
		Short: "File a Change for what you are about to deploy",
		Long: `File a Change for manifests that you are about to deploy, for new images, or for a deletion.

The manifests are tried first, by a server-side dry run: nothing is stored, and the API server fills in its defaults. The
Change names exactly what came out, so that nothing else can go in by it: the images where nothing else differs from what
is agreed to run, else the hash of the whole pod template. Workloads that would not change are left out.

The Change is for one namespace; of manifests in several, one Change is filed for each. If an open Change asks for the
same already, no other is filed, unless you give it a --name.`,
		Example: `  # File a Change for what is in these manifests
  kubectl itil change new -f deploy/ -m "fixes the rounding error"

  # For a new image
  kubectl itil change new deployment/checkout app=registry.shop.example/checkout:2.4

  # In a window, with a plan to go back
  kubectl itil change new -f deploy/ --window 2026-11-23T08:00:00+01:00/4h --backout-plan "roll back to 2.3"

  # To end an incident
  kubectl itil change new -f deploy/ --type Emergency --incident checkout-7f3a9

  # Only show the Change that would be filed
  kubectl itil change new -f deploy/ --dry-run -o yaml`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: complete.Workloads(f),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := n.check(cmd, names); err != nil {
				return err
			}
			return n.run(cmd, names)
		},
	}
	n.addFlags(cmd)
	return cmd
}

func (n *filer) addFlags(cmd *cobra.Command) {
	n.files = manifestFlags(cmd, "Files, folders or URLs of the manifests to file a Change for.")
	flags := cmd.Flags()
	flags.StringSliceVar(&n.deletions, "delete", nil, "A workload to be deleted, as KIND/NAME.")
	flags.StringVar(&n.pin, "pin", n.pin, "How exact the Change is: by images, by the template's hash, or auto: by images where that is enough. One of: ("+strings.Join(pinnings, ", ")+").")
	flags.StringVar(&n.manager, "field-manager", "", "Try the manifests by a server-side apply of this field manager. Default: as they were applied before.")
	flags.BoolVar(&n.dryRun, "dry-run", false, "Do not file it; show it.")
	flags.DurationVar(&n.wait, "wait", n.wait, "How long to wait to be told the risk and the votes needed; 0s: not at all.")
	n.request.addFlags(cmd, n.factory)
	n.output.AddTo(cmd)
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("delete", complete.Workload(n.factory))
	_ = cmd.RegisterFlagCompletionFunc("pin", cobra.FixedCompletions(slices.Clone(pinnings), cobra.ShellCompDirectiveNoFileComp))
}

// check finds mistakes before anything is asked of the cluster.
func (n *filer) check(cmd *cobra.Command, names []string) error {
	ways := 0
	for _, way := range []bool{given(n.files), len(names) > 0, len(n.deletions) > 0} {
		if way {
			ways++
		}
	}
	switch {
	case ways == 0:
		return args.Wrong(cmd, "nothing to file a Change for: give -f, or KIND/NAME with CONTAINER=IMAGE, or --delete")
	case given(n.files) && len(names) > 0:
		return args.Wrong(cmd, "give manifests (-f) or images (KIND/NAME CONTAINER=IMAGE), not both")
	case len(names) == 1:
		return args.Wrong(cmd, "%s is given no image: add CONTAINER=IMAGE, or give manifests with -f", names[0])
	case !slices.Contains(pinnings, n.pin):
		return args.Wrong(cmd, "--pin must be one of %s, and not %q", strings.Join(pinnings, ", "), n.pin)
	}
	if err := n.request.check(cmd); err != nil {
		return err
	}
	return n.output.Check()
}

func (n *filer) run(cmd *cobra.Command, names []string) error {
	ctx := cmd.Context()
	s, err := n.factory.Connect()
	if err != nil {
		return err
	}
	trials, err := n.try(cmd, s, names)
	if err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	byNamespace := map[string][]*trial{}
	for _, t := range trials {
		byNamespace[t.namespace] = append(byNamespace[t.namespace], t)
	}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		if err := n.file(ctx, s, me, namespace, byNamespace[namespace]); err != nil {
			return err
		}
	}
	return nil
}

// try tries all that the command line names.
func (n *filer) try(cmd *cobra.Command, s *session.Session, names []string) ([]*trial, error) {
	ctx := cmd.Context()
	trials, err := n.tryGiven(cmd, s, names)
	if err != nil {
		return nil, err
	}
	for _, name := range n.deletions {
		live, err := readWorkload(s, cmd, name)
		if err != nil {
			return nil, err
		}
		t, err := tryDeletion(ctx, s, live)
		if err != nil {
			return nil, err
		}
		trials = append(trials, t)
	}
	return trials, nil
}

// tryGiven is tryGiven; who may not deploy new images may file a Change for them all the same.
func (n *filer) tryGiven(cmd *cobra.Command, s *session.Session, names []string) ([]*trial, error) {
	trials, err := tryGiven(cmd, s, n.files, n.manager, names)
	refused, ok := errors.AsType[*notTriedError](err)
	if !ok || n.pin == string(pinTemplate) {
		return trials, err
	}
	s.Screen.Notef("You may not deploy %s yourself: what the gate would say was not asked.", refused.trial)
	return []*trial{refused.trial}, nil
}

// notTriedError is of a trial of new images for which the user lacks the rights, with what can be known without it.
type notTriedError struct {
	failure *exit.Error
	trial   *trial
}

// Error implements error.
func (n *notTriedError) Error() string { return n.failure.Error() }

// Unwrap is the failure with its code and next step.
func (n *notTriedError) Unwrap() error { return n.failure }

// tryGiven tries manifests, or a workload with new images.
func tryGiven(cmd *cobra.Command, s *session.Session, files *genericclioptions.FileNameFlags, manager string, names []string) ([]*trial, error) {
	trials, err := planGiven(cmd, s, files, manager, names)
	if err != nil {
		return nil, err
	}
	for _, t := range trials {
		err := t.run(cmd.Context(), s, nil)
		if failure, ok := errors.AsType[*exit.Error](err); ok && failure.Code == exit.NotPermitted && t.images != nil {
			return nil, &notTriedError{failure: failure, trial: withImages(t.before, t.images)}
		}
		if err != nil {
			return nil, err
		}
	}
	return trials, nil
}

// planGiven reads what the command line names, and finds out how it is to be sent.
func planGiven(cmd *cobra.Command, s *session.Session, files *genericclioptions.FileNameFlags, manager string, names []string) ([]*trial, error) {
	ctx := cmd.Context()
	if len(names) > 0 {
		images, err := readImages(cmd, names[1:])
		if err != nil {
			return nil, err
		}
		live, err := readWorkload(s, cmd, names[0])
		if err != nil {
			return nil, err
		}
		t := trialOf(live)
		t.images = images
		t.deliver, err = newImages(live, images)
		return []*trial{t}, err
	}
	if !given(files) {
		return nil, nil
	}
	workloads, skipped, err := readManifests(s, files)
	if err != nil {
		return nil, err
	}
	if len(skipped) > 0 {
		s.Screen.Notef("Not under change control, and left out: %s.", screen.Line(strings.Join(skipped, ", ")))
	}
	if len(workloads) == 0 {
		return nil, exit.New(exit.Usage, "the manifests hold no Deployment, StatefulSet, DaemonSet, CronJob or Job").
			WithNext("nothing in them needs a Change: apply them")
	}
	trials := make([]*trial, 0, len(workloads))
	for _, manifest := range workloads {
		t, err := planManifest(ctx, s, manifest, manager)
		if err != nil {
			return nil, err
		}
		trials = append(trials, t)
	}
	return trials, nil
}

// file files the Change of one namespace.
func (n *filer) file(ctx context.Context, s *session.Session, me session.Identity, namespace string, trials []*trial) error {
	targets, before, err := n.targets(ctx, s, namespace, trials)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		s.Screen.Notef("Nothing to ask for in namespace %s: all of it is what is agreed to run.", namespace)
		return nil
	}
	c := n.request.change(namespace, me.Name, targets, before)
	if n.request.name == "" {
		same, err := alreadyFiled(ctx, s, c)
		if err != nil {
			return err
		}
		if same != nil {
			return n.reportExisting(s, same)
		}
	}
	if n.dryRun {
		return n.show(s, c)
	}
	if err := s.Create(ctx, c); err != nil {
		return session.Refused(err, "filing a Change in namespace "+namespace)
	}
	if seen, ok := session.Await(ctx, s, &v1alpha1.ChangeList{}, c, n.wait, isAssessed); ok {
		c = seen
	}
	if !n.output.ForPeople() {
		return n.output.Object(s.Screen.Out, c)
	}
	return n.report(s, c)
}

// targets pins what was tried, with the images that each workload has now.
func (n *filer) targets(
	ctx context.Context, s *session.Session, namespace string, trials []*trial,
) ([]v1alpha1.ChangeTarget, map[v1alpha1.WorkloadReference]map[string]string, error) {
	items, err := itemsOf(ctx, s, namespace)
	if err != nil {
		return nil, nil, err
	}
	how := pinning(n.pin)
	if how == pinAuto && policyPin(ctx, s, namespace) == v1alpha1.PinTemplate {
		how = pinTemplate
	}
	var targets []v1alpha1.ChangeTarget
	before := map[v1alpha1.WorkloadReference]map[string]string{}
	for _, t := range trials {
		p := pin(t, agreed(items.baselines(t.kind, t.name)), how)
		switch {
		case p.unchanged:
			s.Screen.Notef("%s would stay as it is, and is left out.", t)
			continue
		case how == pinImages && p.beyondImages:
			return nil, nil, exit.New(exit.Usage, "more than images would change in %s, and --pin images lets in images alone", t).
				WithNext("use --pin auto or --pin template")
		}
		if !t.governed() && !t.untried {
			s.Screen.Notef("%s needs no Change as things are: the gate would let it in now.", t)
		}
		for _, image := range tagged(&p.target) {
			s.Screen.Notef("%s names its image by tag, %s: what a tag means can change. A digest (@sha256:…) is safer.", t, screen.Line(image))
		}
		before[p.target.Workload] = templateOf(t.before).Images
		targets = append(targets, p.target)
	}
	return targets, before, nil
}

// alreadyFiled is an open Change that asks for the same; nil where there is none.
func alreadyFiled(ctx context.Context, s *session.Session, c *v1alpha1.Change) (*v1alpha1.Change, error) {
	list := &v1alpha1.ChangeList{}
	if err := s.ReadAll(ctx, list, c.Namespace); err != nil {
		if exit.CodeOf(err) == exit.NotPermitted {
			return nil, nil // who may file but not read files it twice, at worst
		}
		return nil, err
	}
	for i := range list.Items {
		if other := &list.Items[i]; isOpen(other) && asksForTheSame(&other.Spec, &c.Spec) {
			return other, nil
		}
	}
	return nil, nil
}

// asksForTheSame compares all that matters to the gate.
func asksForTheSame(a, b *v1alpha1.ChangeSpec) bool {
	return a.Type == b.Type && a.StandardChange == b.StandardChange && equality.Semantic.DeepEqual(a.Targets, b.Targets) &&
		equality.Semantic.DeepEqual(a.Window, b.Window)
}

func isAssessed(c *v1alpha1.Change) bool {
	return c.Status.Digest != "" && c.Status.State != "" && c.Status.State != v1alpha1.ChangeAssess
}

func (n *filer) reportExisting(s *session.Session, c *v1alpha1.Change) error {
	s.Screen.Notef("Change %s asks for exactly this already (state %s); no other was filed. --name files another.", refOf(c), stateOf(c))
	if !n.output.ForPeople() {
		return n.output.Object(s.Screen.Out, c)
	}
	return n.report(s, c)
}

// show shows what would be filed.
func (n *filer) show(s *session.Session, c *v1alpha1.Change) error {
	if !n.output.ForPeople() {
		return n.output.Object(s.Screen.Out, c)
	}
	page := &screen.Page{Palette: s.Screen.Palette}
	page.Title("Change in namespace "+c.Namespace+" (not filed: --dry-run)", string(c.Spec.Type))
	page.Field("Summary", screen.Line(c.Spec.Summary))
	writeTargets(page, c)
	_, err := page.WriteTo(s.Screen.Out)
	return err
}

func (n *filer) report(s *session.Session, c *v1alpha1.Change) error {
	page := &screen.Page{Palette: s.Screen.Palette}
	page.Title("Change "+refOf(c), "filed by "+screen.Line(string(c.Spec.Requester))+", "+string(stateOf(c)))
	page.Field("Summary", screen.Line(c.Spec.Summary))
	writeTargets(page, c)
	if c.Status.Risk != nil {
		writeRisk(page, c)
	}
	if c.Status.Approvals != nil {
		writeVotes(page, c, s.Now())
	}
	switch c.Status.State {
	case v1alpha1.ChangeAuthorize, "":
		page.Field("Next", "have it approved: kubectl itil approve "+refOf(c))
	case v1alpha1.ChangeAssess, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeReview,
		v1alpha1.ChangeClosed, v1alpha1.ChangeRejected, v1alpha1.ChangeCanceled:
		page.Text("Next", c.Status.NextStep)
	}
	_, err := page.WriteTo(s.Screen.Out)
	return err
}
