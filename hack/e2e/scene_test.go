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
	"github.com/streampair/streampair/controllers"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// A viewer is somebody whose pictures are counted.
type viewer interface {
	// Pictures are those seen so far, Opened is how many sessions it took.
	Pictures() measure.Pictures
	Opened() int
}

// A scene is the stage with everything well, and what is done to it in one run of a fault:
// both legs live, on different nodes, the wanted one active, a pion viewer on each pod, the
// browser on the pod of the active leg.
type scene struct {
	*stage
	t *testing.T
	// active and standby are the legs as they are before the fault, pods those of the legs.
	active, standby v1alpha1.Role
	pods            map[v1alpha1.Role]*corev1.Pod
	watchers        map[v1alpha1.Role]*audience.Watcher
	opened          map[viewer]int // sessions before the fault
	well            []string       // the conditions of the pair before the fault
	began           time.Time      // of the scene
	fault           time.Time      // when it was done
}

// eachRun does a fault as often as asked for, to one leg and the other by turns.
func eachRun(t *testing.T, run func(t *testing.T, active v1alpha1.Role)) {
	t.Helper()
	for n := range options.runs {
		role := controllers.Roles()[n%2]
		t.Run(fmt.Sprintf("run %d", n+1), func(t *testing.T) { run(t, role) })
	}
}

// whole are the conditions of a pair that is well.
var whole = []string{
	"Ready=True", "OnAir=True", "PrimaryLive=True", "BackupLive=True", "Redundant=True", "Converged=True", "Exposed=True", "Progressing=False",
}

// setScene makes everything well, with a leg active.
func setScene(t *testing.T, active v1alpha1.Role) *scene {
	t.Helper()
	return setSceneOf(t, active, whole)
}

// setSceneOf is setScene where well is told by other conditions.
func setSceneOf(t *testing.T, active v1alpha1.Role, well []string) *scene {
	t.Helper()
	s := &scene{
		stage: here(t), t: t, active: active, standby: controllers.OtherRole(active), began: time.Now(), well: well,
		watchers: map[v1alpha1.Role]*audience.Watcher{}, opened: map[viewer]int{},
	}
	t.Cleanup(s.leaveScene)
	s.timeline.say("---- %s", t.Name())
	if s.cluster != nil {
		s.must(s.cluster.HealAll(t.Context()))
	}
	s.eventually("all nodes are ready and can be used", func() bool { return len(s.nodes(t, true)) == len(s.nodes(t, false)) })
	s.pods = s.settle(s.well...)
	s.activate()
	s.seatWatchers()
	s.seatPage(s.active)
	s.waitForCalm()
	s.countSessions()
	s.timeline.say("the scene is set, %s active", s.active)
	t.Logf("the scene is set after %v", time.Since(s.began).Round(100*time.Millisecond))
	return s
}

