package configuration

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// ItemName is the name of a workload's ConfigurationItem, in the workload's namespace: the kind in lower case and the
// name of the workload. One that would be too long for an object ends in a hash instead.
func ItemName(kindName, name string) string {
	const (
		maxName    = 253
		hashDigits = 10
	)
	item := strings.ToLower(kindName) + "-" + name
	if len(item) <= maxName {
		return item
	}
	sum := sha256.Sum256([]byte(item))
	return strings.TrimRight(item[:maxName-hashDigits-1], "-.") + "-" + hex.EncodeToString(sum[:])[:hashDigits]
}
