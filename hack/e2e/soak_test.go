package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	cluster "github.com/streampair/streampair/hack/cluster/client"
	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/hack/seeded"
)

const (
	// soakInterval is the time between two faults.
	soakInterval = 10 * time.Second
	// frozenShare bounds the share of the viewing time in gaps longer than measure.Steady.
	frozenShare = 0.02
)

// A soakFault is one fault of the soak. It is made to one leg,
// or, for the last ones in the list, to no particular leg.
type soakFault struct {
	name string
	// harms says that the fault takes a leg away, or takes one leg from the other's pod.
	harms bool
	// do makes the fault. It returns an error if the fault could not be
	// made, for example because the pod or node is just being replaced.
	do func(s *faultRun, role v1alpha1.Role) error
	// ofNode says that the fault is made to the leg's
	// node, which must not be the node of both legs.
	ofNode bool
	// lasts is the time until mend.
	lasts time.Duration
	mend  func(s *faultRun, role v1alpha1.Role) error
}

// onlyPod returns the only pod of pods that is not ending.
func onlyPod(pods []corev1.Pod) (*corev1.Pod, error) {
	staying := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return !p.DeletionTimestamp.IsZero() })
	if len(staying) != 1 {
		return nil, fmt.Errorf("%d pods, and %d of them end: want one that stays", len(pods), len(pods)-len(staying))
	}
	return &staying[0], nil
}

func (s *faultRun) onNodeOf(role v1alpha1.Role, do func(node string) error) error {
	pod, err := onlyPod(s.legPods(s.t, role))
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" {
		return fmt.Errorf("pod %s is on no node", pod.Name)
	}
	return do(pod.Spec.NodeName)
}

func (s *faultRun) betweenPods(do func(a, b string) error) error {
	var addresses []string
	for _, role := range objects.Roles() {
		pod, err := onlyPod(s.legPods(s.t, role))
		if err != nil {
			return err
		}
		if pod.Status.PodIP == "" {
			return fmt.Errorf("pod %s has no address", pod.Name)
		}
		addresses = append(addresses, pod.Status.PodIP)
	}
	return do(addresses[0], addresses[1])
}

// killOnly kills the container of the only pod of pods that is not ending.
func (s *faultRun) killOnly(pods []corev1.Pod) error {
	pod, err := onlyPod(pods)
	if err != nil {
		return err
	}
	statuses := pod.Status.ContainerStatuses
	if len(statuses) != 1 || statuses[0].State.Running == nil {
		return fmt.Errorf("the container of pod %s does not run", pod.Name)
	}
	return s.cluster.KillContainer(s.t.Context(), statuses[0].ContainerID)
}

func soakFaults(t *testing.T) []soakFault {
	ctx := t.Context()
	heal := func(s *faultRun, _ v1alpha1.Role) error { return s.cluster.HealAll(ctx) }
	return []soakFault{
		{name: "encoder killed", harms: true, do: func(s *faultRun, r v1alpha1.Role) error { return s.encoders[r].Kill() }},
		{
			name: "encoder silent", harms: true, lasts: 3 * time.Second,
			do:   func(s *faultRun, r v1alpha1.Role) error { return s.encoders[r].Freeze() },
			mend: func(s *faultRun, r v1alpha1.Role) error { return s.encoders[r].Kill() },
		},
		{name: "pod deleted", harms: true, do: func(s *faultRun, r v1alpha1.Role) error {
			pod, err := onlyPod(s.legPods(t, r))
			if err != nil {
				return err
			}
			return s.kube.Delete(ctx, pod)
		}},
		{name: "media server killed", harms: true, do: func(s *faultRun, r v1alpha1.Role) error {
			return s.killOnly(s.legPods(t, r))
		}},
		{
			name: "node cut off", harms: true, ofNode: true, lasts: 5 * time.Second, mend: heal,
			do: func(s *faultRun, r v1alpha1.Role) error {
				return s.onNodeOf(r, func(node string) error { return s.cluster.Partition(ctx, node) })
			},
		},
		{
			name: "node crashed", harms: true, ofNode: true, lasts: 2 * time.Second, mend: heal,
			do: func(s *faultRun, r v1alpha1.Role) error {
				return s.onNodeOf(r, func(node string) error { return s.cluster.Crash(ctx, node) })
			},
		},
		{
			name: "relay reset", harms: true, lasts: 3 * time.Second, mend: heal,
			do: func(s *faultRun, _ v1alpha1.Role) error {
				return s.betweenPods(func(a, b string) error { return s.cluster.CutRelay(ctx, a, b, cluster.Reset) })
			},
		},
		{
			name: "relay a black hole", harms: true, lasts: 3 * time.Second, mend: heal,
			do: func(s *faultRun, _ v1alpha1.Role) error {
				return s.betweenPods(func(a, b string) error { return s.cluster.CutRelay(ctx, a, b, cluster.BlackHole) })
			},
		},
		{
			name: "node without API server", lasts: 6 * time.Second, mend: heal,
			do: func(s *faultRun, r v1alpha1.Role) error {
				return s.onNodeOf(r, func(node string) error { return s.cluster.CutAPI(ctx, node) })
			},
		},
		{name: "operator killed", do: func(s *faultRun, _ v1alpha1.Role) error { return s.killOnly(s.operatorPods()) }},
		{
			name: "API server down", lasts: 5 * time.Second,
			do:   func(s *faultRun, _ v1alpha1.Role) error { return s.cluster.StopAPIServer(ctx) },
			mend: func(s *faultRun, _ v1alpha1.Role) error { return s.cluster.StartAPIServer(ctx) },
		},
	}
}

