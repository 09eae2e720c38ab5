// Package config reads and checks the media server's configuration: flags,
// environment variables and StreamPair manifests, at the start and again while
// the server runs. The rest of the server only gets valid configuration. All
// mistakes are returned at once. The package opens no port and starts nothing.
//
// Every flag has an environment variable of the same name, in capitals
// and with underscores: --rtmp-address is RTMP_ADDRESS. A flag overrides
// its variable. An empty variable counts as unset. For a flag that may
// be repeated, the variable has a list with commas: PAIR=a.yaml,b.yaml.
//
// A manifest is a YAML file with one or more StreamPair documents, as for a
// cluster. Secret documents beside them choose the tokens: see [ParseManifest].
//
// In a cluster the same server runs with --role. The manifest is a file of
// a ConfigMap, and the Secrets that it names are folders of files below
// --secrets. All these files are read again when they change: see [Files].
//
// Start at [Load].
package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
)

// Bounds of Config.WebRTCPacketBytes. With the most, what encryption, UDP and IPv6 add fits into 1500.
const minPacketBytes, maxPacketBytes = 500, 1400

// maxEgressMegabits bounds --max-egress: a terabit a second.
const maxEgressMegabits = 1_000_000

// Config is all that the server is told when it starts. An address
// is host:port. Port 0 picks a free port. An empty address switches
// the listener off, except WebRTCAddress, which is required.
type Config struct {
	Manifest Manifest // the pairs of all --pair files; none: pairs are made on demand

	RTMPAddress    string // TCP; default :1935
	RTMPSAddress   string // TCP; default empty
	SRTAddress     string // UDP; default :8890, or empty with Role
	HTTPAddress    string // TCP; default :5080
	HTTPSAddress   string // TCP; default :5443
	WebRTCAddress  string // UDP and TCP, the same number; default :8189
	ProbeAddress   string // TCP; default :9090
	HealthAddress  string // TCP, only for the kubelet's probes; default DefaultHealthAddress with Role, else empty
	ControlAddress string // TCP, for the kubelet's probes; default DefaultHealthAddress with Role, else empty
	// MonitorAddress is a loopback address, by TCP, for those who read status, measures and
	// thumbnails without a token. Default: DefaultMonitorAddress with Role in a pod, see Pod.IsMade,
	// else empty.
	MonitorAddress string
	// RelayAddress is where the other leg's server connects, by TCP. Default:
	// :9092 with Role and Control's files and without PeerInsecure, else empty.
	RelayAddress string

	// TLSCert and TLSKey are PEM files for HTTPS and RTMPS; both empty:
	// self-signed. Only with Role may the files be missing or invalid.
	TLSCert, TLSKey string

	// Files are the files of Manifest. Sources are their contents.
	Files   Files
	Sources []Source

	// Control protects the command port. All empty: only this machine may use the port.
	Control ControlFiles

	// Role is the leg that this media pod ingests.
	// Empty: the server is standalone, with both legs.
	Role v1alpha1.Role
	// Peer is the base URL of the other leg's server, without a slash at the end; empty:
	// none. It is https, or http with PeerInsecure. In a pod made by the operator (see
	// Pod.IsMade) it is http and only names the other server. That server is reached
	// over TLS on RelayPort, unless the operator says that it is of an earlier version.
	Peer string
	// PeerInsecure says that the pair's servers relay in clear, protected by the token only.
	PeerInsecure bool
	// PeerTLSCert is a PEM file with the certificate of
	// the other leg's server; empty: Control.TLSCert.
	PeerTLSCert string
	// Pod is what the Downward API says of the pod; all empty outside a cluster.
	Pod Pod

	// DrainTimeout bounds how long an ending server waits until its viewers have
	// left and no other server needs its streams. Default 0: it does not wait.
	DrainTimeout time.Duration

	// AdvertiseAddresses are told to browsers, beside the addresses of this machine.
	AdvertiseAddresses []v1alpha1.MediaAddress

	// TrustedProxies may name the clients that they speak for, by X-Forwarded-For
	// or the PROXY protocol. The manifest may trust more proxies.
	TrustedProxies []netip.Prefix

	// JWKSNetworks have the private addresses at which the URLs of
	// JSON Web Key Sets may be. Default: only public addresses are called.
	JWKSNetworks []netip.Prefix

	// MaxViewers bounds the WHEP sessions at a time. A player of FLV is only admitted while
	// WHEP sessions and players of FLV together are fewer. Default 1000; 0: no limit.
	MaxViewers int
	// MaxEgressMegabits is the rate, in Mbit/s, above which pictures that joins and switches repeat
	// wait. Live pictures never wait. Default 1000.
	MaxEgressMegabits int
	// MaxTranscodes bounds how many streams are re-encoded at a time.
	// Each may have up to 3 ffmpeg processes: for its video, for a
	// change of its parameters, and for its sound. Default 4; 0: none.
	MaxTranscodes int
	// MaxAnalysers bounds how many streams' pictures are watched at a time, each by an
	// ffmpeg process. Default 4; 0: none.
	MaxAnalysers int

	// WebRTCPacketBytes is the size of the largest RTP packet to a viewer, 500 to 1400
	// bytes. Default 1200.
	WebRTCPacketBytes int

	// NoViewerReports turns off the reports of players on what their viewers see.
	NoViewerReports bool

	HLS HLS

	LogFormat string     // text or json; default text
	LogLevel  slog.Level // default info
}

