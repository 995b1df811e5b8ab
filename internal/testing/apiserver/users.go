package apiserver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Admin is a client of a member of system:masters, for whom RBAC allows everything. Admission policies apply to
// it as to anybody.
func (e *Env) Admin() client.WithWatch { return e.admin }

// AdminConfig is how Admin connects, as a copy.
func (e *Env) AdminConfig() *rest.Config { return rest.CopyConfig(e.environment.Config) }

// Scheme has every type that this repository uses.
func (e *Env) Scheme() *runtime.Scheme { return e.scheme }

// Client is a client of a user whom the API server authenticates by a certificate: the name and the groups are
// real, nothing is impersonated. The API server adds system:authenticated. A ServiceAccount is a user like any
// other: system:serviceaccount:<namespace>:<name>, with its groups given.
func (e *Env) Client(t testing.TB, user string, groups ...string) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(e.Config(t, user, groups...), client.Options{Scheme: e.scheme})
	if err != nil {
		t.Fatalf("making a client for user %s: %v", user, err)
	}
	return c
}

// Config is how Client connects, as a copy: for managers, caches and clients of another kind.
func (e *Env) Config(t testing.TB, user string, groups ...string) *rest.Config {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	key := user + "\x00" + strings.Join(groups, "\x00")
	if config, known := e.users[key]; known {
		return rest.CopyConfig(config)
	}
	base := &rest.Config{QPS: -1, WarningHandlerWithContext: rest.NoWarnings{}}
	added, err := e.environment.AddUser(envtest.User{Name: user, Groups: groups}, base)
	if err != nil {
		t.Fatalf("adding user %s: %v", user, err)
	}
	e.users[key] = added.Config()
	return rest.CopyConfig(e.users[key])
}

// Kubeconfig is a kubeconfig of a user, for kubectl.
func (e *Env) Kubeconfig(t testing.TB, user string, groups ...string) []byte {
	t.Helper()
	added, err := e.environment.AddUser(envtest.User{Name: user, Groups: groups}, &rest.Config{})
	if err != nil {
		t.Fatalf("adding user %s: %v", user, err)
	}
	kubeconfig, err := added.KubeConfig()
	if err != nil {
		t.Fatalf("writing a kubeconfig for user %s: %v", user, err)
	}
	return kubeconfig
}

// Namespace makes a namespace with a name of its own and these labels, and returns its name. It stays until the
// server stops: without a namespace controller a deleted one would stay as well, terminating.
func (e *Env) Namespace(t testing.TB, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	if err := e.admin.Create(t.Context(), namespace); err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	return namespace.Name
}

// User is a subject of Grant and Bind.
func User(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

// Group is a subject of Grant and Bind.
func Group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

// Allow is a rule for Grant: verbs on a resource ("changes", "changes/status", "*") of an API group.
func Allow(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// Grant allows a subject something in a namespace (in all and at cluster scope where it is empty), and returns
// when the API server knows.
func (e *Env) Grant(t testing.TB, namespace string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	var role client.Object
	if namespace == "" {
		role = &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Rules: rules}
	} else {
		role = &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace}, Rules: rules}
	}
	if err := e.admin.Create(t.Context(), role); err != nil {
		t.Fatalf("creating a role: %v", err)
	}
	kind := "Role"
	if namespace == "" {
		kind = "ClusterRole"
	}
	e.bind(t, namespace, subject, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role.GetName()})
	for _, rule := range rules {
		e.awaitRule(t, namespace, subject, rule)
	}
}

// Bind gives a subject a ClusterRole in a namespace (in all and at cluster scope where it is empty), and returns
// when the API server knows.
func (e *Env) Bind(t testing.TB, namespace string, subject rbacv1.Subject, clusterRole string) {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := e.admin.Get(t.Context(), client.ObjectKey{Name: clusterRole}, role); err != nil {
		t.Fatalf("reading ClusterRole %s: %v", clusterRole, err)
	}
	e.bind(t, namespace, subject, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole})
	for _, rule := range role.Rules {
		e.awaitRule(t, namespace, subject, rule)
	}
}

func (e *Env) bind(t testing.TB, namespace string, subject rbacv1.Subject, role rbacv1.RoleRef) {
	t.Helper()
	subjects := []rbacv1.Subject{subject}
	var binding client.Object
	if namespace == "" {
		binding = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Subjects: subjects, RoleRef: role}
	} else {
		binding = &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace}, Subjects: subjects, RoleRef: role}
	}
	if err := e.admin.Create(t.Context(), binding); err != nil {
		t.Fatalf("binding %s %s to %s %s: %v", role.Kind, role.Name, subject.Kind, subject.Name, err)
	}
}

// awaitRule waits until the authorizer, which reads RBAC through informers of its own, allows what a rule says.
func (e *Env) awaitRule(t testing.TB, namespace string, subject rbacv1.Subject, rule rbacv1.PolicyRule) {
	t.Helper()
	if len(rule.Resources) == 0 || len(rule.APIGroups) == 0 || len(rule.Verbs) == 0 {
		return
	}
	resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
	attributes := &authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: subresource,
	}
	if len(rule.ResourceNames) > 0 {
		attributes.Name = rule.ResourceNames[0]
	}
	spec := authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes}
	if subject.Kind == rbacv1.GroupKind {
		spec.User, spec.Groups = "somebody", []string{subject.Name}
	} else {
		spec.User = subject.Name
	}
	if err := eventually(t.Context(), func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: spec}
		err := e.admin.Create(ctx, review)
		return review.Status.Allowed, err
	}); err != nil {
		t.Fatalf("waiting until %s %s may %v %v: %v", subject.Kind, subject.Name, rule.Verbs, rule.Resources, err)
	}
}

// eventually asks until the answer is yes. The server tells nobody when its informers have seen an object.
func eventually(ctx context.Context, ask func(context.Context) (bool, error)) error {
	const period, limit = 20 * time.Millisecond, 30 * time.Second
	//nolint:forbidigo // there is no event to wait for: the state is in the API server's memory
	err := wait.PollUntilContextTimeout(ctx, period, limit, true, ask)
	if err != nil {
		return fmt.Errorf("not within %s: %w", limit, err)
	}
	return nil
}
