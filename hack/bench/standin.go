package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/keys"
	"github.com/streampair/streampair/controllers/objects"
)

// These are the intervals of a media server's messages
// without any change; see mediaserver/control/commands.go.
const (
	idleStatusInterval = 10 * time.Second
	commentInterval    = 3 * time.Second
)

// A standIn is the command port of all media pods of all pairs. The pods
// of one leg share an address. The server name in the handshake tells
// which pair is meant, and the pair's own certificate and token prove it.
type standIn struct {
	t     *scope
	admin client.Client
	began time.Time
	// addresses are the pods' IP addresses, by leg.
	addresses map[v1alpha1.Role]string

	mu    sync.Mutex
	pairs map[string]*fakePair // by server name; guarded by mu
}

// A fakePair is the state of a pair, on which its two pods agree.
type fakePair struct {
	name types.NamespacedName

	mu         sync.Mutex // guards all below
	keys       *fakeKeys  // nil until the first connection
	active     v1alpha1.Role
	since      time.Time
	switches   int
	lastSwitch *control.Switch
	history    []control.HistoryEntry // the newest first
	changed    chan struct{}          // closed at the next switch
}

type fakeKeys struct {
	certificate tls.Certificate
	token       string
}

func startStandIn(t *scope, admin client.Client) *standIn {
	s := &standIn{t: t, admin: admin, began: time.Now(), addresses: map[v1alpha1.Role]string{}, pairs: map[string]*fakePair{}}
	for _, role := range objects.Roles() {
		// The port is fixed, so a random address avoids conflicts with other programs.
		address := fmt.Sprintf("127.%d.%d.%d", 10+chance(240), chance(256), 1+chance(254))
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(objects.PortControl)))
		t.must(err)
		s.addresses[role] = address
		server := &http.Server{
			Handler:   s.handler(role),
			TLSConfig: &tls.Config{GetCertificate: s.certificate, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13},
			ErrorLog:  log.New(io.Discard, "", 0),

			ReadHeaderTimeout: 10 * time.Second,
		}
		go func() { _ = server.ServeTLS(l, "", "") }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return s
}

// add makes a pair that plays its primary.
func (s *standIn) add(name types.NamespacedName) *fakePair {
	p := &fakePair{name: name, active: v1alpha1.RolePrimary, since: time.Now(), changed: make(chan struct{})}
	p.happened(control.HistoryOnAir, v1alpha1.SwitchStarted)
	p.happened(control.HistoryRedundant, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pairs[objects.ControlServerName(name.Namespace, name.Name)] = p
	return p
}

func (s *standIn) pair(serverName string) *fakePair {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pairs[serverName]
}

func (s *standIn) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p := s.pair(hello.ServerName)
	if p == nil {
		return nil, fmt.Errorf("no pair has the server name %q", hello.ServerName)
	}
	keys, err := s.keys(hello.Context(), p)
	if err != nil {
		return nil, err
	}
	return &keys.certificate, nil
}

// keys returns what a media pod of the pair would find in its mounted Secret.
func (s *standIn) keys(ctx context.Context, p *fakePair) (*fakeKeys, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys != nil {
		return p.keys, nil
	}
	secret := &corev1.Secret{}
	if err := s.admin.Get(ctx, client.ObjectKey{Namespace: p.name.Namespace, Name: objects.KeysSecretName(p.name.Name)}, secret); err != nil {
		return nil, err
	}
	keys := keys.From(secret.Data)
	certificate, err := tls.X509KeyPair(keys.ControlCert, keys.ControlKey)
	if err != nil {
		return nil, err
	}
	p.keys = &fakeKeys{certificate, keys.ClusterToken}
	return p.keys, nil
}

func (s *standIn) handler(role v1alpha1.Role) http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern string, f func(http.ResponseWriter, *http.Request, *fakePair)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p := s.pair(r.TLS.ServerName)
			keys, err := s.keys(r.Context(), p)
			if err != nil || r.Header.Get("Authorization") != "Bearer "+keys.token {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			f(w, r, p)
		})
	}
	accept := func(w http.ResponseWriter, r *http.Request, _ *fakePair) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}
	serve("GET /v1/events", func(w http.ResponseWriter, r *http.Request, p *fakePair) { s.events(w, r, p, role) })
	serve("PUT /v1/config", accept)
	serve("PUT /v1/addresses", accept)
	return mux
}

