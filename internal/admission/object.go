package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// object is what the gate reads of a workload: the decoded JSON, and what practice makes of it.
type object struct {
	// raw has apiVersion, kind, metadata (without managedFields) and spec.
	raw map[string]any
	configuration.Workload
}

// readObject decodes what the gate needs. What an object has beside it, status and managedFields above all, is often
// the larger part and stays unread. The name is taken from the request where the object has none yet (generateName).
func readObject(data []byte, kind kind, name, namespace string) (*object, error) {
	fields, err := membersOf(data)
	if err != nil {
		return nil, err
	}
	metadata, err := membersOf(fields["metadata"])
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	delete(metadata, "managedFields")
	meta := make(map[string]any, len(metadata))
	for key, value := range metadata {
		if meta[key], err = decode(value); err != nil {
			return nil, fmt.Errorf("metadata.%s: %w", key, err)
		}
	}
	if s, _ := meta["name"].(string); s == "" {
		prefix, _ := meta["generateName"].(string)
		meta["name"] = firstNonEmpty(name, prefix, "(unnamed)")
	}
	if s, _ := meta["namespace"].(string); s == "" {
		meta["namespace"] = namespace
	}
	raw := map[string]any{"apiVersion": kind.apiVersion(), "kind": kind.Kind, "metadata": meta}
	if spec, ok := fields["spec"]; ok {
		if raw["spec"], err = decode(spec); err != nil {
			return nil, fmt.Errorf("spec: %w", err)
		}
	}
	workload, err := configuration.FromObject(raw)
	if err != nil {
		return nil, err
	}
	return &object{raw: raw, Workload: workload}, nil
}

// owned reports whether a controller made it, as it says.
func (o *object) owned() bool { return o.Owner != nil }

// owners are its ownerReferences as JSON; the order counts, as it does for the API server's match conditions.
func (o *object) owners() []byte {
	metadata, _ := o.raw["metadata"].(map[string]any)
	list, _ := metadata["ownerReferences"].([]any)
	if len(list) == 0 {
		return nil
	}
	encoded, err := json.Marshal(list)
	if err != nil {
		return nil // it was decoded from JSON
	}
	return encoded
}

// membersOf a JSON object, undecoded; none of what is not there.
func membersOf(data []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if len(data) == 0 {
		return members, nil
	}
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, errNoObject
	}
	return members, nil
}

var errNoObject = errors.New("not a JSON object")

// decode keeps numbers as they are written: a hash must not depend on how a float64 rounds.
func decode(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("cannot be decoded: %w", err)
	}
	return value, nil
}

func firstNonEmpty(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
