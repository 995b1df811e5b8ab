package configuration

import (
	"encoding/json"
	"math"
	"time"
)

// Reading of decoded JSON that may be anything: what is not there or of another type is the zero value.

func mapAt(obj map[string]any, path ...string) map[string]any {
	for _, key := range path {
		next, ok := obj[key].(map[string]any)
		if !ok {
			return nil
		}
		obj = next
	}
	return obj
}

func stringMap(obj map[string]any, path ...string) map[string]string {
	m := mapAt(obj, path...)
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

func stringAt(obj map[string]any, key string) string {
	s, _ := obj[key].(string)
	return s
}

func boolAt(obj map[string]any, key string) bool {
	b, _ := obj[key].(bool)
	return b
}

func listAt(obj map[string]any, key string) []any {
	l, _ := obj[key].([]any)
	return l
}

// intAt returns the whole number at key and whether there is one.
func intAt(obj map[string]any, key string) (int64, bool) {
	switch v := obj[key].(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case int32:
		return int64(v), true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, true
		}
	}
	return 0, false
}

// countAt returns a count of pods, or the default: not negative, and within an int32.
func countAt(obj map[string]any, key string, def int32) int32 {
	v, ok := intAt(obj, key)
	if !ok {
		return def
	}
	return int32(min(max(v, 0), math.MaxInt32))
}

func timeAt(obj map[string]any, key string) time.Time {
	t, err := time.Parse(time.RFC3339, stringAt(obj, key))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
