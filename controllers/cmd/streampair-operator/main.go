// Command streampair-operator reconciles StreamPairs. It makes their media pods,
// Services and keys, and reports the state of the pods. It decides nothing about
// the picture. The media pods decide that, whether the operator runs or not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/namespaces"
	"github.com/streampair/streampair/controllers/notify"
	"github.com/streampair/streampair/controllers/pods"
)

// version is set by the linker.
var version = "devel"

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, env, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.probe != "" {
		return probe(ctx, o.probe)
	}
	log := o.logger(stderr)
	if o.namespace != "" {
		// The operator runs in a cluster. If the file cannot be read,
		// media pods only reach name servers with a known label.
		o.settings.Objects.NameServers, err = readNameServers(resolverFile)
		if err != nil {
			log.Error(err, "the cluster's name servers are unknown: pairs with egress Restricted reach only name servers with a known label")
		}
	}
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster (in a pod, by --kubeconfig or by KUBECONFIG): %w", err)
	}
	log.Info("starting", "version", version, "namespaces", o.namespaces, "defaultImage", o.settings.Objects.DefaultImage)
	return endsInTime(ctx, log, func() error {
		mgr, err := newManager(config, o, log)
		if err != nil {
			return err
		}
		return mgr.Start(ctx)
	})
}

const (
	// gracefulShutdown is how long work that has begun may continue once the
	// operator is told to end. After that the operator releases the lease.
	gracefulShutdown = 3 * time.Second
	// longestShutdown is when the operator ends even if something still hangs,
	// such as an API server that does not answer the release of the lease.
	longestShutdown = gracefulShutdown + 1500*time.Millisecond
)

// endsInTime runs the operator, and returns once it has ended, at most longestShutdown
// after ctx has ended. An operator that was told to end returns no error.
func endsInTime(ctx context.Context, log logr.Logger, run func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		if err != nil {
			log.Error(err, "the operator did not end cleanly")
		}
	case <-time.After(longestShutdown):
		log.Info("the operator did not end cleanly: something still runs", "after", longestShutdown.String())
	}
	return nil
}

// newManager returns a manager that reconciles StreamPairs once it is started.
func newManager(config *rest.Config, o options, log logr.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	// One pair causes few requests. The requests of 2,000 pairs at a start must not
	// wait for each other. The API server limits requests by priority and fairness.
	config.QPS = -1
	config.UserAgent = "streampair-operator/" + version
	lock, err := o.lock(config)
	if err != nil {
		return nil, err
	}
	served, grace := namespaces.New(o.namespaces, log, ctrlmetrics.Registry), gracefulShutdown
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Logger:                 log,
		Cache:                  namespaces.CacheOptions(o.namespaces),
		NewCache:               served.NewCache,
		Client:                 namespaces.ClientOptions(),
		Metrics:                metricsOptions(o),
		HealthProbeBindAddress: "0", // see addProbes
		LeaderElection:         o.leaderElect,
		LeaderElectionID:       o.leaderElectionID,

		GracefulShutdownTimeout: &grace,
		// A pod that ends releases the lease at once. The long lease lets the leader
		// survive a restart of the API server, during which nobody could take over.
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,

		LeaderElectionResourceLockInterface: lock,

		LeaseDuration: &leaseDuration,
		RenewDeadline: &renewDeadline,
		RetryPeriod:   &retryPeriod,
	})
	if err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	streams := pods.New(pods.Config{Log: log.WithName("pods")})
	counted := metrics.New(ctrlmetrics.Registry)
	reconciler := &controllers.StreamPairReconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Pods: streams,
		Recorder: mgr.GetEventRecorder("streampair-operator"),
		Metrics:  counted,
		Settings: o.settings,
		Notifications: notify.New(notify.Config{
			Reader: mgr.GetAPIReader(), Networks: o.notificationNetworks, Metrics: counted, Log: log.WithName("notifications"),
		}),
	}
	if o.leaderElect {
		err = mgr.Add(&leaseOwner{
			reader: mgr.GetAPIReader(), writer: mgr.GetClient(), log: log,
			lease: client.ObjectKey{Namespace: o.namespace, Name: o.leaderElectionID}, labels: o.settings.Objects.OperatorLabels,
		})
	}
	if err := errors.Join(err, mgr.Add(streams), reconciler.SetupWithManager(mgr), addProbes(mgr, o.probeAddress, served)); err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	return mgr, nil
}

// addProbes serves /healthz and /readyz, even before the caches are
// filled. The manager's own handlers do not say what is missing.
func addProbes(mgr ctrl.Manager, address string, ready http.Handler) error {
	if address == "" || address == "0" {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("--probe-address: %w", err)
	}
	alive := &healthz.Handler{}
	mux := http.NewServeMux()
	mux.Handle("/healthz", http.StripPrefix("/healthz", alive))
	mux.Handle("/healthz/", http.StripPrefix("/healthz/", alive))
	mux.Handle("/readyz", ready)
	mux.Handle("/readyz/", ready)
	patience := time.Second
	return mgr.Add(&manager.Server{
		Name: "probes", Listener: listener, ShutdownTimeout: &patience,
		Server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 90 * time.Second, MaxHeaderBytes: 16 << 10},
	})
}

// lock returns the lease with the name of the pod as its holder. It returns nil, for
// the manager's own lease, if the name is unknown. A container that was killed leaves
// the lease behind. The next container of the same pod, which can only run once the
// first is dead, continues with that lease. It need not wait until the lease expires.
func (o options) lock(config *rest.Config) (resourcelock.Interface, error) {
	if !o.leaderElect || o.podName == "" {
		return nil, nil //nolint:nilnil // as the manager has it
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.namespace, o.leaderElectionID,
		resourcelock.ResourceLockConfig{Identity: o.podName}, config, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("set up the lease: %w", err)
	}
	return lock, nil
}

// metricsOptions serves metrics by HTTPS to clients that the API server authorizes.
// The certificate is read again when its files change. Without one it is self-signed.
func metricsOptions(o options) metricsserver.Options {
	m := metricsserver.Options{
		BindAddress: o.metricsAddress, SecureServing: true,
		CertDir: o.metricsCertDir, CertName: o.metricsCertName, KeyName: o.metricsKeyName,
	}
	if o.metricsAuth {
		m.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return m
}

func (o options) logger(w io.Writer) logr.Logger {
	handler := &slog.HandlerOptions{Level: o.logLevel}
	if o.logFormat == "json" {
		return logr.FromSlogHandler(slog.NewJSONHandler(w, handler))
	}
	return logr.FromSlogHandler(slog.NewTextHandler(w, handler))
}
