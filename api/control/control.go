// Package control has the wire types of a media pod's command port. The operator and the
// media server share them. The package has no logic.
//
//	GET  /v1/status                Status
//	GET  /v1/events                server-sent events named "status", each a whole Status
//	PUT  /v1/config                a manifest; the pairs it holds replace those declared
//	PUT  /v1/pairs/{name}/select   Selection
//	PUT  /v1/addresses             MediaAddresses
//	PUT  /v1/peers                 Peers
//	GET  /v1/measures              Measures
//	GET  /v1/thumbnails/{app}/{id} a JPEG file of a stream's last key frame; 404: there is none
//
// Status, measures and thumbnails are also served on MonitorPort of a media pod, for this pod
// alone and without a token.
//
// A port that is open to a network speaks TLS and asks for a bearer token. The body of an
// error is an Error. The answer is 401 without the token, and 404 for an unknown pair. It is
// 409 for a manifest of a lower generation than the manifest in force (but see
// HeaderReplaces). It is 413 for a manifest that is too long, and 422 for a wrong one. A PUT
// that succeeds is answered 204.
package control

import "time"

// HeaderTellsPeers is a header of requests; its value is "1". An operator that sends it
// tells media servers, by PUT /v1/peers, how the other leg's servers are reached. A manifest
// without this header comes from an operator of an earlier version. The other leg's server
// may then be of an earlier version too. A media pod that gets such a manifest accepts and
// makes connections in clear if its peer does not answer over TLS. PUT /v1/peers ends that.
const HeaderTellsPeers = "Streampair-Tells-Peers"

// HeaderReplaces is a header of PUT /v1/config. Its value, GENERATION or GENERATION/UID,
// names the manifest in force as Status has it. The media server then replaces that manifest
// even by one of a lower generation. The pair, or the cluster, was made again or restored. A
// server that has another manifest in force by now answers 409. A server of an earlier
// version does not know the header and answers 409 too.
const HeaderReplaces = "Streampair-Replaces"

// A ConfigMistake is one thing that is wrong with the files that a media server was given.
type ConfigMistake struct {
	// Reason is one of the reasons below. A reader takes an unknown one for MistakeManifest.
	Reason string `json:"reason"`
	// Message says in one line, without any secret, what is wrong.
	Message string `json:"message"`
}

// Reasons of a ConfigMistake say which file has to be corrected.
const (
	// MistakeManifest: the manifest, which has the pair's spec.
	MistakeManifest = "InvalidManifest"
	// MistakeSecret: a Secret that the spec names, or the Secret with the pair's own keys.
	MistakeSecret = "InvalidSecret"
	// MistakeControl: the token or the certificate of the command port.
	MistakeControl = "InvalidControlFile"
)

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
	// manifest in force. If there are several pairs, it is the highest one. 0: there is
	// none.
	ConfigGeneration int64 `json:"configGeneration"`
	// ConfigUID is the UID of the pair whose generation ConfigGeneration is. Empty: the
	// manifest has none, or the media server is of an earlier version.
	ConfigUID string `json:"configUID,omitempty"`
	// ConfigErrors are the mistakes in the files that the server was given, one line each,
	// without any secret. The previous content of these files stays in force.
	ConfigErrors []string `json:"configErrors,omitempty"`
	// ConfigMistakes are ConfigErrors with a reason each. Servers before version 0.2.0
	// report ConfigErrors alone. A later version reports ConfigMistakes alone.
	ConfigMistakes []ConfigMistake `json:"configMistakes,omitempty"`
	// UnknownFields are the paths of fields of the manifest in force that the server's
	// version does not have and ignores. Nil: a server before version 0.2.0, which does not
	// report them.
	UnknownFields []string `json:"unknownFields"`
	// Advertised are the media addresses that browsers are told, IP[:udpPort:tcpPort]. None:
	// browsers are told the addresses of the pod or machine itself.
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

