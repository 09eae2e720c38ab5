package controllers

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// ControllerName is the controller in logs, in metrics and as the reporter of Events.
const ControllerName = "streampair"

const (
	defaultConcurrency = 8

	// A failed reconcile is tried again after this, doubling. The longest wait is how
	// late the status may be once an API server is back.
	firstRetry   = 50 * time.Millisecond
	longestRetry = 5 * time.Second

	// reconcileTimeout keeps one pair's reconcile from holding a worker for ever, be it by
	// an API server that hangs, be it by a cache that must not list what it is asked for.
	reconcileTimeout = time.Minute
)

// Settings are the operator's own, from its flags.
type Settings struct {
	// Objects is what the objects of every pair depend on beside the pair.
	Objects ObjectSettings
	// AllowedExposure are the types of exposure that pairs may use beside ClusterIP; nil:
	// all of them. A surface of another type stays in the cluster, and Exposed says why.
	AllowedExposure []v1alpha1.ExposureType
	// Namespaced says that the operator has a Role and no ClusterRole: nodes are then not
	// read, and a node's address is what its pods say.
	Namespaced bool
	// Concurrency is how many pairs are reconciled at the same time. Default 8.
	Concurrency int
	// MaxConcurrentRollouts is how many pairs at a time get a change that the operator
	// brings, such as a new default image. 0: no limit.
	MaxConcurrentRollouts int
	// PodAddress returns host:port of a pod's command port. Default: its IP and 9091.
	PodAddress func(*corev1.Pod) string
}

// PodStreams is what a reconcile needs of [Pods]: following the media pods of a pair, what
// they said last, and telling them.
type PodStreams interface {
	Follow(pair types.NamespacedName, targets []PodTarget)
	State(PodKey) PodState
	PutConfig(ctx context.Context, pod PodKey, manifest []byte) error
	PutAddresses(ctx context.Context, pod PodKey, addresses control.MediaAddresses) error
	PutPeers(ctx context.Context, pod PodKey, peers control.Peers) error
	Source() source.Source
}

// StreamPairReconciler makes and reports StreamPairs. Its fields are set before
// SetupWithManager and not changed after.
type StreamPairReconciler struct {
	// Client reads from the manager's cache and writes.
	Client client.Client
	// Reader asks the API server: for Secrets, which are neither listed nor watched, and
	// before an object is written over.
	Reader client.Reader
	// Pods are the event streams of the media pods.
	Pods PodStreams
	// Recorder takes the Events.
	Recorder events.EventRecorder
	// Metrics of pairs; see [NewMetrics].
	Metrics *Metrics
	// Resolver finds the addresses of load balancers that have a name only. Default:
	// [net.DefaultResolver].
	Resolver Resolver
	// Settings are the operator's.
	Settings Settings
	// Now is the clock. Default [time.Now].
	Now func() time.Time

	wanted   wantedCache
	hosts    *hostCache // made by setDefaults
	turns    *turns     // made by setDefaults
	reported reports
	// statusFields are those that the cluster does not know.
	statusFields statusFields
}

// What the operator may do. Secrets are neither listed nor watched: keys of a pair are
// read, made and renewed by name. The API server wants update of finalizers from who makes
// owner references that block a deletion.
//
// +kubebuilder:rbac:groups=media.streampair.dev,resources=streampairs,verbs=get;list;watch
// +kubebuilder:rbac:groups=media.streampair.dev,resources=streampairs/status,verbs=patch
// +kubebuilder:rbac:groups=media.streampair.dev,resources=streampairs/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create;patch
// +kubebuilder:rbac:groups="",resources=configmaps;serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile observes one pair, decides, applies, and reports, also when applying failed.
func (r *StreamPairReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	pair := &v1alpha1.StreamPair{}
	if err := r.Client.Get(ctx, req.NamespacedName, pair); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !pair.DeletionTimestamp.IsZero() {
		// Its objects go with their owner; what is missing now must stay so.
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	now := r.Now()
	pair, refused := r.Settings.permit(pair)
	want := r.wanted.of(pair, r.Settings.Objects)
	seen, err := r.observe(ctx, pair, want, now)
	if err != nil {
		return ctrl.Result{}, errors.Join(err, r.reportBlindness(ctx, pair, err, now))
	}
	r.reported.sees(pair)
	r.settleDoubts(ctx, pair, want, seen)
	plan, err := r.decideInTurn(pair, want, seen, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	outcome := r.apply(ctx, pair, want, plan)
	status, recheck := newStatus(pair, refused, seen, plan, outcome, r.reported.last(pair), r.reported.before(pair), now)
	err = errors.Join(outcome.Err, r.report(ctx, pair, status))
	return ctrl.Result{RequeueAfter: earliest(plan.Recheck, earliest(outcome.Recheck, recheck))}, err
}

// decideInTurn decides, and once more if the pair's turn to be updated has come.
func (r *StreamPairReconciler) decideInTurn(pair *v1alpha1.StreamPair, want *wanted, seen *Observation, now time.Time) (*Plan, error) {
	name := client.ObjectKeyFromObject(pair)
	plan, err := decide(pair, want, seen, now)
	if err == nil && plan.Rollout.WaitsForTurn && r.turns.take(name) {
		seen.Turn = true
		plan, err = decide(pair, want, seen, now)
	}
	if err == nil {
		r.turns.settle(name, plan.Rollout)
	}
	return plan, err
}

// forget drops what is kept about a pair that is gone.
func (r *StreamPairReconciler) forget(pair types.NamespacedName) {
	r.Pods.Follow(pair, nil)
	r.Metrics.Forget(pair)
	r.reported.forget(pair)
	r.wanted.forget(pair)
	r.turns.forget(pair)
}

// SetupWithManager has the manager call Reconcile for every pair that changed, whose
// objects changed, or whose pods have news.
func (r *StreamPairReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.setDefaults()
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Pod{}, podsByPair, indexByPair); err != nil {
		return err
	}
	if err := errors.Join(mgr.Add(r.hosts), mgr.Add(r.turns)); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named(ControllerName).
		// The status is written here, and is no reason to look again.
		For(&v1alpha1.StreamPair{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(pairOfPod)).
		WatchesRawSource(r.Pods.Source()).
		WatchesRawSource(r.hosts.source()).
		WatchesRawSource(r.turns.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Settings.Concurrency,
			ReconciliationTimeout:   reconcileTimeout,
			LogConstructor:          logConstructor(mgr.GetLogger(), newLogLimit(r.Now)),
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
		}).
		Complete(r)
}

func (r *StreamPairReconciler) setDefaults() {
	if r.Settings.Concurrency == 0 {
		r.Settings.Concurrency = defaultConcurrency
	}
	if r.Settings.PodAddress == nil {
		r.Settings.PodAddress = func(pod *corev1.Pod) string {
			return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(PortControl))
		}
	}
	if r.Resolver == nil {
		r.Resolver = net.DefaultResolver
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	r.hosts = newHostCache(r.Resolver, r.Now)
	r.turns = newTurns(r.Settings.MaxConcurrentRollouts, r.Metrics)
}

// podsByPair indexes pods by the pair that their label names.
const podsByPair = "media.streampair.dev/pair"

func indexByPair(o client.Object) []string {
	if pair := o.GetLabels()[v1alpha1.LabelPair]; pair != "" {
		return []string{pair}
	}
	return nil
}

func pairOfPod(_ context.Context, o client.Object) []reconcile.Request {
	pair := o.GetLabels()[v1alpha1.LabelPair]
	if pair == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: pair}}}
}

// earliest returns the shorter of two waits, of which 0 is none.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