// Every ten seconds a random fault is made, but never to the only live leg.
func TestSoak(t *testing.T) {
	if options.soak == 0 {
		t.Skip("asked for by -soak DURATION: make e2e-soak")
	}
	here(t).needCluster(t)
	s := newFaultRun(t, v1alpha1.RolePrimary)
	seed := options.seed
	if seed == 0 {
		seed = seeded.Seed(t)
	}
	random := seeded.New(seed)
	before := s.sizes()
	t.Logf("before: %+v", before)

	s.fault = time.Now()
	var turns measure.Turns
	for next := time.Now(); time.Since(s.fault) < options.soak; {
		next = next.Add(soakInterval)
		turns.Count(s.makeRandomFault(random))
		if s.page.State().Phase == "" {
			t.Error("the page has gone")
		}
		time.Sleep(time.Until(next))
	}
	end := time.Now()
	t.Logf("%v: %v", end.Sub(s.fault).Round(time.Second), turns)
	if err := turns.Err(); err != nil {
		t.Error(err)
	}

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
		one := v.Pictures().Frozen(s.fault, end, measure.Steady)
		longest := v.Pictures().LongestGap(s.fault, end)
		t.Logf("viewer %d: %v without a new picture, %v at the longest, at %s, %d sessions", i, one.Round(time.Millisecond),
			longest.Length.Round(time.Millisecond), longest.Begin.Format("15:04:05.000"), v.Opened())
		frozen, watched = frozen+one, watched+end.Sub(s.fault)
	}
	share := float64(frozen) / float64(watched)
	limit := time.Duration(frozenShare * float64(watched))
	figure := measure.Figure{Length: frozen, Limit: limit}
	if share > frozenShare {
		figure.Verdict = measure.Failed
	}
	s.table.Add(measure.What{
		Fault: fmt.Sprintf("soak, %d random faults in %v", turns.Made, options.soak),
		Who:   "no new picture, of three viewers in all", Goal: fmt.Sprintf("≤ %v", limit.Round(time.Second)),
	}, figure)
	t.Logf("no new picture for %.2f %% of the viewing time", 100*share)
	if share > frozenShare {
		t.Errorf("viewers had no new picture for %.2f %% of the time, limit %.0f %%", 100*share, 100*frozenShare)
	}
	s.staysSmall(before)
}

// How often, and how far apart, the soak looks up the target of a fault.
const (
	lookUps      = 4
	lookUpsEvery = 2 * time.Second
)

// errNotWhole says that the pair would not survive a fault that takes a leg away.
var errNotWhole = errors.New("one leg is away, or both are on one node")

// makeRandomFault makes one random fault, and returns what came of it.
func (s *faultRun) makeRandomFault(random *rand.Rand) measure.Turn {
	s.t.Helper()
	all := soakFaults(s.t)
	m, role := all[random.IntN(len(all))], objects.Roles()[random.IntN(2)]
	err := s.inflict(m, role)
	switch {
	case errors.Is(err, errNotWhole):
		s.timeline.say("no fault: %v", err)
		return measure.Spared
	case err != nil:
		s.timeline.say("no fault: %s (%s): %v", m.name, role, err)
		s.t.Logf("%s %s (%s) is skipped: %v", time.Now().Format("15:04:05"), m.name, role, err)
		if err := s.cluster.HealAll(s.t.Context()); err != nil { // a fault may have been half made
			s.t.Errorf("mend %s, which was skipped: %v", m.name, err)
		}
		return measure.Skipped
	}
	s.t.Logf("%s %s (%s)", time.Now().Format("15:04:05"), m.name, role)
	time.Sleep(m.lasts)
	if m.mend != nil {
		if err := m.mend(s, role); err != nil {
			s.t.Errorf("mend %s: %v", m.name, err)
		}
	}
	return measure.Made
}

// inflict makes a fault. It returns an error if the pair would not survive the
// fault, or if the fault could not be made. The pod or the node may be just
// being replaced, so inflict looks up the target several times before giving up.
func (s *faultRun) inflict(m soakFault, role v1alpha1.Role) error {
	s.t.Helper()
	var err error
	for n := range lookUps {
		if n > 0 {
			time.Sleep(lookUpsEvery)
		}
		// The pods report this state, which needs no API server.
		if m.harms && !s.bothLive(m.ofNode) {
			return errNotWhole
		}
		s.tellWatchers()
		s.timeline.say("FAULT: %s (%s)", m.name, role)
		if err = m.do(s, role); err == nil {
			return nil
		}
		s.timeline.say("which could not be made: %v", err)
	}
	return err
}

// tellWatchers gives the pion viewers the addresses of the current pods.
func (s *faultRun) tellWatchers() {
	s.t.Helper()
	var bases []string
	for _, role := range objects.Roles() {
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

// bothLive reports whether each leg has its own pod that plays the leg, and both
// pods have both legs. With apart the pods must also be on different nodes.
func (s *faultRun) bothLive(apart bool) bool {
	nodes := map[string]bool{}
	for _, role := range objects.Roles() {
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

// A size is what a media server uses.
type size struct {
	MemoryMiB, Goroutines, Seconds int
}

func (s *faultRun) sizes() map[v1alpha1.Role]size {
	s.t.Helper()
	sizes := map[v1alpha1.Role]size{}
	for _, role := range objects.Roles() {
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

// staysSmall checks that the media servers use as much as before
// with as many viewers. All viewers may have moved to one pod.
func (s *faultRun) staysSmall(before map[v1alpha1.Role]size) {
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
