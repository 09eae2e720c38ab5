package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/metrics"
)

// An office is a Sender in a synctest bubble, with receivers that answer as a test says.
type office struct {
	t      *testing.T
	sender *Sender
	stop   func()

	mu      sync.Mutex
	answers map[string]func() int // by receiver; 0: no answer
	sent    []string              // what was attempted: seconds, receiver, number and code; guarded by mu
	began   time.Time
}

func newOffice(t *testing.T) *office {
	o := &office{t: t, answers: map[string]func() int{}, began: time.Now()}
	o.sender = New(Config{Metrics: metrics.New(prometheus.NewRegistry())})
	o.sender.attempt = func(ctx context.Context, r *receiver, e v1alpha1.HistoryEntry) (int, error) {
		code := o.answers[r.target.Name]()
		if code == panics {
			panic("a receiver that nobody expected")
		}
		if code < 0 { // the receiver hangs
			select {
			case <-ctx.Done():
			case <-time.After(postTimeout):
			}
			code = 0
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sent = append(o.sent, fmt.Sprintf("%v %s %d: %d", time.Since(o.began).Truncate(time.Second), r.target.Name, e.Number, code))
		if code == 0 {
			return 0, errors.New("no answer")
		}
		return code, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.sender.Run(ctx) }()
	// The hints have no reader here; Run's delivery of them ends with ctx.
	o.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return o
}

// panics is the answer of a receiver that makes the Sender panic.
const panics = 999

// taken returns the numbers of the events that a receiver took.
func (o *office) taken(name string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []string
	for _, line := range o.sent {
		var at, receiver, rest string
		if _, err := fmt.Sscan(line, &at, &receiver, &rest); err == nil && receiver == name && line[len(line)-3:] == "204" {
			list = append(list, rest)
		}
	}
	return list
}

func (o *office) attempts() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent)
}

// sunday is a pair with receivers of these names.
func sunday(names ...string) *v1alpha1.StreamPair {
	pair := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: "sunday", UID: "1-2-3"}}
	for _, n := range names {
		pair.Spec.Notifications = append(pair.Spec.Notifications, v1alpha1.Notification{
			Name: n, URL: "https://" + n + ".example.com", KeySecretRef: v1alpha1.SecretReference{Name: "key"},
		})
	}
	return pair
}

// statusOf is the written status of a pair with these events.
func statusOf(pair *v1alpha1.StreamPair, progress func(string) v1alpha1.NotificationStatus, numbers ...int64) *v1alpha1.StreamPairStatus {
	status := &v1alpha1.StreamPairStatus{History: switches(numbers...)}
	for _, n := range pair.Spec.Notifications {
		s := v1alpha1.NotificationStatus{Name: n.Name}
		if progress != nil {
			s = progress(n.Name)
		}
		status.Notifications = append(status.Notifications, s)
	}
	return status
}

func TestAReceiverThatIsDownForFiveMinutesGetsAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		defer o.stop()
		back := time.Now().Add(5 * time.Minute)
		o.answers["studio"] = func() int {
			if time.Now().Before(back) {
				return 0
			}
			return 204
		}
		pair := sunday("studio")
		o.sender.Follow(pair, statusOf(pair, nil, 1))
		time.Sleep(time.Minute)
		o.sender.Follow(pair, statusOf(pair, nil, 1, 2, 3))
		time.Sleep(10 * time.Minute)
		if diff := cmp.Diff([]string{"1:", "2:", "3:"}, o.taken("studio")); diff != "" {
			t.Errorf("taken (-want +got):\n%s\n%v", diff, o.sent)
		}
		got := o.sender.Progress(pair, "studio")
		if got.Position != 3 || got.LastDeliveredID != messageID("1-2-3", switches(3)[0]) || got.LastStatusCode != 204 || got.Undelivered != 0 {
			t.Errorf("progress %+v", got)
		}
	})
}

