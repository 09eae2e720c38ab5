package whip

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// iceServerLinks writes the recommended STUN and TURN servers as Link headers,
// RFC 9725 section 4.6.
func iceServerLinks(servers []webrtc.ICEServer) []string {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "").Replace(s) + `"`
	}
	var links []string
	for _, server := range servers {
		for _, url := range server.URLs {
			link := fmt.Sprintf("<%s>; rel=\"ice-server\"", url)
			if server.Username != "" {
				link += fmt.Sprintf("; username=%s; credential=%s; credential-type=\"password\"",
					quote(server.Username), quote(fmt.Sprint(server.Credential)))
			}
			links = append(links, link)
		}
	}
	return links
}
