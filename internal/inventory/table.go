package inventory

import (
	"iter"
	"sync"
)

// table is a map that is read without a lock. Values are never altered: a new one takes the place of the old.
type table[K comparable, V any] struct{ entries sync.Map }

func (t *table[K, V]) get(key K) (V, bool) {
	v, ok := t.entries.Load(key)
	if !ok {
		var none V
		return none, false
	}
	value, ok := v.(V)
	return value, ok
}

// of is the value, or the zero value where there is none.
func (t *table[K, V]) of(key K) V {
	v, _ := t.get(key)
	return v
}

func (t *table[K, V]) put(key K, value V) { t.entries.Store(key, value) }

func (t *table[K, V]) remove(key K) { t.entries.Delete(key) }

func (t *table[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		t.entries.Range(func(k, v any) bool {
			key, isKey := k.(K)
			value, isValue := v.(V)
			return !isKey || !isValue || yield(key, value)
		})
	}
}

// set is a set of which writers alone know: it is under the inventory's lock.
type set[K comparable] map[K]struct{}

// groups are sets by a key, without empty ones.
type groups[G, K comparable] map[G]set[K]

func (g groups[G, K]) add(group G, member K) {
	if g[group] == nil {
		g[group] = set[K]{}
	}
	g[group][member] = struct{}{}
}

func (g groups[G, K]) remove(group G, member K) {
	delete(g[group], member)
	if len(g[group]) == 0 {
		delete(g, group)
	}
}
