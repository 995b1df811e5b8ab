package configuration

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// MaxDiff is how many differences Diff names at most.
	MaxDiff = 30
	// maxDiffPath leaves room in a FieldDiff for the workload that a caller puts before the path.
	maxDiffPath  = 400
	maxDiffValue = 256
	// maxDepth is as deep as differences are told apart; pod templates are less than half as deep.
	maxDepth = 40
	hidden   = "(hidden)"
)

// Diff names what differs in meaning between two raw templates (RawTemplate), ordered by path; at most MaxDiff,
// the last of which then counts the rest. Values of environment variables, arguments, commands and HTTP headers
// are hidden, since they may be secrets. Defaults, nulls and what controllers generate are no differences.
// Elements of a list are told apart by their names where all have one, else by their places.
func Diff(from, to map[string]any) []v1alpha1.FieldDiff {
	before, after := flatten(from), flatten(to)
	paths := make([]string, 0, len(before)+len(after))
	for path := range before {
		paths = append(paths, path)
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)

	var diffs []v1alpha1.FieldDiff
	more := 0
	for _, path := range paths {
		old, had := before[path]
		current, has := after[path]
		if had && has && old.text == current.text {
			continue
		}
		if len(diffs) == MaxDiff {
			more++
			continue
		}
		diffs = append(diffs, v1alpha1.FieldDiff{
			Path: printable(path, maxDiffPath), From: old.shown(had), To: current.shown(has),
		})
	}
	if more > 0 {
		diffs[MaxDiff-1] = v1alpha1.FieldDiff{Path: "…", To: strconv.Itoa(more+1) + " more differences"}
	}
	return diffs
}

type leaf struct {
	text   string
	secret bool
}

func (l leaf) shown(present bool) string {
	switch {
	case !present:
		return ""
	case l.secret:
		return hidden
	default:
		return printable(l.text, maxDiffValue)
	}
}

// flattening takes down the leaves of a template by path.
type flattening map[string]leaf

// place is where in a template a value is, and what holds there.
type place struct {
	path   string
	rule   *rule
	secret bool
	depth  int
}

func flatten(raw map[string]any) map[string]leaf {
	f := flattening{}
	f.value(raw, place{rule: templateRulesV1})
	// Annotations are hashed apart, and so are not under the rules.
	for key, value := range mapAt(raw, "metadata", "annotations") {
		f.value(value, place{path: "metadata.annotations[" + key + "]"})
	}
	return f
}

func (f flattening) value(v any, at place) {
	if at.depth > maxDepth {
		f.leaf(v, at)
		return
	}
	switch v := v.(type) {
	case nil:
	case map[string]any:
		f.object(v, at)
	case []any:
		f.list(v, at)
	default:
		f.leaf(v, at)
	}
}

func (f flattening) leaf(v any, at place) {
	c := canonical{}
	if !c.value(v, at.rule, pathRoot) {
		return
	}
	text := string(c.buf)
	if s, ok := v.(string); ok {
		text = s
	}
	f[at.path] = leaf{text: text, secret: at.secret}
}

func (f flattening) object(m map[string]any, at place) {
	for key, value := range m {
		child := at.rule.field(key)
		if child != nil && child.drop || at.rule != nil && at.rule.dropGenerated && isGeneratedLabel(key) {
			continue
		}
		path := key
		switch {
		case at.path != "" && strings.ContainsAny(key, "./[]"):
			path = at.path + "[" + key + "]"
		case at.path != "":
			path = at.path + "." + key
		}
		inner := place{path: path, rule: child, secret: at.secret || isSecret(key, at.path), depth: at.depth + 1}
		switch {
		case !isEmpty(value, child):
			f.value(value, inner)
		case keepsEmpty(value, key, child):
			f[path] = leaf{text: "{}", secret: inner.secret}
		}
	}
}

// list takes down elements also where they are empty or null: they have a place.
func (f flattening) list(items []any, at place) {
	named := allNamed(items)
	for i, item := range items {
		name := strconv.Itoa(i)
		if named {
			name = itemName(item)
		}
		inner := place{path: at.path + "[" + name + "]", rule: at.rule.item(), secret: at.secret, depth: at.depth + 1}
		switch {
		case !isEmpty(item, inner.rule):
			f.value(item, inner)
		case item == nil:
			f[inner.path] = leaf{text: "null", secret: at.secret}
		default:
			f[inner.path] = leaf{text: "{}", secret: at.secret}
		}
	}
}

func isEmpty(v any, r *rule) bool {
	c := canonical{}
	return !c.value(v, r, pathRoot)
}

// isSecret reports whether all below a field is hidden.
func isSecret(key, path string) bool {
	switch key {
	case "args", "command":
		return true
	case "value":
		list := path[strings.LastIndexByte(path, '.')+1:]
		return strings.HasPrefix(list, "env[") || strings.Contains(path, ".env[") || strings.HasPrefix(list, "httpHeaders[")
	default:
		return false
	}
}

// allNamed reports whether the elements of a list can be told apart by their names.
func allNamed(items []any) bool {
	seen := make(map[string]bool, len(items))
	for _, item := range items {
		name := itemName(item)
		if name == "" || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

func itemName(item any) string {
	m, _ := item.(map[string]any)
	return stringAt(m, "name")
}

// printable is the text without what could disturb a terminal or a log, and at most limit bytes of it.
func printable(s string, limit int) string {
	return truncate(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s), limit)
}

// truncate cuts between runes and says that it did.
func truncate(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
