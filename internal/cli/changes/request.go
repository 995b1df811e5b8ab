package changes

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/complete"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// request is what a Change says beside its targets.
type request struct {
	name, summary, justification string
	kind, standardChange         string
	incident, problem            string
	window                       string
	backoutPlan                  string
	backoutAutomatic             bool
	downtime                     time.Duration
	answers                      map[string]string

	parsedWindow *v1alpha1.Window
}

const (
	answerYes = "yes"
	answerNo  = "no"
	// The API's bounds.
	maxSummary  = 256
	maxDowntime = 7 * 24 * time.Hour
)

// questions of the questionnaire, by their flags.
var questions = []struct{ flag, usage string }{
	{"tested", "Was it tested outside production? yes or no."},
	{"reversible", "Can it be undone without loss of data? yes or no."},
	{"customer-visible", "Will customers notice? yes or no."},
}

func (r *request) addFlags(cmd *cobra.Command, f *session.Factory) {
	flags := cmd.Flags()
	flags.StringVar(&r.name, "name", "", "Name of the Change. Default: made from the first workload's.")
	flags.StringVar(&r.summary, "summary", "", "What it is, in one line. Default: made from its targets.")
	flags.StringVarP(&r.justification, "message", "m", "", "Why it is needed (justification).")
	flags.StringVar(&r.kind, "type", string(v1alpha1.ChangeNormal), "Normal, Standard or Emergency.")
	flags.StringVar(&r.standardChange, "standard-change", "", "The pre-authorised change of a ChangePolicy that a Standard change is.")
	flags.StringVar(&r.incident, "incident", "", "The Incident that it is to end. An Emergency change needs one.")
	flags.StringVar(&r.problem, "problem", "", "The Problem that it is to fix.")
	flags.StringVar(&r.window, "window", "", "When it may go in: START/END or START/DURATION, with times such as 2026-11-23T08:00:00+01:00. Default: the first 24 open hours after its approval.")
	flags.StringVar(&r.backoutPlan, "backout-plan", "", "How it is undone, in words.")
	flags.BoolVar(&r.backoutAutomatic, "backout-automatic", false, "Let the operator restore the last proven template when it fails.")
	flags.DurationVar(&r.downtime, "expected-downtime", 0, "Planned downtime, for example 10m; at most so much is excused.")
	r.answers = map[string]string{}
	for _, q := range questions {
		flags.Var(&answerFlag{answers: r.answers, question: q.flag}, q.flag, q.usage+" Answers can only raise the risk.")
		_ = cmd.RegisterFlagCompletionFunc(q.flag, cobra.FixedCompletions([]cobra.Completion{answerYes, answerNo}, cobra.ShellCompDirectiveNoFileComp))
	}
	// They fail only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]cobra.Completion{
		string(v1alpha1.ChangeNormal), string(v1alpha1.ChangeStandard), string(v1alpha1.ChangeEmergency),
	}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("incident", complete.Flag(f, func() client.ObjectList { return &v1alpha1.IncidentList{} }))
	_ = cmd.RegisterFlagCompletionFunc("problem", complete.Flag(f, func() client.ObjectList { return &v1alpha1.ProblemList{} }))
}

// check finds what the API server would refuse, in the words of the command line.
func (r *request) check(cmd *cobra.Command) error {
	switch v1alpha1.ChangeType(r.kind) {
	case v1alpha1.ChangeNormal:
	case v1alpha1.ChangeStandard:
		if r.standardChange == "" {
			return args.Wrong(cmd, "--type Standard needs --standard-change: which pre-authorised change of the ChangePolicy it is")
		}
	case v1alpha1.ChangeEmergency:
		if r.incident == "" {
			return args.Wrong(cmd, "--type Emergency needs --incident: the Incident that it is to end")
		}
	default:
		return args.Wrong(cmd, "--type must be Normal, Standard or Emergency, and not %q", r.kind)
	}
	if r.downtime < 0 || r.downtime > maxDowntime || r.downtime%time.Second != 0 {
		return args.Wrong(cmd, "--expected-downtime must be between 0s and %s, in whole seconds", maxDowntime)
	}
	if r.window == "" {
		return nil
	}
	window, err := parseWindow(r.window)
	if err != "" {
		return args.Wrong(cmd, "--window %q: %s", r.window, err)
	}
	r.parsedWindow = window
	return nil
}

