package configuration

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// canonical writes a decoded JSON value in one form: keys sorted by their bytes, no spaces, only the escapes
// that JSON demands, whole numbers without a fraction, and without what rules say is noise. It takes down the
// places of images, and a fingerprint of each leaf.
type canonical struct {
	buf    []byte
	images []span
	leaves []uint32
}

type span struct{ from, to int }

// value appends v and reports whether anything was appended: nulls, empty maps and lists and defaults are not.
func (c *canonical) value(v any, r *rule, path uint64) bool {
	switch v := v.(type) {
	case nil:
		return false
	case map[string]any:
		return c.object(v, r, path)
	case []any:
		return c.list(v, r, path)
	case string, bool, int, int32, int64, float64, json.Number:
		return c.scalar(v, r, path)
	default:
		return c.value(decoded(v), r, path)
	}
}

func (c *canonical) object(m map[string]any, r *rule, path uint64) bool {
	start, kept := len(c.buf), 0
	c.buf = append(c.buf, '{')
	for _, key := range sortedKeys(m) {
		child := r.field(key)
		if child != nil && child.drop || r != nil && r.dropGenerated && isGeneratedLabel(key) {
			continue
		}
		mark := len(c.buf)
		if kept > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(appendString(c.buf, key), ':')
		childPath := step(path, key)
		switch {
		case c.value(m[key], child, childPath):
			kept++
		case keepsEmpty(m[key], key, child):
			c.buf = append(c.buf, '{', '}')
			c.leaf(childPath, nil)
			kept++
		default:
			c.buf = c.buf[:mark]
		}
	}
	if kept == 0 {
		c.buf = c.buf[:start]
		return false
	}
	c.buf = append(c.buf, '}')
	return true
}

func keepsEmpty(v any, key string, r *rule) bool {
	_, isObject := v.(map[string]any)
	return isObject && (presenceMattersByNameV1[key] || r != nil && r.keepEmpty)
}

// list appends all elements, also the empty ones: leaving one out would move the others.
func (c *canonical) list(l []any, r *rule, path uint64) bool {
	if len(l) == 0 {
		return false
	}
	c.buf = append(c.buf, '[')
	for i, v := range l {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		itemPath := step(path, strconv.Itoa(i))
		if c.value(v, r.item(), itemPath) {
			continue
		}
		switch v.(type) {
		case map[string]any:
			c.buf = append(c.buf, '{', '}')
		case []any:
			c.buf = append(c.buf, '[', ']')
		default:
			c.buf = append(c.buf, "null"...)
		}
		c.leaf(itemPath, nil)
	}
	c.buf = append(c.buf, ']')
	return true
}

func (c *canonical) scalar(v any, r *rule, path uint64) bool {
	start := len(c.buf)
	c.buf = appendScalar(c.buf, v)
	if r != nil {
		if r.defaultValue != "" && string(c.buf[start:]) == r.defaultValue {
			c.buf = c.buf[:start]
			return false
		}
		if r.image {
			c.images = append(c.images, span{start, len(c.buf)})
		}
	}
	c.leaf(path, c.buf[start:])
	return true
}

// leaf takes down 32 bits of what is at a path.
func (c *canonical) leaf(path uint64, value []byte) {
	h := stepByte(path, 0)
	for _, b := range value {
		h = stepByte(h, b)
	}
	c.leaves = append(c.leaves, uint32(h^h>>32)) //nolint:gosec // folding 64 bits into 32 is the purpose
}

// fingerprint is the sorted leaves, 4 bytes each.
func (c *canonical) fingerprint() string {
	slices.Sort(c.leaves)
	out := make([]byte, 0, 4*len(c.leaves))
	for _, l := range c.leaves {
		out = binary.BigEndian.AppendUint32(out, l)
	}
	return string(out)
}

// FNV-1a over the steps of a path. It finds differences; nothing rests on its being hard to collide with.
const (
	pathRoot  uint64 = 14695981039346656037
	pathPrime uint64 = 1099511628211
)

func stepByte(h uint64, b byte) uint64 { return (h ^ uint64(b)) * pathPrime }

func step(h uint64, key string) uint64 {
	h = stepByte(h, '/')
	for i := range len(key) {
		h = stepByte(h, key[i])
	}
	return h
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func appendScalar(buf []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(buf, v)
	case bool:
		return strconv.AppendBool(buf, v)
	case int:
		return strconv.AppendInt(buf, int64(v), 10)
	case int32:
		return strconv.AppendInt(buf, int64(v), 10)
	case int64:
		return strconv.AppendInt(buf, v, 10)
	case float64:
		return appendFloat(buf, v)
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return strconv.AppendInt(buf, i, 10)
		}
		if f, err := v.Float64(); err == nil {
			return appendFloat(buf, f)
		}
		return appendString(buf, v.String())
	default:
		return append(buf, "null"...)
	}
}

// appendFloat writes a whole number like an integer, since some decoders make floats of all numbers.
func appendFloat(buf []byte, f float64) []byte {
	const exact = 1 << 53
	if f == math.Trunc(f) && math.Abs(f) < exact {
		return strconv.AppendInt(buf, int64(f), 10)
	}
	return strconv.AppendFloat(buf, f, 'g', -1, 64)
}

func appendString(buf []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	buf = append(buf, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			buf = append(buf, '\\', b)
		case b < ' ':
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
		default:
			buf = append(buf, b)
		}
	}
	return append(buf, '"')
}

// decoded makes a value of another Go type what a JSON decoder would have made of it. What cannot be JSON
// becomes a text that says so, and never panics.
func decoded(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("not JSON: %T", v)
	}
	out, err := decodeJSON(data)
	if err != nil {
		return fmt.Sprintf("not JSON: %T", v)
	}
	return out
}
