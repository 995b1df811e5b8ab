package slas

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/output"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newHistory(f *session.Factory) *cobra.Command {
	out := output.ForWrite(f.Scheme)
	cmd := &cobra.Command{
		Use:               "history NAME",
		Short:             "Show the last 12 periods of an agreement, the newest first",
		Long:              "Show the last 12 periods of an agreement, the newest first: what was promised, what was kept, and the credit that is due.",
		Example:           "  kubectl itil sla history checkout-gold -n shop",
		Args:              args.Exactly("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, newAgreementList, nil),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			return history(cmd.Context(), f, out, names[0])
		},
	}
	out.AddTo(cmd)
	return cmd
}

func history(ctx context.Context, f *session.Factory, out *output.Flags, name string) error {
	s, err := f.Connect()
	if err != nil {
		return err
	}
	ref, err := s.Ref(name)
	if err != nil {
		return err
	}
	a := &v1alpha1.ServiceLevelAgreement{}
	if err := s.Read(ctx, ref, a, "ServiceLevelAgreement", "servicelevelagreements"); err != nil {
		return err
	}
	if !out.ForPeople() {
		return out.Object(s.Screen.Out, a)
	}
	if len(a.Status.History) == 0 {
		s.Screen.Notef("No period of %s is over yet.", ref)
		return nil
	}
	return periods(a.Status.History).Write(s.Screen.Out, s.Screen.Palette)
}

func periods(list []v1alpha1.PeriodFigures) *screen.Table {
	t := &screen.Table{Header: []string{"FROM", "TO", "PROMISED", "KEPT", "BUDGET-LEFT", "DOWNTIME", "PLANNED", "UNOBSERVED", "OUTAGES", "CREDIT"}}
	for i := range list {
		p := &list[i]
		credit := ""
		if p.CreditPercent > 0 {
			credit = strconv.Itoa(int(p.CreditPercent)) + " %"
		}
		t.Add(screen.Text(screen.Moment(p.Start.Time.UTC())), screen.Text(screen.Moment(p.End.Time.UTC())), screen.Text(withUnit(string(p.Target))),
			screen.Text(withUnit(p.Availability)), screen.Text(withUnit(p.ErrorBudgetRemaining)), screen.Text(length(p.DowntimeSeconds)),
			screen.Text(length(p.PlannedSeconds)), screen.Text(length(p.UnobservedSeconds)), screen.Text(strconv.Itoa(int(p.Outages))), screen.Text(credit))
	}
	return t
}

func withUnit(percentage string) string {
	if percentage == "" {
		return ""
	}
	return percentage + " %"
}
