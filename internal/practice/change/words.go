package change

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/itil-dev/itil-operator/internal/practice/prose"
)

// plural is "1 vote" or "2 votes".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// capital begins a text with a capital letter, where that is wanted.
func capital(s string, wanted bool) string {
	first, size := utf8.DecodeRuneInString(s)
	if !wanted || size == 0 || first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

func list(items []string) string { return prose.List(items) }

func brief(s string, limit int) string { return prose.Brief(s, limit) }

// plain makes a text that someone typed fit for a message: one line, nothing that steers a terminal or turns the
// direction of writing, and no word by which a GitOps controller decides to delete and re-create.
func plain(s string) string {
	if isPlain(s) {
		return s
	}
	return withoutFold(printable(s), forbiddenWord, "fixed")
}

const forbiddenWord = "immutable"

// isPlain says of the texts that are common, those of printable ASCII, that nothing in them needs to be replaced.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			return false
		case c|0x20 != forbiddenWord[0] || len(s)-i < len(forbiddenWord):
		case strings.EqualFold(s[i:i+len(forbiddenWord)], forbiddenWord):
			return false
		}
	}
	return true
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			return -1
		}
		return r
	}, s)
}

// withoutFold replaces a word whatever its case.
func withoutFold(s, word, by string) string {
	for {
		lower := strings.ToLower(s)
		at := strings.Index(lower, word)
		if at < 0 {
			return s
		}
		if len(lower) != len(s) {
			// Some letter's lower case has another length, so that places differ: give up its case.
			s = lower
			continue
		}
		s = s[:at] + by + s[at+len(word):]
	}
}

// shortDigest is a digest or hash as people read it: its version and first 8 digits.
func shortDigest(digest string) string {
	version, hex, found := strings.Cut(digest, ":")
	const shown = 8
	if !found || len(hex) <= shown {
		return brief(plain(digest), 16)
	}
	return plain(version + ":" + hex[:shown])
}
