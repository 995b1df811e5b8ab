// Package releases has the commands about Releases: make one, hold it, let it go on, stop it, and watch its phases.
package releases

import (
	"context"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// NewRelease makes `kubectl itil release`, with its commands.
func NewRelease(f *session.Factory) *cobra.Command {
	return args.Group(&cobra.Command{
		Use:   "release",
		Short: "Make, promote, pause or cancel a Release, and watch its phases",
		Long: `A Release brings new images to several workloads in phases, under one Change, and takes them back when a phase fails.
Each command writes only the fields that it is about; the operator does the rest.`,
	}, newNew(f), newPromote(f), newPause(f), newCancel(f), newStatus(f))
}

func newReleaseList() client.ObjectList { return &v1alpha1.ReleaseList{} }

func isRunning(o client.Object) bool {
	r, ok := o.(*v1alpha1.Release)
	return ok && !over(r)
}

// over reports whether nothing will happen to a Release any more.
func over(r *v1alpha1.Release) bool {
	switch r.Status.State {
	case v1alpha1.ReleaseCompleted, v1alpha1.ReleaseRolledBack, v1alpha1.ReleaseFailed, v1alpha1.ReleaseCanceled:
		return true
	case v1alpha1.ReleasePlanning, v1alpha1.ReleaseReady, v1alpha1.ReleaseDeploying, v1alpha1.ReleaseEarlyLifeSupport:
	}
	return false
}

// editor writes to a Release.
type editor struct {
	factory *session.Factory
	output  *output.Flags
	// done says what was done to it.
	done string
	// question is asked before; nil: none.
	question func(r *v1alpha1.Release) string
	yes      bool
	// edit decides what is to be written to spec; nil: nothing.
	edit func(r *v1alpha1.Release) map[string]any
	// remark is shown afterwards; nil: nothing.
	remark func(r *v1alpha1.Release) string
}

func (e *editor) command(cmd *cobra.Command) *cobra.Command {
	e.output = output.ForWrite(e.factory.Scheme)
	cmd.Args = args.Exactly("NAME (or NAMESPACE/NAME)")
	cmd.ValidArgsFunction = complete.Names(e.factory, newReleaseList, isRunning)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := e.output.Check(); err != nil {
			return err
		}
		return e.run(cmd.Context(), names[0])
	}
	e.output.AddTo(cmd)
	return cmd
}

func (e *editor) run(ctx context.Context, name string) error {
	s, err := e.factory.Connect()
	if err != nil {
		return err
	}
	ref, err := s.Ref(name)
	if err != nil {
		return err
	}
	r, written, err := e.write(ctx, s, ref)
	switch {
	case err != nil:
		return err
	case !e.output.ForPeople():
		return e.output.Object(s.Screen.Out, r)
	case !written:
		s.Screen.Notef("Release %s is %s already; nothing to do.", ref, e.done)
		return nil
	}
	if err := s.Screen.Printf("release.itil.dev/%s %s\n", r.Name, e.done); err != nil {
		return err
	}
	if e.remark != nil {
		s.Screen.Notef("%s", e.remark(r))
	}
	return nil
}

func (e *editor) write(ctx context.Context, s *session.Session, ref session.Ref) (r *v1alpha1.Release, written bool, err error) {
	asked := e.question == nil || e.yes
	empty := func() *v1alpha1.Release { return &v1alpha1.Release{} }
	return session.EditSpec(ctx, s, ref, "Release", "releases", empty, func(r *v1alpha1.Release) (map[string]any, error) {
		if over(r) {
			return nil, exit.New(exit.WrongState, "Release %s has ended (%s)", ref, r.Status.State).
				WithNext("make another one: kubectl itil release new NAME -n %s", ref.Namespace)
		}
		wanted := e.edit(r)
		if wanted != nil && !asked {
			if err := s.Screen.Confirm(e.question(r), "say --yes"); err != nil {
				return nil, err
			}
			asked = true
		}
		return wanted, nil
	})
}

func newPromote(f *session.Factory) *cobra.Command {
	e := &editor{factory: f, done: "promoted", edit: func(r *v1alpha1.Release) map[string]any {
		if !r.Spec.Paused {
			return nil
		}
		return map[string]any{"paused": false}
	}}
	return e.command(&cobra.Command{
		Use:     "promote NAME",
		Short:   "Let a paused Release go on with its next phase",
		Long:    `Let a paused Release go on with its next phase. What a phase must soak is not cut short: that is what was approved.`,
		Example: "  kubectl itil release promote shop-2-5",
	})
}

func newPause(f *session.Factory) *cobra.Command {
	e := &editor{factory: f, done: "paused", edit: func(r *v1alpha1.Release) map[string]any {
		if r.Spec.Paused {
			return nil
		}
		return map[string]any{"paused": true}
	}, remark: func(*v1alpha1.Release) string {
		return "The phase that runs is finished; no other begins until: kubectl itil release promote."
	}}
	return e.command(&cobra.Command{
		Use:     "pause NAME",
		Short:   "Hold a Release before its next phase",
		Long:    "Hold a Release before its next phase. The one that runs is finished, and taken back if it fails.",
		Example: "  kubectl itil release pause shop-2-5",
	})
}

func newCancel(f *session.Factory) *cobra.Command {
	e := &editor{factory: f, done: "canceled", question: whetherToStop, edit: func(r *v1alpha1.Release) map[string]any {
		if r.Spec.Cancel {
			return nil
		}
		return map[string]any{"cancel": true}
	}, remark: func(r *v1alpha1.Release) string {
		if r.Status.StartedAt == nil {
			return "Nothing of it went in."
		}
		return "What is in stays. What that is, and how to go back: kubectl itil release status " + r.Namespace + "/" + r.Name
	}}
	cmd := e.command(&cobra.Command{
		Use:     "cancel NAME",
		Short:   "Stop a Release for good, and leave what is",
		Long:    "Stop a Release for good. What went in already stays in; nothing else does by it. One that is being taken back is left half way.",
		Example: "  kubectl itil release cancel shop-2-5 --yes",
	})
	cmd.Flags().BoolVarP(&e.yes, "yes", "y", false, "Do not ask.")
	return cmd
}

func whetherToStop(r *v1alpha1.Release) string {
	switch s := &r.Status; {
	case s.StartedAt == nil:
		return "Stop this Release for good? Nothing of it is in."
	case s.Backout != nil:
		return "It is being taken back by itself. Stop that half way, and leave some of it in?"
	}
	return "Stop this Release for good, and leave what is in?"
}
