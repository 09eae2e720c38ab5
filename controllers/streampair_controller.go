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
	"github.com/streampair/streampair/controllers/addresses"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/notify"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/observed"
	"github.com/streampair/streampair/controllers/permit"
	"github.com/streampair/streampair/controllers/pods"
	"github.com/streampair/streampair/controllers/rollout"
	"github.com/streampair/streampair/controllers/status"
)

// ControllerName names the controller in logs and in metrics, and as the reporter of Events.
const ControllerName = "streampair"

// Actions of Events say what was done. Package status
// has the actions of Events about the picture.
const (
	actionReport = "Report"
	actionAdopt  = "Adopt"
)

const (
	defaultConcurrency = 8

	// A failed reconcile is tried again after firstRetry. The wait doubles up to longestRetry.
	// The longest wait bounds how late the status is once an API server is back.
	firstRetry   = 50 * time.Millisecond
	longestRetry = 5 * time.Second

	// reconcileTimeout keeps the reconcile of one pair from holding a worker for ever.
	// Without it an API server that hangs would, or a cache without the right to list.
	reconcileTimeout = time.Minute
)

// Settings are the operator's settings, from its flags.
type Settings struct {
	// Objects is what the objects of every pair depend on, beside the pair itself.
	Objects objects.Settings
	// AllowedExposure are the types of exposure that pairs may use
	// beside ClusterIP. Nil allows all types. A surface of a forbidden
	// type stays inside the cluster, and the condition Exposed says why.
	AllowedExposure []v1alpha1.ExposureType
	// LeaveOrphans has the operator leave objects alone that
	// a pair lost in a restore, instead of adopting them.
	LeaveOrphans bool
	// AllowedPodMetadata are the labels and annotations that pairs
	// may give their pods. Nil: [permit.DefaultPodMetadata].
	AllowedPodMetadata []permit.PodMetadata
	// Namespaced says that the operator has a Role and no ClusterRole. The
	// operator then reads no nodes. It takes a node's address from the pods.
	Namespaced bool
	// Concurrency is how many pairs are reconciled at the same time. Default 8.
	Concurrency int
	// MaxConcurrentRollouts is how many pairs at a time get a change that
	// comes from the operator, such as a new default image. 0: no limit.
	MaxConcurrentRollouts int
	// Operator identifies the release that runs this operator: namespace and name
	// of its Lease, joined by a slash. The value stays the same over restarts and
	// upgrades. Empty: the operator writes no marks and ignores those of others.
	Operator string
	// PodAddress returns host:port of a pod's command port. Default: its IP and 9091.
	PodAddress func(*corev1.Pod) string
}

// rules returns the settings that limit what pairs may ask for.
func (s Settings) rules() permit.Rules {
	return permit.Rules{
		AllowedExposure: s.AllowedExposure, AllowPodImages: s.Objects.AllowPodImages, AllowedPodMetadata: s.AllowedPodMetadata,
		CommonLabels: s.Objects.CommonLabels,
	}
}

// PodStreams is what a reconcile needs of [pods.Streams]: it follows the
// media pods of a pair, returns their last state, and sends them requests.
type PodStreams interface {
	Follow(pair types.NamespacedName, targets []pods.Target)
	State(pods.Key) pods.State
	PutConfig(ctx context.Context, pod pods.Key, manifest []byte, options ...pods.ConfigOption) error
	PutAddresses(ctx context.Context, pod pods.Key, addresses control.MediaAddresses) error
	PutPeers(ctx context.Context, pod pods.Key, peers control.Peers) error
	Source() source.Source
}

// StreamPairReconciler applies and reports StreamPairs. Its fields
// are set before SetupWithManager and not changed after that.
type StreamPairReconciler struct {
	// Client reads from the manager's cache and writes.
	Client client.Client
	// Reader asks the API server directly. It reads Secrets, which are
	// neither listed nor watched, and objects before they are overwritten.
	Reader client.Reader
	// Pods are the event streams of the media pods.
	Pods PodStreams
	// Recorder takes the Events.
	Recorder events.EventRecorder
	// Metrics of pairs; see [metrics.New].
	Metrics *metrics.Metrics
	// Resolver finds the addresses of load balancers that
	// only have a name. Default: [net.DefaultResolver].
	Resolver addresses.Resolver
	// Notifications sends events to receivers. Default: none are sent.
	Notifications *notify.Sender
	// Settings are the operator's settings.
	Settings Settings
	// Now is the clock. Default [time.Now].
	Now func() time.Time

	memories memories
	hosts    *addresses.Hosts // made by setDefaults
	turns    *rollout.Turns   // made by setDefaults
	// statusFields are the status fields that the cluster's definition of StreamPair lacks.
	statusFields statusFields
	marks        marks
}

