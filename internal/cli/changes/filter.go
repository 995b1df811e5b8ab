package changes

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/args"
	"github.com/itil-dev/itil-operator/internal/cli/session"
)

// filter says which Changes are shown.
type filter struct {
	service      string
	states       []string
	mine         bool
	since, until string

	from, to time.Time
}

// states are all of them, as the API has them.
var states = []string{
	string(v1alpha1.ChangeAssess), string(v1alpha1.ChangeAuthorize), string(v1alpha1.ChangeScheduled), string(v1alpha1.ChangeImplement),
	string(v1alpha1.ChangeReview), string(v1alpha1.ChangeClosed), string(v1alpha1.ChangeRejected), string(v1alpha1.ChangeCanceled),
}

func (f *filter) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.service, "service", "", "Show only Changes of workloads that this Service claims.")
	flags.StringSliceVar(&f.states, "state", nil, "Show only Changes in these states, also if they have ended.")
	flags.BoolVar(&f.mine, "mine", false, "Show only Changes that you requested.")
	flags.StringVar(&f.since, "since", "", "Show only Changes that may go in, or could, at this time or later: 2026-11-23, 2026-11-23T08:00:00+01:00, or 7d for so long ago.")
	flags.StringVar(&f.until, "until", "", "And at this time or earlier; 7d is so far ahead.")
	// It fails only where there is no such flag.
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(slices.Clone(states), cobra.ShellCompDirectiveNoFileComp))
}

// check reads the flags; dates without a zone are in this one.
func (f *filter) check(cmd *cobra.Command, now time.Time, zone *time.Location) error {
	for i, state := range f.states {
		at := slices.IndexFunc(states, func(known string) bool { return strings.EqualFold(known, state) })
		if at < 0 {
			return args.Wrong(cmd, "--state must be one of %s, and not %q", strings.Join(states, ", "), state)
		}
		f.states[i] = states[at]
	}
	var ok bool
	if f.from, ok = parseMoment(f.since, now, -1, zone); !ok {
		return args.Wrong(cmd, "--since %q is no time such as 2026-11-23, 2026-11-23T08:00:00+01:00 or 7d", f.since)
	}
	if f.to, ok = parseMoment(f.until, now, 1, zone); !ok {
		return args.Wrong(cmd, "--until %q is no time such as 2026-11-23, 2026-11-23T08:00:00+01:00 or 7d", f.until)
	}
	if isDate(f.until) {
		f.to = f.to.AddDate(0, 0, 1) // that day included
	}
	if !f.to.IsZero() && f.to.Before(f.from) {
		return args.Wrong(cmd, "--until is before --since")
	}
	return nil
}

func isDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// parseMoment reads a time, a date, or a length of time from now on (sign 1) or back (-1); the zero time for nothing.
func parseMoment(text string, now time.Time, sign int, zone *time.Location) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, true
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return at, true
	}
	const mostDays = 3660
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		n, err := strconv.Atoi(days)
		return now.AddDate(0, 0, sign*n), err == nil && n >= 0 && n <= mostDays
	}
	d, err := time.ParseDuration(text)
	return now.Add(time.Duration(sign) * d), err == nil && d >= 0
}

// keeps says whether a Change is shown. Items tell which Services claim a workload.
func (f *filter) keeps(c *v1alpha1.Change, me session.Identity, known map[string]items) bool {
	switch {
	case len(f.states) > 0 && !slices.Contains(f.states, string(stateOf(c))):
		return false
	case f.mine && string(c.Spec.Requester) != me.Name:
		return false
	case f.service != "" && !f.ofService(c, known[c.Namespace]):
		return false
	}
	from, to := spanOf(c)
	return (f.to.IsZero() || from.Before(f.to)) && (f.from.IsZero() || to.IsZero() || to.After(f.from))
}

func (f *filter) ofService(c *v1alpha1.Change, known items) bool {
	return slices.ContainsFunc(c.Spec.Targets, func(target v1alpha1.ChangeTarget) bool {
		item := known[target.Workload]
		return item != nil && slices.ContainsFunc(item.Status.Services, func(ref v1alpha1.LocalReference) bool { return string(ref.Name) == f.service })
	})
}

// spanOf is the time within which a Change may go in, or could: its window, else from its creation to its end. A zero
// end is open.
func spanOf(c *v1alpha1.Change) (from, to time.Time) {
	from, to = windowTimes(c)
	if from.IsZero() {
		from, to = c.CreationTimestamp.Time, time.Time{}
	}
	if closed := c.Status.ClosedAt; closed != nil && (to.IsZero() || closed.Time.Before(to)) {
		to = closed.Time
	}
	return from, to
}
