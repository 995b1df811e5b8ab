package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
)

func TestParseOptions(t *testing.T) {
	cases := map[string]struct {
		args     []string
		mistakes []string
	}{
		"defaults":           {args: []string{"--namespace=itil-system"}},
		"no namespace":       {mistakes: []string{"--namespace is needed"}},
		"unknown flag":       {args: []string{"--nonsense"}, mistakes: []string{"nonsense", "see --help"}},
		"all mistakes":       {args: []string{"--certificates=x", "--detect=y", "--concurrency=0", "--webhook-bind-address=z", "--gitops-managers=a\nb"}, mistakes: []string{"--namespace", `"x"`, `"y"`, "=0", `"z"`, `"a\nb"`}},
		"port out of bounds": {args: []string{"--namespace=a", "--webhook-bind-address=:99999"}, mistakes: []string{"99999"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("POD_NAMESPACE", "")
			_, err := parseOptions(c.args)
			if (err != nil) != (len(c.mistakes) > 0) {
				t.Fatalf("error %v, want %q", err, c.mistakes)
			}
			for _, m := range c.mistakes {
				if !strings.Contains(err.Error(), m) {
					t.Errorf("error %q does not mention %q", err, m)
				}
			}
		})
	}
}

func TestManagersThatReconcile(t *testing.T) {
	for arg, want := range map[string]fieldmanager.Reconciling{
		"--concurrency=4":                  fieldmanager.Known(),
		"--gitops-managers=":               {},
		"--gitops-managers=our-deployer,x": {"our-deployer", "x"},
	} {
		o, err := parseOptions([]string{"--namespace=itil-system", arg})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, o.Managers); diff != "" {
			t.Errorf("%s (-want +got):\n%s", arg, diff)
		}
	}
}

func TestCertificateNames(t *testing.T) {
	names := certificateNames("itil-system", "127.0.0.1, dev.example,")
	want := []string{"itil-operator-webhook.itil-system.svc", "itil-operator-webhook.itil-system.svc.cluster.local",
		"itil-operator-metrics.itil-system.svc", "itil-operator-metrics.itil-system.svc.cluster.local",
		"itil-operator-alerts.itil-system.svc", "itil-operator-alerts.itil-system.svc.cluster.local", "dev.example"}
	if diff := cmp.Diff(want, names.DNS); diff != "" {
		t.Errorf("DNS names (-want +got):\n%s", diff)
	}
	if len(names.IPs) != 1 || names.IPs[0].String() != "127.0.0.1" {
		t.Errorf("IP addresses %v, want 127.0.0.1", names.IPs)
	}
}
