package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An edit replaces a text of a playlist once.
type edit struct{ before, after string }

func (e edit) apply(t *testing.T, text string) string {
	t.Helper()
	if !strings.Contains(text, e.before) {
		t.Fatalf("the playlist has no %q to replace:\n%s", e.before, text)
	}
	return strings.Replace(text, e.before, e.after, 1)
}

// ll and delta are a good playlist and its Playlist Delta Update: segments 2 to 16, parts 56 to 69,
// and discontinuities before segments 8 and 16.
var (
	ll    = lowLatency(70, false)
	delta = lowLatency(70, true)
)

const hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p70.mp4\"\n"

// Each mutation of one good playlist breaks one rule.
var mutations = []struct {
	rule  string
	text  string
	edits []edit
}{
	{"header", ll, []edit{{"#EXTM3U\n", ""}}},
	{"encoding", ll, []edit{{"#EXTINF:2.000,", "#EXTINF:2.000,\x07"}}},
	{"encoding", ll, []edit{{"#EXTINF:2.000,", "#EXTINF:2.000,\xff"}}},
	{"repeated", ll, []edit{{"#EXT-X-TARGETDURATION:2\n", "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2\n"}}},
	{"repeated", delta, []edit{{"#EXT-X-SKIP:SKIPPED-SEGMENTS=9\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=9\n#EXT-X-SKIP:SKIPPED-SEGMENTS=9\n"}}},
	{"mixed", goodMultivariant, []edit{{"#EXT-X-VERSION:7\n", "#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n"}}},
	{"syntax", ll, []edit{{"PART-TARGET=0.5", "PART-TARGET=half"}}},
	{"syntax", ll, []edit{{"LAST-MSN=5", "LAST-MSN=-5"}}},
	{"syntax", ll, []edit{{"CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=\"YES\""}}},
	{"syntax", ll, []edit{{",LAST-PART=1", ",LAST-PART=1, "}}},
	{"syntax", ll, []edit{{",LAST-PART=1", ",LAST-PART=1,LAST-MSN=6"}}},
	{"syntax", ll, []edit{{"#EXTINF:2.000,", "#EXTINF:2.000"}}},
	{"syntax", ll, []edit{{"T12:00:06.000Z", " 12 o'clock"}}},
	{"syntax", ll, []edit{{"MAP:URI=\"init0.mp4\"", "MAP:URI=\"init0.mp4\",BYTERANGE=\"x\""}}},
	{"required", ll, []edit{{"#EXT-X-TARGETDURATION:2\n", ""}}},
	{"required", ll, []edit{{"URI=\"../audio.m3u8\",", ""}}},
	{"required", goodMultivariant, []edit{{"BANDWIDTH=2560000,", ""}}},
	{"required", goodMultivariant, []edit{{",NAME=\"English\"", ""}}},
	{"place", ll, []edit{{"#EXT-X-DISCONTINUITY-SEQUENCE:101\n", ""}, {hint, hint + "#EXT-X-DISCONTINUITY-SEQUENCE:101\n"}}},
	{"uri", ll, []edit{{hint, hint + "#EXTINF:2.000,\n"}}},
	{"uri", goodMultivariant, []edit{{"mid/video.m3u8\n", "mid/video.m3u8\nmore.m3u8\n"}}},
	{"uri", goodMultivariant, []edit{{"mid/video.m3u8\n", ""}}},
	{"byte-range", goodExamples["byte ranges of one file"], []edit{{"1000@800", "1000"}}},
	{"tags-before-parts", ll, []edit{{"URI=\"p69.mp4\"\n", "URI=\"p69.mp4\"\n#EXT-X-KEY:METHOD=NONE\n"}}},
	{"version", ll, []edit{{"#EXT-X-VERSION:9", "#EXT-X-VERSION:5"}}},
	{"version", delta, []edit{{"#EXT-X-VERSION:9", "#EXT-X-VERSION:8"}}},
	{"version", goodExamples["9.2, live"], []edit{{"#EXT-X-VERSION:3\r\n", ""}}},
	{"version", goodMultivariant, []edit{{"#EXT-X-VERSION:7", "#EXT-X-VERSION:6"}}},
	{"segment-duration", goodExamples["9.2, live"], []edit{{"TARGETDURATION:8", "TARGETDURATION:7"}}},
	{"part-inf", ll, []edit{{"#EXT-X-PART-INF:PART-TARGET=0.5\n", ""}}},
	{"part-duration-most", ll, []edit{{"DURATION=0.5,URI=\"p61", "DURATION=0.51,URI=\"p61"}}},
	{"part-duration-most", ll, []edit{{"DURATION=0.5,URI=\"p63", "DURATION=0.51,URI=\"p63"}}},
	{"part-duration-least", ll, []edit{{"DURATION=0.5,URI=\"p61", "DURATION=0.42,URI=\"p61"}}},
	{"parts-sum", ll, []edit{{"#EXT-X-PART:DURATION=0.5,URI=\"p62.mp4\"\n", ""}}},
	{"parts-old", ll, []edit{{"#EXTINF:2.000,\ns12.mp4", "#EXT-X-PART:DURATION=0.5,URI=\"p51.mp4\"\n#EXTINF:2.000,\ns12.mp4"}}},
	{"part-hold-back", ll, []edit{{"PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.999"}}},
	{"part-hold-back", ll, []edit{{",PART-HOLD-BACK=1.5", ""}}},
	{"part-hold-back-short", ll, []edit{{"PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.499"}}},
	{"hold-back", ll, []edit{{"HOLD-BACK=6.0", "HOLD-BACK=5.9"}}},
	{"can-skip-until", ll, []edit{{"CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.9"}}},
	{"can-skip-dateranges", ll, []edit{{"CAN-SKIP-UNTIL=12.0", "CAN-SKIP-DATERANGES=YES"}}},
	{"map", ll, []edit{{"#EXT-X-MAP:URI=\"init0.mp4\"\n", ""}}},
	{"map-change", ll, []edit{{"#EXTINF:2.000,\ns5.mp4", "#EXT-X-MAP:URI=\"other.mp4\"\n#EXTINF:2.000,\ns5.mp4"}}},
	{"independent-segments", ll, []edit{{"#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n"}, {"p64.mp4\",INDEPENDENT=YES", "p64.mp4\""}}},
	{"hint-endlist", ll, []edit{{hint, hint + "#EXT-X-ENDLIST\n"}}},
	{"hint-one", ll, []edit{{hint, hint + hint}}},
	{"hint-missing", ll, []edit{{hint, ""}}},
	{"report-relative", ll, []edit{{"../audio.m3u8", "https://example.com/audio.m3u8"}}},
	{"report-complete", ll, []edit{{",LAST-PART=1", ""}}},
	{"date-at-discontinuity", ll, []edit{{"#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:16.000Z\n", ""}}},
	{"date-overlap", ll, []edit{{"12:00:32.000Z", "12:00:30.900Z"}, {"12:00:34.000Z", "12:00:32.900Z"}}},
	{"date-drift", ll, []edit{{"12:00:34.000Z", "12:00:34.300Z"}}},
	{"skip-offered", delta, []edit{{"CAN-SKIP-UNTIL=12.0,", ""}}},
	{"skip-boundary", delta, []edit{{"CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=15.1"}}},
	{"codecs", goodMultivariant, []edit{{"avc1.64001f", "avc1"}}},
	{"codecs", goodMultivariant, []edit{{"avc1.64001f,opus", "avc1.64001f, opus"}}},
	{"codecs-missing", goodMultivariant, []edit{{"CODECS=\"hvc1.1.6.L93.B0,mp4a.40.2\",", ""}}},
	{"resolution", goodMultivariant, []edit{{"1280x720", "1280*720"}}},
	{"frame-rate", goodMultivariant, []edit{{"29.970", "29.9701"}}},
	{"average-bandwidth", goodMultivariant, []edit{{"AVERAGE-BANDWIDTH=900000", "AVERAGE-BANDWIDTH=1300000"}}},
	{"group", goodMultivariant, []edit{{",AUDIO=\"aac\"", ",AUDIO=\"ac3\""}}},
	{"rendition-uri", goodMultivariant, []edit{{"\"SERVICE1\"", "\"SERVICE1\",URI=\"captions.m3u8\""}}},
	{"uri-resolves", goodMultivariant, []edit{{"mid/video", "mid%zz/video"}}},
}

