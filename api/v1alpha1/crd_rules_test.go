package v1alpha1

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// brokenRules has a manifest for each rule of the definition: where the API server
// says the mistake is, the rule's message, and what to write into a right spec to break
// that rule alone.
var brokenRules = []struct{ path, message, spec string }{
	{"spec.backup.streamID", "give the backup's encoder an id of its own", `backup: {streamID: a}`},
	{"spec.app", "app stands in URLs as it is", `app: a/b`},
	{"spec.primary.streamID", "streamID stands in URLs as it is", `primary: {streamID: "a b"}`},
	{"spec.backup.streamID", "streamID stands in URLs as it is", `backup: {streamID: ..}`},
	{"spec.publish.tokenSecretRef.name", "must be the name of a Secret", `publish: {tokenSecretRef: {name: My_Keys}}`},

	{"spec.playback.order", "order must name each way to play once", `playback: {order: [HLS, HLS]}`},
	{"spec.playback.externalURL", "such as https://live.example.com", `playback: {externalURL: live.example.com}`},
	{"spec.playback.externalURL", "such as https://live.example.com", `playback: {externalURL: "https://live.example.com:99999"}`},
	{"spec.playback.externalURL", "such as https://live.example.com", `playback: {externalURL: "https://live.example.com/a/../b"}`},
	{"spec.playback.externalURL", "such as https://live.example.com", `playback: {externalURL: "https://live..example.com"}`},
	{"spec.playback.externalURL", "such as https://live.example.com", `playback: {externalURL: "https://[2001:db8:::1]"}`},
	{"spec.playback.tlsSecretName", "must be the name of a Secret", `playback: {tlsSecretName: "*.example.com"}`},
	{"spec.publish.srtPassphraseSecretRef.name", "must be the name of a Secret", `publish: {srtPassphraseSecretRef: {name: My_Keys}}`},
	{"spec.playback.tokenSecretRef", "set auth to Token or JWT", `playback: {tokenSecretRef: {name: keys}}`},
	{"spec.playback.hls.partMilliseconds", "a part must not be longer than a segment", `playback: {hls: {segmentSeconds: 1, partMilliseconds: 1001}}`},
	{"spec.playback.allowedOrigins[1]", "each origin must be as a browser sends it", `playback: {allowedOrigins: ["https://a.example.com", "https://a.example.com/"]}`},
	{"spec.playback.tokenSecretRef.name", "must be the name of a Secret", `playback: {auth: JWT, tokenSecretRef: {name: a/b}}`},
	{"spec.playback.jwks", "set auth to JWT", `playback: {auth: Token, jwks: {url: "https://login.example.com/keys"}}`},
	{"spec.playback.jwks", "set exactly one of url and secretRef", `playback: {auth: JWT, jwks: {issuer: x}}`},
	{"spec.playback.jwks", "set exactly one of url and secretRef", `playback: {auth: JWT, jwks: {url: "https://login.example.com/keys", secretRef: {name: a}}}`},
	{"spec.playback.jwks.url", "must be an https:// URL", `playback: {auth: JWT, jwks: {url: "http://login.example.com/keys"}}`},
	{"spec.playback.jwks.url", "must be an https:// URL", `playback: {auth: JWT, jwks: {url: "https://user@login.example.com/keys"}}`},
	{"spec.playback.jwks.url", "must be an https:// URL", `playback: {auth: JWT, jwks: {url: "https://login.example.com/keys#1"}}`},
	{"spec.playback.jwks.url", "must be an https:// URL", `playback: {auth: JWT, jwks: {url: "https://login.example.com:70000/keys"}}`},
	{"spec.playback.jwks.secretRef.name", "must be the name of a Secret", `playback: {auth: JWT, jwks: {secretRef: {name: A}}}`},
	{"spec.publish.jwks", "set auth to Token", `publish: {auth: None, jwks: {url: "https://login.example.com/keys"}}`},
	{"spec.publish.jwks", "set exactly one of url and secretRef", `publish: {jwks: {}}`},
	{"spec.publish.jwks.url", "must be an https:// URL", `publish: {jwks: {url: login.example.com}}`},
	{"spec.publish.jwks.secretRef.name", "must be the name of a Secret", `publish: {jwks: {secretRef: {name: A}}}`},

	{"spec.exposure.http.loadBalancer", "may be set only with type LoadBalancer", `exposure: {http: {loadBalancer: {class: x}}}`},
	{"spec.exposure.http.loadBalancer.class", "class must be the name of a load balancer class", `exposure: {http: {type: LoadBalancer, loadBalancer: {class: a b}}}`},
	{"spec.exposure.http.loadBalancer.sourceRanges[1]", "must be in CIDR notation", `exposure: {http: {type: LoadBalancer, loadBalancer: {sourceRanges: [10.0.0.0/8, 10.0.0.1]}}}`},
	{"spec.exposure.http.externalAddresses.primary", "must be host or host:port", `exposure: {http: {externalAddresses: {primary: ["https://x"]}}}`},
	{"spec.exposure.http.externalAddresses.backup", "must be host or host:port", `exposure: {http: {externalAddresses: {backup: ["x:0"]}}}`},
	{"spec.exposure.http.trustedProxies[0]", "must be in CIDR notation", `exposure: {http: {trustedProxies: [10.0.0.1]}}`},
	{"spec.exposure.rtmp.loadBalancer", "may be set only with type LoadBalancer", `exposure: {rtmp: {type: NodePort, loadBalancer: {}}}`},
	{"spec.exposure.rtmp.loadBalancer.class", "class must be the name of a load balancer class", `exposure: {rtmp: {type: LoadBalancer, loadBalancer: {class: a/b/c}}}`},
	{"spec.exposure.rtmp.loadBalancer.sourceRanges[0]", "must be in CIDR notation", `exposure: {rtmp: {type: LoadBalancer, loadBalancer: {sourceRanges: [all]}}}`},
	{"spec.exposure.rtmp.externalAddresses.primary", "must be host or host:port", `exposure: {rtmp: {externalAddresses: {primary: ["2001:db8::1"]}}}`},
	{"spec.exposure.rtmp.externalAddresses.backup", "must be host or host:port", `exposure: {rtmp: {externalAddresses: {backup: ["x:65536"]}}}`},
	{"spec.exposure.webrtc.loadBalancer", "may be set only with type LoadBalancer", `exposure: {webrtc: {loadBalancer: {}}}`},
	{"spec.exposure.webrtc.loadBalancer.class", "class must be the name of a load balancer class", `exposure: {webrtc: {type: LoadBalancer, loadBalancer: {class: "-"}}}`},
	{"spec.exposure.webrtc.loadBalancer.sourceRanges[0]", "must be in CIDR notation", `exposure: {webrtc: {type: LoadBalancer, loadBalancer: {sourceRanges: [10.0.0.0/33]}}}`},
	{"spec.exposure.webrtc.externalAddresses.primary", "must be IP[:udpPort[:tcpPort]]", `exposure: {webrtc: {externalAddresses: {primary: [live.example.com]}}}`},
	{"spec.exposure.webrtc.externalAddresses.backup", "must be IP[:udpPort[:tcpPort]]", `exposure: {webrtc: {externalAddresses: {backup: ["10.0.0.1:99999"]}}}`},
	{"spec.exposure.webrtc", "type HostPort needs a port for each leg", `exposure: {webrtc: {type: HostPort}}`},
	{"spec.exposure.webrtc.hostPorts", "hostPorts may be set only with type HostPort", `exposure: {webrtc: {hostPorts: {primary: 1, backup: 2}}}`},
	{"spec.exposure.webrtc.hostPorts.backup", "must differ", `exposure: {webrtc: {type: HostPort, hostPorts: {primary: 8189, backup: 8189}}}`},

	{"spec.exposure.http.loadBalancer", "http has one Service for both legs", `exposure: {http: {type: LoadBalancer, loadBalancer: {legPorts: {primary: 80, backup: 81}}}}`},
	{"spec.exposure.webrtc.loadBalancer", "legTLSPorts are for rtmp only", `exposure: {webrtc: {type: LoadBalancer, loadBalancer: {legTLSPorts: {primary: 1, backup: 2}}}}`},
	{"spec.exposure.srt.loadBalancer", "legTLSPorts are for rtmp only", `exposure: {srt: {type: LoadBalancer, loadBalancer: {legTLSPorts: {primary: 1, backup: 2}}}}`},
	{"spec.exposure.srt.loadBalancer", "may be set only with type LoadBalancer", `exposure: {srt: {loadBalancer: {}}}`},
	{"spec.exposure.srt.externalAddresses.primary", "must be host or host:port", `exposure: {srt: {externalAddresses: {primary: ["2001:db8::1"]}}}`},
	{"spec.exposure.srt.externalAddresses.backup", "must be host or host:port", `exposure: {srt: {externalAddresses: {backup: ["x:65536"]}}}`},
	{"spec.exposure.srt.loadBalancer.class", "class must be the name of a load balancer class", `exposure: {srt: {type: LoadBalancer, loadBalancer: {class: a/b/c}}}`},
	{"spec.exposure.srt.loadBalancer.sourceRanges[0]", "must be in CIDR notation", `exposure: {srt: {type: LoadBalancer, loadBalancer: {sourceRanges: [all]}}}`},
	{"spec.exposure.rtmp.loadBalancer", "must differ", `exposure: {rtmp: {type: LoadBalancer, loadBalancer: {legPorts: {primary: 1936, backup: 1937}}}}`},

	{"spec.objectLabels", "must have the form of a", `objectLabels: {"a b": c}`},
	{"spec.objectLabels", "cannot be set", `objectLabels: {app.kubernetes.io/name: x}`},
	{"spec.mediaServer.podLabels", "must have the form of a", `mediaServer: {podLabels: {a/b/c: d}}`},
	{"spec.mediaServer.podLabels", "cannot be set", `mediaServer: {podLabels: {media.streampair.dev/pair: other}}`},
	{"spec.mediaServer.podLabels", "cannot be set", `mediaServer: {podLabels: {cluster-autoscaler.kubernetes.io/safe-to-evict: "true"}}`},
	{"spec.mediaServer.podAnnotations", "must have the form of a", `mediaServer: {podAnnotations: {-a: d}}`},
	{"spec.mediaServer.podAnnotations", "cannot be set", `mediaServer: {podAnnotations: {container.apparmor.security.beta.kubernetes.io/media-server: unconfined}}`},
	{"spec.mediaServer.podAnnotations", "cannot be set", `mediaServer: {podAnnotations: {k8s.io/x: z}}`},
	{"spec.mediaServer.image", "image must be an image reference", `mediaServer: {image: "a b"}`},
	{"spec.mediaServer.imagePullSecrets", "must have the name of a Secret", `mediaServer: {imagePullSecrets: [{}]}`},
	{"spec.notifications[0]", "set exactly one of url and urlSecretRef", `notifications: [{name: a, keySecretRef: {name: k}}]`},
	{"spec.notifications[0]", "set exactly one of url and urlSecretRef", `notifications: [{name: a, url: "https://a.example.com", urlSecretRef: {name: u}, keySecretRef: {name: k}}]`},
	{"spec.notifications[0].name", "name must be 1 to 63 lower case letters", `notifications: [{name: A, url: "https://a.example.com", keySecretRef: {name: k}}]`},
	{"spec.notifications[0].url", "must be an https:// URL", `notifications: [{name: a, url: "http://a.example.com", keySecretRef: {name: k}}]`},
	{"spec.notifications[0].url", "must be an https:// URL", `notifications: [{name: a, url: "https://user:password@a.example.com", keySecretRef: {name: k}}]`},
	{"spec.notifications[0].url", "must be an https:// URL", `notifications: [{name: a, url: "https://a.example.com/#top", keySecretRef: {name: k}}]`},
	{"spec.notifications[0].urlSecretRef.name", "must be the name of a Secret", `notifications: [{name: a, urlSecretRef: {name: U}, keySecretRef: {name: k}}]`},
	{"spec.notifications[1].keySecretRef.name", "must be the name of a Secret", `notifications: [{name: a, urlSecretRef: {name: u}, keySecretRef: {name: k}}, {name: b, urlSecretRef: {name: u}, keySecretRef: {name: a b}}]`},
	{"spec.mediaServer.resources.claims", "resources.claims is not supported", `mediaServer: {resources: {claims: [{name: gpu}]}}`},
	{"spec.mediaServer.priorityClassName", "must be the name of a PriorityClass", `mediaServer: {priorityClassName: High}`},
	{"spec.mediaServer.iceServers[0].urls[0]", "must begin with stun:, stuns:, turn: or turns:", `mediaServer: {iceServers: [{urls: ["https://x"]}]}`},
	{"spec.mediaServer.iceServers[0].urls[0]", "followed by a host", `mediaServer: {iceServers: [{urls: ["stun://stun.example.com"]}]}`},
	{"spec.mediaServer.iceServers[0].urls[0]", "followed by a host", `mediaServer: {iceServers: [{urls: ["turn:turn.example.com:99999"]}]}`},
	{"spec.mediaServer.iceServers[0].urls[0]", "followed by a host", `mediaServer: {iceServers: [{urls: ["turn:turn.example.com?transport=sctp"]}]}`},
	{"spec.mediaServer.iceServers[0].urls[0]", "followed by a host", `mediaServer: {iceServers: [{urls: ["stun:stun.example.com?transport=udp"]}]}`},
	{"spec.mediaServer.iceServers[0].urls[0]", "followed by a host", `mediaServer: {iceServers: [{urls: ["turn:user@turn.example.com"]}]}`},
	{"spec.mediaServer.iceServers[0].credentialSecretRef.name", "must be the name of a Secret", `mediaServer: {iceServers: [{urls: ["stun:x"], credentialSecretRef: {name: A}}]}`},
}

