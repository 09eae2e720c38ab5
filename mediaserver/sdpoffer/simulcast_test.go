package sdpoffer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLayers(t *testing.T) {
	long := strings.Repeat("x", maxRID+1)
	for _, test := range []struct {
		name, lines string // of the section; "\n" ends each
		want        string // RIDs
		answer      string
	}{
		{"none", "", "", ""},
		{"as browsers offer", "a=rid:h send\na=rid:l send\na=simulcast:send h;l\n", "h l", "a=rid:h recv\na=rid:l recv\na=simulcast:recv h;l\n"},
		{"in the order of a=simulcast", "a=rid:h send\na=rid:l send\na=simulcast:send l;h\n", "l h", "a=rid:l recv\na=rid:h recv\na=simulcast:recv l;h\n"},
		{"a layer that is paused at first", "a=rid:h send\na=rid:l send\na=simulcast:send ~h;l\n", "h l", "a=rid:h recv\na=rid:l recv\na=simulcast:recv h;l\n"},
		{"alternatives: the first", "a=rid:a send\na=rid:b send\na=rid:l send\na=simulcast:send a,b;l\n", "a l", "a=rid:a recv\na=rid:l recv\na=simulcast:recv a;l\n"},
		{"an alternative that cannot be had", "a=rid:a send pt=96\na=rid:b send pt=102\na=simulcast:send a,b\n", "b", "a=rid:b recv\na=simulcast:recv b\n"},
		{"both directions", "a=rid:h send\na=rid:r recv\na=simulcast:recv r send h\n", "h", "a=rid:h recv\na=simulcast:recv h\n"},
		{"as drafts had it", "a=rid:h send\na=rid:l send\na=simulcast: send rid=h;l\n", "h l", "a=rid:h recv\na=rid:l recv\na=simulcast:recv h;l\n"},
		{"restrictions are kept", "a=rid:h send pt=96,102;max-width=1280;max-fps=30\na=simulcast:send h\n", "h", "a=rid:h recv max-width=1280;max-fps=30\na=simulcast:recv h\n"},
		{"a RID without a=simulcast", "a=rid:h send\n", "h", "a=rid:h recv\n"},
		{"a=simulcast of what is not there", "a=rid:h send\na=simulcast:send x;h;\n", "h", "a=rid:h recv\na=simulcast:recv h\n"},
		{"twice the same", "a=rid:h send\na=rid:h send\na=simulcast:send h;h\n", "h", "a=rid:h recv\na=simulcast:recv h\n"},
		{"malformed names", "a=rid: send\na=rid:a/b send\na=rid:" + long + " send\na=rid:h\na=rid:l send\n", "l", "a=rid:l recv\n"},
		{
			"with extensions", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:5/sendonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\na=rid:h send\n", "h",
			"a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:5 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\na=rid:h recv\n",
		},
		{"extensions with numbers that RTP does not have", "a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:300 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := parsed(t, session+"m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\na=rtpmap:102 H264/90000\r\n"+strings.ReplaceAll(test.lines, "\n", "\r\n"))
			section := &o.Sections[0]
			layers := section.Layers(102)
			var rids []string
			for _, l := range layers {
				rids = append(rids, l.RID)
			}
			if diff := cmp.Diff(test.want, strings.Join(rids, " ")); diff != "" {
				t.Error(diff)
			}
			choices := choose(o, sendonly, 0)
			choices[0].Layers = layers
			s, err := o.Select(choices...)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(s.SDP(), "a=rid") || strings.Contains(s.SDP(), "simulcast") {
				t.Errorf("pion is given the layers:\n%s", s.SDP())
			}
			const head, own = "v=0\r\n", "m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n"
			if diff := cmp.Diff(head+own+strings.ReplaceAll(test.answer, "\n", "\r\n"), s.Complete(head+own)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestViewersAreOfferedNoLayers(t *testing.T) {
	o := parsed(t, session+video)
	s, err := o.Select(choose(o, recvonly, 0)...)
	if err != nil {
		t.Fatal(err)
	}
	const answer = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n"
	if got := s.Complete(answer); got != answer {
		t.Errorf("the answer to a viewer becomes %s", got)
	}
}

func TestSSRCs(t *testing.T) {
	o := parsed(t, session+video+"a=ssrc:x cname:x\r\na=ssrc:4294967296 cname:x\r\n"+audio)
	if diff := cmp.Diff([]uint32{1, 2}, o.Sections[0].SSRCs()); diff != "" {
		t.Error(diff)
	}
	if ssrcs := o.Sections[1].SSRCs(); len(ssrcs) > 0 {
		t.Errorf("the section names none, and not %v", ssrcs)
	}
}

func TestDTLSRole(t *testing.T) {
	const section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%\r\na=rtpmap:111 opus/48000/2\r\n"
	sections := func(setups ...string) string {
		var b strings.Builder
		for i, setup := range setups {
			b.WriteString(strings.Replace(section, "%", string(rune('0'+i)), 1))
			if setup != "" {
				b.WriteString("a=setup:" + setup + "\r\n")
			}
		}
		return b.String()
	}
	for name, test := range map[string]struct{ offer, want string }{
		"either: the server is the DTLS server": {session + sections("actpass"), "active"},
		"the client's only":                     {session + sections("active"), "active"},
		"the server's only":                     {session + sections("passive"), "passive"},
		"it says nothing":                       {session + sections(""), "active"},
		"it says something else":                {session + sections("holdconn"), "active"},
		"for the session":                       {session + "a=setup:passive\r\n" + sections("", ""), "passive"},
		"a section's before the session's":      {session + "a=setup:active\r\n" + sections("passive"), "passive"},
		"the group's first section counts":      {session + sections("passive", "actpass"), "passive"},
	} {
		t.Run(name, func(t *testing.T) {
			o := parsed(t, test.offer)
			indices := make([]int, len(o.Sections))
			for i := range indices {
				indices[i] = i
			}
			s, err := o.Select(choose(o, sendonly, indices...)...)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(s.SDP(), "a=setup:"+test.want+"\r\n"); n != len(o.Sections) || strings.Count(s.SDP(), "a=setup:") != n {
				t.Errorf("want a=setup:%s in each section:\n%s", test.want, s.SDP())
			}
		})
	}
}
