// Package fakeclient lets controller-runtime's fake client stand in for a cache.
package fakeclient

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// Indexer has a fake client find objects by the fields that a controller asks its manager's cache for.
type Indexer struct{ *fake.ClientBuilder }

// IndexField implements client.FieldIndexer.
func (i Indexer) IndexField(_ context.Context, kind client.Object, field string, values client.IndexerFunc) error {
	i.WithIndex(kind, field, values)
	return nil
}