// HLS says how HLS is served.
type HLS struct {
	// Off reports whether HLS is not served. Default: it is served on demand.
	Off bool
	// Segment, Part and Window are durations: of the shortest segment, of a part, and of what a
	// playlist has. Defaults 2 s, 250 ms, 30 s. Zero: the default of package hls.
	Segment, Part, Window time.Duration
}

// DefaultHealthAddress is where a media pod serves the kubelet's probes by default.
const DefaultHealthAddress = ":9093"

// DefaultMonitorAddress is where a media pod serves the control room by default.
// The port is control.MonitorPort.
const DefaultMonitorAddress = "127.0.0.1:9094"

// ControlFiles protect the command port, so that it may be opened beyond loopback.
type ControlFiles struct {
	TLSCert, TLSKey string // PEM files
	TokenFile       string // bearer token; the other leg's pod has the same one
}

// RelayPort is where the media pods of a pair accept each other's
// connections. The operator does not pass it as an argument, because
// an image of an earlier version would refuse an unknown argument.
const RelayPort = 9092

// Pod identifies the pod in which the server runs.
type Pod struct {
	Name string     // $POD_NAME
	Node string     // $NODE_NAME
	IP   netip.Addr // $POD_IP; told to browsers, beside other addresses
}

// IsMade reports whether the operator made the pod. The
// operator gives a pod its name and address in the environment.
func (p Pod) IsMade() bool { return p.Name != "" && p.IP.IsValid() }

// Bounds of a mistake list. Longer lists help nobody,
// and one request could cause a million mistakes.
const (
	maxMistakes     = 100 // lines
	maxMistakeBytes = 500 // of one line
)

// Mistakes are all that is wrong with a configuration, one line each.
// A line names the flag, or the file and field, that it is about.
type Mistakes []string

// Error returns the mistakes as lines.
func (m Mistakes) Error() string { return strings.Join(m, "\n") }

func (m *Mistakes) add(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if len(line) > maxMistakeBytes {
		line = strings.ToValidUTF8(line[:maxMistakeBytes], "") + "…"
	}
	*m = append(*m, line)
}

// err returns nil if there are no mistakes, because a nil Mistakes in an
// error is not a nil error. Of very many mistakes err keeps the first ones.
func (m Mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	if more := len(m) - maxMistakes; more > 0 {
		return append(m[:maxMistakes:maxMistakes], fmt.Sprintf("and %d mistakes more", more))
	}
	return m
}

// Load reads the command line without the program's name, the
// environment in the form of os.Environ, and the files that both name.
//
// The error is flag.ErrHelp if help was asked for (then print [Usage]), otherwise [Mistakes].
func Load(args, env []string) (Config, error) {
	flags := newFlags()
	if err := flags.parse(args, env); err != nil {
		return Config{}, err
	}
	var pod Pod
	wrongPod := pod.read(env)
	cfg, mistakes := flags.config(pod)
	mistakes = append(mistakes, wrongPod...)
	sources, unread := readFiles(flags.pairs)
	mistakes = append(mistakes, unread...)
	manifest, wrong := cfg.Files.parse(Manifest{}, sources)
	mistakes = append(mistakes, wrong...)
	cfg.Manifest, cfg.Sources = manifest, sources
	if err := mistakes.err(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// NewLogger returns a logger to w with c's format and level.
func (c Config) NewLogger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == logJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// read sets the fields from the environment.
func (p *Pod) read(env []string) Mistakes {
	var mistakes Mistakes
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case value == "":
		case name == "POD_NAME":
			p.Name = value
		case name == "NODE_NAME":
			p.Node = value
		case name == "POD_IP":
			ip, err := netip.ParseAddr(value)
			if err != nil {
				mistakes.add("$POD_IP: %q is no IP address", value)
				continue
			}
			p.IP = ip.Unmap()
		}
	}
	return mistakes
}
