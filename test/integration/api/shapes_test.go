package api_test

import (
	"fmt"
	"slices"
	"strings"
)

// shapeRules are about texts of which a pattern alone would say what is wrong with them, which nobody reads: a rule beside each pattern
// says it in words.
var shapeRules = slices.Concat(
	shape("must be a time of day as HH:MM from 00:00 to 24:00, for example 08:00",
		[]string{"08:00", "23:59"}, []string{"8:00", "08:60", "25:00", "8am", "08:00:00"},
		at("Calendar", "spec.weekly[].from", `spec: {weekly: [{days: [Mon], from: "%s", to: "24:00"}]}`),
		at("Calendar", "spec.weekly[].to", `spec: {weekly: [{days: [Mon], from: "07:00", to: "%s"}]}`)),
	shape("must be a day as YYYY-MM-DD, for example 2026-12-25",
		[]string{"2026-12-25"}, []string{"25.12.2026", "2026-13-01", "2026-1-1"},
		at("Calendar", "spec.holidays[].date", `spec: {holidays: [{date: "%s"}]}`)),
	shape("must be a time in hours, minutes and seconds, in this order, for example 72h, 1h30m or 45s",
		[]string{"72h", "1h30m", "45s"}, []string{"3d", "30m1h", "1.5h", "-1h", "soon"},
		at("ChangePolicy", "spec.emergency.reviewWithin", `spec: {emergency: {required: 1, reviewWithin: "%s"}}`),
		at("Release", "spec.earlyLifeSupport", `spec: {earlyLifeSupport: "%s"}`),
		at("Release", "spec.phases[].soak", `spec: {phases: [{name: full, units: ["*"], soak: "%s"}]}`),
		at("Release", "spec.phases[].timeout", `spec: {phases: [{name: full, units: ["*"], timeout: "%s"}]}`)),
	shape("must be service time in hours and minutes, for example 4h, 1h30m or 45m",
		[]string{"4h", "1h30m", "45m"}, []string{"90s", "1d", "0h", "1.5h"},
		slices.Concat(priorities("response"), priorities("resolution"))...),
	shape("must be a whole template hash, v1: and 64 hex digits, as the status of the ConfigurationItem has it",
		[]string{hashA}, []string{hashA[:len(hashA)-1] + "g", strings.ToUpper(hashA)},
		at("Change", "spec.targets[].templateHash", `spec: {targets: [{workload: {kind: Deployment, name: checkout}, templateHash: "%s"}]}`)),
	shape("must be a whole digest, v1: and 64 hex digits, as status.digest of the Change has it",
		[]string{hashA}, []string{hashA[:len(hashA)-1] + "g", strings.ToUpper(hashA)},
		at("ChangeApproval", "spec.digest", `spec: {digest: "%s"}`)),
)

// shaped is a field that has a shape, with the patch that sets it.
type shaped struct{ kind, path, patch string }

func at(kind, path, patch string) shaped { return shaped{kind, path, patch} }

func priorities(times string) []shaped {
	var out []shaped
	for _, p := range []string{"P1", "P2", "P3", "P4"} {
		out = append(out, at("ServiceLevelAgreement", "spec."+times+"."+p, `spec: {`+times+`: {`+p+`: "%s"}}`))
	}
	return out
}

func shape(message string, passes, refuses []string, fields ...shaped) []rule {
	var out []rule
	for _, f := range fields {
		r := rule{kind: f.kind, path: f.path, message: message}
		for _, value := range passes {
			r.passes = append(r.passes, fmt.Sprintf(f.patch, value))
		}
		for _, value := range refuses {
			r.refuses = append(r.refuses, fmt.Sprintf(f.patch, value))
		}
		out = append(out, r)
	}
	return out
}
