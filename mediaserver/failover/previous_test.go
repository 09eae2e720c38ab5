package failover

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// While one pod of a pair runs the version before, both must come to the same decision from the
// same facts. So each pod must decide by that version's rules, as long as its peer announces no
// newer rules.
func TestTheVersionBeforeDecidesTheSame(t *testing.T) {
	t.Parallel()
	before := startVersionBefore(t)
	t.Run("whatever the facts are", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			for range 20 {
				before.compare(t, drawQuestion(t))
			}
		})
	})
	t.Run("whatever befalls two servers", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			// In most steps nothing changes: it is enough to compare one step in every.
			every, n := rapid.IntRange(15, 40).Draw(t, "compared one in"), 0
			twoServersConverge(t, func(q question) {
				if n++; n%every == 0 || q.answer().Agreed.Urgency != "" {
					before.compare(t, q)
				}
			})
		})
	})
}

// A versionBefore is a process that answers questions by the rules of the version before.
type versionBefore struct {
	questions *json.Encoder
	answers   *bufio.Reader
}

// startVersionBefore starts the process, which ends with t. Its program is built from git history.
// Sources that are no clone skip the test.
func startVersionBefore(t *testing.T) *versionBefore {
	t.Helper()
	mediatest.SkipInShort(t)
	if _, err := os.Stat("../../.git"); err != nil {
		t.Skipf("the version before is built from git history, and these sources are no clone: %v", err)
	}
	var said bytes.Buffer
	build := exec.CommandContext(t.Context(), "../../hack/previous.sh", "decider")
	build.Stderr = &said
	folder, err := build.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	cmd := exec.Command(strings.TrimSpace(string(folder)) + "/decider")
	cmd.Stderr = os.Stderr
	var in io.WriteCloser
	var out io.ReadCloser
	for _, step := range []func() error{
		func() (err error) { in, err = cmd.StdinPipe(); return },
		func() (err error) { out, err = cmd.StdoutPipe(); return },
		cmd.Start,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the version before: %v", err)
		}
	})
	return &versionBefore{json.NewEncoder(in), bufio.NewReader(out)}
}

func (v *versionBefore) answer(t *rapid.T, q question) (a answer) {
	if err := v.questions.Encode(q); err != nil {
		t.Fatalf("ask the version before: %v", err)
	}
	line, err := v.answers.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the version before gives no answer: %v", err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatalf("the version before answers %s: %v", line, err)
	}
	return a
}

// compare fails the test if the two versions answer a question differently.
func (v *versionBefore) compare(t *rapid.T, q question) {
	got := q.answer()
	got.Told.Rules, got.Told.Doubt = 0, Certain // which the version before neither tells nor reads
	if diff := cmp.Diff(v.answer(t, q), got); diff != "" {
		text, err := json.Marshal(q)
		t.Fatalf("asked %s (%v)\n(-version before +this version):\n%s", text, err, diff)
	}
}

// drawQuestion draws any question. It often draws a question about two servers that run well and
// play different legs. Those are rare by chance alone, and the two versions must agree about them.
func drawQuestion(t *rapid.T) question {
	q := question{
		Policy: drawPolicy(t), Legs: Legs{drawLeg(t, "primary"), drawLeg(t, "backup")}, State: known(drawState(t)), Now: at,
		PeerView: PeerView{HasPeer: true, Began: drawAgo(t, "began")},
	}
	q.Policy.Rules = 0
	q.Policy.Generation = rapid.Int64Range(0, 1).Draw(t, "generation")
	if q.State.Active != "" && rapid.Bool().Draw(t, "has followed") {
		q.State.LastFollowed = drawAgo(t, "followed")
	}
	wellAndDifferent := q.State.Active != "" && rapid.Bool().Draw(t, "well and different")
	if wellAndDifferent {
		q.Legs = Legs{whole(), whole()}
		q.State.PrimaryWhole, q.State.BackupWhole = drawAgo(t, "primary whole"), drawAgo(t, "backup whole")
	} else {
		q.PeerView.HasPeer = rapid.IntRange(0, 4).Draw(t, "has a peer") > 0
	}
	q.Legs.Primary.Leaving = rapid.IntRange(0, 4).Draw(t, "primary leaving") == 0
	q.Legs.Backup.Leaving = rapid.IntRange(0, 4).Draw(t, "backup leaving") == 0
	if !q.PeerView.HasPeer || !wellAndDifferent && rapid.IntRange(0, 4).Draw(t, "peer silent") == 0 {
		return q
	}
	peer := drawStanding(t, "peer")
	peer.Generation = rapid.Int64Range(0, 1).Draw(t, "peer's generation")
	peer.Since = q.State.Since + rapid.SampledFrom([]time.Duration{0, 0, -1, 1, -time.Second, time.Second}).Draw(t, "peer later by")
	peer.FirstPicture = q.State.FirstPicture + rapid.SampledFrom([]time.Duration{0, -time.Second, time.Second}).Draw(t, "peer's first picture later by")
	peer.Final, peer.Leaving = rapid.Bool().Draw(t, "peer final"), rapid.Bool().Draw(t, "peer leaving")
	if wellAndDifferent {
		peer.Active, peer.SwitchingTo = q.State.Active.Other(), ""
	} else {
		peer.OnAir, peer.Settled = rapid.Bool().Draw(t, "peer on air"), rapid.Bool().Draw(t, "peer settled")
	}
	q.PeerView.Peer = &peer
	return q
}

// drawAgo draws a time near the limits of the rules, or a time long past.
func drawAgo(t *rapid.T, name string) time.Duration {
	ago := rapid.SampledFrom([]time.Duration{0, peerWait, settleTime, followInterval, time.Minute, 10 * time.Minute}).Draw(t, name+" ago")
	return at - ago + rapid.SampledFrom([]time.Duration{0, -1, 1}).Draw(t, name+" or just not")
}
