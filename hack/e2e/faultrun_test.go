package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// A viewer is a client whose pictures are counted.
type viewer interface {
	// Pictures returns the pictures seen so far. Opened
	// returns how many sessions the viewer has opened.
	Pictures() measure.Pictures
	Opened() int
}

// A faultRun is one run of a fault in the testCluster. At first everything is
// well: both legs are live, on different nodes, and the wanted leg is active.
// A pion viewer watches each pod, and the browser the pod of the active leg.
type faultRun struct {
	*testCluster
	t *testing.T
	// active and standby are the legs before the fault. pods are the pods of the legs.
	active, standby v1alpha1.Role
	pods            map[v1alpha1.Role]*corev1.Pod
	// inElement reports whether the browser has the player in a <stream-pair> element of another
	// site, and not in play.html. Runs have one and the other in turn.
	inElement bool
	watchers  map[v1alpha1.Role]*audience.Watcher
	opened    map[viewer]int // sessions before the fault
	well      []string       // the conditions of the pair before the fault
	began     time.Time      // when the run began
	fault     time.Time      // when the fault was made
}

// whole has the conditions of a pair that is well.
var whole = []string{
	"Ready=True", "OnAir=True", "PrimaryLive=True", "BackupLive=True", "Redundant=True", "Converged=True", "Exposed=True", "Progressing=False",
}

// newFaultRun brings everything into order, with this leg active.
func newFaultRun(t *testing.T, active v1alpha1.Role) *faultRun {
	t.Helper()
	return newFaultRunOf(t, active, whole)
}

// newFaultRunOf is newFaultRun with other conditions for a pair that is well.
func newFaultRunOf(t *testing.T, active v1alpha1.Role, well []string) *faultRun {
	t.Helper()
	s := &faultRun{
		testCluster: here(t), t: t, active: active, standby: objects.OtherRole(active), began: time.Now(), well: well,
		watchers: map[v1alpha1.Role]*audience.Watcher{}, opened: map[viewer]int{},
	}
	s.inElement = (options.element || s.pages%2 == 1) && !s.onlyPlayPage
	s.pages++
	t.Cleanup(s.finish)
	s.timeline.say("---- %s, player in an element: %v", t.Name(), s.inElement)
	if s.cluster != nil {
		s.must(s.cluster.HealAll(t.Context()))
	}
	s.eventually("all nodes are ready and can be used", func() bool { return len(s.nodes(t, true)) == len(s.nodes(t, false)) })
	s.pods = s.settle(s.well...)
	s.activate()
	s.openWatchers()
	s.openPage(s.active)
	s.waitForCalm()
	s.countSessions()
	s.timeline.say("everything is well, %s active", s.active)
	t.Logf("everything is well after %v", time.Since(s.began).Round(100*time.Millisecond))
	return s
}

// settle waits until the pair has the conditions and each leg has one ready
// pod. If there are enough nodes, each pod must have a node of its own.
func (s *faultRun) settle(conditions ...string) map[v1alpha1.Role]*corev1.Pod {
	s.t.Helper()
	pods := map[v1alpha1.Role]*corev1.Pod{}
	apart := len(s.nodes(s.t, true)) > 1
	var pair *v1alpha1.StreamPair
	for began, moved := time.Now(), (time.Time{}); ; time.Sleep(100 * time.Millisecond) {
		good := true
		for _, role := range objects.Roles() {
			pod, ok := s.pod(s.t, role)
			pods[role], good = pod, good && ok
		}
		pair = s.pair(s.t, pairName)
		if good && apart && pods[s.active].Spec.NodeName == pods[s.standby].Spec.NodeName {
			good = false
			if time.Since(moved) > 20*time.Second && len(missing(pair, []string{"PrimaryLive=True", "BackupLive=True"})) == 0 {
				// A node was away and is back. Nobody moves a running pod, so the test does.
				s.timeline.say("moving the %s's pod off the node of the other", s.standby)
				s.must(s.kube.Delete(s.t.Context(), pods[s.standby]))
				moved = time.Now()
			}
		}
		lacks := missing(pair, conditions)
		if good && len(lacks) == 0 {
			return pods
		}
		if time.Since(began) > patience {
			s.t.Fatalf("the pair is not well after %v: it lacks %v, pods are as they should be: %v\n%s", patience, lacks, good, describe(pair))
		}
	}
}

// must fails the test if err is not nil.
func (s *faultRun) must(err error) {
	s.t.Helper()
	s.testCluster.must(s.t, err)
}

