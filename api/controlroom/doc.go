// Package controlroom serves the control room: a page on which the person on duty sees both legs of
// each pair, and takes one of them on air. The package has the page and the checks of who may open
// the page. It knows neither media nor Kubernetes: a Source gives the state and carries a Take out.
// The media server has one Source, and kubectl streampair monitor has another.
//
// Who has the URL with the one-time key opens the page. The key becomes a cookie, which each request
// then needs. A page of another address, a name that somebody else's DNS resolves to this machine,
// and a local user without the key are refused.
//
// The sources of the page (src) are TypeScript. `make build` bundles them into dist, together with the
// player. Start with New.
package controlroom
