package v1alpha1

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// valid returns a pair with defaults that has no mistake, changed by change.
func valid(change func(*StreamPair)) *StreamPair {
	p := &StreamPair{
		ObjectMeta: metav1.ObjectMeta{Name: "demo"},
		Spec:       StreamPairSpec{Primary: Leg{StreamID: "primary"}, Backup: Leg{StreamID: "backup"}},
	}
	if change != nil {
		change(p)
	}
	p.Default()
	return p
}

// A pairCase is a pair, and the paths of its mistakes.
type pairCase struct {
	name   string
	change func(*StreamPair)
	want   []string
}

// pairCases are judged by Validate, and by the CustomResourceDefinition.
func pairCases() []pairCase {
	return []pairCase{
		{name: "the smallest pair"},
		{name: "ids that only just are path segments", change: func(p *StreamPair) {
			p.Spec.Primary.StreamID, p.Spec.Backup.StreamID = "a", strings.Repeat("Z", 128)
			p.Spec.App = "4K.live_2-x"
		}},
		{name: "ids that differ in capitals alone", change: func(p *StreamPair) {
			p.Spec.Primary.StreamID, p.Spec.Backup.StreamID = "cam", "Cam"
		}},
		{name: "a name of 50 characters", change: func(p *StreamPair) { p.Name = strings.Repeat("a", 50) }},
		{name: "zero is not the default where it means something", change: func(p *StreamPair) {
			p.Spec.Failover.RecoverySeconds = new(int32(0))
			p.Spec.MediaServer.DrainTimeoutSeconds = new(int32(0))
		}},
		{name: "the ends of the ranges", change: func(p *StreamPair) {
			p.Spec.Failover.InputLossMilliseconds = 100
			p.Spec.Failover.RecoverySeconds = new(int32(600))
			p.Spec.MediaServer.NodeLossTolerationSeconds = new(int32(3600))
			p.Spec.Publish.ReplacedTokenGraceSeconds = new(int32(0))
			p.Spec.Playback.ReplacedTokenGraceSeconds = new(int32(86400))
		}},
		{name: "restricted egress", change: func(p *StreamPair) { p.Spec.MediaServer.Egress = EgressRestricted }},
		{name: "unrestricted egress", change: func(p *StreamPair) { p.Spec.MediaServer.Egress = EgressUnrestricted }},
		{name: "every exposure as it should be", change: func(p *StreamPair) {
			p.Spec.Exposure = Exposure{
				HTTP: HTTPExposure{
					ServiceExposure: ServiceExposure{Type: ExposureLoadBalancer, LoadBalancer: &LoadBalancerExposure{SourceRanges: []string{"10.0.0.0/8", "2001:db8::/32"}}},
					TrustedProxies:  []string{"10.244.0.7/32", "2001:db8:1::/48", "192.0.2.77/24"},
				},
				RTMP: ServiceExposure{Type: ExposureNodePort, ExternalAddresses: &LegAddresses{Primary: []string{"a.example.com", "[2001:db8::1]:1935"}}},
				WebRTC: WebRTCExposure{
					Type: ExposureHostPort, HostPorts: &HostPorts{Primary: 8189, Backup: 8190},
					ExternalAddresses: &LegAddresses{Backup: []string{"203.0.113.7:30189:30190"}},
				},
			}
		}},
		{name: "playback and ICE servers as they should be", change: func(p *StreamPair) {
			p.Spec.Playback.ExternalURL = "https://live.example.com:8443/tv"
			p.Spec.Playback.Order = []PlaybackMethod{PlaybackHLS}
			p.Spec.Playback.HLS = &HLS{Mode: HLSAlways, SegmentSeconds: 1, PartMilliseconds: 1000, WindowSeconds: 3600}
			p.Spec.Playback.AllowedOrigins = []string{"https://www.example.com", "http://localhost:8080", "https://[2001:db8::1]"}
			p.Spec.MediaServer.ICEServers = []ICEServer{{URLs: []string{"turns:turn.example.com:443?transport=tcp"}, CredentialSecretRef: &SecretReference{Name: "turn"}}}
		}},

		{name: "secrets and images as they should be", change: func(p *StreamPair) {
			p.Spec.Publish.TokenSecretRef = &SecretReference{Name: "keys.of-sunday"}
			p.Spec.Playback.Auth, p.Spec.Playback.TokenSecretRef = PlaybackJWT, &SecretReference{Name: "jwt"}
			p.Spec.Playback.TLSSecretName = "live-tls"
			p.Spec.MediaServer.Image = "registry.example.com:5000/x@sha256:" + strings.Repeat("0", 64)
			p.Spec.MediaServer.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "a"}, {Name: "b"}}
			p.Spec.MediaServer.PriorityClassName = "on-air"
		}},
		{name: "a load balancer as it should be", change: func(p *StreamPair) {
			p.Spec.Exposure.WebRTC = WebRTCExposure{
				Type: ExposureLoadBalancer,
				LoadBalancer: &LoadBalancerExposure{
					Class: "service.k8s.aws/nlb", Annotations: map[string]string{"a.example.com/b": ""}, MixedProtocol: true,
				},
				ExternalAddresses: &LegAddresses{Primary: []string{"2001:db8::1", "203.0.113.7", "[2001:db8::1]:1"}},
			}
		}},

		{name: "no name", change: func(p *StreamPair) { p.Name = "" }, want: []string{"metadata.name"}},
		{name: "a name of 51 characters", change: func(p *StreamPair) { p.Name = strings.Repeat("a", 51) }, want: []string{"metadata.name"}},
		{name: "a name that no Service could have", change: func(p *StreamPair) { p.Name = "1st" }, want: []string{"metadata.name"}},
		{name: "a name with a dot", change: func(p *StreamPair) { p.Name = "a.b" }, want: []string{"metadata.name"}},
		{name: "no ids", change: func(p *StreamPair) { p.Spec.Primary, p.Spec.Backup = Leg{}, Leg{} }, want: []string{"spec.primary.streamID", "spec.backup.streamID"}},
		{name: "the same id twice", change: func(p *StreamPair) { p.Spec.Backup = p.Spec.Primary }, want: []string{"spec.backup.streamID"}},
		{name: "ids that are no path segments", change: func(p *StreamPair) {
			p.Spec.Primary.StreamID, p.Spec.Backup.StreamID, p.Spec.App = "..", "a/b", "a b"
		}, want: []string{"spec.app", "spec.primary.streamID", "spec.backup.streamID"}},
		{name: "ids with a query, a line end, an umlaut", change: func(p *StreamPair) {
			p.Spec.Primary.StreamID, p.Spec.Backup.StreamID, p.Spec.App = "a?token=x", "a\n", "ä"
		}, want: []string{"spec.app", "spec.primary.streamID", "spec.backup.streamID"}},
		{name: "ids that are too long", change: func(p *StreamPair) {
			p.Spec.Primary.StreamID, p.Spec.App = strings.Repeat("a", 129), strings.Repeat("a", 65)
		}, want: []string{"spec.app", "spec.primary.streamID"}},
		{name: "failover out of range", change: func(p *StreamPair) {
			p.Spec.Failover = Failover{Mode: "sticky", Select: "Both", InputLossMilliseconds: 60001, RecoverySeconds: new(int32(-1)), MaxJitterMilliseconds: new(int32(10001))}
		}, want: []string{"spec.failover.mode", "spec.failover.select", "spec.failover.inputLossMilliseconds", "spec.failover.maxJitterMilliseconds", "spec.failover.recoverySeconds"}},
		{name: "content out of range", change: func(p *StreamPair) {
			p.Spec.Failover.Content = &Content{
				Policy:  "Switch",
				Silence: &SilenceFault{AfterSeconds: new(int32(601)), BelowDBFS: new(int32(-10))},
				Black:   &PictureFault{AfterSeconds: new(int32(-1))}, Frozen: &PictureFault{AfterSeconds: new(int32(601))},
				LowBitrate:   &LowBitrateFault{AfterSeconds: new(int32(601)), BelowKilobitsPerSecond: new(int32(-1))},
				LowFrameRate: &LowFrameRateFault{AfterSeconds: new(int32(-1)), BelowPercent: new(int32(100))},
				ClearSeconds: new(int32(0)),
			}
		}, want: []string{
			"spec.failover.content.policy", "spec.failover.content.silence.afterSeconds", "spec.failover.content.silence.belowDBFS",
			"spec.failover.content.black.afterSeconds", "spec.failover.content.frozen.afterSeconds",
			"spec.failover.content.lowBitrate.afterSeconds", "spec.failover.content.lowBitrate.belowKilobitsPerSecond",
			"spec.failover.content.lowFrameRate.afterSeconds", "spec.failover.content.lowFrameRate.belowPercent",
			"spec.failover.content.clearSeconds",
		}},
		{name: "publish", change: func(p *StreamPair) {
			p.Spec.Publish = Publish{Auth: "JWT", TokenSecretRef: &SecretReference{}, TokenGeneration: -1}
		}, want: []string{"spec.publish.auth", "spec.publish.tokenSecretRef.name", "spec.publish.tokenGeneration"}},
		{name: "a grace for replaced tokens that is out of range", change: func(p *StreamPair) {
			p.Spec.Publish.ReplacedTokenGraceSeconds = new(int32(-1))
			p.Spec.Playback.ReplacedTokenGraceSeconds = new(int32(86401))
		}, want: []string{"spec.playback.replacedTokenGraceSeconds", "spec.publish.replacedTokenGraceSeconds"}},
		{name: "trusted proxies that are no networks, or listed twice", change: func(p *StreamPair) {
			p.Spec.Exposure.HTTP.TrustedProxies = []string{"10.0.0.1", "10.0.0.0/8", "10.0.0.0/8", "ingress.example.com", "::ffff:10.0.0.0/104"}
		}, want: []string{
			"spec.exposure.http.trustedProxies[0]", "spec.exposure.http.trustedProxies[2]",
			"spec.exposure.http.trustedProxies[3]", "spec.exposure.http.trustedProxies[4]",
		}},
		{name: "more trusted proxies than there may be", change: func(p *StreamPair) {
			for i := range 33 {
				p.Spec.Exposure.HTTP.TrustedProxies = append(p.Spec.Exposure.HTTP.TrustedProxies, fmt.Sprintf("10.0.%d.0/24", i))
			}
		}, want: []string{"spec.exposure.http.trustedProxies"}},
		{name: "playback", change: func(p *StreamPair) {
			p.Spec.Playback = Playback{
				Order: []PlaybackMethod{"WebRTC", "WebRTC"}, ExternalURL: "live.example.com", Auth: "Basic",
				LegacyClients: "None", TokenSecretRef: &SecretReference{},
			}
		}, want: []string{"spec.playback.order[1]", "spec.playback.externalURL", "spec.playback.auth", "spec.playback.tokenSecretRef.name", "spec.playback.legacyClients"}},
		{name: "key sets", change: func(p *StreamPair) {
			p.Spec.Publish.JWKS = &JWKS{URL: "http://login.example.com/keys", Issuer: strings.Repeat("a", 1025)}
			p.Spec.Playback.Auth = PlaybackJWT
			p.Spec.Playback.JWKS = &JWKS{URL: "https://login.example.com/keys", SecretRef: &SecretReference{}, Audiences: []string{"a", "", "a"}}
		}, want: []string{
			"spec.playback.jwks", "spec.playback.jwks.secretRef.name", "spec.playback.jwks.audiences[1]", "spec.playback.jwks.audiences[2]",
			"spec.publish.jwks.url", "spec.publish.jwks.issuer",
		}},
		{name: "key sets that nobody asks", change: func(p *StreamPair) {
			p.Spec.Publish.Auth, p.Spec.Publish.JWKS = PublishNone, &JWKS{URL: "https://login.example.com/keys"}
			p.Spec.Playback.JWKS = &JWKS{URL: "https://login.example.com/keys"}
		}, want: []string{"spec.playback.jwks", "spec.publish.jwks"}},
		{name: "HLS", change: func(p *StreamPair) {
			p.Spec.Playback.HLS = &HLS{Mode: "Never", SegmentSeconds: 11, PartMilliseconds: 99, WindowSeconds: 3601}
			p.Spec.Playback.AllowedOrigins = []string{"https://a.example.com", "https://a.example.com", "*", "a.example.com", "https://a.example.com/"}
		}, want: []string{
			"spec.playback.hls.mode", "spec.playback.hls.segmentSeconds", "spec.playback.hls.partMilliseconds", "spec.playback.hls.windowSeconds",
			"spec.playback.allowedOrigins[1]", "spec.playback.allowedOrigins[2]", "spec.playback.allowedOrigins[3]", "spec.playback.allowedOrigins[4]",
		}},
		{name: "a part that is longer than a segment", change: func(p *StreamPair) {
			p.Spec.Playback.HLS = &HLS{SegmentSeconds: 1, PartMilliseconds: 1001}
		}, want: []string{"spec.playback.hls.partMilliseconds"}},
		{name: "an order of nothing", change: func(p *StreamPair) { p.Spec.Playback.Order = []PlaybackMethod{} }, want: []string{"spec.playback.order"}},
		{name: "an external URL with a query", change: func(p *StreamPair) { p.Spec.Playback.ExternalURL = "https://a.example.com/?x" }, want: []string{"spec.playback.externalURL"}},
		{name: "members of another exposure", change: func(p *StreamPair) {
			p.Spec.Exposure.HTTP.LoadBalancer = &LoadBalancerExposure{}
			p.Spec.Exposure.RTMP.Type = ExposureHostPort
			p.Spec.Exposure.WebRTC.HostPorts = &HostPorts{Primary: 1, Backup: 2}
		}, want: []string{"spec.exposure.http.loadBalancer", "spec.exposure.rtmp.type", "spec.exposure.webrtc.hostPorts"}},
		{name: "host ports", change: func(p *StreamPair) {
			p.Spec.Exposure.WebRTC = WebRTCExposure{Type: ExposureHostPort, HostPorts: &HostPorts{Primary: 8189, Backup: 8189}}
		}, want: []string{"spec.exposure.webrtc.hostPorts.backup"}},
		{name: "host port exposure without ports", change: func(p *StreamPair) { p.Spec.Exposure.WebRTC.Type = ExposureHostPort }, want: []string{"spec.exposure.webrtc.hostPorts"}},
		{name: "addresses", change: func(p *StreamPair) {
			p.Spec.Exposure.HTTP.ServiceExposure = ServiceExposure{
				Type: ExposureLoadBalancer, LoadBalancer: &LoadBalancerExposure{SourceRanges: []string{"10.0.0.1"}},
				ExternalAddresses: &LegAddresses{Primary: []string{"https://x"}, Backup: []string{"ok", "x:99999"}},
			}
			p.Spec.Exposure.WebRTC.ExternalAddresses = &LegAddresses{Primary: []string{"a.example.com"}}
		}, want: []string{
			"spec.exposure.http.loadBalancer.sourceRanges[0]", "spec.exposure.http.externalAddresses.primary[0]",
			"spec.exposure.http.externalAddresses.backup[1]", "spec.exposure.webrtc.externalAddresses.primary[0]",
		}},
		{name: "lists with something twice", change: func(p *StreamPair) {
			p.Spec.Exposure.RTMP = ServiceExposure{
				Type: ExposureLoadBalancer, LoadBalancer: &LoadBalancerExposure{SourceRanges: []string{"10.0.0.0/8", "10.0.0.0/8"}},
				ExternalAddresses: &LegAddresses{Primary: []string{"x", "x"}},
			}
			p.Spec.MediaServer.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "a"}, {Name: "a"}}
			p.Spec.MediaServer.ICEServers = []ICEServer{{URLs: []string{"stun:x", "stun:x"}}}
		}, want: []string{
			"spec.exposure.rtmp.loadBalancer.sourceRanges[1]", "spec.exposure.rtmp.externalAddresses.primary[1]",
			"spec.mediaServer.imagePullSecrets[1].name", "spec.mediaServer.iceServers[0].urls[1]",
		}},
		{name: "media addresses that no browser could use", change: func(p *StreamPair) {
			p.Spec.Exposure.WebRTC.ExternalAddresses = &LegAddresses{Backup: []string{
				"0.0.0.0", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]", "[203.0.113.7]", "203.0.113.7:0", "203.0.113.7:01",
				"255.255.255.255", "224.0.0.1", "2001:db8::ffff:1", "10.0.0.1:1:2:3", "fe80::1%eth0", "[::1", "", ":1",
			}}
		}, want: []string{
			"spec.exposure.webrtc.externalAddresses.backup[0]", "spec.exposure.webrtc.externalAddresses.backup[1]",
			"spec.exposure.webrtc.externalAddresses.backup[2]", "spec.exposure.webrtc.externalAddresses.backup[3]",
			"spec.exposure.webrtc.externalAddresses.backup[4]", "spec.exposure.webrtc.externalAddresses.backup[5]",
			"spec.exposure.webrtc.externalAddresses.backup[6]", "spec.exposure.webrtc.externalAddresses.backup[7]",
			"spec.exposure.webrtc.externalAddresses.backup[9]", "spec.exposure.webrtc.externalAddresses.backup[10]",
			"spec.exposure.webrtc.externalAddresses.backup[11]", "spec.exposure.webrtc.externalAddresses.backup[12]",
			"spec.exposure.webrtc.externalAddresses.backup[13]",
		}},
		{name: "names that no Secret could have", change: func(p *StreamPair) {
			p.Spec.Publish.TokenSecretRef = &SecretReference{Name: "My_Keys"}
			p.Spec.Playback.TLSSecretName = strings.Repeat("a", 254)
			p.Spec.MediaServer.ImagePullSecrets = []corev1.LocalObjectReference{{}}
			p.Spec.MediaServer.PriorityClassName = "-"
		}, want: []string{
			"spec.playback.tlsSecretName", "spec.publish.tokenSecretRef.name",
			"spec.mediaServer.imagePullSecrets[0].name", "spec.mediaServer.priorityClassName",
		}},
		{name: "a Secret for viewers, and everybody may watch", change: func(p *StreamPair) {
			p.Spec.Playback.TokenSecretRef = &SecretReference{Name: "keys"}
		}, want: []string{"spec.playback.tokenSecretRef"}},
		{name: "a class that no load balancer has", change: func(p *StreamPair) {
			p.Spec.Exposure.HTTP.ServiceExposure = ServiceExposure{Type: ExposureLoadBalancer, LoadBalancer: &LoadBalancerExposure{Class: "a/b/c"}}
		}, want: []string{"spec.exposure.http.loadBalancer.class"}},
		{name: "more than there may be", change: func(p *StreamPair) {
			p.Spec.MediaServer.ICEServers = make([]ICEServer, 9)
			p.Spec.MediaServer.Tolerations = make([]corev1.Toleration, 33)
			p.Spec.MediaServer.NodeSelector = map[string]string{}
			for i := range 33 {
				p.Spec.MediaServer.NodeSelector[strings.Repeat("x", i+1)] = ""
			}
		}, want: []string{"spec.mediaServer.nodeSelector", "spec.mediaServer.tolerations", "spec.mediaServer.iceServers"}},
		{name: "an image with a blank, and devices", change: func(p *StreamPair) {
			p.Spec.MediaServer.Image = "x y"
			p.Spec.MediaServer.Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
		}, want: []string{"spec.mediaServer.image", "spec.mediaServer.resources.claims"}},
		{name: "media server", change: func(p *StreamPair) {
			p.Spec.MediaServer = MediaServer{
				AntiAffinity: "Hard", UpdatePolicy: "Never", Egress: "None", DrainTimeoutSeconds: new(int32(3601)), NodeLossTolerationSeconds: new(int32(-1)),
				ICEServers: []ICEServer{{}, {URLs: []string{"http://x"}}},
			}
		}, want: []string{
			"spec.mediaServer.antiAffinity", "spec.mediaServer.drainTimeoutSeconds", "spec.mediaServer.nodeLossTolerationSeconds",
			"spec.mediaServer.updatePolicy", "spec.mediaServer.egress", "spec.mediaServer.iceServers[0].urls", "spec.mediaServer.iceServers[1].urls[0]",
		}},
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range pairCases() {
		t.Run(tt.name, func(t *testing.T) {
			errs := valid(tt.change).Validate()
			var got []string
			for _, err := range errs {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s\n%v", diff, errs.ToAggregate())
			}
		})
	}
}

