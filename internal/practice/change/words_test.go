package change

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// What is passed through as it is would come out of the slow way as it is.
func TestPlainTextIsLeftAlone(t *testing.T) {
	pieces := []string{"immutable", "ImMuTaBle", "immutabl", "i", "I", " ", "~", "\x7f", "\n", "\u202e", "é", "\u0130mmutable", "x=y", "mmutable field", "\xff"}
	random := rand.New(rand.NewPCG(1, 0))
	altered := 0
	for range 20_000 {
		var s strings.Builder
		for range random.IntN(5) {
			s.WriteString(pieces[random.IntN(len(pieces))])
		}
		got, want := plain(s.String()), withoutFold(printable(s.String()), forbiddenWord, "fixed")
		if got != want {
			t.Fatalf("%q became %q, not %q", s.String(), got, want)
		}
		if got != s.String() {
			altered++
		}
	}
	if altered < 1000 || altered > 19_000 {
		t.Errorf("%d of 20000 texts were altered", altered)
	}
}
