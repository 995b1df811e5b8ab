package releases

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// maker makes Releases.
type maker struct {
	factory                            *session.Factory
	output                             *output.Flags
	files                              *genericclioptions.FileNameFlags
	version, change, summary, els      string
	problem, incident                  string
	units, phases, services            []string
	observe, manual, paused, emergency bool
	dryRun                             bool
}

func newNew(f *session.Factory) *cobra.Command {
	m := &maker{factory: f, output: output.ForWrite(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "new NAME --version VERSION (-f MANIFESTS | --unit \"[UNIT=]KIND/NAME CONTAINER=IMAGE...\"...)",
		Short: "Make a Release of several workloads, in phases",
		Long: `Make a Release of several workloads of this namespace, which the operator carries out in phases once its Change is
approved. Its units are the workloads in the manifests, with their images, or those that --unit names. Without --phase all
go in at once. You are its requester, and must be allowed to update each workload.`,
		Example: `  kubectl itil release new shop-2-5 --version 2.5 --service checkout \
    --unit "worker=deployment/checkout-worker app=registry.shop.example/checkout:2.5" \
    --unit "deployment/checkout app=registry.shop.example/checkout:2.5" \
    --phase "pilot=worker soak=10m timeout=20m" --phase "full=* soak=30m"

  # What the manifests say
  kubectl itil release new shop-2-5 --version 2.5 -f deploy/ --phase "pilot=checkout-worker soak=10m" --phase "full=*"

  # It fixes a Problem
  kubectl itil release new shop-2-6 --version 2.6 -f deploy/ --problem checkout-oomkilled-7f3a9`,
		Args:              args.Exactly("NAME"),
		ValidArgsFunction: complete.Nothing,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := m.output.Check(); err != nil {
				return err
			}
			return m.run(cmd, names[0])
		},
	}
	m.addFlags(cmd)
	return cmd
}

func (m *maker) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&m.version, "version", "", "The version that is released.")
	flags.StringArrayVar(&m.units, "unit", nil, `A workload and its images: "[UNIT=]KIND/NAME CONTAINER=IMAGE...". May be given several times.`)
	flags.StringArrayVar(&m.phases, "phase", nil, `A phase and its units: "PHASE=UNIT[,UNIT...] [soak=10m] [timeout=20m]"; "*" is all that are left. In their order.`)
	flags.StringSliceVar(&m.services, "service", nil, "A Service that it is about; may be given several times.")
	flags.StringVar(&m.change, "change", "", "An existing Change under which it goes in. Default: it raises its own.")
	flags.StringVarP(&m.summary, "message", "m", "", "The summary of the Change that it raises.")
	flags.StringVar(&m.problem, "problem", "", "The Problem that it fixes.")
	flags.StringVar(&m.incident, "incident", "", "The Incident that it ends.")
	flags.BoolVar(&m.emergency, "emergency", false, "Its Change is an Emergency, and needs --incident.")
	flags.BoolVar(&m.observe, "observe", false, "Somebody else sets the images (GitOps); the gate lets in one phase after the other.")
	flags.BoolVar(&m.manual, "manual-backout", false, "When it fails, stop and leave what is, instead of taking it back.")
	flags.StringVar(&m.els, "early-life-support", "", "How long Incidents carry it after its last phase. Default: 24h.")
	flags.BoolVar(&m.paused, "paused", false, "Begin with no phase before it is promoted.")
	flags.BoolVar(&m.dryRun, "dry-run", false, "Let the API server check it, and make nothing.")
	filenames, recursive := []string{}, false
	m.files = &genericclioptions.FileNameFlags{Usage: "of the workloads to release.", Filenames: &filenames, Recursive: &recursive}
	m.files.AddFlags(flags)
	// They fail only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("service", complete.Flag(m.factory, func() client.ObjectList { return &v1alpha1.ServiceList{} }))
	_ = cmd.RegisterFlagCompletionFunc("change", complete.Flag(m.factory, func() client.ObjectList { return &v1alpha1.ChangeList{} }))
	_ = cmd.RegisterFlagCompletionFunc("problem", complete.Flag(m.factory, func() client.ObjectList { return &v1alpha1.ProblemList{} }))
	_ = cmd.RegisterFlagCompletionFunc("incident", complete.Flag(m.factory, func() client.ObjectList { return &v1alpha1.IncidentList{} }))
	m.output.AddTo(cmd)
}

