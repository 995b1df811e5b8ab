package prose_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/itil-dev/itil-operator/internal/practice/prose"
)

func TestList(t *testing.T) {
	for want, items := range map[string][]string{"none": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := prose.List(items); got != want {
			t.Errorf("%v: %q, want %q", items, got, want)
		}
	}
}

func TestBriefCutsAtACharactersEnd(t *testing.T) {
	text := strings.Repeat("é", 20)
	for limit := 3; limit <= len(text)+1; limit++ {
		got := prose.Brief(text, limit)
		if len(got) > limit || !utf8.ValidString(got) || (limit < len(text)) != strings.HasSuffix(got, "…") {
			t.Errorf("to %d bytes: %q", limit, got)
		}
	}
}
