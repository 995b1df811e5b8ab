package inventory

import (
	"slices"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// selectorIndex finds, of many selectors, those that may match some labels, without looking at the others. Each
// selector lies in the bucket of one label that it requires: of those, the one that the fewest others lie in.
type selectorIndex[T comparable] struct {
	buckets table[bucket, []T]
	// unusual counts what lies in buckets of any value or of no label: mostly none, so that nobody need look there.
	unusual atomic.Int64
	// placed is for writers alone.
	placed map[T][]bucket
}

// bucket of selectors that require a label to have a value (or, with anyValue, to exist). Without a key: of those that
// require no label.
type bucket struct {
	namespace, key, value string
	anyValue              bool
}

func (b bucket) unusual() bool { return b.anyValue || b.key == "" }

// put puts an item into the index with its selector, in place of the one it had. A reader never misses an item whose
// old and new selectors both match.
func (x *selectorIndex[T]) put(namespace string, selector configuration.Selector, item T) {
	if !selector.Defined {
		x.remove(item)
		return
	}
	if x.placed == nil {
		x.placed = map[T][]bucket{}
	}
	old, next := x.placed[item], x.choose(namespace, selector)
	for _, b := range next {
		if !slices.Contains(old, b) {
			if b.unusual() {
				x.unusual.Add(1)
			}
			x.buckets.put(b, append(slices.Clone(x.buckets.of(b)), item))
		}
	}
	for _, b := range old {
		if !slices.Contains(next, b) {
			x.take(b, item)
		}
	}
	x.placed[item] = next
}

// choose returns the buckets whose number of items is the least; more than one only where one expression allows
// several values.
func (x *selectorIndex[T]) choose(namespace string, selector configuration.Selector) []bucket {
	var best []bucket
	least := 0
	consider := func(place ...bucket) {
		items := 0
		for _, b := range place {
			items += len(x.buckets.of(b)) + 1
		}
		if best == nil || items < least {
			best, least = place, items
		}
	}
	for k, v := range selector.MatchLabels {
		consider(bucket{namespace: namespace, key: k, value: v})
	}
	for _, e := range selector.Expressions {
		switch metav1.LabelSelectorOperator(e.Operator) {
		case metav1.LabelSelectorOpIn:
			place := make([]bucket, 0, len(e.Values))
			for _, v := range e.Values {
				b := bucket{namespace: namespace, key: e.Key, value: v}
				if !slices.Contains(place, b) {
					place = append(place, b)
				}
			}
			consider(place...)
		case metav1.LabelSelectorOpExists:
			consider(bucket{namespace: namespace, key: e.Key, anyValue: true})
		case metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpDoesNotExist:
		}
	}
	if best == nil {
		best = []bucket{{namespace: namespace}}
	}
	return best
}

func (x *selectorIndex[T]) remove(item T) {
	for _, b := range x.placed[item] {
		x.take(b, item)
	}
	delete(x.placed, item)
}

func (x *selectorIndex[T]) take(b bucket, item T) {
	if b.unusual() {
		defer x.unusual.Add(-1)
	}
	left := slices.DeleteFunc(slices.Clone(x.buckets.of(b)), func(other T) bool { return other == item })
	if len(left) == 0 {
		x.buckets.remove(b)
	} else {
		x.buckets.put(b, left)
	}
}

// candidates calls yield for each item whose selector may match the labels, once. It takes no lock.
func (x *selectorIndex[T]) candidates(namespace string, labels map[string]string, yield func(T)) {
	for k, v := range labels {
		for _, item := range x.buckets.of(bucket{namespace: namespace, key: k, value: v}) {
			yield(item)
		}
	}
	if x.unusual.Load() == 0 {
		return
	}
	for k := range labels {
		for _, item := range x.buckets.of(bucket{namespace: namespace, key: k, anyValue: true}) {
			yield(item)
		}
	}
	for _, item := range x.buckets.of(bucket{namespace: namespace}) {
		yield(item)
	}
}
