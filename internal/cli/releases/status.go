package releases

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

type viewer struct {
	factory *session.Factory
	output  *output.Flags
	watch   bool
}

func newStatus(f *session.Factory) *cobra.Command {
	v := &viewer{factory: f, output: output.ForWrite(f.Scheme)}
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Show how far a Release is: its phases, their units, and what it waits for",
		Long: `Show how far a Release is: its phases, their units, and what it waits for. With --watch it is shown again whenever it
changes, until it has ended; the exit code is 5 if it failed, was taken back or canceled.`,
		Example:           "  kubectl itil release status shop-2-5 --watch",
		Args:              args.Exactly("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, newReleaseList, nil),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := v.output.Check(); err != nil {
				return err
			}
			return v.run(cmd.Context(), names[0])
		},
	}
	cmd.Flags().BoolVarP(&v.watch, "watch", "w", false, "Go on and show it again when it changes, until it has ended.")
	v.output.AddTo(cmd)
	return cmd
}

func (v *viewer) run(ctx context.Context, name string) error {
	s, err := v.factory.Connect()
	if err != nil {
		return err
	}
	ref, err := s.Ref(name)
	if err != nil {
		return err
	}
	for {
		r := &v1alpha1.Release{}
		if err := s.Read(ctx, ref, r, "Release", "releases"); err != nil {
			return err
		}
		if err := v.show(s, r); err != nil || !v.watch {
			return err
		}
		last, err := v.follow(ctx, s, r)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if last != nil {
			return ended(last)
		}
		// The watch ended early; what happened meanwhile is read anew.
	}
}

// ended is how a Release that is over ends the command.
func ended(r *v1alpha1.Release) error {
	if r.Status.State == v1alpha1.ReleaseCompleted {
		return nil
	}
	failure := exit.New(exit.WrongState, "Release %s/%s is %s", r.Namespace, r.Name, r.Status.State)
	if f := r.Status.Failure; f != nil {
		failure.Message += ": " + f.Message
	}
	return failure.WithNext("see what happened: kubectl itil timeline SERVICE -n %s", r.Namespace)
}

// follow shows it again when what people see of it changes, and returns it when it has ended; nil if the watch did.
func (v *viewer) follow(ctx context.Context, s *session.Session, r *v1alpha1.Release) (*v1alpha1.Release, error) {
	if over(r) {
		return r, nil
	}
	shown := v.page(s, r)
	w, err := s.Watch(ctx, newReleaseList(), client.InNamespace(r.Namespace), &client.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Name),
	})
	if err != nil {
		return nil, session.Refused(err, "watching Release "+r.Namespace+"/"+r.Name)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // whoever watches ends it, and that is no failure
		case event, open := <-w.ResultChan():
			if !open {
				return nil, nil //nolint:nilnil // it is to be read again
			}
			now, is := event.Object.(*v1alpha1.Release)
			switch {
			case event.Type == watch.Deleted:
				return nil, exit.New(exit.NotFound, "Release %s/%s was deleted", r.Namespace, r.Name)
			case !is:
				continue
			}
			if page := v.page(s, now); page != shown {
				shown = page
				if err := v.show(s, now); err != nil {
					return nil, err
				}
			}
			if over(now) {
				return now, nil
			}
		}
	}
}

func (v *viewer) page(s *session.Session, r *v1alpha1.Release) string {
	p := page(r, s.Now().Truncate(time.Hour), s.Screen.Palette)
	return p.String()
}

func (v *viewer) show(s *session.Session, r *v1alpha1.Release) error {
	if !v.output.ForPeople() {
		return v.output.Object(s.Screen.Out, r)
	}
	p := page(r, s.Now(), s.Screen.Palette)
	if v.watch {
		p.Gap()
	}
	_, err := p.WriteTo(s.Screen.Out)
	return err
}

// page is a Release for people.
func page(r *v1alpha1.Release, now time.Time, palette screen.Palette) *screen.Page {
	p := &screen.Page{Palette: palette}
	p.Title("Release "+r.Namespace+"/"+r.Name, screen.Line(r.Spec.Version))
	state := palette.Paint(stateStyle(r), string(cmp.Or(r.Status.State, v1alpha1.ReleasePlanning)))
	if r.Spec.Paused && !over(r) {
		state += " (paused)"
	}
	if r.Status.Progress != "" {
		state += "  " + r.Status.Progress + " units"
	}
	p.Field("State", state)
	if ref := r.Status.ChangeRef; ref != nil {
		p.Field("Change", string(ref.Name))
	}
	if ref := r.Status.WaitingFor; ref != nil {
		p.Field("Waits for", "Release "+string(ref.Name))
	}
	if f := r.Status.Failure; f != nil {
		p.Field("Failed", palette.Paint(screen.Bad, string(f.Reason))+" "+screen.Ago(now, f.At.Time)+": "+screen.Line(f.Message))
	}
	p.Gap()
	p.Table(phases(r, now))
	p.Gap()
	if len(r.Status.Units) > 0 {
		p.Table(units(r))
		p.Gap()
	}
	// Who has the plugin needs nothing for who does not.
	next, _, _ := strings.Cut(r.Status.NextStep, change.WithoutPlugin)
	p.Text("Next", next)
	return p
}

