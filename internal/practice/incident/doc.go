// Package incident turns what is known of workloads into incidents, and follows an incident through its life.
//
// Observe finds the signals of one workload from a single look at its pods and status, and says when to look again;
// Correlate joins them to the incident that is open; Evaluate decides state, priority, clocks and what comes next.
// All of it is pure: the time comes in as an argument, and what must be remembered between two looks is a value
// (History) that goes in and comes out. Whatever History would tell can also be told, a little later, without it,
// since a restart of the operator loses it.
package incident
