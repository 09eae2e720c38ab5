// Package control holds the wire types of a media pod's command port, shared by the
// operator and the media server. It has no logic.
//
//	GET  /v1/status                Status
//	GET  /v1/events                server-sent events named "status", each a whole Status
//	PUT  /v1/config                a manifest; the pairs it holds replace those declared
//	PUT  /v1/pairs/{name}/select   Selection
//	PUT  /v1/addresses             MediaAddresses
//	PUT  /v1/peers                 Peers
//
// Where the port is open to a network it speaks TLS and asks for a bearer token.
// Errors are answered as Error: 401 without the token, 404 for an unknown pair, 409 for a
// manifest of a lower generation than the one in force, 413 and 422 for one that is too
// long or wrong. A PUT that succeeds is 204.
package control

import "time"

// HeaderTellsPeers is a header of requests of an operator that tells media servers, by
// PUT /v1/peers, how the other leg's servers are reached; its value is "1". A manifest
// without it comes from an operator of a version before, beside which the other leg's server
// may be of a version before too: until PUT /v1/peers says otherwise, a media pod that is
// given one takes and makes connections in clear where its peer does not answer over TLS.
const HeaderTellsPeers = "Streampair-Tells-Peers"

// Status is the state of one media server.
type Status struct {
	// Version of the media server, and BootID, which changes at every start.
	Version string `json:"version"`
	BootID  string `json:"bootID"`
	// StartTime is when it started.
	StartTime time.Time `json:"startTime"`
	// Role is the leg whose encoder publishes here: Primary or Backup; empty: both.
	Role string `json:"role,omitempty"`
	// PodName and NodeName are where it runs; empty outside a cluster.
	PodName  string `json:"podName,omitempty"`
	NodeName string `json:"nodeName,omitempty"`
	// ConfigGeneration is the annotation media.streampair.dev/config-generation of the
	// manifest in force, of several pairs the highest; 0: it has none.
	ConfigGeneration int64 `json:"configGeneration"`
	// ConfigErrors are what is wrong with the files that the server was given, one line
	// each, without any secret; what was in force before still is.
	ConfigErrors []string `json:"configErrors,omitempty"`
	// Advertised are the media addresses told to browsers, IP[:udpPort:tcpPort]; none:
	// those of the pod or machine itself.
	Advertised []string `json:"advertised,omitempty"`
	// BaseURLs are those of MediaAddresses.HTTP, as they were told last.
	BaseURLs map[string]string `json:"baseURLs,omitempty"`
	// TLS is the certificate of HTTPS and RTMPS; nil: neither is on.
	TLS *TLS `json:"tls,omitempty"`
	// PeerRelay is how the server is joined with the other leg's. Absent: it is of a version
	// that relays in clear only, or has no peer and no relay port.
	PeerRelay *PeerRelay `json:"peerRelay,omitempty"`
	// Draining says that the server has been told to end.
	Draining bool `json:"draining,omitempty"`
	// Memory is what caches and packet histories hold; nil: an older media server.
	Memory *Memory `json:"memory,omitempty"`
	// Addresses are those really bound, host:port.
	Addresses Addresses `json:"addresses"`
	// Viewers connected now.
	Viewers int      `json:"viewers"`
	Streams []Stream `json:"streams"`
	Pairs   []Pair   `json:"pairs"`
}

// Memory is what caches and packet histories hold, in bytes. It is spent first on declared
// streams, then on histories, last on undeclared streams.
type Memory struct {
	// LimitBytes is for all together: half of the Go memory limit ($GOMEMLIMIT), or 512 MiB
	// where there is none.
	LimitBytes int64 `json:"limitBytes"`
	// DeclaredBytes is for the GOP caches of streams that a StreamPair names.
	DeclaredBytes int64 `json:"declaredBytes"`
	// HistoriesBytes is for the packets of outputs that play declared streams only.
	HistoriesBytes int64 `json:"historiesBytes"`
	// UndeclaredBytes is for all that undeclared streams and their outputs hold.
	UndeclaredBytes int64 `json:"undeclaredBytes"`
}

