package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/streampair/streampair/hack/e2e/measure"
)

const (
	operatorNamespace = "streampair-system"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":streampair-operator"

	// quiet is how long the operator is watched without any change.
	quiet = time.Minute
	// busy is the time in which all pairs switch once, one after another.
	busy = 30 * time.Second
)

// A scale has the results for one number of pairs.
type scale struct {
	pairs           int
	created         time.Duration // from the creation of the first pair to the report of the last one
	writesPerPair   float64
	idleCPU         float64
	memory, standby int // bytes
	idleWrites      int // in quiet
	busyCPU         float64
	latency         measure.Figures
	killed, ended   takeover
	started         time.Duration // from the start of the process to the last report
}

// A takeover says how another operator follows one that has gone.
type takeover struct {
	led      time.Duration // from the end of the old operator to the new one's lease
	reported time.Duration // from there until the changes in between are reported for all pairs
}

// measureOperator measures what many pairs cost the operator.
func measureOperator(t *scope, o options) []table {
	ctrl.SetLogger(logr.Discard())
	out := table{
		title:  "The operator, with its API server and a stand-in for all media pods on the same machine",
		header: "figure",
	}
	var all []scale
	for _, n := range o.pairs {
		begun := time.Now()
		all = append(all, measureScale(t, o, n))
		out.header += fmt.Sprintf(" | %d pairs", n)
		say("%d pairs took %v", n, time.Since(begun).Round(time.Second))
	}
	add := func(what string, cell func(scale) string) {
		cells := []string{what}
		for _, s := range all {
			cells = append(cells, cell(s))
		}
		out.row(cells...)
	}
	add("all pairs created to all reported Ready and on air", func(s scale) string { return seconds(s.created) })
	add("writes of the operator for that, per pair", func(s scale) string { return fmt.Sprintf("%.1f", s.writesPerPair) })
	add("nothing changes: CPU of the operator, of one core", func(s scale) string { return fmt.Sprintf("%.1f %%", 100*s.idleCPU) })
	add("memory of the operator (RSS)", func(s scale) string { return mebibytes(s.memory) })
	add("memory of the one that stands by", func(s scale) string { return mebibytes(s.standby) })
	add("nothing changes: writes per hour, but for the lease", func(s scale) string {
		return fmt.Sprintf("%.0f", float64(s.idleWrites)*float64(time.Hour/quiet))
	})
	add(fmt.Sprintf("all pairs switch once within %v: switch to status, median", busy), func(s scale) string { return milliseconds(s.latency.Quantile(0.5)) })
	add("the same, 99th percentile", func(s scale) string { return milliseconds(s.latency.Quantile(0.99)) })
	add("the same, worst", func(s scale) string { return milliseconds(s.latency.Worst()) })
	add("CPU of the operator meanwhile", func(s scale) string { return fmt.Sprintf("%.1f %%", 100*s.busyCPU) })
	if o.kill {
		add("leader killed (SIGKILL) to the other leads; a lease lasts 120 s", func(s scale) string { return seconds(s.killed.led) })
		add("from there until the switch of all pairs meanwhile is reported", func(s scale) string { return seconds(s.killed.reported) })
	}
	add("leader ended (SIGTERM) to the other leads", func(s scale) string { return seconds(s.ended.led) })
	add("from there until the switch of all pairs meanwhile is reported", func(s scale) string { return seconds(s.ended.reported) })
	add("operator started with everything there, to all reported", func(s scale) string { return seconds(s.started) })
	return []table{out}
}

