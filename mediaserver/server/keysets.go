package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/access"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/jwks"
)

const (
	// keySetsPath is where a peer asks for the keys that this server has fetched.
	keySetsPath = "/jwks"
	// maxKeySets bounds a peer's answer, in bytes.
	maxKeySets = 4 << 20
)

// openKeySets makes what fetches the keys of JSON Web Tokens.
func (s *Server) openKeySets() {
	s.keySets = jwks.NewDirectory(jwks.Config{
		Networks: s.cfg.JWKSNetworks, TLS: s.cfg.keySetTLS, Peers: s.peersKeySets, Logger: s.log,
		OnFetch: func(err error) {
			result := "success"
			if err != nil {
				result = "failure"
			}
			s.counters.JWKSFetches.WithLabelValues(result).Inc()
		},
		OnChange: s.changes.notify,
	})
}

// peersKeySets asks the peers for the keys that they have fetched.
func (s *Server) peersKeySets(ctx context.Context) []jwks.Keys {
	var all []jwks.Keys
	for _, answer := range s.peer.Ask(ctx, keySetsPath, maxKeySets) {
		var keys []jwks.Keys
		if err := json.Unmarshal(answer, &keys); err != nil {
			s.log.Warn("the peer's keys of JSON Web Tokens cannot be read", "error", err)
			continue
		}
		all = append(all, keys...)
	}
	return all
}

// serveKeySets tells a peer the keys that this server has fetched.
func (s *Server) serveKeySets(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.keySets.Keys()) // the peer has gone
}

// keySetMistakes returns from which URLs of key sets there are no keys, and why.
func (s *Server) keySetMistakes() []api.ConfigMistake {
	var mistakes []api.ConfigMistake
	faults := s.keySets.Faults()
	for _, url := range slices.Sorted(maps.Keys(faults)) {
		mistakes = append(mistakes, api.ConfigMistake{
			Reason: api.MistakeManifest, Message: fmt.Sprintf("jwks.url: %s cannot be fetched: %s", url, faults[url]),
		})
	}
	return mistakes
}

// accessPairs returns the rules of a manifest, with the keys of its JSON Web Tokens.
func (s *Server) accessPairs(m config.Manifest) []access.Pair {
	var urls []string
	for _, p := range m.Pairs {
		for _, set := range []*v1alpha1.JWKS{p.Spec.Publish.JWKS, p.Spec.Playback.JWKS} {
			if url := set.CalledURL(); url != "" {
				urls = append(urls, url)
			}
		}
	}
	s.keySets.Use(urls)
	pairs := m.Access()
	for i, p := range m.Pairs {
		if p.Spec.Publish.Auth == v1alpha1.PublishToken {
			pairs[i].PublishSigners = s.signers(p.Spec.Publish.JWKS, p.Keys.PublishJWKS)
		}
		if p.Spec.Playback.Auth == v1alpha1.PlaybackJWT {
			pairs[i].PlaybackSigners = s.signers(p.Spec.Playback.JWKS, p.Keys.PlaybackJWKS)
		}
	}
	return pairs
}

// signers returns who signs JSON Web Tokens; nil: nobody does by a key set. text is the key set of
// a Secret; empty: the Secret is missing, and nobody gets in.
func (s *Server) signers(set *v1alpha1.JWKS, text string) *access.Signers {
	if set == nil {
		return nil
	}
	signers := &access.Signers{Issuer: set.Issuer, Audiences: set.Audiences}
	if set.URL != "" {
		signers.ID, signers.Keys, signers.Shared = set.URL, s.keySets.Source(set.URL), true
	} else {
		keys, err := jwks.Parse([]byte(text))
		if err != nil {
			keys = nil // package config has said so
		}
		signers.ID, signers.Keys = fmt.Sprintf("%x", sha256.Sum256([]byte(text))), keys
	}
	signers.ID += " " + set.Issuer
	return signers
}
