package failover

import "github.com/streampair/streampair/mediaserver/stream"

// A PairKey names a pair by its streams, as a play URL does. Without Backup it names a single
// stream.
type PairKey struct{ App, Primary, Backup string }

// String returns app/primary+backup, or app/primary.
func (k PairKey) String() string {
	if k.Backup == "" {
		return k.App + "/" + k.Primary
	}
	return k.App + "/" + k.Primary + "+" + k.Backup
}

// Stream returns the key of a leg's stream.
func (k PairKey) Stream(leg Role) stream.Key {
	if leg == Primary {
		return stream.Key{App: k.App, ID: k.Primary}
	}
	return stream.Key{App: k.App, ID: k.Backup}
}

// RoleOf returns the leg that has a stream; empty: neither has.
func (k PairKey) RoleOf(s stream.Key) Role {
	switch s {
	case k.Stream(Primary):
		return Primary
	case k.Stream(Backup):
		return Backup
	}
	return ""
}