// events streams events as a media server does.
func (s *standIn) events(w http.ResponseWriter, r *http.Request, p *fakePair, role v1alpha1.Role) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	idle, beat := time.NewTicker(idleStatusInterval), time.NewTicker(commentInterval)
	defer idle.Stop()
	defer beat.Stop()
	text, changed := s.event(p, role)
	for {
		if _, err := io.WriteString(w, text); err != nil || flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			text, changed = s.event(p, role)
		case <-idle.C:
			text, changed = s.event(p, role)
		case <-beat.C:
			text = ":\n"
		}
	}
}

// event returns the event with the status of a pod, and
// a channel that is closed when the status changes.
func (s *standIn) event(p *fakePair, role v1alpha1.Role) (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	node, pod := nodeOf(role), podName(objects.DeploymentName(p.name.Name, role))
	status := control.Status{
		Version: "bench", BootID: pod, StartTime: s.began, Role: string(role), PodName: pod, NodeName: node, ConfigGeneration: 1,
		// These figures change all the time.
		Viewers: chance(100),
	}
	pair := control.Pair{
		Name: p.name.Name, Declared: true, App: "live", PrimaryID: "primary", BackupID: "backup",
		Active: string(p.active), ActiveStreamID: strings.ToLower(string(p.active)), OnAir: true, Reason: v1alpha1.SwitchStarted,
		Since: &p.since, Switches: p.switches, LastSwitch: p.lastSwitch, History: p.history,
		Select: string(v1alpha1.SelectAuto), Viewers: status.Viewers,
	}
	if p.lastSwitch != nil {
		pair.Reason = p.lastSwitch.Reason
	}
	for _, leg := range objects.Roles() {
		id := strings.ToLower(string(leg))
		pair.Legs = append(pair.Legs, control.Leg{
			Role: string(leg), StreamID: id, Live: true, Rank: "Full", EntryPoint: true, Local: leg == role, Publishing: true,
		})
		status.Streams = append(status.Streams, control.Stream{
			App: "live", StreamID: id, Publishing: true, Protocol: "rtmp", Relayed: leg != role, StartTime: &s.began,
			BitrateBPS: 2_000_000 + int64(chance(1_000_000)), EntryPoint: true,
			Video: &control.Track{Codec: "H264", Width: 1920, Height: 1080, FrameRate: 30 + float64(chance(100))/100},
			Audio: &control.Track{Codec: "AAC", SampleRateHz: 48000, Channels: 2, SilentMilliseconds: int64(chance(20))},
		})
	}
	status.Pairs = []control.Pair{pair}
	data, err := json.Marshal(status)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("event: status\ndata: %s\n\n", data), p.changed
}

// switchOver puts the other leg on air, and returns the time.
func (p *fakePair) switchOver() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.active
	p.active, p.since = objects.OtherRole(before), time.Now()
	p.switches++
	p.lastSwitch = &control.Switch{From: string(before), To: string(p.active), Reason: v1alpha1.SwitchSelected, Time: p.since}
	p.happened(control.HistorySwitched, v1alpha1.SwitchSelected)
	close(p.changed)
	p.changed = make(chan struct{})
	return p.since
}

// happened adds an event about the leg on air to the history. The caller holds mu, or is alone.
func (p *fakePair) happened(kind, reason string) {
	e := control.HistoryEntry{Kind: kind, Time: p.since, Leg: string(p.active), Reason: reason}
	p.history = append([]control.HistoryEntry{e}, p.history[:min(len(p.history), control.MaxHistory-1)]...)
}

func (p *fakePair) onAir() v1alpha1.Role {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active
}

func chance(n int) int { return rand.IntN(n) } //nolint:gosec // no secret is made of it

func nodeOf(role v1alpha1.Role) string { return "bench-" + objects.LegName(role) }

func podName(deployment string) string { return deployment + "-0" }
