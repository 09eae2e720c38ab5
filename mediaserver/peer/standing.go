package peer

import (
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
)

// wireStanding is a failover.Standing in JSON. Its times are nanoseconds of the Unix epoch; 0:
// none. They are exact, because both servers must see them in the same order.
type wireStanding struct {
	Active       failover.Role `json:"active,omitempty"`
	OnAir        bool          `json:"onAir"`
	Since        int64         `json:"sinceNanoseconds,omitempty"`
	SwitchingTo  failover.Role `json:"switchingTo,omitempty"`
	FirstPicture int64         `json:"firstPictureNanoseconds,omitempty"`
	Final        bool          `json:"final"`
	Preferred    failover.Role `json:"preferred,omitempty"`
	Generation   int64         `json:"generation"`
	Settled      bool          `json:"settled"`
	Leaving      bool          `json:"leaving,omitempty"`
	Rules        int           `json:"rules,omitempty"`
	// Doubt is the number of a failover.Doubt.
	Doubt failover.Doubt `json:"doubt,omitempty"`
}

func toWire(s failover.Standing, epoch time.Time) wireStanding {
	wire := func(t time.Duration) int64 {
		if t == 0 {
			return 0
		}
		return epoch.UnixNano() + int64(t)
	}
	return wireStanding{
		Active: s.Active, OnAir: s.OnAir, Since: wire(s.Since), SwitchingTo: s.SwitchingTo,
		FirstPicture: wire(s.FirstPicture), Final: s.Final,
		Preferred: s.Preferred, Generation: s.Generation, Settled: s.Settled, Leaving: s.Leaving,
		Rules: s.Rules, Doubt: s.Doubt,
	}
}

// standing returns the Standing, with times on the media clock that has this epoch.
func (w wireStanding) standing(epoch time.Time) failover.Standing {
	media := func(t int64) time.Duration {
		if t == 0 {
			return 0
		}
		return time.Duration(t - epoch.UnixNano())
	}
	return failover.Standing{
		Active: role(w.Active), OnAir: w.OnAir, Since: media(w.Since), SwitchingTo: role(w.SwitchingTo),
		FirstPicture: media(w.FirstPicture), Final: w.Final,
		Preferred: role(w.Preferred), Generation: w.Generation, Settled: w.Settled, Leaving: w.Leaving,
		Rules: w.Rules, Doubt: w.Doubt,
	}
}

// role returns r if this version knows it; else none.
func role(r failover.Role) failover.Role {
	if r != failover.Primary && r != failover.Backup {
		return ""
	}
	return r
}
