package incidents

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

func newAssign(f *session.Factory) *cobra.Command {
	var to string
	var nobody bool
	e := newEditor(f, "assigned")
	cmd := e.Several(&cobra.Command{
		Use:   "assign NAME... [--to USER]",
		Short: "Say who works on Incidents: you, or somebody else",
		Long: `Say who works on Incidents: you, as the API server knows you, or the user that --to names. It acknowledges them
too, and stops the response clock.`,
		Example: `  # I take it
  kubectl itil incident assign checkout-7f3a9

  # Alice does
  kubectl itil incident assign shop/checkout-7f3a9 --to alice

  # Nobody does any more
  kubectl itil incident assign checkout-7f3a9 --nobody`,
	})
	cmd.Flags().StringVar(&to, "to", "", "The user who works on it. Default: you.")
	cmd.Flags().BoolVar(&nobody, "nobody", false, "Take the assignee away.")
	e.Check = func(cmd *cobra.Command) error {
		if nobody && to != "" {
			return args.Wrong(cmd, "give --to or --nobody, not both")
		}
		if nobody {
			e.Done = "assigned to nobody"
		}
		return nil
	}
	e.EditAs = func(i *v1alpha1.Incident, me session.Identity) (patch, error) {
		switch {
		case nobody:
			return assign(i, "")
		case to != "":
			return assign(i, to)
		default:
			return assign(i, me.Name)
		}
	}
	e.Remark = func(i *v1alpha1.Incident) string {
		if i.Spec.Assignee == "" {
			return ""
		}
		return "It is " + string(i.Spec.Assignee) + " who works on it."
	}
	return cmd
}

func assign(i *v1alpha1.Incident, to string) (patch, error) {
	switch {
	case string(i.Spec.Assignee) == to:
		return nil, nil
	case to == "":
		return patch{"assignee": nil}, nil
	default:
		return patch{"assignee": to}, nil
	}
}
