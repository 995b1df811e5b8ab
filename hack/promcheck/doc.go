// Package promcheck checks the alerts of config/prometheus with Prometheus' own parser and engine. It is a module of its
// own so that the operator does not depend on Prometheus.
package promcheck
