// Package notify sends the events of pairs to the receivers in spec.notifications, as the Standard
// Webhooks specification says. [Sender] is where to start.
//
// The package takes events from the status of a pair after the status was written, and never decides
// what an event is. The status has how far each receiver is, so a new operator goes on there. A
// receiver gets the events of a pair in order, and each event at least once; the id of an event is
// always the same.
package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/history"
	"github.com/streampair/streampair/controllers/metrics"
	"github.com/streampair/streampair/controllers/oneline"
)

// maxRequests is how many requests are under way at a time. A receiver that hangs takes one for
// postTimeout, and then waits for much longer.
const maxRequests = 128

// Config configures a Sender.
type Config struct {
	// Reader asks the API server for Secrets, by name. It is required.
	Reader client.Reader
	// Networks are the networks that may be called beside the public internet. Default: none.
	Networks []netip.Prefix
	// TLS is how connections are made. Default: the system's certificate authorities.
	TLS *tls.Config
	// Metrics counts deliveries. It is required.
	Metrics *metrics.Metrics
	// Log gets one line when a receiver begins to fail, and when it takes events again. The zero value
	// discards.
	Log logr.Logger
}

// A Sender sends events. Follow says which receivers there are. Each receiver with events to send has
// a goroutine of its own, so that a slow one holds up nothing else.
type Sender struct {
	cfg    Config
	client *http.Client
	hints  *hints.Queue
	slots  chan struct{} // has an element for each request under way
	// attempt is post; tests replace it.
	attempt func(context.Context, *receiver, v1alpha1.HistoryEntry) (int, error)

	mu    sync.Mutex // guards all below, and the fields of receiver that say so
	pairs map[types.NamespacedName]map[string]*receiver
	start func(*receiver) // starts the receiver's goroutine; nil unless Run runs
}

// A receiver is one receiver of one pair.
type receiver struct {
	pair   types.NamespacedName
	uid    types.UID
	target v1alpha1.Notification

	// Guarded by Sender.mu.
	queue queue
	end   context.CancelFunc // ends the goroutine; nil: there is none
	fault string             // why the last attempt failed; empty: it did not
}

// New returns a Sender that follows nothing yet.
func New(cfg Config) *Sender {
	if cfg.Log.GetSink() == nil {
		cfg.Log = logr.Discard()
	}
	s := &Sender{
		cfg: cfg, client: newClient(cfg.Networks, cfg.TLS), hints: hints.NewQueue(), slots: make(chan struct{}, maxRequests),
		pairs: map[types.NamespacedName]map[string]*receiver{},
	}
	s.attempt = s.post
	return s
}

// NeedLeaderElection implements manager.LeaderElectionRunnable. Two operators would send each event
// twice.
func (*Sender) NeedLeaderElection() bool { return true }

// Source makes a controller reconcile a pair when one of its receivers got an event, or failed.
func (s *Sender) Source() source.Source { return s.hints.Source() }

// Start is Run, under the name that manager.Runnable requires.
func (s *Sender) Start(ctx context.Context) error { return s.Run(ctx) }

// Run sends events until ctx ends. It returns nil once no request is under way.
func (s *Sender) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var sending sync.WaitGroup
	s.mu.Lock()
	if s.start != nil {
		s.mu.Unlock()
		return errors.New("events are being sent already")
	}
	s.start = func(r *receiver) {
		ctx, end := context.WithCancel(ctx)
		r.end = end
		sending.Go(func() {
			defer end()
			s.send(ctx, r)
		})
	}
	for _, receivers := range s.pairs {
		for _, r := range receivers {
			s.startIfNeeded(r)
		}
	}
	s.mu.Unlock()

	s.hints.Deliver(ctx)

	s.mu.Lock()
	s.start = nil
	s.mu.Unlock()
	stop()
	sending.Wait()
	return nil
}

// Follow sends the events of a pair's status to the receivers in its spec. The status must have been
// written: an event's number counts from then on. Receivers that are no longer in the spec get
// nothing more.
func (s *Sender) Follow(pair *v1alpha1.StreamPair, status *v1alpha1.StreamPairStatus) {
	name := types.NamespacedName{Namespace: pair.Namespace, Name: pair.Name}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.pairs[name]
	if len(before) == 0 && len(pair.Spec.Notifications) == 0 {
		return
	}
	now := time.Now()
	after := make(map[string]*receiver, len(pair.Spec.Notifications))
	for _, target := range pair.Spec.Notifications {
		r := before[target.Name]
		if r == nil || r.uid != pair.UID || !reflect.DeepEqual(r.target, target) {
			r = r.replacement(name, pair.UID, target)
		}
		r.take(status, now)
		after[target.Name] = r
		s.startIfNeeded(r)
	}
	for key, r := range before {
		if after[key] != r {
			r.stop()
		}
	}
	s.setReceivers(name, after)
}

