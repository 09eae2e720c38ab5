package controllers

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
)

// UnreachableAfter is how long a media pod may be out of reach before the status of its
// pair says Unknown. A shorter time would report each restart of a node's network.
const UnreachableAfter = 15 * time.Second

// A PodKey names one media pod. A pod that takes another's place has another UID.
type PodKey struct {
	Namespace, Pair string
	Role            v1alpha1.Role
	UID             types.UID
}

func (k PodKey) pair() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Pair}
}

// A PodTarget says how a media pod's command port is reached.
type PodTarget struct {
	Key PodKey
	// Name of the pod, for the log.
	Name string
	// Address is IP:port of the command port.
	Address string
	// Token is the bearer token.
	Token string
	// Certificate is the one that the pod must show, byte for byte, as PEM. Without it
	// nothing is sent to the pod.
	Certificate []byte
	// ServerName is sent in the TLS handshake.
	ServerName string
	// Started is when the pod's container was started last; zero: it has not been, or that
	// is not known. A pod that has just started is connected to at once, because its peer
	// may wait to hear how it speaks.
	Started time.Time

	// before are a token and a certificate that were replaced, for a pod that has not read
	// the renewed Secret yet; nil: there are none, or the pod has shown the new certificate.
	before *replacedKeys
}

// replacedKeys are good until the kubelet has had the time to bring the new ones, at the
// most: who took the old ones may stand at the pod's address.
type replacedKeys struct {
	token       string
	certificate []byte
	until       time.Time
}

// replacedFor is how long replaced keys are good for. A kubelet brings a Secret's change
// within a minute or two.
const replacedFor = 5 * time.Minute

func (t PodTarget) equal(o PodTarget) bool {
	return t.Key == o.Key && t.Name == o.Name && t.Address == o.Address && t.Token == o.Token &&
		t.ServerName == o.ServerName && t.Started.Equal(o.Started) && bytes.Equal(t.Certificate, o.Certificate)
}

// PodState is what is known of a media pod.
type PodState struct {
	// Connected says that its event stream is open and has brought a status.
	Connected bool
	// Since is when Connected got its value, or when the pod was first followed. A pod that
	// fell silent is not connected since its last word.
	Since time.Time
	// Status is the last one received, nil before the first. It outlives the stream and
	// must not be changed.
	Status *control.Status
	// Err says why the pod is not connected, in one line; empty: no attempt has failed yet.
	Err string
}

// PodsConfig configures Pods.
type PodsConfig struct {
	// Log gets one line when a pod connects or is lost. The zero value discards.
	Log logr.Logger
}

// Pods follows media pods: it holds one event stream to each, knows the last status of
// each, and pushes documents to them. It decides nothing and reads nothing from the API
// server: Follow tells it which pods there are, and Source says when to look at a pair.
//
// A pod is not trusted: what it sends is bounded in size and in rate, and a pod that is
// slow, silent or wrong costs the others nothing.
type Pods struct {
	log   logr.Logger
	times podTimes
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	hints *hintQueue

	mu    sync.Mutex // guards all below, and what pod says it guards
	pairs map[types.NamespacedName]map[PodKey]*pod
	start func(*pod) // starts the pod's stream; nil unless Run runs
}

// podTimes are shorter in tests that cannot fake the clock.
type podTimes struct {
	connect            time.Duration // to open a stream, up to the answer's header
	silence            time.Duration // without a line, until a stream counts as lost
	push               time.Duration // for a whole request
	retryMin, retryMax time.Duration // between two attempts to connect
	unreachable        time.Duration // from a loss to its second hint
}

// A pod is one media pod that is followed. Its stream is a goroutine.
type pod struct {
	key   PodKey
	retry chan struct{} // has an element if target changed: connect again at once
	push  sync.Mutex    // held during a request, so that documents are accepted in order

	// Guarded by Pods.mu.
	target   PodTarget
	state    PodState
	gone     bool                    // followed no longer
	end      context.CancelFunc      // ends the goroutine; nil if it has not started
	cut      context.CancelCauseFunc // ends the connection; nil if there is none
	overdue  *time.Timer             // hints when a lost pod becomes unreachable
	statuses uint64                  // received
	accepted map[string]acceptance   // by path
}