// Memory is what caches and packet histories hold, in bytes. Declared streams come first,
// then histories, then undeclared streams.
type Memory struct {
	// LimitBytes is the limit of the sum: half of the Go memory limit ($GOMEMLIMIT), or 512
	// MiB without such a limit. The limit is lower while an ffmpeg needs a part of the memory.
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
	// Present says that a certificate was given and is served. Otherwise the server serves a
	// SelfSigned one.
	Present    bool `json:"present"`
	SelfSigned bool `json:"selfSigned"`
	// NotAfter is when the certificate expires. DNSNames are its host names.
	NotAfter *time.Time `json:"notAfter,omitempty"`
	DNSNames []string   `json:"dnsNames,omitempty"`
	// Error says why the given files are not served. Empty: they are served, or none were
	// given.
	Error string `json:"error,omitempty"`
}

// Addresses are the bound addresses. Empty: the port is off.
type Addresses struct {
	RTMP   string `json:"rtmp,omitempty"`
	RTMPS  string `json:"rtmps,omitempty"`
	SRT    string `json:"srt,omitempty"`
	HTTP   string `json:"http,omitempty"`
	HTTPS  string `json:"https,omitempty"`
	WebRTC string `json:"webrtc,omitempty"`
	// Probe is the probe port. Health is the port for the kubelet's probes alone. Control is
	// the command port.
	Probe   string `json:"probe,omitempty"`
	Health  string `json:"health,omitempty"`
	Control string `json:"control,omitempty"`
	// Monitor is the port of the control room, which takes no commands.
	Monitor string `json:"monitor,omitempty"`
	// Relay is where the other leg's server connects to, over TLS.
	Relay string `json:"relay,omitempty"`
}

// PeerRelay is how a media server is connected with the other leg's media server.
type PeerRelay struct {
	// TLS says that the server accepts and makes the connections between the legs over TLS.
	// Such a server knows PUT /v1/peers.
	TLS bool `json:"tls"`
	// Told says that the server has received PUT /v1/peers, or a manifest without
	// HeaderTellsPeers. A server that has received neither speaks TLS only.
	Told bool `json:"told,omitempty"`
	// Clear is the list of the last PUT /v1/peers. ClearAny says that the server may speak
	// in clear with any peer that does not answer over TLS; see HeaderTellsPeers.
	Clear    []string `json:"clear,omitempty"`
	ClearAny bool     `json:"clearAny,omitempty"`
	// Links are the other leg's servers that the server knows.
	Links []PeerLink `json:"links,omitempty"`
}

// PeerLink is the connection to one server of the other leg.
type PeerLink struct {
	// Address is the server's IP address.
	Address string `json:"address"`
	// Transport is TransportTLS or TransportClear. Empty: the server does not answer.
	Transport string `json:"transport,omitempty"`
}

// The values of PeerLink.Transport.
const (
	TransportTLS   = "TLS"
	TransportClear = "Clear"
)

// Peers tells a media server how the other leg's servers are reached: over TLS, except the
// servers in Clear.
type Peers struct {
	// Clear are the IP addresses, at most 16, of servers of an earlier version, which do not
	// speak TLS. If the list is empty, nothing is served or sent in clear.
	Clear []string `json:"clear"`
}

// Stream is one stream that somebody publishes or asks for.
type Stream struct {
	App      string `json:"app"`
	StreamID string `json:"streamID"`
	// Publishing says that a publisher is connected.
	Publishing bool   `json:"publishing"`
	Protocol   string `json:"protocol,omitempty"`
	// Relayed says that the stream comes from the other leg's pod.
	Relayed bool `json:"relayed,omitempty"`
	// Undeclared says that StreamPairs are declared, and none of them names the stream.
	Undeclared bool       `json:"undeclared,omitempty"`
	Remote     string     `json:"remote,omitempty"`
	StartTime  *time.Time `json:"startTime,omitempty"`
	// TokenExpires is when the publisher's JSON Web Token expires. The publisher goes on then, and is
	// refused when it connects again. Nil: never, or the publisher is at the other leg's pod.
	TokenExpires *time.Time `json:"tokenExpires,omitempty"`
	BitrateBPS   int64      `json:"bitrateBPS,omitempty"`
	Video        *Track     `json:"video,omitempty"`
	Audio        *Track     `json:"audio,omitempty"`
	// EntryPoint says that viewers can begin to play the stream: an IDR is cached.
	EntryPoint bool      `json:"entryPoint"`
	Warnings   []Warning `json:"warnings,omitempty"`
	// SRT says how the packets of the publisher arrive; nil: it does not publish by SRT here.
	SRT *SRTLink `json:"srt,omitempty"`
}

