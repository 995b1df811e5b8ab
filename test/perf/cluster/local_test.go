package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

// local is a cluster of hack/local, with the operator's program beside it.
type local struct {
	ctx     context.Context
	root    string
	dir     string
	program string
	config  *rest.Config
	api     client.WithWatch
	began   time.Time
	// ports on 127.0.0.1 by what listens there.
	ports map[string]int
}

// up starts a cluster, which is stopped when the benchmark ends, also by Ctrl-C.
func up(b *testing.B, nodes int) *local {
	b.Helper()
	log.SetLogger(logr.Discard()) // or the library complains that there is none
	klog.SetLogger(logr.Discard())
	root, err := apiserver.Root()
	must(b, err)
	dir := b.TempDir()
	ctx, stop := signal.NotifyContext(b.Context(), os.Interrupt, syscall.SIGTERM)
	l := &local{ctx: ctx, root: root, dir: dir, program: filepath.Join(dir, "local"), began: time.Now()}
	b.Cleanup(func() { stop(); l.down(b) })

	l.say(b, "the cluster is in %s; if this is killed, remove it with: ITIL_LOCAL_DIR=%s go run ./hack/local down", dir, dir)
	out, err := l.command(ctx, "go", "build", "-buildvcs=false", "-o", l.program, "./hack/local").CombinedOutput()
	if err != nil {
		b.Fatalf("building hack/local: %v\n%s", err, out)
	}
	start := l.command(ctx, l.program, "up")
	start.Env = append(start.Env, "ITIL_LOCAL_NODES="+strconv.Itoa(nodes), "ITIL_LOCAL_OPERATOR=on", "ITIL_LOCAL_ETCD_SYNC=off")
	start.Stdout, start.Stderr = b.Output(), b.Output()
	must(b, start.Run())
	l.config, err = clientcmd.BuildConfigFromFlags("", l.kubeconfig())
	must(b, err)
	l.config.QPS = -1
	l.config.WarningHandlerWithContext = rest.NoWarnings{}
	l.api, err = client.NewWithWatch(l.config, client.Options{Scheme: scheme.New()})
	must(b, err)
	var state struct {
		Ports map[string]int `json:"ports"`
	}
	l.read(b, &state, "state.json")
	l.ports = state.Ports
	l.say(b, "a cluster of %d nodes, with the operator", nodes)
	return l
}

// say reports what was reached, and when: a large size takes long, and is to be watched.
func (l *local) say(b *testing.B, format string, args ...any) {
	b.Helper()
	b.Logf("%7.1fs  %s", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

// down stops the cluster. After a failure its logs are kept.
func (l *local) down(b *testing.B) {
	b.Helper()
	if b.Failed() {
		if kept, err := os.MkdirTemp("", "itil-perf-logs-"); err == nil { //nolint:usetesting // it outlives the benchmark
			b.Logf("the cluster's logs are kept in %s (%v)", kept, os.CopyFS(kept, os.DirFS(filepath.Join(l.dir, "logs"))))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // the benchmark's own is over
	defer cancel()
	if out, err := l.command(ctx, l.program, "down").CombinedOutput(); err != nil {
		b.Errorf("hack/local down: %v\n%s", err, out)
	}
}

func (l *local) kubeconfig() string { return filepath.Join(l.dir, "kubeconfig") }

func (l *local) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = l.root
	command.Env = append(os.Environ(), "ITIL_LOCAL_DIR="+l.dir)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 20 * time.Second
	return command
}

// operator stops or starts the operator alone.
func (l *local) operator(b *testing.B, command string) {
	b.Helper()
	if out, err := l.command(l.ctx, l.program, "operator", command).CombinedOutput(); err != nil {
		b.Fatalf("hack/local operator %s: %v\n%s", command, err, out)
	}
}

func (l *local) read(b *testing.B, into any, path ...string) {
	b.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{l.dir}, path...)...))
	must(b, err)
	must(b, json.Unmarshal(content, into))
}

// record is what hack/local knows of a process.
type record struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

func (l *local) record(b *testing.B, name string) record {
	b.Helper()
	var r record
	l.read(b, &r, "run", name+".json")
	return r
}

// usage is the memory that a process holds, in MB, and the seconds of a processor that it took.
type usage struct{ resident, seconds int }

// usages are those of all processes of the cluster, by name; empty where there is no ps.
func (l *local) usages(b *testing.B) map[string]usage {
	b.Helper()
	all := map[string]usage{}
	for _, name := range processes() {
		pid := strconv.Itoa(l.record(b, name).PID)
		out, err := exec.CommandContext(l.ctx, "ps", "-o", "rss=,time=", "-p", pid).Output()
		fields := strings.Fields(string(out))
		if err != nil || len(fields) < 2 {
			return nil
		}
		kilobytes, _ := strconv.Atoi(fields[0])
		seconds := 0
		for part := range strings.SplitSeq(fields[1], ":") { // hh:mm:ss
			n, _ := strconv.ParseFloat(part, 64)
			seconds = seconds*60 + int(n)
		}
		all[name] = usage{resident: kilobytes / 1000, seconds: seconds}
	}
	return all
}