// parseWindow reads START/END or START/DURATION; wrong says what is wrong with it.
func parseWindow(text string) (window *v1alpha1.Window, wrong string) {
	first, second, slash := strings.Cut(text, "/")
	if !slash {
		return nil, "want START/END or START/DURATION"
	}
	start, err := time.Parse(time.RFC3339, first)
	if err != nil {
		return nil, "the start is no time such as 2026-11-23T08:00:00+01:00"
	}
	end, err := time.Parse(time.RFC3339, second)
	if err != nil {
		length, err := time.ParseDuration(second)
		if err != nil {
			return nil, "the end is neither a time such as 2026-11-23T12:00:00+01:00 nor a duration such as 4h"
		}
		end = start.Add(length)
	}
	if !start.Before(end) {
		return nil, "it ends before it starts"
	}
	return &v1alpha1.Window{
		Start: v1alpha1.Timestamp(start.Format(time.RFC3339)), End: v1alpha1.Timestamp(end.Format(time.RFC3339)),
	}, ""
}

// change makes the Change.
func (r *request) change(
	namespace, requester string, targets []v1alpha1.ChangeTarget, before map[v1alpha1.WorkloadReference]map[string]string,
) *v1alpha1.Change {
	c := &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: r.name},
		Spec: v1alpha1.ChangeSpec{
			Type:                    v1alpha1.ChangeType(r.kind),
			Summary:                 screen.Cut(cmp.Or(r.summary, summaryOf(targets, before)), maxSummary),
			Justification:           r.justification,
			Requester:               v1alpha1.UserName(requester),
			Targets:                 targets,
			Window:                  r.parsedWindow,
			StandardChange:          r.standardChange,
			ExpectedDowntimeSeconds: int32(r.downtime / time.Second), //nolint:gosec // check bounds it to a week
		},
	}
	if r.name == "" {
		c.GenerateName = string(targets[0].Workload.Name) + "-" // the API server cuts what is too long
	}
	if r.incident != "" {
		c.Spec.IncidentRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(r.incident)}
	}
	if r.problem != "" {
		c.Spec.ProblemRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(r.problem)}
	}
	if r.backoutPlan != "" || r.backoutAutomatic {
		c.Spec.Backout = &v1alpha1.Backout{Plan: r.backoutPlan, Automatic: r.backoutAutomatic}
	}
	if len(r.answers) > 0 {
		c.Spec.Questionnaire = &v1alpha1.Questionnaire{
			Tested: answerOf(r.answers["tested"]), Reversible: answerOf(r.answers["reversible"]),
			CustomerVisible: answerOf(r.answers["customer-visible"]),
		}
	}
	return c
}

func answerOf(text string) v1alpha1.Answer {
	switch text {
	case answerYes:
		return v1alpha1.AnswerConfirmed
	case answerNo:
		return v1alpha1.AnswerNotConfirmed
	default:
		return ""
	}
}

// answerFlag is a flag that takes yes or no, and knows when it was not given.
type answerFlag struct {
	answers  map[string]string
	question string
}

func (a *answerFlag) String() string { return a.answers[a.question] }

func (a *answerFlag) Type() string { return "yes|no" }

func (a *answerFlag) Set(text string) error {
	if text != answerYes && text != answerNo {
		return errYesOrNo
	}
	a.answers[a.question] = text
	return nil
}

var errYesOrNo = errors.New("want yes or no")