// settle waits until each leg has one pod, ready and on a node of its own where there are
// enough, and the pair the conditions.
func (s *scene) settle(conditions ...string) map[v1alpha1.Role]*corev1.Pod {
	s.t.Helper()
	pods := map[v1alpha1.Role]*corev1.Pod{}
	apart := len(s.nodes(s.t, true)) > 1
	var pair *v1alpha1.StreamPair
	for began, moved := time.Now(), (time.Time{}); ; time.Sleep(100 * time.Millisecond) {
		good := true
		for _, role := range controllers.Roles() {
			pod, ok := s.pod(s.t, role)
			pods[role], good = pod, good && ok
		}
		pair = s.pair(s.t, pairName)
		if good && apart && pods[s.active].Spec.NodeName == pods[s.standby].Spec.NodeName {
			good = false
			if time.Since(moved) > 20*time.Second && len(missing(pair, []string{"PrimaryLive=True", "BackupLive=True"})) == 0 {
				// A node was away, and is back: nobody moves a running pod.
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

// must fails the test.
func (s *scene) must(err error) {
	s.t.Helper()
	s.stage.must(s.t, err)
}

func (s *scene) eventually(what string, done func() bool) time.Duration {
	s.t.Helper()
	return s.stage.eventually(s.t, what, done)
}

// activate switches to the leg that is to be active, by a pin that is then taken away.
func (s *scene) activate() {
	s.t.Helper()
	on := func() bool {
		for _, pod := range s.pods {
			state, err := stateAt(s.t.Context(), base(pod), "")
			if err != nil || state.Active != s.active || !state.OnAir || !state.full() {
				return false
			}
		}
		return true
	}
	if !on() {
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Select = v1alpha1.Selection(s.active) })
		s.eventually(fmt.Sprintf("both pods play the %s", s.active), on)
		s.change(s.t, pairName, func(p *v1alpha1.StreamPairSpec) { p.Failover.Select = v1alpha1.SelectAuto })
	}
	s.waitFor(s.t, s.well...)
	s.eventually("status tells the active leg", func() bool {
		pair := s.pair(s.t, pairName)
		return pair.Status.ActiveStream != nil && pair.Status.ActiveStream.Role == s.active
	})
}

// seatWatchers puts a pion viewer on each pod.
func (s *scene) seatWatchers() {
	s.t.Helper()
	for _, role := range controllers.Roles() {
		s.watchers[role] = s.watch(base(s.pods[role]), base(s.pods[controllers.OtherRole(role)]), s.playBase())
	}
}

// watch opens a pion viewer at a base URL, which goes to one of the others when it must.
func (s *scene) watch(base string, others ...string) *audience.Watcher {
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

// playBase is the base of the playback URL.
func (s *scene) playBase() string {
	before, _, _ := strings.Cut(s.pair(s.t, pairName).Status.PlaybackURL, "/live/play.html")
	return before
}

// letter is what session ids of a role's pod begin with.
func letter(role v1alpha1.Role) string { return controllers.LegName(role)[:1] }

// seatPage opens the playback URL in the browser until the pod of the role serves it.
func (s *scene) seatPage(role v1alpha1.Role) {
	s.t.Helper()
	url := s.pair(s.t, pairName).Status.PlaybackURL
	for began := time.Now(); ; {
		s.must(s.page.Open(url))
		s.eventually("the page plays", func() bool { return s.page.State().Phase == "playing" && s.page.Leg() >= 0 })
		if audience.ServedBy(s.page.State().Session) == letter(role) {
			return
		}
		if time.Since(began) > patience {
			s.t.Fatalf("the playback URL never leads to the %s's pod, but to %s", role, s.page.State().Session)
		}
	}
}

// calm is how long a time all viewers must have had pictures, without a gap that is more
// than the machine's own noise.
const calm, noise = 2 * time.Second, 250 * time.Millisecond

func (s *scene) waitForCalm() {
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

// countSessions notes how many sessions each viewer has had: a figure tells of later ones.
func (s *scene) countSessions() {
	for _, v := range s.viewers() {
		s.opened[v] = v.Opened()
	}
}

// viewers are all of them.
func (s *scene) viewers() []viewer {
	return []viewer{s.watchers[v1alpha1.RolePrimary], s.watchers[v1alpha1.RoleBackup], s.page}
}

// do does the fault.
func (s *scene) do(what string, fault func() error) {
	s.t.Helper()
	s.timeline.say("FAULT: %s", what)
	s.fault = time.Now()
	s.must(fault())
	s.timeline.say("done")
}

// observe lets time pass.
func (s *scene) observe(d time.Duration) {
	s.t.Helper()
	time.Sleep(d)
}

// A goal is what a figure is to reach.
type goal struct {
	// within is the longest time without a new picture; 0: as without a fault.
	within time.Duration
	// reconnects says that sessions may be opened anew.
	reconnects bool
}

func (g goal) String() string {
	text := "nothing"
	if g.within > 0 {
		text = fmt.Sprintf("≤ %d ms", g.within.Milliseconds())
	}
	if !g.reconnects {
		text += ", no reconnect"
	}
	return text
}

// limit is what fails a test. A machine of two cores that runs a cluster, encoders and a
// browser has its own ideas of time.
func (g goal) limit() time.Duration {
	return max(time.Second, min(5*g.within, g.within+5*time.Second))
}

// figure takes the longest time without a new picture that one of the viewers had since
// the fault, and checks it.
func (s *scene) figure(fault, who string, g goal, viewers ...viewer) {
	s.t.Helper()
	now := time.Now()
	worst, reconnects := time.Duration(0), 0
	for _, v := range viewers {
		gap := v.Pictures().LongestGap(s.fault, now)
		worst = max(worst, gap.Length)
		reconnects += v.Opened() - s.opened[v]
		s.timeline.say("FIGURE: %s, %s: no new picture for %v from %s on, %d reconnects", fault, who, gap.Length, gap.Begin.Format("15:04:05.000"), v.Opened()-s.opened[v])
	}
	s.table.Add(measure.What{Fault: fault, Who: who, Goal: g.String()}, worst, reconnects)
	s.t.Logf("%s: %s: %v without a new picture (%s), %d reconnects", fault, who, worst.Round(time.Millisecond), g, reconnects)
	if worst > g.limit() {
		s.t.Errorf("%s: %s had no new picture for %v; to reach: %s, limit %v", fault, who, worst, g, g.limit())
	}
	if !g.reconnects && reconnects > 0 {
		s.t.Errorf("%s: %s reconnected %d times", fault, who, reconnects)
	}
}

// took adds a figure that is no gap.
func (s *scene) took(fault, what string, goal time.Duration, took time.Duration) {
	s.t.Helper()
	s.table.Add(measure.What{Fault: fault, Who: what, Goal: fmt.Sprintf("≤ %v", goal)}, took, 0)
	s.t.Logf("%s: %s after %v", fault, what, took.Round(100*time.Millisecond))
	if limit := goal + max(goal/2, 10*time.Second); took > limit {
		s.t.Errorf("%s: %s only after %v; to reach: %v, limit %v", fault, what, took, goal, limit)
	}
}

// stays fails the test if a condition had another value since the fault.
func (s *scene) stays(subject string, values ...string) {
	s.t.Helper()
	s.staysSince(s.fault, subject, values...)
}

// staysSince is stays since another moment.
func (s *scene) staysSince(since time.Time, subject string, values ...string) {
	s.t.Helper()
	story := s.timeline.story(subject, since)
	for _, value := range story {
		if !slices.Contains(values, value) {
			s.t.Errorf("%s was %v, want only %v", subject, story, values)
			return
		}
	}
}

// selector selects the pods of a leg, for kubectl.
func selector(role v1alpha1.Role) string {
	return labels.SelectorFromSet(controllers.LegSelector(pairName, role)).String()
}

// leaveScene frees the browser, and tells what happened if the test failed.
func (s *scene) leaveScene() {
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
