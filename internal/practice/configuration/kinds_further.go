//go:build !fleetset

package configuration

// further kinds: none but those that Kubernetes has.
var further map[string]kind
