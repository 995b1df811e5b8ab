package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const admin = "admin"

// people are the users of the cluster, and their groups.
var people = map[string][]string{
	"alice": {"developers"}, // edits
	"carol": {"sre-leads"},  // approves
	"dave":  {"sre-leads"},  // approves
	"erin":  {"on-call"},    // edits, and may break the glass
	"pat":   {"platform"},   // has the verb retire
}

// environment is the cluster, and the ways to it.
type environment struct {
	root, dir string
	local     string // the program hack/local
	admin     client.WithWatch
	configs   map[string]*rest.Config
}

// start builds hack/local and starts a cluster with it, which is stopped when the suite ends.
func start(ctx context.Context) *environment {
	log.SetLogger(logr.Discard()) // or the library complains that there is none
	root, err := apiserver.Root()
	Expect(err).NotTo(HaveOccurred())
	dir, err := os.MkdirTemp("", "itil-e2e-")
	Expect(err).NotTo(HaveOccurred())
	e := &environment{root: root, dir: dir, local: filepath.Join(dir, "local"), configs: map[string]*rest.Config{}}
	DeferCleanup(func(ctx SpecContext) { e.stop(ctx) }, NodeTimeout(6*time.Minute))

	out, err := e.command(ctx, "go", "build", "-buildvcs=false", "-o", e.local, "./hack/local").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	up := e.command(ctx, e.local, "up")
	up.Stdout, up.Stderr = GinkgoWriter, GinkgoWriter
	Expect(up.Run()).To(Succeed(), "hack/local up")

	e.configs[admin] = e.load(e.kubeconfig(admin))
	e.admin, err = client.NewWithWatch(e.configs[admin], client.Options{Scheme: scheme.New()})
	Expect(err).NotTo(HaveOccurred())
	for name, groups := range people {
		_, err := e.run(ctx, append([]string{"user", name}, groups...)...)
		Expect(err).NotTo(HaveOccurred())
		e.configs[name] = e.load(e.kubeconfig(name))
	}
	return e
}

// stop ends the cluster and sees to it that nothing of it is left. After a failure its logs are kept.
func (e *environment) stop(ctx context.Context) {
	if CurrentSpecReport().Failed() || len(failures) > 0 {
		if kept, err := os.MkdirTemp("", "itil-e2e-logs-"); err == nil {
			err = os.CopyFS(kept, os.DirFS(filepath.Join(e.dir, "logs")))
			GinkgoLogr.Info("The cluster's logs were kept", "folder", kept, "error", err)
		}
	}
	out, err := e.run(ctx, "down")
	Expect(err).NotTo(HaveOccurred(), out)
	processes, err := exec.CommandContext(ctx, "ps", "-eo", "args").Output()
	if err == nil { // where there is no ps, down itself has said what it could not stop
		Expect(string(processes)).NotTo(ContainSubstring(e.dir+"/"), "a process of the cluster is left")
	}
	Expect(os.RemoveAll(e.dir)).To(Succeed())
}

// failures are the specs that failed.
var failures []string

var _ = ReportAfterEach(func(report SpecReport) {
	if report.Failed() {
		failures = append(failures, report.FullText())
	}
})

func (e *environment) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = e.root
	command.Env = append(os.Environ(), "ITIL_LOCAL_DIR="+e.dir, "KUBECONFIG="+e.kubeconfig(admin))
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 20 * time.Second
	return command
}

