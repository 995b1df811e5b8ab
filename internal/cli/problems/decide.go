package problems

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// decide is a decision in place of another; a field that it does not have goes away.
func decide(p *v1alpha1.Problem, decision map[string]any) patch {
	for _, field := range []string{"reason", "reviewBy", "duplicateOf"} {
		if v, has := decision[field]; !has || v == "" {
			decision[field] = nil
		}
	}
	if d := p.Spec.Decision; d != nil && sameDecision(d, decision) {
		return nil
	}
	return patch{"decision": decision}
}

func sameDecision(is *v1alpha1.ProblemDecision, wanted map[string]any) bool {
	raw, err := json.Marshal(wanted)
	if err != nil {
		return false
	}
	other := v1alpha1.ProblemDecision{}
	if err := json.Unmarshal(raw, &other); err != nil {
		return false
	}
	of := func(d *v1alpha1.ProblemDecision) string {
		if d.DuplicateOf == nil {
			return ""
		}
		return string(d.DuplicateOf.Name)
	}
	return is.Type == other.Type && is.Reason == other.Reason && is.ReviewBy == other.ReviewBy && of(is) == of(&other)
}

func acceptsRisk(p *v1alpha1.Problem) bool {
	return p.Spec.Decision != nil && p.Spec.Decision.Type == v1alpha1.DecisionRiskAccepted
}

func newAcceptRisk(f *session.Factory) *cobra.Command {
	var until, reason string
	e := newEditor(f, "an accepted risk")
	e.Refuse = refuseClosedForGood
	cmd := e.Several(&cobra.Command{
		Use:   "accept-risk NAME --until DATE --reason TEXT",
		Short: "Put up with a Problem until a review, or put the review off",
		Long: `Put up with a Problem until a review. It is closed; its workaround is shown on Incidents still, and no other Problem
is opened about the same failure before the review, unless one of them is major. An overdue review is a condition
(ReviewOverdue), an event and a metric. After the review, the same command says until when it is put up with from then on.`,
		Example: `  kubectl itil problem accept-risk checkout-oomkilled-7f3a9 --until 2027-03-31 --reason "2.7 replaces it in spring"
  kubectl itil problem accept-risk checkout-oomkilled-7f3a9 --until 90d --reason "happens once a year"`,
	})
	cmd.Flags().StringVar(&until, "until", "", "When it is looked at again: a date, a time (RFC 3339), or days from now (90d).")
	cmd.Flags().StringVar(&reason, "reason", "", "Why it is put up with.")
	var review v1alpha1.Timestamp
	e.Check = func(cmd *cobra.Command) error {
		if until == "" || reason == "" {
			return args.Wrong(cmd, "say until when, and why: --until DATE --reason TEXT")
		}
		at, ok := parseUntil(until, f.Now())
		switch {
		case !ok:
			return args.Wrong(cmd, "--until %q is no date (2027-03-31), no time (2027-03-31T12:00:00Z) and no number of days (90d)", until)
		case !at.After(f.Now()):
			return args.Wrong(cmd, "--until %s is over already", until)
		}
		review = v1alpha1.Timestamp(at.Format(time.RFC3339))
		return nil
	}
	e.Edit = func(p *v1alpha1.Problem) (patch, error) {
		return decide(p, map[string]any{"type": string(v1alpha1.DecisionRiskAccepted), "reason": reason, "reviewBy": string(review)}), nil
	}
	e.Remark = func(p *v1alpha1.Problem) string {
		return "It is to be reviewed by " + string(p.Spec.Decision.ReviewBy) + "."
	}
	return cmd
}

var days = regexp.MustCompile(`^([1-9][0-9]{0,3})d$`)

// parseUntil reads a date (its end, where the clock is), a time, or a number of days.
func parseUntil(text string, now time.Time) (time.Time, bool) {
	if m := days.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		return now.AddDate(0, 0, n).Truncate(time.Second), err == nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	at, err := time.ParseInLocation(time.DateOnly, text, now.Location())
	return at.AddDate(0, 0, 1).Add(-time.Second), err == nil
}

func newDuplicate(f *session.Factory) *cobra.Command {
	var of string
	e := newEditor(f, "a duplicate")
	cmd := e.Several(&cobra.Command{
		Use:   "duplicate NAME... --of NAME",
		Short: "Say that Problems are about the same as another: their Incidents move there",
		Long: `Say that Problems are about the same as another. They are closed, and their Incidents, those to come too, belong to
the other one: it counts them, and its workaround is shown on them.`,
		Example: "  kubectl itil problem duplicate checkout-crashlooping-1b2c3 --of checkout-oomkilled-7f3a9",
	})
	cmd.Flags().StringVar(&of, "of", "", "The Problem that they duplicate, of the same namespace.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("of", complete.Flag(f, newProblemList))
	e.Check = func(cmd *cobra.Command) error {
		if of == "" {
			return args.Wrong(cmd, "say of which Problem: --of NAME")
		}
		return nil
	}
	e.Before = func(ctx context.Context, s *session.Session, ref session.Ref) error {
		if ref.Name == of {
			return exit.New(exit.WrongState, "Problem %s cannot be a duplicate of itself", ref).WithNext("name another one: --of NAME")
		}
		other := &v1alpha1.Problem{}
		if err := s.Read(ctx, session.Ref{Namespace: ref.Namespace, Name: of}, other, "Problem", "problems"); err != nil {
			return err
		}
		if d := other.Spec.Decision; d != nil && d.DuplicateOf != nil && string(d.DuplicateOf.Name) == ref.Name {
			return exit.New(exit.WrongState, "Problem %s is a duplicate of %s", refOf(other), ref).WithNext("name another one: --of NAME")
		}
		return nil
	}
	e.Edit = func(p *v1alpha1.Problem) (patch, error) {
		return decide(p, map[string]any{"type": string(v1alpha1.DecisionDuplicate), "duplicateOf": map[string]any{"name": of}}), nil
	}
	e.Remark = func(*v1alpha1.Problem) string { return "Its Incidents belong to " + of + " now." }
	return cmd
}

func newNotReproducible(f *session.Factory) *cobra.Command {
	var reason string
	e := newEditor(f, "closed: not reproducible")
	cmd := e.Several(&cobra.Command{
		Use:     "not-reproducible NAME... [--reason TEXT]",
		Short:   "Close Problems of which nothing was found",
		Long:    `Close Problems of which nothing was found. If the same fails often enough again, another one is opened.`,
		Example: `  kubectl itil problem not-reproducible checkout-notready-9a8b7 --reason "the node was replaced"`,
	})
	cmd.Flags().StringVar(&reason, "reason", "", "What was looked at.")
	e.Edit = func(p *v1alpha1.Problem) (patch, error) {
		return decide(p, map[string]any{"type": string(v1alpha1.DecisionNotReproducible), "reason": reason}), nil
	}
	return cmd
}