func TestDefaultKeepsWhatIsSetAndIsIdempotent(t *testing.T) {
	once := valid(func(p *StreamPair) {
		p.Spec.App = "tv"
		p.Spec.Failover = Failover{Mode: FailoverPreferPrimary, RecoverySeconds: new(int32(0))}
		p.Spec.Publish.Auth = PublishNone
	})
	if once.Spec.App != "tv" || once.Spec.Failover.Mode != FailoverPreferPrimary ||
		*once.Spec.Failover.RecoverySeconds != 0 || once.Spec.Publish.Auth != PublishNone {
		t.Errorf("overwritten: %+v", once.Spec)
	}
	twice := once.DeepCopy()
	twice.Default()
	if diff := cmp.Diff(once, twice); diff != "" {
		t.Errorf("the second time changed it:\n%s", diff)
	}
}

func TestParseMediaAddress(t *testing.T) {
	tests := []struct {
		text     string
		ip       string // empty: refused
		udp, tcp uint16
		back     string
	}{
		{"203.0.113.7", "203.0.113.7", 0, 0, "203.0.113.7"},
		{"203.0.113.7:30189", "203.0.113.7", 30189, 30189, "203.0.113.7:30189:30189"},
		{"203.0.113.7:30189:30190", "203.0.113.7", 30189, 30190, "203.0.113.7:30189:30190"},
		{"2001:db8::1", "2001:db8::1", 0, 0, "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1", 0, 0, "2001:db8::1"},
		{"[2001:db8::1]:1:2", "2001:db8::1", 1, 2, "[2001:db8::1]:1:2"},
		{"::ffff:203.0.113.7", "203.0.113.7", 0, 0, "203.0.113.7"},
		{text: ""},
		{text: "live.example.com"},
		{text: "203.0.113.7:"},
		{text: "203.0.113.7:0"},
		{text: "203.0.113.7:70000"},
		{text: "203.0.113.7:1:2:3"},
		{text: "203.0.113.7:1:"},
		{text: "[2001:db8::1"},
		{text: "[2001:db8::1]8189"},
		{text: "[203.0.113.7.1]"},
		{text: "[203.0.113.7]"},
		{text: "203.0.113.7:08189"},
		{text: "255.255.255.255"},
		{text: "fe80::1%eth0"},
		{text: "0.0.0.0"},
		{text: "224.0.0.1"},
	}
	for _, tt := range tests {
		got, err := ParseMediaAddress(tt.text)
		if tt.ip == "" {
			if err == nil {
				t.Errorf("%q was accepted as %v", tt.text, got)
			}
			continue
		}
		want := MediaAddress{IP: netip.MustParseAddr(tt.ip), UDPPort: tt.udp, TCPPort: tt.tcp}
		if err != nil || got != want || got.String() != tt.back {
			t.Errorf("%q: %v, %v; want %v, in text %s", tt.text, got, err, want, tt.back)
		}
	}
}
