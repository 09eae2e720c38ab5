// Command reference writes the part of api/REFERENCE.md that crd-ref-docs does not
// know of: what a change of each field does, and the conditions, reasons, labels and keys,
// which are constants in the API package. It reads Go files and writes Markdown.
//
//	go run ./hack/reference api/v1alpha1/conditions.go api/v1alpha1/metadata.go
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/streampair/streampair/api/v1alpha1"
)

func main() {
	if err := writeEffects(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
	for _, file := range os.Args[1:] {
		if err := write(os.Stdout, file); err != nil {
			fmt.Fprintln(os.Stderr, "reference:", err)
			os.Exit(1)
		}
	}
}

// writeEffects writes a chapter of what a change of each field of the spec does.
func writeEffects(w io.Writer) error {
	if _, err := fmt.Fprint(w, "\n## What a change of the spec does\n\nA field stands for all below it that have no line of their own.\n"); err != nil {
		return err
	}
	effects := v1alpha1.Effects()
	for _, effect := range []v1alpha1.Effect{v1alpha1.EffectReplace, v1alpha1.EffectRunning, v1alpha1.EffectOperator} {
		fmt.Fprintf(w, "\n%s\n\n", effect)
		for _, path := range slices.Sorted(maps.Keys(effects)) {
			if effects[path] == effect {
				fmt.Fprintf(w, "- `spec.%s`\n", path)
			}
		}
	}
	return nil
}

// write writes a chapter for each block of constants in the file: its comment, then a
// list of the values.
func write(w io.Writer, file string) error {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, declaration := range syntax.Decls {
		block, ok := declaration.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		title, rest := heading(plain(block.Doc))
		if _, err := fmt.Fprintf(w, "\n## %s\n", title); err != nil {
			return err
		}
		if rest != "" {
			fmt.Fprintf(w, "\n%s\n", rest)
		}
		fmt.Fprintln(w)
		for _, entry := range entries(block) {
			fmt.Fprintf(w, "- %s\n", entry)
		}
	}
	return nil
}

// Constants in a comment, for which readers know the value.
var condition = regexp.MustCompile(`\bCondition([A-Z]\w*)`)

func plain(comment *ast.CommentGroup) string {
	return condition.ReplaceAllString(strings.TrimSpace(comment.Text()), "$1")
}

// heading splits a block's comment into what can stand as a heading and the rest.
func heading(text string) (title, rest string) {
	end := strings.IndexAny(text, ".,:")
	if at := strings.Index(text, ". "); at >= 0 && !strings.ContainsAny(text[:at], ",:") {
		end = at
	}
	if end < 0 || end == len(text)-1 {
		return strings.TrimSuffix(text, "."), ""
	}
	if text[end] == '.' {
		return text[:end], strings.TrimSpace(text[end+1:])
	}
	return text[:end], text
}

// The names of constants at the beginning of their comment, and what stands in brackets
// after them.
var ownName = regexp.MustCompile(`^[A-Z][A-Za-z]*( and [A-Z][A-Za-z]*)?( \([^)]*\))?[:.,]? ?(is |are )?`)

// entries returns an item for each constant that has a comment, together with those
// without one that follow it.
func entries(block *ast.GenDecl) []string {
	var all []string
	for _, spec := range block.Specs {
		constant := spec.(*ast.ValueSpec)
		literal, ok := constant.Values[0].(*ast.BasicLit)
		if !ok {
			continue
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			continue
		}
		text := plain(constant.Doc)
		if text == "" && len(all) > 0 {
			before, explanation, _ := strings.Cut(all[len(all)-1], "`:")
			all[len(all)-1] = before + "`, `" + value + "`" + strings.TrimSuffix(":"+explanation, ":")
			continue
		}
		own := ownName.FindStringSubmatch(text)
		note := ""
		if own != nil {
			note, text = own[2], strings.TrimPrefix(text, own[0])
		}
		item := "`" + value + "`" + note
		if text != "" {
			item += ": " + text
		}
		all = append(all, strings.ReplaceAll(item, "\n", "\n  "))
	}
	return all
}
