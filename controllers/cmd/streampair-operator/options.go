package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	// Registers --kubeconfig.
	_ "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers"
	"github.com/streampair/streampair/controllers/permit"
)

// The lease must outlast a restart of the API server,
// because a manager that cannot renew its lease ends.
var (
	leaseDuration = 120 * time.Second
	renewDeadline = 90 * time.Second
	retryPeriod   = 10 * time.Second
)

// outsideNamespace replaces the namespace for an operator
// outside the cluster. No namespace has this name.
const outsideNamespace = "(outside)"

// maxEgressMegabits is the most that a media server takes for --max-egress.
const maxEgressMegabits = 1_000_000

// options are the values of the command line.
type options struct {
	leaderElect bool
	// leaderElectionID is the name of the lease.
	leaderElectionID string
	// namespace is the operator's namespace; empty outside a cluster.
	namespace string
	// podName is the name of the operator's pod; empty outside a cluster.
	podName string
	// namespaces are the namespaces to watch; none: all, with a ClusterRole.
	namespaces []string

	metricsAddress                                  string
	metricsAuth                                     bool
	metricsCertDir, metricsCertName, metricsKeyName string
	probeAddress                                    string

	logFormat string
	logLevel  slog.Level

	settings controllers.Settings
	// notificationNetworks are the private networks that events may be sent to.
	notificationNetworks []netip.Prefix

	// probe is a URL to request instead of running; empty: none.
	probe string
}

// exposures are the values that --allowed-exposures accepts.
var exposures = []v1alpha1.ExposureType{
	v1alpha1.ExposureClusterIP, v1alpha1.ExposureNodePort, v1alpha1.ExposureLoadBalancer, v1alpha1.ExposureHostPort,
}

