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
	hidden       = "(hidden)"
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

func flatten(raw map[string]any) map[string]leaf {
	out := map[string]leaf{}
	flattenValue(out, raw, templateRulesV1, "", false)
	// Annotations are hashed apart, and so are not under the rules.
	for key, value := range mapAt(raw, "metadata", "annotations") {
		flattenValue(out, value, nil, "metadata.annotations["+key+"]", false)
	}
	return out
}

func flattenValue(out map[string]leaf, v any, r *rule, path string, secret bool) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		flattenObject(out, v, r, path, secret)
	case []any:
		named := allNamed(v)
		for i, item := range v {
			at := path + "[" + strconv.Itoa(i) + "]"
			if named {
				at = path + "[" + itemName(item) + "]"
			}
			flattenItem(out, item, r.item(), at, secret)
		}
	default:
		c := canonical{}
		if !c.value(v, r, pathRoot) {
			return
		}
		text := string(c.buf)
		if s, ok := v.(string); ok {
			text = s
		}
		out[path] = leaf{text: text, secret: secret}
	}
}

func flattenObject(out map[string]leaf, m map[string]any, r *rule, path string, secret bool) {
	for key, value := range m {
		child := r.field(key)
		if child != nil && child.drop || r != nil && r.dropGenerated && isGeneratedLabel(key) {
			continue
		}
		at := key
		switch {
		case path != "" && strings.ContainsAny(key, "./[]"):
			at = path + "[" + key + "]"
		case path != "":
			at = path + "." + key
		}
		if isEmpty(value, child) {
			if keepsEmpty(value, key, child) {
				out[at] = leaf{text: "{}", secret: secret}
			}
			continue
		}
		flattenValue(out, value, child, at, secret || isSecret(key, path))
	}
}

// flattenItem takes down an element of a list also where it is empty or null: it has a place.
func flattenItem(out map[string]leaf, item any, r *rule, at string, secret bool) {
	if !isEmpty(item, r) {
		flattenValue(out, item, r, at, secret)
		return
	}
	text := "{}"
	if item == nil {
		text = "null"
	}
	out[at] = leaf{text: text, secret: secret}
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