func TestAnOperatorGoesOnWhereTheLastOneStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := sunday("studio")
		first := newOffice(t)
		first.answers["studio"] = func() int { return 204 }
		first.sender.Follow(pair, statusOf(pair, nil, 1, 2))
		time.Sleep(time.Minute)
		written := func(string) v1alpha1.NotificationStatus { return first.sender.Progress(pair, "studio") }
		status := statusOf(pair, written, 1, 2, 3)
		first.stop()

		second := newOffice(t)
		defer second.stop()
		second.answers["studio"] = func() int { return 204 }
		second.sender.Follow(pair, status)
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"3:"}, second.taken("studio")); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
	})
}

func TestASlowReceiverHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		defer o.stop()
		o.answers["slow"] = func() int { return -1 }
		o.answers["quick"] = func() int { return 204 }
		pair := sunday("slow", "quick")
		o.sender.Follow(pair, statusOf(pair, nil, 1, 2, 3))
		time.Sleep(settleTime + time.Second)
		if diff := cmp.Diff([]string{"1:", "2:", "3:"}, o.taken("quick")); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Hour)
		if got := o.sender.Progress(pair, "slow"); got.Undelivered != 3 || got.Position != 3 || got.LastStatusCode != 0 {
			t.Errorf("progress of the slow one %+v", got)
		}
	})
}

func TestAPanicIsAFailureOfOneReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		defer o.stop()
		o.answers["odd"] = func() int { return panics }
		o.answers["quick"] = func() int { return 204 }
		pair := sunday("odd", "quick")
		o.sender.Follow(pair, statusOf(pair, nil, 1))
		time.Sleep(2 * time.Hour)
		if diff := cmp.Diff([]string{"1:"}, o.taken("quick")); diff != "" || o.sender.Progress(pair, "odd").Undelivered != 1 {
			t.Errorf("the odd one has %+v; taken (-want +got):\n%s", o.sender.Progress(pair, "odd"), diff)
		}
	})
}

func TestNothingIsSentForAPairThatIsGone(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(o *office, pair *v1alpha1.StreamPair)
	}{
		{"the pair was deleted", func(o *office, _ *v1alpha1.StreamPair) {
			o.sender.Forget(types.NamespacedName{Namespace: "live", Name: "sunday"})
		}},
		{"the receiver was removed", func(o *office, pair *v1alpha1.StreamPair) {
			o.sender.Follow(sunday(), statusOf(pair, nil, 1))
		}},
		{"the operator ended", func(o *office, _ *v1alpha1.StreamPair) { o.stop(); o.stop = func() {} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t)
				defer func() { o.stop() }()
				o.answers["studio"] = func() int { return 503 }
				pair := sunday("studio")
				o.sender.Follow(pair, statusOf(pair, nil, 1))
				time.Sleep(time.Minute)
				tt.end(o, pair)
				synctest.Wait()
				before := o.attempts()
				time.Sleep(time.Hour)
				if after := o.attempts(); after != before || before == 0 {
					t.Errorf("%d attempts before, %d after", before, after)
				}
			})
		})
	}
}

func TestAReceiverThatIsSetOtherwiseIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		defer o.stop()
		var answer atomic.Int64
		answer.Store(503)
		o.answers["studio"] = func() int { return int(answer.Load()) }
		pair := sunday("studio")
		o.sender.Follow(pair, statusOf(pair, nil, 1))
		time.Sleep(20 * time.Minute) // the waits are long by now
		answer.Store(204)
		other := sunday("studio")
		other.Spec.Notifications[0].URL = "https://other.example.com"
		o.sender.Follow(other, statusOf(pair, nil, 1))
		time.Sleep(settleTime + time.Second)
		if diff := cmp.Diff([]string{"1:"}, o.taken("studio")); diff != "" {
			t.Errorf("taken (-want +got):\n%s\n%v", diff, o.sent)
		}
	})
}

func TestEventsOfAKindThatNobodyWantsAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		defer o.stop()
		o.answers["studio"] = func() int { return 204 }
		pair := sunday("studio")
		pair.Spec.Notifications[0].Events = []v1alpha1.NotificationEvent{"Dark"}
		status := statusOf(pair, nil, 1, 2, 3)
		status.History[1].Kind = v1alpha1.HistoryDark
		o.sender.Follow(pair, status)
		time.Sleep(time.Minute)
		if got := o.taken("studio"); !slices.Equal(got, []string{"2:"}) {
			t.Errorf("taken %v, want the second one only", got)
		}
	})
}
