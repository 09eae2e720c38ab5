package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/streampair/streampair/api/control"
)

// ErrPodNotConnected is returned by pushes to a pod that has no event stream. Nothing was
// sent; when the pod connects, Source hints at its pair.
var ErrPodNotConnected = errors.New("the media pod is not connected")

// An acceptance is the document that a boot of a pod accepted last, and how many statuses
// of the pod had been received then.
type acceptance struct {
	bootID   string
	document [sha256.Size]byte
	statuses uint64
}

const (
	configPath = "/v1/config"
	peersPath  = "/v1/peers"
)

// PutConfig puts a manifest in force in a media pod. It takes 5 s at the most. Nothing is
// sent if the same boot of the pod has accepted the same manifest last.
func (p *Pods) PutConfig(ctx context.Context, key PodKey, manifest []byte) error {
	return p.put(ctx, key, configPath, manifest, nil)
}

// PutSelect pins a leg of the pair: Auto, Primary or Backup. See PutConfig; a manifest
// brings its own pin, so the selection is sent again after a new one, and whenever the pod
// reports another.
func (p *Pods) PutSelect(ctx context.Context, key PodKey, selection string) error {
	undone := func(s *control.Status) bool {
		return slices.ContainsFunc(s.Pairs, func(one control.Pair) bool {
			return one.Declared && one.Name == key.Pair && one.Select != selection
		})
	}
	path := "/v1/pairs/" + url.PathEscape(key.Pair) + "/select"
	return p.putJSON(ctx, key, path, control.Selection{Select: selection}, undone)
}

// PutAddresses replaces what viewers are told of where the pods are reached. See PutConfig.
func (p *Pods) PutAddresses(ctx context.Context, key PodKey, addresses control.MediaAddresses) error {
	if addresses.WebRTC == nil {
		addresses.WebRTC = []string{} // null says less clearly that there are none
	}
	return p.putJSON(ctx, key, "/v1/addresses", addresses, nil)
}

// PutPeers tells a pod how the other leg's pods are reached. See PutConfig; it is told again
// whenever the pod reports that it was told otherwise.
func (p *Pods) PutPeers(ctx context.Context, key PodKey, peers control.Peers) error {
	if peers.Clear == nil {
		peers.Clear = []string{}
	}
	return p.putJSON(ctx, key, peersPath, peers, func(s *control.Status) bool { return forgotPeers(peers, s) })
}

func (p *Pods) putJSON(ctx context.Context, key PodKey, path string, v any, undone func(*control.Status) bool) error {
	document, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return p.put(ctx, key, path, document, undone)
}

// put sends a document, unless it is in force: accepted last, by this boot of the pod, and
// not undone as far as a later status tells.
func (p *Pods) put(ctx context.Context, key PodKey, path string, document []byte, undone func(*control.Status) bool) error {
	p.mu.Lock()
	d := p.pairs[key.pair()][key]
	p.mu.Unlock()
	if d == nil {
		return ErrPodNotConnected
	}
	d.push.Lock()
	defer d.push.Unlock()

	p.mu.Lock()
	target, state, statuses, last := d.target, d.state, d.statuses, d.accepted[path]
	p.mu.Unlock()
	if !state.Connected {
		return ErrPodNotConnected
	}
	boot, sum := state.Status.BootID, sha256.Sum256(document)
	if last.bootID == boot && last.document == sum &&
		(undone == nil || statuses == last.statuses || !undone(state.Status)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.times.push)
	defer cancel()
	x, err := p.open(ctx, target, http.MethodPut, path, document)
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
	if path == configPath {
		// A manifest brings its own pin, and says nothing of the peers.
		maps.DeleteFunc(d.accepted, func(path string, _ acceptance) bool { return path != peersPath })
	}
	d.accepted[path] = acceptance{boot, sum, d.statuses}
	return nil
}
