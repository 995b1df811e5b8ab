package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

const (
	// gitOps puts in what is in its repository, again and again.
	gitOps = "system:serviceaccount:flux-system:kustomize-controller"
	// pastTheGate is one of those whom the gate is not asked about.
	pastTheGate = "system:serviceaccount:kube-system:deployment-controller"

	replicasEach = 3
	// stuck is in the tag of an image that does not come up.
	stuck = "stuck"
	// retryEvery is how soon GitOps tries again, and the Deployments' controller looks, by the machine's clock.
	retryEvery = 150 * time.Millisecond
	// persistence with what must become so while faults go on, by the machine's clock.
	persistence = 4 * time.Minute
	// observation of a change that is rolled out, by the operator's clock.
	observation = 2 * time.Minute
)

// delivery is workloads under Enforce into which changes go while others crash: by a GitOps controller that does not give
// up, as approved, pre-authorised, failing, and past the gate. It keeps the books by which the oracle judges.
type delivery struct {
	w         *world
	namespace string
	front     *front
	gitOps    client.Client
	// controller makes ReplicaSets and rolls out; and it may write a template unasked.
	controller client.Client
	workloads  []*governed

	changes *track[*v1alpha1.Change]
	items   *track[*v1alpha1.ConfigurationItem]

	// hours must not pass while this is held: the operator has minutes for what is being done.
	hours  sync.Mutex
	enough chan struct{}
	once   sync.Once
	wait   sync.WaitGroup
	done   chan struct{}
	failed chan error
}

// governed is a workload with its books. While the delivery runs they are its own goroutine's.
type governed struct {
	deeds
	random      *rand.Rand
	major, more int
	// revisions that its controller made, by image.
	revisions map[string]int
}

// image that GitOps has in its repository: a later major version needs votes, a later patch none.
func (g *governed) image() string {
	return fmt.Sprintf("registry.shop.example/%s:%d.0.%d", g.name, g.major, g.more)
}

// governed lets the world have a delivery, which begins with the fleet and ends before the world is judged.
func (w *world) governed() *world {
	w.t.Helper()
	d := &delivery{
		w: w, namespace: env.Namespace(w.t, nil), enough: make(chan struct{}), done: make(chan struct{}), failed: make(chan error, 8),
	}
	w.t.Cleanup(d.clear)
	for _, user := range []string{gitOps, pastTheGate} {
		env.Bind(w.t, d.namespace, apiserver.User(user), "cluster-admin")
	}
	d.gitOps, d.controller = env.Client(w.t, gitOps), env.Client(w.t, pastTheGate)
	d.front = newFront(w.t)
	policy := builder.MakeChangePolicy("of-"+d.namespace).Enforcement(v1alpha1.EnforcementEnforce).
		Approvals(v1alpha1.RiskLow, 0).Approvals(v1alpha1.RiskMedium, 1).Approvals(v1alpha1.RiskHigh, 1).
		Spec(func(s *v1alpha1.ChangePolicySpec) {
			s.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(d.namespace)}
			s.ObservationSeconds = int32(observation / time.Second)
		}).Obj()
	w.must(create(w.t.Context(), policy))
	w.t.Cleanup(func() { _ = env.Admin().Delete(context.Background(), policy) })
	for n, name := range []string{"shop", "cart"} {
		g := &governed{deeds: deeds{name: name}, random: w.stream(uint64(100 + n)), major: 1, revisions: map[string]int{}}
		g.entered = []entry{{image: g.image(), source: []v1alpha1.BaselineSource{v1alpha1.BaselineAdopted}}}
		w.must(create(w.t.Context(), builder.MakeDeployment(d.namespace, name).Image("app", g.image()).Replicas(replicasEach).Obj()))
		w.must(d.rollOut(w.t.Context(), g))
		w.must(create(w.t.Context(), builder.MakeService(d.namespace, name).Claim(v1alpha1.WorkloadDeployment, name).Obj()))
		d.workloads = append(d.workloads, g)
	}
	d.changes = trackAll[*v1alpha1.Change](w.t, d.namespace, &v1alpha1.ChangeList{})
	d.items = trackAll[*v1alpha1.ConfigurationItem](w.t, d.namespace, &v1alpha1.ConfigurationItemList{})
	w.delivery = d
	return w
}

