package apiserver

import "path/filepath"

// Option alters what Start starts.
type Option func(*options)

type options struct {
	// mutatingPolicies: MutatingAdmissionPolicy is served, as from Kubernetes 1.36.
	mutatingPolicies bool
	// policies: the manifests of config/policies, and of config/stamping or config/unstamped, are applied.
	policies bool
	// objects are folders of manifests to apply, in this order.
	objects []string
	// restarts: Suspend and Resume may be called.
	restarts bool
	// syncing: etcd syncs every write to the disk.
	syncing bool
	// quota of etcd's file, in bytes; 0 is etcd's own, of gigabytes.
	quota int64
}

// WithMutatingAdmissionPolicy says whether the API server serves and runs MutatingAdmissionPolicies; default true.
// Without them it is as Kubernetes 1.30 to 1.35 are by default.
func WithMutatingAdmissionPolicy(served bool) Option {
	return func(o *options) { o.mutatingPolicies = served }
}

// WithPolicies applies the admission policies of config/policies, with config/stamping or, where MutatingAdmissionPolicy is
// not served, config/unstamped, and waits until the API server follows them.
func WithPolicies() Option {
	return func(o *options) { o.policies = true }
}

// WithObjects applies every manifest in a folder, after the policies. A relative folder is one of the repository,
// for example "config/rbac".
func WithObjects(dir string) Option {
	return func(o *options) { o.objects = append(o.objects, dir) }
}

// WithRestarts lets Suspend and Resume be called.
func WithRestarts() Option {
	return func(o *options) { o.restarts = true }
}

// WithSyncingEtcd makes etcd sync every write to the disk, as it does in a cluster: for measurements. Tests do without,
// which is faster.
func WithSyncingEtcd() Option {
	return func(o *options) { o.syncing = true }
}

// WithEtcdQuota lets etcd refuse writes once its file has so many bytes: see Etcd.Fill.
func WithEtcdQuota(bytes int64) Option {
	return func(o *options) { o.quota = bytes }
}

func newOptions(list []Option) options {
	o := options{mutatingPolicies: true}
	for _, option := range list {
		option(&o)
	}
	return o
}

// inRepository is a path of the repository, or an absolute one as it is.
func inRepository(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}
