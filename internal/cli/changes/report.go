package changes

import (
	"encoding/json"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// reports is what `why -o json` writes. Its fields are a contract: add to them, and take none away.
type reports struct {
	Items []report `json:"items"`
}

// report is an answer for programs.
type report struct {
	Workload workloadName `json:"workload"`
	// Verdict is LetIn, Warned or Refused; empty where nothing was asked.
	Verdict  string   `json:"verdict,omitempty"`
	Because  string   `json:"because,omitempty"`
	Messages []string `json:"messages,omitempty"`
	// Complete: all that the fields up to Rollback come from could be read.
	Complete    bool              `json:"complete"`
	Services    []string          `json:"services,omitempty"`
	Policies    []string          `json:"policies,omitempty"`
	Enforcement string            `json:"enforcement,omitempty"`
	Gate        *gateReport       `json:"gate,omitempty"`
	Votes       map[string]votes  `json:"votes,omitempty"`
	Rollback    []rollback        `json:"rollback,omitempty"`
	Images      map[string]string `json:"images,omitempty"`
	Template    string            `json:"templateHash,omitempty"`
	Changes     []openChange      `json:"changes,omitempty"`
	// Unread are the kinds that the user may not read.
	Unread []string `json:"unread,omitempty"`
}

type workloadName struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// gateReport says when Normal changes that are approved may go in. Times are RFC 3339.
type gateReport struct {
	Open   bool   `json:"open"`
	Until  string `json:"until,omitempty"`
	Next   string `json:"next,omitempty"`
	Window string `json:"closedWindow,omitempty"`
	Freeze string `json:"freeze,omitempty"`
}

type votes struct {
	Required int32    `json:"required"`
	From     []string `json:"from,omitempty"`
}

type rollback struct {
	TemplateHash string            `json:"templateHash"`
	Images       map[string]string `json:"images,omitempty"`
	Allowed      bool              `json:"allowed"`
	But          []string          `json:"but,omitempty"`
}

type openChange struct {
	Name  string   `json:"name"`
	State string   `json:"state"`
	Keeps []string `json:"keeps,omitempty"`
}

func writeReports(s *session.Session, answers []*answer, format string) error {
	out := reports{Items: make([]report, 0, len(answers))}
	for _, a := range answers {
		out.Items = append(out.Items, a.report())
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err == nil && format == "yaml" {
		data, err = yaml.JSONToYAML(data)
	} else {
		data = append(data, '\n')
	}
	if err != nil {
		return err
	}
	_, err = s.Screen.Out.Write(data)
	return err
}

func (a *answer) report() report {
	runs := templateOf(a.trial.before)
	r := report{
		Workload: workloadName{a.trial.kind, a.trial.namespace, a.trial.name},
		Verdict:  map[verdict]string{verdictLetIn: "LetIn", verdictWarned: "Warned", verdictRefused: "Refused"}[a.verdict],
		Because:  a.because, Messages: a.trial.warnings, Images: runs.Images, Template: runs.Hash, Unread: a.unread,
		Enforcement: string(enforcementOf(a.services)),
	}
	for _, service := range a.services {
		r.Services = append(r.Services, service.Name)
	}
	for _, c := range a.changes {
		r.Changes = append(r.Changes, openChange{Name: c.change.Name, State: string(stateOf(c.change)), Keeps: c.keeps})
	}
	if a.outlook != nil && a.outlook.complete {
		a.outlook.report(&r, a.now)
	}
	return r
}

func (o *outlook) report(r *report, now time.Time) {
	rules := o.world.Rules
	r.Complete, r.Enforcement, r.Policies = true, string(o.world.Enforcement), rules.Policies
	look := rules.Outlook(v1alpha1.ChangeNormal, now)
	r.Gate = &gateReport{Open: look.Open, Until: stamp(look.Until, rules), Next: stamp(look.Next, rules)}
	if look.Window != nil {
		r.Gate.Window = look.Window.Name
	}
	if look.Freeze != nil {
		r.Gate.Freeze = look.Freeze.Name
	}
	r.Votes = map[string]votes{}
	for _, level := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
		q := rules.VotesFor(v1alpha1.ChangeNormal, level)
		r.Votes[string(level)] = votes{q.Required, q.Groups}
	}
	q := rules.VotesFor(v1alpha1.ChangeEmergency, v1alpha1.RiskHigh)
	r.Votes[string(v1alpha1.ChangeEmergency)] = votes{q.Required, q.Groups}
	for _, back := range change.Returns(o.world) {
		b := &o.world.Baselines[back.Baseline]
		r.Rollback = append(r.Rollback, rollback{TemplateHash: b.TemplateHash, Images: b.Images, Allowed: len(back.But) == 0, But: back.But})
	}
}

func stamp(t time.Time, rules *change.Rules) string {
	if t.IsZero() {
		return ""
	}
	return t.In(rules.Zone()).Format(time.RFC3339)
}
