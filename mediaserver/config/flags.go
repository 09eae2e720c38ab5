package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/admission"
)

const (
	logText = "text"
	logJSON = "json"

	// maxDrainTimeout is the upper bound of spec.mediaServer.drainTimeoutSeconds.
	maxDrainTimeout = v1alpha1.MaxDrainSeconds * time.Second
)

// flags is the command line as written. The method config checks it.
type flags struct {
	set *flag.FlagSet
	// fromEnvironment has the flags whose value came from a variable.
	// A mistake then names the variable that the user wrote.
	fromEnvironment map[string]bool
	given           map[string]bool // flags of the command line and of variables

	pairs         list
	advertise     list
	proxies       list
	jwksNetworks  list
	noReports     bool
	packetBytes   string
	addresses     []addressFlag
	tlsCert       string
	tlsKey        string
	secrets       string
	role          string
	peer          string
	peerInsecure  bool
	peerTLSCert   string
	control       ControlFiles
	drainTimeout  string
	maxViewers    string
	maxEgress     string
	maxTranscodes string
	maxAnalysers  string
	hls           hlsFlags
	logFormat     string
	logLevel      string
}

// An addressFlag is a flag whose value becomes one address of a Config.
type addressFlag struct {
	name  string
	value *string
	field func(*Config) *string
}

// list collects the values of a flag that may be repeated.
type list []string