func (s *faultRun) eventually(what string, done func() bool) time.Duration {
	s.t.Helper()
	return s.testCluster.eventually(s.t, what, done)
}

// activate switches to the leg that must be active, by a pin that is then removed.
func (s *faultRun) activate() {
	s.t.Helper()
	if !s.onAir(s.active) {
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Select = v1alpha1.Selection(s.active) })
		s.eventually(fmt.Sprintf("both pods play the %s", s.active), func() bool { return s.onAir(s.active) })
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Select = v1alpha1.SelectAuto })
	}
	s.waitFor(s.t, s.well...)
	s.eventually("status tells the active leg", func() bool {
		pair := s.pair(s.t, pairName)
		return pair.Status.ActiveStream != nil && pair.Status.ActiveStream.Role == s.active
	})
}

// onAir reports whether both pods play a leg, and both legs are whole.
func (s *faultRun) onAir(leg v1alpha1.Role) bool {
	return s.everyPod(func(p podState) bool { return p.Active == leg && p.OnAir && p.full() })
}

// openWatchers lets a pion viewer watch each pod.
func (s *faultRun) openWatchers() {
	s.t.Helper()
	for _, role := range objects.Roles() {
		s.watchers[role] = s.watch(base(s.pods[role]), base(s.pods[objects.OtherRole(role)]), s.playBase())
	}
}

// watch opens a pion viewer at a base URL. When the
// viewer must leave, it goes to one of the others.
func (s *faultRun) watch(base string, others ...string) *audience.Watcher {
	s.t.Helper()
	var w *audience.Watcher
	var err error
	s.eventually("a picture at "+base, func() bool {
		w, err = audience.Watch(s.t.Context(), audience.WatcherConfig{
			Base: base, Others: others, Direct: true, App: "live", StreamID: "primary", BackupStreamID: "backup",
			Logf: func(format string, args ...any) { s.timeline.say("viewer of "+base+": "+format, args...) },
		})
		if err != nil {
			s.timeline.say("no viewer at %s: %v", base, err)
		}
		return err == nil
	})
	s.t.Cleanup(w.Close)
	return w
}

// playBase returns the base of the playback URL.
func (s *faultRun) playBase() string {
	before, _, _ := strings.Cut(s.pair(s.t, pairName).Status.PlaybackURL, "/live/play.html")
	return before
}

// sessionLetter returns the first letter of session ids of the role's pod.
func sessionLetter(role v1alpha1.Role) string { return objects.LegName(role)[:1] }

// openPage opens the player of the playback URL in the browser until the role's pod serves it.
func (s *faultRun) openPage(role v1alpha1.Role) {
	s.t.Helper()
	url := s.pair(s.t, pairName).Status.PlaybackURL
	open := s.page.Open
	if s.inElement {
		open = s.page.OpenElement
	}
	for began := time.Now(); ; {
		s.must(open(url))
		s.eventually("the page plays", func() bool { return s.page.State().Phase == "playing" && s.page.Leg() >= 0 })
		if audience.ServedBy(s.page.State().Session) == sessionLetter(role) {
			return
		}
		if time.Since(began) > patience {
			s.t.Fatalf("the playback URL never leads to the %s's pod, but to %s", role, s.page.State().Session)
		}
	}
}

// calm is how long all viewers must have had pictures. noise bounds
// the gaps in that time, which come from the machine itself.
const calm, noise = 2 * time.Second, 250 * time.Millisecond

func (s *faultRun) waitForCalm() {
	s.t.Helper()
	time.Sleep(calm)
	s.eventually("all viewers have pictures all the time", func() bool {
		now := time.Now()
		for _, v := range s.viewers() {
			if v.Pictures().LongestGap(now.Add(-calm), now).Length > noise {
				return false
			}
		}
		return true
	})
}

// countSessions notes how many sessions each viewer
// has opened. A figure counts later ones only.
func (s *faultRun) countSessions() {
	for _, v := range s.viewers() {
		s.opened[v] = v.Opened()
	}
}

// viewers returns all viewers.
func (s *faultRun) viewers() []viewer {
	return []viewer{s.watchers[v1alpha1.RolePrimary], s.watchers[v1alpha1.RoleBackup], s.page}
}

// do makes the fault.
func (s *faultRun) do(what string, fault func() error) {
	s.t.Helper()
	s.timeline.say("FAULT: %s", what)
	s.fault = time.Now()
	s.must(fault())
	s.timeline.say("done")
}

