// Command streampair-operator reconciles StreamPairs: it makes their media pods, Services
// and keys, and reports what those pods say. It decides nothing about the picture: the
// media pods do, with or without it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers"
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
		// In a cluster. A file that cannot be read leaves the name servers that have a label.
		o.settings.Objects.NameServers, err = readNameServers(resolverFile)
		if err != nil {
			log.Error(err, "the name servers of the cluster are not known: pairs with egress Restricted reach those with a known label only")
		}
	}
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster (in a pod, by --kubeconfig or by KUBECONFIG): %w", err)
	}
	mgr, err := newManager(config, o, log)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version, "namespaces", o.namespaces, "defaultImage", o.settings.Objects.DefaultImage)
	return mgr.Start(ctx)
}

// newManager returns a manager that reconciles StreamPairs once it is started.
func newManager(config *rest.Config, o options, log logr.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	// Reconciles of one pair are few; those of 2,000 at a start must not wait for each
	// other. The API server limits by priority and fairness.
	config.QPS = -1
	config.UserAgent = "streampair-operator/" + version
	lock, err := o.lock(config)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Logger:                 log,
		Cache:                  controllers.CacheOptions(o.namespaces),
		Client:                 controllers.ClientOptions(),
		Metrics:                metricsOptions(o),
		HealthProbeBindAddress: o.probeAddress,
		LeaderElection:         o.leaderElect,
		LeaderElectionID:       o.leaderElectionID,
		// A pod that ends gives its place away at once. The long lease lets the leader
		// live through an API server's restart: nobody could take over meanwhile.
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
	pods := controllers.NewPods(controllers.PodsConfig{Log: log.WithName("pods")})
	reconciler := &controllers.StreamPairReconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Pods: pods,
		Recorder: mgr.GetEventRecorder("streampair-operator"),
		Metrics:  controllers.NewMetrics(metrics.Registry),
		Settings: o.settings,
	}
	if err := errors.Join(
		mgr.Add(pods),
		reconciler.SetupWithManager(mgr),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("ping", healthz.Ping),
	); err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	return mgr, nil
}

// lock is the lease in the name of the pod, nil for the manager's own where that is not
// known. A container that was killed leaves the lease behind: the next one of the same pod,
// which can run only when the first is dead, goes on with it instead of waiting for its end.
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

// metricsOptions serves metrics by HTTPS, to whom the API server lets read them. The
// certificate is read again when its files change; without one it is self-signed.
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
