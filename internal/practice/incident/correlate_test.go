package incident_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

var web = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}

func oom(since time.Duration) incident.Finding {
	return incident.Finding{Reason: v1alpha1.SignalOOMKilled, Container: "app", Since: at(since), LastAt: at(since), Count: 2}
}

func stuckRollout(since time.Duration) incident.Finding {
	return incident.Finding{Reason: v1alpha1.SignalRolloutStuck, Since: at(since), LastAt: at(since), Count: 1}
}

func found(findings ...incident.Finding) incident.Result { return incident.Result{Findings: findings} }

func well(since time.Duration) incident.Result {
	return incident.Result{Well: incident.Wellness{Evident: true, Since: at(since)}}
}

func subject() incident.Subject { return incident.Subject{Key: web, TemplateHash: "v1:a"} }

// signalsOf are "Reason" of what is there and "-Reason" of what is cleared.
func signalsOf(d incident.Detected) []string {
	var out []string
	for _, s := range d.Signals {
		text := string(s.Reason)
		if s.ClearedAt != nil {
			text = "-" + text
		}
		out = append(out, text)
	}
	return out
}

func TestSignalsClearOnEvidenceOnly(t *testing.T) {
	before, _ := incident.Correlate(incident.Detected{}, found(oom(0), stuckRollout(minute)), subject(), at(2*minute))
	for name, test := range map[string]struct {
		result  incident.Result
		subject func(*incident.Subject)
		now     time.Duration
		want    []string
		reason  v1alpha1.SignalReason
		next    time.Duration
	}{
		"silence clears nothing": {now: hour, want: []string{"OOMKilled", "RolloutStuck"}, reason: "OOMKilled"},
		"one that is not seen stays while another is": {
			result: found(stuckRollout(minute)), now: hour, want: []string{"OOMKilled", "RolloutStuck"}, reason: "OOMKilled",
		},
		"well for a moment": {result: well(3 * minute), now: 3*minute + 10*second, want: []string{"OOMKilled", "RolloutStuck"}, reason: "OOMKilled", next: 3*minute + 30*second},
		"well":              {result: well(3 * minute), now: 4 * minute, want: []string{"-OOMKilled", "-RolloutStuck"}, reason: "OOMKilled"},
		"a cure of one": {
			result: incident.Result{Cures: []incident.Cure{{Reason: "RolloutStuck", At: at(3 * minute)}}}, now: 4 * minute,
			want: []string{"OOMKilled", "-RolloutStuck"}, reason: "OOMKilled",
		},
		"a cure from before": {
			result: incident.Result{Cures: []incident.Cure{{Reason: "RolloutStuck", At: at(0)}}}, now: 4 * minute,
			want: []string{"OOMKilled", "RolloutStuck"}, reason: "OOMKilled",
		},
		"gone":                     {result: incident.Result{Gone: true}, now: hour, want: []string{"-OOMKilled", "-RolloutStuck"}, reason: "OOMKilled"},
		"switched off":             {result: found(oom(0)), subject: func(s *incident.Subject) { s.SwitchedOff = true }, now: hour, want: []string{"-OOMKilled", "-RolloutStuck"}, reason: "OOMKilled"},
		"a more telling one joins": {result: found(incident.Finding{Reason: "ConfigInvalid", Container: "app", Since: at(hour), LastAt: at(hour)}), now: hour, want: []string{"ConfigInvalid", "OOMKilled", "RolloutStuck"}, reason: "ConfigInvalid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := subject()
			if test.subject != nil {
				test.subject(&s)
			}
			after, next := incident.Correlate(before, test.result, s, at(test.now))
			if diff := cmp.Diff(test.want, signalsOf(after)); diff != "" {
				t.Error(diff)
			}
			if after.Reason != test.reason || after.Fingerprint != incident.Fingerprint(web, test.reason) {
				t.Errorf("reason %s", after.Reason)
			}
			recovered := !incident.Active(after.Signals)
			if (after.RecoveredAt != nil) != recovered {
				t.Errorf("recovered at %v with %v", after.RecoveredAt, signalsOf(after))
			}
			if test.next != 0 && !next.Equal(at(test.next)) {
				t.Errorf("next look at %s, want %s", next.Sub(t0), test.next)
			}
		})
	}
}

func TestJobFailuresAreNotCuredByOtherThings(t *testing.T) {
	s := incident.Subject{Key: configuration.Key{Group: "batch", Kind: "Job", Namespace: "shop", Name: "report"}}
	failed := incident.Finding{Reason: v1alpha1.SignalJobFailed, Since: at(0), LastAt: at(0)}
	before, _ := incident.Correlate(incident.Detected{}, found(failed), s, at(minute))
	for name, r := range map[string]incident.Result{"a pod that is well": well(minute), "removed after its time": {Gone: true}} {
		if after, _ := incident.Correlate(before, r, s, at(hour)); !incident.Active(after.Signals) {
			t.Errorf("%s: the failure is cleared", name)
		}
	}
	cured := incident.Result{Cures: []incident.Cure{{Reason: v1alpha1.SignalJobFailed, At: at(hour)}}}
	if after, _ := incident.Correlate(before, cured, s, at(hour+second)); incident.Active(after.Signals) {
		t.Error("a later success does not clear the failure")
	}
}

