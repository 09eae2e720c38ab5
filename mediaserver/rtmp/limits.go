package rtmp

import "time"

// Limits bound what clients may cost. A zero field means its default.
type Limits struct {
	// MaxConnections bounds connections, without lingering ones; default 1024. One more
	// pushes out a connection that does not publish, if there is one.
	MaxConnections int
	// MaxUnauthenticated bounds connections that do not publish yet; default 64. One more pushes
	// out the oldest of the network that has the most. So idle strangers can't lock publishers out.
	MaxUnauthenticated int
	// MaxLingering bounds refused connections that wait for the client to read why; default
	// 128. One more closes the oldest of the network that has the most.
	MaxLingering int
	// MaxBytesBeforePublish bounds what a connection may send before it publishes,
	// with the handshake; default 64 KiB.
	MaxBytesBeforePublish int
	// MaxVideoMessage and MaxAudioMessage bound a message, in bytes; defaults 4 MiB and 64 KiB.
	MaxVideoMessage, MaxAudioMessage int
	// MaxCommandMessage bounds a message of any other type, in bytes; default 64 KiB.
	MaxCommandMessage int
	// MaxUnfinished bounds the incomplete messages on all chunk streams of a client,
	// in bytes; default 6 MiB.
	MaxUnfinished int
	// MaxChunkStreams bounds the chunk streams of a client; default 16.
	MaxChunkStreams int
	// PublishTimeout is the time from connecting until publishing; default 10 s.
	PublishTimeout time.Duration
	// IdleTimeout is how long a publisher may send neither audio nor video; default 30 s. It
	// only cleans up: viewers have long been switched to the other leg.
	IdleTimeout time.Duration
	// WriteTimeout is how long a write to a client that does not read may take; default 5 s.
	WriteTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orInt(&l.MaxConnections, 1024)
	orInt(&l.MaxUnauthenticated, 64)
	orInt(&l.MaxLingering, 128)
	orInt(&l.MaxBytesBeforePublish, 64<<10)
	orInt(&l.MaxVideoMessage, 4<<20)
	orInt(&l.MaxAudioMessage, 64<<10)
	orInt(&l.MaxCommandMessage, 64<<10)
	orInt(&l.MaxUnfinished, 6<<20)
	orInt(&l.MaxChunkStreams, 16)
	orDuration(&l.PublishTimeout, 10*time.Second)
	orDuration(&l.IdleTimeout, 30*time.Second)
	orDuration(&l.WriteTimeout, 5*time.Second)
	return l
}