func (m *maker) run(cmd *cobra.Command, name string) error {
	ctx := cmd.Context()
	switch {
	case m.version == "":
		return args.Wrong(cmd, "say which version: --version VERSION")
	case m.emergency && m.incident == "":
		return args.Wrong(cmd, "an Emergency needs the Incident that it ends: --incident NAME")
	case m.change != "" && (m.summary != "" || m.problem != "" || m.incident != ""):
		return args.Wrong(cmd, "-m, --problem and --incident are of a Change that it raises; with --change it has one")
	}
	s, err := m.factory.Connect()
	if err != nil {
		return err
	}
	r := m.release(s.Namespace, name)
	if r.Spec.Units, err = m.allUnits(cmd, s); err != nil {
		return err
	}
	if r.Spec.Phases, err = readPhases(cmd, m.phases); err != nil {
		return err
	}
	me, err := s.WhoAmI(ctx)
	if err != nil {
		return err
	}
	r.Spec.Requester = v1alpha1.UserName(me.Name)
	return m.create(ctx, s, r)
}

func (m *maker) create(ctx context.Context, s *session.Session, r *v1alpha1.Release) error {
	var options []client.CreateOption
	if m.dryRun {
		options = append(options, client.DryRunAll)
	}
	if err := s.Create(ctx, r, options...); err != nil {
		return session.Refused(err, "making Release "+r.Namespace+"/"+r.Name)
	}
	if !m.output.ForPeople() {
		return m.output.Object(s.Screen.Out, r)
	}
	done := "made"
	if m.dryRun {
		done = "made (dry run)"
	}
	if err := s.Screen.Printf("release.itil.dev/%s %s\n", r.Name, done); err != nil {
		return err
	}
	s.Screen.Notef("Follow it: kubectl itil release status %s/%s --watch", r.Namespace, r.Name)
	return nil
}

func (m *maker) release(namespace, name string) *v1alpha1.Release {
	r := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ReleaseSpec{
			Version: m.version, Strategy: v1alpha1.ReleaseApply, Backout: v1alpha1.BackoutAutomatic,
			EarlyLifeSupport: v1alpha1.Duration(m.els), Paused: m.paused,
		},
	}
	if m.observe {
		r.Spec.Strategy = v1alpha1.ReleaseObserve
	}
	if m.manual {
		r.Spec.Backout = v1alpha1.BackoutManual
	}
	for _, service := range m.services {
		r.Spec.ServiceRefs = append(r.Spec.ServiceRefs, v1alpha1.LocalReference{Name: v1alpha1.ObjectName(service)})
	}
	if m.change != "" {
		r.Spec.ChangeRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(m.change)}
		return r
	}
	r.Spec.Change = &v1alpha1.ReleaseChange{Type: v1alpha1.ChangeNormal, Summary: m.summary}
	if m.emergency {
		r.Spec.Change.Type = v1alpha1.ChangeEmergency
	}
	if m.problem != "" {
		r.Spec.Change.ProblemRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(m.problem)}
	}
	if m.incident != "" {
		r.Spec.Change.IncidentRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(m.incident)}
	}
	return r
}

// allUnits are those of the command line and those of the manifests.
func (m *maker) allUnits(cmd *cobra.Command, s *session.Session) ([]v1alpha1.ReleaseUnit, error) {
	units, err := readUnits(cmd, m.units)
	if err != nil {
		return nil, err
	}
	if len(*m.files.Filenames) > 0 {
		more, err := unitsOfManifests(s, m.files)
		if err != nil {
			return nil, err
		}
		units = append(units, more...)
	}
	if len(units) == 0 {
		return nil, args.Wrong(cmd, "say what is released: -f MANIFESTS or --unit \"KIND/NAME CONTAINER=IMAGE\"")
	}
	for i := range units {
		if slices.ContainsFunc(units[:i], func(u v1alpha1.ReleaseUnit) bool { return u.Name == units[i].Name }) {
			return nil, args.Wrong(cmd, "two units are called %s: name one of them, --unit \"UNIT=KIND/NAME …\"", units[i].Name)
		}
	}
	return units, nil
}

// kinds of workloads as people type them.
var kinds = map[string]v1alpha1.WorkloadKind{
	"deployment": v1alpha1.WorkloadDeployment, "deploy": v1alpha1.WorkloadDeployment,
	"statefulset": v1alpha1.WorkloadStatefulSet, "sts": v1alpha1.WorkloadStatefulSet,
	"daemonset": v1alpha1.WorkloadDaemonSet, "ds": v1alpha1.WorkloadDaemonSet,
	"cronjob": v1alpha1.WorkloadCronJob, "cj": v1alpha1.WorkloadCronJob, "job": v1alpha1.WorkloadJob,
}

