package config

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/v1alpha1"
)

var compareAddresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func defaults() Config {
	return Config{
		RTMPAddress: ":1935", SRTAddress: ":8890", HTTPAddress: ":5080", HTTPSAddress: ":5443", WebRTCAddress: ":8189",
		ProbeAddress: ":9090", ControlAddress: "127.0.0.1:9091",
		MaxViewers: 1000, MaxEgressMegabits: 1000, MaxTranscodes: 4, MaxAnalysers: 4, WebRTCPacketBytes: 1200, LogFormat: "text", LogLevel: slog.LevelInfo,
		HLS: HLS{Segment: 2 * time.Second, Part: 250 * time.Millisecond, Window: 30 * time.Second},
	}
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		env    []string
		change func(*Config)
	}{
		{name: "nothing said: the standard ports"},
		{
			name: "flags",
			args: []string{"--rtmp-address", "127.0.0.1:0", "--rtmps-address=:1936", "--max-viewers", "0", "--max-egress", "10000", "--log-level", "debug", "--log-format", "json", "--webrtc-packet-bytes", "1400", "--jwks-networks", "10.0.0.0/8,fd00::/8", "--no-viewer-reports"},
			change: func(c *Config) {
				c.RTMPAddress, c.RTMPSAddress = "127.0.0.1:0", ":1936"
				c.MaxEgressMegabits = 10_000
				c.MaxViewers, c.LogLevel, c.LogFormat = 0, slog.LevelDebug, "json"
				c.WebRTCPacketBytes, c.NoViewerReports = 1400, true
				c.JWKSNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
			},
		},
		{
			name: "HLS",
			args: []string{"--hls=off", "--hls-segment-seconds", "4", "--hls-part-milliseconds=500", "--hls-window-seconds=120"},
			change: func(c *Config) {
				c.HLS = HLS{Off: true, Segment: 4 * time.Second, Part: 500 * time.Millisecond, Window: 2 * time.Minute}
			},
		},
		{
			name:   "an empty address closes the surface",
			args:   []string{"--https-address="},
			change: func(c *Config) { c.HTTPSAddress = "" },
		},
		{
			name:   "a variable of the same name",
			env:    []string{"RTMP_ADDRESS=:2935", "MAX_TRANSCODES=1", "UNRELATED=x"},
			change: func(c *Config) { c.RTMPAddress, c.MaxTranscodes = ":2935", 1 },
		},
		{
			name:   "a flag wins over its variable",
			args:   []string{"--rtmp-address", ":3935"},
			env:    []string{"RTMP_ADDRESS=:2935"},
			change: func(c *Config) { c.RTMPAddress = ":3935" },
		},
		{
			name: "an empty variable is none",
			env:  []string{"RTMP_ADDRESS=", "LOG_LEVEL="},
		},
		{
			name: "a list in a variable",
			env:  []string{"ADVERTISE_ADDRESS=203.0.113.7, [2001:db8::1]:30189"},
			change: func(c *Config) {
				c.AdvertiseAddresses = []v1alpha1.MediaAddress{
					{IP: netip.MustParseAddr("203.0.113.7")},
					{IP: netip.MustParseAddr("2001:db8::1"), UDPPort: 30189, TCPPort: 30189},
				}
			},
		},
		{
			name: "proxies, as a list and repeated",
			args: []string{"--trusted-proxies", "10.0.0.0/8, 192.0.2.1", "--trusted-proxies=2001:db8::/32"},
			change: func(c *Config) {
				c.TrustedProxies = []netip.Prefix{
					netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
				}
			},
		},
		{
			name: "a repeated flag, a value twice",
			args: []string{"--advertise-address", "203.0.113.7:1:2", "--advertise-address=203.0.113.8", "--advertise-address=203.0.113.8"},
			change: func(c *Config) {
				c.AdvertiseAddresses = []v1alpha1.MediaAddress{
					{IP: netip.MustParseAddr("203.0.113.7"), UDPPort: 1, TCPPort: 2},
					{IP: netip.MustParseAddr("203.0.113.8")},
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := defaults()
			if tt.change != nil {
				tt.change(&want)
			}
			got, err := Load(tt.args, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compareAddresses); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadTellsEveryMistake(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte(head+"metadata: {name: demo}\nspec: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		env  []string
		want Mistakes
	}{
		{
			name: "flags and manifest together",
			args: []string{"--http-address", "5080", "--max-viewers=-1", "--max-egress=0", "--webrtc-packet-bytes=100", "--jwks-networks=x", "--pair", bad, "--pair", filepath.Join(dir, "none.yaml")},
			env:  []string{"LOG_LEVEL=loud", "LOG_FORMAT=xml", "RTMP_ADDRESS=:70000"},
			want: Mistakes{
				`$LOG_FORMAT: "xml" must be text or json`,
				`$LOG_LEVEL: "loud" must be debug, info, warn or error`,
				`$RTMP_ADDRESS: ":70000": the port must be a number from 0 to 65535`,
				`--http-address: "5080" must be host:port or :port`,
				`--jwks-networks: netip.ParsePrefix("x"): no '/'`,
				`--max-egress: 0 must be 1 to 1000000`,
				`--max-viewers: "-1" must be a whole number, 0 or more`,
				`--webrtc-packet-bytes: 100 must be 500 to 1400`,
				`pair file: open ` + filepath.Join(dir, "none.yaml") + `: no such file or directory`,
				bad + `, StreamPair "demo": spec.primary.streamID: Required value: names the leg's stream`,
				bad + `, StreamPair "demo": spec.backup.streamID: Required value: names the leg's stream`,
			},
		},
		{
			name: "flags of HLS",
			args: []string{"--hls=Always", "--hls-segment-seconds=0", "--hls-part-milliseconds=3000", "--hls-window-seconds=x"},
			want: Mistakes{
				`--hls-part-milliseconds: "3000" must be a whole number from 100 to 2000`,
				`--hls-part-milliseconds: a part must not be longer than a segment`,
				`--hls-segment-seconds: "0" must be a whole number from 1 to 10`,
				`--hls-window-seconds: "x" must be a whole number from 1 to 3600`,
				`--hls: "Always" must be OnDemand or Off`,
			},
		},
		{
			name: "a flag that does not exist",
			args: []string{"--rtmp-port", ":1935"},
			want: Mistakes{`flag provided but not defined: -rtmp-port (--help lists the flags)`},
		},
		{
			name: "a manifest without its flag",
			args: []string{"pair.yaml"},
			want: Mistakes{`unexpected argument "pair.yaml": a manifest is given with --pair`},
		},
		{
			name: "commands open to the network",
			args: []string{"--control-address", ":9091"},
			want: Mistakes{`--control-address: ":9091" must be a loopback address, such as 127.0.0.1:9091: the port asks for no password unless --control-tls-cert, --control-tls-key and --control-token-file are given`},
		},
		{
			name: "the monitor port open to the network",
			args: []string{"--monitor-address", "0.0.0.0:9094"},
			want: Mistakes{`--monitor-address: "0.0.0.0:9094" must be a loopback address, such as 127.0.0.1:9094: the port asks for no token`},
		},
		{
			name: "half a certificate, and not even there",
			args: []string{"--tls-cert", filepath.Join(dir, "tls.crt")},
			want: Mistakes{
				`--tls-cert, --tls-key: give both or neither`,
				`--tls-cert: stat ` + filepath.Join(dir, "tls.crt") + `: no such file or directory`,
			},
		},
		{
			name: "advertised addresses",
			args: []string{"--advertise-address", "live.example.com"},
			want: Mistakes{`--advertise-address: "live.example.com": must be IP[:udpPort[:tcpPort]], IPv6 in brackets; "live.example.com" is no IP address`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.args, tt.env)
			var mistakes Mistakes
			if !errors.As(err, &mistakes) {
				t.Fatalf("error %v, want Mistakes", err)
			}
			if diff := cmp.Diff(tt.want, mistakes); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoopbackControlAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "127.9.9.9:1", "[::1]:9091", "localhost:9091", ""} {
		if _, err := Load([]string{"--control-address", address}, nil); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"0.0.0.0:9091", "[::]:9091", "10.0.0.1:9091", "localhost.example.com:9091"} {
		if _, err := Load([]string{"--control-address", address}, nil); err == nil {
			t.Errorf("%q was accepted", address)
		}
	}
}

func TestHelp(t *testing.T) {
	if _, err := Load([]string{"--help"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v, want flag.ErrHelp", err)
	}
	for _, want := range []string{"--pair FILE", "$PAIR", "--advertise-address IP[:udpPort[:tcpPort]]", "$HTTP_ADDRESS", "(default :5080)"} {
		if !strings.Contains(Usage(), want) {
			t.Errorf("usage lacks %q:\n%s", want, Usage())
		}
	}
}

func TestSamplesAreRight(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/streampair*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		cfg, err := Load([]string{"--pair", file}, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(cfg.Manifest.Pairs) != 1 {
			t.Errorf("%s: %d pairs, want 1", file, len(cfg.Manifest.Pairs))
		}
	}
}

func TestNewLogger(t *testing.T) {
	for format, want := range map[string]string{"json": `"msg":"on air"`, "text": `msg="on air"`} {
		var out bytes.Buffer
		logger := Config{LogFormat: format, LogLevel: slog.LevelInfo}.NewLogger(&out)
		logger.Debug("not shown")
		logger.Info("on air", "pair", "demo")
		if got := out.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q, want one line with %s", format, got, want)
		}
	}
}
