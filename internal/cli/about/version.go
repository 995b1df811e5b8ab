// Package about has the commands about the plugin itself.
package about

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// versions are what is at work.
type versions struct {
	// Client is the plugin's version, with the Go and the platform that it was built for.
	Client string `json:"client"`
	Go     string `json:"go"`
	// API is what the plugin speaks.
	API string `json:"api"`
	// Server is the version of Kubernetes, and Served whether it serves API; empty where it was not asked or did not
	// answer, which Problem then explains.
	Server  string `json:"server,omitempty"`
	Served  *bool  `json:"served,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// NewVersion makes `kubectl itil version`.
func NewVersion(f *session.Factory) *cobra.Command {
	var clientOnly bool
	var format string
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Show the versions of the plugin and of the cluster",
		Example:           "  kubectl itil version --client -o json",
		Args:              args.Exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "" && format != "json" && format != "yaml" {
				return args.Wrong(cmd, "--output must be json or yaml, and not %q", format)
			}
			v := versions{Client: f.Version, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, API: v1alpha1.GroupVersion.String()}
			if !clientOnly {
				v.ask(cmd.Context(), f)
			}
			text, err := v.format(format)
			if err != nil {
				return err
			}
			return f.Screen.Printf("%s", text)
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Show the plugin's version only, and ask no cluster.")
	cmd.Flags().StringVarP(&format, "output", "o", "", "Output format. One of: (json, yaml).")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// ask asks the cluster. That it does not answer is part of the answer.
func (v *versions) ask(ctx context.Context, f *session.Factory) {
	if err := v.discover(ctx, f); err != nil {
		v.Problem = screen.Line(err.Error())
	}
}

func (v *versions) discover(ctx context.Context, f *session.Factory) error {
	config, err := f.Flags.ToRESTConfig()
	if err != nil {
		return err
	}
	// Not the cached one: this is to tell what is there now.
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	info, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		return fmt.Errorf("asking the cluster for its version: %w", err)
	}
	v.Server = info.GitVersion
	groups, err := client.ServerGroupsWithContext(ctx)
	if err != nil {
		return fmt.Errorf("asking the cluster for its APIs: %w", err)
	}
	served := false
	for _, group := range groups.Groups {
		for _, version := range group.Versions {
			served = served || version.GroupVersion == v.API
		}
	}
	v.Served = &served
	return nil
}

func (v *versions) format(format string) (string, error) {
	switch format {
	case "json":
		data, err := json.MarshalIndent(v, "", "  ")
		return string(data) + "\n", err
	case "yaml":
		data, err := yaml.Marshal(v)
		return string(data), err
	}
	text := fmt.Sprintf("Plugin: %s (%s)\nAPI: %s\n", v.Client, v.Go, v.API)
	if v.Server != "" {
		text += "Kubernetes: " + v.Server + "\n"
	}
	switch {
	case v.Problem != "":
		text += "Cluster: " + v.Problem + "\n"
	case v.Served != nil && *v.Served:
		text += "itil-operator: its API is served\n"
	case v.Served != nil:
		text += "itil-operator: not installed (its API is not served)\n"
	}
	return text, nil
}