// SRTLink is the way of an SRT publisher's packets.
type SRTLink struct {
	RoundTripMilliseconds int64 `json:"roundTripMilliseconds"`
	// LatencyMilliseconds is for how long a packet may be late. BufferMilliseconds is how much media
	// waits for late packets.
	LatencyMilliseconds int64 `json:"latencyMilliseconds"`
	BufferMilliseconds  int64 `json:"bufferMilliseconds"`
	// Packets so far: all that arrived, those that arrived again because they were lost, and those
	// that were given up.
	PacketsReceived      uint64 `json:"packetsReceived"`
	PacketsRetransmitted uint64 `json:"packetsRetransmitted"`
	PacketsLost          uint64 `json:"packetsLost"`
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
	// SilentMilliseconds is the time since the track's last access unit.
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
	// History has the pair's latest events since the server started, the newest first, at most
	// MaxHistory. Nil: the pair is not declared, or the server is of an earlier version, which
	// does not report a history.
	History []HistoryEntry `json:"history"`
	Select  string         `json:"select"`
	Viewers int            `json:"viewers"`
	Legs    []Leg          `json:"legs"`
	// Step is by how much the legs differ in programme time. Nil: they are not compared, or the
	// media server is of an earlier version.
	Step *Step `json:"step,omitempty"`
	// Peer is the state of the pair at the other leg's pod. Absent: there is no such pod.
	Peer *Peer `json:"peer,omitempty"`
}