func readUnits(cmd *cobra.Command, texts []string) ([]v1alpha1.ReleaseUnit, error) {
	var units []v1alpha1.ReleaseUnit
	for _, text := range texts {
		words := strings.Fields(text)
		wrong := func() error {
			return args.Wrong(cmd, "--unit takes \"[UNIT=]KIND/NAME CONTAINER=IMAGE...\", for example \"deployment/checkout app=registry.shop.example/checkout:2.5\", and not %q", text)
		}
		if len(words) < 2 {
			return nil, wrong()
		}
		unit, workload, named := strings.Cut(words[0], "=")
		if !named {
			unit, workload = "", words[0]
		}
		kind, name, slash := strings.Cut(workload, "/")
		known, is := kinds[strings.ToLower(kind)]
		if !slash || !is || name == "" {
			return nil, wrong()
		}
		u := v1alpha1.ReleaseUnit{
			Name: v1alpha1.ContainerName(unit), Images: map[string]v1alpha1.Image{},
			Workload: v1alpha1.WorkloadReference{Kind: known, Name: v1alpha1.ObjectName(name)},
		}
		if unit == "" {
			u.Name = unitName(name)
		}
		for _, word := range words[1:] {
			container, image, is := strings.Cut(word, "=")
			if !is || container == "" || image == "" {
				return nil, wrong()
			}
			u.Images[container] = v1alpha1.Image(image)
		}
		units = append(units, u)
	}
	return units, nil
}

var notOfAName = regexp.MustCompile(`[^a-z0-9-]+`)

// unitName is a unit's name for a workload: that of the workload, as far as it may be one.
func unitName(workload string) v1alpha1.ContainerName {
	const most = 63
	name := notOfAName.ReplaceAllString(workload, "-")
	return v1alpha1.ContainerName(strings.Trim(name[:min(len(name), most)], "-"))
}

func readPhases(cmd *cobra.Command, texts []string) ([]v1alpha1.ReleasePhase, error) {
	if len(texts) == 0 {
		return []v1alpha1.ReleasePhase{{Name: "all", Units: []string{"*"}}}, nil
	}
	var phases []v1alpha1.ReleasePhase
	for _, text := range texts {
		wrong := func() error {
			return args.Wrong(cmd, "--phase takes \"PHASE=UNIT[,UNIT...] [soak=10m] [timeout=20m]\", and not %q", text)
		}
		words := strings.Fields(text)
		if len(words) == 0 {
			return nil, wrong()
		}
		name, units, is := strings.Cut(words[0], "=")
		if !is || name == "" || units == "" {
			return nil, wrong()
		}
		p := v1alpha1.ReleasePhase{Name: v1alpha1.ContainerName(name), Units: strings.Split(units, ",")}
		for _, word := range words[1:] {
			switch key, value, _ := strings.Cut(word, "="); {
			case value == "":
				return nil, wrong()
			case key == "soak":
				p.Soak = v1alpha1.Duration(value)
			case key == "timeout":
				p.Timeout = v1alpha1.Duration(value)
			default:
				return nil, wrong()
			}
		}
		phases = append(phases, p)
	}
	return phases, nil
}

// unitsOfManifests are the workloads in manifests, with the images of their containers.
func unitsOfManifests(s *session.Session, files *genericclioptions.FileNameFlags) ([]v1alpha1.ReleaseUnit, error) {
	options := files.ToOptions()
	infos, err := resource.NewBuilder(s.Getter).Unstructured().Local().ContinueOnError().FilenameParam(false, &options).Flatten().Do().Infos()
	if err != nil {
		return nil, exit.New(exit.Usage, "cannot read the manifests: %v", err).WithCause(err)
	}
	var units []v1alpha1.ReleaseUnit
	for _, info := range infos {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		kind, is := kinds[strings.ToLower(object.GetKind())]
		if _, known := configuration.GroupOf(object.GetKind()); !is || !known {
			continue
		}
		if namespace := object.GetNamespace(); namespace != "" && namespace != s.Namespace {
			return nil, exit.New(exit.Usage, "%s %s is of namespace %s, and the Release of %s", object.GetKind(), object.GetName(), namespace, s.Namespace).
				WithNext("give the namespace: -n %s", namespace)
		}
		u := v1alpha1.ReleaseUnit{
			Name: unitName(object.GetName()), Images: imagesOf(object),
			Workload: v1alpha1.WorkloadReference{Kind: kind, Name: v1alpha1.ObjectName(object.GetName())},
		}
		units = append(units, u)
	}
	return units, nil
}

// imagesOf are the images of a workload's containers, those of init containers too.
func imagesOf(object *unstructured.Unstructured) map[string]v1alpha1.Image {
	path := []string{"spec", "template", "spec"}
	if object.GetKind() == configuration.KindCronJob {
		path = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	images := map[string]v1alpha1.Image{}
	for _, list := range []string{"initContainers", "containers"} {
		containers, _, err := unstructured.NestedSlice(object.Object, append(slices.Clone(path), list)...)
		if err != nil {
			continue
		}
		for _, c := range containers {
			fields, ok := c.(map[string]any)
			name, _ := fields["name"].(string)
			image, _ := fields["image"].(string)
			if ok && name != "" && image != "" {
				images[name] = v1alpha1.Image(image)
			}
		}
	}
	return images
}
