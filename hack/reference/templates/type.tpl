{{- define "type" }}
{{- if markdownShouldRenderType . }}

## {{ .Name }}

{{ regexReplaceAll "(?m)^\\+kubebuilder:.*$" .Doc "" | trim }}
{{- if .References }}

In {{ range $i, $t := .SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $t }}{{ end }}.
{{- end }}
{{- if .Members }}
{{ range .Members }}{{ template "type_members" . }}{{ end }}
{{- else if .EnumValues }}
{{ range .EnumValues }}
- `{{ .Name }}`{{ with regexReplaceAll "^[A-Z][A-Za-z0-9]*:? (is |are )?" .Doc "" | trim }}: {{ . | replace "\n" "\n  " }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
