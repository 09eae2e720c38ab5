package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/sdpoffer"
)

func TestTheLightOfferIsWellFormed(t *testing.T) {
	offer, err := sdpoffer.Parse(lightOffer(netip.MustParseAddrPort("127.1.0.7:9000"), newICECredentials(), "AB:CD"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range offer.Sections {
		kinds = append(kinds, s.Kind+" "+s.Direction.String()+" "+s.Formats[0].MimeType)
	}
	if diff := cmp.Diff([]string{"video recvonly video/H264", "audio recvonly audio/opus"}, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestParseLightAnswer(t *testing.T) {
	const head = "v=0\r\na=ice-lite\r\na=fingerprint:sha-256 ab:cd\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n"
	const tail = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=inactive\r\n"
	for name, test := range map[string]struct {
		candidates []string
		want       string // empty: an error
	}{
		"one":                  {[]string{"1 1 udp 1 10.0.0.1 7000 typ host"}, "10.0.0.1:7000"},
		"loopback comes later": {[]string{"1 1 udp 1 10.0.0.1 7000 typ host", "2 1 UDP 1 127.0.0.1 7001 typ host"}, "127.0.0.1:7001"},
		"the first of UDP":     {[]string{"1 1 tcp 1 127.0.0.1 9 typ host tcptype passive", "2 1 udp 1 10.0.0.1 7000 typ host", "3 1 udp 1 10.0.0.2 7000 typ host"}, "10.0.0.1:7000"},
		"IPv6 is left out":     {[]string{"1 1 udp 1 ::1 7000 typ host", "2 1 udp 1 127.0.0.1 7002 typ host"}, "127.0.0.1:7002"},
		"only TCP":             {[]string{"1 1 tcp 1 127.0.0.1 9 typ host"}, ""},
		"none":                 {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var lines strings.Builder
			for _, c := range test.candidates {
				lines.WriteString("a=candidate:" + c + "\r\n")
			}
			got, err := parseLightAnswer(head + lines.String() + tail)
			if test.want == "" {
				if err == nil {
					t.Errorf("no error, but %+v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.server.String() != test.want || got.ufrag != "u" || got.password != "p" || got.fingerprint != "AB:CD" || got.video != 102 || got.audio != 111 {
				t.Errorf("%+v, want %s", got, test.want)
			}
		})
	}
}