// parseOptions parses the command line. Its error has a line for each
// mistake. flag.ErrHelp means that the usage was printed to help.
func parseOptions(args []string, env func(string) string, help io.Writer) (options, error) {
	o := options{namespace: env("POD_NAMESPACE"), podName: env("POD_NAME")}
	f := flag.NewFlagSet("streampair-operator", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	// controller-runtime registers --kubeconfig with the default flag set.
	flag.CommandLine.VisitAll(func(g *flag.Flag) { f.Var(g.Value, g.Name, g.Usage) })

	f.BoolVar(&o.leaderElect, "leader-elect", false, "let one of several operators work at a time")
	f.StringVar(&o.leaderElectionID, "leader-election-id", "streampair-operator", "`NAME` of the lease; operators with the same name and namespace take turns")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8443", "serve metrics by HTTPS at this `ADDRESS`; 0: not at all")
	f.BoolVar(&o.metricsAuth, "metrics-auth", true, "ask the API server who may read metrics")
	cert := f.String("metrics-tls-cert", "", "PEM `FILE` of the metrics' certificate, read again when it changes; default: self-signed")
	key := f.String("metrics-tls-key", "", "PEM `FILE` of its key")
	f.StringVar(&o.probeAddress, "probe-address", ":8081", "serve /healthz and /readyz at this `ADDRESS`")
	namespaces := f.String("watch-namespaces", "", "work in these `NAMESPACES` only, with a Role in each; default: in all")
	f.StringVar(&o.settings.Objects.DefaultImage, "default-image", "ghcr.io/streampair/mediaserver:"+version, "the media server's `IMAGE`")
	f.BoolVar(&o.settings.Objects.DefaultImageHasFFmpeg, "default-image-has-ffmpeg", false, "give media pods of the default image 128 MiB of memory more, for the ffmpeg that is in it; spec.mediaServer.resources wins")
	f.BoolVar(&o.settings.Objects.AllowPodImages, "allow-pod-images", false, "let pairs choose their image (spec.mediaServer.image)")
	f.IntVar(&o.settings.Objects.MaxViewers, "max-viewers", 0, "accept `N` viewers at a time for each media pod; 0: the media server's default")
	f.IntVar(&o.settings.Objects.MaxEgressMegabits, "max-egress", 0, "let each media pod send viewers of WebRTC `N` Mbit/s while joins and switches repeat pictures; 0: the media server's default")
	metricsNamespaces := f.String("metrics-namespaces", "", "let only pods of these `NAMESPACES` read the metrics of media pods; default: all")
	f.BoolVar(&o.settings.Objects.NoViewerReports, "no-viewer-reports", false, "let media pods take no reports of players on what their viewers see")
	jwksNetworks := f.String("jwks-networks", "", "let media pods call URLs of JSON Web Key Sets at private addresses of these `NETWORKS`, a list of CIDRs; default: public addresses only")
	notificationNetworks := f.String("notification-networks", "", "send events (spec.notifications) to private addresses of these `NETWORKS`, a list of CIDRs; default: to public addresses only")
	f.BoolVar(&o.settings.Objects.ClusterChoosesUser, "cluster-chooses-user", false, "leave user and group out of media pods; for OpenShift, which assigns them")
	adopts := f.Bool("adopt-orphans", true, "adopt objects of a pair that lost their owner, for example in a restore; false: report them as a conflict")
	allowed := f.String("allowed-exposures", "ClusterIP,NodePort,LoadBalancer",
		"`TYPES` of exposure that pairs may use; HostPort lets whoever may write a pair take ports of nodes")
	podMetadata := f.String("allowed-pod-metadata", joinPodMetadata(permit.DefaultPodMetadata()),
		"labels and annotations that pairs may give their pods: `KEYS`, each KEY, KEY=VALUE or PREFIX*")
	commonLabels := f.String("common-labels", "", "`LABELS` of all objects and pods of every pair: KEY=VALUE,…")
	f.IntVar(&o.settings.Concurrency, "concurrency", 8, "reconcile `N` pairs at a time")
	f.IntVar(&o.settings.MaxConcurrentRollouts, "max-concurrent-rollouts", 10,
		"bring a new default image, and other changes by the operator, to `N` pairs at a time; 0: no limit")
	f.StringVar(&o.logFormat, "log-format", "text", "`FORMAT` of the log: text or json")
	f.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "lowest `LEVEL` that is logged: debug, info, warn or error")
	f.StringVar(&o.probe, "probe", "", "request this `URL` instead of running, and fail unless the answer is 200")
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
	o.settings.LeaveOrphans = !*adopts
	o.settings.Objects.MetricsNamespaces = namespacesOf("--metrics-namespaces", *metricsNamespaces)
	for _, network := range list(*jwksNetworks) {
		if _, err := netip.ParsePrefix(network); err != nil {
			add("--jwks-networks: %q is no network such as 10.0.0.0/8", network)
		}
		o.settings.Objects.JWKSNetworks = append(o.settings.Objects.JWKSNetworks, network)
	}
	for _, text := range list(*notificationNetworks) {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			add("--notification-networks: %q is no network such as 10.0.0.0/8", text)
			continue
		}
		o.notificationNetworks = append(o.notificationNetworks, network)
	}
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
	var err error
	if o.settings.AllowedPodMetadata, err = parsePodMetadata(*podMetadata); err != nil {
		add("--allowed-pod-metadata: %w", err)
	}
	if o.settings.Objects.CommonLabels, err = parseLabels(*commonLabels); err != nil {
		add("--common-labels: %w", err)
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
	if n := o.settings.Objects.MaxEgressMegabits; n < 0 || n > maxEgressMegabits {
		add("--max-egress: %d must be 0 to %d", n, maxEgressMegabits)
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
	o.settings.Operator = cmp.Or(o.namespace, outsideNamespace) + "/" + o.leaderElectionID
	o.settings.Objects.Version = version
	o.settings.Objects.OperatorNamespace = o.namespace
	// The labels are those in the chart and in config/manager.
	o.settings.Objects.OperatorLabels = map[string]string{
		"app.kubernetes.io/name": "streampair", "app.kubernetes.io/component": "operator",
	}
	return o, errors.Join(mistakes...)
}

// parsePodMetadata parses the allowed labels and annotations. An empty text allows none.
func parsePodMetadata(text string) ([]permit.PodMetadata, error) {
	all := []permit.PodMetadata{}
	for _, one := range list(text) {
		allowed, err := permit.ParsePodMetadata(one)
		if err != nil {
			return nil, err
		}
		all = append(all, allowed)
	}
	return all, nil
}

// parseLabels parses KEY=VALUE,….
func parseLabels(text string) (v1alpha1.Labels, error) {
	var labels v1alpha1.Labels
	for _, one := range list(text) {
		key, value, found := strings.Cut(one, "=")
		if !found {
			return nil, fmt.Errorf("%q is not KEY=VALUE", one)
		}
		if labels == nil {
			labels = v1alpha1.Labels{}
		}
		labels[key] = v1alpha1.LabelValue(value)
	}
	return labels, labels.Validate(nil).ToAggregate()
}

func joinPodMetadata(all []permit.PodMetadata) string {
	var texts []string
	for _, one := range all {
		texts = append(texts, string(one))
	}
	return strings.Join(texts, ",")
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// probe requests a URL. `helm test` runs it in the
// operator's own image, which has no other program for that.
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
