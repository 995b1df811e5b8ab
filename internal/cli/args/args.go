// Package args checks the arguments of commands, so that a mistake on the command line has its own exit code and says
// what is expected.
package args

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

// Exactly takes one argument for each of these names.
func Exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return Wrong(cmd, "%s takes %s, and was given %d", cmd.CommandPath(), listed(names), len(args))
	}
}

// AtMost takes no more than these arguments.
func AtMost(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= len(names) {
			return nil
		}
		return Wrong(cmd, "%s takes at most %s, and was given %d", cmd.CommandPath(), listed(names), len(args))
	}
}

// AtLeast takes an argument for each of these names, and more of the last.
func AtLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= len(names) {
			return nil
		}
		return Wrong(cmd, "%s takes at least %s", cmd.CommandPath(), listed(names))
	}
}

func listed(names []string) string {
	if len(names) == 0 {
		return "no arguments"
	}
	return strings.Join(names, " ")
}

// Wrong is a mistake on the command line of a command.
func Wrong(cmd *cobra.Command, format string, values ...any) error {
	return exit.New(exit.Usage, format, values...).WithNext("see %s --help", cmd.CommandPath())
}

// Group makes a command that only has others below it: alone it shows them, and a name that there is not is a
// mistake.
func Group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		failure := exit.New(exit.Usage, "there is no command %q in %s", args[0], cmd.CommandPath())
		if list := plural(cmd); list != nil && args[0] == "list" {
			return failure.WithNext("did you mean: %s", list.CommandPath())
		}
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			return failure.WithNext("did you mean: %s %s", cmd.CommandPath(), strings.Join(similar, ", "))
		}
		return failure.WithNext("see %s --help", cmd.CommandPath())
	}
	return cmd
}

// plural is the command beside another that lists what the other is about: incidents beside incident. Nil where there
// is none.
func plural(cmd *cobra.Command) *cobra.Command {
	if cmd.Parent() == nil {
		return nil
	}
	for _, beside := range cmd.Parent().Commands() {
		if beside.Name() == cmd.Name()+"s" {
			return beside
		}
	}
	return nil
}
