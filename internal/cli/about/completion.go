package about

import (
	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// pluginCompletion is what kubectl runs to complete a plugin's arguments: an executable named kubectl_complete-itil.
const pluginCompletion = `#!/usr/bin/env sh
# kubectl runs this to complete "kubectl itil …". Put it on PATH, as an executable named kubectl_complete-itil.
exec kubectl-itil __complete "$@"
`

// NewCompletion makes `kubectl itil completion`.
func NewCompletion(f *session.Factory) *cobra.Command {
	shells := map[string]func(root *cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(f.Screen.Out, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(f.Screen.Out) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(f.Screen.Out, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(f.Screen.Out) },
		"kubectl":    func(*cobra.Command) error { return f.Screen.Printf("%s", pluginCompletion) },
	}
	names := []cobra.Completion{"kubectl", "bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion (kubectl | bash | zsh | fish | powershell)",
		Short: "Print what makes a shell complete commands, flags and names",
		Long: `Print what makes a shell complete commands, flags and the names of objects.

kubectl completes its plugins by an executable named kubectl_complete-itil on PATH: "kubectl" prints it. Complete kubectl
itself first (kubectl completion --help). The others print a script for kubectl-itil when it is called by that name.`,
		Example: `  # Complete "kubectl itil …", in whatever shell you use
  kubectl itil completion kubectl > ~/.local/bin/kubectl_complete-itil
  chmod +x ~/.local/bin/kubectl_complete-itil`,
		Args:                  args.Exactly("SHELL"),
		ValidArgsFunction:     cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, shell []string) error {
			write, known := shells[shell[0]]
			if !known {
				return args.Wrong(cmd, "%q is none of: kubectl, bash, zsh, fish, powershell", shell[0])
			}
			return write(cmd.Root())
		},
	}
}
