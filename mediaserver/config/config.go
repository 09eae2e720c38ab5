// Package config is what the media server is told when it starts, and what it is told
// again while it runs: flags, environment variables, and StreamPair manifests. It
// judges all of it, so that the rest of the server meets only what is right, and
// returns every mistake at once. It opens no port and starts nothing.
//
// Every flag has an environment variable of the same name, in capitals and with
// underscores: --rtmp-address is RTMP_ADDRESS. A flag wins over its variable, and an
// empty variable counts as none. A flag that may be repeated takes a list with commas
// from its variable: PAIR=a.yaml,b.yaml.
//
// A manifest is a YAML file with one or more StreamPair documents, as for a cluster,
// and, where tokens are to be chosen, Secret documents beside them: see
// [ParseManifest].
//
// In a cluster the same server runs with --role, the manifest is a file of a ConfigMap, and
// the Secrets that it names are folders of files below --secrets. All these files are
// read again when they change: see [Files].
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

// Config is all that the server is told when it starts. An address is host:port, where
// port 0 picks a free one; an empty address closes that surface;
// WebRTC's is required.
type Config struct {
	Manifest Manifest // the pairs of all --pair files; none: pairs are made on demand

	RTMPAddress    string // TCP; default :1935
	RTMPSAddress   string // TCP; default empty
	HTTPAddress    string // TCP; default :5080
	HTTPSAddress   string // TCP; default :5443
	WebRTCAddress  string // UDP and TCP, the same number; default :8189
	ProbeAddress   string // TCP; default :9090
	HealthAddress  string // TCP, for the kubelet's probes alone; default DefaultHealthAddress where Role is set, else empty
	ControlAddress string // TCP, loopback unless Control has files; default 127.0.0.1:9091
	// RelayAddress is where the other leg's server connects to, TCP; default :9092 with Role
	// and Control's files, unless PeerInsecure, else empty.
	RelayAddress string

	// TLSCert and TLSKey are PEM files for HTTPS and RTMPS; both empty: self-signed. They
	// may be missing or wrong only where Role is set.
	TLSCert, TLSKey string

	// Files are what Manifest was read from; Sources is what they held.
	Files   Files
	Sources []Source

	// Control protects the command port; all empty: the port is for this machine alone.
	Control ControlFiles

	// Role is the leg that this media pod ingests; empty: standalone, both.
	Role v1alpha1.Role
	// Peer is the base URL of the other leg's server, without a slash at its end; empty: none.
	// It is https, or http with PeerInsecure. In a pod that the operator has made, see
	// Pod.IsMade, it is http and names the other server. That server is asked over TLS on
	// RelayPort, unless the operator says that it is of a version before.
	Peer string
	// PeerInsecure says that the servers of the pair speak in clear, with the token alone.
	PeerInsecure bool
	// PeerTLSCert is a PEM file with the certificate that the other leg's server shows;
	// empty: the same as Control.TLSCert.
	PeerTLSCert string
	// Pod is what the Downward API tells of the pod; all empty outside a cluster.
	Pod Pod

	// DrainTimeout is how long an ending server waits at most until its viewers have left
	// and no other server needs what is published here; default 0: not at all.
	DrainTimeout time.Duration

	// AdvertiseAddresses are told to browsers beside the addresses of this machine.
	AdvertiseAddresses []v1alpha1.MediaAddress

	// TrustedProxies may say by X-Forwarded-For, or by the PROXY protocol, whom they speak for,
	// besides those that the manifest trusts.
	TrustedProxies []netip.Prefix

	// MaxViewers is how many WHEP sessions there may be at a time; players of FLV come in
	// while there are fewer of both. Default 1000, 0: no limit.
	MaxViewers    int
	MaxTranscodes int // ffmpeg children at a time; default 4, 0: none

	LogFormat string     // text or json; default text
	LogLevel  slog.Level // default info
}

// DefaultHealthAddress is where a media pod serves the kubelet's probes, unless it is told
// otherwise.
const DefaultHealthAddress = ":9093"

// ControlFiles are what the command port is opened with beyond loopback.
type ControlFiles struct {
	TLSCert, TLSKey string // PEM files
	TokenFile       string // bearer token, of the other leg's pod too
}

// RelayPort is where the media pods of a pair take each other's connections. The operator
// does not say so: an image of a version before would refuse an argument that it does not
// know.
const RelayPort = 9092

// Pod is where the server runs.
type Pod struct {
	Name string     // $POD_NAME
	Node string     // $NODE_NAME
	IP   netip.Addr // $POD_IP; told to browsers beside other addresses
}

// IsMade reports whether the operator has made the pod: it gives a pod its name and address
// in the environment.
func (p Pod) IsMade() bool { return p.Name != "" && p.IP.IsValid() }

// More than this helps nobody, and a request could ask for a million.
const (
	maxMistakes     = 100 // lines
	maxMistakeBytes = 500 // of one line
)

// Mistakes are all that is wrong with a configuration, one line each, with the flag or
// the file and field it is about.
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

// err returns nil when there are none: a nil Mistakes in an error is not a nil error.
// Of very many it keeps the first.
func (m Mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	if more := len(m) - maxMistakes; more > 0 {
		return append(m[:maxMistakes:maxMistakes], fmt.Sprintf("and %d mistakes more", more))
	}
	return m
}

// Load reads the command line without the program's name, the environment as os.Environ
// gives it, and the files they name.
//
// Errors: flag.ErrHelp when help was asked for (print [Usage]), else [Mistakes].
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

// NewLogger returns a logger to w in the format and from the level that c asks for.
func (c Config) NewLogger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == logJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// read sets what the environment says.
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