// TLS describes the certificate that is served.
type TLS struct {
	// Present says that the certificate is one that was given, not SelfSigned by the
	// server because there is none.
	Present    bool `json:"present"`
	SelfSigned bool `json:"selfSigned"`
	// NotAfter is when it expires; DNSNames are the host names it is for.
	NotAfter *time.Time `json:"notAfter,omitempty"`
	DNSNames []string   `json:"dnsNames,omitempty"`
	// Error says why the files that were given are not served; empty: they are, or none were.
	Error string `json:"error,omitempty"`
}

// Addresses are the bound addresses; empty: that port is off.
type Addresses struct {
	RTMP   string `json:"rtmp,omitempty"`
	RTMPS  string `json:"rtmps,omitempty"`
	HTTP   string `json:"http,omitempty"`
	HTTPS  string `json:"https,omitempty"`
	WebRTC string `json:"webrtc,omitempty"`
	// Probe, Health and Control are the probe port, that of the kubelet's probes alone, and
	// the command port.
	Probe   string `json:"probe,omitempty"`
	Health  string `json:"health,omitempty"`
	Control string `json:"control,omitempty"`
	// Relay is where the other leg's server connects to, over TLS.
	Relay string `json:"relay,omitempty"`
}

// PeerRelay is how a media server is joined with the other leg's.
type PeerRelay struct {
	// TLS says that the server takes the other leg's connections over TLS, and that it makes
	// its own so; it takes PUT /v1/peers too.
	TLS bool `json:"tls"`
	// Told says that PUT /v1/peers has come, or a manifest without HeaderTellsPeers. A server
	// that has not been told speaks TLS only.
	Told bool `json:"told,omitempty"`
	// Clear is what PUT /v1/peers told last. ClearAny says that the server may speak in clear
	// with any peer that does not answer over TLS: see HeaderTellsPeers.
	Clear    []string `json:"clear,omitempty"`
	ClearAny bool     `json:"clearAny,omitempty"`
	// Links are the other leg's servers that the server knows.
	Links []PeerLink `json:"links,omitempty"`
}

// PeerLink is how a server of the other leg is connected now.
type PeerLink struct {
	// Address is its IP address.
	Address string `json:"address"`
	// Transport is TransportTLS or TransportClear; empty: it does not answer.
	Transport string `json:"transport,omitempty"`
}

// The values of PeerLink.Transport.
const (
	TransportTLS   = "TLS"
	TransportClear = "Clear"
)

// Peers tells a media server how the other leg's servers are reached: over TLS, but for
// those in Clear.
type Peers struct {
	// Clear are the IP addresses, at most 16, of those that do not speak TLS because they
	// are of a version before. With none of them nothing is served or sent in clear.
	Clear []string `json:"clear"`
}

// Stream is one stream that somebody publishes or asks for.
type Stream struct {
	App      string `json:"app"`
	StreamID string `json:"streamID"`
	// Publishing says that a publisher is connected.
	Publishing bool   `json:"publishing"`
	Protocol   string `json:"protocol,omitempty"`
	// Relayed says that it comes from the other leg's pod.
	Relayed bool `json:"relayed,omitempty"`
	// Undeclared says that StreamPairs are declared, and that none of them names the stream.
	Undeclared bool       `json:"undeclared,omitempty"`
	Remote     string     `json:"remote,omitempty"`
	StartTime  *time.Time `json:"startTime,omitempty"`
	BitrateBPS int64      `json:"bitrateBPS,omitempty"`
	Video      *Track     `json:"video,omitempty"`
	Audio      *Track     `json:"audio,omitempty"`
	// EntryPoint says that viewers can begin with it: an IDR is cached.
	EntryPoint bool      `json:"entryPoint"`
	Warnings   []Warning `json:"warnings,omitempty"`
}

// Track is one track of a stream.
type Track struct {
	Codec  string `json:"codec"`
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	// FrameRate in pictures per second, as measured.
	FrameRate    float64 `json:"frameRate,omitempty"`
	SampleRateHz int     `json:"sampleRateHz,omitempty"`
	Channels     int     `json:"channels,omitempty"`
	// SilentMilliseconds is the time since its last access unit.
	SilentMilliseconds int64 `json:"silentMilliseconds"`
}