// governedInLong is governed in the long version: all that a delivery goes through takes half a minute or more.
func (w *world) governedInLong() *world {
	if !long() {
		return w
	}
	return w.governed()
}

// create makes what a builder built.
func create(ctx context.Context, o client.Object) error {
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetGeneration(0)
	o.SetCreationTimestamp(metav1.Time{})
	return env.Admin().Create(ctx, o)
}

// clear leaves nothing. The gate is gone, and the API server may not know at once.
func (d *delivery) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	NewWithT(d.w.t).Eventually(func() error {
		var errs []error
		for _, kind := range []client.Object{
			&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &v1alpha1.Service{}, &v1alpha1.Change{}, &v1alpha1.ChangeApproval{},
			&v1alpha1.ConfigurationItem{}, &v1alpha1.Incident{},
		} {
			errs = append(errs, env.Admin().DeleteAllOf(ctx, kind, client.InNamespace(d.namespace)))
		}
		return errors.Join(errs...)
	}).WithTimeout(time.Minute).Should(Succeed(), "clearing")
}

// between replicas of a fleet and the API server.
func (d *delivery) between() replica.Middleware {
	return (&stamps{clock: d.w.clock, namespace: d.namespace}).middleware
}

// start lets changes go in until there are enough of each kind and somebody has had enough.
func (d *delivery) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	d.w.t.Cleanup(func() { cancel(); d.wait.Wait() })
	var scripts sync.WaitGroup
	for n, g := range d.workloads {
		scripts.Go(func() {
			if err := d.deliver(ctx, g, d.scripts()[n]); err != nil {
				d.failed <- fmt.Errorf("%s: %w", g.name, err)
			}
		})
	}
	d.wait.Go(func() { d.control(ctx) })
	d.wait.Go(func() { scripts.Wait(); close(d.done) })
}

type script []func(context.Context, *governed) error

func (d *delivery) scripts() []script {
	return []script{
		{d.approved, d.preauthorised, d.pastTheGate, d.superseded},
		{d.superseded, d.fails, d.approved},
	}
}

// deliver goes through all of a script once at least, and then on at random.
func (d *delivery) deliver(ctx context.Context, g *governed, all script) error {
	if err := d.until(ctx, "the gate is asked", func() error { return d.gated(ctx, g) }); err != nil {
		return err
	}
	for n := 0; ; n++ {
		step := n
		if n >= len(all) {
			if closed(d.enough) {
				return nil
			}
			step = g.random.IntN(len(all))
		}
		if err := all[step](ctx, g); err != nil {
			return fmt.Errorf("after %d templates: %w", len(g.entered), err)
		}
	}
}

// until waits for what must become so, whatever goes wrong meanwhile.
func (d *delivery) until(ctx context.Context, what string, ask func() error) error {
	end := time.After(persistence)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-end:
			return fmt.Errorf("not within %s: %s: %w", persistence, what, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// gated: the API server asks the gate, and what runs is adopted as proven.
func (d *delivery) gated(ctx context.Context, g *governed) error {
	in, err := listed(ctx, d.namespace)
	if err != nil || !in {
		return fmt.Errorf("the namespace is listed: %t, %w", in, err)
	}
	if err := d.proven(ctx, g); err != nil {
		return err
	}
	before := d.front.asked.Load()
	if err := d.write(ctx, d.gitOps, g, g.image()+"-probe", client.DryRunAll); err != nil {
		return err
	}
	if d.front.asked.Load() == before {
		return errors.New("the API server does not ask the gate yet")
	}
	return nil
}

var errOther = errors.New("it is not so yet")

// proven: the newest baseline is what entered last, and may be gone back to.
func (d *delivery) proven(ctx context.Context, g *governed) error {
	b, err := d.newest(ctx, g)
	switch {
	case err != nil:
		return err
	case b.Images["app"] != g.last().image || !b.Proven:
		return fmt.Errorf("%w: the newest baseline is %s (%s, proven: %t)", errOther, b.Images["app"], b.Source, b.Proven)
	}
	return nil
}

func (d *delivery) newest(ctx context.Context, g *governed) (*v1alpha1.Baseline, error) {
	item := &v1alpha1.ConfigurationItem{}
	key := client.ObjectKey{Namespace: d.namespace, Name: configuration.ItemName(configuration.KindDeployment, g.name)}
	if err := env.Admin().Get(ctx, key, item); err != nil {
		return nil, err
	}
	if len(item.Status.Baselines) == 0 {
		return nil, fmt.Errorf("%w: there is no baseline", errOther)
	}
	return &item.Status.Baselines[0], nil
}

// write a template, if it is another one than is there.
func (d *delivery) write(ctx context.Context, c client.Client, g *governed, image string, opts ...client.PatchOption) error {
	live := &appsv1.Deployment{}
	if err := env.Admin().Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: g.name}, live); err != nil {
		return err
	}
	if live.Spec.Template.Spec.Containers[0].Image == image {
		return nil
	}
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, image)
	return c.Patch(ctx, live, client.RawPatch(types.JSONPatchType, []byte(patch)), opts...)
}

