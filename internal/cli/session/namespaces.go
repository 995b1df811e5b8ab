package session

import "github.com/spf13/pflag"

// Namespaces is the flag -A of a command that lists records: whether it looks in the session's namespace or in all.
type Namespaces struct{ All bool }

// AddTo adds the flag to those of a command that lists what plural names.
func (n *Namespaces) AddTo(flags *pflag.FlagSet, plural string) {
	flags.BoolVarP(&n.All, "all-namespaces", "A", false, "Show "+plural+" of all namespaces.")
}

// Of is the namespace to look in; empty: in all.
func (n *Namespaces) Of(s *Session) string {
	if n.All {
		return ""
	}
	return s.Namespace
}

// In says where is looked, for what is not found there.
func In(namespace string) string {
	if namespace == "" {
		return "in any namespace"
	}
	return "in namespace " + namespace
}
