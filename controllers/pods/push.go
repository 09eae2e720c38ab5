package pods

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
)

// ErrNotConnected is returned by pushes to a pod that has no event stream.
// Nothing was sent. When the pod connects, Source hints at its pair.
var ErrNotConnected = errors.New("the media pod is not connected")

// An acceptance is the last document that a boot of a pod accepted,
// and how many statuses of the pod had been received by then.
type acceptance struct {
	bootID   string
	document [sha256.Size]byte
	statuses uint64
}

const (
	configPath = "/v1/config"
	peersPath  = "/v1/peers"
)

// A ManifestVersion identifies a manifest of a pair. A pair that is
// made again has another UID, and counts its generations from 1 again.
type ManifestVersion struct {
	UID        types.UID // empty: not known
	Generation int64     // 0: none
}

// ManifestOf returns the version of the manifest that a pod with this status has in force.
func ManifestOf(s *control.Status) ManifestVersion {
	return ManifestVersion{UID: types.UID(s.ConfigUID), Generation: s.ConfigGeneration}
}

// VersionOf returns the version of a pair's manifest.
func VersionOf(pair *v1alpha1.StreamPair) ManifestVersion {
	return ManifestVersion{UID: pair.UID, Generation: pair.Generation}
}

// Is reports whether both versions are of one manifest, as far as the UIDs are known.
func (v ManifestVersion) Is(o ManifestVersion) bool {
	return v.Generation == o.Generation && (v.UID == o.UID || v.UID == "" || o.UID == "")
}

// IsPassedBy reports whether a pod with o in force
// accepts a manifest of v only if the request names o.
func (v ManifestVersion) IsPassedBy(o ManifestVersion) bool {
	return o.Generation > v.Generation || o.Generation != 0 && v.UID != "" && o.UID != "" && v.UID != o.UID
}

// String returns the value of control.HeaderReplaces.
func (v ManifestVersion) String() string {
	if v.UID == "" {
		return strconv.FormatInt(v.Generation, 10)
	}
	return fmt.Sprintf("%d/%s", v.Generation, v.UID)
}

// A ConfigOption says more about a manifest that is put in force.
type ConfigOption func(*document)

// OfVersion has the manifest sent again if the pod reports another one in force.
func OfVersion(v ManifestVersion) ConfigOption {
	return func(d *document) {
		d.isSuperseded = func(s *control.Status) bool { return !ManifestOf(s).Is(v) }
	}
}

// Replacing names the manifest that the pod has in force
// and must give up, although its generation may be higher.
func Replacing(v ManifestVersion) ConfigOption {
	return func(d *document) { d.replaces = v.String() }
}

// PutConfig puts a manifest in force in a media pod. It takes at most 5 s. It sends
// nothing if the manifest is the last one that this boot of the pod accepted.
func (p *Streams) PutConfig(ctx context.Context, key Key, manifest []byte, options ...ConfigOption) error {
	d := document{path: configPath, content: manifest}
	for _, option := range options {
		option(&d)
	}
	return p.put(ctx, key, d)
}

// PutAddresses replaces the addresses of the pods that viewers are told. See PutConfig.
func (p *Streams) PutAddresses(ctx context.Context, key Key, addresses control.MediaAddresses) error {
	if addresses.WebRTC == nil {
		addresses.WebRTC = []string{} // an empty list says more clearly than null that there are none
	}
	return p.putJSON(ctx, key, "/v1/addresses", addresses, nil)
}

// PutPeers tells a pod how to reach the other leg's pods. See
// PutConfig. The pod is told again whenever it reports something else.
func (p *Streams) PutPeers(ctx context.Context, key Key, peers control.Peers) error {
	if peers.Clear == nil {
		peers.Clear = []string{}
	}
	return p.putJSON(ctx, key, peersPath, peers, func(s *control.Status) bool { return lacksPeers(peers, s) })
}

func (p *Streams) putJSON(ctx context.Context, key Key, path string, v any, isSuperseded func(*control.Status) bool) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return p.put(ctx, key, document{path: path, content: content, isSuperseded: isSuperseded})
}

// A document is the body of a PUT to a pod, with the path.
type document struct {
	path    string
	content []byte
	// isSuperseded reports whether a later status of the pod shows that
	// the document is no longer in force. Nil: no status shows that.
	isSuperseded func(*control.Status) bool
	// replaces is the value of control.HeaderReplaces; empty: none.
	replaces string
}

// put sends a document unless it is in force. A document is in force if this boot
// of the pod accepted it last, and no later status shows that it was superseded.
func (p *Streams) put(ctx context.Context, key Key, doc document) error {
	p.mu.Lock()
	d := p.pairs[key.pair()][key]
	p.mu.Unlock()
	if d == nil {
		return ErrNotConnected
	}
	d.push.Lock()
	defer d.push.Unlock()

	p.mu.Lock()
	target, state, statuses, last := d.target, d.state, d.statuses, d.accepted[doc.path]
	p.mu.Unlock()
	if !state.Connected {
		return ErrNotConnected
	}
	boot, sum := state.Status.BootID, sha256.Sum256(doc.content)
	if last.bootID == boot && last.document == sum &&
		(doc.isSuperseded == nil || statuses == last.statuses || !doc.isSuperseded(state.Status)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.times.push)
	defer cancel()
	x, err := p.open(ctx, target, http.MethodPut, doc.path, doc.content, header{control.HeaderReplaces, doc.replaces})
	if err != nil {
		return err
	}
	defer x.close()
	p.showed(d, target, x)
	if code := x.response.StatusCode; code < 200 || code > 299 {
		return x.refusal()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if doc.path == configPath {
		// With a new manifest the pod is told everything again but its peers.
		maps.DeleteFunc(d.accepted, func(path string, _ acceptance) bool { return path != peersPath })
	}
	d.accepted[doc.path] = acceptance{boot, sum, d.statuses}
	return nil
}

// lacksPeers reports whether a pod with this status has not been told these peers.
func lacksPeers(told control.Peers, status *control.Status) bool {
	r := status.PeerRelay
	return r != nil && (!r.Told || r.ClearAny || !slices.Equal(r.Clear, told.Clear) && len(r.Clear)+len(told.Clear) > 0)
}

// MaxClearPeers is how many addresses a pod accepts; see control.Peers.
const MaxClearPeers = 16
