package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers"
	cluster "github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/e2e/measure"
)

const (
	// soakInterval lies between two faults.
	soakInterval = 10 * time.Second
	// tolerated is a gap that counts as no gap, and frozenShare how much of the viewing time
	// all others may take.
	tolerated   = 200 * time.Millisecond
	frozenShare = 0.02
)

// A mishap is one fault of the soak, done to a leg or, like the last ones, to neither.
type mishap struct {
	name string
	// harms says whether it takes a leg away, or one from the other.
	harms bool
	do    func(s *scene, role v1alpha1.Role) error
	// ofNode says that it is done to the leg's node, which must not be that of both.
	ofNode bool
	// lasts is how long it takes until mend.
	lasts time.Duration
	mend  func(s *scene, role v1alpha1.Role) error
}

func (s *scene) onNodeOf(role v1alpha1.Role, do func(node string) error) error {
	pods := s.legPods(s.t, role)
	if len(pods) == 0 {
		return nil
	}
	return do(pods[0].Spec.NodeName)
}

func (s *scene) betweenPods(do func(a, b string) error) error {
	a, b := s.legPods(s.t, v1alpha1.RolePrimary), s.legPods(s.t, v1alpha1.RoleBackup)
	if len(a) != 1 || len(b) != 1 {
		return nil
	}
	return do(a[0].Status.PodIP, b[0].Status.PodIP)
}

func mishaps(t *testing.T) []mishap {
	ctx := t.Context()
	heal := func(s *scene, _ v1alpha1.Role) error { return s.cluster.HealAll(ctx) }
	return []mishap{
		{name: "encoder killed", harms: true, do: func(s *scene, r v1alpha1.Role) error { return s.encoders[r].Kill() }},
		{
			name: "encoder silent", harms: true, lasts: 3 * time.Second,
			do:   func(s *scene, r v1alpha1.Role) error { return s.encoders[r].Freeze() },
			mend: func(s *scene, r v1alpha1.Role) error { return s.encoders[r].Kill() },
		},
		{name: "pod deleted", harms: true, do: func(s *scene, r v1alpha1.Role) error {
			return s.kube.Delete(ctx, &s.legPods(t, r)[0])
		}},
		{name: "media server killed", harms: true, do: func(s *scene, r v1alpha1.Role) error {
			return s.cluster.KillContainer(ctx, s.legPods(t, r)[0].Status.ContainerStatuses[0].ContainerID)
		}},
		{
			name: "node cut off", harms: true, ofNode: true, lasts: 5 * time.Second, mend: heal,
			do: func(s *scene, r v1alpha1.Role) error {
				return s.onNodeOf(r, func(node string) error { return s.cluster.Partition(ctx, node) })
			},
		},
		{
			name: "node crashed", harms: true, ofNode: true, lasts: 2 * time.Second, mend: heal,
			do: func(s *scene, r v1alpha1.Role) error {
				return s.onNodeOf(r, func(node string) error { return s.cluster.Crash(ctx, node) })
			},
		},
		{
			name: "relay reset", harms: true, lasts: 3 * time.Second, mend: heal,
			do: func(s *scene, _ v1alpha1.Role) error {
				return s.betweenPods(func(a, b string) error { return s.cluster.CutRelay(ctx, a, b, cluster.Reset) })
			},
		},
		{
			name: "relay a black hole", harms: true, lasts: 3 * time.Second, mend: heal,
			do: func(s *scene, _ v1alpha1.Role) error {
				return s.betweenPods(func(a, b string) error { return s.cluster.CutRelay(ctx, a, b, cluster.BlackHole) })
			},
		},
		{
			name: "node without API server", lasts: 6 * time.Second, mend: heal,
			do: func(s *scene, r v1alpha1.Role) error {
				return s.onNodeOf(r, func(node string) error { return s.cluster.CutAPI(ctx, node) })
			},
		},
		{name: "operator killed", do: func(s *scene, _ v1alpha1.Role) error {
			pod := s.operatorPods()[0]
			if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Running == nil {
				return nil
			}
			return s.cluster.KillContainer(ctx, pod.Status.ContainerStatuses[0].ContainerID)
		}},
		{
			name: "API server down", lasts: 5 * time.Second,
			do:   func(s *scene, _ v1alpha1.Role) error { return s.cluster.StopAPIServer(ctx) },
			mend: func(s *scene, _ v1alpha1.Role) error { return s.cluster.StartAPIServer(ctx) },
		},
	}
}

