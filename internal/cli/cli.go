// Package cli is the kubectl plugin `kubectl itil`. Each topic has a package of commands below it; this one puts them
// together and turns what they return into messages and exit codes.
package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/itil-dev/itil-operator/internal/cli/about"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/changes"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/incidents"
	"github.com/itil-dev/itil-operator/internal/cli/problems"
	"github.com/itil-dev/itil-operator/internal/cli/releases"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/services"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/cli/slas"
	"github.com/itil-dev/itil-operator/internal/cli/timeline"
)

// Environment is what the plugin needs of the world.
type Environment struct {
	genericiooptions.IOStreams
	// Now is the clock.
	Now func() time.Time
	// Version of the plugin.
	Version string
}

// Run runs the plugin with these arguments and returns its exit code. Errors are told on ErrOut.
func Run(ctx context.Context, env Environment, arguments []string) exit.Code {
	cmd := NewCommand(env) //nolint:contextcheck // cobra hands the context to each command when it runs
	cmd.SetArgs(arguments)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		tell(env.ErrOut, err)
	}
	return exit.CodeOf(err)
}

// tell says what is wrong and what to do about it. What an API server said may hold what others wrote.
func tell(w io.Writer, err error) {
	palette := screen.Palette{Colour: printers.AllowsColorOutput(w)}
	lines := screen.Block(err.Error())
	text := palette.Paint(screen.Bad, "error:") + " " + strings.Join(lines, "\n") + "\n"
	if next := exit.NextOf(err); next != "" {
		text += palette.Paint(screen.Strong, "next:") + "  " + strings.Join(screen.Block(next), "\n") + "\n"
	}
	// There is nowhere left to say that ErrOut cannot be written to.
	_, _ = io.WriteString(w, text)
}

// NewCommand makes the plugin's root command.
func NewCommand(env Environment) *cobra.Command {
	f := session.NewFactory(screen.New(env.IOStreams), env.Now, env.Version)
	root := &cobra.Command{
		Use:   "kubectl-itil",
		Short: "Change control, incidents and services of itil-operator",
		Long: `Change control, incidents and services of itil-operator.

Whoever approves, requests or reports is whom the API server knows, and may do what RBAC allows. Exit codes: 0 done,
1 failed, 2 wrong command line, 3 not permitted, 4 not found, 5 not possible in this state, 6 not confirmed, 7 the gate
would refuse it.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl itil"},
		SilenceErrors: true,
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			DisableDefaultCmd: true, // about.NewCompletion says more about kubectl
		},
	}
	args.Group(root)
	root.AddGroup(
		&cobra.Group{ID: "changes", Title: "Changes:"},
		&cobra.Group{ID: "releases", Title: "Releases:"},
		&cobra.Group{ID: "incidents", Title: "Incidents:"},
		&cobra.Group{ID: "problems", Title: "Problems:"},
		&cobra.Group{ID: "services", Title: "Services:"},
	)
	add(root, "changes", changes.NewList(f), changes.NewApprove(f), changes.NewReject(f), changes.NewChange(f), changes.NewWhy(f), changes.NewEmergency(f))
	add(root, "releases", releases.NewRelease(f))
	add(root, "incidents", incidents.NewList(f), incidents.NewIncident(f))
	add(root, "problems", problems.NewProblem(f))
	add(root, "services", services.NewList(f), slas.New(f), timeline.New(f))
	add(root, "", about.NewVersion(f), about.NewCompletion(f), about.NewOptions())
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.ErrOut)
	f.AddFlags(root.PersistentFlags())
	// It fails only where there is no such flag.
	_ = root.RegisterFlagCompletionFunc("namespace", namespaces(f))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return args.Wrong(cmd, "%s", err)
	})
	root.SetUsageTemplate(usageTemplate)
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}

// usageTemplate is cobra's without kubectl's three dozen flags below each command: `kubectl itil options` shows them.
const usageTemplate = `Usage:{{if and .Runnable (not .HasAvailableSubCommands)}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if eq (len .Groups) 0}}

Available Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}

Other commands:{{range $cmds}}{{if (and (eq .GroupID "") .IsAvailableCommand)}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if and .HasParent .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{if .HasAvailableSubCommands}}
Use "{{.CommandPath}} [command] --help" for more about a command.{{end}}
Use "kubectl itil options" for the flags that all commands have (-n, --context, --kubeconfig, …).
`
