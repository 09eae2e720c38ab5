package server

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/mediaserver/config"
	"github.com/streampair/streampair/mediaserver/control"
	"github.com/streampair/streampair/mediaserver/recovery"
)

// A configuration is what the server is told to play: the manifest in force, where the
// manifest comes from, and what is wrong with the files.
type configuration struct {
	files config.Files
	// keepsStreams reports whether a pair keeps the streams with which the server began. For
	// other streams the operator replaces the pods of a pair, one leg after the other. Changing
	// the streams here would take the picture from the viewers of both legs at once.
	keepsStreams bool
	// apply puts in force a manifest that follows before. renew puts in force the Secrets of a
	// manifest. Only one of them runs at a time. changed is called when the status has changed.
	apply   func(before, m config.Manifest)
	renew   func(m config.Manifest)
	changed func()
	log     *slog.Logger

	// putting is held while a manifest is put in force, so that one follows the other. It
	// guards sources, and is locked before mu.
	putting recovery.Mutex
	sources configSources

	mu      recovery.Mutex // guards all below, and is held for nothing else
	inForce config.Manifest
	faults  fileFaults
}

// configSources are the sources of the manifest in force. The manifest is
// made from them again when a Secret changes.
type configSources struct {
	inForce []config.Source
	// file is what the files held when they were last read. Only a
	// file that changes can replace a manifest that came by a command.
	file []config.Source
	// replaced is the version that a command replaced although it was newer or
	// of another pair. Zero: none. A kubelet may still bring a file of that
	// version. replaced is cleared when the file has the version in force.
	replaced config.Version
}

// command puts the manifest of a command in force. replaced is the manifest
// that the command expects to be in force; nil: the command does not say.
func (c *configuration) command(manifest []byte, replaced *control.Replaced) error {
	c.putting.Lock()
	defer c.putting.Unlock()
	sources := []config.Source{{Name: "manifest", Content: manifest}}
	before := c.manifest()
	m, err := c.parse(before, sources)
	if err != nil {
		return err
	}
	now, was := m.Version(), before.Version()
	if isStale(now, was) && !identifies(replaced, was) {
		return fmt.Errorf("%w: it has %d, and the one in force %d", control.ErrStaleManifest, now.Generation, was.Generation)
	}
	c.sources.inForce, c.sources.replaced = sources, barredVersion(now, was, c.sources.replaced)
	c.put(m)
	c.reportMistakes(&c.faults.secrets, m.SecretErrors)
	c.log.Info("configuration changed", "pairs", len(m.Pairs), "uid", now.UID, "generation", now.Generation)
	return nil
}

// identifies reports whether replaced names the manifest of version v.
func identifies(replaced *control.Replaced, v config.Version) bool {
	return replaced != nil && replaced.Generation == v.Generation && (replaced.UID == "" || replaced.UID == string(v.UID))
}

// barredVersion returns the version that a file must no longer bring after a command has
// replaced was by now. before is the version that a file could not bring until then.
func barredVersion(now, was, before config.Version) config.Version {
	switch {
	case was.Generation == 0 || now.UID == was.UID && now.Generation >= was.Generation:
		return before // in the usual order nothing newer was replaced
	case before.UID == was.UID && before.Generation > was.Generation:
		return before
	}
	return was
}

// isOlderFile reports whether the manifest of a file is older than the
// one in force. A file never goes back. A kubelet takes a minute or
// two, and may bring what a command has replaced in the meantime.
func isOlderFile(file, inForce, replaced config.Version) bool {
	switch {
	case file.Generation == 0 || file.Is(inForce):
		return false
	case replaced.Generation != 0 && file.UID == replaced.UID && file.Generation <= replaced.Generation:
		return true
	case file.UID == "" || inForce.UID == "" || file.UID == inForce.UID:
		return isStale(file, inForce)
	}
	return !file.Created.After(inForce.Created) // the older one of two pairs with this name
}

// parse reads the manifest that is to follow before.
func (c *configuration) parse(before config.Manifest, sources []config.Source) (config.Manifest, error) {
	m, err := c.files.Parse(before, sources...)
	if err != nil || !c.keepsStreams {
		return m, err
	}
	for i := range m.Pairs {
		now := &m.Pairs[i].Spec
		for _, p := range before.Pairs {
			if p.Name == m.Pairs[i].Name && p.Namespace == m.Pairs[i].Namespace {
				now.App, now.Primary, now.Backup = p.Spec.App, p.Spec.Primary, p.Spec.Backup
			}
		}
	}
	return m, nil
}

