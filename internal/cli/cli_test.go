package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
)

func environment() (env Environment, out, errOut *bytes.Buffer) {
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	return Environment{
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errOut},
		Now:       func() time.Time { return time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC) }, Version: "v1.2.3",
	}, out, errOut
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	for _, child := range cmd.Commands() {
		if child.Name() != "help" {
			visit(child)
			walk(child, visit)
		}
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	env, _, _ := environment()
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubectl-itil.md"))
	if err != nil {
		t.Fatal(err)
	}
	walk(NewCommand(env), func(cmd *cobra.Command) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
				t.Errorf("short help %q", cmd.Short)
			}
			leaf := !cmd.HasSubCommands()
			if leaf && cmd.Example == "" && cmd.Name() != "options" {
				t.Error("no example")
			}
			for line := range strings.Lines(cmd.Example) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "kubectl itil") && !strings.HasPrefix(line, cmd.CommandPath()) {
					t.Errorf("the example is of another command: %s", line)
				}
			}
			if leaf && !strings.Contains(string(guide), "`"+strings.TrimPrefix(cmd.CommandPath(), "kubectl itil ")+"`") &&
				!strings.Contains(string(guide), "`"+cmd.Name()+"`") {
				t.Error("docs/kubectl-itil.md does not list it")
			}
			if leaf && cmd.RunE == nil {
				t.Error("it does nothing")
			}
		})
	})
}

func TestHelpIsShort(t *testing.T) {
	env, out, _ := environment()
	if code := Run(t.Context(), env, []string{"approve", "--help"}); code != exit.OK {
		t.Errorf("code %d", code)
	}
	for _, want := range []string{"kubectl itil approve NAME", "Examples:", "--digest", "kubectl itil options"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out.String(), "--kubeconfig string") {
		t.Error("kubectl's flags are below each command")
	}
}

func TestMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		words     []string
	}{
		"a list by another name":   {[]string{"incident", "list"}, []string{"did you mean: kubectl itil incidents"}},
		"unknown command":          {[]string{"aprove"}, []string{`there is no command "aprove"`, "did you mean: kubectl itil approve"}},
		"unknown command below":    {[]string{"incident", "rsolve"}, []string{"did you mean: kubectl itil incident resolve"}},
		"nothing like it":          {[]string{"zzz"}, []string{"see kubectl itil --help"}},
		"unknown flag":             {[]string{"changes", "--nonsense"}, []string{"unknown flag: --nonsense", "see kubectl itil changes --help"}},
		"no name":                  {[]string{"approve"}, []string{"takes NAME (or NAMESPACE/NAME), and was given 0"}},
		"too many names":           {[]string{"services", "a", "b"}, []string{"at most NAME"}},
		"arguments where none are": {[]string{"changes", "a"}, []string{"takes no arguments"}},
		"a shell that is none":     {[]string{"completion", "tcsh"}, []string{`"tcsh" is none of`}},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := environment()
			if code := Run(t.Context(), env, test.arguments); code != exit.Usage {
				t.Errorf("code %d", code)
			}
			for _, word := range test.words {
				if !strings.Contains(errOut.String(), word) {
					t.Errorf("no %q in %q", word, errOut)
				}
			}
			if out.Len() > 0 {
				t.Errorf("a mistake was told on Out: %q", out)
			}
		})
	}
}

func TestWithoutACommandItHelps(t *testing.T) {
	for _, arguments := range [][]string{{}, {"change"}, {"incident"}} {
		env, out, _ := environment()
		if code := Run(t.Context(), env, arguments); code != exit.OK || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v: code %d, %q", arguments, code, out)
		}
	}
}

func TestClientVersion(t *testing.T) {
	env, out, _ := environment()
	if code := Run(t.Context(), env, []string{"version", "--client", "-o", "yaml"}); code != exit.OK || !strings.Contains(out.String(), "client: v1.2.3\n") {
		t.Errorf("code %d: %s", code, out)
	}
}