// Faults at random, one every ten seconds, never of the only live leg.
func TestSoak(t *testing.T) {
	if options.soak == 0 {
		t.Skip("asked for by -soak DURATION: make e2e-soak")
	}
	here(t).needCluster(t)
	s := setScene(t, v1alpha1.RolePrimary)
	seed := options.seed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d repeats these faults", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	before := s.sizes()
	t.Logf("before: %+v", before)

	s.fault = time.Now()
	count := 0
	for next := time.Now(); time.Since(s.fault) < options.soak; {
		next = next.Add(soakInterval)
		if s.strike(random) {
			count++
		}
		if s.page.State().Phase == "" {
			t.Error("the page has gone")
		}
		time.Sleep(time.Until(next))
	}
	end := time.Now()
	t.Logf("%d faults in %v", count, end.Sub(s.fault).Round(time.Second))

	s.must(s.cluster.HealAll(t.Context()))
	s.settle(whole...)
	s.eventually("no viewer is lost for good", func() bool {
		now := time.Now()
		for _, v := range s.viewers() {
			if v.Pictures().LongestGap(now.Add(-calm), now).Length > noise {
				return false
			}
		}
		return true
	})
	frozen, watched := time.Duration(0), time.Duration(0)
	for i, v := range s.viewers() {
		one := v.Pictures().Frozen(s.fault, end, tolerated)
		longest := v.Pictures().LongestGap(s.fault, end)
		t.Logf("viewer %d: %v without a new picture, %v at the longest, at %s, %d sessions", i, one.Round(time.Millisecond),
			longest.Length.Round(time.Millisecond), longest.Begin.Format("15:04:05.000"), v.Opened())
		frozen, watched = frozen+one, watched+end.Sub(s.fault)
	}
	share := float64(frozen) / float64(watched)
	s.table.Add(measure.What{Fault: fmt.Sprintf("soak, %d random faults in %v", count, options.soak), Who: "no new picture, of three viewers in all", Goal: fmt.Sprintf("≤ %v", time.Duration(frozenShare*float64(watched)).Round(time.Second))}, frozen, 0)
	t.Logf("no new picture for %.2f %% of the viewing time", 100*share)
	if share > frozenShare {
		t.Errorf("viewers had no new picture for %.2f %% of the time, limit %.0f %%", 100*share, 100*frozenShare)
	}
	s.staysSmall(before)
}

// strike does one fault, or none if the pair could not bear any.
func (s *scene) strike(random *rand.Rand) bool {
	s.t.Helper()
	all := mishaps(s.t)
	m, role := all[random.IntN(len(all))], controllers.Roles()[random.IntN(2)]
	// What it waits for is told by the pods, who need no API server.
	if m.harms && !s.bothLive(m.ofNode) {
		s.timeline.say("no fault: one leg is away, or both are on one node")
		return false
	}
	s.tellWatchers()
	s.timeline.say("FAULT: %s (%s)", m.name, role)
	s.t.Logf("%s %s (%s)", time.Now().Format("15:04:05"), m.name, role)
	if err := m.do(s, role); err != nil {
		s.t.Errorf("%s: %v", m.name, err)
	}
	time.Sleep(m.lasts)
	if m.mend != nil {
		if err := m.mend(s, role); err != nil {
			s.t.Errorf("mend %s: %v", m.name, err)
		}
	}
	return true
}

// tellWatchers gives the pion viewers the addresses of the pods that there are now.
func (s *scene) tellWatchers() {
	s.t.Helper()
	var bases []string
	for _, role := range controllers.Roles() {
		for _, pod := range s.legPods(s.t, role) {
			if pod.DeletionTimestamp.IsZero() && pod.Status.PodIP != "" {
				bases = append(bases, base(&pod))
			}
		}
	}
	bases = append(bases, s.playBase())
	for _, w := range s.watchers {
		w.Learn(bases...)
	}
}

// bothLive says whether each leg has its own pod, which plays it, and both pods see both;
// apart: on different nodes.
func (s *scene) bothLive(apart bool) bool {
	nodes := map[string]bool{}
	for _, role := range controllers.Roles() {
		pod, ok := s.pod(s.t, role)
		if !ok || apart && nodes[pod.Spec.NodeName] {
			return false
		}
		nodes[pod.Spec.NodeName] = true
		state, err := stateAt(s.t.Context(), base(pod), "")
		if err != nil || !state.full() {
			return false
		}
	}
	return true
}

// size is what a media server takes.
type size struct {
	MemoryMiB, Goroutines, Seconds int
}

func (s *scene) sizes() map[v1alpha1.Role]size {
	s.t.Helper()
	sizes := map[v1alpha1.Role]size{}
	for _, role := range controllers.Roles() {
		var pod *corev1.Pod
		var m map[string]float64
		s.eventually("the metrics of the "+string(role), func() bool {
			var ok bool
			if pod, ok = s.pod(s.t, role); !ok {
				return false
			}
			var err error
			m, err = metrics(s.t.Context(), pod)
			return err == nil
		})
		sizes[role] = size{
			MemoryMiB: int(m["process_resident_memory_bytes"]) >> 20, Goroutines: int(m["go_goroutines"]),
			Seconds: int(float64(time.Now().Unix()) - m["process_start_time_seconds"]),
		}
	}
	return sizes
}

// staysSmall checks that the media servers take as much as before, with as many viewers:
// all of them may have gone to one pod.
func (s *scene) staysSmall(before map[v1alpha1.Role]size) {
	s.t.Helper()
	after := s.sizes()
	s.t.Logf("memory and goroutines before: %+v, after: %+v", before, after)
	for role := range after {
		if limit := 3*before[role].Goroutines + 50; after[role].Goroutines > limit {
			s.t.Errorf("the %s has %d goroutines, had %d", role, after[role].Goroutines, before[role].Goroutines)
		}
		if limit := before[role].MemoryMiB + 100; after[role].MemoryMiB > limit {
			s.t.Errorf("the %s takes %d MiB, took %d", role, after[role].MemoryMiB, before[role].MemoryMiB)
		}
	}
}