// isStale reports whether v is older than the version in force. A
// manifest without a generation is edited by hand, and is never stale.
func isStale(v, inForce config.Version) bool {
	return v.Generation != 0 && v.Generation < inForce.Generation
}

// reload reads the manifest and the Secrets again because one of their files
// changed. Mistakes are reported, and what was in force stays in force.
func (c *configuration) reload() {
	c.putting.Lock()
	defer c.putting.Unlock()
	file, err := c.files.Read()
	if err != nil {
		c.sources.file = nil // so that the files are read once they are back
		c.reportMistakes(&c.faults.manifest, lines(err))
	} else if !slices.EqualFunc(file, c.sources.file, config.Source.Equal) {
		c.sources.file = file
		c.reportMistakes(&c.faults.manifest, lines(c.adopt(file)))
	}
	c.renewKeys()
}

// adopt puts the manifest of the files in force, unless it is older than one that came by
// a command. An equal manifest changes nothing, not even a leg that was selected since.
func (c *configuration) adopt(file []config.Source) error {
	before := c.manifest()
	m, err := c.parse(before, file)
	if err != nil {
		return err
	}
	now, was := m.Version(), before.Version()
	// Once a command has replaced a newer generation, even
	// a file with the version in force may be an old one.
	lags := now.Is(was) && c.sources.replaced.Generation != 0 && !m.Declares(before)
	if lags || isOlderFile(now, was, c.sources.replaced) {
		c.log.Info("the manifest's file is older than the one in force", "uid", now.UID, "generation", now.Generation, "inForce", was.Generation)
		return nil
	}
	c.sources.inForce = file
	if now.Is(was) {
		c.sources.replaced = config.Version{} // the kubelet has caught up
	}
	if !m.Declares(before) {
		c.put(m)
		c.log.Info("configuration changed", "pairs", len(m.Pairs), "generation", m.Generation())
	}
	return nil
}

// renewKeys puts in force the Secrets that the files hold now.
func (c *configuration) renewKeys() {
	if len(c.sources.inForce) == 0 {
		return
	}
	before := c.manifest()
	m, err := c.parse(before, c.sources.inForce)
	if err != nil {
		return // the manifest was valid before, and faulty Secrets are no error here
	}
	c.reportMistakes(&c.faults.secrets, m.SecretErrors)
	if m.Equal(before) {
		return
	}
	c.renew(m)
	c.set(m)
	c.log.Info("the Secrets of the pairs have changed: who connects from now on needs the new ones")
}

// fileFaults are the mistakes in the files, one line each, by what the files are for.
type fileFaults struct{ manifest, secrets, control []string }

// reportMistakes replaces the mistakes of one kind of file, and logs the new ones.
func (c *configuration) reportMistakes(about *[]string, now []string) {
	c.mu.Lock()
	before := *about
	*about = now
	c.mu.Unlock()
	if slices.Equal(before, now) {
		return
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			c.log.Error("a file is not used as it is; what was in force before still is", "error", line)
		}
	}
	c.changed()
}

func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// mistakes returns all mistakes in files.
func (c *configuration) mistakes() []api.ConfigMistake {
	c.mu.Lock()
	defer c.mu.Unlock()
	var mistakes []api.ConfigMistake
	add := func(reason string, messages []string) {
		for _, message := range messages {
			mistakes = append(mistakes, api.ConfigMistake{Reason: reason, Message: message})
		}
	}
	add(api.MistakeManifest, c.faults.manifest)
	add(api.MistakeSecret, c.faults.secrets)
	add(api.MistakeControl, c.faults.control)
	return mistakes
}

// begin puts the first manifest in force.
func (c *configuration) begin(m config.Manifest) {
	c.putting.Lock()
	defer c.putting.Unlock()
	c.put(m)
	c.reportMistakes(&c.faults.secrets, m.SecretErrors)
}

// put puts a manifest in force. c.putting is held.
func (c *configuration) put(m config.Manifest) {
	c.apply(c.manifest(), m)
	c.set(m)
}

// set notes that a manifest is in force.
func (c *configuration) set(m config.Manifest) {
	c.mu.Lock()
	c.inForce = m
	c.mu.Unlock()
	c.changed()
}

// manifest returns the manifest in force.
func (c *configuration) manifest() config.Manifest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inForce
}