// String returns the values, joined by commas.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds a value.
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// newFlags reads every value as text. The flag package would stop at
// the first invalid number, but all mistakes must be reported at once.
func newFlags() *flags {
	f := &flags{
		set:             flag.NewFlagSet("streampair-mediaserver", flag.ContinueOnError),
		fromEnvironment: map[string]bool{}, given: map[string]bool{},
	}
	f.set.SetOutput(io.Discard)
	f.set.Usage = func() {}

	f.set.Var(&f.pairs, "pair", "read StreamPairs from `FILE`; may be repeated. Without the flag, pairs are made from play URLs")
	f.address("rtmp-address", ":1935", "RTMP ingest on `ADDRESS`", func(c *Config) *string { return &c.RTMPAddress })
	f.address("rtmps-address", "", "RTMPS ingest on `ADDRESS`, such as :1936", func(c *Config) *string { return &c.RTMPSAddress })
	f.address("srt-address", ":8890", "SRT ingest on `ADDRESS`, UDP. Off by default with --role", func(c *Config) *string { return &c.SRTAddress })
	f.address("http-address", ":5080", "player, WHIP, WHEP and events on `ADDRESS`", func(c *Config) *string { return &c.HTTPAddress })
	f.address("https-address", ":5443", "player, WHIP, WHEP and events over TLS on `ADDRESS`", func(c *Config) *string { return &c.HTTPSAddress })
	f.set.StringVar(&f.tlsCert, "tls-cert", "", "certificate `FILE` (PEM) for HTTPS and RTMPS, read again when it changes. Without the flag the server makes a self-signed certificate. With --role it also does so while the file is missing or wrong")
	f.set.StringVar(&f.tlsKey, "tls-key", "", "key `FILE` (PEM) of --tls-cert")
	f.address("webrtc-address", ":8189", "WebRTC media on `ADDRESS`, UDP and TCP", func(c *Config) *string { return &c.WebRTCAddress })
	f.set.Var(&f.advertise, "advertise-address", "tell browsers `IP[:udpPort[:tcpPort]]` as the media address; may be repeated. Needed behind NAT")
	f.set.Var(&f.proxies, "trusted-proxies", "trust the client addresses that proxies in `NETWORKS` name by X-Forwarded-For or the PROXY protocol. NETWORKS is a list of CIDRs; may be repeated. Without the flag the manifest's proxies are trusted, or none")
	f.set.Var(&f.jwksNetworks, "jwks-networks", "let the URLs of JSON Web Key Sets (jwks.url) be at private addresses of `NETWORKS`, a list of CIDRs; may be repeated. Without the flag only public addresses are called")
	f.address("probe-address", ":9090", "/livez, /readyz and /metrics on `ADDRESS`", func(c *Config) *string { return &c.ProbeAddress })
	f.address("health-address", "", "/livez and /readyz alone on `ADDRESS`, for the kubelet's probes: each client address has places of its own. Without the flag "+DefaultHealthAddress+" with --role, and off without --role", func(c *Config) *string { return &c.HealthAddress })
	f.address("control-address", "127.0.0.1:9091", "status and commands on `ADDRESS`. It must be on loopback, unless the next three flags are given", func(c *Config) *string { return &c.ControlAddress })
	f.address("monitor-address", "", "status, measures and thumbnails on `ADDRESS`, without commands and without a token. It must be on loopback. Without the flag "+DefaultMonitorAddress+" in a pod of the operator, and off elsewhere", func(c *Config) *string { return &c.MonitorAddress })
	f.set.StringVar(&f.control.TLSCert, "control-tls-cert", "", "certificate `FILE` (PEM) of the command port")
	f.set.StringVar(&f.control.TLSKey, "control-tls-key", "", "key `FILE` (PEM) of --control-tls-cert")
	f.set.StringVar(&f.control.TokenFile, "control-token-file", "", "`FILE` with the bearer token of the command port. The media pods of a pair show it to each other too")
	f.set.StringVar(&f.secrets, "secrets", "", "read the Secrets that a StreamPair names from `DIR`/name/key")
	f.set.StringVar(&f.role, "role", "", "the leg whose encoder publishes here: `ROLE` is primary or backup. Without the flag both legs publish here")
	f.set.StringVar(&f.peer, "peer", "", "base `URL` of the other leg's media server, at its --relay-address, such as https://other:9092. Both servers prove by TLS who they are")
	f.set.StringVar(&f.peerTLSCert, "peer-tls-cert", "", "certificate `FILE` (PEM) that the other leg's media server shows: its --control-tls-cert. Without the flag it is the certificate of this server")
	f.set.BoolVar(&f.peerInsecure, "peer-insecure", false, "speak in clear with the other leg's media server. --peer is then an http URL of its --http-address. Anybody on the way can read and replace the streams")
	f.address("relay-address", fmt.Sprintf(":%d", RelayPort), "let the other leg's media server connect to `ADDRESS`. This needs --role and the three --control-… files", func(c *Config) *string { return &c.RelayAddress })
	f.set.StringVar(&f.drainTimeout, "drain-timeout", "0s", "when the server is told to end, wait at most `DURATION` until viewers and the other leg's server no longer need it")
	f.set.StringVar(&f.maxViewers, "max-viewers", "1000", "at most `N` viewers at a time; 0: no limit")
	f.set.StringVar(&f.maxEgress, "max-egress", "1000", "pictures that joins and switches repeat wait while viewers of WebRTC are sent more than `N` Mbit/s: what the network takes. Live pictures never wait")
	f.set.StringVar(&f.maxAnalysers, "max-analysers", "4", "watch the pictures of at most `N` streams of StreamPairs at a time, each by an ffmpeg process of at most 128 MiB; 0: none")
	f.set.StringVar(&f.maxTranscodes, "max-transcodes", "4", "re-encode at most `N` streams at a time, each with up to 3 ffmpeg processes; 0: none")
	f.set.StringVar(&f.packetBytes, "webrtc-packet-bytes", "1200", "RTP packets of at most `N` bytes to viewers, 500 to 1400. More saves some CPU, where the path to all viewers takes so much")
	f.set.BoolVar(&f.noReports, "no-viewer-reports", false, "take no reports of players on what their viewers see")
	f.hls.define(f.set)
	f.set.StringVar(&f.logFormat, "log-format", logText, "`FORMAT` of the log: text or json")
	f.set.StringVar(&f.logLevel, "log-level", "info", "the least `LEVEL` that is logged: debug, info, warn or error")
	return f
}

func (f *flags) address(name, value, usage string, field func(*Config) *string) {
	a := addressFlag{name: name, value: f.set.String(name, value, usage), field: field}
	f.addresses = append(f.addresses, a)
}

func (f *flags) parse(args, env []string) error {
	if err := f.set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return Mistakes{err.Error() + " (--help lists the flags)"}
	}
	if f.set.NArg() > 0 {
		return Mistakes{fmt.Sprintf("unexpected argument %q: a manifest is given with --pair", f.set.Arg(0))}
	}
	return f.parseEnvironment(env)
}

