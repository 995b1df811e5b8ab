package changes

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// rescuer gets something in at 3 a.m.
type rescuer struct {
	factory *session.Factory
	output  *output.Flags
	files   *genericclioptions.FileNameFlags
	manager string
	reason  string
	// incident: file an Emergency Change that refers to it, and do not break the glass.
	incident string
	// undo: what is to come back is the template before.
	undo   bool
	yes    bool
	dryRun bool
	wait   time.Duration
}

// maxReason bounds what is written on a workload, in bytes.
const maxReason = 512

// NewEmergency makes `kubectl itil emergency`.
func NewEmergency(f *session.Factory) *cobra.Command {
	r := &rescuer{factory: f, output: output.ForWrite(f.Scheme), wait: defaultAssessWait}
	cmd := &cobra.Command{
		Use:   "emergency (KIND/NAME CONTAINER=IMAGE... | KIND/NAME --undo | -f MANIFESTS) --reason TEXT [--incident NAME]",
		Short: "Get a repair in when nobody can wait: break the glass, or file an Emergency Change",
		Long: `Get a repair in when nobody can wait.

It asks the gate first, by a server-side dry run. What the gate would let in, a rollback for example, is deployed as it
is, and nothing is owed. Only for the rest is the glass broken: the reason and your name go onto the workload in the
request that deploys it, and the API server lets it in by itself, also while the operator is down. That takes the verb
breakglass on Changes in the namespace (ClusterRole itil-breakglass); a ServiceAccount cannot do it, and nothing can be
deleted by it.

It leaves a debt: an Emergency Change records it and stays in Review until somebody writes what happened.

With --incident the glass stays whole: an Emergency Change that refers to the Incident is filed instead. Freezes and change
windows do not hold it up; it names who must vote.`,
		Example: `  # A new image, now
  kubectl itil emergency deployment/checkout app=registry.shop.example/checkout:2.4.1 --reason "checkout is down, 2.4.1 fixes it"

  # What ran before, also while the operator is down
  kubectl itil emergency deployment/checkout --undo --reason "2.4 loses orders"

  # Manifests
  kubectl itil emergency -f deploy/ --reason "the certificate ended"

  # There is time for a vote: ask for it by an Emergency Change
  kubectl itil emergency deployment/checkout app=registry.shop.example/checkout:2.4.1 --incident checkout-7f3a9 --reason "2.4.1 fixes it"

  # Only show what would happen
  kubectl itil emergency deployment/checkout --undo --reason "2.4 loses orders" --dry-run`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: complete.Workloads(f),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := r.check(cmd, names); err != nil {
				return err
			}
			return r.run(cmd, names)
		},
	}
	r.addFlags(cmd)
	return cmd
}

func (r *rescuer) addFlags(cmd *cobra.Command) {
	r.files = manifestFlags(cmd, "Files, folders or URLs of the manifests to deploy.")
	flags := cmd.Flags()
	flags.StringVarP(&r.reason, "reason", "m", "", "Why it cannot wait. Required; it is written on the workload and on the record.")
	flags.StringVar(&r.incident, "incident", "", "File an Emergency Change that refers to this Incident, and do not break the glass.")
	flags.BoolVar(&r.undo, "undo", false, "Bring back what ran before: the last template that has proven itself, else the revision before.")
	flags.BoolVarP(&r.yes, "yes", "y", false, "Do not ask.")
	flags.BoolVar(&r.dryRun, "dry-run", false, "Only show what would happen.")
	flags.StringVar(&r.manager, "field-manager", "", "Send the manifests by a server-side apply of this field manager. Default: as they were applied before.")
	flags.DurationVar(&r.wait, "wait", r.wait, "How long to wait to be told the record, or the votes needed; 0s: not at all.")
	r.output.AddTo(cmd)
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("incident", complete.Flag(r.factory, func() client.ObjectList { return &v1alpha1.IncidentList{} }))
}