func measureScale(parent *scope, o options, n int) scale {
	t := parent.child()
	defer t.CleanUp()
	s := scale{pairs: n}
	say("starting an API server for %d pairs", n)
	p := newFakeCluster(t, n)
	config := p.operatorConfig()

	leader := startOperator(t, o.operator, config)
	lease := p.newLeader("", time.Minute)
	standby := startOperator(t, o.operator, config)

	say("creating %d pairs", n)
	begun := time.Now()
	p.createPairs()
	say("  created after %v", time.Since(begun).Round(time.Millisecond))
	s.created = p.allReported(10 * time.Minute).Sub(begun)
	t.sleep(5 * time.Second)
	writes := p.writes(operatorUser, begun)
	s.writesPerPair = float64(total(writes)) / float64(n)
	say("  reported after %v; writes: %v", s.created.Round(time.Millisecond), writes)

	say("watching the operator for %v while nothing changes", quiet)
	before, begun := cpuOf(t, leader.pid()), time.Now()
	t.sleep(quiet)
	s.idleCPU = float64(cpuOf(t, leader.pid())-before) / float64(time.Since(begun))
	s.memory, s.standby = memoryOf(t, leader.pid()), memoryOf(t, standby.pid())
	t.sleep(time.Second) // the audit log is written with a delay
	if writes := p.writes(operatorUser, begun); total(writes) > 0 {
		s.idleWrites = total(writes)
		say("  needless writes: %v", writes)
	}
	say("  %.1f %% CPU, %s", 100*s.idleCPU, mebibytes(s.memory))

	say("switching all pairs within %v", busy)
	before, begun = cpuOf(t, leader.pid()), time.Now()
	s.latency = p.switchEach(busy)
	s.busyCPU = float64(cpuOf(t, leader.pid())-before) / float64(time.Since(begun))
	say("  median %s, 99th percentile %s; writes: %v",
		milliseconds(s.latency.Quantile(0.5)), milliseconds(s.latency.Quantile(0.99)), p.writes(operatorUser, begun))

	if o.kill {
		say("killing the leader, and switching all pairs")
		s.killed, lease = p.takeOver(leader, syscall.SIGKILL, lease)
		leader, standby = standby, startOperator(t, o.operator, config)
		t.sleep(3 * time.Second) // until it stands by
	}
	say("ending the leader, and switching all pairs")
	s.ended, _ = p.takeOver(leader, syscall.SIGTERM, lease)

	say("ending the last operator, switching all pairs, and starting one")
	standby.end(syscall.SIGTERM)
	p.switchAll()
	begun = time.Now()
	startOperator(t, o.operator, config)
	s.started = p.allReported(2 * time.Minute).Sub(begun)
	say("  all reported after %s", seconds(s.started))
	return s
}

// takeOver ends the leader with a signal, makes all pairs switch, and waits
// for the other operator. It also returns the new holder of the lease.
func (p *fakeCluster) takeOver(leader *operator, signal syscall.Signal, lease string) (takeover, string) {
	begun := time.Now()
	leader.end(signal)
	p.switchAll()
	lease = p.newLeader(lease, 3*time.Minute)
	led := time.Now()
	t := takeover{led: led.Sub(begun), reported: p.allReported(2 * time.Minute).Sub(led)}
	say("  led after %s, all reported %s later", seconds(t.led), seconds(t.reported))
	return t, lease
}

// operatorConfig returns the kubeconfig file of the operator. The file
// is for its service account, which only has the roles of config/rbac.
func (p *fakeCluster) operatorConfig() string {
	var manifests []string
	for _, name := range []string{"role.yaml", "role_binding.yaml", "leader_election.yaml"} {
		text, err := os.ReadFile(filepath.Join("config", "rbac", name))
		p.t.must(err)
		manifests = append(manifests, string(text))
	}
	config := p.cluster.ServiceAccountConfig(p.t, operatorNamespace, "streampair-operator", manifests...)
	return p.cluster.KubeconfigOf(p.t, config)
}

// An operator is a process of the operator.
type operator struct {
	t     *scope
	cmd   *exec.Cmd
	gone  chan struct{} // closed when the process has ended
	asked sync.Once
	log   bytes.Buffer // read only after the process has ended
}

func startOperator(t *scope, binary, kubeconfig string) *operator {
	p := &operator{t: t, gone: make(chan struct{})}
	p.cmd = exec.Command(binary, "--kubeconfig", kubeconfig, "--leader-elect", "--metrics-address=0", "--probe-address=0",
		"--default-image=bench:1", "--log-level=warn")
	p.cmd.Env = []string{"POD_NAMESPACE=" + operatorNamespace}
	p.cmd.Stderr = &p.log
	// It ends with this program, however this program ends. Ctrl-C is only for this program.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when this thread ends
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.gone)
		}
	}()
	t.must(<-started)
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			say("operator %d said:\n%s", p.pid(), tail(p.log.Bytes(), 4000))
		}
	})
	return p
}

func (p *operator) pid() int { return p.cmd.Process.Pid }

// end sends the process a signal, and waits until it has ended.
func (p *operator) end(signal syscall.Signal) {
	p.asked.Do(func() { _ = p.cmd.Process.Signal(signal) })
	select {
	case <-p.gone:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
		p.t.Errorf("the operator did not end by itself")
	}
}

func tail(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

func total(requests map[string]int) (n int) {
	for _, count := range requests {
		n += count
	}
	return n
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func mebibytes(bytes int) string { return fmt.Sprintf("%d MiB", bytes>>20) }
