package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const modulePath = "github.com/itil-dev/itil-operator"

// cluster is the local control plane: a folder, and the processes whose records lie in it.
type cluster struct {
	root     string // of the repository
	dir      string // where everything of this cluster lives
	progress io.Writer
}

func openCluster(progress io.Writer) (*cluster, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	dir := os.Getenv("ITIL_LOCAL_DIR")
	if dir == "" {
		dir = filepath.Join(root, ".local")
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The folder ignores itself, so that no key in it is ever committed.
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600); err != nil {
		return nil, err
	}
	return &cluster{root: root, dir: dir, progress: progress}, nil
}

// repositoryRoot walks up from the working directory to the go.mod of this module.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // a fixed name in a parent folder
		if err == nil && strings.HasPrefix(string(content), "module "+modulePath+"\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod of %s in this folder or above: run this inside a clone of the repository", modulePath)
		}
		dir = parent
	}
}

func (c *cluster) path(elements ...string) string {
	return filepath.Join(append([]string{c.dir}, elements...)...)
}

func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }

func (c *cluster) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.progress, format+"\n", args...) // progress that nobody can read is no reason to stop
}

// locked keeps two commands from changing the same cluster at the same time.
func (c *cluster) locked(do func() error) (err error) {
	lock, err := os.OpenFile(c.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		c.say("waiting for another command on %s to finish", c.dir)
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return fmt.Errorf("locking %s: %w", lock.Name(), err)
		}
	}
	return do()
}

// up brings every component to life and returns when all are ready. What runs as wanted is left alone.
func (c *cluster) up(ctx context.Context) error {
	binaries, err := c.buildControlPlane(ctx)
	if err != nil {
		return err
	}
	st, err := c.loadState()
	if err != nil {
		return err
	}
	if err := st.override(os.Getenv); err != nil {
		return err
	}
	if err := st.choosePorts(c.dir); err != nil {
		return err
	}
	if err := c.saveState(st); err != nil {
		return err
	}
	if err := c.writeCredentials(st); err != nil {
		return fmt.Errorf("writing certificates: %w", err)
	}
	for _, component := range c.components(st, binaries) {
		if err := c.ensure(ctx, component); err != nil {
			return err
		}
	}
	if err := c.ensureNodes(ctx, st); err != nil {
		return err
	}
	if st.Operator {
		if err := c.upOperator(ctx, st); err != nil {
			return err
		}
	}
	c.say("\nThe local cluster is ready. Use it with:\n  export KUBECONFIG=%s\nStop it with:\n  make down", c.kubeconfig())
	return nil
}

// buildControlPlane returns the folder of the binaries, which are built first if need be.
func (c *cluster) buildControlPlane(ctx context.Context) (string, error) {
	build := exec.CommandContext(ctx, filepath.Join(c.root, "hack", "controlplane", "build.sh")) //nolint:gosec // our own script
	build.Stderr = c.progress
	// Ctrl-C must reach the compiler that the script runs, and the script must be given the time to tidy up.
	build.Cancel = func() error { return build.Process.Signal(syscall.SIGTERM) }
	build.WaitDelay = 10 * time.Second
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("building the control plane: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// ensure starts a component that is not running, or that runs with other arguments than wanted, and waits for it.
func (c *cluster) ensure(ctx context.Context, wanted component) error {
	running, err := c.readRecord(wanted.name)
	if err != nil {
		return err
	}
	if running.alive() && running.Digest != wanted.digest() {
		c.say("  %-26s runs with other settings: restarting", wanted.name)
		if err := c.stop(ctx, wanted.name, running); err != nil {
			return err
		}
		running = record{}
	}
	if running.alive() {
		if err := c.waitReady(ctx, wanted, running); err != nil {
			return err
		}
		c.say("  %-26s runs (pid %d)", wanted.name, running.PID)
		return nil
	}
	begin := time.Now()
	if running, err = c.start(wanted); err != nil {
		return err
	}
	if err := c.waitReady(ctx, wanted, running); err != nil {
		return err
	}
	c.say("  %-26s ready after %.1fs (pid %d)", wanted.name, time.Since(begin).Seconds(), running.PID)
	return nil
}

// down stops what up started, in reverse order, and removes everything but what was built.
func (c *cluster) down(ctx context.Context) error {
	names, err := c.recorded()
	if err != nil {
		return err
	}
	for _, name := range names {
		running, err := c.readRecord(name)
		if err != nil {
			return err
		}
		if err := c.stop(ctx, name, running); err != nil {
			return err
		}
	}
	for _, name := range []string{"run", "data", "pki", "users", "logs", "kubeconfig", stateFile} {
		if err := os.RemoveAll(c.path(name)); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		c.say("nothing was running in %s", c.dir)
	} else {
		c.say("stopped %d processes and removed their data in %s", len(names), c.dir)
	}
	return nil
}

func (c *cluster) status(out io.Writer) error {
	st, err := c.loadState()
	if err != nil {
		return err
	}
	dead := 0
	components := c.components(st, "")
	if st.Operator {
		components = append(components, c.operatorComponent(st))
	}
	for _, component := range components {
		running, err := c.readRecord(component.name)
		if err != nil {
			return err
		}
		state := "not running"
		if running.alive() {
			state = fmt.Sprintf("running, pid %d, %s", running.PID, component.readyURL)
		} else {
			dead++
		}
		if _, err := fmt.Fprintf(out, "%-26s %s\n", component.name, state); err != nil {
			return err
		}
	}
	if dead > 0 {
		return fmt.Errorf("%d components are not running; start them with: make up", dead)
	}
	return nil
}

// env prints shell assignments for tools that are run by hand.
func (c *cluster) env(out io.Writer) error {
	binaries := filepath.Join(c.root, ".local", "bin")
	lines := fmt.Sprintf("export KUBECONFIG=%q\nexport KUBEBUILDER_ASSETS=%q\n", c.kubeconfig(), binaries)
	if _, err := exec.LookPath("kubectl"); err != nil {
		lines += fmt.Sprintf("export PATH=\"$PATH:%s\"\n", binaries)
	}
	_, err := io.WriteString(out, lines)
	return err
}
