package pods

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
)

// BenchmarkPodEvent measures what one event of a stream costs: reading, decoding, comparing.
func BenchmarkPodEvent(b *testing.B) {
	for name, next := range map[string]string{"figures": "Primary", "switch": "Backup"} {
		b.Run(name, func(b *testing.B) {
			text := statusEvent(playing("Primary")) + statusEvent(playing(next))
			p := New(Config{})
			d := &pod{key: sundayPrimary, overdue: time.NewTimer(time.Hour)}
			b.SetBytes(int64(len(text) / 2))
			b.ReportAllocs()
			events := newEventReader(&loop{text: text}, func() error { return nil })
			for b.Loop() {
				e, err := events.next()
				if err != nil {
					b.Fatal(err)
				}
				s, err := decodeStatus(e.data)
				if err != nil {
					b.Fatal(err)
				}
				p.received(d, s)
			}
		})
	}
}

// loop reads text again and again.
type loop struct {
	text string
	at   int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.text[l.at:])
	l.at = (l.at + n) % len(l.text)
	return n, nil
}

// podServerVariable makes the test binary serve event streams and nothing else.
// This separates what the streams cost the operator from what they cost the pods.
const podServerVariable = "STREAMPAIR_TEST_POD_SERVER"

func TestPodServerProcess(t *testing.T) {
	seconds, err := strconv.Atoi(os.Getenv(podServerVariable))
	if err != nil {
		t.Skip("serves BenchmarkPodStreams")
	}
	f := newFakePod(t)
	f.events = func(w http.ResponseWriter, r *http.Request) {
		legs := []string{"Primary", "Backup"}
		for i := 0; ; i++ {
			if _, err := io.WriteString(w, statusEvent(playing(legs[i%2]))); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.serve(t, l)
	fmt.Printf("%s %q\n", l.Addr(), f.pem)
	time.Sleep(time.Duration(seconds) * time.Second)
}

// BenchmarkPodStreams follows 500 pairs with two pods each. Each pod
// reports another leg on air each second. The benchmark reports the cost.
func BenchmarkPodStreams(b *testing.B) {
	const pairs = 500
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	server := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestPodServerProcess$")
	server.Env = append(os.Environ(), podServerVariable+"=120")
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		stop()
		_ = server.Wait()
	}()
	target := Target{Token: fakeToken, ServerName: "sunday-control.live.streampair"}
	if _, err := fmt.Fscanf(out, "%s %q\n", &target.Address, &target.Certificate); err != nil {
		b.Fatalf("read where the pods are: %v", err)
	}

	for b.Loop() {
		idle := memory()
		p := New(Config{})
		ctx, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.Run(ctx)
		}()
		began := time.Now()
		var keys []Key
		for i := range pairs {
			pair := types.NamespacedName{Namespace: "live-" + strconv.Itoa(i), Name: "sunday"}
			var targets []Target
			for _, role := range []v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup} {
				target.Key = Key{pair.Namespace, pair.Name, role, "uid"}
				targets = append(targets, target)
				keys = append(keys, target.Key)
			}
			p.Follow(pair, targets)
		}
		for _, key := range keys {
			for !p.State(key).Connected {
				if time.Since(began) > time.Minute {
					b.Fatalf("not all pods are connected: %+v", p.State(key))
				}
				select {
				case <-p.hints.Delivered():
				case <-time.After(10 * time.Millisecond):
				}
			}
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/connect")

		cpu, from, hints := processorTime(), time.Now(), 0
		for end := time.After(10 * time.Second); end != nil; {
			select {
			case <-p.hints.Delivered():
				hints++
			case <-end:
				end = nil
			}
		}
		took := time.Since(from).Seconds()
		b.ReportMetric((processorTime()-cpu).Seconds()/took*100, "%cpu")
		b.ReportMetric(float64(hints)/took, "hints/s")
		perStream := float64(memory()-idle) / float64(len(keys))
		b.ReportMetric(perStream/1024, "KiB/stream")
		b.ReportMetric(float64(runtime.NumGoroutine())/float64(len(keys)), "goroutines/stream")
		if perStream > 128<<10 {
			b.Errorf("%.0f bytes per stream", perStream)
		}
		stop()
		<-ended
	}
}

// memory returns the bytes in heap and stacks after a garbage collection.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// processorTime returns the CPU time that this process has used so far.
func processorTime() time.Duration {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11]) // utime and stime, proc_pid_stat(5)
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
