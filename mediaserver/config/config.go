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
// Start at [Load].
package config

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

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
	ControlAddress string // TCP, loopback only; default 127.0.0.1:9091

	TLSCert string // PEM file for HTTPS and RTMPS; empty with TLSKey: self-signed
	TLSKey  string // PEM file

	// AdvertiseAddresses are told to browsers beside the addresses of this machine.
	AdvertiseAddresses []v1alpha1.MediaAddress

	MaxViewers    int // WHEP sessions at a time; default 1000, 0: no limit
	MaxTranscodes int // ffmpeg children at a time; default 4, 0: none

	LogFormat string     // text or json; default text
	LogLevel  slog.Level // default info
}

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
	cfg, mistakes := flags.config()
	sources, unread := readFiles(flags.pairs)
	mistakes = append(mistakes, unread...)
	manifest, wrong := parseManifest(Manifest{}, sources)
	mistakes = append(mistakes, wrong...)
	cfg.Manifest = manifest
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

func readFiles(names []string) ([]Source, Mistakes) {
	var sources []Source
	var mistakes Mistakes
	for _, name := range names {
		content, err := readFile(name)
		if err != nil {
			mistakes.add("pair file: %v", err)
			continue
		}
		sources = append(sources, Source{Name: name, Content: content})
	}
	return sources, mistakes
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// One byte more than may be, so that ParseManifest sees that it is too much.
	content, err := io.ReadAll(io.LimitReader(f, MaxManifestBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}
