// Package prose puts into words what messages of the practices are made of.
package prose

import (
	"strings"
	"unicode/utf8"
)

// List is "a, b and c", and "none" of nothing.
func List(items []string) string {
	switch len(items) {
	case 0:
		return "none"
	case 1:
		return items[0]
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}

// Brief cuts a text to so many bytes, at a character's end, and says so by "…". The limit is at least the length of that.
func Brief(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const more = "…"
	cut := limit - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}
