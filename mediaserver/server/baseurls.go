package server

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/config"
)

// maxBaseURL bounds the length of a base URL, in bytes.
const maxBaseURL = 1024

// baseURLs are the URLs at which viewers reach each
// pod of the pair, by role. The zero value has none.
type baseURLs struct {
	changes changes

	mu   sync.Mutex // guards urls
	urls map[string]string
}

// checkBaseURLs returns what is wrong with URLs from the operator.
func checkBaseURLs(urls map[string]string) config.Mistakes {
	var mistakes config.Mistakes
	for _, role := range slices.Sorted(maps.Keys(urls)) {
		if role != string(v1alpha1.RolePrimary) && role != string(v1alpha1.RoleBackup) {
			mistakes = append(mistakes, fmt.Sprintf("http[%.20q]: the role must be Primary or Backup", role))
			continue
		}
		if err := checkBaseURL(urls[role]); err != nil {
			mistakes = append(mistakes, fmt.Sprintf("http[%s]: %v", role, err))
		}
	}
	return mistakes
}

func checkBaseURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxBaseURL || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(text, "/") || strings.ContainsAny(text, "?#<>\"") {
		return fmt.Errorf("%.100q must be http or https, a host, perhaps a port and a path, and have no slash at its end", text)
	}
	return nil
}

// set replaces the URLs, which the caller has checked.
func (b *baseURLs) set(urls map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !maps.Equal(b.urls, urls) {
		b.urls = maps.Clone(urls)
		b.changes.notify()
	}
}

// all returns the URLs by role.
func (b *baseURLs) all() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.urls)
}

// watch returns the URLs, the primary's first, and a channel that is closed when they change.
func (b *baseURLs) watch() ([]string, <-chan struct{}) {
	changed := b.changes.next()
	var list []string
	urls := b.all()
	for _, role := range []v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup} {
		if u := urls[string(role)]; u != "" && !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	return list, changed
}

// alternate returns the base URL of the pod of the leg other than role; empty: unknown.
func (b *baseURLs) alternate(role v1alpha1.Role) string {
	switch role {
	case v1alpha1.RolePrimary:
		return b.all()[string(v1alpha1.RoleBackup)]
	case v1alpha1.RoleBackup:
		return b.all()[string(v1alpha1.RolePrimary)]
	}
	return ""
}
