// Package timeline has the command that tells what happened to a service or workload, in order.
package timeline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

type command struct {
	factory *session.Factory
	since   string
	format  string
}

// New makes `kubectl itil timeline`.
func New(f *session.Factory) *cobra.Command {
	c := &command{factory: f}
	cmd := &cobra.Command{
		Use:   "timeline (SERVICE | KIND/NAME)",
		Short: "Tell what happened to a Service or workload, in order, and who did it",
		Long: `Tell what happened to a Service, or to one workload (KIND/NAME), in order: Changes with their votes, Releases with their
phases, Incidents, Problems, how well the Service was and what became of what was promised. Each line says when, to what,
what happened, and who did it. Incidents of other namespaces are told where they explain one of these, or where the
Service needs what fails there. It is what the records remember: closed ones are kept for 90 days.`,
		Example: `  kubectl itil timeline checkout -n shop

  # One workload, the last two days
  kubectl itil timeline deployment/checkout-worker --since 2d

  # For a post-mortem
  kubectl itil timeline shop/checkout --since 2026-11-20 -o yaml`,
		Args:              args.Exactly("SERVICE (or NAMESPACE/SERVICE, or KIND/NAME)"),
		ValidArgsFunction: complete.Names(f, func() client.ObjectList { return &v1alpha1.ServiceList{} }, nil),
		RunE: func(cmd *cobra.Command, names []string) error {
			since, err := parseSince(cmd, c.since, f.Now())
			if err != nil {
				return err
			}
			if !slices.Contains([]string{"", "json", "yaml"}, c.format) {
				return args.Wrong(cmd, "-o takes json or yaml, and not %q", c.format)
			}
			return c.run(cmd.Context(), names[0], since)
		},
	}
	cmd.Flags().StringVar(&c.since, "since", "", "Begin at a time: a length before now (90m, 12h, 7d), a date, or a time (RFC 3339). Default: all that is remembered.")
	cmd.Flags().StringVarP(&c.format, "output", "o", "", "Output format. One of: (json, yaml).")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

var length = regexp.MustCompile(`^([1-9][0-9]{0,4})([mhd])$`)

// parseSince reads a length before now, a date or a time.
func parseSince(cmd *cobra.Command, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if m := length.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		unit := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
		return now.Add(-time.Duration(n) * unit), err
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, now.Location())
	if err != nil {
		return at, args.Wrong(cmd, "--since %q is no length (12h, 7d), no date (2026-11-20) and no time (2026-11-20T12:00:00Z)", text)
	}
	return at, nil
}

// kinds of workloads as people type them.
var kinds = map[string]string{
	"deployment": "Deployment", "deployments": "Deployment", "deploy": "Deployment",
	"statefulset": "StatefulSet", "statefulsets": "StatefulSet", "sts": "StatefulSet",
	"daemonset": "DaemonSet", "daemonsets": "DaemonSet", "ds": "DaemonSet",
	"cronjob": "CronJob", "cronjobs": "CronJob", "cj": "CronJob", "job": "Job", "jobs": "Job",
}

func (c *command) run(ctx context.Context, name string, since time.Time) error {
	s, err := c.factory.Connect()
	if err != nil {
		return err
	}
	subject, err := find(ctx, s, name)
	if err != nil {
		return err
	}
	records, unread, err := read(ctx, s, subject.Namespace)
	if err != nil {
		return err
	}
	elsewhere, err := readElsewhere(ctx, s, subject, &records)
	if err != nil {
		return err
	}
	story := Tell(subject, records, since)
	if len(elsewhere) > 0 {
		s.Screen.Notef("You may not read Incidents in namespace %s: what came from there is told without.", screen.And(elsewhere))
	}
	if len(unread) > 0 {
		s.Screen.Notef("You may not read %s in namespace %s: the story is told without.", screen.And(unread), subject.Namespace)
	}
	if c.format != "" {
		return c.print(s, story)
	}
	if len(story) == 0 {
		s.Screen.Notef("Nothing is remembered of %s.", screen.Line(name))
		return nil
	}
	return table(story).Write(s.Screen.Out, s.Screen.Palette)
}

