package preflight

import (
	"strings"
	"testing"
	"time"
	"unicode"
)

// Parts of a report come from the servers that are checked. They must not forge lines, or reach the
// terminal.
func TestARemoteTextIsOneLineOfPrintableText(t *testing.T) {
	bad := "a\x1b]52;c;x\a\n\nNothing is wrong.\r\u009b2J"
	r := NewReport(time.Now(), []Subject{{Name: bad, Summary: bad}}, []Finding{{Severity: Error, Code: bad, Subject: bad, Message: bad, OBS: bad, FFmpeg: bad, Remedy: bad}})
	text := r.text()
	for _, c := range text {
		if c != '\n' && !unicode.IsPrint(c) {
			t.Errorf("%q is printed", c)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "Nothing is wrong") {
			t.Error("a line is forged")
		}
	}
}