// manifest is a pair with just the ids a and b, and over them spec.
func manifest(t *testing.T, name, spec string) []byte {
	t.Helper()
	fields := map[string]any{"primary": map[string]any{"streamID": "a"}, "backup": map[string]any{"streamID": "b"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &fields); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": GroupVersion.String(), "kind": Kind,
		"metadata": map[string]any{"name": name}, "spec": fields,
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEachRuleRefusesWithItsMessage(t *testing.T) {
	d := loadDefinition(t)
	untested := map[string]bool{}
	for _, rule := range rules("", d.structural) {
		untested[rule] = true
	}
	total := len(untested)
	for _, tt := range brokenRules {
		t.Run(tt.spec, func(t *testing.T) {
			_, errs := d.judge(t, manifest(t, "demo", tt.spec))
			if len(errs) != 1 || errs[0].Field != tt.path || !strings.Contains(errs[0].Error(), tt.message) {
				t.Fatalf("got %v, want %s: …%s…", errs.ToAggregate(), tt.path, tt.message)
			}
			for rule := range untested {
				if at, message, _ := strings.Cut(rule, ": "); strings.HasSuffix(errs[0].Error(), message) && at == withoutIndexes(errs[0].Field) {
					delete(untested, rule)
				}
			}
		})
	}
	t.Run("metadata.name", func(t *testing.T) {
		for _, name := range []string{strings.Repeat("a", 51), "1st", "a.b", "a-"} {
			_, errs := d.judge(t, manifest(t, name, "{}"))
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), "metadata.name must be at most 50 characters") {
				t.Errorf("%s: got %v", name, errs.ToAggregate())
			}
		}
		maps.DeleteFunc(untested, func(rule string, _ bool) bool { return strings.HasPrefix(rule, ": metadata.name") })
	})
	for _, rule := range slices.Sorted(maps.Keys(untested)) {
		t.Errorf("no manifest breaks the rule at %s", rule)
	}
	t.Logf("%d rules", total)
}