// find what the story is about.
func find(ctx context.Context, s *session.Session, name string) (Subject, error) {
	if before, after, slash := strings.Cut(name, "/"); slash {
		if kind, is := kinds[strings.ToLower(before)]; is && after != "" {
			return Subject{Namespace: s.Namespace, Workloads: []Workload{{Kind: kind, Name: after}}}, nil
		}
	}
	ref, err := s.Ref(name)
	if err != nil {
		return Subject{}, err
	}
	service := &v1alpha1.Service{}
	if err := s.Read(ctx, ref, service, "Service", "services"); err != nil {
		return Subject{}, err
	}
	subject := Subject{Namespace: ref.Namespace, Service: ref.Name}
	for _, w := range service.Status.Workloads {
		subject.Workloads = append(subject.Workloads, Workload{Kind: string(w.Kind), Name: string(w.Name)})
	}
	return subject, nil
}

// read what the namespace remembers, as far as the user may.
func read(ctx context.Context, s *session.Session, namespace string) (r Records, unread []string, err error) {
	changes, releases, incidents := &v1alpha1.ChangeList{}, &v1alpha1.ReleaseList{}, &v1alpha1.IncidentList{}
	problems, services, agreements := &v1alpha1.ProblemList{}, &v1alpha1.ServiceList{}, &v1alpha1.ServiceLevelAgreementList{}
	lists := []struct {
		name string
		list client.ObjectList
	}{
		{"Changes", changes}, {"Releases", releases}, {"Incidents", incidents},
		{"Problems", problems}, {"Services", services}, {"ServiceLevelAgreements", agreements},
	}
	for _, l := range lists {
		err := s.ReadAll(ctx, l.list, namespace)
		switch {
		case err == nil:
		case exit.CodeOf(err) == exit.NotPermitted:
			unread = append(unread, l.name)
		default:
			return Records{}, nil, err
		}
	}
	if len(unread) == len(lists) {
		return Records{}, nil, exit.New(exit.NotPermitted, "you may read nothing of itil.dev in namespace %s", namespace).
			WithNext("ask for a RoleBinding to ClusterRole itil-viewer in namespace %s", namespace)
	}
	return Records{
		Changes: changes.Items, Releases: releases.Items, Incidents: incidents.Items,
		Problems: problems.Items, Services: services.Items, Agreements: agreements.Items,
	}, unread, nil
}

// maxElsewhere bounds the namespaces that are asked beside the subject's own.
const maxElsewhere = 20

// readElsewhere adds the Incidents of other namespaces that may belong to the story: of those that hold Services which
// this one needs, and of those with an Incident that explains one, as that of a lost node is the operator's. It returns
// the namespaces whose Incidents the user may not read.
func readElsewhere(ctx context.Context, s *session.Session, subject Subject, r *Records) (unread []string, err error) {
	others := map[string]bool{}
	for i := range r.Services {
		for _, d := range r.Services[i].Spec.DependsOn {
			if r.Services[i].Name == subject.Service && d.Namespace != "" {
				others[string(d.Namespace)] = true
			}
		}
	}
	for i := range r.Incidents {
		if parent := parentOf(&r.Incidents[i]); parent != nil {
			others[string(parent.Namespace)] = true
		}
	}
	delete(others, subject.Namespace)
	names := slices.Sorted(maps.Keys(others))
	for _, namespace := range names[:min(len(names), maxElsewhere)] {
		list := &v1alpha1.IncidentList{}
		err := s.ReadAll(ctx, list, namespace)
		switch {
		case err == nil:
			r.Incidents = append(r.Incidents, list.Items...)
		case exit.CodeOf(err) == exit.NotPermitted:
			unread = append(unread, namespace)
		default:
			return nil, err
		}
	}
	return unread, nil
}

func (c *command) print(s *session.Session, story []Entry) error {
	if story == nil {
		story = []Entry{}
	}
	document := struct {
		Entries []Entry `json:"entries"`
	}{story}
	raw, err := json.MarshalIndent(document, "", "    ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if c.format == "yaml" {
		if raw, err = yaml.Marshal(document); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.Screen.Out, "%s", raw)
	return err
}

func table(story []Entry) *screen.Table {
	t := &screen.Table{Header: []string{"TIME", "OBJECT", "WHO", "WHAT"}}
	for _, e := range story {
		t.Add(screen.Text(e.At.UTC().Format("2006-01-02 15:04:05Z")), screen.Text(e.Object), screen.Text(e.By), screen.Text(e.What))
	}
	return t
}
