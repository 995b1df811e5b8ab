package incidents

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

const (
	// shownEvidence and shownTimeline are how many of the newest events and entries a page has.
	shownEvidence = 5
	shownTimeline = 10
	// shownSignals is how many of the most telling signals a page has.
	shownSignals = 10
	// lineWidth is where a line of an event or a log is cut.
	lineWidth = 160
)

func newShow(f *session.Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show an Incident: what fails, since when, what is suspected, what was seen, what to do next",
		Long: `Show an Incident on one page: what fails and since when, who works on it and what is due, the Change that is
suspected, what is known to help, the last events and, where the Service asks for it (spec.detection.captureLogs), the end
of the failed container's log, cut where lines are long.

For programs, and for all of it, there is kubectl get incident NAME -o yaml.`,
		Example: `  kubectl itil incident show checkout-7f3a9 -n shop
  kubectl itil incident show shop/checkout-7f3a9`,
		Args:              args.Exactly("NAME (or NAMESPACE/NAME)"),
		ValidArgsFunction: complete.Names(f, func() client.ObjectList { return &v1alpha1.IncidentList{} }, nil),
		RunE: func(cmd *cobra.Command, names []string) error {
			s, err := f.Connect()
			if err != nil {
				return err
			}
			ref, err := s.Ref(names[0])
			if err != nil {
				return err
			}
			i := &v1alpha1.Incident{}
			if err := s.Read(cmd.Context(), ref, i, "Incident", "incidents"); err != nil {
				return err
			}
			_, err = describe(i, s.Now(), s.Screen.Palette).WriteTo(s.Screen.Out)
			return err
		},
	}
}

// describe is the page of an Incident.
func describe(i *v1alpha1.Incident, now time.Time, palette screen.Palette) *screen.Page {
	p := &screen.Page{Palette: palette}
	state := strings.TrimSpace(majorMark(i) + " " + stateText(i))
	p.Title("Incident "+refOf(i), palette.Paint(priorityStyle(i), state))
	p.Text("Title", i.Spec.Title)
	if i.Status.Summary != i.Spec.Title {
		// The title is what was seen first.
		p.Text("Summary", i.Status.Summary)
	}
	p.Text("Description", i.Spec.Description)
	p.Field("Service", screen.Line(serviceOf(i)))
	p.Field("Workload", screen.Line(workloadOf(i)))
	p.Field("Affects", screen.Line(affected(i)))
	p.Field("Reason", string(i.Status.Reason))
	signals(p, i)
	if began := i.Status.StartedAt; began != nil {
		p.Field("Began", screen.Moment(began.Time)+" ("+screen.Ago(now, began.Time)+")")
	}
	if over := i.Status.ResolvedAt; over != nil {
		p.Text("Resolved", screen.Moment(over.Time)+" ("+screen.Ago(now, over.Time)+")"+endOf(i))
	}
	if h := i.Spec.Hold; h != nil && i.Status.State == v1alpha1.IncidentOnHold {
		p.Text("Waits", string(h.Reason)+strings.TrimSuffix(": "+h.Comment, ": "))
	}
	p.Field("Reporter", screen.Line(string(i.Spec.Reporter)))
	p.Field("Assignee", screen.Line(cmp.Or(string(i.Spec.Assignee), "nobody")))
	if due := dueCell(i, now); due.Text != "" {
		p.Field("Due", palette.Paint(due.Style, due.Text))
	}
	if parent := cmp.Or(i.Spec.ParentRef, i.Status.ParentRef); parent != nil {
		p.Field("Part of", "Incident "+screen.Line(joined(*parent)))
	}
	if n := i.Status.Children; n > 0 {
		p.Field("Explains", screen.Plural(n, "Incident"))
	}
	causes(p, i)
	seen(p, i, now)
	p.Text("Next", i.Status.NextStep)
	return p
}

// affected are the Services that suffer, where they are more than the one that it names.
func affected(i *v1alpha1.Incident) string {
	var names []string
	for _, a := range i.Status.AffectedServices {
		names = append(names, joined(a))
	}
	if len(names) < 2 {
		return ""
	}
	return screen.And(names)
}