func TestWhatComesBackAfterResolutionIsNew(t *testing.T) {
	before, _ := incident.Correlate(incident.Detected{}, found(oom(0)), subject(), at(minute))
	before, _ = incident.Correlate(before, well(2*minute), subject(), at(3*minute))
	again := oom(0)
	again.LastAt = at(10 * minute)
	s := subject()
	inHold, _ := incident.Correlate(before, found(again), s, at(10*minute))
	if got := inHold.Signals[0].Since.Time; !got.Equal(at(0)) {
		t.Errorf("before the resolution it is the same failure: since %s", got.Sub(t0))
	}
	s.Resolved = true
	after, _ := incident.Correlate(before, found(again), s, at(10*minute))
	if got := after.Signals[0].Since.Time; !got.Equal(at(10 * minute)) {
		t.Errorf("after it, a new one: since %s", got.Sub(t0))
	}
	repaired := s
	repaired.TemplateHash = "v1:b"
	if d, _ := incident.Correlate(before, found(again), repaired, at(10*minute)); d.FailedTemplateHash != "v1:b" {
		t.Errorf("what fails now is %s", d.FailedTemplateHash)
	}
	if after.RecoveredAt != nil || after.RecoveredTemplateHash != "" {
		t.Error("it still counts as recovered")
	}
}

// TestAJobFailsOnceMore: nothing clears the failure of a Job, so it shows still when somebody has said how it ended. The next
// run that fails is a new failure all the same, unless that was accepted.
func TestAJobFailsOnceMore(t *testing.T) {
	job := incident.Subject{Key: configuration.Key{Group: "batch", Kind: configuration.KindJob, Namespace: "shop", Name: "migrate"}}
	failed := func(since time.Duration) incident.Result {
		return found(incident.Finding{Reason: v1alpha1.SignalJobFailed, Since: at(since), LastAt: at(since), Count: 1})
	}
	ref := incident.Reference(job.Key)
	for name, test := range map[string]struct {
		code v1alpha1.ResolutionCode
		now  time.Duration
		fail time.Duration
		want string
	}{
		"nothing happened":           {v1alpha1.ResolutionFixedByChange, 20 * minute, 0, "Resolved"},
		"it fails again":             {v1alpha1.ResolutionFixedByChange, 20 * minute, 19 * minute, "InProgress"},
		"it fails as it is accepted": {v1alpha1.ResolutionWorkaround, 20 * minute, 19 * minute, "Resolved"},
		"it fails the day after":     {v1alpha1.ResolutionFixedByChange, 24 * hour, 24*hour - minute, "another"},
		"the day after":              {v1alpha1.ResolutionFixedByChange, 24 * hour, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := emptyTicket(t)
			k.i.Spec = v1alpha1.IncidentSpec{Title: "migrate: the Job failed", Source: v1alpha1.IncidentSourceDetector, WorkloadRef: &ref}
			d, _ := incident.Correlate(incident.Detected{}, failed(0), job, at(second))
			k.i.Status = d.Into(k.i.Status)
			k.pass(minute).do(resolve(test.code, "by hand")).is("Resolved")
			k.now = at(test.now)
			records := incident.Choose([]*v1alpha1.Incident{&k.i}, incident.DefaultRules(), failed(test.fail).Findings, k.now)
			action := incident.Decide(records, failed(test.fail), job, k.now)
			got := ""
			switch {
			case action.Verb == incident.Open:
				got = "another"
			case records.Current != nil:
				k.i.Status = action.Detected.Into(k.i.Status)
				if action.Verb == incident.Nothing {
					k.i.Status = records.Current.Status
				}
				k.evaluate()
				got = string(k.i.Status.State)
			}
			if got != test.want {
				t.Errorf("it is %q, want %q; signals %+v", got, test.want, k.i.Status.Signals)
			}
		})
	}
}

