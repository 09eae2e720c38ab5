package peer

import (
	"net/http"

	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/signalling"
)

// relayHeader marks the requests of a peer in clear. A peer with a wrong token must be refused, and
// must not be taken for a player.
const relayHeader = "Streampair-Relay"

// ClearAccess says which requests are answered that come in clear and that only a peer may make.
type ClearAccess struct {
	// IsToken reports whether a peer's token is right. It should take the same time wherever the
	// two differ. Required.
	IsToken func(string) bool
	// Allowed reports whether peers are answered in clear. The answers end when over is closed.
	// Default: they always are.
	Allowed func() (allowed bool, over <-chan struct{})
	// Metrics is required.
	Metrics *metrics.Metrics
}

func (c ClearAccess) allowed() (allowed bool, over <-chan struct{}) {
	if c.Allowed == nil {
		return true, nil
	}
	return c.Allowed()
}

// showsToken reports whether a request shows the peers' token.
func (c ClearAccess) showsToken(r *http.Request) bool {
	token := signalling.BearerToken(r)
	return token != "" && c.IsToken(token)
}

// IsPeer reports whether a request for a resource that players may ask for too comes from a peer. A
// request that only claims to come from a peer counts as well: Admit refuses it.
func (c ClearAccess) IsPeer(r *http.Request) bool {
	allowed, _ := c.allowed()
	return r.Header.Get(relayHeader) != "" || allowed && c.showsToken(r)
}

// Admit reports whether a peer's request is to be answered. It is answered until over is closed. If
// it is not to be answered, Admit has refused it.
func (c ClearAccess) Admit(w http.ResponseWriter, r *http.Request) (over <-chan struct{}, ok bool) {
	switch allowed, over := c.allowed(); {
	case !allowed:
		c.refuse(w, http.StatusForbidden, "peer_in_clear", RefusedInClear)
	case !c.showsToken(r):
		w.Header().Set("WWW-Authenticate", "Bearer")
		c.refuse(w, http.StatusUnauthorized, "unauthorized", "the cluster token is missing or wrong")
	default:
		return over, true
	}
	return nil, false
}

func (c ClearAccess) refuse(w http.ResponseWriter, code int, reason, text string) {
	c.Metrics.HTTPRequestRefusal.WithLabelValues(reason).Inc()
	http.Error(w, text, code)
}