// ruleNames returns the rules of the breaches, each once.
func ruleNames(breaches []Breach) []string {
	var names []string
	for _, b := range breaches {
		names = append(names, b.Rule)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestEachMutationBreaksOneRule(t *testing.T) {
	for i, m := range mutations {
		t.Run(fmt.Sprint(i, " ", m.rule), func(t *testing.T) {
			text := m.text
			for _, e := range m.edits {
				text = e.apply(t, text)
			}
			found := Check(text)
			if diff := cmp.Diff([]string{m.rule}, ruleNames(found)); diff != "" {
				t.Errorf("the rules (-want +got):\n%s%v", diff, found)
			}
		})
	}
}

// plain writes a live playlist of segments of 4 s.
func plain(first, segments int) string {
	text := fmt.Sprintf("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:%d\n", first)
	for i := first; i < first+segments; i++ {
		text += fmt.Sprintf("#EXTINF:4.000,\ns%d.ts\n", i)
	}
	return text
}

// A change edits one playlist of a run.
type change struct {
	index int
	edit
}

func run(texts ...string) []Fetch {
	var fetches []Fetch
	for i, text := range texts {
		fetches = append(fetches, Fetch{Text: text, At: start.Add(time.Duration(i) * 2 * time.Second)})
	}
	return fetches
}

// later moves the last fetch of a run.
func later(fetches []Fetch, by time.Duration) []Fetch {
	fetches[len(fetches)-1].At = fetches[len(fetches)-1].At.Add(by)
	return fetches
}

func asked(fetches []Fetch) []Fetch {
	fetches[len(fetches)-1].SkipAsked = true
	return fetches
}

var (
	event = edit{"#EXT-X-VERSION:3\n", "#EXT-X-VERSION:3\n#EXT-X-PLAYLIST-TYPE:EVENT\n"}
	dated = edit{"#EXTINF", "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:00Z\n#EXTINF"}
)

// Each mutation of a good run of playlists breaks one rule.
var runMutations = []struct {
	rule    string
	fetches []Fetch
	changes []change
}{
	{"mixed", run(ll), []change{{0, edit{hint, hint + "#EXT-X-SESSION-DATA:DATA-ID=\"x\",VALUE=\"y\"\n"}}}},
	{"target-duration-fixed", run(plain(10, 5), plain(11, 5)), []change{{1, edit{"TARGETDURATION:4", "TARGETDURATION:5"}}}},
	{"header-fixed", run(ll, lowLatency(71, false)), []change{{1, edit{"PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6"}}}},
	{"header-fixed", run(ll, lowLatency(71, false)), []change{{1, edit{",HOLD-BACK=6.0", ""}}}},
	{"skip-asked", run(ll, lowLatency(71, true)), nil},
	{"skip-asked", run(delta), nil},
	{"skip-ignored", asked(run(ll, lowLatency(71, false))), nil},
	{"skip-unknown", asked(run(ll, lowLatency(200, true))), nil},
	{"media-sequence", run(plain(10, 5), plain(9, 6)), nil},
	{"media-sequence-count", run(plain(10, 5), plain(11, 5)), []change{{1, edit{"SEQUENCE:11", "SEQUENCE:12"}}}},
	{"media-sequence-count", run(plain(10, 5), plain(11, 5)), []change{{1, edit{"SEQUENCE:11", "SEQUENCE:10"}}}},
	{"discontinuity-sequence", run(ll, lowLatency(71, false)), []change{{1, edit{"DISCONTINUITY-SEQUENCE:101", "DISCONTINUITY-SEQUENCE:100"}}}},
	{"discontinuity-sequence-count", run(ll, lowLatency(71, false)), []change{{1, edit{"DISCONTINUITY-SEQUENCE:101", "DISCONTINUITY-SEQUENCE:102"}}}},
	{"discontinuity-sequence-count", asked(run(ll, lowLatency(71, true))), []change{{1, edit{"DISCONTINUITY-SEQUENCE:101", "DISCONTINUITY-SEQUENCE:102"}}}},
	{"entry-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"s5.mp4", "other.mp4"}}}},
	{"entry-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"2.000,\ns5.mp4", "2.001,\ns5.mp4"}}}},
	{"entry-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"init1.mp4", "other.mp4"}}}},
	{"entry-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"12:00:10.000Z", "12:00:10.100Z"}}}},
	{"entry-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"#EXTINF:2.000,\ns5.mp4", "#EXTINF:2.000,\n#EXT-X-BYTERANGE:9@0\ns5.mp4"}}}},
	{"part-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"p61.mp4", "other.mp4"}}}},
	{"part-changed", run(ll, lowLatency(71, false)), []change{{1, edit{"0.5,URI=\"p69", "0.49,URI=\"p69"}}}},
	{"part-changed", run(ll, lowLatency(71, false)), []change{
		{1, edit{"#EXT-X-PART:DURATION=0.5,URI=\"p59.mp4\"\n", ""}}, // of the oldest segment with parts
	}},
	{"end-back", run(lowLatency(71, false), ll), nil},
	{"window-short", run(plain(10, 5), plain(13, 2)), nil},
	{"type-removal", run(plain(10, 5), plain(11, 5)), []change{{0, event}, {1, event}}},
	{"endlist-final", run(plain(10, 5), plain(10, 6)), []change{{0, edit{"#EXT-X-VERSION:3", "#EXT-X-ENDLIST\n#EXT-X-VERSION:3"}}}},
	{"hint-kept", run(ll, lowLatency(71, false)), []change{{0, edit{"TYPE=PART,URI=\"p70", "TYPE=PART,URI=\"other"}}}},
	{"hint-kept", run(lowLatency(72, false), lowLatency(73, false)), []change{{0, edit{"TYPE=PART,URI=\"p72", "TYPE=PART,URI=\"other"}}}},
	{"date-back", run(plain(10, 5), plain(15, 5)), []change{{0, dated}, {1, dated}}},
	{"segment-late", later(run(plain(10, 5), plain(10, 5)), 5*time.Second), nil},
	{"name-reused", run(plain(10, 5), plain(11, 5)), []change{{1, edit{"4.000,\ns15.ts", "3.900,\ns10.ts"}}}},
	{"name-repeated", run(plain(10, 5), plain(11, 5)), []change{{1, edit{"s15.ts", "s10.ts"}}}},
}

// breachesOf returns what a Checker finds in a run.
func breachesOf(fetches []Fetch) []Breach {
	var c Checker
	var found []Breach
	for _, f := range fetches {
		found = append(found, c.Next(f)...)
	}
	return found
}

func TestEachMutationOfARunBreaksOneRule(t *testing.T) {
	for i, m := range runMutations {
		t.Run(fmt.Sprint(i, " ", m.rule), func(t *testing.T) {
			fetches := slices.Clone(m.fetches)
			for _, c := range m.changes {
				fetches[c.index].Text = c.apply(t, fetches[c.index].Text)
			}
			found := breachesOf(fetches)
			if diff := cmp.Diff([]string{m.rule}, ruleNames(found)); diff != "" {
				t.Errorf("the rules (-want +got):\n%s%v", diff, found)
			}
		})
	}
}

// What the draft allows is no breach, although it looks like one.
func TestAllowedChangesOfARunHaveNoBreach(t *testing.T) {
	for name, test := range map[string]struct {
		fetches []Fetch
		changes []change
	}{
		"a hint is dropped at a discontinuity": {run(lowLatency(96, false), lowLatency(97, false)), []change{{0, edit{"TYPE=PART,URI=\"p96", "TYPE=PART,URI=\"other"}}}},
		"the last part is short and becomes the final one": {run(lowLatency(71, false), lowLatency(72, false)), []change{
			{0, edit{"0.5,URI=\"p70", "0.3,URI=\"p70"}}, {0, edit{"p71", "p72"}},
			{1, edit{"0.5,URI=\"p70", "0.3,URI=\"p70"}}, {1, edit{"#EXT-X-PART:DURATION=0.5,URI=\"p71.mp4\"\n", ""}},
			{1, edit{"2.000,\ns17.mp4", "1.3,\ns17.mp4"}},
		}},
		"EXT-X-MAP is repeated before a segment that inherited the map": {run(ll, lowLatency(71, false)), []change{
			{1, edit{"#EXTINF:2.000,\ns5.mp4", "#EXT-X-MAP:URI=\"init0.mp4\"\n#EXTINF:2.000,\ns5.mp4"}},
		}},
		"EXT-X-DISCONTINUITY leaves with its segment": {run(lowLatency(92, false), lowLatency(93, false)), []change{
			{1, edit{"#EXT-X-DISCONTINUITY\n", ""}}, {1, edit{"DISCONTINUITY-SEQUENCE:101", "DISCONTINUITY-SEQUENCE:102"}},
		}},
		"parts leave all at once":                         {run(lowLatency(71, false), lowLatency(72, false)), nil},
		"an old update does not fit":                      {later(asked(run(ll, lowLatency(200, true))), time.Minute), nil},
		"a window without a segment of the window before": {later(run(ll, lowLatency(200, false)), time.Minute), nil},
		"dates overlap by less than a second": {run(ll), []change{
			{0, edit{"12:00:32.000Z", "12:00:31.100Z"}}, {0, edit{"12:00:34.000Z", "12:00:33.100Z"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fetches := slices.Clone(test.fetches)
			for _, c := range test.changes {
				fetches[c.index].Text = c.apply(t, fetches[c.index].Text)
			}
			for _, b := range breachesOf(fetches) {
				t.Error(b)
			}
		})
	}
}

func TestABreachIsToldOnce(t *testing.T) {
	wrong := edit{"PART-HOLD-BACK=1.5", "PART-HOLD-BACK=0.5"}
	found := breachesOf(run(wrong.apply(t, ll), wrong.apply(t, lowLatency(71, false)), wrong.apply(t, lowLatency(72, false))))
	if len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

func TestEveryRuleHasAMutation(t *testing.T) {
	tested := make(map[string]bool)
	for _, m := range mutations {
		tested[m.rule] = true
	}
	for _, m := range runMutations {
		tested[m.rule] = true
	}
	rules := make(map[string]bool)
	noteNames(rules, mediaRules)
	noteNames(rules, skipRules)
	noteNames(rules, mergeRules)
	noteNames(rules, slices.Concat(stepRules, entryRules, nameRules))
	noteNames(rules, multivariantRules)
	for _, name := range []string{"header", "encoding", "repeated", "mixed", "syntax", "required", "place", "uri", "byte-range", "tags-before-parts"} {
		rules[name] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(tested))); diff != "" {
		t.Errorf("the rules and the rules that have a mutation (-rules +tested):\n%s", diff)
	}
}

func noteNames[T any](names map[string]bool, rules []rule[T]) {
	for _, r := range rules {
		names[r.name] = true
	}
}

func TestRenditionsOfOnePresentationAgree(t *testing.T) {
	for rule, e := range map[string]edit{
		"renditions-target":  {"TARGETDURATION:2", "TARGETDURATION:3"},
		"renditions-control": {"PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6"},
		"report-missing":     {"#EXT-X-RENDITION-REPORT", "#no report"},
	} {
		a, _ := ParseMedia(ll)
		b, _ := ParseMedia(e.apply(t, ll))
		if found := CheckTogether("a", a, "b", a); len(found) > 0 {
			t.Errorf("equal playlists: %v", found)
		}
		if got := ruleNames(CheckTogether("a", a, "b", b)); !slices.Equal(got, []string{rule}) {
			t.Errorf("%s: found %v", rule, got)
		}
	}
	a, _ := ParseMedia(plain(1, 4))
	b, _ := ParseMedia(dated.apply(t, plain(1, 4)))
	if got := ruleNames(CheckTogether("a", a, "b", b)); !slices.Equal(got, []string{"renditions-dates"}) {
		t.Errorf("renditions-dates: found %v", got)
	}
}

func TestBandwidthIsAtLeastThePeakSegmentBitRate(t *testing.T) {
	// Runs of 0.5 to 1.5 target durations and half a second: the short last segment is no run.
	segments := []Sized{{2 * time.Second, 250_000}, {2 * time.Second, 500_000}, {time.Second / 2, 1_000_000}}
	if got := PeakBitRate(2*time.Second, segments); got != 4_800_000 {
		t.Errorf("the peak is %d", got)
	}
	for bandwidth, want := range map[uint64][]string{4_800_000: nil, 4_799_999: {"bandwidth-peak"}} {
		for _, ended := range []bool{false, true} {
			found := CheckBandwidth(Variant{Bandwidth: bandwidth}, 2*time.Second, segments, ended)
			if !slices.Equal(ruleNames(found), want) || len(found) > 0 && found[0].Advice == ended {
				t.Errorf("BANDWIDTH %d, ended %v: %v", bandwidth, ended, found)
			}
		}
	}
}

// No text may end the program that checks the text.
func FuzzChecker(f *testing.F) {
	f.Add(ll, delta)
	f.Add(delta, lowLatency(71, true))
	f.Add(goodMultivariant, plain(1, 3))
	f.Add(goodExamples["byte ranges of one file"], "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXT-X-SKIP:SKIPPED-SEGMENTS=18446744073709551615\n")
	f.Fuzz(func(_ *testing.T, first, second string) {
		Check(first)
		breachesOf(asked(run(first, second, first)))
	})
}
