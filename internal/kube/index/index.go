// Package index says by which fields a cache finds objects, so that an event costs what it is about and not all that
// there is.
package index

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Field of a kind by which its objects are found.
type Field struct {
	kind   client.Object
	name   string
	values client.IndexerFunc
}

// By is the field of this name, which need not be one of the API, with the values that an object has in it. Within a kind
// names must differ, also between packages.
func By[T any, P interface {
	*T
	client.Object
}](name string, values func(P) []string) Field {
	return Field{kind: P(new(T)), name: name, values: func(o client.Object) []string {
		if object, is := o.(P); is {
			return values(object)
		}
		return nil
	}}
}

// Add has a cache find objects by these fields.
func Add(ctx context.Context, indexer client.FieldIndexer, fields ...Field) error {
	for _, f := range fields {
		if err := indexer.IndexField(ctx, f.kind, f.name, f.values); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", f.kind, f.name, err)
		}
	}
	return nil
}

// Value is a single one, or none where it is empty.
func Value[S ~string](s S) []string {
	if s == "" {
		return nil
	}
	return []string{string(s)}
}

// Key is namespace/name, or none where there is no name.
func Key(name types.NamespacedName) []string {
	if name.Name == "" {
		return nil
	}
	return []string{name.String()}
}

// Keys are those of several objects.
func Keys(names []types.NamespacedName) []string {
	var out []string
	for _, name := range names {
		out = append(out, Key(name)...)
	}
	return out
}

// Names are those that references name; of nil there is none.
func Names(refs ...*v1alpha1.LocalReference) []string {
	var out []string
	for _, ref := range refs {
		if ref != nil {
			out = append(out, Value(ref.Name)...)
		}
	}
	return out
}

// NamesIn are those that a list of references names.
func NamesIn(refs []v1alpha1.LocalReference) []string {
	var out []string
	for i := range refs {
		out = append(out, Value(refs[i].Name)...)
	}
	return out
}
