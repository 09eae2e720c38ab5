package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/controllers/orphans"
	"github.com/streampair/streampair/controllers/pods"
)

// maxMessage bounds the message of a condition, in bytes. The API server accepts little more.
const maxMessage = 30000

// cut shortens the message of a condition to maxMessage.
func cut(text string) string {
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "")
	}
	return text
}

// sentences joins clauses to one text.
func sentences(clauses []string) string {
	text := strings.Join(clauses, "; ")
	if text != "" && text[0] >= 'a' && text[0] <= 'z' {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	text = cut(text)
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// conflictText returns which objects are in the way, and why they are not adopted.
func conflictText(conflicts []orphans.Conflict) string {
	var clauses []string
	for _, c := range conflicts {
		clause := c.String()
		if c.Why != "" {
			clause += " (" + c.Why + ")"
		}
		clauses = append(clauses, clause)
	}
	slices.Sort(clauses)
	return strings.Join(clauses, ", ")
}

// keepTokens returns a warning if the Secret is in the
// way, because deleting the Secret deletes its tokens.
func keepTokens(pair *v1alpha1.StreamPair, conflicts []orphans.Conflict) string {
	for _, c := range conflicts {
		if c.Kind == objects.KindSecret {
			return fmt.Sprintf(" Before you delete Secret %s, keep a copy. Encoders and viewers may use the tokens in it. New tokens would replace these.",
				objects.KeysSecretName(pair.Name))
		}
	}
	return ""
}

// refusal returns why the pod did not accept the manifest, as the end of a sentence.
func (a *Applied) refusal(pod pods.Key) string {
	if message := a.PushErrors[pod]; message != "" {
		return ": " + strings.TrimSuffix(message, ".")
	}
	return ""
}
