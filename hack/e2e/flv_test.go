package e2e_test

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// Any HTTP-FLV player gets either leg from either pod:
// the pod's own leg, and the leg that the pod relays.
func TestPlainFLV(t *testing.T) {
	s := newFaultRun(t, v1alpha1.RolePrimary)
	for _, at := range objects.Roles() {
		for _, leg := range objects.Roles() {
			t.Run(objects.LegName(leg)+" from the "+objects.LegName(at), func(t *testing.T) {
				url := base(s.pods[at]) + "/live/" + objects.LegName(leg) + ".flv"
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				streams, err := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", url).CombinedOutput()
				if err != nil || !strings.Contains(string(streams), "h264,640") || !strings.Contains(string(streams), "aac") {
					t.Fatalf("ffprobe %s: %v\n%s", url, err, streams)
				}
				// Two seconds are decoded without a single error message.
				out, err := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-v", "error", "-xerror", "-i", url,
					"-t", "2", "-f", "null", "-progress", "pipe:1", "-").CombinedOutput()
				if err != nil {
					t.Fatalf("ffmpeg %s: %v\n%s", url, err, out)
				}
				if n := frames(string(out)); n < 50 || n > 65 {
					t.Errorf("two seconds have %d pictures, want 60", n)
				}
			})
		}
	}
}

// frames returns the last number of pictures in ffmpeg's progress output.
func frames(progress string) int {
	n := 0
	for line := range strings.Lines(progress) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "frame="); found {
			n, _ = strconv.Atoi(value)
		}
	}
	return n
}