// Warning tells users about a stream that works less well than it could.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Pair is one pair, declared by a manifest or made on demand by a viewer's URL. A
// single stream that somebody watches is a pair without a backup.
type Pair struct {
	Name           string `json:"name"`
	Declared       bool   `json:"declared"`
	App            string `json:"app"`
	PrimaryID      string `json:"primaryStreamID"`
	BackupID       string `json:"backupStreamID,omitempty"`
	Active         string `json:"active,omitempty"`
	ActiveStreamID string `json:"activeStreamID,omitempty"`
	OnAir          bool   `json:"onAir"`
	Reason         string `json:"reason"`
	// SwitchingTo is the leg of a switch that waits for that leg's next IDR.
	SwitchingTo string `json:"switchingTo,omitempty"`
	// Since is when the active leg was put on air.
	Since    *time.Time `json:"since,omitempty"`
	Switches int        `json:"switches"`
	// LastSwitch is the latest change from one leg to the other; nil: there was none.
	LastSwitch *Switch `json:"lastSwitch,omitempty"`
	Select     string  `json:"select"`
	Viewers    int     `json:"viewers"`
	Legs       []Leg   `json:"legs"`
	// Peer is how the pair stands at the other leg's pod; absent: there is none.
	Peer *Peer `json:"peer,omitempty"`
}

// Peer is how a pair stands at the other leg's pod.
type Peer struct {
	// Connected says that it tells; if not, the rest is empty.
	Connected bool   `json:"connected"`
	Active    string `json:"active,omitempty"`
	OnAir     bool   `json:"onAir"`
	// Since is when that leg was put on air there, by that pod's clock.
	Since       *time.Time `json:"since,omitempty"`
	SwitchingTo string     `json:"switchingTo,omitempty"`
	// Generation of the manifest in force there.
	Generation int64 `json:"generation,omitempty"`
}

// Leg is the state of one leg of a pair.
type Leg struct {
	Role       string `json:"role"`
	StreamID   string `json:"streamID"`
	Live       bool   `json:"live"`
	Rank       string `json:"rank"`
	EntryPoint bool   `json:"entryPoint"`
	// Local says that the leg's encoder is to publish here, not at the other pod. Where it
	// really does is in Stream.Relayed.
	Local bool `json:"local"`
	// Publishing says that somebody is connected, whether or not media arrives.
	Publishing bool `json:"publishing"`
	// LossReason says why a leg is not live, see LossSilent and the others; empty: it is.
	LossReason string `json:"lossReason,omitempty"`
	// Conflict says that within the last minute a second encoder was refused, because
	// another one sends to this stream id.
	Conflict bool      `json:"conflict,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
}

// The values of Leg.LossReason.
const (
	// LossNotPublished: nobody has published since the server began.
	LossNotPublished = "NotPublished"
	// LossDisconnected: the publisher has gone.
	LossDisconnected = "Disconnected"
	// LossSilent: a publisher is connected, and no media arrives.
	LossSilent = "Silent"
)

// Switch is a change of the leg on air. Roles and reason are as in Pair.
type Switch struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
}

// MediaAddresses replaces the addresses under which viewers are told to reach the pair's
// pods, until the server ends.
type MediaAddresses struct {
	// WebRTC are the media addresses told to browsers: at most 16 of the form
	// IP[:udpPort[:tcpPort]]. With none they are told the pod's own.
	WebRTC []string `json:"webrtc"`
	// HTTP holds the URL under which viewers reach the pod of a leg, by its role, Primary or
	// Backup, either of which may be missing: http or https, a host, perhaps a port and a
	// path, and no slash at the end. Players go there when the pod that serves them dies.
	HTTP map[string]string `json:"http,omitempty"`
}

// Selection pins a leg: Auto, Primary or Backup.
type Selection struct {
	Select string `json:"select"`
}

// Error says what was wrong with a request, one line per mistake.
type Error struct {
	Errors []string `json:"errors"`
}