func TestFresh(t *testing.T) {
	loop := oom(0)
	loop.LastAt = at(hour)
	for name, test := range map[string]struct {
		finding incident.Finding
		code    v1alpha1.ResolutionCode
		want    bool
	}{
		"the failure that was resolved by hand":  {oom(0), v1alpha1.ResolutionNoFault, false},
		"a failure since":                        {oom(30 * minute), v1alpha1.ResolutionNoFault, true},
		"a loop that was accepted and goes on":   {loop, v1alpha1.ResolutionWorkaround, false},
		"a loop that goes on, and was not":       {loop, v1alpha1.ResolutionSelfRecovered, true},
		"a loop that was accepted and came anew": {oom(30 * minute), v1alpha1.ResolutionWorkaround, true},
	} {
		if got := incident.Fresh([]incident.Finding{test.finding}, at(10*minute), test.code, at(2*hour)); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestWritesOfALoop: a pod that crashes every ten seconds for a day is some fifty writes.
func TestWritesOfALoop(t *testing.T) {
	d, _ := incident.Correlate(incident.Detected{}, found(oom(0)), subject(), at(0))
	writes := 0
	var last time.Duration
	for n := 1; n < 24*360; n++ {
		now := time.Duration(n) * 10 * second
		f := oom(0)
		f.Count, f.LastAt = int32(n)+2, at(now)
		next, _ := incident.Correlate(d, found(f), subject(), at(now))
		worth, due := incident.WorthWriting(d, next, false, at(now))
		if worth {
			if now-last < minute {
				t.Fatalf("written at %s and again at %s", last, now)
			}
			d, last = next, now
			writes++
			continue
		}
		if !due.After(at(now)) {
			t.Fatalf("not worth writing at %s, and never will be: due %s", now, due)
		}
		if worth, _ := incident.WorthWriting(d, next, true, at(now+24*hour)); worth {
			t.Fatal("counts of a resolved incident are written")
		}
	}
	if writes < 20 || writes > 70 {
		t.Errorf("%d writes in a day", writes)
	}
}

func TestWhatIsWorthWritingAtOnce(t *testing.T) {
	before, _ := incident.Correlate(incident.Detected{}, found(oom(0)), subject(), at(0))
	for name, r := range map[string]incident.Result{"another signal": found(oom(0), stuckRollout(second)), "a recovery": well(2 * second)} {
		after, _ := incident.Correlate(before, r, subject(), at(minute))
		if worth, _ := incident.WorthWriting(before, after, false, at(minute)); !worth {
			t.Errorf("%s is not written", name)
		}
	}
	after, _ := incident.Correlate(before, found(oom(0)), subject(), at(24*hour))
	if worth, due := incident.WorthWriting(before, after, false, at(24*hour)); worth || !due.IsZero() {
		t.Error("that it still lasts is written")
	}
}

func TestNames(t *testing.T) {
	long := web
	long.Name = strings.Repeat("a.b-", 63)
	seen := map[string]string{}
	for _, key := range []configuration.Key{
		web, long, {Group: "apps", Kind: "StatefulSet", Namespace: "shop", Name: "web"},
		{Group: "apps", Kind: "Deployment", Namespace: "shop2", Name: "web"}, {Kind: "Node", Name: "web"},
	} {
		for episode := range 3 {
			name := incident.Name(key, episode)
			if len(name) > 253 || strings.ContainsAny(name, "_/") || name != incident.Name(key, episode) {
				t.Errorf("name %s", name)
			}
			if other, dup := seen[name]; dup {
				t.Errorf("%s is the name of %s and %s", name, other, incident.KeyString(key))
			}
			seen[name] = incident.KeyString(key)
		}
	}
	if hash := incident.KeyHash(long); len(hash) > 63 {
		t.Errorf("%s is no label value", hash)
	}
}

func TestReferencesAreKeys(t *testing.T) {
	for _, key := range []configuration.Key{
		web, {Kind: "Pod", Namespace: "shop", Name: "a"}, {Group: "batch", Kind: "CronJob", Namespace: "shop", Name: "a"},
		{Group: "argoproj.io", Kind: "Rollout", Namespace: "shop", Name: "a"}, {Group: "x.io", Kind: "Deployment", Namespace: "shop", Name: "a"},
		{Kind: "Node", Name: "node1"}, incident.BacklogKey("shop"), incident.OverflowKey(),
	} {
		ref := incident.Reference(key)
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Spec: v1alpha1.IncidentSpec{WorkloadRef: &ref}}
		if got, ok := incident.KeyOf(i); !ok || got != key {
			t.Errorf("%v became %v", key, got)
		}
	}
	if _, ok := incident.KeyOf(&v1alpha1.Incident{}); ok {
		t.Error("an incident on a service is about a workload")
	}
}

func TestTitles(t *testing.T) {
	for _, reason := range v1alpha1.SignalReasons {
		title := incident.Title(web, incident.Finding{Reason: reason, Container: "app"})
		if !strings.HasPrefix(title, "web: ") || title == "web: "+string(reason) {
			t.Errorf("%s: %q", reason, title)
		}
	}
	long := web
	long.Name = strings.Repeat("x", 253)
	if title := incident.Title(long, oom(0)); len(title) > 256 {
		t.Errorf("a title of %d characters", len(title))
	}
}

func TestChoose(t *testing.T) {
	record := func(episode int, state v1alpha1.IncidentState, resolved time.Duration, active bool) *v1alpha1.Incident {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelEpisode: fmt.Sprint(episode)}}}
		i.Status.State = state
		if state == v1alpha1.IncidentResolved || state == v1alpha1.IncidentClosed {
			end := stamped(resolved)
			i.Status.ResolvedAt = &end
		}
		s := v1alpha1.Signal{Reason: v1alpha1.SignalOOMKilled}
		if cleared := stamped(resolved); !active {
			s.ClearedAt = &cleared
		}
		i.Status.Signals = []v1alpha1.Signal{s}
		return i
	}
	for name, test := range map[string]struct {
		records       []*v1alpha1.Incident
		findings      []incident.Finding
		current, last int
	}{
		"none":   {},
		"open":   {records: []*v1alpha1.Incident{record(2, "New", 0, true), record(1, "Closed", 0, false)}, current: 2},
		"closed": {records: []*v1alpha1.Incident{record(1, "Closed", 0, false), record(2, "Closed", 0, false)}, last: 2},
		"open, and one that is over has a greater episode": {
			records: []*v1alpha1.Incident{record(2, "Closed", 0, false), record(1, "InProgress", 0, true), record(3, "Resolved", 3*hour-minute, false)}, current: 1,
		},
		"resolved within the window": {records: []*v1alpha1.Incident{record(1, "Resolved", 3*hour-59*minute, false)}, current: 1},
		"resolved before the window": {records: []*v1alpha1.Incident{record(1, "Resolved", hour, false)}, last: 1},
		"it began in the window, and is seen later": {
			records: []*v1alpha1.Incident{record(1, "Resolved", hour, false)}, findings: []incident.Finding{lasting(2*hour - second)}, current: 1,
		},
		"it began after the window": {
			records: []*v1alpha1.Incident{record(1, "Resolved", hour, false)}, findings: []incident.Finding{lasting(2*hour + second)}, last: 1,
		},
		"a loop that began before the resolution": {
			records: []*v1alpha1.Incident{record(1, "Resolved", hour, false)}, findings: []incident.Finding{lasting(0)}, current: 1,
		},
		"what is left of the failure": {
			records: []*v1alpha1.Incident{record(1, "Resolved", hour, false)}, findings: []incident.Finding{oom(0)}, last: 1,
		},
		"accepted, and still showing": {records: []*v1alpha1.Incident{record(1, "Resolved", hour, true)}, current: 1},
		"without a label":             {records: []*v1alpha1.Incident{{}}},
	} {
		r := incident.Choose(test.records, incident.DefaultRules(), test.findings, at(3*hour))
		if got := episode(r.Current); got != test.current {
			t.Errorf("%s: current %d, want %d", name, got, test.current)
		}
		if got := episode(r.Last); got != test.last {
			t.Errorf("%s: last %d, want %d", name, got, test.last)
		}
	}
}