func processes() []string {
	return []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "operator"}
}

// took says what each process holds, and what it worked since before.
func took(before, after map[string]usage) string {
	if len(before) == 0 || len(after) == 0 {
		return "not told here"
	}
	var all []string
	for _, name := range processes() {
		all = append(all, fmt.Sprintf("%s %d MB, %d s", name, after[name].resident, after[name].seconds-before[name].seconds))
	}
	return strings.Join(all, "; ")
}

// metrics are what the operator says of itself, all series of a name added up.
func (l *local) metrics(b *testing.B) map[string]float64 {
	b.Helper()
	request, err := http.NewRequestWithContext(l.ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", l.ports["operator-metrics"]), nil)
	must(b, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatalf("the operator does not answer (the end of its log is kept): %v", err)
	}
	defer func() { must(b, response.Body.Close()) }()
	page, err := io.ReadAll(response.Body)
	must(b, err)
	sums := map[string]float64{}
	for line := range strings.Lines(string(page)) {
		series, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if at := strings.LastIndexByte(line, '}'); at >= 0 { // a label's value may hold anything
			series, text, ok = line[:at+1], strings.TrimSpace(line[at+1:]), true
		}
		value, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || strings.HasPrefix(line, "#") {
			continue
		}
		name, _, _ := strings.Cut(series, "{")
		sums[name] += value
	}
	return sums
}

// busy is how many requests the operator's controllers have yet to reconcile, or are at. What is to be looked at later
// is not among them.
func (l *local) busy(b *testing.B) int {
	b.Helper()
	m := l.metrics(b)
	return int(m["workqueue_depth"] + m["controller_runtime_active_workers"])
}

// footprint is the memory of the operator when it has nothing more to do.
type footprint struct {
	// live is what its garbage collector found in use, resident what the system gave the process; both in bytes.
	live, resident float64
}

// footprint waits until two garbage collections have gone over all that the operator keeps. Each look at its metrics
// makes some garbage: the collections need no long wait.
func (l *local) footprint(b *testing.B) footprint {
	b.Helper()
	const (
		cycles = "go_gc_cycles_total_gc_cycles_total"
		live   = "go_gc_heap_live_bytes"
	)
	m := l.metrics(b)
	if m[cycles] == 0 || m[live] == 0 {
		b.Fatalf("the operator's metrics do not tell %s and %s", cycles, live)
	}
	until := m[cycles] + 2
	for m[cycles] < until {
		must(b, l.ctx.Err())
		m = l.metrics(b)
	}
	return footprint{live: m[live], resident: m["process_resident_memory_bytes"]}
}

// write is a write of the operator, as the API server's audit log tells; renewals of its lease are not in it.
type write struct {
	Verb, RequestURI string
	ResponseStatus   struct{ Code int }
	At               time.Time `json:"requestReceivedTimestamp"`
	Answered         time.Time `json:"stageTimestamp"`
	ObjectRef        struct{ Resource, Subresource, Namespace, Name string }
}

// writes of the operator after a time.
func (l *local) writes(b *testing.B, since time.Time) []write {
	b.Helper()
	content, err := os.ReadFile(filepath.Join(l.dir, "logs", "operator-writes.jsonl"))
	must(b, err)
	var all []write
	for line := range bytes.Lines(content) {
		var w write
		if json.Unmarshal(line, &w) == nil && w.At.After(since) { // the last line may not be whole yet
			all = append(all, w)
		}
	}
	return all
}

// answering is the median of how long the API server took for a write.
func answering(writes []write) time.Duration {
	if len(writes) == 0 {
		return 0
	}
	var all []time.Duration
	for _, w := range writes {
		all = append(all, w.Answered.Sub(w.At))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// summary counts writes by verb and kind.
func summary(writes []write) string {
	counts := map[string]int{}
	for _, w := range writes {
		counts[fmt.Sprintf("%s %s/%s -> %d", w.Verb, w.ObjectRef.Resource, w.ObjectRef.Subresource, w.ResponseStatus.Code)]++
	}
	var out []string
	for what, n := range counts {
		out = append(out, fmt.Sprintf("%d× %s", n, what))
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// started is how long the operator took from the start of its process until its last controller began to work, as its
// log tells, and how many controllers there are.
func (l *local) started(b *testing.B) (took time.Duration, controllers int) {
	b.Helper()
	file, err := os.Open(filepath.Join(l.dir, "logs", "operator.log"))
	must(b, err)
	defer func() { _ = file.Close() }()
	var last time.Time
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct {
			At  time.Time `json:"ts"`
			Msg string    `json:"msg"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "Starting workers" {
			last = entry.At
			controllers++
		}
	}
	must(b, lines.Err())
	if controllers == 0 {
		return 0, 0
	}
	return last.Sub(l.record(b, "operator").Started), controllers
}