// insist puts in a template once it is let in, and tells whether it was refused.
func (d *delivery) insist(ctx context.Context, g *governed, image string, meanwhile func() error) error {
	return d.until(ctx, "GitOps puts in "+image, func() error {
		err := d.write(ctx, d.gitOps, g, image)
		if isDenial(err) {
			g.ask(image)
		}
		if err != nil && meanwhile != nil {
			err = errors.Join(err, meanwhile())
		}
		return err
	})
}

func isDenial(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "is governed by")
}

// refused asks for a template until the gate has refused it.
func (d *delivery) refused(ctx context.Context, g *governed, image string) error {
	return d.until(ctx, image+" is refused", func() error {
		err := d.write(ctx, d.gitOps, g, image)
		if isDenial(err) {
			g.ask(image)
			return nil
		}
		if err == nil {
			d.failed <- fmt.Errorf("%s: %s was let in though nobody agreed to it", g.name, image)
		}
		return errors.Join(errOther, err)
	})
}

// approved: a template is refused, filed, approved, and goes in by the next retry.
func (d *delivery) approved(ctx context.Context, g *governed) error {
	g.major++
	g.more = 0
	return d.agreedTo(ctx, g, g.image())
}

func (d *delivery) agreedTo(ctx context.Context, g *governed, image string) error {
	if err := d.refused(ctx, g, image); err != nil {
		return err
	}
	g.must(image)
	name := ""
	err := d.insist(ctx, g, image, func() error {
		filed, err := d.filedFor(ctx, image)
		if err != nil {
			return err
		}
		name = filed.Name
		return d.vote(ctx, filed)
	})
	if err != nil {
		return err
	}
	g.enter(entry{image: image, change: name, source: []v1alpha1.BaselineSource{v1alpha1.BaselineChange}})
	return d.settled(ctx, g, name)
}

// superseded: GitOps asks for another template before anybody decided on the first.
func (d *delivery) superseded(ctx context.Context, g *governed) error {
	g.major++
	g.more = 0
	first := g.image()
	if err := d.refused(ctx, g, first); err != nil {
		return err
	}
	// Its Change may be on its way or not: if not, what dies with its replica is nobody's loss.
	if g.random.IntN(2) == 0 {
		g.must(first)
		if err := d.until(ctx, first+" is filed", func() error {
			_ = d.write(ctx, d.gitOps, g, first)
			_, err := d.filedFor(ctx, first)
			return err
		}); err != nil {
			return err
		}
	}
	g.supersede(first)
	return d.approved(ctx, g)
}

// preauthorised: a patch of low risk needs no vote; its Change is filed afterwards.
func (d *delivery) preauthorised(ctx context.Context, g *governed) error {
	g.more++
	if err := d.insist(ctx, g, g.image(), nil); err != nil {
		return err
	}
	g.enter(entry{image: g.image(), filed: true, source: []v1alpha1.BaselineSource{v1alpha1.BaselinePreAuthorised, v1alpha1.BaselineChange}})
	name := ""
	if err := d.until(ctx, "the Change of what was pre-authorised is filed", func() error {
		b, err := d.newest(ctx, g)
		if err != nil || b.Images["app"] != g.image() || b.Change == "" {
			return errors.Join(errOther, err)
		}
		name = b.Change
		return nil
	}); err != nil {
		return err
	}
	return d.settled(ctx, g, name)
}