// lasting is a failure that is there now, at 3 h.
func lasting(since time.Duration) incident.Finding {
	f := oom(since)
	f.LastAt = at(3 * hour)
	return f
}

func episode(i *v1alpha1.Incident) int {
	if i == nil {
		return 0
	}
	return incident.Episode(i.Labels)
}

func TestCollect(t *testing.T) {
	key := func(n int) configuration.Key {
		return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("w%02d", n)}
	}
	var entries []incident.Entry
	for n := range 60 {
		f := oom(0)
		entries = append(entries, incident.Entry{Key: key(n), Finding: &f})
	}
	record := incident.BacklogKey("shop")
	d := incident.Collect(incident.Detected{}, record, entries, at(minute))
	if len(d.Signals) != 50 || d.Reason != v1alpha1.SignalOOMKilled || d.RecoveredAt != nil {
		t.Fatalf("%d signals, reason %s", len(d.Signals), d.Reason)
	}
	if !incident.Listed(d.Signals, key(7)) || incident.Listed(d.Signals, key(55)) {
		t.Error("the first fifty are not those that are listed")
	}
	if listed := incident.ListedIn(d.Signals); len(listed) != 50 || listed[7] != key(7) {
		t.Errorf("listed are %v", listed)
	}
	if again := incident.Collect(d, record, entries, at(hour)); cmp.Diff(d, again) != "" {
		t.Error("the same again is not the same")
	}
	for n := range entries {
		entries[n].Finding = nil
	}
	d = incident.Collect(d, record, entries[:1], at(hour))
	if len(d.Signals) != 49 || incident.Listed(d.Signals, key(0)) {
		t.Error("what is well does not leave the list")
	}
	d = incident.Collect(d, record, entries, at(2*hour))
	if d.RecoveredAt == nil || len(d.Signals) != 0 {
		t.Errorf("left are %v", signalsOf(d))
	}
}
