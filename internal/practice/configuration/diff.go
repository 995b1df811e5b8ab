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
	// MoreDiff is the path of the last difference where it counts those that there is no room for.
	MoreDiff = "…"
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
	paths = slices.DeleteFunc(paths, func(path string) bool {
		old, had := before[path]
		current, has := after[path]
		return had && has && old.text == current.text
	})
	slices.Sort(paths)
	more := len(paths) - MaxDiff
	if more > 0 {
		paths = fairly(paths, MaxDiff-1)
	}
	diffs := make([]v1alpha1.FieldDiff, 0, len(paths)+1)
	for _, path := range paths {
		old, had := before[path]
		current, has := after[path]
		diffs = append(diffs, v1alpha1.FieldDiff{
			Path: printable(path, maxDiffPath), From: old.shown(had), To: current.shown(has),
		})
	}
	if more > 0 {
		diffs = append(diffs, v1alpha1.FieldDiff{Path: MoreDiff, To: strconv.Itoa(more+1) + " more differences"})
	}
	if len(diffs) == 0 {
		return nil
	}
	return diffs
}

// fairly picks of sorted paths from each part of a template in turn, from its spec first: fifty labels hide no other field.
func fairly(paths []string, room int) []string {
	parts, names := map[string][]string{}, []string(nil)
	for _, path := range paths {
		name := partOf(path)
		if parts[name] == nil {
			names = append(names, name)
		}
		parts[name] = append(parts[name], path)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		inSpec := func(name string) int {
			if strings.HasPrefix(name, "spec.") {
				return 0
			}
			return 1
		}
		return inSpec(a) - inSpec(b)
	})
	picked := make([]string, 0, room)
	for n := 0; len(picked) < min(room, len(paths)); n++ {
		for _, name := range names {
			if n < len(parts[name]) && len(picked) < room {
				picked = append(picked, parts[name][n])
			}
		}
	}
	slices.Sort(picked)
	return picked
}

// partOf is the field that a path is in: of a container that field of its own, such as spec.containers[app].env.
func partOf(path string) string {
	segments := strings.SplitN(path, ".", 4)
	depth := 2
	if len(segments) > depth && strings.Contains(segments[1], "ontainers[") {
		depth = 3
	}
	part := strings.Join(segments[:min(len(segments), depth)], ".")
	if depth == 2 {
		part, _, _ = strings.Cut(part, "[")
		return part
	}
	at := strings.LastIndexByte(part, '.')
	field, _, _ := strings.Cut(part[at:], "[")
	return part[:at] + field
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
