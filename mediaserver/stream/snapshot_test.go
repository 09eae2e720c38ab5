package stream

import (
	"testing"
	"time"
)

// A token that was not asked for says nothing of whether the publisher may come again.
func TestASnapshotSaysWhenTheTokenExpires(t *testing.T) {
	expires := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, authenticated := range []bool{true, false} {
		p, err := NewRegistry(Config{}).Publish(PublishRequest{
			Key: keyLive, Authenticated: authenticated, Credential: Credential{Expires: expires}, Protocol: "test",
		})
		must(t, err)
		defer p.End(EndClosed)
		derived := NewDerived(p.Stream())
		own, err := derived.Publish(PublishRequest{Key: keyLive, Authenticated: true, MadeOf: p})
		must(t, err)
		defer own.End(EndClosed)
		want := time.Time{}
		if authenticated {
			want = expires
		}
		for name, s := range map[string]*Stream{"stream": p.Stream(), "derived stream": derived} {
			if got := s.Snapshot().Publication.TokenExpires; got != want {
				t.Errorf("authenticated %v, %s: the token expires at %v, want %v", authenticated, name, got, want)
			}
		}
	}
}