// parseEnvironment sets the flags that the command line does not set.
func (f *flags) parseEnvironment(env []string) error {
	f.set.Visit(func(one *flag.Flag) { f.given[one.Name] = true })
	variables := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		variables[name] = value
	}
	var errs []error
	f.set.VisitAll(func(one *flag.Flag) {
		value := variables[variable(one.Name)]
		if value == "" || f.given[one.Name] {
			return
		}
		f.fromEnvironment[one.Name], f.given[one.Name] = true, true
		values := []string{value}
		if _, repeatable := one.Value.(*list); repeatable {
			values = strings.Split(value, ",")
		}
		for _, value := range values {
			errs = append(errs, one.Value.Set(strings.TrimSpace(value)))
		}
	})
	return errors.Join(errs...)
}

// variable returns the name of a flag's environment variable.
func variable(flagName string) string {
	return strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// where returns the name of a flag, or of its variable if that was used.
func (f *flags) where(name string) string {
	if f.fromEnvironment[name] {
		return "$" + variable(name)
	}
	return "--" + name
}

// isGiven reports whether the flag or its variable was set.
func (f *flags) isGiven(name string) bool { return f.given[name] }

// config returns the Config of the flags, without the manifest, and all mistakes.
func (f *flags) config(pod Pod) (Config, Mistakes) {
	c := Config{Pod: pod}
	var mistakes Mistakes
	for _, a := range f.addresses {
		if err := checkAddress(*a.value); err != nil {
			mistakes.add("%s: %v", f.where(a.name), err)
		}
		*a.field(&c) = *a.value
	}
	f.cluster(&c, &mistakes)
	if c.WebRTCAddress == "" {
		mistakes.add("%s: must not be empty: nobody could watch", f.where("webrtc-address"))
	}
	c.TLSCert, c.TLSKey = f.tlsCert, f.tlsKey
	if (c.TLSCert == "") != (c.TLSKey == "") {
		mistakes.add("--tls-cert, --tls-key: give both or neither")
	}
	// A pod's TLS Secret may arrive after the pod starts. A
	// user who runs the server by hand has mistyped the name.
	if c.Role == "" {
		f.exist(map[string]string{"tls-cert": c.TLSCert, "tls-key": c.TLSKey}, &mistakes)
	}
	for _, text := range f.advertise {
		address, err := v1alpha1.ParseMediaAddress(text)
		if err != nil {
			mistakes.add("%s: %q: %v", f.where("advertise-address"), text, err)
			continue
		}
		if !slices.Contains(c.AdvertiseAddresses, address) {
			c.AdvertiseAddresses = append(c.AdvertiseAddresses, address)
		}
	}
	c.TrustedProxies = f.networks("trusted-proxies", &f.proxies, admission.ParseProxy, &mistakes)
	c.JWKSNetworks = f.networks("jwks-networks", &f.jwksNetworks, netip.ParsePrefix, &mistakes)
	c.MaxViewers = f.count("max-viewers", f.maxViewers, &mistakes)
	c.MaxEgressMegabits = f.countIn("max-egress", f.maxEgress, 1, maxEgressMegabits, &mistakes)
	c.MaxAnalysers = f.count("max-analysers", f.maxAnalysers, &mistakes)
	c.MaxTranscodes = f.count("max-transcodes", f.maxTranscodes, &mistakes)
	c.NoViewerReports = f.noReports
	c.WebRTCPacketBytes = f.countIn("webrtc-packet-bytes", f.packetBytes, minPacketBytes, maxPacketBytes, &mistakes)
	c.HLS = f.hls.config(f.where, &mistakes)
	c.LogFormat = f.logFormat
	if c.LogFormat != logText && c.LogFormat != logJSON {
		mistakes.add("%s: %q must be text or json", f.where("log-format"), f.logFormat)
	}
	level, ok := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[f.logLevel]
	if !ok {
		mistakes.add("%s: %q must be debug, info, warn or error", f.where("log-level"), f.logLevel)
	}
	c.LogLevel = level
	slices.Sort(mistakes)
	return c, mistakes
}

// networks parses the networks of a flag.
func (f *flags) networks(name string, value flag.Value, parse func(string) (netip.Prefix, error), mistakes *Mistakes) []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range strings.Split(value.String(), ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		network, err := parse(text)
		if err != nil {
			mistakes.add("%s: %v", f.where(name), err)
			continue
		}
		networks = append(networks, network)
	}
	return networks
}

