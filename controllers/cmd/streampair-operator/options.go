package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	// Registers --kubeconfig.
	_ "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers"
)

// The lease outlives an API server's restart: a manager that cannot renew its lease ends.
var (
	leaseDuration = 120 * time.Second
	renewDeadline = 90 * time.Second
	retryPeriod   = 10 * time.Second
)

// options are what the command line says.
type options struct {
	leaderElect bool
	// leaderElectionID names the lease.
	leaderElectionID string
	// namespace is the operator's own; empty outside a cluster.
	namespace string
	// podName is the operator's own; empty outside a cluster.
	podName string
	// namespaces to watch; none: all, with a ClusterRole.
	namespaces []string

	metricsAddress                                  string
	metricsAuth                                     bool
	metricsCertDir, metricsCertName, metricsKeyName string
	probeAddress                                    string

	logFormat string
	logLevel  slog.Level

	settings controllers.Settings

	// probe is a URL: ask that and end.
	probe string
}

// exposures are the types that --allowed-exposures knows.
var exposures = []v1alpha1.ExposureType{
	v1alpha1.ExposureClusterIP, v1alpha1.ExposureNodePort, v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureHostPort,
}

// parseOptions reads the command line. Its errors have a line for each mistake;
// flag.ErrHelp means that the usage was printed to help.
func parseOptions(args []string, env func(string) string, help io.Writer) (options, error) {
	o := options{namespace: env("POD_NAMESPACE"), podName: env("POD_NAME")}
	f := flag.NewFlagSet("streampair-operator", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	// --kubeconfig is registered by controller-runtime with the default set.
	flag.CommandLine.VisitAll(func(g *flag.Flag) { f.Var(g.Value, g.Name, g.Usage) })

	f.BoolVar(&o.leaderElect, "leader-elect", false, "let one of several operators work at a time")
	f.StringVar(&o.leaderElectionID, "leader-election-id", "streampair-operator", "`NAME` of the lease; operators of one name and namespace take turns")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8443", "serve metrics by HTTPS at this `ADDRESS`; 0: not at all")
	f.BoolVar(&o.metricsAuth, "metrics-auth", true, "ask the API server who may read metrics")
	cert := f.String("metrics-tls-cert", "", "PEM `FILE` of the metrics' certificate, read again when it changes; default: self-signed")
	key := f.String("metrics-tls-key", "", "PEM `FILE` of its key")
	f.StringVar(&o.probeAddress, "probe-address", ":8081", "serve /healthz and /readyz at this `ADDRESS`")
	namespaces := f.String("watch-namespaces", "", "work in these `NAMESPACES` only, with a Role in each; default: in all")
	f.StringVar(&o.settings.Objects.DefaultImage, "default-image", "ghcr.io/streampair/mediaserver:"+version, "the media server's `IMAGE`")
	f.BoolVar(&o.settings.Objects.AllowPodImages, "allow-pod-images", false, "let pairs choose their image (spec.mediaServer.image)")
	f.IntVar(&o.settings.Objects.MaxViewers, "max-viewers", 0, "`N` viewers of one media pod at a time; 0: the media server's default")
	metricsNamespaces := f.String("metrics-namespaces", "", "let only pods of these `NAMESPACES` read the metrics of media pods; default: all")
	f.BoolVar(&o.settings.Objects.ClusterChoosesUser, "cluster-chooses-user", false, "leave user and group out of media pods, for OpenShift, which assigns them")
	allowed := f.String("allowed-exposures", "ClusterIP,NodePort,LoadBalancer",
		"`TYPES` of exposure that pairs may use; with HostPort too, who may write a pair may take ports of nodes")
	f.IntVar(&o.settings.Concurrency, "concurrency", 8, "reconcile `N` pairs at a time")
	f.IntVar(&o.settings.MaxConcurrentRollouts, "max-concurrent-rollouts", 10,
		"bring a new default image, and other changes of the operator's, to `N` pairs at a time; 0: to all")
	f.StringVar(&o.logFormat, "log-format", "text", "`FORMAT` of the log: text or json")
	f.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "least `LEVEL` of what is logged: debug, info, warn or error")
	f.StringVar(&o.probe, "probe", "", "ask this `URL`, and fail unless it answers 200")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			f.SetOutput(help)
			f.Usage()
		}
		return options{}, err
	}

	var mistakes []error
	add := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if f.NArg() > 0 {
		add("unexpected argument %q", f.Arg(0))
	}
	namespacesOf := func(flag, value string) []string {
		names := list(value)
		for _, n := range names {
			if wrong := validation.IsDNS1123Label(n); len(wrong) > 0 {
				add("%s: %q is no namespace: %s", flag, n, wrong[0])
			}
		}
		return names
	}
	o.namespaces = namespacesOf("--watch-namespaces", *namespaces)
	o.settings.Namespaced = len(o.namespaces) > 0
	o.settings.Objects.MetricsNamespaces = namespacesOf("--metrics-namespaces", *metricsNamespaces)
	if o.settings.Concurrency < 1 {
		add("--concurrency: %d, but at least 1 pair at a time", o.settings.Concurrency)
	}
	if o.settings.MaxConcurrentRollouts < 0 {
		add("--max-concurrent-rollouts: %d, but 0 is no limit and 1 the lowest", o.settings.MaxConcurrentRollouts)
	}
	for _, e := range list(*allowed) {
		if !slices.Contains(exposures, v1alpha1.ExposureType(e)) {
			add("--allowed-exposures: %q is none of %v", e, exposures)
			continue
		}
		o.settings.AllowedExposure = append(o.settings.AllowedExposure, v1alpha1.ExposureType(e))
	}
	if len(o.settings.AllowedExposure) == 0 {
		add("--allowed-exposures: name at least ClusterIP")
	}
	if (*cert == "") != (*key == "") {
		add("--metrics-tls-cert and --metrics-tls-key belong together")
	} else if *cert != "" {
		if filepath.Dir(*cert) != filepath.Dir(*key) {
			add("--metrics-tls-cert and --metrics-tls-key must be in one folder")
		}
		o.metricsCertDir, o.metricsCertName, o.metricsKeyName = filepath.Dir(*cert), filepath.Base(*cert), filepath.Base(*key)
	}
	if o.settings.Objects.DefaultImage == "" {
		add("--default-image: name the media server's image")
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		add("--log-format: %q is neither text nor json", o.logFormat)
	}
	if o.leaderElect && o.namespace == "" {
		add("--leader-elect needs POD_NAMESPACE, the namespace for the lease")
	}
	if wrong := validation.IsDNS1123Subdomain(o.leaderElectionID); len(wrong) > 0 {
		add("--leader-election-id: %q is no name of a lease: %s", o.leaderElectionID, wrong[0])
	}
	o.settings.Objects.Version = version
	o.settings.Objects.OperatorNamespace = o.namespace
	// As in the chart and in config/manager.
	o.settings.Objects.OperatorLabels = map[string]string{
		"app.kubernetes.io/name": "streampair", "app.kubernetes.io/component": "operator",
	}
	return o, errors.Join(mistakes...)
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// probe asks a URL, as `helm test` does with the operator's own image, which holds
// nothing else that could.
func probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("--probe: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return nil
}
