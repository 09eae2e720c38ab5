// Package pods follows media pods. It keeps an event stream to each
// pod, and pushes documents to the pods. [Streams] is where to start.
//
// Other packages decide what the pods are told, and what the pair's status says of them.
package pods

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/hints"
	"github.com/streampair/streampair/controllers/oneline"
)

// UnreachableAfter is how long a media pod may be out of reach before the pair's
// status says Unknown. A shorter time would report each restart of a node's network.
const UnreachableAfter = 15 * time.Second

// A Key identifies one media pod. A pod that replaces another has another UID.
type Key struct {
	Namespace, Pair string
	Role            v1alpha1.Role
	UID             types.UID
}

func (k Key) pair() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Pair}
}

// A Target says how to reach a media pod's command port.
type Target struct {
	Key Key
	// Name is the pod's name, for the log.
	Name string
	// Address is the IP:port of the command port.
	Address string
	// Token is the bearer token.
	Token string
	// Certificate is the exact certificate that the pod must show,
	// as PEM. Without a certificate nothing is sent to the pod.
	Certificate []byte
	// ServerName is sent in the TLS handshake.
	ServerName string
	// Started is when the pod's container was last started. Zero: it was not
	// started, or the time is unknown. The operator connects to a pod that has
	// just started at once, because its peer may wait to hear how the pod relays.
	Started time.Time

	// before has a replaced token and certificate, for a pod that has not read the renewed
	// Secret yet. Nil: nothing was replaced, or the pod has shown the new certificate.
	before *replacedKeys
}

// replacedKeys are accepted until the kubelet has had time to deliver the new ones,
// and no longer. Somebody who took the old keys may answer at the pod's address.
type replacedKeys struct {
	token       string
	certificate []byte
	until       time.Time
}

// replacedFor is how long replaced keys are accepted. A
// kubelet delivers a changed Secret within a minute or two.
const replacedFor = 5 * time.Minute

func (t Target) equal(o Target) bool {
	return t.Key == o.Key && t.Name == o.Name && t.Address == o.Address && t.Token == o.Token &&
		t.ServerName == o.ServerName && t.Started.Equal(o.Started) && bytes.Equal(t.Certificate, o.Certificate)
}

// State is what is known of a media pod.
type State struct {
	// Connected says that the event stream is open and has delivered a status.
	Connected bool
	// Since is when Connected last changed, or when the pod was first
	// followed. For a pod that fell silent it is the time of its last line.
	Since time.Time
	// Status is the last one received; nil before the first. It
	// stays after the stream has ended. Callers must not change it.
	Status *control.Status
	// Err says in one line why the pod is not connected. Empty: no attempt has failed yet.
	Err string
}

// Config configures Streams.
type Config struct {
	// Log gets one line when a pod connects or is lost. The zero value discards.
	Log logr.Logger
}

// Streams follows media pods: it keeps one event stream to each pod, knows its last
// status, and pushes documents to it. It decides nothing and reads nothing from the
// API server. Follow says which pods there are. Source says when to reconcile a pair.
//
// Pods are not trusted. What a pod sends is bounded in size and
// rate. A slow, silent or faulty pod costs the other pods nothing.
type Streams struct {
	log   logr.Logger
	times podTimes
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	hints *hints.Queue

	mu    sync.Mutex // guards all below, and the fields of pod that say so
	pairs map[types.NamespacedName]map[Key]*pod
	start func(*pod) // starts the pod's stream; nil unless Run runs
}

// podTimes are shorter in tests that cannot use a fake clock.
type podTimes struct {
	connect            time.Duration // to open a stream, until the answer's header
	silence            time.Duration // without a line, until a stream counts as lost
	push               time.Duration // for a whole request
	retryMin, retryMax time.Duration // between two attempts to connect
	unreachable        time.Duration // from a loss to its second hint
}

// A pod is one followed media pod. Its event stream has a goroutine.
type pod struct {
	key   Key
	retry chan struct{} // has an element if target changed: connect again at once
	push  sync.Mutex    // held during a request, so that documents are accepted in order

	// Guarded by Streams.mu.
	target   Target
	state    State
	gone     bool                    // no longer followed
	end      context.CancelFunc      // ends the goroutine; nil if it has not started
	cut      context.CancelCauseFunc // ends the connection; nil if there is none
	overdue  *time.Timer             // hints at the pair when a lost pod becomes unreachable
	statuses uint64                  // how many were received
	accepted map[string]acceptance   // by path
}