// check finds mistakes before anything is asked of the cluster.
func (r *rescuer) check(cmd *cobra.Command, names []string) error {
	r.reason = strings.TrimSpace(r.reason)
	switch {
	case r.reason == "":
		return args.Wrong(cmd, "say why it cannot wait: --reason TEXT")
	case len(r.reason) > maxReason:
		return args.Wrong(cmd, "--reason has %d bytes, and must not have more than %d", len(r.reason), maxReason)
	case given(r.files) == (len(names) > 0):
		return args.Wrong(cmd, "give a workload (KIND/NAME) or manifests (-f): one of the two")
	case r.undo && len(names) != 1:
		return args.Wrong(cmd, "--undo takes one workload and no images: KIND/NAME --undo")
	case r.undo && r.incident != "":
		return args.Wrong(cmd, "--undo needs no Change: what has proven itself may come back at any time; leave --incident out")
	case len(names) == 1 && !r.undo:
		return args.Wrong(cmd, "%s is given no image: add CONTAINER=IMAGE, or --undo, or give manifests with -f", names[0])
	}
	return r.output.Check()
}

func (r *rescuer) run(cmd *cobra.Command, names []string) error {
	ctx := cmd.Context()
	s, err := r.factory.Connect()
	if err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	if r.incident != "" {
		return r.ask(cmd, s, me, names)
	}
	rescues, err := r.prepare(cmd, s, me, names)
	if err != nil {
		return err
	}
	if len(rescues) == 0 {
		s.Screen.Notef("Nothing to do: all of it runs already.")
		return nil
	}
	if err := r.permitted(ctx, s, me, rescues); err != nil {
		return err
	}
	// Before anybody is asked: quotas, other webhooks and the signature have their say too.
	for _, rescue := range rescues {
		if err := rescue.trial.run(ctx, s, rescue.annotations); err != nil {
			return err
		}
	}
	if err := r.confirm(ctx, s, me, rescues); err != nil || r.dryRun {
		return err
	}
	for _, rescue := range rescues {
		if err := r.send(ctx, s, me, rescue); err != nil {
			return err
		}
	}
	return nil
}

// rescue is one workload that is to go in.
type rescue struct {
	trial *trial
	// said is what the gate says without the glass: the warnings of a dry run, or that it does not answer.
	said []string
	// silent: the gate does not answer, so that it refuses.
	silent bool
	// annotations that break the glass; none where it need not be broken.
	annotations map[string]string
}

func (r *rescue) breaks() bool { return len(r.annotations) > 0 }

