package controllers

import (
	"slices"
	"strings"
)

func keyList(keys []ObjectKey) string {
	var names []string
	for _, key := range keys {
		names = append(names, key.String())
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// maxMessage is the longest message of a condition that the API server takes, nearly.
const maxMessage = 30000

// cut bounds the message of a condition.
func cut(text string) string {
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "")
	}
	return text
}

// sentences joins clauses to text.
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