// pastTheGate: somebody whom the gate is not asked about writes a template, and GitOps puts the agreed one back.
func (d *delivery) pastTheGate(ctx context.Context, g *governed) error {
	agreed := g.image()
	g.smuggled++
	image := fmt.Sprintf("elsewhere.example/%s:%d", g.name, g.smuggled)
	if err := d.until(ctx, image+" is written", func() error { return d.write(ctx, d.controller, g, image) }); err != nil {
		return err
	}
	g.enter(entry{image: image, source: []v1alpha1.BaselineSource{v1alpha1.BaselineUnauthorized}})
	if err := d.until(ctx, image+" is found", func() error {
		b, err := d.newest(ctx, g)
		if err != nil || b.Images["app"] != image || b.Source != v1alpha1.BaselineUnauthorized {
			return errors.Join(errOther, err)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := d.insist(ctx, g, agreed, nil); err != nil {
		return err
	}
	g.enter(entry{image: agreed, source: []v1alpha1.BaselineSource{v1alpha1.BaselineRollback}})
	return d.until(ctx, "what was agreed is proven again", func() error { return d.proven(ctx, g) })
}

// fails: a template with a Change of its own goes in, does not come up, and is taken back by the operator.
func (d *delivery) fails(ctx context.Context, g *governed) error {
	before := g.last().image
	g.broken++
	image := fmt.Sprintf("registry.shop.example/%s:%d.%d-%s", g.name, g.major+1, g.broken, stuck)
	chg := builder.MakeChange(d.namespace, fmt.Sprintf("%s-%s-%d", g.name, stuck, g.broken)).Target(v1alpha1.WorkloadDeployment, g.name, image).
		Alter(func(c *v1alpha1.Change) { c.Spec.Backout = &v1alpha1.Backout{Automatic: true} }).Obj()
	if err := d.until(ctx, "a Change is written", func() error {
		return client.IgnoreAlreadyExists(create(ctx, chg.DeepCopy()))
	}); err != nil {
		return err
	}
	d.hours.Lock()
	defer d.hours.Unlock()
	err := d.insist(ctx, g, image, func() error {
		live := &v1alpha1.Change{}
		if err := env.Admin().Get(ctx, keyOf(chg), live); err != nil {
			return err
		}
		return d.vote(ctx, live)
	})
	if err != nil {
		return err
	}
	g.enter(entry{image: image, change: chg.Name, source: []v1alpha1.BaselineSource{v1alpha1.BaselineChange}})
	g.enter(entry{image: before, byOperator: true, source: []v1alpha1.BaselineSource{v1alpha1.BaselineRollback}})
	if err := d.until(ctx, "the operator takes it back", func() error {
		if err := env.Admin().Get(ctx, keyOf(chg), chg); err != nil {
			return err
		}
		if chg.Status.Outcome == "" || chg.Status.Backout == nil || chg.Status.Backout.Targets[0].State != v1alpha1.ChangeBackoutVerified {
			return fmt.Errorf("%w: outcome %q, %+v", errOther, chg.Status.Outcome, chg.Status.Backout)
		}
		return nil
	}); err != nil {
		return err
	}
	return d.until(ctx, "what was there before is proven again", func() error { return d.proven(ctx, g) })
}

// filedFor is the Change that was filed for a template and may still go in.
func (d *delivery) filedFor(ctx context.Context, image string) (*v1alpha1.Change, error) {
	list := &v1alpha1.ChangeList{}
	if err := env.Admin().List(ctx, list, client.InNamespace(d.namespace), client.MatchingLabels{practice.LabelFiledFor: practice.FiledForDenied}); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if c := &list.Items[i]; string(c.Spec.Targets[0].Images["app"]) == image && !c.Spec.Cancel && c.Status.Outcome == "" {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: no Change is filed for %s", errOther, image)
}

// vote for a Change as often as it needs.
func (d *delivery) vote(ctx context.Context, chg *v1alpha1.Change) error {
	if chg.Status.State != v1alpha1.ChangeAuthorize || chg.Status.Approvals == nil {
		return fmt.Errorf("%w: Change %s is %s: %s", errOther, chg.Name, chg.Status.State, chg.Status.NextStep)
	}
	for n, voter := range []string{"carol", "dave", "erin"}[:min(3, chg.Status.Approvals.Required)] {
		vote := builder.ChangeApproval(fmt.Sprintf("%s-%d", chg.Name, n), chg, v1alpha1.DecisionApprove, voter)
		if err := client.IgnoreAlreadyExists(create(ctx, vote)); err != nil {
			return err
		}
	}
	return nil
}

// settled: the Change has ended, and what it brought is proven.
func (d *delivery) settled(ctx context.Context, g *governed, name string) error {
	return d.until(ctx, "Change "+name+" ends", func() error {
		chg := &v1alpha1.Change{}
		if err := env.Admin().Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: name}, chg); err != nil {
			return err
		}
		if chg.Status.Outcome == "" {
			return fmt.Errorf("%w: it is %s: %s", errOther, chg.Status.State, chg.Status.NextStep)
		}
		return d.proven(ctx, g)
	})
}

// control is the Deployments' controller.
func (d *delivery) control(ctx context.Context) {
	for pause(ctx, retryEvery) {
		for _, g := range d.workloads {
			_ = d.rollOut(ctx, g) // the next time
		}
	}
}

// rollOut makes the ReplicaSet of a template, and says how its pods are.
func (d *delivery) rollOut(ctx context.Context, g *governed) error {
	live := &appsv1.Deployment{}
	if err := env.Admin().Get(ctx, client.ObjectKey{Namespace: d.namespace, Name: g.name}, live); err != nil {
		return err
	}
	image := live.Spec.Template.Spec.Containers[0].Image
	if live.Status.ObservedGeneration == live.Generation {
		return nil
	}
	if err := d.revision(ctx, g, live, image); err != nil {
		return err
	}
	now := metav1.NewTime(d.w.clock.Now().Truncate(time.Second))
	progressing := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", LastTransitionTime: now, LastUpdateTime: now,
	}
	live.Status = appsv1.DeploymentStatus{
		ObservedGeneration: live.Generation, Replicas: replicasEach, UpdatedReplicas: replicasEach, ReadyReplicas: replicasEach, AvailableReplicas: replicasEach,
	}
	if strings.Contains(image, stuck) {
		progressing.Status, progressing.Reason = corev1.ConditionFalse, "ProgressDeadlineExceeded"
		live.Status.UpdatedReplicas, live.Status.ReadyReplicas, live.Status.AvailableReplicas = 1, replicasEach-1, replicasEach-1
		live.Status.UnavailableReplicas = 1
	}
	live.Status.Conditions = []appsv1.DeploymentCondition{progressing, {
		Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable", LastTransitionTime: now, LastUpdateTime: now,
	}}
	return env.Admin().Status().Update(ctx, live)
}

func (d *delivery) revision(ctx context.Context, g *governed, of *appsv1.Deployment, image string) error {
	number, exists := g.revisions[image]
	if !exists {
		number = len(g.revisions) + 1
	}
	name := fmt.Sprintf("%s-%d", g.name, number)
	template := *of.Spec.Template.DeepCopy()
	template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = name
	rs := builder.ReplicaSet(d.namespace, name)
	rs.Spec.Template, rs.Spec.Selector, rs.Labels = template, &metav1.LabelSelector{MatchLabels: template.Labels}, template.Labels
	rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": fmt.Sprint(of.Generation)}
	rs.OwnerReferences = []metav1.OwnerReference{builder.Controller(appsv1.SchemeGroupVersion.WithKind("Deployment"), of.Name, of.UID)}
	rs.UID, rs.Generation, rs.CreationTimestamp = "", 0, metav1.Time{}
	if err := client.IgnoreAlreadyExists(d.controller.Create(ctx, rs)); err != nil {
		return err
	}
	g.revisions[image] = number
	return nil
}

// ends lets the delivery come to an end, and judges it.
func (d *delivery) ends(ctx context.Context) {
	d.w.t.Helper()
	d.once.Do(func() { close(d.enough) })
	select {
	case <-d.done:
	case err := <-d.failed:
		d.w.t.Fatalf("the delivery failed: %v\n%s", err, d.tell())
	case <-ctx.Done():
		d.w.t.Fatal(ctx.Err())
	}
	select {
	case err := <-d.failed:
		d.w.t.Fatalf("the delivery failed: %v\n%s", err, d.tell())
	default:
	}
	var wrong []string
	d.w.g.Eventually(func() []string {
		wrong = d.judge(ctx)
		return wrong
	}).Should(BeEmpty(), d.tell)
}
