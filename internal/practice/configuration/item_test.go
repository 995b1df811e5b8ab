package configuration_test

import (
	"strings"
	"testing"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestItemName(t *testing.T) {
	if got := configuration.ItemName("Deployment", "checkout"); got != "deployment-checkout" {
		t.Errorf("the item is named %s", got)
	}
	if got := configuration.ItemName("Job", strings.Repeat("a", 249)); len(got) != 253 {
		t.Errorf("a name that just fits was altered to %d characters", len(got))
	}
	seen := map[string]bool{}
	for _, end := range []string{"1", "2"} {
		got := configuration.ItemName("StatefulSet", strings.Repeat("a.", 126)+end)
		if len(got) > 253 || seen[got] || strings.Contains(got, ".-") {
			t.Errorf("a long name became %d characters: %s", len(got), got)
		}
		seen[got] = true
	}
}