// run runs hack/local.
func (e *environment) run(ctx context.Context, args ...string) (string, error) {
	out, err := e.command(ctx, e.local, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("hack/local %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func (e *environment) kubeconfig(user string) string {
	if user == admin {
		return filepath.Join(e.dir, "kubeconfig")
	}
	return filepath.Join(e.dir, "users", user+".kubeconfig")
}

func (e *environment) load(path string) *rest.Config {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	Expect(err).NotTo(HaveOccurred())
	config.QPS = -1
	config.WarningHandlerWithContext = rest.NoWarnings{}
	return config
}

// as is a client of a user.
func (e *environment) as(user string) client.Client {
	c, err := client.New(e.configs[user], client.Options{Scheme: e.admin.Scheme(), Mapper: e.admin.RESTMapper()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// errKubectl is a kubectl that did not exit with 0.
var errKubectl = errors.New("kubectl failed")

// kubectl runs it as a user; the error has all that it wrote.
func (e *environment) kubectl(ctx context.Context, user string, args ...string) (string, error) {
	return e.kubectlWith(ctx, user, "", args...)
}

func (e *environment) kubectlWith(ctx context.Context, user, stdin string, args ...string) (string, error) {
	binary, err := exec.LookPath("kubectl")
	if err != nil {
		binary = filepath.Join(e.root, ".local", "bin", "kubectl")
	}
	var out bytes.Buffer
	command := e.command(ctx, binary, append([]string{"--kubeconfig", e.kubeconfig(user)}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &out
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s$ kubectl %s: %w\n%s", errKubectl, user, strings.Join(args, " "), err, &out)
	}
	return out.String(), nil
}

// namespace makes one in which the people may do what their groups are for.
func (e *environment) namespace(ctx context.Context, name string, labels map[string]string) string {
	Expect(e.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})).To(Succeed())
	for role, groups := range map[string][]string{
		"edit": {"developers", "on-call"}, "itil-approver": {"sre-leads"}, "itil-breakglass": {"on-call"}, "itil-admin": {"platform"},
	} {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		}
		for _, group := range groups {
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group})
		}
		Expect(e.admin.Create(ctx, binding)).To(Succeed())
	}
	// The API server goes by RBAC a moment after it was written.
	e.awaitAllowed(ctx, "alice", authorizationv1.ResourceAttributes{Namespace: name, Verb: "create", Group: "itil.dev", Resource: "changes"})
	e.awaitAllowed(ctx, "dave", authorizationv1.ResourceAttributes{Namespace: name, Verb: "approve", Group: "itil.dev", Resource: "changes"})
	e.awaitAllowed(ctx, "erin", authorizationv1.ResourceAttributes{Namespace: name, Verb: "breakglass", Group: "itil.dev", Resource: "changes"})
	e.awaitAllowed(ctx, "pat", authorizationv1.ResourceAttributes{Namespace: name, Verb: "retire", Group: "itil.dev", Resource: "services"})
	return name
}

func (e *environment) awaitAllowed(ctx context.Context, user string, attributes authorizationv1.ResourceAttributes) {
	c := e.as(user)
	Eventually(ctx, func(g Gomega) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}
		g.Expect(c.Create(ctx, review)).To(Succeed())
		g.Expect(review.Status.Allowed).To(BeTrue(), "%s may not yet %s %s", user, attributes.Verb, attributes.Resource)
	}).Should(Succeed())
}

// operatorPID is the process of the operator.
func (e *environment) operatorPID() int {
	content, err := os.ReadFile(filepath.Join(e.dir, "run", "operator.json"))
	Expect(err).NotTo(HaveOccurred())
	var record struct {
		PID int `json:"pid"`
	}
	Expect(json.Unmarshal(content, &record)).To(Succeed())
	Expect(record.PID).To(BeNumerically(">", 0))
	return record.PID
}

// kill ends the operator without giving it the time to say goodbye, as a node that loses its power does.
func (e *environment) kill(ctx context.Context) {
	Expect(syscall.Kill(e.operatorPID(), syscall.SIGKILL)).To(Succeed())
	out, err := e.run(ctx, "operator", "stop")
	Expect(err).NotTo(HaveOccurred(), out)
}

func (e *environment) operator(ctx context.Context, command string) {
	out, err := e.run(ctx, "operator", command)
	Expect(err).NotTo(HaveOccurred(), out)
}

// write is a write of the operator, as the API server's audit log tells.
type write struct {
	Verb, RequestURI string
	ResponseStatus   struct{ Code int }
	At               time.Time `json:"requestReceivedTimestamp"`
	ObjectRef        struct{ Resource, Subresource, Namespace, Name string }
}

func (w write) String() string {
	return fmt.Sprintf("%s %s %s -> %d", w.At.Format(time.StampMilli), w.Verb, w.RequestURI, w.ResponseStatus.Code)
}

// writes of the operator since a time, but for its lease.
func (e *environment) writes(since time.Time) []write {
	content, err := os.ReadFile(filepath.Join(e.dir, "logs", "operator-writes.jsonl"))
	Expect(err).NotTo(HaveOccurred())
	var all []write
	for line := range bytes.Lines(content) {
		var w write
		if json.Unmarshal(line, &w) == nil && w.At.After(since) { // the last line may not be whole yet
			all = append(all, w)
		}
	}
	return all
}

// describe adds to the report of a failed spec what one would look at first.
func (e *environment) describe(ctx context.Context) {
	out, _ := e.kubectl(ctx, admin, "get", "itsvc,ci,incidents,changes,chga", "-A", "-o", "wide")
	AddReportEntry("records", out)
	out, _ = e.kubectl(ctx, admin, "get", "deployments,jobs,pods", "-A", "-o", "wide")
	AddReportEntry("workloads", out)
	content, err := os.ReadFile(filepath.Join(e.dir, "logs", "operator.log"))
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	const shown = 40
	AddReportEntry("the end of the operator's log", strings.Join(lines[max(0, len(lines)-shown):], "\n"))
}

// port is the address of what listens on a port of the cluster.
func (e *environment) port(name string) string {
	content, err := os.ReadFile(filepath.Join(e.dir, "state.json"))
	Expect(err).NotTo(HaveOccurred())
	var state struct {
		Ports map[string]int `json:"ports"`
	}
	Expect(json.Unmarshal(content, &state)).To(Succeed())
	Expect(state.Ports).To(HaveKey(name))
	return fmt.Sprintf("127.0.0.1:%d", state.Ports[name])
}
