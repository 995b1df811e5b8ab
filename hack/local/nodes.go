package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// kwokLabel marks what kwok plays the kubelet for.
	kwokLabel = "type=kwok"

	nodesTimeout = 5 * time.Minute // a thousand on a small, busy machine
	// nodeWriters make nodes at a time.
	nodeWriters = 8
)

// ensureNodes creates the simulated nodes that are missing, removes those above the count, and waits until all
// are Ready and pods can be created (the default ServiceAccount is there).
func (c *cluster) ensureNodes(ctx context.Context, st *state) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return err
	}
	config.QPS = -1 // it waits for the API server, nodeWriters at a time
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, nodesTimeout, fmt.Errorf("the nodes were not ready within %s", nodesTimeout))
	defer cancel()

	wanted := make(map[string]*corev1.Node, st.Nodes)
	for number := 1; number <= st.Nodes; number++ {
		node := simulatedNode(number, st)
		wanted[node.Name] = node
	}
	if err := applyNodes(ctx, client, wanted); err != nil {
		return err
	}
	for {
		ready, err := countReady(ctx, client)
		if err != nil {
			return err
		}
		_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if err == nil && ready == st.Nodes {
			c.say("  %-26s ready", fmt.Sprintf("%d nodes", ready))
			return nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err := pause(ctx, st.nodesPeriod()); err != nil {
			return fmt.Errorf("%w: %d of %d are; kwok's log: %s", err, ready, st.Nodes, c.logPath("kwok"))
		}
	}
}

// nodesPeriod is how often to look whether the nodes are ready: all of them are read each time.
func (s *state) nodesPeriod() time.Duration {
	if s.Nodes > manyNodes {
		return 5 * readyPeriod
	}
	return readyPeriod
}

// applyNodes creates what is missing, deletes what is too much, and corrects how often the others report.
func applyNodes(ctx context.Context, client kubernetes.Interface, wanted map[string]*corev1.Node) error {
	nodes := client.CoreV1().Nodes()
	existing, err := nodes.List(ctx, metav1.ListOptions{LabelSelector: kwokLabel})
	if err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	have := make(map[string]bool, len(existing.Items))
	for i := range existing.Items {
		node := &existing.Items[i]
		have[node.Name] = true
		switch want := wanted[node.Name]; {
		case want == nil:
			err = nodes.Delete(ctx, node.Name, metav1.DeleteOptions{})
		case node.Annotations[annotationHeartbeat] != want.Annotations[annotationHeartbeat]:
			patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, annotationHeartbeat, want.Annotations[annotationHeartbeat])
			_, err = nodes.Patch(ctx, node.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("changing node %s: %w", node.Name, err)
		}
	}
	var missing []*corev1.Node
	for name, node := range wanted {
		if !have[name] {
			missing = append(missing, node)
		}
	}
	return createNodes(ctx, client, missing)
}

// createNodes creates several at a time.
func createNodes(ctx context.Context, client kubernetes.Interface, missing []*corev1.Node) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan *corev1.Node, len(missing))
	for _, node := range missing {
		queue <- node
	}
	close(queue)
	var writers sync.WaitGroup
	for range nodeWriters {
		writers.Go(func() {
			for node := range queue {
				_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					stop(fmt.Errorf("creating node %s: %w", node.Name, err)) // the first is told
					return
				}
			}
		})
	}
	writers.Wait()
	return context.Cause(ctx)
}

func countReady(ctx context.Context, client kubernetes.Interface) (int, error) {
	// From the API server's memory: that a moment ago is good enough to wait by.
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: kwokLabel, ResourceVersion: "0"})
	if err != nil {
		return 0, fmt.Errorf("listing nodes: %w", err)
	}
	ready := 0
	for i := range nodes.Items {
		// A node that somebody made misbehave is as wanted, too.
		if isReady(&nodes.Items[i]) || nodes.Items[i].Annotations[annotationBehaviour] != "" {
			ready++
		}
	}
	return ready, nil
}

func isReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Annotations choose what kwok plays on a pod or node; see kwok/*.yaml.
const (
	annotationBehaviour = "kwok.itil.dev/behaviour"
	annotationHeartbeat = "kwok.itil.dev/heartbeat"
)

func simulatedNode(number int, st *state) *corev1.Node {
	name := fmt.Sprintf("node-%d", number)
	zone := fmt.Sprintf("zone-%c", 'a'+rune((number-1)%3))
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:        name,
		Annotations: map[string]string{annotationHeartbeat: st.heartbeatOf(number).String()},
		Labels: map[string]string{
			"type":                           "kwok",
			corev1.LabelHostname:             name,
			corev1.LabelOSStable:             "linux",
			corev1.LabelArchStable:           "amd64",
			corev1.LabelTopologyZone:         zone,
			corev1.LabelTopologyRegion:       "local",
			"node-role.kubernetes.io/worker": "",
		},
	}}
}
