package measure_test

import (
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// findings are what is found in a programme, by the judges or by us.
type findings struct {
	black, frozen, silent []interval
	loudness              []loudness
}

// loudness is the loudness at a time, in LUFS.
type loudness struct {
	at                   time.Duration
	momentary, shortTerm float64
}

// judge runs ffmpeg's filters on a file. They find intervals of 0.1 s and more.
func judge(t *testing.T, file string) findings {
	t.Helper()
	cmd := exec.Command(mediatest.RequireFFmpeg(t), "-hide_banner", "-nostats", "-nostdin", "-threads", "1", "-i", file,
		"-vf", "blackdetect=d=0.1,freezedetect=d=0.1", "-af", "silencedetect=d=0.1,ebur128", "-f", "null", "-")
	log, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("judges: %v\n%s", err, log)
	}
	var f findings
	for line := range strings.Lines(string(log)) {
		switch {
		case strings.Contains(line, "black_start:"):
			f.black = append(f.black, interval{after(t, line, "black_start:"), after(t, line, "black_end:")})
		case strings.Contains(line, "freeze_start:"):
			f.frozen = append(f.frozen, interval{after(t, line, "freeze_start:"), length})
		case strings.Contains(line, "freeze_end:"):
			f.frozen[len(f.frozen)-1].to = after(t, line, "freeze_end:")
		case strings.Contains(line, "silence_start:"):
			f.silent = append(f.silent, interval{after(t, line, "silence_start:"), length})
		case strings.Contains(line, "silence_end:"):
			f.silent[len(f.silent)-1].to = after(t, line, "silence_end:")
		case strings.Contains(line, " M:"):
			f.loudness = append(f.loudness, loudness{after(t, line, "t:"), number(t, line, " M:"), number(t, line, " S:")})
		}
	}
	return f
}

// number returns the number behind a name in a line.
func number(t *testing.T, line, name string) float64 {
	t.Helper()
	_, text, _ := strings.Cut(line, name)
	fields := strings.Fields(text)
	if len(fields) == 0 {
		t.Fatalf("no %s in %q", name, line)
	}
	n, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		t.Fatalf("%s in %q: %v", name, line, err)
	}
	return n
}

func after(t *testing.T, line, name string) time.Duration {
	t.Helper()
	return time.Duration(math.Round(number(t, line, name)*1000)) * time.Millisecond
}