// prepare asks the gate about all that the command line names, and finds out for what the glass must be broken.
func (r *rescuer) prepare(cmd *cobra.Command, s *session.Session, me session.Identity, names []string) ([]*rescue, error) {
	ctx := cmd.Context()
	plans, err := r.plan(cmd, s, names)
	if err != nil {
		return nil, err
	}
	var out []*rescue
	for _, t := range plans {
		one := &rescue{trial: t}
		err := t.run(ctx, s, nil)
		switch {
		case gateSilent(err):
			one.silent = true
			one.said = []string{"the gate does not answer (is the operator down?), and meanwhile nothing goes in but by breaking the glass"}
		case err != nil:
			return nil, err
		case t.before != nil && templateOf(t.before).Hash == t.template().Hash && len(t.warnings) == 0:
			s.Screen.Notef("%s runs this already, and is left out.", t)
			continue
		default:
			one.said = t.warnings
		}
		if one.silent || t.governed() && !warnsOnly(ctx, s, t) {
			one.annotations = map[string]string{
				v1alpha1.AnnotationBreakGlass:   newReason(r.reason, t.before, s.Now()),
				v1alpha1.AnnotationBreakGlassBy: me.Name,
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (r *rescuer) plan(cmd *cobra.Command, s *session.Session, names []string) ([]*trial, error) {
	if !r.undo {
		return planGiven(cmd, s, r.files, r.manager, names)
	}
	live, err := readWorkload(s, cmd, names[0])
	if err != nil {
		return nil, err
	}
	t, err := planUndo(cmd.Context(), s, live)
	if err != nil {
		return nil, err
	}
	return []*trial{t}, nil
}

// warnsOnly reports whether the gate would let it in all the same, with its warning. Where that cannot be known the
// glass is broken: at worst there is one review too many.
func warnsOnly(ctx context.Context, s *session.Session, t *trial) bool {
	records, err := readRecords(ctx, s, t.namespace)
	return err == nil && enforcementOf(records.claiming(t)) == v1alpha1.EnforcementWarn
}

// newReason is a reason that the workload does not have yet: the glass breaks only in the request that alters it.
func newReason(reason string, before *unstructured.Unstructured, now time.Time) string {
	if before == nil || before.GetAnnotations()[v1alpha1.AnnotationBreakGlass] != reason {
		return reason
	}
	return reason + " (again, " + now.UTC().Format(time.RFC3339) + ")"
}

const serviceAccountPrefix = "system:serviceaccount:"

// permitted refuses whoever may not break the glass, where it must be broken, and says what else there is.
func (r *rescuer) permitted(ctx context.Context, s *session.Session, me session.Identity, rescues []*rescue) error {
	asked := map[string]bool{}
	for _, rescue := range rescues {
		namespace := rescue.trial.namespace
		if !rescue.breaks() || asked[namespace] {
			continue
		}
		asked[namespace] = true
		if strings.HasPrefix(me.Name, serviceAccountPrefix) {
			return exit.New(exit.NotPermitted, "breaking the glass is for people, and you are %s; and without it: %s", me.Name, firstOf(rescue.said)).
				WithNext("let a person run this, or have a Change approved: kubectl itil change new")
		}
		allowed, err := s.May(ctx, v1alpha1.VerbBreakGlass, "changes", namespace, "")
		if err != nil {
			return err
		}
		if !allowed {
			return mayNotBreak(me, rescue)
		}
	}
	return nil
}

func mayNotBreak(me session.Identity, rescue *rescue) error {
	namespace := rescue.trial.namespace
	failure := exit.New(exit.NotPermitted, "you (%s) may not break the glass in namespace %s: it takes the verb %s on changes.itil.dev; and without it: %s",
		me.Name, namespace, v1alpha1.VerbBreakGlass, firstOf(rescue.said))
	holders := "somebody who holds ClusterRole itil-breakglass (kubectl get rolebindings,clusterrolebindings -n " + namespace + " -o wide)"
	if rescue.silent {
		return failure.WithNext("let %s run this; or bring the operator back (kubectl get pods -n itil-system)", holders)
	}
	return failure.WithNext("ask for votes: the same command with --incident NAME files an Emergency Change, which neither freeze nor window holds up; or let %s run this", holders)
}

func firstOf(lines []string) string { return screen.Line(strings.Join(lines[:min(len(lines), 1)], "")) }

// confirm shows what would happen and what it costs, and asks.
func (r *rescuer) confirm(ctx context.Context, s *session.Session, me session.Identity, rescues []*rescue) error {
	to := s.Screen.Out
	if !r.output.ForPeople() {
		to = s.Screen.ErrOut
	}
	for _, rescue := range rescues {
		page := r.page(rescue, me, dueWithin(ctx, s, rescue.trial.namespace), s.Screen.Palette)
		if _, err := page.WriteTo(to); err != nil {
			return err
		}
	}
	if r.dryRun {
		s.Screen.Notef("Not done: --dry-run.")
		return nil
	}
	if r.yes {
		return nil
	}
	var broken, rest []string
	for _, rescue := range rescues {
		if rescue.breaks() {
			broken = append(broken, rescue.trial.String())
		} else {
			rest = append(rest, rescue.trial.String())
		}
	}
	question := "\nDeploy " + screen.And(rest)
	if len(broken) > 0 {
		question = "\nBreak the glass on " + screen.And(broken) + " as " + screen.Line(me.Name)
		if len(rest) > 0 {
			question += ", and deploy " + screen.And(rest)
		}
	}
	return s.Screen.Confirm(question+"?", "to do it without being asked: add --yes")
}

// dueWithin is how soon the review of an Emergency Change is due; 0 where that cannot be read.
func dueWithin(ctx context.Context, s *session.Session, namespace string) time.Duration {
	rules := rulesOf(ctx, s, namespace)
	if rules == nil {
		return 0
	}
	due := rules.Parts[0].ReviewWithin
	for _, part := range rules.Parts {
		due = min(due, part.ReviewWithin)
	}
	return due
}

func (r *rescuer) page(rescue *rescue, me session.Identity, due time.Duration, palette screen.Palette) *screen.Page {
	p := &screen.Page{Palette: palette}
	t := rescue.trial
	p.Title(t.String(), "")
	p.Field("Would run", screen.Line(difference(t)))
	if !rescue.breaks() {
		text := palette.Paint(screen.Good, "lets this in as it is") + ": no glass needs to be broken, and nothing is owed"
		if len(rescue.said) > 0 {
			text = palette.Paint(screen.Warn, "lets this in with a warning") + ": no glass needs to be broken"
		}
		p.Field("The gate", text)
		writeLines(p, rescue.said)
		writeGitOps(p, t.before)
		return p
	}
	p.Field("The gate", palette.Paint(screen.Bad, "refuses it")+", so the glass must be broken")
	writeLines(p, rescue.said)
	p.Field("Reason", screen.Line(rescue.annotations[v1alpha1.AnnotationBreakGlass]))
	p.Field("Signed by", screen.Line(me.Name))
	text := "an Emergency Change records it and stays in Review until somebody writes what happened"
	if due > 0 {
		text += ", due within " + duration.HumanDuration(due)
	}
	p.Field("It costs", text)
	writeGitOps(p, t.before)
	return p
}

func writeLines(p *screen.Page, texts []string) {
	for _, text := range texts {
		for _, line := range screen.Block(text) {
			p.Item(line)
		}
	}
}

// difference is what a trial alters, in a line.
func difference(t *trial) string {
	after := t.template()
	if t.before == nil {
		return imagesLine(after.Images) + " (new, template " + screen.Short(after.Hash) + ")"
	}
	before := templateOf(t.before)
	var parts []string
	for _, container := range sortedKeys(after.Images) {
		image := after.Images[container]
		switch old, had := before.Images[container]; {
		case !had:
			parts = append(parts, container+"="+image+" (new container)")
		case old != image:
			parts = append(parts, container+"="+image+" (now "+old+")")
		}
	}
	for _, container := range sortedKeys(before.Images) {
		if _, has := after.Images[container]; !has {
			parts = append(parts, "without container "+container)
		}
	}
	switch {
	case before.Hash == after.Hash:
		return "the template that runs, let out"
	case before.ImagelessHash != after.ImagelessHash:
		parts = append(parts, "more of its template (template "+screen.Short(after.Hash)+")")
	}
	return strings.Join(parts, ", ")
}

// send does it, and says what came of it.
func (r *rescuer) send(ctx context.Context, s *session.Session, me session.Identity, rescue *rescue) error {
	t := rescue.trial
	var before map[string]bool
	if rescue.breaks() && r.output.ForPeople() {
		before = recordsOf(ctx, s, t)
	}
	stored, err := t.deliver(ctx, s, rescue.annotations, false)
	if err != nil {
		doing := "deploying " + t.String()
		if rescue.breaks() {
			doing = "breaking the glass on " + t.String()
		}
		return session.Refused(err, doing)
	}
	if !r.output.ForPeople() {
		return r.output.Object(s.Screen.Out, stored)
	}
	if !rescue.breaks() {
		return s.Screen.Printf("%s is deployed; nothing is owed\n", t)
	}
	if err := s.Screen.Printf("%s broke the glass on %s; it is deployed\n", screen.Line(me.Name), t); err != nil {
		return err
	}
	record := awaitRecord(ctx, s, t, templateOf(stored).Hash, before, r.wait)
	if record == "" {
		return s.Screen.Printf("It is recorded as soon as the operator sees it; then write the review: kubectl itil changes -n %s --state Review\n", t.namespace)
	}
	return s.Screen.Printf("It is recorded as Change %s/%s; when it is over, write the review:\n  kubectl itil change review %s/%s --outcome OUTCOME -m \"what happened\"\n",
		t.namespace, record, t.namespace, record)
}

// ask files an Emergency Change that refers to the Incident.
func (r *rescuer) ask(cmd *cobra.Command, s *session.Session, me session.Identity, names []string) error {
	ref, err := s.Ref(r.incident)
	if err != nil {
		return err
	}
	incident := &v1alpha1.Incident{}
	if err := s.Read(cmd.Context(), ref, incident, "Incident", "incidents"); err != nil {
		return err
	}
	if incident.Status.State == v1alpha1.IncidentResolved || incident.Status.State == v1alpha1.IncidentClosed {
		return exit.New(exit.WrongState, "Incident %s is %s: an Emergency Change refers to one that is open", ref, strings.ToLower(string(incident.Status.State))).
			WithNext("see what is open: kubectl itil incidents -n %s; or say what is wrong: kubectl itil incident open --help", ref.Namespace)
	}
	if alone(incident, me) {
		s.Screen.Notef("You raised Incident %s yourself, and the operator sees nothing of it: that alone makes no emergency, and this Change is not approved by it. Have a colleague file it, or refer to an Incident that another reported", ref)
	}
	n := &filer{factory: r.factory, output: r.output, files: r.files, manager: r.manager, pin: string(pinAuto), dryRun: r.dryRun, wait: r.wait,
		request: request{kind: string(v1alpha1.ChangeEmergency), incident: ref.Name, justification: r.reason}}
	return n.run(cmd, names)
}

// alone reports whether nobody but the user says that there is an Incident.
func alone(incident *v1alpha1.Incident, me session.Identity) bool {
	return incident.Spec.Source != v1alpha1.IncidentSourceDetector && string(incident.Spec.Reporter) == me.Name && len(incident.Status.Signals) == 0
}

// writeGitOps says who will put the old template back.
func writeGitOps(p *screen.Page, live *unstructured.Unstructured) {
	if live == nil {
		return
	}
	who, stop := gitOps(live)
	if who == "" {
		return
	}
	p.Field("But", p.Palette.Paint(screen.Warn, screen.Line(who+" deploys it, and puts its own back at its next run."))+" Commit this too, or stop it meanwhile:")
	p.Item(screen.Line(stop))
}

// gitOps is the GitOps object that deploys a workload, as its controller marks it, and how it is stopped.
func gitOps(live *unstructured.Unstructured) (who, stop string) {
	labels, annotations := live.GetLabels(), live.GetAnnotations()
	const kustomize, helm = "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/"
	switch {
	case labels[kustomize+"name"] != "":
		return "Flux Kustomization " + labels[kustomize+"name"], fmt.Sprintf("flux suspend kustomization %s -n %s", labels[kustomize+"name"], labels[kustomize+"namespace"])
	case labels[helm+"name"] != "":
		return "Flux HelmRelease " + labels[helm+"name"], fmt.Sprintf("flux suspend helmrelease %s -n %s", labels[helm+"name"], labels[helm+"namespace"])
	case annotations["argocd.argoproj.io/tracking-id"] != "":
		app, _, _ := strings.Cut(annotations["argocd.argoproj.io/tracking-id"], ":")
		return "Argo CD application " + app, "argocd app set " + app + " --sync-policy none"
	case labels["argocd.argoproj.io/instance"] != "":
		app := labels["argocd.argoproj.io/instance"]
		return "Argo CD application " + app, "argocd app set " + app + " --sync-policy none"
	}
	return "", ""
}