func phases(r *v1alpha1.Release, now time.Time) *screen.Table {
	t := &screen.Table{Header: []string{"PHASE", "STATE", "SOAKED", "BEGAN", "MESSAGE"}}
	if len(r.Status.Phases) == 0 {
		for i := range r.Spec.Phases {
			t.Add(screen.Text(string(r.Spec.Phases[i].Name)), screen.Text(string(v1alpha1.ReleasePhaseWaiting)), screen.Cell{}, screen.Cell{}, screen.Cell{})
		}
	}
	for i := range r.Status.Phases {
		ph := &r.Status.Phases[i]
		began := ""
		if ph.StartedAt != nil {
			began = screen.Ago(now, ph.StartedAt.Time)
		}
		t.Add(screen.Text(string(ph.Name)), screen.Styled(phaseStyle(ph.State), string(ph.State)), screen.Text(soaked(ph, now)),
			screen.Text(began), screen.Text(ph.Message))
	}
	return t
}

// soaked is how long the units of a phase ran without trouble, of how long they must.
func soaked(p *v1alpha1.ReleasePhaseStatus, now time.Time) string {
	if p.SoakSeconds == 0 {
		return ""
	}
	most := time.Duration(p.SoakSeconds) * time.Second
	done := time.Duration(p.SoakedSeconds) * time.Second
	switch {
	case p.State == v1alpha1.ReleasePhaseDone:
		done = most
	case p.State == v1alpha1.ReleasePhaseSoaking && p.SoakingSince != nil:
		done += max(now.Sub(p.SoakingSince.Time), 0)
	}
	return duration.HumanDuration(min(done, most)) + "/" + duration.HumanDuration(most)
}

func units(r *v1alpha1.Release) *screen.Table {
	t := &screen.Table{Header: []string{"UNIT", "WORKLOAD", "PHASE", "STATE", "READY", "MESSAGE"}}
	for i := range r.Status.Units {
		u := &r.Status.Units[i]
		t.Add(screen.Text(string(u.Name)), screen.Text(string(u.Workload.Kind)+"/"+string(u.Workload.Name)), screen.Text(u.Phase),
			screen.Styled(unitStyle(u.State), string(u.State)), screen.Text(strconv.Itoa(int(u.Ready))+"/"+strconv.Itoa(int(u.Desired))), screen.Text(u.Message))
	}
	return t
}

func stateStyle(r *v1alpha1.Release) screen.Style {
	switch r.Status.State {
	case v1alpha1.ReleaseCompleted, v1alpha1.ReleaseEarlyLifeSupport:
		return screen.Good
	case v1alpha1.ReleaseFailed, v1alpha1.ReleaseRolledBack:
		return screen.Bad
	case v1alpha1.ReleaseCanceled:
		return screen.Faint
	case v1alpha1.ReleasePlanning, v1alpha1.ReleaseReady, v1alpha1.ReleaseDeploying:
	}
	return screen.Plain
}

func phaseStyle(s v1alpha1.ReleasePhaseState) screen.Style {
	switch s {
	case v1alpha1.ReleasePhaseDone:
		return screen.Good
	case v1alpha1.ReleasePhaseFailed:
		return screen.Bad
	case v1alpha1.ReleasePhaseSoaking, v1alpha1.ReleasePhaseDeploying:
		return screen.Warn
	case v1alpha1.ReleasePhaseWaiting:
	}
	return screen.Plain
}

func unitStyle(s v1alpha1.ReleaseUnitState) screen.Style {
	switch s {
	case v1alpha1.ReleaseUnitDone:
		return screen.Good
	case v1alpha1.ReleaseUnitFailed, v1alpha1.ReleaseUnitRolledBack, v1alpha1.ReleaseUnitRollingBack:
		return screen.Bad
	case v1alpha1.ReleaseUnitDeploying, v1alpha1.ReleaseUnitSoaking:
		return screen.Warn
	case v1alpha1.ReleaseUnitWaiting:
	}
	return screen.Plain
}
