// Package releases has the commands about Releases: make one, hold it, let it go on, stop it, and watch its phases.
package releases

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/edit"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
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

// over reports whether nothing will happen to a Release any more.
func over(r *v1alpha1.Release) bool {
	switch r.Status.State {
	case v1alpha1.ReleaseCompleted, v1alpha1.ReleaseRolledBack, v1alpha1.ReleaseFailed, v1alpha1.ReleaseCanceled:
		return true
	case v1alpha1.ReleasePlanning, v1alpha1.ReleaseReady, v1alpha1.ReleaseDeploying, v1alpha1.ReleaseEarlyLifeSupport:
	}
	return false
}

// newEditor makes what writes to a Release that has not ended.
func newEditor(f *session.Factory, done string) *edit.Editor[*v1alpha1.Release] {
	return &edit.Editor[*v1alpha1.Release]{
		Factory: f, Done: done, Refuse: refuseEnded,
		Kind: edit.Kind[*v1alpha1.Release]{
			Name: "Release", Plural: "releases", NewList: newReleaseList,
			New: func() *v1alpha1.Release { return &v1alpha1.Release{} },
		},
	}
}

// refuseEnded refuses a Release that has ended.
func refuseEnded(r *v1alpha1.Release) error {
	if !over(r) {
		return nil
	}
	return exit.New(exit.WrongState, "Release %s/%s has ended (%s)", r.Namespace, r.Name, r.Status.State).
		WithNext("make another one: kubectl itil release new NAME -n %s", r.Namespace)
}

func newPromote(f *session.Factory) *cobra.Command {
	e := newEditor(f, "promoted")
	e.Edit = func(r *v1alpha1.Release) (edit.Fields, error) {
		if !r.Spec.Paused {
			return nil, nil
		}
		return edit.Fields{"paused": false}, nil
	}
	return e.One(&cobra.Command{
		Use:     "promote NAME",
		Short:   "Let a paused Release go on with its next phase",
		Long:    `Let a paused Release go on with its next phase. What a phase must soak is not cut short: that is what was approved.`,
		Example: "  kubectl itil release promote shop-2-5",
	})
}

func newPause(f *session.Factory) *cobra.Command {
	e := newEditor(f, "paused")
	e.Edit = func(r *v1alpha1.Release) (edit.Fields, error) {
		if r.Spec.Paused {
			return nil, nil
		}
		return edit.Fields{"paused": true}, nil
	}
	e.Remark = func(*v1alpha1.Release) string {
		return "The phase that runs is finished; no other begins until: kubectl itil release promote."
	}
	return e.One(&cobra.Command{
		Use:     "pause NAME",
		Short:   "Hold a Release before its next phase",
		Long:    "Hold a Release before its next phase. The one that runs is finished, and taken back if it fails.",
		Example: "  kubectl itil release pause shop-2-5",
	})
}

func newCancel(f *session.Factory) *cobra.Command {
	var confirmed bool
	e := newEditor(f, "canceled")
	e.Edit = func(r *v1alpha1.Release) (edit.Fields, error) {
		if r.Spec.Cancel {
			return nil, nil
		}
		if !confirmed {
			if err := f.Screen.Confirm(whetherToStop(r), "say --yes"); err != nil {
				return nil, err
			}
			confirmed = true // it may be read again, and is not asked about twice
		}
		return edit.Fields{"cancel": true}, nil
	}
	e.Remark = func(r *v1alpha1.Release) string {
		if r.Status.StartedAt == nil {
			return "Nothing of it went in."
		}
		return "What is in stays. What that is, and how to go back: kubectl itil release status " + r.Namespace + "/" + r.Name
	}
	cmd := e.One(&cobra.Command{
		Use:     "cancel NAME",
		Short:   "Stop a Release for good, and leave what is",
		Long:    "Stop a Release for good. What went in already stays in; nothing else does by it. One that is being taken back is left half way.",
		Example: "  kubectl itil release cancel shop-2-5 --yes",
	})
	cmd.Flags().BoolVarP(&confirmed, "yes", "y", false, "Do not ask.")
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
