package failover_test

import (
	"fmt"
	"time"

	"github.com/streampair/streampair/mediaserver/failover"
)

// The primary is on air and has been silent for longer than a second. The backup sends.
func ExampleDecide() {
	const now = time.Minute // on the media clock
	leg := func(lastPicture time.Duration) failover.Leg {
		return failover.Leg{
			Publishing: true, Decodable: true, EntryPoint: true,
			Video: failover.Track{Announced: true, LastArrival: lastPicture, Interval: time.Second / 30},
		}
	}
	policy := failover.Policy{Mode: failover.Sticky, InputLoss: time.Second}
	legs := failover.Legs{Primary: leg(now - 1100*time.Millisecond), Backup: leg(now)}
	state := failover.State{Active: failover.Primary, Reason: failover.ReasonStarted, FirstPicture: time.Second}

	d := failover.Decide(policy, legs, state, now)
	fmt.Println(d.Active, d.Reason, d.Urgency)

	// The primary is back. A Sticky pair stays on the backup.
	state = state.Switched(d, now)
	legs.Primary = leg(now + time.Second)
	legs.Backup = leg(now + time.Second)
	d = failover.Decide(policy, legs, state, now+time.Second)
	fmt.Printf("%s, nothing to do: %t\n", d.Active, d.Urgency == "")

	// Output:
	// Backup PrimaryInputLost urgent
	// Backup, nothing to do: true
}
