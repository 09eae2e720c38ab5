package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/api/v1alpha1"
)

// documents are the decoded documents of all sources. They are not checked yet.
type documents struct {
	lenient bool // StreamPairs may have unknown fields
	pairs   []document[v1alpha1.StreamPair]
	secrets []document[corev1.Secret]
}

// A document is one YAML document. where precedes each of its mistakes.
// mistaken has the paths of fields that did not decode, and unknown
// those of fields that this version does not have. object lacks both.
type document[T any] struct {
	object   *T
	where    string
	mistaken []string
	unknown  []string
}

// isMistaken reports whether the field, or a field that contains it,
// did not decode. If so, what the field lacks is not another mistake.
func (d document[T]) isMistaken(path string) bool {
	return slices.ContainsFunc(d.mistaken, func(m string) bool {
		rest, ok := strings.CutPrefix(path, m)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// decode decodes the documents of sources. Unless lenient, unknown fields are mistakes.
func decode(sources []Source, lenient bool) (documents, Mistakes) {
	all := documents{lenient: lenient}
	var mistakes Mistakes
	for _, source := range sources {
		if len(source.Content) > MaxManifestBytes {
			mistakes.add("%s: longer than %d bytes", source.Name, MaxManifestBytes)
			continue
		}
		before := len(all.pairs) + len(all.secrets) + len(mistakes)
		for i, text := range splitYAML(source.Content) {
			all.decodeDocument(text, fmt.Sprintf("%s, document %d", source.Name, i+1), source.Name, &mistakes)
		}
		if len(all.pairs)+len(all.secrets)+len(mistakes) == before {
			mistakes.add("%s: has no StreamPair", source.Name)
		}
	}
	return all, mistakes
}

func (d *documents) decodeDocument(text []byte, where, source string, mistakes *Mistakes) {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		// The text of such an error has several lines, one for each duplicate key.
		mistakes.add("%s: %s", source, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	var tree any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(asJSON, &tree); err != nil {
		mistakes.add("%s: %v", where, err)
		return
	}
	if tree == nil {
		return // an empty document, or one with comments only
	}
	object, ok := tree.(map[string]any)
	if !ok {
		mistakes.add("%s: must be a mapping with apiVersion, kind, metadata and spec", where)
		return
	}
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	metadata, _ := object["metadata"].(map[string]any)
	if name, _ := metadata["name"].(string); name != "" && kind != "" {
		where = fmt.Sprintf("%s, %s %q", source, kind, name)
	}
	wanted := map[string]string{v1alpha1.Kind: v1alpha1.GroupVersion.String(), "Secret": "v1"}
	switch {
	case kind == "":
		mistakes.add("%s: %v", where, field.Required(field.NewPath("kind"), "StreamPair or Secret"))
	case wanted[kind] == "":
		mistakes.add("%s: %v", where, field.NotSupported(field.NewPath("kind"), kind, []string{v1alpha1.Kind, "Secret"}))
	case version != wanted[kind]:
		mistakes.add("%s: %v", where, field.NotSupported(field.NewPath("apiVersion"), version, []string{wanted[kind]}))
	case kind == "Secret":
		d.secrets = appendDecoded(d.secrets, object, where, false, mistakes)
	default:
		d.pairs = appendDecoded(d.pairs, object, where, d.lenient, mistakes)
	}
}

func appendDecoded[T any](to []document[T], tree map[string]any, where string, lenient bool, mistakes *Mistakes) []document[T] {
	doc := document[T]{object: new(T), where: where}
	_, secret := any(doc.object).(*corev1.Secret)
	strict, err := unmarshal(tree, doc.object)
	if err != nil {
		// The decoder stops at the first value of a wrong type, and
		// does not always say where it is. So each part of the document
		// is decoded separately, and parts that do not fit are removed.
		for _, m := range takeMisfits[T](tree) {
			if secret {
				m.BadValue = "(hidden)" // a token may have been written as a number
			}
			mistakes.add("%s: %v", where, m)
			doc.mistaken = append(doc.mistaken, m.Field)
		}
		doc.object = new(T)
		if strict, err = unmarshal(tree, doc.object); err != nil {
			mistakes.add("%s: %v", where, err)
			return to
		}
	}
	for _, err := range strict {
		switch path, isUnknown := unknownField(err); {
		case !isUnknown:
			mistakes.add("%s: %v", where, err)
		case lenient:
			doc.unknown = append(doc.unknown, path)
		default:
			mistakes.add("%s: %s: Unknown field", where, path)
		}
	}
	return append(to, doc)
}

// unmarshal decodes tree into object. strict has the errors about unknown fields.
func unmarshal(tree map[string]any, object any) (strict []error, err error) {
	asJSON, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	return kjson.UnmarshalStrict(asJSON, object)
}

// unknownField returns the path of the field that a
// strict error is about; false: the error is another one.
func unknownField(err error) (path string, is bool) {
	path, is = strings.CutPrefix(err.Error(), `unknown field "`)
	return strings.TrimSuffix(path, `"`), is
}

// takeMisfits removes each smallest part of tree that alone does
// not decode into a T, and returns a mistake for each. List items
// are only emptied, so that the other items keep their index.
func takeMisfits[T any](tree map[string]any) field.ErrorList {
	var errs field.ErrorList
	fits := func(tree map[string]any) bool {
		_, err := unmarshal(tree, new(T))
		return err == nil
	}
	// visit reports whether value fits, or fits now that parts were removed.
	// alone returns a tree that has only the given value, at value's place.
	var visit func(value any, path *field.Path, alone func(any) map[string]any) bool
	visit = func(value any, path *field.Path, alone func(any) map[string]any) bool {
		_, err := unmarshal(alone(value), new(T))
		if err == nil {
			return true
		}
		// A container that does not fit even when empty is itself
		// wrong. Looking into it would blame its parts, however deep.
		before := len(errs)
		switch value := value.(type) {
		case map[string]any:
			if !fits(alone(map[string]any{})) {
				break
			}
			for _, key := range slices.Sorted(maps.Keys(value)) {
				if !visit(value[key], path.Child(key), func(v any) map[string]any { return alone(map[string]any{key: v}) }) {
					delete(value, key)
				}
			}
		case []any:
			if !fits(alone([]any{})) {
				break
			}
			for i, item := range value {
				if !visit(item, path.Index(i), func(v any) map[string]any { return alone([]any{v}) }) {
					value[i] = nil
				}
			}
		}
		if len(errs) > before {
			return true // all that did not fit is removed
		}
		errs = append(errs, field.Invalid(path, value, misfit(err)))
		return false
	}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if !visit(tree[key], field.NewPath(key), func(v any) map[string]any { return map[string]any{key: v} }) {
			delete(tree, key)
		}
	}
	return errs
}

// misfit returns what a value should have been.
func misfit(err error) string {
	var wrongType *json.UnmarshalTypeError
	if !errors.As(err, &wrongType) {
		return err.Error()
	}
	kind := wrongType.Type
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch kind.Kind() {
	case reflect.String:
		return "must be text; write it in quotes"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Int32, reflect.Int64:
		return "must be a whole number"
	case reflect.Slice:
		if kind.Elem().Kind() == reflect.Uint8 {
			return "must be base64; stringData takes plain text"
		}
		return "must be a list"
	case reflect.Struct, reflect.Map:
		return "must be a mapping of fields"
	}
	return wrongType.Error()
}

// splitYAML returns the documents between lines that begin with
// "---". Each begins with as many empty lines as the file has before
// it. The line numbers of mistakes are thereby those of the file.
func splitYAML(content []byte) [][]byte {
	var docs [][]byte
	var doc []byte
	for i, line := range bytes.SplitAfter(content, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && len(bytes.TrimLeft(rest, " \t\r\n")) < len(rest) || string(line) == "---" {
			docs = append(docs, doc)
			doc = append(bytes.Repeat([]byte("\n"), i), rest...)
			continue
		}
		doc = append(doc, line...)
	}
	docs = append(docs, doc)
	return slices.DeleteFunc(docs, func(doc []byte) bool { return len(bytes.TrimSpace(doc)) == 0 })
}