// endOf says how it was resolved.
func endOf(i *v1alpha1.Incident) string {
	r := i.Status.Resolution
	if r == nil {
		return ""
	}
	return ", " + string(r.Code) + strings.TrimSuffix(": "+r.Notes, ": ")
}

// signals are the ways in which it fails, or did, the most telling first.
func signals(p *screen.Page, i *v1alpha1.Incident) {
	all := i.Status.Signals
	for n := range all[:min(len(all), shownSignals)] {
		line := screen.Cut(screen.Line(signalText(&all[n])), lineWidth)
		if n == 0 {
			p.Field("Signals", screen.Plural(len(all), "signal"))
		}
		p.Item(line)
	}
}

func signalText(s *v1alpha1.Signal) string {
	text := string(s.Reason)
	if s.Container != "" {
		text += " of container " + s.Container
	}
	if s.Alert != "" {
		text += " " + s.Alert
	}
	text += " since " + screen.Moment(s.Since.Time)
	switch {
	case s.AffectedPods > 1:
		text += " on " + screen.Plural(s.AffectedPods, "pod")
	case len(s.Pods) == 1:
		text += " on " + s.Pods[0]
	}
	if s.ClearedAt != nil {
		text += ", gone since " + screen.Moment(s.ClearedAt.Time)
	}
	return text + strings.TrimSuffix(": "+s.Message, ": ")
}

// causes are what is suspected, and what is known to help.
func causes(p *screen.Page, i *v1alpha1.Incident) {
	if s := i.Status.SuspectedChange; s != nil {
		suspect := suspectOf(i)
		if s.Name != "" {
			suspect = "Change " + suspect
		}
		p.Text("Suspected", suspect+strings.TrimSuffix(": "+s.Reason, ": "))
	}
	if k := i.Status.KnownError; k != nil {
		p.Text("Known error", "Problem "+string(k.Problem)+strings.TrimSuffix("; what helps: "+k.Workaround, "; what helps: "))
	}
}

// seen is what happened, the newest last.
func seen(p *screen.Page, i *v1alpha1.Incident, now time.Time) {
	if all := i.Status.Timeline; len(all) > 0 {
		p.Field("Timeline", ofAll(len(all), shownTimeline, "entry", "entries"))
		for _, e := range all[max(len(all)-shownTimeline, 0):] {
			p.Item(screen.Moment(e.At.Time) + "  " + screen.Cut(screen.Line(e.What+by(e.By)), lineWidth))
		}
	}
	if all := i.Status.Evidence; len(all) > 0 {
		p.Field("Evidence", ofAll(len(all), shownEvidence, "event", "events"))
		for _, e := range all[max(len(all)-shownEvidence, 0):] {
			p.Item(screen.Moment(e.At.Time) + "  " + screen.Cut(screen.Line(strings.TrimSpace(e.Object+" "+e.Reason)+": "+e.Message), lineWidth))
		}
	}
	log(p, i.Status.Log, now)
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " (" + who + ")"
}

// ofAll says how many are shown, and how many there are where that is more.
func ofAll(n, shown int, one, many string) string {
	switch {
	case n == 1:
		return "1 " + one
	case n <= shown:
		return fmt.Sprintf("%d %s", n, many)
	}
	return fmt.Sprintf("the last %d of %d %s", shown, n, many)
}

// log is the end of the failed container's log, which the operator has cut to 20 lines already.
func log(p *screen.Page, tail *v1alpha1.LogTail, now time.Time) {
	if tail == nil {
		return
	}
	run := ""
	if tail.Previous {
		run = ", of the run before the present one"
	}
	p.Field("Log", screen.Line("container "+tail.Container+" of pod "+tail.Pod)+run+", read "+screen.Ago(now, tail.At.Time))
	if tail.Problem != "" {
		p.Item(screen.Line("none: " + tail.Problem))
	}
	for _, line := range tail.Lines {
		p.Item(screen.Cut(screen.Line(line), lineWidth))
	}
}