// rules lists the rules of a schema as "path: message".
func rules(path string, s *schema.Structural) []string {
	var all []string
	for _, rule := range s.XValidations {
		all = append(all, path+rule.FieldPath+": "+rule.Message)
	}
	for name, property := range s.Properties {
		all = append(all, rules(strings.TrimPrefix(path+"."+name, "."), &property)...)
	}
	if s.Items != nil {
		all = append(all, rules(path+"[]", s.Items)...)
	}
	return all
}

func withoutIndexes(path string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, path)
}

func TestValuesAreRefusedByTheirForm(t *testing.T) {
	d := loadDefinition(t)
	for _, tt := range []struct{ spec, want string }{
		{`app: ""`, "spec.app in body should be at least 1 chars long"},
		{`app: ` + strings.Repeat("a", 65), "spec.app: Too long"},
		{`primary: {}`, "spec.primary.streamID: Required value"},
		{`primary: null`, "spec.primary: Required value"},
		{`failover: {mode: sticky}`, `supported values: "Sticky", "PreferPrimary"`},
		{`failover: {select: Main}`, `supported values: "Auto", "Primary", "Backup"`},
		{`failover: {inputLossMilliseconds: 99}`, "should be greater than or equal to 100"},
		{`failover: {inputLossMilliseconds: 60001}`, "should be less than or equal to 60000"},
		{`failover: {maxJitterMilliseconds: -1}`, "should be greater than or equal to 0"},
		{`failover: {maxJitterMilliseconds: 10001}`, "should be less than or equal to 10000"},
		{`failover: {inputLossMilliseconds: 1s}`, "must be of type integer"},
		{`failover: {recoverySeconds: 601}`, "should be less than or equal to 600"},
		{`failover: {recoverySeconds: 1.5}`, "must be of type integer"},
		{`playback: {order: []}`, "should have at least 1 items"},
		{`playback: {order: [WebRTC, DASH]}`, `supported values: "WebRTC", "HLS"`},
		{`playback: {auth: Basic}`, `supported values: "None", "Token", "JWT"`},
		{`publish: {auth: JWT}`, `supported values: "Token", "None"`},
		{`mediaServer: {egress: None}`, `supported values: "Unrestricted", "Restricted"`},
		{`publish: {replacedTokenGraceSeconds: 86401}`, "should be less than or equal to 86400"},
		{`playback: {replacedTokenGraceSeconds: -1}`, "should be greater than or equal to 0"},
		{`exposure: {http: {trustedProxies: [10.0.0.0/8, 10.0.0.0/8]}}`, "Duplicate value"},
		{`publish: {tokenGeneration: -1}`, "should be greater than or equal to 0"},
		{`exposure: {rtmp: {type: HostPort}}`, `supported values: "ClusterIP", "NodePort", "LoadBalancer"`},
		{`exposure: {webrtc: {type: HostPort, hostPorts: {primary: 8189}}}`, "hostPorts.backup: Required value"},
		{`exposure: {webrtc: {type: HostPort, hostPorts: {primary: 0, backup: 70000}}}`, "should be less than or equal to 65535"},
		{`mediaServer: {drainTimeoutSeconds: 3601}`, "should be less than or equal to 3600"},
		{`mediaServer: {iceServers: [{urls: []}]}`, "should have at least 1 items"},
		{`mediaServer: {tolerations: [{operator: Exists}], antiAffinity: Soft}`, `supported values: "Preferred", "Required", "None"`},
		{`objectLabels: {a: "b c"}`, "should match"},
		{`mediaServer: {podLabels: {a: ` + strings.Repeat("a", 64) + `}}`, "Too long"},
		{`mediaServer: {podAnnotations: {a: ` + strings.Repeat("a", 4097) + `}}`, "Too long"},
		{`notifications: [{name: a, url: "https://a.example.com"}]`, "notifications[0].keySecretRef: Required value"},
		{`notifications: [{name: a, url: "https://a.example.com", keySecretRef: {name: k}, events: []}]`, "should have at least 1 items"},
		{`notifications: [{name: a, url: "https://a.example.com", keySecretRef: {name: k}, events: [Party]}]`, `supported values: "OnAir", "Dark"`},
		{`notifications: [{name: a, url: "https://a.example.com", keySecretRef: {name: k}}, {name: a, url: "https://b.example.com", keySecretRef: {name: k}}]`, "Duplicate value"},
		{`paused: "yes"`, "must be of type boolean"},
	} {
		_, errs := d.judge(t, manifest(t, "demo", tt.spec))
		if err := errs.ToAggregate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want …%s…", tt.spec, err, tt.want)
		}
	}
}

