// Command decider answers questions about a pair by the rules of the version that it was
// built from: see question_test.go, which hack/previous.sh puts beside that version's
// sources.
package main

import (
	"fmt"
	"os"

	"github.com/streampair/streampair/mediaserver/failover"
)

func main() {
	if err := failover.AnswerQuestions(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "decider:", err)
		os.Exit(1)
	}
}