// These are the operator's rights. Secrets are neither listed nor watched: the Secret with a
// pair's keys is read, created and renewed by name, and the Secrets that spec.notifications
// names are read by name. The API server demands update
// of finalizers from a client that sets an owner reference which blocks deletion.
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

// Reconcile observes one pair, decides, applies
// and reports. It reports even if applying failed.
func (r *StreamPairReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	pair := &v1alpha1.StreamPair{}
	if err := r.Client.Get(ctx, req.NamespacedName, pair); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !pair.DeletionTimestamp.IsZero() {
		// The garbage collector deletes its objects. None may be made again.
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	now := r.Now()
	if mine, wait, err := r.serves(ctx, pair, now); err != nil || !mine {
		return ctrl.Result{RequeueAfter: wait}, err
	}
	pair, refused := r.Settings.rules().Apply(pair)
	m := r.memories.of(pair)
	want := m.desiredOf(pair, r.Settings.Objects)
	seen, err := r.observe(ctx, pair, m, want, now)
	if err != nil {
		return ctrl.Result{}, errors.Join(err, r.reportUnreadable(ctx, pair, m, err, now))
	}
	m.noteReadable()
	plan, err := decide(pair, want, seen, r.takeTurn(pair, want, seen, now), now)
	if err != nil {
		return ctrl.Result{}, err
	}
	if plan.changesSecret() {
		m.secret = nil
	}
	outcome := r.apply(ctx, pair, want, plan)
	status, recheck := status.New(status.Facts{
		Pair: pair, Refused: refused, Seen: seen, Addresses: plan.Addresses, Rollout: plan.Rollout, Applied: &outcome.Applied,
		Last: m.last(pair), Before: m.before(pair), Progress: r.progressOf(pair), Now: now,
	})
	err = errors.Join(outcome.Err, r.report(ctx, pair, m, status))
	return ctrl.Result{RequeueAfter: hints.Earliest(plan.Recheck, hints.Earliest(outcome.Recheck, recheck))}, err
}

// takeTurn returns how far the rollout of a pair may go. If the rollout
// waits for a turn, and a turn is free, the pair takes the turn first.
func (r *StreamPairReconciler) takeTurn(pair *v1alpha1.StreamPair, want *desired, seen *observed.Pair, now time.Time) rollout.Rollout {
	name := client.ObjectKeyFromObject(pair)
	order := decideRollout(pair, want, seen, now)
	if order.WaitsForTurn && r.turns.Take(name) {
		seen.Turn = true
		order = decideRollout(pair, want, seen, now)
	}
	r.turns.Note(name, order)
	return order
}

// forget drops all that is kept about a pair that is
// gone, or that another operator has begun to serve.
func (r *StreamPairReconciler) forget(pair types.NamespacedName) {
	r.memories.forget(pair)
	r.Pods.Follow(pair, nil)
	if r.Notifications != nil {
		r.Notifications.Forget(pair)
	}
	r.Metrics.Forget(pair)
	r.turns.Forget(pair)
	r.marks.others.Forget(pair)
}

// SetupWithManager makes the manager call Reconcile for a pair when
// the pair or one of its objects changes, or one of its pods has news.
func (r *StreamPairReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.setDefaults()
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Pod{}, podsByPair, indexByPair); err != nil {
		return err
	}
	if err := errors.Join(mgr.Add(r.hosts), mgr.Add(r.turns)); err != nil {
		return err
	}
	built := ctrl.NewControllerManagedBy(mgr)
	if r.Notifications != nil {
		if err := mgr.Add(r.Notifications); err != nil {
			return err
		}
		built.WatchesRawSource(r.Notifications.Source())
	}
	return built.
		Named(ControllerName).
		// This controller writes the status, so a changed
		// status starts no reconcile. A changed mark does.
		For(&v1alpha1.StreamPair{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, r.markChanged()))).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(pairOfPod)).
		WatchesRawSource(r.Pods.Source()).
		WatchesRawSource(r.hosts.Source()).
		WatchesRawSource(r.turns.Source()).
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
			return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(objects.PortControl))
		}
	}
	if r.Resolver == nil {
		r.Resolver = net.DefaultResolver
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	r.hosts = addresses.NewHosts(r.Resolver, r.Now)
	r.turns = rollout.NewTurns(r.Settings.MaxConcurrentRollouts, r.Metrics)
}

// podsByPair is the index of pods by the pair that their label names.
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