// The texts of a spec are judged twice: by CEL and by Go. This looks for one that only
// one of them accepts.
func TestTheDefinitionAndValidateAgreeOnAnyText(t *testing.T) {
	d := loadDefinition(t)
	seeds := []string{
		"live", "a.b-c_d", "https://live.example.com:8443/tv/", "http://[2001:db8::1]:80", "203.0.113.7:30189:30190", "[2001:db8::1]:1:65535",
		"2001:db8::1", "::ffff:10.0.0.1", "fe80::1%eth0", "127.0.0.1", "255.255.255.255", "ff02::1", "0.0.0.0", "10.0.0.0/8", "2001:db8::/32",
		"::ffff:10.0.0.0/104", "host.example.com:1935", "stun:stun.example.com:3478", "service.k8s.aws/nlb", "registry:5000/a/b@sha256:0", "A", "-", "",
		"example.com/owner", "app.kubernetes.io/name", "media.streampair.dev/pair", "cluster-autoscaler.kubernetes.io/safe-to-evict",
	}
	fields := map[string]func(*StreamPair, string){
		"name":           func(p *StreamPair, s string) { p.Name = s },
		"app":            func(p *StreamPair, s string) { p.Spec.App = s },
		"streamID":       func(p *StreamPair, s string) { p.Spec.Primary.StreamID = s },
		"externalURL":    func(p *StreamPair, s string) { p.Spec.Playback.ExternalURL = s },
		"origin":         func(p *StreamPair, s string) { p.Spec.Playback.AllowedOrigins = []string{s} },
		"tlsSecretName":  func(p *StreamPair, s string) { p.Spec.Playback.TLSSecretName = s },
		"tokenSecretRef": func(p *StreamPair, s string) { p.Spec.Publish.TokenSecretRef = &SecretReference{Name: s} },
		"http address": func(p *StreamPair, s string) {
			p.Spec.Exposure.HTTP.ExternalAddresses = &LegAddresses{Primary: []string{s}}
		},
		"media address": func(p *StreamPair, s string) {
			p.Spec.Exposure.WebRTC.ExternalAddresses = &LegAddresses{Backup: []string{"10.0.0.1", s}}
		},
		"source range": func(p *StreamPair, s string) {
			p.Spec.Exposure.RTMP = ServiceExposure{Type: ExposureLoadBalancer, LoadBalancer: &LoadBalancerExposure{SourceRanges: []string{s}}}
		},
		"trusted proxy": func(p *StreamPair, s string) { p.Spec.Exposure.HTTP.TrustedProxies = []string{s} },
		"class": func(p *StreamPair, s string) {
			p.Spec.Exposure.HTTP.ServiceExposure = ServiceExposure{Type: ExposureLoadBalancer, LoadBalancer: &LoadBalancerExposure{Class: s}}
		},
		"image": func(p *StreamPair, s string) { p.Spec.MediaServer.Image = s },
		"pull secret": func(p *StreamPair, s string) {
			p.Spec.MediaServer.ImagePullSecrets = []corev1.LocalObjectReference{{Name: s}}
		},
		"label key":      func(p *StreamPair, s string) { p.Spec.ObjectLabels = Labels{s: "x"} },
		"label value":    func(p *StreamPair, s string) { p.Spec.MediaServer.PodLabels = Labels{"a": LabelValue(s)} },
		"annotation key": func(p *StreamPair, s string) { p.Spec.MediaServer.PodAnnotations = Annotations{s: "x"} },
		"priorityClass":  func(p *StreamPair, s string) { p.Spec.MediaServer.PriorityClassName = s },
		"receiver": func(p *StreamPair, s string) {
			p.Spec.Notifications = []Notification{{Name: s, URL: "https://a.example.com", KeySecretRef: SecretReference{Name: "k"}}}
		},
		"receiver URL": func(p *StreamPair, s string) {
			p.Spec.Notifications = []Notification{{Name: "a", URL: s, KeySecretRef: SecretReference{Name: "k"}}}
		},
		"ICE URL": func(p *StreamPair, s string) { p.Spec.MediaServer.ICEServers = []ICEServer{{URLs: []string{s}}} },
	}
	names := slices.Sorted(maps.Keys(fields))
	accepted, refused := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.SampledFrom(names).Draw(r, "field")
		// A seed with a piece of it replaced: what is nearly right finds more than noise.
		text := rapid.SampledFrom(seeds).Draw(r, "seed")
		for range rapid.IntRange(0, 2).Draw(r, "edits") {
			from := rapid.IntRange(0, len(text)).Draw(r, "from")
			to := min(len(text), from+rapid.IntRange(0, 2).Draw(r, "length"))
			text = text[:from] + rapid.StringMatching(`[]\[:./%@?#_ \nA0a1f5-]{0,3}`).Draw(r, "piece") + text[to:]
		}
		change := func(p *StreamPair) { fields[name](p, text) }
		_, errs := d.judge(t, document(t, change))
		mistakes := valid(change).ValidateNew()
		if (len(errs) == 0) != (len(mistakes) == 0) {
			r.Fatalf("%s %q: the definition finds %v, ValidateNew %v", name, text, errs.ToAggregate(), mistakes.ToAggregate())
		}
		if len(errs) == 0 {
			accepted++
		} else {
			refused++
		}
	})
	t.Logf("%d accepted, %d refused", accepted, refused)
}