// cluster checks the flags of a media pod.
func (f *flags) cluster(c *Config, mistakes *Mistakes) {
	c.Files = Files{Pairs: f.pairs, Secrets: f.secrets}
	if info, err := os.Stat(f.secrets); f.secrets != "" && err != nil {
		mistakes.add("%s: %v", f.where("secrets"), err)
	} else if f.secrets != "" && !info.IsDir() {
		mistakes.add("%s: %s is no folder", f.where("secrets"), f.secrets)
	}
	switch strings.ToLower(f.role) {
	case "":
	case "primary":
		c.Role = v1alpha1.RolePrimary
	case "backup":
		c.Role = v1alpha1.RoleBackup
	default:
		mistakes.add("%s: %q must be primary or backup", f.where("role"), f.role)
	}
	c.Files.Lenient = c.Role != ""
	if c.Role != "" && !f.isGiven("health-address") {
		c.HealthAddress = DefaultHealthAddress
	}

	// On another machine than a pod of its own, the port would be open to all users of the machine.
	if c.Role != "" && c.Pod.IsMade() && !f.isGiven("monitor-address") {
		c.MonitorAddress = DefaultMonitorAddress
	}
	if c.MonitorAddress != "" && !isLoopback(c.MonitorAddress) {
		mistakes.add("%s: %q must be a loopback address, such as %s: the port asks for no token",
			f.where("monitor-address"), c.MonitorAddress, DefaultMonitorAddress)
	}

	if c.Role != "" && !f.isGiven("srt-address") {
		c.SRTAddress = ""
	}

	c.Control = f.control
	given := map[string]string{
		"control-tls-cert": f.control.TLSCert, "control-tls-key": f.control.TLSKey, "control-token-file": f.control.TokenFile,
	}
	f.exist(given, mistakes)
	secured := f.control.TLSCert != "" && f.control.TLSKey != "" && f.control.TokenFile != ""
	if !secured && f.control != (ControlFiles{}) {
		mistakes.add("--control-tls-cert, --control-tls-key, --control-token-file: give all three or none")
	}
	if c.ControlAddress != "" && !secured && !isLoopback(c.ControlAddress) {
		mistakes.add("%s: %q must be a loopback address, such as 127.0.0.1:9091: the port asks for no password "+
			"unless --control-tls-cert, --control-tls-key and --control-token-file are given",
			f.where("control-address"), c.ControlAddress)
	}

	f.peering(c, secured, mistakes)

	timeout, err := time.ParseDuration(f.drainTimeout)
	if err != nil || timeout < 0 || timeout > maxDrainTimeout {
		mistakes.add("%s: %q must be a duration from 0s to %v, such as 30s", f.where("drain-timeout"), f.drainTimeout, maxDrainTimeout)
	}
	c.DrainTimeout = timeout
}

// Usage returns the help text. It has every flag with its variable and default.
func Usage() string {
	var text strings.Builder
	text.WriteString("Usage: streampair-mediaserver [flags]\n" +
		"       streampair-mediaserver check|check-whip|check-whep --help\n\n" +
		"One media server that holds both legs of a StreamPair, or with --role one of them. An address is host:port; port 0\n" +
		"picks a free one, an empty address (but --webrtc-address) closes the surface. A flag wins over its variable.\n\n")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	newFlags().set.VisitAll(func(one *flag.Flag) {
		value, usage := flag.UnquoteUsage(one)
		if one.DefValue != "" {
			usage += " (default " + one.DefValue + ")"
		}
		fmt.Fprintf(table, "  --%s %s\t$%s\t%s\n", one.Name, value, variable(one.Name), usage)
	})
	_ = table.Flush() // writing to a strings.Builder does not fail
	return text.String()
}