// observe waits while the viewers watch.
func (s *faultRun) observe(d time.Duration) {
	s.t.Helper()
	time.Sleep(d)
}

// figure takes the longest time without a new picture that
// any of the viewers had since the fault, and judges it.
func (s *faultRun) figure(fault, who string, g measure.Goal, viewers ...viewer) {
	s.t.Helper()
	now := time.Now()
	worst, reconnects := time.Duration(0), 0
	if s.inElement && slices.Contains(viewers, viewer(s.page)) {
		who += ", <stream-pair>"
	}
	for _, v := range viewers {
		gap := v.Pictures().LongestGap(s.fault, now)
		worst = max(worst, gap.Length)
		reconnects += v.Opened() - s.opened[v]
		s.timeline.say("FIGURE: %s, %s: no new picture for %v from %s on, %d reconnects", fault, who, gap.Length, gap.Begin.Format("15:04:05.000"), v.Opened()-s.opened[v])
	}
	s.t.Logf("%s: %s: %v without a new picture (%s), %d reconnects", fault, who, worst.Round(time.Millisecond), g, reconnects)
	s.judged(measure.What{Fault: fault, Who: who, Goal: g.String()}, worst, reconnects, g.Judge)
	if !g.Reconnects && reconnects > 0 {
		s.t.Errorf("%s: %s reconnected %d times", fault, who, reconnects)
	}
}

// took adds a figure that is not a gap between pictures.
func (s *faultRun) took(fault, what string, goal time.Duration, took time.Duration) {
	s.t.Helper()
	s.t.Logf("%s: %s after %v", fault, what, took.Round(100*time.Millisecond))
	deadline := measure.Deadline(goal)
	s.judged(measure.What{Fault: fault, Who: what, Goal: deadline.String()}, took, 0, deadline.Judge)
}

// stays fails the test if a condition had a value since the fault that is not among values.
func (s *faultRun) stays(subject string, values ...string) {
	s.t.Helper()
	s.staysSince(s.fault, subject, values...)
}

// staysSince is stays from another moment on.
func (s *faultRun) staysSince(since time.Time, subject string, values ...string) {
	s.t.Helper()
	story := s.timeline.story(subject, since)
	for _, value := range story {
		if !slices.Contains(values, value) {
			s.t.Errorf("%s was %v, want only %v", subject, story, values)
			return
		}
	}
}

// selector returns the label selector of a leg's pods, for kubectl.
func selector(role v1alpha1.Role) string {
	return labels.SelectorFromSet(objects.LegSelector(pairName, role)).String()
}

// finish closes the page in the browser and writes the timeline. If the test failed, it logs what
// happened.
func (s *faultRun) finish() {
	if s.page != nil {
		s.page.Close()
	}
	folder := filepath.Join(options.output, strings.NewReplacer("/", "-", " ", "-").Replace(s.t.Name()))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		s.t.Log(err)
		return
	}
	_ = os.WriteFile(filepath.Join(folder, "timeline.txt"), []byte(s.timeline.text(s.began)), 0o644)
	if !s.t.Failed() {
		return
	}
	s.t.Logf("what happened:\n%s", s.timeline.text(s.began))
	for name, args := range map[string][]string{
		"pair.yaml":     {"get", "sp", pairName, "-n", options.namespace, "-o", "yaml"},
		"objects.txt":   {"get", "pods,deployments,services,endpointslices,pdb", "-n", options.namespace, "-o", "wide"},
		"events.txt":    {"get", "events", "-n", options.namespace, "--sort-by=.metadata.creationTimestamp"},
		"nodes.txt":     {"describe", "nodes"},
		"primary.log":   {"logs", "-n", options.namespace, "--prefix", "--tail=2000", "-l", selector(v1alpha1.RolePrimary)},
		"backup.log":    {"logs", "-n", options.namespace, "--prefix", "--tail=2000", "-l", selector(v1alpha1.RoleBackup)},
		"operator.log":  {"logs", "-n", s.operator.Namespace, "--tail=2000", "deployment/" + s.operator.Name},
		"namespace.txt": {"get", "pods", "-A", "-o", "wide"},
	} {
		out, err := s.kubectl(args...)
		if err != nil {
			out += "\n" + err.Error()
		}
		_ = os.WriteFile(filepath.Join(folder, name), []byte(out), 0o644)
	}
	s.t.Logf("pods' logs and objects are in %s", folder)
}
