// Package configuration knows what a workload is made of: its pod template, the template's identity (hash), the
// images in it, and the baselines of what was agreed to run. It is pure.
package configuration

// Template is a pod template and its identity.
type Template struct {
	// Hash identifies its meaning: "v1:" and a SHA-256 in hex.
	Hash string
	// ImagelessHash is the same with all container images left out: two templates that share it differ in
	// nothing but images.
	ImagelessHash string
	// Images by container name, init containers included.
	Images map[string]string
	// AlwaysPulled names the containers whose image is pulled again at every start and is not pinned by digest.
	AlwaysPulled []string
	// Labels of the template, those that controllers generate included.
	Labels map[string]string
	// RestartedAt is the value of the kubectl.kubernetes.io/restartedAt annotation.
	RestartedAt string
}

// Selector selects pods by their labels.
type Selector struct {
	// Defined is false where the object has no selector.
	Defined bool
	// MatchLabels and Expressions must all hold.
	MatchLabels map[string]string
	Expressions []Requirement
}

// Requirement relates the value of one label to a set of values.
type Requirement struct {
	Key string
	// Operator is In, NotIn, Exists or DoesNotExist; anything else matches nothing.
	Operator string
	Values   []string
}
