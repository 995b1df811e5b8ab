// Package golden compares what is shown to people with files that a reviewer reads: go test -run NAME -update writes
// them anew.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// Compare compares a text with testdata/<name of the test>.txt of the package under test.
func Compare(t *testing.T, got string) {
	t.Helper()
	name := strings.NewReplacer("/", "-", " ", "_", ",", "").Replace(t.Name()) + ".txt"
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path) //nolint:gosec // a file of the test that runs
	if err != nil {
		t.Fatalf("%v: run the test with -update, and read what it wrote", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("what is shown differs from %s (-want +got):\n%s", path, diff)
	}
}