// replacement returns a receiver with the progress of r, which was set otherwise. r may be nil, or of
// another pair.
func (r *receiver) replacement(pair types.NamespacedName, uid types.UID, target v1alpha1.Notification) *receiver {
	fresh := &receiver{pair: pair, uid: uid, target: target}
	if r != nil && r.uid == uid {
		fresh.queue.progress = r.queue.progress
	}
	return fresh
}

// take takes over what a written status says. Sender.mu is held.
func (r *receiver) take(status *v1alpha1.StreamPairStatus, now time.Time) {
	progress := &r.queue.progress
	for _, known := range status.Notifications {
		switch {
		case known.Name != r.target.Name:
		case progress.Name == "":
			*progress = known
		default: // an attempt may have ended since
			progress.Position = max(progress.Position, known.Position)
		}
	}
	if progress.Name != "" { // otherwise the status does not have the receiver yet
		r.queue = r.queue.with(status.History, func(e v1alpha1.HistoryEntry) bool { return history.Wants(r.target, *progress, e) }, now)
	}
}

// stop ends what is done for a receiver. Sender.mu is held.
func (r *receiver) stop() {
	if r.end != nil {
		r.end()
	}
}

// startIfNeeded starts the goroutine of a receiver that has events to send. Sender.mu is held.
func (s *Sender) startIfNeeded(r *receiver) {
	if _, _, found := r.queue.next(time.Now()); found && r.end == nil && s.start != nil {
		s.start(r)
	}
}

func (s *Sender) setReceivers(pair types.NamespacedName, receivers map[string]*receiver) {
	if len(receivers) == 0 {
		delete(s.pairs, pair)
		return
	}
	s.pairs[pair] = receivers
}

// Forget ends all that is done for a pair.
func (s *Sender) Forget(pair types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.pairs[pair] {
		r.stop()
	}
	delete(s.pairs, pair)
}

// Progress returns how far a receiver is; zero if it is not followed.
func (s *Sender) Progress(pair *v1alpha1.StreamPair, name string) v1alpha1.NotificationStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.pairs[types.NamespacedName{Namespace: pair.Namespace, Name: pair.Name}][name]
	if r == nil || r.uid != pair.UID {
		return v1alpha1.NotificationStatus{}
	}
	return r.queue.progress
}

// send sends the receiver's events, one after the other, until there is none or ctx ends.
func (s *Sender) send(ctx context.Context, r *receiver) {
	for {
		s.mu.Lock()
		e, wait, found := r.queue.next(time.Now())
		if !found || ctx.Err() != nil {
			r.end = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if wait > 0 {
			pause(ctx, wait)
			continue
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		code, err := s.confined(ctx, r, e)
		<-s.slots
		s.noteAttempt(r, e, code, err)
	}
}

// confined makes an attempt. A panic in what a receiver answered is a failure of this receiver.
func (s *Sender) confined(ctx context.Context, r *receiver, e v1alpha1.HistoryEntry) (code int, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			code, err = 0, fmt.Errorf("panic: %v", reason)
			s.cfg.Log.Error(err, "sending an event panicked", "stack", string(debug.Stack()))
		}
	}()
	return s.attempt(ctx, r, e)
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// noteAttempt notes how an attempt ended, and hints at the pair if its status shows that.
func (s *Sender) noteAttempt(r *receiver, e v1alpha1.HistoryEntry, code int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pairs[r.pair][r.target.Name] != r || s.start == nil {
		return // the attempt was cut off, or nobody wants to know
	}
	if len(r.queue.waiting) == 0 || r.queue.waiting[0].entry.Number != e.Number {
		return // the event was given up meanwhile, since too many others wait
	}
	before := r.queue.progress
	var end outcome
	r.queue, end = r.queue.after(messageID(r.uid, e), code, time.Now(), rand.Float64()) //nolint:gosec // no secret is made of it
	s.logChange(r, end, code, err)
	s.cfg.Metrics.Notified(r.pair, r.target.Name, end.String())
	if !reflect.DeepEqual(before, r.queue.progress) {
		s.hints.Add(r.pair)
	}
}

// logChange logs that a receiver begins to fail, fails for another reason, or takes events again.
// Sender.mu is held.
func (s *Sender) logChange(r *receiver, end outcome, code int, err error) {
	log := s.cfg.Log.WithValues("pair", r.pair.String(), "receiver", r.target.Name)
	fault := ""
	switch {
	case end == delivered:
	case err != nil:
		fault = oneline.Short(err.Error())
	default:
		fault = fmt.Sprintf("the answer has the status %d", code)
	}
	switch {
	case end == gaveUp:
		log.Info("event given up", "reason", fault)
	case fault != "" && fault != r.fault:
		log.Info("receiver does not take events", "reason", fault)
	case fault == "" && r.fault != "":
		log.Info("receiver takes events again")
	}
	r.fault = fault
}

// String returns the outcome as the metric has it.
func (o outcome) String() string { return [...]string{"delivered", "failed", "gave_up"}[o] }
