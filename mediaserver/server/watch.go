package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// watchInterval is how often files are read. The files are few and small,
// so reading them is cheap and no change is missed. Watching by inotify
// would have to handle each way of replacing files: a kubelet renames a
// symbolic link two folders above, and editors rename or write in place.
const watchInterval = 500 * time.Millisecond

// maxWatched bounds how much of a file is read to detect a change, in bytes.
const maxWatched = 2 << 20

// A watched is a set of files that belong together.
type watched struct {
	// names returns the files to watch at the moment.
	names func() []string
	// changed is called when the contents have changed and then stayed the same
	// for one interval. A file that is still being written is thereby left alone.
	changed func()

	seen, acted [sha256.Size]byte
}

// watch checks the sets until ctx ends. At first all sets
// count as changed, because they were read some time ago.
func watch(ctx context.Context, sets []*watched) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		for _, w := range sets {
			w.look()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (w *watched) look() {
	now := fingerprint(w.names())
	settled := now == w.seen
	w.seen = now
	if settled && now != w.acted {
		w.acted = now
		w.changed()
	}
}

// fingerprint returns a hash of the files' contents, or of why they cannot be read.
func fingerprint(names []string) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%q", name)
		f, err := os.Open(name)
		if err != nil {
			fmt.Fprintf(h, "missing %v", errors.Is(err, fs.ErrNotExist))
			continue
		}
		n, err := io.Copy(h, io.LimitReader(f, maxWatched))
		_ = f.Close()
		fmt.Fprintf(h, "%d %v", n, err == nil)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
