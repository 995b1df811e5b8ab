package about

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/internal/cli/args"
)

// NewOptions makes `kubectl itil options`.
func NewOptions() *cobra.Command {
	return &cobra.Command{
		Use:               "options",
		Short:             "Show the flags that all commands have",
		Long:              "Show the flags that all commands have. They are kubectl's.",
		Args:              args.Exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), cmd.Root().PersistentFlags().FlagUsages())
			return err
		},
	}
}
