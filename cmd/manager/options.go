package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
	"github.com/itil-dev/itil-operator/internal/operator"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

const (
	webhookService = "itil-operator-webhook"
	metricsService = "itil-operator-metrics"
	alertsService  = "itil-operator-alerts"
)

// options are the operator's flags.
type options struct {
	operator.Options
	webhookAddress string
	webhookHosts   string
	certificates   string
	detect         string
	managers       string
	zap            zap.Options
}

func parseOptions(args []string) (options, error) {
	o := options{Options: operator.Options{Version: version}}
	fs := flag.NewFlagSet("itil-operator", flag.ContinueOnError)
	fs.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"),
		"The operator's own namespace. Default: the environment variable POD_NAMESPACE.")
	fs.BoolVar(&o.LeaderElect, "leader-elect", false,
		"Let one of several replicas reconcile. All of them answer admission requests.")
	fs.StringVar(&o.ProbeAddress, "health-probe-bind-address", ":8081", "The address of /healthz and /readyz.")
	fs.StringVar(&o.MetricsAddress, "metrics-bind-address", "0", `The address of /metrics; "0" switches it off.`)
	fs.StringVar(&o.AlertAddress, "alert-intake-bind-address", "0",
		`The address at which Alertmanager's webhook messages are taken in (POST /alertmanager); "0" switches it off.`)
	fs.BoolVar(&o.MetricsInsecure, "metrics-insecure", false,
		"Serve metrics over plain HTTP to anybody. For a cluster on one's own machine.")
	fs.StringVar(&o.webhookAddress, "webhook-bind-address", ":9443", "The address of the admission webhooks.")
	fs.StringVar(&o.WebhookClientCA, "webhook-client-ca", "",
		"A file of the authorities that sign the client certificates which API servers show to webhooks. Default: they show none.")
	fs.StringVar(&o.webhookHosts, "webhook-hosts", "",
		"Further names and IP addresses, comma-separated, by which the API server calls the webhooks.")
	fs.StringVar(&o.certificates, "certificates", string(servingcert.Self),
		"Who makes the webhooks' certificate: self (the operator) or external (for example cert-manager).")
	fs.StringVar(&o.detect, "detect", "All",
		"Where incidents are detected: All namespaces but kube-system and the operator's, or only workloads that Services claim (Services).")
	fs.StringVar(&o.managers, "gitops-managers", fieldmanager.Known().String(),
		"The field managers, comma-separated, that put back what their source says. What they set, Releases and backouts leave to them.")
	fs.IntVar(&o.Concurrency, "concurrency", 4, "How many objects of a kind are reconciled at once.")
	o.ChangeRetention = change.DefaultRetention()
	fs.DurationVar(&o.ChangeRetention.Age, "change-retention", o.ChangeRetention.Age,
		"How long a Change is kept after it ended, in hours and smaller units. 0: for ever. One that a baseline, an open Incident or Problem or a Release refers to is kept longer.")
	fs.IntVar(&o.ChangeRetention.PerWorkload, "changes-per-workload", o.ChangeRetention.PerWorkload,
		"How many Changes that ended are kept of one workload, the newest. 0: all.")
	o.zap.BindFlags(fs)
	if err := fs.Parse(args); err != nil {
		return options{}, fmt.Errorf("%w; see --help", err)
	}
	return o, o.complete()
}

// complete checks the flags and computes what follows from them, all mistakes at once.
func (o *options) complete() error {
	var mistakes []error
	if o.Namespace == "" {
		mistakes = append(mistakes, errors.New("--namespace is needed where POD_NAMESPACE is not set"))
	}
	host, port, err := net.SplitHostPort(o.webhookAddress)
	if err == nil {
		o.WebhookHost = host
		o.WebhookPort, err = strconv.Atoi(port)
	}
	if err != nil || o.WebhookPort < 1 || o.WebhookPort > 65535 {
		mistakes = append(mistakes, fmt.Errorf("--webhook-bind-address=%q: want [HOST]:PORT", o.webhookAddress))
	}
	o.Certificates, o.Detect = servingcert.Authority(o.certificates), detection.Scope(o.detect)
	if o.certificates != string(servingcert.Self) && o.certificates != string(servingcert.External) {
		mistakes = append(mistakes, fmt.Errorf("--certificates=%q: want self or external", o.certificates))
	}
	if o.ChangeRetention.Age < 0 || o.ChangeRetention.PerWorkload < 0 {
		mistakes = append(mistakes, errors.New("--change-retention and --changes-per-workload cannot be below 0"))
	}
	if o.detect != "All" && o.detect != "Services" {
		mistakes = append(mistakes, fmt.Errorf("--detect=%q: want All or Services", o.detect))
	}
	if o.Managers, err = fieldmanager.Parse(o.managers); err != nil {
		mistakes = append(mistakes, fmt.Errorf("--gitops-managers: %w", err))
	}
	if o.Concurrency < 1 || o.Concurrency > 64 {
		mistakes = append(mistakes, fmt.Errorf("--concurrency=%d: want 1 to 64", o.Concurrency))
	}
	o.CertificateNames = certificateNames(o.Namespace, o.webhookHosts)
	return errors.Join(mistakes...)
}

// certificateNames are those of the Services, and the further hosts.
func certificateNames(namespace, hosts string) servingcert.Names {
	names := servingcert.Names{}
	for _, service := range []string{webhookService, metricsService, alertsService} {
		name := service + "." + namespace + ".svc"
		names.DNS = append(names.DNS, name, name+".cluster.local")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		host = strings.TrimSpace(host)
		if ip := net.ParseIP(host); ip != nil {
			names.IPs = append(names.IPs, ip)
		} else if host != "" {
			names.DNS = append(names.DNS, host)
		}
	}
	return names
}