// New returns Streams that follow nothing yet.
func New(cfg Config) *Streams {
	if cfg.Log.GetSink() == nil {
		cfg.Log = logr.Discard()
	}
	dialer := &net.Dialer{KeepAlive: 15 * time.Second}
	return &Streams{
		log: cfg.Log,
		times: podTimes{
			connect: 5 * time.Second, silence: 10 * time.Second, push: 5 * time.Second,
			retryMin: 250 * time.Millisecond, retryMax: 5 * time.Second, unreachable: UnreachableAfter,
		},
		dial:  dialer.DialContext,
		hints: hints.NewQueue(),
		pairs: map[types.NamespacedName]map[Key]*pod{},
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
// Two operators would overwrite each other's documents.
func (*Streams) NeedLeaderElection() bool { return true }

// Start is Run, under the name that manager.Runnable requires.
func (p *Streams) Start(ctx context.Context) error { return p.Run(ctx) }

// Run follows pods until ctx ends. It returns nil once all streams have ended.
func (p *Streams) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var streams sync.WaitGroup
	start := func(d *pod) {
		ctx, end := context.WithCancel(ctx)
		d.end = end
		streams.Go(func() {
			defer end()
			p.follow(ctx, d)
		})
	}
	p.mu.Lock()
	if p.start != nil {
		p.mu.Unlock()
		return errors.New("the media pods are being followed already")
	}
	p.start = start
	for _, pods := range p.pairs {
		for _, d := range pods {
			start(d)
		}
	}
	p.mu.Unlock()

	p.hints.Deliver(ctx)

	p.mu.Lock()
	p.start = nil
	for _, pods := range p.pairs {
		for _, d := range pods {
			d.overdue.Stop()
		}
	}
	p.mu.Unlock()
	streams.Wait()
	return nil
}

// Follow replaces the pods that are followed for a pair. The targets' keys
// name that pair. Streams of other pods end, streams of new pods begin, and
// the rest are not disturbed. A new token or certificate is used from the next
// connection or request on, and at once if the pod is not connected. Without
// targets the pair is forgotten. A call that changes nothing is cheap.
func (p *Streams) Follow(pair types.NamespacedName, targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := make(map[Key]struct{}, len(targets))
	for _, t := range targets {
		wanted[t.Key] = struct{}{}
	}
	for key, d := range p.pairs[pair] {
		if _, ok := wanted[key]; !ok {
			p.forget(d)
			delete(p.pairs[pair], key)
		}
	}
	if len(targets) == 0 {
		delete(p.pairs, pair)
		return
	}
	if p.pairs[pair] == nil {
		p.pairs[pair] = make(map[Key]*pod, len(targets))
	}
	for _, t := range targets {
		if d := p.pairs[pair][t.Key]; d != nil {
			d.retarget(t)
			continue
		}
		d := &pod{
			key: t.Key, retry: make(chan struct{}, 1), target: t, state: State{Since: time.Now()},
			accepted: map[string]acceptance{},
		}
		p.expectAgain(d)
		p.pairs[pair][t.Key] = d
		if p.start != nil {
			p.start(d)
		}
	}
}

// forget ends all that is done for a pod. Streams.mu is held.
func (p *Streams) forget(d *pod) {
	d.gone = true
	d.overdue.Stop()
	if d.end != nil {
		d.end()
	}
}

var errRetargeted = errors.New("the pod is now reached in another way")

// retarget changes how the pod is reached. Streams.mu is held.
func (d *pod) retarget(t Target) {
	if d.target.equal(t) {
		return
	}
	moved := d.target.Address != t.Address
	t.before = d.target.before
	if !bytes.Equal(d.target.Certificate, t.Certificate) {
		t.before = &replacedKeys{d.target.Token, d.target.Certificate, time.Now().Add(replacedFor)}
	}
	d.target = t
	if d.state.Connected && !moved {
		return
	}
	select {
	case d.retry <- struct{}{}:
	default:
	}
	if d.cut != nil {
		d.cut(errRetargeted)
	}
}

// showed notes which of target's certificates a pod showed. Once the
// pod has shown the new one, the replaced one is no longer accepted.
func (p *Streams) showed(d *pod, target Target, x *podExchange) {
	if x.before || target.before == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.target.before == target.before {
		d.target.before = nil
	}
}

// State returns what is known of a pod; zero if the pod is not followed.
func (p *Streams) State(key Key) State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.pairs[key.pair()][key]; d != nil {
		return d.state
	}
	return State{}
}

// received stores a status. Only the pod's stream calls it.
func (p *Streams) received(d *pod, s *control.Status) {
	p.mu.Lock()
	before := d.state.Status
	p.mu.Unlock()
	changed := !sameForPair(d.key.Pair, before, s)

	p.mu.Lock()
	defer p.mu.Unlock()
	if d.gone {
		return
	}
	d.state.Status = s
	d.statuses++
	if !d.state.Connected {
		d.state.Connected, d.state.Since, d.state.Err = true, time.Now(), ""
		d.overdue.Stop()
		changed = true
		p.logOf(d).Info("media pod connected", "version", s.Version)
	}
	if changed {
		p.hint(d.key.pair())
	}
}

// lost notes why an attempt to connect failed or a stream ended.
// It returns how long statuses had been received before that.
func (p *Streams) lost(d *pod, err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.cut = nil
	if d.gone {
		return 0
	}
	first := d.state.Err == ""
	d.state.Err = oneline.Of(err.Error())
	if !d.state.Connected {
		if first {
			p.logOf(d).Info("media pod not reached yet", "reason", d.state.Err)
		}
		return 0
	}
	lastWord := time.Now()
	if silent := (silentError{}); errors.As(err, &silent) {
		lastWord = lastWord.Add(-silent.silence)
	}
	held := lastWord.Sub(d.state.Since)
	d.state.Connected, d.state.Since = false, lastWord
	p.logOf(d).Info("media pod lost", "reason", d.state.Err)
	p.expectAgain(d)
	p.hint(d.key.pair())
	return held
}

// left notes that the operator itself ended the pod's stream.
func (p *Streams) left(d *pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.cut, d.end = nil, nil
	if d.state.Connected {
		d.state.Connected, d.state.Since = false, time.Now()
	}
}

// logOf returns the log for a pod. Streams.mu is held.
func (p *Streams) logOf(d *pod) logr.Logger {
	return p.log.WithValues("pair", d.key.pair().String(), "leg", string(d.key.Role), "pod", d.target.Name)
}