// NewPods returns Pods that follow nothing yet.
func NewPods(cfg PodsConfig) *Pods {
	if cfg.Log.GetSink() == nil {
		cfg.Log = logr.Discard()
	}
	dialer := &net.Dialer{KeepAlive: 15 * time.Second}
	return &Pods{
		log: cfg.Log,
		times: podTimes{
			connect: 5 * time.Second, silence: 10 * time.Second, push: 5 * time.Second,
			retryMin: 250 * time.Millisecond, retryMax: 5 * time.Second, unreachable: UnreachableAfter,
		},
		dial:  dialer.DialContext,
		hints: newHintQueue(),
		pairs: map[types.NamespacedName]map[PodKey]*pod{},
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: two operators would push
// against each other.
func (*Pods) NeedLeaderElection() bool { return true }

// Start is Run by the name that manager.Runnable gives it.
func (p *Pods) Start(ctx context.Context) error { return p.Run(ctx) }

// Run follows pods until ctx ends, and returns nil then, when all streams have ended.
func (p *Pods) Run(ctx context.Context) error {
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

	p.hints.deliver(ctx)

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

// Follow replaces the pods that are followed for a pair, which their keys name: streams of pods that are not
// among targets end, those of others begin, and those that go on are not disturbed. A new
// token or certificate is used from the next connection or request on, and at once if the
// pod is not connected. Without targets the pair is forgotten. It is cheap where nothing
// changed.
func (p *Pods) Follow(pair types.NamespacedName, targets []PodTarget) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := make(map[PodKey]struct{}, len(targets))
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
		p.pairs[pair] = make(map[PodKey]*pod, len(targets))
	}
	for _, t := range targets {
		if d := p.pairs[pair][t.Key]; d != nil {
			d.retarget(t)
			continue
		}
		d := &pod{
			key: t.Key, retry: make(chan struct{}, 1), target: t, state: PodState{Since: time.Now()},
			accepted: map[string]acceptance{},
		}
		p.expectAgain(d)
		p.pairs[pair][t.Key] = d
		if p.start != nil {
			p.start(d)
		}
	}
}

// forget ends what is done for a pod. Pods.mu is held.
func (p *Pods) forget(d *pod) {
	d.gone = true
	d.overdue.Stop()
	if d.end != nil {
		d.end()
	}
}

var errRetargeted = errors.New("the pod is now reached in another way")

// retarget changes how the pod is reached. Pods.mu is held.
func (d *pod) retarget(t PodTarget) {
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

// showed notes which certificate a pod showed, among those that target has. Once it has shown
// the new one, the one before is good no longer.
func (p *Pods) showed(d *pod, target PodTarget, x *podExchange) {
	if x.before || target.before == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.target.before == target.before {
		d.target.before = nil
	}
}

// State returns what is known of a pod; the zero value if it is not followed.
func (p *Pods) State(key PodKey) PodState {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.pairs[key.pair()][key]; d != nil {
		return d.state
	}
	return PodState{}
}

// received notes a status. Only the pod's stream calls it.
func (p *Pods) received(d *pod, s *control.Status) {
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

// lost notes why an attempt to connect failed or a stream ended, and says how long a
// status had been coming in.
func (p *Pods) lost(d *pod, err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.cut = nil
	if d.gone {
		return 0
	}
	first := d.state.Err == ""
	d.state.Err = oneLine(err.Error())
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

// left notes that the pod's stream was ended by us.
func (p *Pods) left(d *pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.cut, d.end = nil, nil
	if d.state.Connected {
		d.state.Connected, d.state.Since = false, time.Now()
	}
}

// logOf returns the log for a pod. Pods.mu is held.
func (p *Pods) logOf(d *pod) logr.Logger {
	return p.log.WithValues("pair", d.key.pair().String(), "leg", string(d.key.Role), "pod", d.target.Name)
}