// Peer is the state of a pair at the other leg's pod.
type Peer struct {
	// Connected says that the other pod reports. If not, the rest is empty.
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
	// Local says that the leg's encoder should publish here, not at the other pod.
	// Stream.Relayed says where the encoder really publishes.
	Local bool `json:"local"`
	// Publishing says that an encoder is connected, whether or not media arrives.
	Publishing bool `json:"publishing"`
	// LossReason says why a leg is not live; see LossSilent and the others. Empty: the leg
	// is live.
	LossReason string `json:"lossReason,omitempty"`
	// Conflict says that within the last minute a second encoder was refused, because
	// another one sends to this stream id.
	Conflict bool      `json:"conflict,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
	// Content is what is wrong with the content of the leg's media. Nil: it is not compared with
	// the other leg's, or the media server is of an earlier version.
	Content *Content `json:"content,omitempty"`
}

// Content is the state of a leg's picture and sound beside the other leg's.
type Content struct {
	// Compared says that both legs are measured now.
	Compared bool `json:"compared"`
	// Faults are the faults that the leg has and the other leg has not, the worst first: see
	// FaultBlack and the others.
	Faults []string `json:"faults,omitempty"`
	// NotWatched says why the leg's picture is not measured: see NotWatchedNoFFmpeg and the others.
	// Empty: it is, or it has none.
	NotWatched string `json:"notWatched,omitempty"`
	// NotHeard says that the leg has sound that the media server cannot decode, and so not measure.
	NotHeard bool `json:"notHeard,omitempty"`
}

// The values of Content.Faults.
const (
	// FaultBlack: the picture is black, or of one colour.
	FaultBlack = "Black"
	// FaultFrozen: the picture stands still.
	FaultFrozen = "Frozen"
	// FaultSilent: the sound is silent.
	FaultSilent = "Silent"
	// FaultLowBitrate: the bit rate is low.
	FaultLowBitrate = "LowBitrate"
	// FaultLowFrameRate: the picture rate is low.
	FaultLowFrameRate = "LowFrameRate"
)

// AnalyserMemoryBytes is how much memory an ffmpeg may have that watches pictures.
const AnalyserMemoryBytes = 128 << 20

// The values of Content.NotWatched.
const (
	// NotWatchedNoFFmpeg: the media server has no ffmpeg, or may not use it.
	NotWatchedNoFFmpeg = "NoFFmpeg"
	// NotWatchedFull: the media server watches as many streams as it may.
	NotWatchedFull = "Full"
	// NotWatchedNoMemory: the media server has too little memory for another ffmpeg.
	NotWatchedNoMemory = "NoMemory"
	// NotWatchedFailed: ffmpeg fails on the leg's pictures.
	NotWatchedFailed = "Failed"
)

// Step is by how much the two legs of a pair differ in programme time.
type Step struct {
	// Known says that OffsetMilliseconds is known.
	Known bool `json:"known"`
	// OffsetMilliseconds is positive if the backup is later. It changes in steps of 100 or more, and
	// at most once a minute.
	OffsetMilliseconds int64 `json:"offsetMilliseconds,omitempty"`
	// Doubt says why the offset is unknown: TooLittle, Flat (silence), Different (other sound) or
	// Ambiguous (a loop, a hum).
	Doubt string `json:"doubt,omitempty"`
}

// The values of Leg.LossReason.
const (
	// LossNotPublished: no encoder has published since the server started.
	LossNotPublished = "NotPublished"
	// LossDisconnected: the encoder has disconnected.
	LossDisconnected = "Disconnected"
	// LossSilent: an encoder is connected, and no media arrives.
	LossSilent = "Silent"
)

// Switch is a change of the leg on air. Roles and reason are as in Pair.
type Switch struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	Time   time.Time `json:"time"`
}

// MaxHistory is how many entries a media server keeps of a pair's history.
const MaxHistory = 50

// HistoryEntry is one event of a pair.
type HistoryEntry struct {
	// Kind is one of the kinds below. A reader ignores an unknown one.
	Kind string `json:"kind"`
	// Time is when the event happened. An entry may be made some time after that, and its place in
	// the history is by its time.
	Time time.Time `json:"time"`
	// Leg is the leg that the event is about, and Reason is as in Pair. Empty: there is no reason.
	Leg    string `json:"leg"`
	Reason string `json:"reason,omitempty"`
	// GapMilliseconds is how long viewers had no new picture, for HistorySwitched and HistoryOnAir.
	GapMilliseconds int64 `json:"gapMilliseconds,omitempty"`
}

// The values of HistoryEntry.Kind.
const (
	// HistoryOnAir: viewers get Leg's picture, for the first time or after HistoryDark.
	HistoryOnAir = "OnAir"
	// HistoryDark: neither leg has media. Leg was the last one on air.
	HistoryDark = "Dark"
	// HistorySwitched: Leg was put on air in place of the other one.
	HistorySwitched = "Switched"
	// HistoryRedundant: both legs are whole. Leg is the one that came last.
	HistoryRedundant = "Redundant"
	// HistoryRedundancyLost: Leg is no longer whole.
	HistoryRedundancyLost = "RedundancyLost"
)

// MediaAddresses replaces the addresses that viewers are told for the pair's pods, until the
// server ends.
type MediaAddresses struct {
	// WebRTC are the media addresses that browsers are told: at most 16 of the form
	// IP[:udpPort[:tcpPort]]. If the list is empty, browsers are told the pod's own
	// addresses.
	WebRTC []string `json:"webrtc"`
	// HTTP has the URL under which viewers reach the pod of a leg, by the leg's role,
	// Primary or Backup. Either may be missing. A URL has http or https, a host, perhaps a
	// port and a path, and no slash at the end. Players go there when the pod that serves
	// them dies.
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
