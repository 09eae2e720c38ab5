package kubetest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/kubetest"
)

// manifest returns a StreamPair as a user writes it.
func manifest(name, spec string) string {
	return "apiVersion: media.streampair.dev/v1alpha1\nkind: StreamPair\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
}

const legs = `primary: {streamID: studio-a}, backup: {streamID: studio-b}`

// A user who made a mistake reads where it is and what to write instead.
func TestABadManifestIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	namespace := cluster.Namespace(t)

	for name, test := range map[string]struct {
		name string // of the pair; default "bad"
		spec string
		want []string
	}{
		"no backup": {
			spec: `primary: {streamID: studio-a}`,
			want: []string{"spec.backup", "Required value"},
		},
		"both legs with the same id": {
			spec: `primary: {streamID: studio}, backup: {streamID: studio}`,
			want: []string{"spec.backup.streamID", "primary.streamID and backup.streamID must differ", "give the backup's encoder an id of its own"},
		},
		"a stream id that is no path segment": {
			spec: `primary: {streamID: studio/a}, backup: {streamID: studio-b}`,
			want: []string{"spec.primary.streamID", "use 1 to 128 letters, digits, '.', '_' and '-', starting with a letter or digit"},
		},
		"an empty stream id": {
			spec: `primary: {streamID: ""}, backup: {streamID: studio-b}`,
			want: []string{"spec.primary.streamID", "at least 1"},
		},
		"an app that is no path segment": {
			spec: `app: "..", ` + legs,
			want: []string{"spec.app", "use 1 to 64 letters, digits, '.', '_' and '-', starting with a letter or digit"},
		},
		"a name of 51 characters": {
			name: "a" + strings.Repeat("b", 50),
			spec: legs,
			want: []string{"metadata.name must be at most 50 characters"},
		},
		"a name that begins with a digit": {
			name: "4k",
			spec: legs,
			want: []string{"metadata.name", "starting with a letter"},
		},
		"an input loss shorter than any network's hiccup": {
			spec: legs + `, failover: {inputLossMilliseconds: 50}`,
			want: []string{"spec.failover.inputLossMilliseconds", "greater than or equal to 100"},
		},
		"a negative recovery": {
			spec: legs + `, failover: {recoverySeconds: -1}`,
			want: []string{"spec.failover.recoverySeconds", "greater than or equal to 0"},
		},
		"an unknown mode": {
			spec: legs + `, failover: {mode: Fast}`,
			want: []string{"spec.failover.mode", `supported values: "Sticky", "PreferPrimary", "Manual"`},
		},
		"a pin of lower case": {
			spec: legs + `, failover: {select: primary}`,
			want: []string{"spec.failover.select", `supported values: "Auto", "Primary", "Backup"`},
		},
		"a field with a spelling mistake": {
			spec: legs + `, failover: {recoverySecond: 5}`,
			want: []string{`unknown field "spec.failover.recoverySecond"`},
		},
		"a load balancer's settings on a ClusterIP": {
			spec: legs + `, exposure: {rtmp: {type: ClusterIP, loadBalancer: {mixedProtocol: true}}}`,
			want: []string{"spec.exposure.rtmp.loadBalancer", "loadBalancer may be set only with type LoadBalancer: set the type, or remove loadBalancer"},
		},
		"a load balancer's settings without a type": {
			spec: legs + `, exposure: {webrtc: {loadBalancer: {mixedProtocol: true}}}`,
			want: []string{"spec.exposure.webrtc.loadBalancer", "loadBalancer may be set only with type LoadBalancer"},
		},
		"HostPort without ports": {
			spec: legs + `, exposure: {webrtc: {type: HostPort}}`,
			want: []string{"spec.exposure.webrtc", "type HostPort needs a port for each leg: set hostPorts, such as {primary: 8189, backup: 8190}"},
		},
		"ports without HostPort": {
			spec: legs + `, exposure: {webrtc: {type: NodePort, hostPorts: {primary: 8189, backup: 8190}}}`,
			want: []string{"spec.exposure.webrtc.hostPorts", "hostPorts may be set only with type HostPort: set the type, or remove hostPorts"},
		},
		"one host port for both legs": {
			spec: legs + `, exposure: {webrtc: {type: HostPort, hostPorts: {primary: 8189, backup: 8189}}}`,
			want: []string{"spec.exposure.webrtc.hostPorts", "hostPorts.primary and hostPorts.backup must differ"},
		},
		"HostPort for encoders": {
			spec: legs + `, exposure: {rtmp: {type: HostPort}}`,
			want: []string{"spec.exposure.rtmp.type", `supported values: "ClusterIP", "NodePort", "LoadBalancer"`},
		},
		"a network without its length": {
			spec: legs + `, exposure: {rtmp: {type: LoadBalancer, loadBalancer: {sourceRanges: [203.0.113.0]}}}`,
			want: []string{"spec.exposure.rtmp.loadBalancer.sourceRanges", "must be in CIDR notation, such as 203.0.113.0/24"},
		},
		"a host name as a media address": {
			spec: legs + `, exposure: {webrtc: {externalAddresses: {primary: [media.example.com]}}}`,
			want: []string{"spec.exposure.webrtc.externalAddresses.primary", "IP[:udpPort[:tcpPort]], such as 203.0.113.7:30189"},
		},
		"an external URL without its scheme": {
			spec: legs + `, playback: {externalURL: live.example.com}`,
			want: []string{"spec.playback.externalURL", "must be an http:// or https:// URL", "such as https://live.example.com"},
		},
		"an external URL with a query": {
			spec: legs + `, playback: {externalURL: "https://live.example.com/?a=b"}`,
			want: []string{"spec.playback.externalURL", "without user, query and fragment"},
		},
		"no way to play": {
			spec: legs + `, playback: {order: []}`,
			want: []string{"spec.playback.order", "at least 1 item"},
		},
		"a way to play twice": {
			spec: legs + `, playback: {order: [HLS, HLS]}`,
			want: []string{"spec.playback.order", "order must name each way to play once, such as [WebRTC, HLS]"},
		},
		"an unknown way to play": {
			spec: legs + `, playback: {order: [RTSP]}`,
			want: []string{"spec.playback.order[0]", `supported values: "WebRTC", "HLS"`},
		},
		"a token that nobody is asked for": {
			spec: legs + `, playback: {tokenSecretRef: {name: keys}}`,
			want: []string{"spec.playback.tokenSecretRef", "set auth to Token or JWT"},
		},
		"a STUN server without its scheme": {
			spec: legs + `, mediaServer: {iceServers: [{urls: ["stun.example.com:3478"]}]}`,
			want: []string{"spec.mediaServer.iceServers[0].urls[0]", "must begin with stun:, stuns:, turn: or turns:"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := test.name
			if pair == "" {
				pair = "bad"
			}
			_, err := cluster.KubectlInput(t, manifest(pair, test.spec), "-n", namespace, "apply", "-f", "-")
			if err == nil {
				t.Fatal("the API server took it")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestAChangeForTheWorseIsRefused(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	namespace := cluster.Namespace(t)
	apply(t, cluster, namespace, manifest("sunday", legs))

	_, err := cluster.KubectlInput(t, "", "-n", namespace, "patch", "sp", "sunday", "--type=merge",
		"-p", `{"spec":{"backup":{"streamID":"studio-a"}}}`)
	if err == nil || !strings.Contains(err.Error(), "must differ") {
		t.Errorf("a backup with the primary's id: %v, want it refused", err)
	}
	// A patch by an operator, or by a person in a hurry, leaves the other fields as they are.
	cluster.Kubectl(t, "-n", namespace, "patch", "sp", "sunday", "--type=merge", "-p", `{"spec":{"failover":{"select":"Backup"}}}`)
	if got := pairOf(t, cluster, namespace, "sunday"); got.Spec.Failover.Select != v1alpha1.SelectBackup || got.Generation != 2 {
		t.Errorf("after the pin: select %s, generation %d", got.Spec.Failover.Select, got.Generation)
	}
}

// The media server uses Default for manifests that no API server has processed. Default
// and the API server must agree. Otherwise a pair would behave differently in a cluster.
func TestTheAPIServerFillsInWhatDefaultDoes(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	namespace := cluster.Namespace(t)

	for name, spec := range map[string]string{
		"smallest":         legs,
		"empty-parts":      legs + `, failover: {}, playback: {}, publish: {}, exposure: {http: {}, rtmp: {}, webrtc: {}}, mediaServer: {}`,
		"parts-of-parts":   legs + `, failover: {mode: PreferPrimary}, playback: {order: [HLS]}, exposure: {rtmp: {type: NodePort}}, mediaServer: {antiAffinity: None}`,
		"zeros-that-count": legs + `, failover: {recoverySeconds: 0}, mediaServer: {drainTimeoutSeconds: 0, nodeLossTolerationSeconds: 0}`,
		"everything-set": `app: studio, ` + legs + `, paused: true, ` +
			`failover: {mode: PreferPrimary, select: Backup, inputLossMilliseconds: 800, recoverySeconds: 20}, ` +
			`playback: {order: [HLS, WebRTC], externalURL: "https://live.example.com", tlsSecretName: tls, auth: JWT, tokenSecretRef: {name: keys}, legacyClients: Stream}, ` +
			`publish: {auth: None, tokenSecretRef: {name: keys}, tokenGeneration: 3}, ` +
			`exposure: {http: {type: NodePort}, ` +
			`rtmp: {type: LoadBalancer, loadBalancer: {class: service.k8s.aws/nlb, sourceRanges: [203.0.113.0/24], annotations: {a: b}}}, ` +
			`webrtc: {type: HostPort, hostPorts: {primary: 8189, backup: 8190}, externalAddresses: {primary: ["203.0.113.7:30189:30190"], backup: ["[2001:db8::7]:8189"]}}}, ` +
			`mediaServer: {image: "registry.example.com/media:1", antiAffinity: Required, drainTimeoutSeconds: 5, nodeLossTolerationSeconds: 5, updatePolicy: Auto, ` +
			`iceServers: [{urls: ["stun:stun.example.com:3478"]}], nodeSelector: {disk: fast}, resources: {limits: {memory: 1Gi}}, tolerations: [{key: media, operator: Exists}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := manifest(name, spec)
			apply(t, cluster, namespace, text)

			var want v1alpha1.StreamPair
			if err := yaml.UnmarshalStrict([]byte(text), &want); err != nil {
				t.Fatal(err)
			}
			want.Default()
			if diff := cmp.Diff(want.Spec, pairOf(t, cluster, namespace, name).Spec); diff != "" {
				t.Errorf("spec by Default (-) and by the API server (+):\n%s", diff)
			}
		})
	}
}

func TestTheSamplesAreAccepted(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, sample := range samples {
		switch filepath.Base(sample) {
		case "kustomization.yaml":
			continue
		case "httproute.yaml": // of the Gateway API, which hack/charttest makes its API server know
			continue
		}
		t.Run(filepath.Base(sample), func(t *testing.T) {
			t.Parallel()
			cluster.Kubectl(t, "-n", cluster.Namespace(t), "apply", "-f", sample)
		})
	}
}

// This is what a newcomer reads who only has kubectl.
func TestKubectlExplainTeaches(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)

	for field, want := range map[string][]string{
		"streampair":      {"one programme fed by two encoders", "at most 50 characters"},
		"streampair.spec": {"how the pair is reached from outside the cluster", "paused stops the pair"},
		"streampair.spec.failover": {
			"The media servers decide by themselves", "Sticky", "PreferPrimary", "Damping",
			"how long a connected encoder may be silent", "never takes the picture away",
		},
		"sp.spec.exposure.webrtc.hostPorts": {"same number on UDP and TCP"},
		"sp.status.ingest.rtmp":             {"without a token"},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			out := cluster.Kubectl(t, "explain", field)
			text := strings.Join(strings.Fields(out), " ") // kubectl breaks the lines
			for _, want := range want {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if strings.Contains(text, "<no description>") {
				t.Errorf("something has no description:\n%s", out)
			}
		})
	}
}

func TestKubectlGetShowsThePair(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t)
	namespace := cluster.Namespace(t)
	apply(t, cluster, namespace, manifest("sunday", legs))

	pair := pairOf(t, cluster, namespace, "sunday")
	pair.Status.ActiveStream = &v1alpha1.ActiveStream{
		Role: v1alpha1.RoleBackup, StreamID: "studio-b", StartTime: metav1.NewTime(time.Unix(1e9, 0)), Reason: "PrimaryInputLost",
	}
	pair.Status.PlaybackURL = "https://live.example.com/live/play.html?name=studio-a"
	for condition, status := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: metav1.ConditionTrue, v1alpha1.ConditionOnAir: metav1.ConditionTrue,
		v1alpha1.ConditionRedundant: metav1.ConditionFalse,
	} {
		meta.SetStatusCondition(&pair.Status.Conditions, metav1.Condition{Type: condition, Status: status, Reason: "Test"})
	}
	if err := cluster.Client(t, nil).Status().Update(t.Context(), pair); err != nil {
		t.Fatal(err)
	}

	wide := table(cluster.Kubectl(t, "-n", namespace, "get", "sp", "-o", "wide"))
	for column, want := range map[string]string{
		"NAME": "sunday", "ACTIVE": "Backup", "ON AIR": "True", "REDUNDANT": "False", "READY": "True", "REASON": "Test",
		"URL": pair.Status.PlaybackURL,
	} {
		if got := wide[column]; got != want {
			t.Errorf("column %s has %q, want %q", column, got, want)
		}
	}
	if narrow := table(cluster.Kubectl(t, "-n", namespace, "get", "streampairs")); narrow["URL"] != "" || narrow["AGE"] == "" {
		t.Errorf("without -o wide it shows %v", narrow)
	}

	// The status is invalid for a pair.
	pair.Status.ActiveStream.Role = "Both"
	if err := cluster.Client(t, nil).Status().Update(t.Context(), pair); err == nil {
		t.Error("the API server took an unknown role into status")
	}
	for selector, want := range map[string]string{
		"status.activeStream.role=Backup":  "streampair.media.streampair.dev/sunday\n",
		"status.activeStream.role=Primary": "",
		"spec.primary.streamID=studio-a":   "streampair.media.streampair.dev/sunday\n",
	} {
		if got := cluster.Kubectl(t, "-n", namespace, "get", "sp", "-o", "name", "--field-selector", selector); got != want {
			t.Errorf("with %s kubectl lists %q, want %q", selector, got, want)
		}
	}
	if out := cluster.Kubectl(t, "-n", namespace, "get", "all", "-o", "name"); !strings.Contains(out, "/sunday") {
		t.Errorf("kubectl get all shows only %q", out)
	}
}

// table reads the first row that kubectl get prints below its header, by column.
func table(out string) map[string]string {
	lines := strings.Split(out, "\n")
	if len(lines) < 2 {
		return nil
	}
	header, cells := lines[0], make(map[string]string)
	// Three spaces separate columns. A title may contain a single space.
	for start := 0; start < len(header); {
		end := len(header)
		if gap := strings.Index(header[start:], "   "); gap >= 0 {
			end = start + gap + 3
			for end < len(header) && header[end] == ' ' {
				end++
			}
		}
		cell := lines[1][min(start, len(lines[1])):]
		if end < len(header) {
			cell = lines[1][min(start, len(lines[1])):min(end, len(lines[1]))]
		}
		cells[strings.TrimSpace(header[start:end])] = strings.TrimSpace(cell)
		start = end
	}
	return cells
}

func apply(t *testing.T, cluster *kubetest.Cluster, namespace, text string) {
	t.Helper()
	if _, err := cluster.KubectlInput(t, text, "-n", namespace, "apply", "-f", "-"); err != nil {
		t.Fatal(fmt.Errorf("%w\n%s", err, text))
	}
}

func pairOf(t *testing.T, cluster *kubetest.Cluster, namespace, name string) *v1alpha1.StreamPair {
	t.Helper()
	var pair v1alpha1.StreamPair
	if err := cluster.Client(t, nil).Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, &pair); err != nil {
		t.Fatal(err)
	}
	return &pair
}
